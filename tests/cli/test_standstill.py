"""What the command says of a device or a shipment that stands still: what holds it, until when, and who can help."""

import pytest
from tests.cli.conftest import Answer, Run, Stub
from tests.cli.test_terminal import Terminal

ROLLOUT = "/api/v1/rollouts/31"
EXPLAIN = "/api/v1/devices/4/explain"


def explained(check: str, do: str = "nothing", **more: object) -> Answer:
    checks = [{"name": check, "verdict": "fail", "detail": "so it is"}]
    return Answer(body={"do": do, "summary": "It waits.", "checks": checks, "deliveries": [], **more})


def rollout(state: str, reasons: dict[str, int] | None = None, **counts: int) -> Answer:
    body = {"id": 31, "state": state, "wholeProduct": False, "counts": counts, "reasons": reasons or {}}
    return Answer(body=body)


@pytest.mark.parametrize(
    ("check", "hint"),
    [
        ("device enabled", "airfreight device edit 4 --enable"),
        ("user consent", "airfreight device consent 4"),
        ("user confirmation", "airfreight device consent 4"),
        ("retry pause", ""),
    ],
)
def test_explain_names_the_command_that_helps(run: Run, logged_in: Stub, check: str, hint: str) -> None:
    logged_in.on("GET", EXPLAIN, explained(check))
    err = run("device", "explain", "4").err
    assert (f"`{hint}`" in err) if hint else err == ""


def test_explain_says_when_the_answer_changes_by_itself(run: Run, logged_in: Stub) -> None:
    logged_in.on("GET", EXPLAIN, explained("window open", recheckAt=1_767_268_800_000))
    assert run("device", "explain", "4").out.splitlines()[2].split()[:2] in (
        ["until", "2026-01-01"],
        ["until", "2026-01-02"],
    )
    logged_in.on("GET", EXPLAIN, explained("window open", recheckAt=None))
    assert "until" not in run("device", "explain", "4").out


def test_explain_does_not_threaten_a_device_that_does_as_it_is_told(run: Run, logged_in: Stub) -> None:
    delivery = {"id": 9, "rolloutId": 31, "title": "t", "state": "downloaded", "tries": 1, "attemptsLimit": 3}
    delivery |= {"deadlineAt": 1_767_268_800_000, "updatedAt": 1_767_268_800_000}
    for do, words in (("wait", "not while it waits"), ("install", "or this try has failed")):
        logged_in.on("GET", EXPLAIN, explained("window open", do, deliveries=[delivery]))
        [line] = [one for one in run("device", "explain", "4").out.splitlines() if one.startswith("must report")]
        assert line.endswith(words)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("running", "goes on"),
        ("paused", "is paused until `airfreight shipment resume 31`"),
        ("ready", "has not been started yet"),
        ("pending_approval", "waits for somebody's approval"),
    ],
)
def test_a_watch_that_gives_up_says_whether_anything_goes_on(run: Run, logged_in: Stub, state: str, words: str) -> None:
    logged_in.on("GET", ROLLOUT, rollout(state, queued=1))
    result = run("shipment", "watch", "31", "--timeout", "0")
    assert (result.code, result.err.splitlines()[0]) == (124, f"The time is over, and the shipment {words}.")
    assert "`airfreight shipment devices 31`" in result.err


def test_a_watch_that_ends_badly_says_for_which_reasons(run: Run, logged_in: Stub) -> None:
    logged_in.on("GET", ROLLOUT, rollout("finished", {"wrong_version": 2, "no_report": 1}, failed=3, succeeded=1))
    result = run("shipment", "watch", "31")
    words = "Not every device succeeded (wrong_version 2, no_report 1). See them with `airfreight shipment devices 31`."
    assert (result.code, result.err.strip()) == (1, words)


def test_in_a_narrow_terminal_each_device_has_its_sentence_below_it(logged_in: Stub) -> None:
    words = "Failed: the device came back with a version that is neither the old nor the new one (try 1 of 3)."
    item = {"id": 1, "deviceId": 7, "deviceUid": "u", "state": "failed", "reason": "wrong_version", "words": words}
    items = [item | {"expectedVersion": "2.0", "reportedVersion": "1.5", "updatedAt": 0}]
    logged_in.on("GET", f"{ROLLOUT}/deliveries", Answer(body={"items": items, "next": 1}))
    terminal = Terminal("shipment", "devices", "31")
    code, _ = terminal.finish()
    lines = terminal.seen.splitlines()
    assert (code, lines[0]) == (0, "7  u  failed (wrong_version)  1.5 -> 2.0  -")
    assert " ".join(line.strip() for line in lines[1:-1]) == words
    assert all(line.startswith("    ") and len(line) <= 100 for line in lines[1:-1])
    assert lines[-1] == "There are more: go on with --after 1."

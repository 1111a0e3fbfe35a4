"""`campaign`, `package` and `device log`: what is refused before anything is sent, and answers that are odd."""

import io
import sys
import time
from pathlib import Path

import pytest
from tests.cli.conftest import Answer, Run, Seen, Stub

UID = "630fe40b-ef22-468d-a06f-c5df42852ec5"
ONE = f"/api/campaigns/{UID}"
ROLLOUTS = "/api/v1/rollouts"
ROLLOUT = {"id": 31, "uid": UID, "title": "Spring", "state": "running", "counts": {"queued": 2}, "reasons": {}}
DELIVERY = {"id": 9, "deviceUid": "gw-1", "state": "queued", "reason": ""}
EXPLAINED = {"do": "nothing", "summary": "x", "checks": []}


def page(*items: object, following: int | None = None) -> Answer:
    return Answer(body={"items": list(items), "next": following})


@pytest.fixture
def door(logged_in: Stub) -> Stub:
    logged_in.on("GET", ROLLOUTS, page({**ROLLOUT, "id": 30, "uid": "other"}, ROLLOUT))
    logged_in.on("GET", f"{ROLLOUTS}/31", Answer(body=ROLLOUT))
    return logged_in


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("campaign", "create", "x", "--every", "5"), "--every is about a group."),
        (("campaign", "create", "x", "--set", "=1"), "--set needs a name and a value."),
        (("campaign", "create", "x", "--set", "key"), "--set needs a name and a value."),
        (("campaign", "create", "x", "--gateway", "a b"), "'a b' is not the uid of a device."),
        (("campaign", "create", "x", "--from", "no-such-file"), "no-such-file cannot be read"),
        (("campaign", "edit", UID), "Nothing to change was named."),
        (("campaign", "list", "--status", "flying"), "Invalid value for '--status'"),
        (("campaign", "list", "--page", "0"), "Invalid value for '--page'"),
        (("campaign", "add", UID), "No gateway is named."),
        (("campaign", "add", UID, "../start"), "'../start' is not the uid of a device."),
        (("campaign", "add", UID, ".."), "'..' is not the uid of a device."),
        (("campaign", "add", UID, "gw-1", "--behind", "a/b"), "'a/b' is not the uid of a device."),
        (("campaign", "gateway", UID, "a?b"), "'a?b' is not the uid of a device."),
        (("campaign", "remove", UID, "gw-1"), "Remove gateway gw-1 from the campaign needs your word."),
        (("campaign", "close", UID, "gw-1", "gw-2"), "Close the campaign for 2 gateways needs your word."),
        (("campaign", "schedule", UID, "lunch", "gw-1"), "Invalid value for"),
        (("campaign", "schedule", UID, "download"), "No gateway is named."),
        (("campaign", "schedule", UID, "download", "gw-1", "--all"), "--all are all gateways."),
        (("campaign", "schedule", UID, "download", "gw-1", "--begin", "soon"), "'soon' is not a time."),
        (("campaign", "follow", UID), "Either a group or none is followed."),
        (("campaign", "follow", UID, "--group", "3", "--none"), "Either a group or none is followed."),
        (("campaign", "follow", UID, "--none", "--every", "3"), "--none is never looked at."),
        (("campaign", "callback", UID, "completed"), "Either a webhook or nobody is told."),
        (("campaign", "callback", UID, "completed", "--webhook", "1", "--state", "x"), "--state is for state-change."),
        (("campaign", "callback", UID, "lunch", "--none"), "Invalid value for"),
        (("campaign", "watch", UID, "--timeout", "-1"), "Invalid value for '--timeout'"),
        (("campaign", "gateways", UID, "--state", "asleep"), "Invalid value for '--state'"),
        (("campaign", "show", UID, "--org", "0"), "Invalid value for '--org'"),
        (("package", "upload", "no-such-file"), "Invalid value for 'FILE'"),
        (("device", "log", "7", "--lines", "-1"), "Invalid value for '--lines'"),
        (
            ("rollout", "start", "--title", "x", "--artifact", "1", "--group", "1", "--reset-period", "0"),
            "Invalid value",
        ),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    run: Run, door: Stub, arguments: tuple[str, ...], words: str
) -> None:
    refused = run(*arguments)
    assert refused.code == 2, refused
    assert words in refused.err
    assert [one for one in door.seen if one.method != "GET"] == []


@pytest.mark.parametrize("description", ["x" * 129, "two\nlines"])
def test_a_description_that_does_not_fit_costs_no_upload(
    run: Run, door: Stub, tmp_path: Path, description: str
) -> None:
    (tmp_path / "a.bin").write_bytes(b"x")
    refused = run("package", "upload", str(tmp_path / "a.bin"), "--description", description)
    assert (refused.code, door.seen) == (2, [])


@pytest.mark.parametrize("content", [b"", b"\n \n", b"gw-1\ngw 2\n", b"\xff\xfe", b"gw-1\n../x\n"])
def test_a_list_of_gateways_that_is_none_is_not_sent(run: Run, door: Stub, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list").write_bytes(content)
    refused = run("campaign", "add", UID, "--from", str(tmp_path / "list"))
    assert (refused.code, door.seen) == (2, [])


def test_a_hundred_thousand_gateways_go_out_in_one_call_and_one_more_does_not(
    run: Run, door: Stub, tmp_path: Path
) -> None:
    door.on("POST", f"{ONE}/devices", Answer(body={}))
    uids = [f"gw-{number}" for number in range(100_001)]
    (tmp_path / "list").write_text("\n".join(uids))
    assert run("campaign", "add", UID, "--from", str(tmp_path / "list")).code == 2
    (tmp_path / "list").write_text("\r\n".join(uids[:-1]))
    assert run("campaign", "add", UID, "--from", str(tmp_path / "list")).code == 0
    [sent] = door.requests("POST", f"{ONE}/devices")
    assert sent.document == {"gatewayIds": uids[:-1]}


def test_gateways_are_read_from_stdin_too(run: Run, door: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    door.on("POST", f"{ONE}/devices", Answer(body={}))
    monkeypatch.setattr(sys, "stdin", io.StringIO("gw-2\n"))
    assert run("campaign", "add", UID, "gw-1", "--from", "-", "--json").document == {"campaign": UID, "added": 2}
    assert door.requests("POST", f"{ONE}/devices")[0].document == {"gatewayIds": ["gw-1", "gw-2"]}


class Person(io.StringIO):
    """Somebody at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("n\n", 130), ("\n", 130), ("", 130)])
def test_a_person_is_asked_before_something_is_gone(
    run: Run, door: Stub, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    door.on("GET", ONE, Answer(body={"name": "Spring"}))
    door.on("DELETE", ONE, Answer(body={}))
    monkeypatch.setattr(sys, "stdin", Person(answer))
    asked = run("campaign", "delete", UID)
    assert (asked.code, asked.err.startswith("Delete campaign Spring? [y/N] ")) == (code, True)
    assert len(door.requests("DELETE", ONE)) == (code == 0)


def test_names_are_looked_for_in_all_pages_and_compared_exactly(run: Run, door: Stub) -> None:
    def named(seen: Seen) -> Answer:
        assert seen.query["name"] == "Spring"
        number = int(seen.query["page.number"])
        found = [{"id": "no", "name": "Spring 2"}, {"id": UID, "name": "Spring"}][number - 1]
        return Answer(body={"campaigns": [found], "pageResponse": {"totalPages": "2"}})

    door.on("GET", "/api/campaigns", named)
    door.on("PUT", f"{ONE}/stop", Answer(body={}))
    assert run("campaign", "stop", "Spring").code == 0
    assert len(door.requests("GET", "/api/campaigns")) == 2


@pytest.mark.parametrize(
    "body", [{}, {"campaigns": "x"}, {"campaigns": [1], "pageResponse": {"totalPages": "1"}}, {"campaigns": []}]
)
def test_a_list_that_is_none_is_told_as_such(run: Run, door: Stub, body: object) -> None:
    door.on("GET", "/api/campaigns", Answer(body=body))
    refused = run("campaign", "list")
    assert (refused.code, "was not understood" in refused.err) == (1, True)


def test_the_doors_errors_arrive_in_words(run: Run, door: Stub) -> None:
    words = "The campaign is in CREATED and cannot be stopped; from there it can be: started, changed, deleted."
    door.on("PUT", f"{ONE}/stop", Answer(400, {"code": 9, "message": words}, {"X-Error-Code": "wrong_state"}))
    refused = run("campaign", "stop", UID)
    assert (refused.code, refused.out, refused.err) == (1, "", f"{words}\n")


def test_those_that_were_removed_are_left_out_and_pages_stay_full(run: Run, door: Stub) -> None:
    gone = {**DELIVERY, "reason": "taken_out"}
    first = page(gone, {**DELIVERY, "id": 11}, following=11)
    rest = page({**DELIVERY, "id": 12, "deviceUid": "gw-2"}, {**DELIVERY, "id": 13, "deviceUid": "gw-3"})
    door.on("GET", f"{ROLLOUTS}/31/deliveries", first, rest)
    listed = run("campaign", "gateways", UID, "--limit", "2", "--json").document
    assert isinstance(listed, dict)
    assert ([one["id"] for one in listed["items"]], listed["next"]) == ([11, 12], 12)


def test_all_are_those_that_have_not_begun_the_phase_and_a_full_server_is_waited_for(run: Run, door: Stub) -> None:
    states = ("queued", "downloading", "downloaded", "installing", "succeeded", "failed")
    several = [{**DELIVERY, "id": n, "deviceUid": f"gw-{n}", "state": state} for n, state in enumerate(states, 1)]
    door.on("GET", f"{ROLLOUTS}/31/deliveries", page(*several))
    limited = Answer(429, {"code": 8, "message": "Too many."}, {"Retry-After": "1"})
    for number in (1, 2, 3):
        answers = (limited, Answer(body={})) if number == 1 else (Answer(body={}),)
        door.on("PUT", f"{ONE}/devices/gw-{number}/scheduled-execution", *answers)
    began = time.monotonic()
    done = run("campaign", "schedule", UID, "execution", "--all", "--json")
    assert done.document == {"done": ["gw-1", "gw-2", "gw-3"], "refused": []}
    assert time.monotonic() - began >= 1


def test_a_campaign_that_is_gone_is_said_to_be(run: Run, logged_in: Stub) -> None:
    logged_in.on("GET", ROLLOUTS, page())
    refused = run("campaign", "gateways", UID)
    assert (refused.code, "This campaign is not there any more." in refused.err) == (1, True)


def test_a_stopped_campaign_ends_the_watch(run: Run, door: Stub) -> None:
    door.on("GET", f"{ROLLOUTS}/31", Answer(body=ROLLOUT), Answer(body={**ROLLOUT, "state": "paused"}))
    watched = run("campaign", "watch", UID, "--interval", "0.1")
    assert watched.code == 1
    assert watched.out.splitlines()[-1].endswith("stopped: 0 of 2 ended (queued 2)")


# device log


@pytest.fixture
def device(logged_in: Stub) -> Stub:
    logged_in.on("GET", "/api/v1/devices/7", Answer(body={"id": 7, "organizationId": 4}))
    return logged_in


def test_a_device_that_was_never_sent_anything_has_no_log(run: Run, device: Stub) -> None:
    device.on("GET", "/api/v1/devices/7/explain", Answer(body=EXPLAINED))
    assert run("device", "log", "7").out == "Nothing was ever sent to device 7.\n"
    assert run("device", "log", "7", "--json").document == {"delivery": None, "events": []}
    assert run("device", "log", "7", "--rollout", "3").code == 1


def test_the_log_of_a_deleted_rollout_gives_way_to_the_one_before(run: Run, device: Stub) -> None:
    old = {"id": 1, "rolloutId": 30, "title": "old", "state": "failed"}
    new = {"id": 2, "rolloutId": 31, "title": "new", "state": "canceled"}
    device.on("GET", "/api/v1/devices/7/explain", Answer(body={**EXPLAINED, "deliveries": [new, old]}))
    device.on("GET", f"{ROLLOUTS}/30/deliveries", page({**old, "words": "Failed: it \x1b[31mfell."}))
    happened = {"at": 1_700_000_000_000, "actor": "device", "event": "fail", "verdict": "late", "state": "failed"}
    said = {**happened, "attemptId": 1001, "reason": "no_space", "message": "full\x1b[2J", "lines": ["  a\x1b[1mb"]}
    device.on("GET", f"{ROLLOUTS}/30/deliveries/1/history", Answer(body=[said]))
    log = run("device", "log", "7")
    assert log.code == 0
    assert log.out.startswith("Rollout 30, old: Failed: it  [31mfell.")
    assert "fail (late)  failed  no_space: full [2J\n    |   a [1mb\n" in log.out
    assert "\x1b" not in log.out
    assert log.err == "Its other rollouts: 31 (canceled). See one with `airfreight device log 7 --rollout ID`.\n"
    assert device.requests("GET", f"{ROLLOUTS}/30/deliveries")[0].query == {"limit": "1", "after": "0", "orgId": "4"}
    gone = run("device", "log", "7", "--rollout", "31")
    assert gone.code == 1
    short = run("device", "log", "7", "--rollout", "30", "--lines", "0")
    assert short.out.endswith("    | ... 1 line before these: --lines 1 shows all\n")


def test_explain_says_where_a_device_is_also_to_those_who_may_not_see_its_history(run: Run, device: Stub) -> None:
    now = int(time.time() * 1000)
    active = {"id": 2, "rolloutId": 31, "title": "new", "state": "downloading", "tries": 2, "attemptsLimit": 3}
    at = {"updatedAt": now - 240_000, "deadlineAt": now + 3_600_000 * 3 + 5000}
    device.on("GET", "/api/v1/devices/7/explain", Answer(body={**EXPLAINED, "deliveries": [{**active, **at}]}))
    said = run("device", "explain", "7").out
    assert "4 min ago" in said
    assert "2 of 3" in said
    assert "(in 3 h), or this try has failed" in said
    waits = {**active, **at, "deadlineAt": None}
    device.on("GET", "/api/v1/devices/7/explain", Answer(body={**EXPLAINED, "deliveries": [waits]}))
    assert "at no set time" in run("device", "explain", "7").out

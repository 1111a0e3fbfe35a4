"""What the original has not: export, clone, a watch that gives up, and complaints in words of the command line."""

import os
from pathlib import Path

import pytest
from tests.cli.conftest import Answer, Clock, Run, Seen, Stub

from airfreight.cli import export
from airfreight.cli.errors import CliError

ONE = "/api/v1/organization/shipment"
ROLLOUT = "/api/v1/rollouts/31"
CSV = b"id,deviceId\r\n1,7\r\n"


def said(message: str, status: int = 400) -> Answer:
    return Answer(status, {"error": {"message": message}})


@pytest.fixture
def door(logged_in: Stub) -> Stub:
    logged_in.on("GET", ROLLOUT, Answer(body={"id": 31, "state": "finished"}))
    logged_in.on("GET", f"{ROLLOUT}/export", Answer(body=CSV))
    return logged_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "exports"
    made.mkdir()
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_export_goes_to_a_file_that_was_not_there(run: Run, door: Stub, folder: Path) -> None:
    out = folder / "v2.csv"
    result = run("shipment", "export", "31", "--out", str(out))
    assert (result.code, result.out, result.err) == (0, "", f"Wrote {out} ({len(CSV)} B).\n")
    assert out.read_bytes() == CSV
    assert out.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert names(folder) == ["v2.csv"]
    assert door.requests("GET", f"{ROLLOUT}/export")[0].query == {"format": "csv"}


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_without_a_file_it_goes_to_stdout_byte_for_byte(run: Run, door: Stub) -> None:
    door.on("GET", f"{ROLLOUT}/export", Answer(body=b'{"items":[]}\n'))
    result = run("shipment", "export", "31", "--format", "json")
    assert (result.code, result.out, result.err) == (0, '{"items":[]}\n', "")
    assert door.requests("GET", f"{ROLLOUT}/export")[0].query == {"format": "json"}


def test_a_file_is_replaced_only_when_that_is_asked_for(run: Run, door: Stub, folder: Path) -> None:
    out = folder / "v2.csv"
    out.write_bytes(b"precious")
    refused = run("shipment", "export", "31", "--out", str(out))
    assert (refused.code, refused.err) == (
        2,
        f"{out} exists. Name another file, or replace it with --force.\n",
    )
    assert out.read_bytes() == b"precious"
    assert door.seen == []
    assert run("shipment", "export", "31", "--out", str(out), "--force").code == 0
    assert out.read_bytes() == CSV
    assert names(folder) == ["v2.csv"]


def test_a_file_that_appears_during_the_export_is_kept(run: Run, door: Stub, folder: Path) -> None:
    out = folder / "v2.csv"

    def meanwhile(_: Seen) -> Answer:
        out.write_bytes(b"precious")
        return Answer(body=CSV)

    door.on("GET", f"{ROLLOUT}/export", meanwhile)
    assert run("shipment", "export", "31", "--out", str(out)).code == 2
    assert out.read_bytes() == b"precious"
    assert names(folder) == ["v2.csv"]


@pytest.mark.parametrize("force", [False, True])
def test_an_export_that_breaks_off_leaves_what_was_there(run: Run, door: Stub, folder: Path, *, force: bool) -> None:
    out = folder / "v2.csv"
    if force:
        out.write_bytes(b"precious")
    door.on("GET", f"{ROLLOUT}/export", Answer(body=CSV, headers={"Content-Length": "100"}))
    result = run("shipment", "export", "31", "--out", str(out), *(["--force"] if force else []))
    assert result.code == 3, result.err
    assert result.err.count("\n") == 1
    kept = [("v2.csv", b"precious")] if force else []
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == kept


@pytest.mark.parametrize("place", ["", "nowhere/v2.csv", "file/v2.csv"])
def test_a_place_where_nothing_can_be_written_costs_no_request(run: Run, door: Stub, folder: Path, place: str) -> None:
    (folder / "file").write_bytes(b"")
    assert run("shipment", "export", "31", "--out", str(folder / place)).code == 2
    assert door.seen == []


def test_a_disk_that_refuses_is_wrong_usage_and_leaves_nothing(folder: Path) -> None:
    def pieces() -> object:
        yield b"x"
        raise OSError(28, "No space left on device")

    with pytest.raises(CliError, match="cannot be written: No space left on device") as refused:
        export.to_file(pieces(), folder / "v2.csv", force=False)  # type: ignore[arg-type]
    assert refused.value.code == 2
    assert names(folder) == []


def test_an_export_that_is_refused_says_why(run: Run, door: Stub, folder: Path) -> None:
    door.on("GET", f"{ROLLOUT}/export", said("This needs the permission OTA_VIEW.", 403))
    result = run("shipment", "export", "31", "--out", str(folder / "v2.csv"))
    assert result.code == 1
    assert result.err.startswith("This needs the permission OTA_VIEW. ")
    assert names(folder) == []


def test_an_expired_login_is_renewed_before_the_export(run: Run, door: Stub) -> None:
    fresh = {"access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 60}
    door.on("POST", "/oauth2/token", Answer(body=fresh))

    def if_renewed(seen: Seen) -> Answer:
        return Answer(body={"id": 31}) if seen.headers["authorization"] == "Bearer access-2" else Answer(401)

    door.on("GET", ROLLOUT, if_renewed)
    door.on("GET", f"{ROLLOUT}/export", if_renewed)
    assert run("shipment", "export", "31").code == 0


def test_a_clone_is_shown_and_may_be_watched(run: Run, door: Stub) -> None:
    made = {"id": 32, "title": "v2 (again)", "state": "running", "total": 3}
    door.on("POST", f"{ROLLOUT}/clone", Answer(201, made))
    result = run("shipment", "clone", "31")
    assert result.err == "Watch it with `airfreight shipment watch 32`.\n"
    assert "v2 (again)" in result.out
    assert run("shipment", "clone", "31", "--devices", "unfinished", "--title", "Next", "--json").document == made
    sent = [seen.document for seen in door.requests("POST", f"{ROLLOUT}/clone")]
    assert sent == [{"devices": "failed"}, {"devices": "unfinished", "title": "Next"}]


def test_a_clone_that_is_refused_says_why(run: Run, door: Stub) -> None:
    door.on("POST", f"{ROLLOUT}/clone", said("The rollout is running. Stop it first.", 409))
    result = run("shipment", "clone", "31")
    assert (result.code, result.err) == (1, "The rollout is running. Stop it first.\n")


def test_devices_say_why_and_what_differed(run: Run, door: Stub) -> None:
    words = "Failed: the device came back with another version."
    item = {"deviceId": 7, "deviceUid": "u", "state": "failed", "reason": "wrong_version", "words": words}
    items = [item | {"expectedVersion": "2.0.0", "reportedVersion": "1.5.0"}]
    door.on("GET", f"{ROLLOUT}/deliveries", Answer(body={"items": items, "next": None}))
    head, line = run("shipment", "devices", "31", "--reason", "wrong_version").out.splitlines()
    assert head.split() == ["DEVICE", "UID", "STATE", "REASON", "EXPECTED", "REPORTED", "UPDATED", "WHY"]
    assert line.split()[:6] == ["7", "u", "failed", "wrong_version", "2.0.0", "1.5.0"]
    assert line.endswith(words)
    assert door.seen[0].query == {"reason": "wrong_version", "limit": "50"}


def rollout(state: str, **counts: int) -> Answer:
    return Answer(body={"id": 31, "state": state, "wholeProduct": False, "counts": counts})


def test_watch_gives_up_after_its_time_with_124(run: Run, door: Stub, clock: Clock) -> None:
    door.on("GET", ROLLOUT, rollout("running", queued=1))
    result = run("shipment", "watch", "31", "--interval", "60", "--timeout", "0.5")
    assert clock.slept == [0.5]
    more = "What each device waits for: `airfreight shipment devices 31`.\n"
    assert (result.code, result.err) == (124, "The time is over, and the shipment goes on.\n" + more)
    assert len(door.seen) == 2  # once more at the end: it may have ended just now
    assert {seen.method for seen in door.seen} == {"GET"}


def test_watch_with_a_timeout_prints_the_last_state_as_json(run: Run, door: Stub, clock: Clock) -> None:
    door.on("GET", ROLLOUT, *(rollout("running", queued=left) for left in (3, 2, 1)))
    result = run("shipment", "watch", "31", "--interval", "0.5", "--timeout", "0.75", "--json")
    assert (result.code, result.document) == (124, rollout("running", queued=1).body)
    assert (clock.slept, len(door.seen)) == ([0.5, 0.25], 3)


def test_what_ends_in_time_is_judged_as_ever(run: Run, door: Stub) -> None:
    for last, code in ((rollout("finished", succeeded=1), 0), (rollout("finished", failed=1), 1)):
        door.on("GET", ROLLOUT, rollout("running", queued=1), last)
        assert run("shipment", "watch", "31", "--interval", "0.1", "--timeout", "30").code == code


def test_a_server_that_is_away_does_not_prolong_a_watch(run: Run, door: Stub, clock: Clock) -> None:
    door.on("GET", ROLLOUT, rollout("running", queued=1), Answer(503))
    assert run("shipment", "watch", "31", "--interval", "0.25", "--timeout", "1").code == 124
    assert (clock.slept, len(door.seen)) == ([0.25] * 4, 5)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("deviceIds has 1 that are not devices of this product: 7.", "--device has 1 that are not devices of this"),
        ("productId is needed: deviceIds do not name devices of one product.", "--product is needed: --device do not"),
        ("Set skipFwTypeCheck (--skip-type-check), or send a tagged file.", "Set --skip-type-check, or send a tagged"),
        ("Expected `int` <= 1000 - at `$.attemptsLimit`", "Expected `int` <= 1000 - at `--attempts`."),
        ("Expected `str` of length <= 200 - at `$.title`", "Expected `str` of length <= 200 - at `--title`."),
        ("Expected `int` - at `$.deviceIds[3]`", "Expected `int` - at `--device[3]`"),
        (
            "host must be a domain name such as myhost.com, with a port.",
            "host must be a domain name such as myhost.com",
        ),
        ("The title is of no interest here.", "The title is of no interest here."),
        ("firmwareInfo contradicts the uploaded file in: version.", "firmwareInfo contradicts the uploaded file in"),
    ],
)
def test_complaints_name_the_options(run: Run, door: Stub, message: str, shown: str) -> None:
    artifact = {"path": "/static/a.bin", "filename": "a.bin", "firmwareInfo": {}}
    door.on("GET", "/api/v1/artifacts/5", Answer(body=artifact))
    door.on("POST", f"{ONE}/create", said(message))
    result = run("shipment", "create", "--product", "3", "--title", "v2", "--artifact", "5")
    assert result.code == 1
    assert result.err.startswith(shown), result.err

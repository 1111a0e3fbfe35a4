"""Shipments: what `create` sends, and how `watch` ends."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Answer, Clock, Run, Seen, Stub

from airfreight.cli import watch

ONE = "/api/v1/organization/shipment"
ROLLOUT = "/api/v1/rollouts/31"
INFO = {"version": "2.3.1", "fwType": "lamp", "md5Hash": "AA", "fileSize": 4}
ARTIFACT = {"id": 5, "path": "/static/fw_1_2.bin", "filename": "lamp.bin", "size": 4, "firmwareInfo": INFO}
SHIPMENT = {"id": 31, "title": "v2", "status": "RUN", "deviceIds": [], "shipmentProgress": {"started": 2, "success": 0}}
LEAST = {
    "productId": 3,
    "title": "v2",
    "pathToFirmware": "/static/fw_1_2.bin",
    "firmwareOriginalFileName": "lamp.bin",
    "firmwareInfo": INFO,
    "deviceIds": [],
    "skipFwTypeCheck": False,
    "isCritical": False,
    "isSecure": False,
}
CREATE = ("shipment", "create", "--product", "3", "--title", "v2")


@pytest.fixture
def door(logged_in: Stub) -> Stub:
    logged_in.on("PUT", "/api/v1/artifacts", Answer(201, ARTIFACT))
    logged_in.on("GET", "/api/v1/artifacts/5", Answer(body=ARTIFACT))
    logged_in.on("POST", f"{ONE}/create", Answer(201, SHIPMENT))
    return logged_in


def created(door: Stub) -> object:
    return door.requests("POST", f"{ONE}/create")[0].document


def test_a_file_is_uploaded_and_shipped(run: Run, door: Stub, tmp_path: Path) -> None:
    file = tmp_path / "lamp.bin"
    file.write_bytes(b"lamp")
    result = run(*CREATE, str(file))
    assert result.code == 0
    assert result.err == "Watch it with `airfreight shipment watch 31`.\n"
    upload = door.requests("PUT", "/api/v1/artifacts")[0]
    assert (upload.body, upload.query) == (b"lamp", {"filename": "lamp.bin"})
    assert created(door) == LEAST


def test_every_option_has_its_field(run: Run, door: Stub) -> None:
    options = ("--artifact", "5", "--device", "7", "--device", "8", "--time", "night", "--attempts", "2")
    more = ("--compare", "NO_CONDITION", "--skip-type-check", "--critical", "--secure", "--host", "ota.example.com")
    assert run(*CREATE, *options, *more, "--json").document == SHIPMENT
    assert created(door) == {
        **LEAST,
        "deviceIds": [7, 8],
        "shipmentTime": "NIGHT",
        "attemptsLimit": 2,
        "compareField": "NO_CONDITION",
        "skipFwTypeCheck": True,
        "isCritical": True,
        "isSecure": True,
        "host": "ota.example.com",
    }


def test_an_artifact_is_found_by_its_path(run: Run, door: Stub) -> None:
    other = {**ARTIFACT, "id": 4, "path": "/static/other"}
    door.on(
        "GET",
        "/api/v1/artifacts",
        Answer(body={"items": [other], "next": 4}),
        Answer(body={"items": [{**ARTIFACT, "firmwareInfo": None}], "next": None}),
    )
    assert run(*CREATE, "--path", "/static/fw_1_2.bin").code == 0
    assert created(door) == {**LEAST, "firmwareInfo": {}}
    door.on("GET", "/api/v1/artifacts", Answer(body={"items": [other], "next": None}))
    unknown = run(*CREATE, "--path", "/static/none")
    assert unknown.code == 1
    assert unknown.err.startswith("No artifact has the path '/static/none'.")


def test_a_misspelled_product_costs_no_upload(run: Run, door: Stub, tmp_path: Path) -> None:
    file = tmp_path / "lamp.bin"
    file.write_bytes(b"lamp")
    door.on("GET", "/api/v1/products", Answer(body={"items": [], "next": None}))
    assert run("shipment", "create", str(file), "--product", "Lmap", "--title", "v2").code == 1
    assert door.requests("PUT", "/api/v1/artifacts") == []


def test_show_speaks_the_words_of_watch(run: Run, door: Stub) -> None:
    door.on("GET", ONE, Answer(body={**SHIPMENT, "status": "CANCEL"}))
    door.on("GET", "/api/v1/rollouts/31", Answer(body={"funnel": {"offered": 0}, "artifacts": [], "state": "stopped"}))
    lines = dict(line.split(maxsplit=1) for line in run("shipment", "show", "31").out.splitlines())
    assert (lines["state"].strip(), lines["progress"].strip()) == ("stopped", "started 2")
    assert door.requests("GET", ONE)[0].query == {"shipmentId": "31"}


def test_a_rollout_of_another_door_is_shown_stopped_and_deleted_too(run: Run, door: Stub) -> None:
    other = {"id": 31, "title": "1.2.7 for lamp", "state": "running", "origin": "device_ota", "productId": 4}
    door.on("GET", "/api/v1/rollouts/31", Answer(body=other))
    door.on("POST", "/api/v1/rollouts/31/stop", Answer(body=other | {"state": "stopped"}))
    door.on("DELETE", "/api/v1/rollouts/31", Answer(status=204))
    shown = run("shipment", "show", "31")
    assert shown.code == 0, shown.err
    assert "1.2.7 for lamp" in shown.out
    assert "running" in shown.out
    assert run("shipment", "stop", "31").out == "Shipment 31 is stopped.\n"
    assert run("shipment", "delete", "31").out == "Deleted shipment 31.\n"


def test_show_tells_what_was_ever_reached_and_what_is_only_claimed(run: Run, door: Stub) -> None:
    notes = ["version '2.3.1' is claimed.", "fwType 'lamp' is claimed."]
    more = {"funnel": {"offered": 5, "downloading": 4, "activating": 0}, "artifacts": [{"notes": notes}, {"notes": []}]}
    door.on("GET", ONE, Answer(body=SHIPMENT))
    door.on("GET", "/api/v1/rollouts/31", Answer(body={"state": "running", **more}))
    shown = run("shipment", "show", "31")
    assert "ever reached  offered 5, downloading 4\n" in shown.out
    assert f"notes         {' '.join(notes)}\n" in shown.out
    assert run("shipment", "show", "31", "--json").document == SHIPMENT | more


def test_stop_pause_and_resume_say_what_is_now(run: Run, door: Stub) -> None:
    door.on("POST", "/api/v1/rollouts/31/stop", Answer(body={"id": 31, "state": "stopped"}))
    door.on("POST", "/api/v1/rollouts/31/pause", Answer(body={"id": 31, "state": "paused"}))
    door.on("POST", "/api/v1/rollouts/31/resume", Answer(body={"id": 31, "state": "running"}))
    assert run("shipment", "stop", "31").out == "Shipment 31 is stopped.\n"
    assert run("shipment", "pause", "31").out == "Shipment 31 is paused.\n"
    assert run("shipment", "resume", "31", "--json").document == {"id": 31, "state": "running"}


def test_devices_are_filtered_by_state(run: Run, door: Stub) -> None:
    items = [
        {"deviceId": 7, "deviceUid": "u", "state": "failed", "reason": "rolled_back", "attempt": 3, "updatedAt": 1}
    ]
    door.on("GET", "/api/v1/rollouts/31/deliveries", Answer(body={"items": items, "next": None}))
    assert "rolled_back" in run("shipment", "devices", "31", "--state", "failed").out
    assert door.seen[0].query == {"state": "failed", "limit": "50"}


def rollout(state: str, *, whole: bool = False, **counts: int) -> Answer:
    document = {"id": 31, "title": "v2", "state": state, "wholeProduct": whole, "counts": counts}
    return Answer(body={**document, "total": sum(counts.values())})


@pytest.mark.parametrize(
    ("last", "options", "code"),
    [
        (rollout("finished", succeeded=3), (), 0),
        (rollout("finished"), (), 0),
        (rollout("finished", succeeded=2, failed=1), (), 1),
        (rollout("finished", succeeded=2, canceled=1), (), 1),
        (rollout("finished", succeeded=2, skipped=1), (), 1),
        (rollout("finished", succeeded=2, skipped=1), ("--allow-skipped",), 0),
        (rollout("finished", succeeded=2, exploded=1), ("--allow-skipped",), 1),
        (rollout("stopped", succeeded=3), (), 1),
        (rollout("stopped"), (), 1),
        (rollout("running", whole=True, succeeded=2, queued=0), (), 0),
        (rollout("running", whole=True, succeeded=2, failed=1), (), 1),
    ],
    ids=lambda value: str(value.body) if isinstance(value, Answer) else None,
)
def test_the_exit_code_of_watch_is_the_outcome(
    run: Run, door: Stub, last: Answer, options: tuple[str, ...], code: int
) -> None:
    door.on("GET", "/api/v1/rollouts/31", last)
    result = run("shipment", "watch", "31", *options, "--json")
    assert (result.code, result.document) == (code, last.body)
    assert ("Not every device succeeded." in result.err) == (code == 1)


def test_watch_prints_a_line_when_something_changes(run: Run, door: Stub) -> None:
    answers = [
        rollout("running", queued=2, offered=0),
        rollout("running", queued=2, offered=0),
        rollout("running", queued=1, downloading=1),
        rollout("finished", succeeded=2),
    ]
    door.on("GET", "/api/v1/rollouts/31", *answers)
    lines = [line.partition(" ")[2] for line in run("shipment", "watch", "31", "--interval", "0.1").out.splitlines()]
    assert lines == [
        "running: 0 of 2 ended (queued 2)",
        "running: 0 of 2 ended (queued 1, downloading 1)",
        "finished: 2 of 2 ended (succeeded 2)",
    ]


def test_a_whole_product_is_watched_until_its_devices_of_today_are_through(run: Run, door: Stub) -> None:
    answers = [
        rollout("running", whole=True),
        rollout("running", whole=True, succeeded=1, queued=1),
        rollout("running", whole=True, succeeded=2),
    ]
    door.on("GET", "/api/v1/rollouts/31", *answers)
    result = run("shipment", "watch", "31", "--interval", "0.1")
    assert result.code == 0
    assert result.err == "The shipment stays open for new devices until `airfreight shipment stop 31`.\n"
    assert len(door.seen) == 3


def test_named_devices_are_watched_until_the_server_calls_it_finished(run: Run, door: Stub) -> None:
    door.on("GET", "/api/v1/rollouts/31", rollout("running", succeeded=1), rollout("finished", succeeded=1))
    result = run("shipment", "watch", "31", "--interval", "0.1")
    assert (result.code, result.err) == (0, "")
    assert len(door.seen) == 2


def test_watch_outlives_a_server_that_is_away_for_a_moment(run: Run, door: Stub) -> None:
    door.on("GET", "/api/v1/rollouts/31", rollout("running", queued=1), Answer(503), rollout("finished", succeeded=1))
    assert run("shipment", "watch", "31", "--interval", "0.1").code == 0


def test_watch_does_not_wait_for_a_server_that_was_never_there(run: Run, door: Stub) -> None:
    door.on("GET", "/api/v1/rollouts/31", Answer(503))
    assert run("shipment", "watch", "31", "--interval", "0.1").code == 3
    door.on("GET", "/api/v1/rollouts/31", rollout("running", queued=1), Answer(404))
    assert run("shipment", "watch", "31", "--interval", "0.1").code == 1


@pytest.mark.parametrize("counts", [None, [], {"queued": "many"}, 7])
def test_counts_of_any_shape_are_survived(counts: object) -> None:
    assert watch.counts_of({"counts": counts}) == {}


def test_ctrl_c_ends_watch_with_130_and_leaves_the_shipment_alone(door: Stub) -> None:
    door.on("GET", "/api/v1/rollouts/31", rollout("running", queued=1))
    # A shell starts background jobs with Ctrl-C ignored, and a test may run in one: undo that first.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import airfreight.cli.main as m; m.main()"
    # It sleeps until the test is over: nothing else can be interrupted.
    command = [sys.executable, "-c", code, "shipment", "watch", "31", "--interval", "600"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "queued 1" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, complaint = process.communicate(timeout=120)
    assert (process.returncode, complaint) == (130, "")
    assert {seen.method for seen in door.seen} == {"GET"}


def test_watch_renews_its_token_on_the_way(run: Run, door: Stub, clock: Clock) -> None:
    fresh = {"access_token": "access-2", "refresh_token": "refresh-2", "expires_in": 60}
    door.on("POST", "/oauth2/token", Answer(body=fresh))

    def until_renewed(seen: Seen) -> Answer:
        renewed = seen.headers["authorization"] == "Bearer access-2"
        return rollout("finished", succeeded=1) if renewed else Answer(401)

    door.on("GET", "/api/v1/rollouts/31", rollout("running", queued=1), until_renewed)
    assert run("shipment", "watch", "31", "--interval", "0.1").code == 0
    assert clock.slept == [0.1], "only between the two looks"
    assert [seen.path for seen in door.seen] == [ROLLOUT, ROLLOUT, "/oauth2/token", ROLLOUT]

"""`rollout` and what the other nouns have for devices that speak DDI: what is sent, and what is said before."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.conftest import Answer, Run, Stub

ROLLOUTS = "/api/v1/rollouts"
DDI = "/api/v1/ddi"
FILE = {"id": 5, "filename": "a.swu", "version": "2.0.0", "notes": ["version '2.0.0' is claimed."]}
MADE = {
    "id": 31,
    "title": "v2",
    "state": "running",
    "origin": "native",
    "productId": 3,
    "wholeProduct": False,
    "total": 2,
    "urgency": "soft",
    "forcedAt": 1_800_000_000_000,
    "dayPart": "night",
    "windowOn": "install",
    "artifacts": [FILE, {**FILE, "filename": "b.swu", "version": "", "notes": []}],
    "counts": {"queued": 2, "succeeded": 0},
}
START = ("rollout", "start", "--title", "v2")
SETTINGS = {
    "tenant": "ACME",
    "hasGatewayToken": True,
    "productId": 3,
    "authorities": ["a1", "b2"],
    "polling": "00:05:00",
    "confirmation": False,
}


@pytest.fixture
def door(logged_in: Stub) -> Stub:
    logged_in.on("POST", ROLLOUTS, Answer(201, MADE))
    logged_in.on("GET", f"{ROLLOUTS}/31", Answer(body=MADE))
    return logged_in


def started(door: Stub) -> object:
    return door.requests("POST", ROLLOUTS)[-1].document


def test_the_least_is_a_title_an_artifact_and_a_product(run: Run, door: Stub) -> None:
    result = run(*START, "--product", "3", "--artifact", "5")
    assert result.code == 0
    assert result.err == "Watch it with `airfreight shipment watch 31`.\n"
    assert started(door) == {"title": "v2", "productId": 3, "artifacts": [{"id": 5}]}


def test_files_are_uploaded_in_order_between_the_ids(run: Run, door: Stub, tmp_path: Path) -> None:
    door.on("PUT", "/api/v1/artifacts", Answer(201, {"id": 8}), Answer(201, {"id": 9}))
    for name in ("a.swu", "b.swu"):
        (tmp_path / name).write_bytes(name.encode())
    files = ("--artifact", str(tmp_path / "a.swu"), "--artifact", "5", "--artifact", str(tmp_path / "b.swu"))
    assert run(*START, "--device", "7", *files, "--version", "2.0.0").code == 0
    uploads = door.requests("PUT", "/api/v1/artifacts")
    assert [(one.query["filename"], one.body) for one in uploads] == [("a.swu", b"a.swu"), ("b.swu", b"b.swu")]
    artifacts = [{"id": 8, "version": "2.0.0"}, {"id": 5}, {"id": 9}]
    assert started(door) == {"title": "v2", "deviceIds": [7], "artifacts": artifacts}


def test_every_option_has_its_field(run: Run, door: Stub) -> None:
    whom = ("--product", "3", "--device", "7", "--device", "lamp-1", "--device", "8", "--device", "1234567890")
    how = ("--soft", "--forced-at", "2027-01-15T08:00Z", "--finish-on", "report", "--window", "NIGHT", "--window-on")
    more = ("install", "--attempts", "2", "--condition", "version_differs", "--check-type", "--critical", "--queue")
    rest = ("--deadline", "600", "--description", "why", "--artifact", "5", "--json")
    assert run(*START, *whom, *how, *more, *rest).document == MADE
    assert started(door) == {
        "title": "v2",
        "description": "why",
        "productId": 3,
        "deviceIds": [7, 8],
        "uids": ["lamp-1", "1234567890"],
        "artifacts": [{"id": 5}],
        "urgency": "soft",
        "forcedAt": 1_800_000_000_000,
        "finishOn": "report",
        "condition": "version_differs",
        "checkType": True,
        "critical": True,
        "dayPart": "night",
        "windowOn": "install",
        "attemptsLimit": 2,
        "onConflict": "queue",
        "deadlineSeconds": 600,
    }


def test_a_group_and_only_the_download(run: Run, door: Stub) -> None:
    assert run(*START, "--group", "4", "--artifact", "5", "--download-only").code == 0
    assert started(door) == {"title": "v2", "groupId": 4, "artifacts": [{"id": 5}], "finishOn": "download"}


def test_a_time_without_a_zone_is_local_and_makes_it_soft(run: Run, door: Stub) -> None:
    assert run(*START, "--group", "4", "--artifact", "5", "--forced-at", "2027-01-15T08:00").code == 0
    body = started(door)
    assert isinstance(body, dict)
    local = datetime(2027, 1, 15, 8).astimezone()
    assert (body["urgency"], body["forcedAt"]) == ("soft", int(local.astimezone(UTC).timestamp() * 1000))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--artifact", "5"), "Nobody is named who gets it."),
        (("--group", "4"), "Missing option '--artifact'"),
        (("--group", "4", "--artifact", "no-such-file"), "'no-such-file' is neither the id of an artifact nor a file."),
        (("--group", "4", "--artifact", "5", "--forced-at", "soon"), "'soon' is not a time."),
        (("--group", "4", "--artifact", "5", "--forced-at", "9999-12-31T23:59:59-23:59x"), "is not a time."),
        (("--group", "4", "--artifact", "5", "--download-only", "--finish-on", "report"), "--download-only ends with"),
        (("--group", "4", "--artifact", "5", "--window-on", "download"), "Invalid value for '--window-on'"),
        (("--group", "4", "--artifact", "5", "--attempts", "0"), "Invalid value for '--attempts'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_sent(
    run: Run, door: Stub, arguments: tuple[str, ...], words: str
) -> None:
    refused = run(*START, *arguments)
    assert refused.code == 2
    assert words in refused.err
    assert door.seen == []


def test_a_misspelled_product_costs_no_upload(run: Run, door: Stub, tmp_path: Path) -> None:
    (tmp_path / "a.swu").write_bytes(b"x")
    door.on("GET", "/api/v1/products", Answer(body={"items": [], "next": None}))
    assert run(*START, "--product", "Lmap", "--artifact", str(tmp_path / "a.swu")).code == 1
    assert door.requests("PUT", "/api/v1/artifacts") == []


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("uids has 1 that do not exist, at: 2.", "--device has 1 that do not exist, at: 2."),
        ("Say who gets it: deviceIds, uids or groupId; or productId alone.", "Say who gets it: --device, --device or"),
        ("Expected `int` <= 1000 - at `$.attemptsLimit`", "Expected `int` <= 1000 - at `--attempts`."),
        (
            "Send a tagged file, or leave checkType (--check-type) out.",
            "Send a tagged file, or leave --check-type out.",
        ),
        ("finishOn version needs a version to go by.", "--finish-on version needs a version to go by."),
    ],
)
def test_complaints_name_the_options(run: Run, door: Stub, message: str, shown: str) -> None:
    door.on("POST", ROLLOUTS, Answer(400, {"error": {"message": message}}))
    refused = run(*START, "--group", "4", "--artifact", "5")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith(shown), refused.err


def test_show_tells_how_and_how_far(run: Run, door: Stub) -> None:
    shown = dict(line.split("  ", 1) for line in run("rollout", "show", "31").out.splitlines())
    lines = {name: value.strip() for name, value in shown.items()}
    local = datetime.fromtimestamp(1_800_000_000, UTC).astimezone()
    assert lines["urgency"] == f"soft until {local:%Y-%m-%d %H:%M:%S}"
    assert lines["window"] == "night, for the installation"
    assert lines["artifacts"] == "a.swu 2.0.0, b.swu"
    assert (lines["devices"], lines["progress"]) == ("2", "queued 2")
    assert lines["notes"] == "version '2.0.0' is claimed."
    assert run("rollout", "show", "31", "--json").document == MADE


# how devices come in


def test_what_is_set_is_shown(run: Run, logged_in: Stub) -> None:
    logged_in.on("GET", DDI, Answer(body=SETTINGS))
    shown = run("ddi", "show", "--org", "4").out
    assert "ACME" in shown
    assert "a1, b2" in shown
    assert logged_in.seen[0].query == {"orgId": "4"}
    assert run("ddi", "show", "--json").document == SETTINGS


def test_set_sends_what_is_to_change_and_needs_something(run: Run, logged_in: Stub) -> None:
    logged_in.on("PATCH", DDI, Answer(body=SETTINGS))
    given = ("--tenant", "acme", "--product", "3", "--authority", "a1", "--authority", "b2", "--polling", "00:05:00")
    assert run("ddi", "set", *given, "--confirmation", "--org", "4").code == 0
    assert logged_in.seen[0].document == {
        "tenant": "acme",
        "productId": 3,
        "authorities": ["a1", "b2"],
        "polling": "00:05:00",
        "confirmation": True,
    }
    assert logged_in.seen[0].query == {"orgId": "4"}
    assert run("ddi", "set", "--no-confirmation", "--authority", "", "--polling", "").code == 0
    assert logged_in.seen[1].document == {"authorities": [], "polling": "", "confirmation": False}
    nothing = run("ddi", "set", "--org", "4")
    assert (nothing.code, len(logged_in.seen)) == (2, 2)


def test_a_gateway_token_is_shown_with_a_warning_and_ended(run: Run, logged_in: Stub) -> None:
    path = f"{DDI}/gateway-token"
    logged_in.on("POST", path, Answer(201, {"gatewayToken": "secret-1"}))
    logged_in.on("DELETE", path, Answer(204))
    made = run("ddi", "gateway-token", "--product", "3", "--org", "4")
    assert "secret-1" in made.out
    assert "not shown again" in made.err
    assert (logged_in.seen[0].document, logged_in.seen[0].query) == ({"productId": 3}, {"orgId": "4"})
    assert run("ddi", "gateway-token", "--json").document == {"gatewayToken": "secret-1"}
    assert logged_in.seen[1].document == {}
    assert run("ddi", "gateway-token", "--end").out == "No gateway token lets anybody in now.\n"
    assert run("ddi", "gateway-token", "--end", "--json").document == {"ended": True}
    assert run("ddi", "gateway-token", "--end", "--product", "3").code == 2
    assert len(logged_in.requests("DELETE", path)) == 2


def test_one_device_is_asked_and_confirmed_for(run: Run, logged_in: Stub) -> None:
    found = {"items": [{"id": 7, "uid": "lamp-7"}], "next": None}
    logged_in.on("GET", "/api/v1/devices", Answer(body=found))
    logged_in.on("POST", "/api/v1/devices/7/ask-attributes", Answer(204))
    logged_in.on("PUT", "/api/v1/devices/7/auto-confirm", Answer(204))
    assert run("device", "ask-attributes", "lamp-7").code == 0
    assert run("device", "ask-attributes", "7", "--json").document == {"id": 7, "asked": True}
    assert len(logged_in.requests("POST", "/api/v1/devices/7/ask-attributes")) == 2
    assert "are confirmed" in run("device", "auto-confirm", "lamp-7", "--remark", "in the lab").out
    assert run("device", "auto-confirm", "7", "--off", "--json").document == {"id": 7, "active": False}
    sent = [one.document for one in logged_in.requests("PUT", "/api/v1/devices/7/auto-confirm")]
    assert sent == [{"active": True, "remark": "in the lab"}, {"active": False}]
    assert run("device", "auto-confirm", "7", "--off", "--remark", "x").code == 2


def test_a_product_says_what_its_files_are_for(run: Run, logged_in: Stub) -> None:
    logged_in.on("POST", "/api/v1/products", Answer(201, {"id": 3}))
    logged_in.on("PATCH", "/api/v1/products/3", Answer(body={"id": 3, "part": "os", "chunks": "one"}))
    assert run("product", "create", "P", "--part", "os", "--chunks", "one").code == 0
    assert logged_in.seen[0].document == {"name": "P", "part": "os", "chunks": "one"}
    assert "one" in run("product", "edit", "3", "--chunks", "one").out
    assert logged_in.seen[1].document == {"chunks": "one"}

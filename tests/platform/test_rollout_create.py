"""`POST /api/v1/rollouts`: whom, with what and how; what is refused, by name, and makes nothing."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from tests.make import DAY_MS, Bench, Board, Stored
from tests.platform.conftest import World

from airfreight.apis.common.desk import clock
from airfreight.domain.decide import Do
from airfreight.services import rollout_choice
from airfreight.store import tables
from airfreight.store.database import Database

API = "/api/v1/rollouts"
DEFAULTS = {
    "description": "",
    "urgency": "forced",
    "forcedAt": None,
    "finishOn": "version",
    "condition": "none",
    "checkType": False,
    "critical": False,
    "dayPart": "any",
    "windowOn": "update",
    "attemptsLimit": 3,
    "resetPeriodMs": DAY_MS,
    "onConflict": "supersede",
}
GIVEN = {
    "description": "why",
    "urgency": "soft",
    "forcedAt": 4_102_444_800_000,
    "finishOn": "report",
    "condition": "version_differs",
    "checkType": True,
    "critical": True,
    "dayPart": "night",
    "windowOn": "install",
    "attemptsLimit": 7,
    "resetPeriodMs": 1_234_567,
    "onConflict": "queue",
    "deadlineSeconds": 4321,
}


@pytest.fixture
def bench(world: World, data_dir: Path) -> Bench:
    made = Bench(world.desk.database, data_dir)
    made.organization_id, made.now = world.home.organization_id, clock()
    return made


def order(*artifacts: Stored, **fields: Any) -> dict[str, Any]:
    """A body: these files, each under a name of its own."""
    return {"title": "v2", "artifacts": [{"id": one.id, "filename": f"{one.id}.bin"} for one in artifacts], **fields}


def refused(world: World, body: object, who: str = "admin") -> tuple[int, str, str]:
    """Status, code and message; nothing was made."""
    before = world.get(API)
    answer = world.call("POST", API, who, json=body)
    assert world.get(API) == before
    assert set(answer.json()) == {"error"}, answer.text
    return answer.status_code, answer.headers["x-error-code"], answer.json()["error"]["message"]


def members(bench: Bench, rollout: int) -> list[int]:
    table = tables.deliveries
    rows = bench.rows(select(table.c.device_id).where(table.c.rollout_id == rollout).order_by(table.c.device_id))
    return [row.device_id for row in rows]


def lamps(bench: Bench, count: int) -> tuple[int, list[Board]]:
    product = bench.product()
    return product, bench.devices(product, count)


# for whom


def test_the_least_that_is_said_goes_to_the_whole_product_and_to_those_that_come_later(
    world: World, bench: Bench
) -> None:
    product, boards = lamps(bench, 2)
    artifact = bench.artifact("2.0.0")
    made = world.post(API, {"title": "v2", "productId": product, "artifacts": [{"id": artifact.id}]})
    assert {name: made[name] for name in DEFAULTS} == DEFAULTS
    assert made["deadlineSeconds"] == world.desk.settings.deadline_seconds
    assert (made["state"], made["origin"], made["total"], made["wholeProduct"]) == ("running", "native", 2, True)
    assert [(one["id"], one["filename"], one["version"]) for one in made["artifacts"]] == [
        (artifact.id, "image.bin", "2.0.0")
    ]
    assert world.get(f"{API}/{made['id']}") == made
    assert bench.poll(boards[0]).decision.do is Do.DOWNLOAD
    later = bench.devices(product)
    assert members(bench, made["id"]) == [board.id for board in [*boards, *later]]


def test_devices_are_named_by_id_and_by_uid_and_no_others_get_it(world: World, bench: Bench) -> None:
    product, boards = lamps(bench, 4)
    body = order(bench.artifact(), deviceIds=[boards[2].id, boards[0].id, boards[2].id], uids=[boards[3].uid])
    made = world.post(API, body)
    assert (made["productId"], made["total"], made["wholeProduct"]) == (product, 3, False)
    assert members(bench, made["id"]) == [boards[0].id, boards[2].id, boards[3].id]
    assert bench.poll(boards[1]).decision.do is Do.NOTHING


def test_a_group_stands_for_the_devices_that_are_in_it_now(world: World, bench: Bench) -> None:
    product, boards = lamps(bench, 3)
    for board in boards[:2]:
        bench.tell(board, version="1.0.0")
    group = world.post("/api/v1/groups", {"name": "old", "filter": 'version < "2.0.0"'})["id"]
    made = world.post(API, order(bench.artifact(), groupId=group), "staff")
    assert (made["productId"], made["wholeProduct"]) == (product, False)
    assert members(bench, made["id"]) == [board.id for board in boards[:2]]
    bench.tell(boards[2], version="1.0.0")
    bench.worker().tick()
    assert len(members(bench, made["id"])) == 2


def test_a_fixed_group_does_as_well(world: World, bench: Bench) -> None:
    _, boards = lamps(bench, 2)
    group = world.post("/api/v1/groups", {"name": "bench"})["id"]
    with bench.call() as call:
        query = tables.devices.update().where(tables.devices.c.id == boards[1].id)
        call.connection.execute(query.values(group_id=group))
    assert members(bench, world.post(API, order(bench.artifact(), groupId=group))["id"]) == [boards[1].id]


def test_whom_it_is_for_must_be_said_once_and_exist(
    world: World, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    product, boards = lamps(bench, 2)
    other_product, [toaster] = lamps(bench, 1)
    artifact = bench.artifact()
    everybody = world.post("/api/v1/groups", {"name": "all", "filter": "has(uid)"})["id"]
    nobody = world.post("/api/v1/groups", {"name": "none", "filter": 'uid = "nobody"'})["id"]
    ids = [board.id for board in boards]
    for fields, expected in (
        ({}, (400, "product_needed")),
        ({"deviceIds": [*ids, toaster.id]}, (400, "product_needed")),
        ({"deviceIds": [*ids, toaster.id], "productId": product}, (400, "unknown_devices")),
        ({"deviceIds": [2**31 - 1], "productId": product}, (400, "unknown_devices")),
        ({"uids": [boards[0].uid, "no such one"]}, (400, "unknown_devices")),
        ({"uids": [boards[0].uid], "productId": other_product}, (400, "unknown_devices")),
        ({"deviceIds": ids, "groupId": everybody}, (400, "one_of")),
        ({"uids": [boards[0].uid], "groupId": everybody}, (400, "one_of")),
        ({"groupId": everybody}, (400, "mixed_group")),
        ({"groupId": everybody, "productId": product}, (400, "mixed_group")),
        ({"groupId": nobody}, (400, "empty_group")),
        ({"groupId": 2**31 - 1}, (404, "not_found")),
        ({"productId": 2**31 - 1}, (404, "not_found")),
        ({"deviceIds": ids, "productId": 2**31 - 1}, (404, "not_found")),
    ):
        assert refused(world, order(artifact, **fields))[:2] == expected, fields
    assert "at: 2." in refused(world, order(artifact, uids=[boards[0].uid, "no such one"]))[2]
    monkeypatch.setattr(rollout_choice, "MOST_DEVICES", 2)
    assert refused(world, order(artifact, deviceIds=ids, uids=[toaster.uid]))[:2] == (400, "too_many")
    assert refused(world, order(artifact, groupId=everybody))[:2] == (400, "too_many")
    assert world.post(API, order(artifact, deviceIds=ids))["total"] == 2


def test_a_hundred_thousand_devices_in_one_call_and_no_more(world: World, bench: Bench) -> None:
    product, [board] = lamps(bench, 1)
    artifact = bench.artifact()
    ids = [board.id] * 100_000
    assert world.post(API, order(artifact, productId=product, deviceIds=ids))["total"] == 1
    status, code, message = refused(world, order(artifact, productId=product, deviceIds=[*ids, board.id]))
    assert (status, code) == (400, "invalid")
    assert "deviceIds" in message


# with what


def test_several_files_keep_their_order_and_the_first_one_judges(world: World, bench: Bench) -> None:
    _, [board] = lamps(bench, 1)
    first, second, third = (bench.artifact(version) for version in ("2.0.0", "7.7.7", ""))
    made = world.post(API, order(third, first, second, deviceIds=[board.id], finishOn="report"))
    assert [one["id"] for one in made["artifacts"]] == [third.id, first.id, second.id]
    bench.stop(made["id"])
    made = world.post(API, order(first, second, third, deviceIds=[board.id]))
    assert [one["filename"] for one in made["artifacts"]] == [f"{one.id}.bin" for one in (first, second, third)]
    told = bench.poll(board)
    assert [one.id for one in told.artifacts] == [first.id, second.id, third.id]
    bench.update(board, told.attempt_id, "2.0.0")
    assert bench.stand(made["id"], board) == ("succeeded", "")


def test_what_is_said_of_a_file_counts_where_the_file_is_silent_and_is_noted(world: World, bench: Bench) -> None:
    product = bench.product()
    silent, other = bench.artifact(content=b"\x7fsilent"), bench.artifact("2.0.0", fw_type="lamp")
    claims = {"version": "3.1", "buildDate": "Jan  9 2024 12:25:30", "fwType": "lamp", "boardType": "ESP32"}
    body = {"title": "t", "productId": product, "artifacts": [{"id": silent.id, **claims, "type": "NCP"}]}
    [shown] = world.post(API, body)["artifacts"]
    assert (shown["version"], len(shown["notes"])) == ("3.1", 5)
    for field, value in (("version", "2.0.1"), ("fwType", "toaster")):
        body["artifacts"] = [{"id": other.id, field: value}]
        status, code, message = refused(world, body)
        assert (status, code) == (400, "contradiction")
        assert message == f"artifacts[0] contradicts the uploaded file in: {field}."
    body["artifacts"] = [{"id": other.id, "version": "2.0.0"}]
    assert world.post(API, body)["artifacts"][0]["notes"] == []


def test_files_must_exist_and_differ_in_id_and_name(world: World, bench: Bench) -> None:
    product = bench.product()
    one, two = bench.artifact("1.0.0"), bench.artifact("2.0.0")
    whole = {"title": "t", "productId": product}

    def refusal(*artifacts: dict[str, Any]) -> tuple[str, str]:
        status, code, message = refused(world, {**whole, "artifacts": list(artifacts)})
        assert status == 400
        return code, message

    code, message = refusal({"id": one.id}, {"id": 2**31 - 1})
    assert (code, "at: 2." in message) == ("unknown_artifacts", True)
    assert refusal({"id": one.id}, {"id": one.id, "filename": "b"})[0] == "repeated"
    assert refusal({"id": one.id}, {"id": two.id})[0] == "repeated"
    assert refusal({"id": one.id, "filename": "x"}, {"id": two.id, "filename": "a/x"})[0] == "repeated"
    for name in ("..", "a/", " "):
        assert refusal({"id": one.id, "filename": name}) == (
            "bad_filename",
            "artifacts[0].filename must be 1 to 255 printable characters.",
        )
    many = [bench.artifact(f"9.{number}.0") for number in range(51)]
    assert refusal(*order(*many)["artifacts"])[0] == "invalid"
    assert len(world.post(API, order(*many[:50], productId=product))["artifacts"]) == 50


def test_the_version_can_only_judge_where_there_is_one(world: World, bench: Bench) -> None:
    product, silent = bench.product(), bench.artifact(content=b"\x7fsilent")
    body = order(silent, productId=product)
    assert refused(world, {**body, "finishOn": "version"})[:2] == (400, "no_version")
    assert world.post(API, body)["finishOn"] == "report"
    body["artifacts"][0]["buildDate"] = "Jan  9 2024 12:25:30"
    assert world.post(API, {**body, "finishOn": "version"})["finishOn"] == "version"
    for word in ("served", "download"):
        assert world.post(API, {**body, "finishOn": word})["finishOn"] == word


def test_what_ends_with_the_last_byte_sent_has_one_file(world: World, bench: Bench) -> None:
    product = bench.product()
    several = order(bench.artifact(content=b"\x7fone"), bench.artifact(content=b"\x7ftwo"), productId=product)
    assert refused(world, {**several, "finishOn": "served"})[:2] == (400, "several_files")
    assert world.post(API, {**several, "finishOn": "download"})["finishOn"] == "download"


# how


def test_everything_that_is_said_is_shown_and_kept_by_a_clone(world: World, bench: Bench) -> None:
    _, [board] = lamps(bench, 1)
    made = world.post(API, order(bench.artifact("2.0.0", fw_type="lamp"), deviceIds=[board.id], **GIVEN))
    assert {name: made[name] for name in GIVEN} == GIVEN
    world.end(made["id"])
    again = world.post(f"{API}/{made['id']}/clone", {"devices": "all"})
    assert {name: again[name] for name in GIVEN} == GIVEN
    assert (again["title"], again["origin"]) == ("v2 (again)", "native")


def test_it_is_steered_and_explained_as_any_other(world: World, bench: Bench) -> None:
    _, [board] = lamps(bench, 1)
    rollout = world.post(API, order(bench.artifact(), deviceIds=[board.id]))["id"]
    path = f"{API}/{rollout}"
    assert world.post(f"{path}/pause", None)["state"] == "paused"
    why = world.get(f"/api/v1/devices/{board.id}/explain")
    assert (why["do"], why["checks"][-1]["name"]) == ("nothing", "rollout running")
    assert world.post(f"{path}/resume", None)["state"] == "running"
    assert bench.poll(board).decision.do is Do.DOWNLOAD
    assert world.post(f"{path}/stop", None)["state"] == "stopped"
    assert bench.poll(board).decision.do is Do.CANCEL
    assert world.call("GET", f"{path}/export").text.count("\r\n") == 2
    assert bench.drift() == {}


def test_a_rollout_that_only_brings_the_files_ends_with_the_download(world: World, bench: Bench) -> None:
    _, [board] = lamps(bench, 1)
    rollout = world.post(API, order(bench.artifact("2.0.0"), deviceIds=[board.id], finishOn="download"))["id"]
    bench.report(board, bench.poll(board).attempt_id, 1, "downloaded")
    assert bench.stand(rollout, board) == ("succeeded", "")
    assert world.get(f"{API}/{rollout}")["state"] == "finished"


def test_a_newer_one_takes_the_place_of_an_older_one_or_waits_behind_it(world: World, bench: Bench) -> None:
    _, [patient, hasty] = lamps(bench, 2)
    artifact = bench.artifact()
    first = world.post(API, order(artifact, deviceIds=[patient.id, hasty.id]))["id"]
    behind = world.post(API, order(artifact, deviceIds=[patient.id], onConflict="queue"))["id"]
    newest = world.post(API, order(artifact, deviceIds=[hasty.id]))["id"]
    bench.later(seconds=60)
    bench.worker().tick()
    assert [bench.poll(board).row.rollout_id for board in (patient, hasty)] == [first, newest]  # type: ignore[union-attr]
    assert bench.stand(behind, patient) == ("queued", "")
    assert bench.stand(first, hasty) == ("skipped", "superseded")


BAD: list[tuple[str, list[Any]]] = [
    ("title", ["", " ", "x" * 201, "a\nb", 1, None]),
    ("description", ["x" * 1001, "a\u202eb", 1, None]),
    ("artifacts", [[], {}, [1], [{}], [{"id": 0}], [{"id": "1"}], [{"id": 2**31}], [{"id": 1, "sha1": "x"}], None]),
    ("productId", [0, -1, 2**31, "1", 1.5, True]),
    ("orgId", [0, 2**31, "1"]),
    ("groupId", [0, 2**31, "1"]),
    ("deviceIds", [[], [0], ["1"], [1.5], 1, [2**31], [None]]),
    ("uids", [[], [""], [1], ["x" * 257], ["a\nb"], "x"]),
    ("urgency", ["timeforced", "FORCED", "", 1, None]),
    ("forcedAt", [-1, "1", 1.5, 253_402_300_800_000, True]),
    ("finishOn", ["downloaded", "", 1]),
    ("condition", ["newer", "NONE", 1, None]),
    ("checkType", [0, "true", None]),
    ("critical", [1, "yes", None]),
    ("dayPart", ["noon", "NIGHT", None]),
    ("windowOn", ["download", "", None]),
    ("attemptsLimit", [0, 1001, "3", 1.5, None]),
    ("resetPeriodMs", [999, 10 * 366 * 86_400_000 + 1, "1000", None]),
    ("onConflict", ["replace", "", None]),
    ("deadlineSeconds", [0, 366 * 86_400 + 1, "60", 1.5]),
    ("origin", ["shipments"]),
]


def test_bad_input_is_refused_by_name_and_makes_nothing(world: World, bench: Bench) -> None:
    product, artifact = bench.product(), bench.artifact()
    good = order(artifact, productId=product)
    before = world.get(API)
    for field, values in BAD:
        for value in values:
            answer = world.call("POST", API, json={**good, field: value})
            assert (answer.status_code, answer.headers["x-error-code"]) == (400, "invalid"), (field, value, answer.text)
            assert field in answer.json()["error"]["message"], (field, answer.text)
    for name in ("id", "filename", "version", "buildDate", "fwType", "boardType", "blynkVersion", "type"):
        for value in ("a\nb", "", "x" * 256, 1.5):
            piece = {"id": artifact.id, name: value}
            answer = world.call("POST", API, json={**good, "artifacts": [piece]})
            assert (answer.status_code, answer.headers["x-error-code"]) == (400, "invalid"), (name, value, answer.text)
    soon = {**good, "forcedAt": 1}
    assert refused(world, soon)[:2] == (400, "not_soft")
    assert "forcedAt" in refused(world, soon)[2]
    assert world.get(API) == before
    assert world.post(API, {**good, "urgency": "soft", "forcedAt": 1})["forcedAt"] == 1


# who may


def test_it_needs_the_permission_to_start_and_for_a_group_to_see_devices(world: World, bench: Bench) -> None:
    product, _ = lamps(bench, 1)
    artifact = bench.artifact()
    group = world.post("/api/v1/groups", {"name": "all", "filter": "has(uid)"})["id"]
    assert refused(world, order(artifact, productId=product), "user")[:2] == (403, "forbidden")
    client = world.post("/api/v1/clients", {"name": "CI", "scopes": ["OTA_START"]})
    grant = world.http.post(
        "/oauth2/token",
        auth=(client["clientId"], client["secret"]),
        params={"grant_type": "client_credentials"},
    )
    world.home.tokens["starter"] = grant.json()["access_token"]
    assert world.post(API, order(artifact, productId=product), "starter")["state"] == "running"
    assert refused(world, order(artifact, groupId=group), "starter")[:2] == (403, "forbidden")


def test_nothing_of_another_organization_can_be_named(world: World, bench: Bench) -> None:
    product, [board] = lamps(bench, 1)
    artifact = bench.artifact()
    group = world.post("/api/v1/groups", {"name": "all", "filter": "has(uid)"})["id"]
    other = world.other
    theirs = world.post("/api/v1/products", {"name": "p"}, side=other)["id"]
    device = world.post("/api/v1/devices", {"productId": theirs}, side=other)["id"]

    def ask(**fields: Any) -> httpx.Response:
        return world.call("POST", API, "admin", other, json=order(artifact, **fields))

    def answers(*both: httpx.Response) -> set[tuple[int, bytes]]:
        return {(one.status_code, one.content) for one in both}

    assert len(answers(ask(productId=product), ask(productId=2**31 - 1))) == 1
    assert len(answers(ask(groupId=group), ask(groupId=2**31 - 1))) == 1
    assert ask(groupId=group).status_code == 404
    assert ask(deviceIds=[board.id], productId=theirs).headers["x-error-code"] == "unknown_artifacts"
    assert ask(uids=[board.uid]).headers["x-error-code"] == "unknown_devices"
    assert ask(deviceIds=[device]).headers["x-error-code"] == "unknown_artifacts"
    assert ask(deviceIds=[device], orgId=world.home.organization_id).status_code == 404
    assert world.get(API, side=other)["items"] == []


def test_an_organization_above_makes_one_below_with_its_own_files_and_steers_it_there(
    world: World, bench: Bench
) -> None:
    below = world.make("organization")
    product = world.post("/api/v1/products", {"name": "p", "orgId": below})["id"]
    device = world.post("/api/v1/devices", {"productId": product})
    group = world.post("/api/v1/groups", {"name": "all", "filter": "has(uid)", "orgId": below})["id"]
    artifact = bench.artifact("2.0.0")
    assert refused(world, order(artifact, productId=product))[:2] == (404, "not_found")
    assert refused(world, order(artifact, groupId=group))[:2] == (404, "not_found")
    made = world.post(API, order(artifact, groupId=group, orgId=below))
    path = f"{API}/{made['id']}"
    assert world.call("GET", path).status_code == 404
    assert world.get(f"{path}?orgId={below}") == made
    assert [one["id"] for one in world.get(f"{API}?orgId={below}")["items"]] == [made["id"]]
    [delivery] = world.get(f"{path}/deliveries?orgId={below}")["items"]
    assert delivery["deviceId"] == device["id"]
    history = world.call("GET", f"{path}/deliveries/{delivery['id']}/history?orgId={below}")
    assert (history.status_code, history.json()) == (200, [])
    assert device["uid"] in world.call("GET", f"{path}/export?orgId={below}").text
    for verb, state in (("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        assert world.post(f"{path}/{verb}?orgId={below}", None)["state"] == state
    again = world.post(f"{path}/clone?orgId={below}", {"devices": "all"})
    assert again["artifacts"] == made["artifacts"]
    assert world.call("DELETE", f"{path}?orgId={below}").status_code == 204
    stranger = world.call("GET", f"{API}/{again['id']}?orgId={below}", "admin", world.other)
    assert stranger.status_code == 404


def test_the_databases_agree_on_what_was_made(world: World, bench: Bench, database: Database) -> None:
    """Every column that the policy has, as stored."""
    _, [board] = lamps(bench, 1)
    made = world.post(API, order(bench.artifact("2.0.0", fw_type="lamp"), deviceIds=[board.id], **GIVEN))
    with database.read() as connection:
        row = connection.execute(select(tables.rollouts).where(tables.rollouts.c.id == made["id"])).one()
    assert (row.urgency, row.forced_at, bool(row.early_download)) == ("soft", GIVEN["forcedAt"], True)
    assert (row.day_part, row.deadline_seconds, row.finish_on) == ("night", 4321, "report")
    assert row.created_by_user_id == world.home.users["admin"]

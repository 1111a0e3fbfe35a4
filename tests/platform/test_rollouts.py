"""Rollouts on the native API: the funnel, notes, deliveries with what was expected and reported, exports, clones."""

import csv
import io
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from structlog.testing import capture_logs
from tests.apis.serving import serving
from tests.make import Bench, Board, copy_of_sqlite
from tests.platform.conftest import World

from airfreight.apis.common.desk import clock
from airfreight.apis.platform.rollout_export import cell
from airfreight.apis.platform.rollouts import funnel
from airfreight.domain.access import Role
from airfreight.domain.rollout import Count
from airfreight.services import access
from airfreight.services.access import Candidate
from airfreight.services.artifacts import Confirmed
from airfreight.services.rollouts import Cargo, Policy, create
from airfreight.store import access as people
from airfreight.store import tables
from airfreight.store.database import Database

API = "/api/v1/rollouts"


@pytest.fixture
def bench(world: World, data_dir: Path) -> Bench:
    """Devices and rollouts in the organization that the world's tokens are for."""
    made = Bench(world.desk.database, data_dir)
    made.organization_id, made.now = world.home.organization_id, clock()
    return made


def mismatch(bench: Bench) -> tuple[int, Board, Board]:
    """A rollout with one device that came back with a third version, and one that was not heard of."""
    product = bench.product()
    wrong, silent = bench.devices(product, 2)
    rollout = bench.ship(bench.artifact("2.0.0", "Jan  9 2024 12:25:30"), to=[wrong, silent])
    bench.tell(wrong, version="1.0.0", build="Jan  1 2024 00:00:00")
    bench.report(wrong, bench.poll(wrong).attempt_id, 1, "activating")
    bench.tell(wrong, version="1.5.0", build="Jan  2 2024 00:00:00")
    return rollout, wrong, silent


def test_a_delivery_shows_what_was_expected_and_what_the_device_reports(world: World, bench: Bench) -> None:
    rollout, wrong, silent = mismatch(bench)
    first, second = world.get(f"{API}/{rollout}/deliveries", "user")["items"]
    shown = {key: first[key] for key in first if key.startswith(("expected", "from", "reported"))}
    assert shown == {
        "expectedVersion": "2.0.0",
        "expectedBuild": "Jan  9 2024 12:25:30",
        "fromVersion": "1.0.0",
        "fromBuild": "Jan  1 2024 00:00:00",
        "reportedVersion": "1.5.0",
        "reportedBuild": "Jan  2 2024 00:00:00",
        "reportedAt": bench.now,
    }
    assert (first["deviceId"], first["state"], first["reason"]) == (wrong.id, "failed", "wrong_version")
    assert (first["tries"], first["attemptsLimit"], first["offeredAt"]) == (1, 3, bench.now)
    assert "expected version '2.0.0', device version '1.5.0'" in first["words"]
    assert (second["deviceId"], second["offeredAt"], second["reportedAt"]) == (silent.id, None, None)
    assert second["words"] == "Waits for the device: it was never heard of."


def test_deliveries_are_filtered_by_reason(world: World, bench: Bench) -> None:
    rollout, wrong, _ = mismatch(bench)

    def ids(query: str) -> list[int]:
        return [item["deviceId"] for item in world.get(f"{API}/{rollout}/deliveries?{query}")["items"]]

    assert ids("reason=wrong_version") == [wrong.id]
    assert ids("reason=wrong_version&state=queued") == []
    assert ids("reason=no_space") == []
    for query in ("reason=nonsense", "reason=", "state=nonsense"):
        answer = world.call("GET", f"{API}/{rollout}/deliveries?{query}")
        assert (answer.status_code, answer.headers["x-error-code"]) == (400, "invalid")
        assert "nonsense" not in answer.text


def test_the_funnel_tells_what_was_ever_reached_and_counts_where_they_stand(world: World, bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 4)
    rollout = bench.ship(bench.artifact("2.0.0"), to=boards, attempts_limit=1)
    done, failed, again, _ = boards
    for board in boards[:3]:
        bench.tell(board, version="1.0.0")
    bench.update(done, bench.poll(done).attempt_id)
    bench.report(failed, bench.poll(failed).attempt_id, 1, "installing")
    bench.report(failed, bench.look(failed).attempt_id, 2, "failed", "install_failed")
    bench.report(again, bench.poll(again).attempt_id, 1, "downloading")
    shown = world.get(f"{API}/{rollout}")
    assert shown["funnel"] == {
        "offered": 3, "downloading": 3, "downloaded": 2, "installing": 2, "installed": 1, "activating": 1, "succeeded": 1,
    }  # fmt: skip
    assert {state: n for state, n in shown["counts"].items() if n} == {
        "queued": 1, "downloading": 1, "succeeded": 1, "failed": 1,
    }  # fmt: skip


def test_a_device_that_succeeded_has_passed_every_step_whatever_was_seen_of_it() -> None:
    counts = [
        Count("succeeded", 1, "", 2, 0),
        Count("queued", 4, "no_report", 3, 0),
        Count("queued", 0, "", 9, 0),
        Count("failed", 2, "no_space", 1, 0),
        Count("failed", 6, "rolled_back", 5, 0),
    ]
    made = funnel(counts)
    steps = [made.offered, made.downloading, made.downloaded, made.installing, made.installed, made.activating]
    assert [*steps, made.succeeded] == [11, 11, 10, 10, 7, 7, 2]


def test_what_only_the_maker_says_of_a_file_is_noted(world: World, bench: Bench) -> None:
    product = bench.product()
    plain = bench.artifact("2.0.0", fw_type="lamp", content=b"bytes that say nothing")
    tagged = bench.artifact("2.0.0", fw_type="lamp")
    for stored, notes in (
        (
            plain,
            [
                "version '2.0.0' is what the maker of the rollout says; the file does not say.",
                "fwType 'lamp' is what the maker of the rollout says; the file does not say.",
            ],
        ),
        (tagged, []),
    ):
        shown = world.get(f"{API}/{bench.ship(stored, product)}")
        assert [one["notes"] for one in shown["artifacts"]] == [notes]


def export(world: World, rollout: int, **query: str) -> httpx.Response:
    answer = world.call("GET", f"{API}/{rollout}/export", "user", params=query)
    assert answer.status_code == 200, answer.text
    return answer


def test_an_export_as_csv_has_every_device_with_its_times_in_utc(world: World, bench: Bench) -> None:
    rollout, wrong, silent = mismatch(bench)
    with bench.call() as call:
        times = {"updated_at": 1_767_268_800_001}
        call.connection.execute(update(tables.deliveries).values(times))
    answer = export(world, rollout)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="rollout-{rollout}.csv"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.endswith("\r\n")
    first, second = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert (first["deviceId"], first["deviceUid"]) == (str(wrong.id), wrong.uid)
    assert (first["state"], first["reason"], first["attempt"], first["tries"]) == ("failed", "wrong_version", "1", "1")
    assert (first["expectedVersion"], first["fromVersion"], first["reportedVersion"]) == ("2.0.0", "1.0.0", "1.5.0")
    assert first["updatedAt"] == "2026-01-01T12:00:00.001Z"
    assert (second["deviceId"], second["offeredAt"], second["cancelRequested"]) == (str(silent.id), "", "false")


def test_an_export_as_json_has_what_the_list_has(world: World, bench: Bench) -> None:
    rollout, _, _ = mismatch(bench)
    before = clock()
    answer = export(world, rollout, format="json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == f'attachment; filename="rollout-{rollout}.json"'
    made = answer.json()
    assert made["items"] == world.get(f"{API}/{rollout}/deliveries")["items"]
    assert made["rolloutId"] == rollout
    assert before <= made["exportedAt"] <= clock()


def test_an_export_of_many_pages_is_whole_and_one_of_nothing_is_well_formed(world: World, bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 2300)
    rollout = bench.ship(bench.artifact(""), product)
    ids = sorted(board.id for board in boards)
    rows = csv.DictReader(io.StringIO(export(world, rollout).text, newline=""))
    assert [int(row["deviceId"]) for row in rows] == ids
    assert [item["deviceId"] for item in export(world, rollout, format="json").json()["items"]] == ids
    nobody = bench.ship(bench.artifact(""), bench.product())
    assert export(world, nobody).text.count("\r\n") == 1
    assert export(world, nobody, format="json").json()["items"] == []


def test_names_of_all_kinds_arrive_as_they_are_and_none_as_a_formula(world: World, bench: Bench) -> None:
    names = [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        'a "quoted", name',
        "ünï → 灯",
        "a;b",
        "1;=cmd|'x'!A0",
        " =1",
        "=\"x\",cmd|'/c calc'!A0",
    ]
    boards = bench.devices(bench.product(), len(names) + 1)
    for board, name in zip(boards, names, strict=False):
        with bench.call() as call:
            query = update(tables.devices).where(tables.devices.c.id == board.id)
            call.connection.execute(query.values(name=name))
    bench.tell(boards[-1], version="=HYPERLINK(1)")
    rollout = bench.ship(bench.artifact(""), to=boards)
    rows = list(csv.DictReader(io.StringIO(export(world, rollout).text, newline="")))
    shown = [row["deviceName"] for row in rows[:-1]]
    harmless = {name: f"'{name}" if name[0] in "=+-@" else name for name in names}
    harmless |= {" =1": " '=1", "1;=cmd|'x'!A0": "1;'=cmd|'x'!A0"}
    assert shown == [harmless[name] for name in names]
    assert rows[-1]["reportedVersion"] == "'=HYPERLINK(1)"
    assert [item["deviceName"] for item in export(world, rollout, format="json").json()["items"]][:-1] == names


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_a_spreadsheet_would_run_is_text(start: str) -> None:
    assert cell("device_name", f"{start}1") == f"'{start}1"
    assert cell("device_name", f"1{start}") == f"1{start}"


def test_numbers_and_times_are_cells_of_their_own_kind() -> None:
    assert [cell("tries", 3), cell("offered_at", 0), cell("offered_at", None), cell("x", True)] == [
        "3", "1970-01-01T00:00:00.000Z", "", "true",
    ]  # fmt: skip


@pytest.mark.parametrize("query", ["format=xls", "format=", "format=CSV"])
def test_another_format_is_refused(world: World, bench: Bench, query: str) -> None:
    rollout, _, _ = mismatch(bench)
    answer = world.call("GET", f"{API}/{rollout}/export?{query}")
    assert (answer.status_code, answer.headers["x-error-code"]) == (400, "invalid")


def test_an_export_that_cannot_go_on_is_seen_to_be_cut_off(tmp_path: Path, sqlite_template: Path) -> None:
    """A mistake on the second page: the answer has begun, so all that is left is to end it without its last chunk."""
    folder = tmp_path / "served"
    copy_of_sqlite(sqlite_template, folder)
    with serving(folder) as served:
        bench = Bench(served.app.database, folder)
        token = _token(served.app.database, bench)
        product = bench.product()
        bench.now = clock()
        boards = bench.devices(product, 1500)
        rollout = bench.ship(bench.artifact(""), product)
        with bench.call() as call:
            absurd = tables.device_seen.insert().values(device_id=boards[-1].id, seen_at=2**62)
            call.connection.execute(absurd)
        headers = {"Authorization": f"Bearer {token}"}
        with (
            capture_logs(),  # drawing every local variable of a traceback takes longer than all else
            httpx.stream("GET", f"{served.url}{API}/{rollout}/export", headers=headers, timeout=60) as answer,
        ):
            assert answer.status_code == 200
            with pytest.raises(httpx.RemoteProtocolError):
                answer.read()
        assert httpx.get(f"{served.url}{API}/{rollout}", headers=headers, timeout=60).status_code == 200


def _token(database: Database, bench: Bench) -> str:
    with database.write() as connection:
        user = people.add_user(
            connection, bench.organization_id, email="a@example.com", name="", role=Role.ADMIN, password_hash="", now=1
        )
        people.add_client(
            connection, bench.organization_id, name="c", client_id="c", secret_hash=bench.keyring.digest("s"),
            owner_user_id=user, now=1,
        )  # fmt: skip
        who = Candidate("a@example.com", user, "")
        return access.user_credentials(connection, bench.keyring, "c", who, clock(), 3600).access_token


def over(bench: Bench) -> tuple[int, list[Board]]:
    """A finished rollout of the Shipments door: one device failed, one succeeded."""
    boards = bench.devices(bench.product(), 2)
    stored = bench.artifact("")
    with bench.call() as call:
        rollout = create(
            call, origin="shipments", title="v2", product_id=None, device_ids=[board.id for board in boards],
            cargo=[Cargo(stored.id, "image.bin", Confirmed("", "", "", "", ""))], policy=Policy(attempts_limit=1),
        )  # fmt: skip
    bench.report(boards[0], bench.poll(boards[0]).attempt_id, 1, "failed", "no_space")
    bench.report(boards[1], bench.poll(boards[1]).attempt_id, 1, "succeeded")
    return rollout, boards


def test_a_rollout_that_is_over_is_cloned_for_the_devices_that_failed(world: World, bench: Bench) -> None:
    rollout, boards = over(bench)
    answer = world.call("POST", f"{API}/{rollout}/clone", "staff", json={})
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["title"], made["state"], made["origin"], made["total"]) == ("v2 (again)", "running", "shipments", 1)
    assert made["id"] != rollout
    [item] = world.get(f"{API}/{made['id']}/deliveries")["items"]
    assert item["deviceId"] == boards[0].id
    assert world.post(f"{API}/{rollout}/clone", {"devices": "all", "title": "Next"})["total"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {"devices": "some"},
        {"devices": None},
        {"devices": ["failed"]},
        {"title": ""},
        {"title": "  "},
        {"title": "t" * 201},
        {"title": "a\nb"},
        {"title": 7},
        {"deviceIds": [1]},
        [],
        None,
    ],
)
def test_a_body_that_is_not_one_of_a_clone_makes_nothing(world: World, bench: Bench, body: Any) -> None:
    rollout, _ = over(bench)
    answer = world.call("POST", f"{API}/{rollout}/clone", json=body)
    assert (answer.status_code, answer.headers["x-error-code"]) == (400, "invalid")
    assert len(world.get(API)["items"]) == 1


def test_what_cannot_be_cloned_says_why(world: World, bench: Bench) -> None:
    rollout, boards = over(bench)
    running = bench.ship(bench.artifact(""), to=boards)
    bench.remove_device(boards[0])
    for number, code in ((running, "still_open"), (rollout, "nobody_left")):
        answer = world.call("POST", f"{API}/{number}/clone", json={})
        assert (answer.status_code, answer.headers["x-error-code"]) == (409, code)


def test_a_token_that_may_only_do_one_thing_is_not_refused_the_answer_to_it(world: World, bench: Bench) -> None:
    rollout, _ = over(bench)
    running = bench.ship(bench.artifact(""), bench.product())

    def asked(scope: str, method: str, path: str, **how: Any) -> int:
        with bench.call() as call:
            call.connection.execute(update(tables.tokens).values(scopes=scope))
        return world.call(method, f"{API}/{path}", "client", **how).status_code

    assert asked("OTA_CANCEL", "POST", f"{running}/pause") == 200
    assert asked("OTA_CANCEL", "POST", f"{running}/stop") == 200
    assert asked("OTA_CANCEL", "GET", f"{running}") == 403
    assert asked("OTA_CANCEL", "POST", f"{rollout}/clone", json={}) == 403
    assert asked("OTA_START", "POST", f"{rollout}/clone", json={}) == 201
    assert asked("OTA_START", "GET", f"{rollout}/export") == 403
    assert asked("OTA_VIEW", "GET", f"{rollout}/export") == 200

"""What is looked up by an address that anybody may ask: in indexes, for many at once, with the answer for each alone."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Select, Table, event, insert, select, text
from tests.make import Bench
from tests.store.test_hot import plan

from airfreight.domain.delivery import THE_SIX, Reason, State
from airfreight.domain.rollout import RolloutState
from airfreight.services import group_updates
from airfreight.services import single_updates as service
from airfreight.services.group_updates import _is_offered as is_offered_to_group
from airfreight.services.single_updates import ORIGIN, is_offered
from airfreight.store import groups, single_updates, tables
from airfreight.store.hot import HotSelect


@pytest.fixture
def connection(bench: Bench) -> Iterator[Connection]:
    with bench.database.read() as made:
        if not bench.database.is_sqlite:
            # a table this small may be faster to read as a whole: what is asked is whether the index can be used
            made.execute(text("SET enable_seqscan = off"))
        yield made


def test_what_a_stranger_may_ask_for_is_looked_up_in_an_index(bench: Bench, connection: Connection) -> None:
    statements: list[Select[Any]] = []
    event.listen(connection, "before_execute", lambda _c, clause, *_: statements.append(clause))
    groups.last(connection, 1)
    explain = "EXPLAIN QUERY PLAN " if bench.database.is_sqlite else "EXPLAIN "
    compiled = statements[0].compile(connection, compile_kwargs={"literal_binds": True})
    found = "\n".join(str(line[-1]) for line in connection.exec_driver_sql(explain + str(compiled)))
    assert "ix_rollouts_group" in found
    assert "SCAN" not in found
    assert "Seq Scan" not in found


@pytest.mark.parametrize(
    ("statement", "indexes"),
    [
        (single_updates._latest(ORIGIN), ["ix_devices_uid", "ix_deliveries_device"]),
        (groups._latest, ["ix_rollouts_group"]),
    ],
)
def test_many_are_looked_up_in_indexes_beginning_with_the_key(
    bench: Bench, connection: Connection, statement: HotSelect, indexes: list[str]
) -> None:
    boards = bench.devices(bench.product(), 30)
    for _ in range(3):
        bench.ship(bench.artifact(), to=boards)
    if not bench.database.is_sqlite:
        connection.execute(text("ANALYZE"))
    found = plan(connection, statement, [board.uid for board in boards[:4]])
    assert [index for index in indexes if index not in found] == []
    assert "SCAN" not in found
    assert "Seq Scan" not in found
    for wrong_way_round in ("Hash Join", "Merge Join", "USING INDEX uq_deliveries", "using uq_deliveries"):
        assert wrong_way_round not in found


UIDS = [f"{number:024x}" for number in range(24)]
NOBODYS = [f"{number:024x}" for number in range(1000, 1600)]
NO_UIDS = ["", "0", "A" * 24, "0" * 25, "0" * 23 + "\n", "'" * 24, "٠" * 24]


def fill(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> list[int]:
    """Insert them; their ids, in order."""
    made = connection.scalars(insert(table).returning(table.c.id, sort_by_parameter_order=True), rows)
    return list(made)


def make_any_situation(bench: Bench, rng: random.Random) -> None:
    """Devices that share uids, gone and disabled ones, and uploads for them and for groups, in any state."""
    organizations = [bench.organization_id, *(bench.organization(f"o{n}") for n in range(3))]
    product, artifact = bench.product(), bench.artifact()
    copied = bench.ship(artifact, product)
    with bench.database.write() as connection:
        base = connection.execute(select(tables.rollouts).where(tables.rollouts.c.id == copied)).one()._asdict()
        taken: set[tuple[int, str]] = set()
        devices = []
        for _ in range(80):
            home, uid = rng.choice(organizations), rng.choice(UIDS)
            is_gone = (home, uid) in taken or rng.random() < 0.2
            if not is_gone:
                taken.add((home, uid))
            row = {"organization_id": home, "product_id": product, "uid": uid, "created_at": 1}
            devices.append(row | {"enabled": rng.random() < 0.8, "deleted_at": 1 if is_gone else None})
        device_ids = fill(connection, tables.devices, devices)
        made = [
            {"organization_id": bench.organization_id, "uid": uid, "filter": rng.choice(["", "", "", "x"])}
            | {"token_hash": uid.encode(), "created_at": 1}
            for uid in UIDS
        ]
        group_ids = fill(connection, tables.groups, made)
        uploads = [
            {key: value for key, value in base.items() if key != "id"}
            | {"uid": f"r{number}", "origin": rng.choice([ORIGIN, ORIGIN, "native"])}
            | {"state": rng.choice([*RolloutState, *[RolloutState.RUNNING] * 15])}
            | {"deleted_at": 1 if rng.random() < 0.1 else None, "group_id": rng.choice([None, *group_ids])}
            for number in range(120)
        ]
        rollout_ids = fill(connection, tables.rollouts, uploads)
        rng.shuffle(rollout_ids)
        files = [
            {"rollout_id": rollout_id, "position": position, "artifact_id": artifact.id, "filename": "f"}
            | {"version": f"{rollout_id}.{position}"}
            for rollout_id in rollout_ids
            for position in range(rng.choice([1, 1, 2]))
        ]
        connection.execute(insert(tables.rollout_artifacts), files)
        active: set[int] = set()
        deliveries = []
        for rollout_id in rollout_ids:
            for device_id in rng.sample(device_ids, rng.choice([0, 1, 4])):
                state = rng.choice([State.SKIPPED, State.FAILED, *State])
                if state in THE_SIX and device_id in active:
                    state = State.QUEUED
                active |= {device_id} if state in THE_SIX else set()
                reason = rng.choice(["", *Reason, *[Reason.ALREADY_RUNNING] * 9])
                row = {"organization_id": bench.organization_id, "rollout_id": rollout_id, "device_id": device_id}
                deliveries.append(row | {"state": state, "reason": reason, "attempts_limit": 3, "updated_at": 1})
        connection.execute(insert(tables.deliveries), deliveries)


def latest_for_one(connection: Connection, uid: str) -> str | None:
    """As plainly as it can be said: the device first, then what was sent to it."""
    devices = tables.devices
    query = select(devices.c.id, devices.c.enabled).where(devices.c.uid == uid, devices.c.deleted_at.is_(None))
    device = connection.execute(query.order_by(devices.c.id).limit(1)).one_or_none()
    row = single_updates.last(connection, ORIGIN, device.id) if device and device.enabled else None
    return str(row.version) if row is not None and is_offered(row) else None


def latest_for_group(connection: Connection, uid: str) -> str | None:
    query = select(tables.groups.c.id).where(tables.groups.c.uid == uid, tables.groups.c.filter == "")
    group_id = connection.scalar(query)
    row = groups.last(connection, group_id) if group_id is not None else None
    return str(row.version) if row is not None and is_offered_to_group(row) else None


@pytest.mark.parametrize("seed", range(5))
def test_many_at_once_are_answered_as_each_alone(bench: Bench, seed: int) -> None:
    rng = random.Random(seed)
    make_any_situation(bench, rng)
    asked = UIDS * 2 + NOBODYS + NO_UIDS
    rng.shuffle(asked)
    with bench.database.read() as connection:
        told, to_groups = service.latest_of(connection, asked), group_updates.latest_of(connection, asked)
        assert told == [latest_for_one(connection, uid) for uid in asked]
        assert to_groups == [latest_for_group(connection, uid) for uid in asked]
        for answers in (told, to_groups):
            some = len({uid for uid, version in zip(asked, answers, strict=True) if version})
            assert 3 <= some <= len(UIDS) - 3, "there is something to tell, and something not to"
        uid = next(uid for uid, version in zip(asked, told, strict=True) if version)
        assert service.latest(connection, uid) == latest_for_one(connection, uid)
        assert service.latest_of(connection, []) == group_updates.latest_of(connection, []) == []

"""A rollout made again, for those devices of an old one that need it still."""

import pytest
from sqlalchemy import select
from tests.make import NOON, Bench, Board

from airfreight.domain.access import Permission, Principal
from airfreight.domain.conditions import Condition
from airfreight.domain.decide import Do
from airfreight.domain.errors import Kind, Refusal
from airfreight.domain.finish import FinishOn
from airfreight.domain.handling import Urgency
from airfreight.domain.ids import Millis
from airfreight.domain.windows import DayPart
from airfreight.services import rollout_clone, rollouts
from airfreight.services.artifacts import Confirmed
from airfreight.services.call import Call
from airfreight.services.rollout_clone import Which
from airfreight.services.rollouts import Cargo, Policy
from airfreight.store import tables


def clone(bench: Bench, rollout: int, which: Which = Which.FAILED, title: str | None = None) -> int:
    with bench.call() as call:
        return rollout_clone.clone(call, rollout, which=which, title=title)


def refusal(bench: Bench, rollout: int, which: Which = Which.FAILED) -> tuple[Kind, str]:
    before = bench.rows(select(tables.rollouts.c.id))
    with pytest.raises(Refusal) as refused:
        clone(bench, rollout, which)
    assert bench.rows(select(tables.rollouts.c.id)) == before
    return refused.value.kind, refused.value.code


def members(bench: Bench, rollout: int) -> list[int]:
    table = tables.deliveries
    rows = bench.rows(select(table.c.device_id).where(table.c.rollout_id == rollout).order_by(table.c.device_id))
    return [row.device_id for row in rows]


def mixed(bench: Bench) -> tuple[int, list[Board]]:
    """A finished rollout: one device succeeded, two failed, one was skipped, one had it already."""
    boards = bench.devices(bench.product(), 5)
    rollout = bench.ship(bench.artifact(""), to=boards, attempts_limit=1)
    good, bad, worse, skipped, already = boards
    bench.report(good, bench.poll(good).attempt_id, 1, "succeeded")
    for board, reason in ((bad, "no_space"), (worse, "battery_low")):
        bench.report(board, bench.poll(board).attempt_id, 1, "failed", reason)
    with bench.call() as call:  # the states, not how devices come there
        for board, reason in ((skipped, "condition_not_met"), (already, "already_running")):
            query = tables.deliveries.update().where(tables.deliveries.c.device_id == board.id)
            call.connection.execute(query.values(state="skipped", reason=reason))
    bench.stop(rollout)
    return rollout, boards


@pytest.mark.parametrize(
    ("which", "chosen"),
    [(Which.FAILED, [1, 2]), (Which.UNFINISHED, [1, 2, 3]), (Which.ALL, [0, 1, 2, 3, 4])],
)
def test_a_clone_is_for_the_devices_that_were_asked_for(bench: Bench, which: Which, chosen: list[int]) -> None:
    rollout, boards = mixed(bench)
    made = clone(bench, rollout, which)
    assert members(bench, made) == [boards[place].id for place in chosen]
    assert bench.rollout_state(made) == "running"
    assert bench.poll(boards[1]).decision.do is Do.DOWNLOAD
    assert members(bench, rollout) == [board.id for board in boards]


def test_a_clone_has_all_of_the_old_one_but_its_devices_and_its_time(bench: Bench) -> None:
    """Every column is compared, so that a new one cannot be forgotten here."""
    product = bench.product()
    boards = bench.devices(product, 2)
    stored = bench.artifact("2.0.0")
    confirmed = Confirmed("2.0.0", "Jan  9 2024 12:25:30", "lamp", "ESP32", "1.3.2", "NCP")
    policy = Policy(
        condition=Condition.VERSION_NEWER,
        check_type=True,
        critical=True,
        day_part=DayPart.EVENING,
        attempts_limit=7,
        reset_period_ms=123_456,
        host="ota.example.com",
        secure=True,
        on_conflict="queue",
        finish_on=FinishOn.SERVED,
        urgency=Urgency.SOFT,
        forced_at=Millis(NOON + 1),
        early_download=True,
        deadline_seconds=4321,
    )
    with bench.call() as call:
        rollout = rollouts.create(
            call, origin="shipments", title="v2", product_id=product, device_ids=[board.id for board in boards],
            cargo=[Cargo(stored.id, "lamp.bin", confirmed)], policy=policy, description="why",
        )  # fmt: skip
    bench.stop(rollout)
    bench.later(days=1)
    made = clone(bench, rollout, Which.ALL)
    table = tables.rollouts
    query = select(table).where(table.c.id.in_([rollout, made])).order_by(table.c.id)
    old, new = (row._asdict() for row in bench.rows(query))
    own = {"id", "uid", "title", "state", "version", "created_at", "started_at", "finished_at"}
    assert {name for name in old if old[name] != new[name]} == own
    assert new["title"] == "v2 (again)"
    carried = tables.rollout_artifacts
    theirs = [
        [row[1:] for row in bench.rows(select(carried).where(carried.c.rollout_id == number))]
        for number in (rollout, made)
    ]
    assert theirs[0] == theirs[1]
    defaults = Policy()
    assert not [name for name in Policy.__slots__ if getattr(policy, name) == getattr(defaults, name)]


def test_a_clone_of_a_whole_product_is_for_the_devices_it_had(bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 2)
    rollout = bench.ship(bench.artifact(""), product)
    bench.stop(rollout)
    bench.devices(product)
    made = clone(bench, rollout, Which.UNFINISHED)
    bench.devices(product)
    bench.worker().tick()
    assert members(bench, made) == [board.id for board in boards]


def test_devices_that_are_gone_are_left_out(bench: Bench) -> None:
    rollout, boards = mixed(bench)
    bench.remove_device(boards[1])
    assert members(bench, clone(bench, rollout)) == [boards[2].id]
    bench.remove_device(boards[2])
    assert refusal(bench, rollout) == (Kind.CONFLICT, "nobody_left")


def test_nobody_failed(bench: Bench) -> None:
    [board] = bench.devices(bench.product())
    rollout = bench.ship(bench.artifact(""), to=[board])
    bench.report(board, bench.poll(board).attempt_id, 1, "succeeded")
    assert bench.rollout_state(rollout) == "finished"
    assert refusal(bench, rollout) == (Kind.CONFLICT, "nobody_left")
    assert refusal(bench, rollout, Which.UNFINISHED) == (Kind.CONFLICT, "nobody_left")
    assert members(bench, clone(bench, rollout, Which.ALL)) == [board.id]


def test_one_that_is_still_open_is_not_cloned(bench: Bench) -> None:
    boards = bench.devices(bench.product(), 2)
    rollout = bench.ship(bench.artifact(""), to=boards)
    assert refusal(bench, rollout, Which.ALL) == (Kind.CONFLICT, "still_open")
    bench.pause(rollout)
    assert refusal(bench, rollout, Which.ALL) == (Kind.CONFLICT, "still_open")
    bench.stop(rollout)
    assert clone(bench, rollout, Which.ALL)


def test_one_that_is_deleted_or_anothers_or_none_is_not_found(bench: Bench) -> None:
    rollout, _ = mixed(bench)
    other = Bench(bench.database, bench.settings.data)
    assert refusal(other, rollout) == (Kind.NOT_FOUND, "not_found")
    assert refusal(bench, rollout + 1000) == (Kind.NOT_FOUND, "not_found")
    bench.delete(rollout)
    assert refusal(bench, rollout) == (Kind.NOT_FOUND, "not_found")


def test_the_check_of_a_new_rollout_holds_for_a_clone_too(bench: Bench) -> None:
    [board] = bench.devices(bench.product())
    rollout = bench.ship(bench.artifact("2.0.0", fw_type="lamp"), to=[board], check_type=True)
    bench.tell(board, version="1.0.0", fwType="toaster")
    bench.poll(board)
    assert bench.rollout_state(rollout) == "finished"
    assert refusal(bench, rollout, Which.ALL) == (Kind.INVALID, "never_matches")


def test_the_clone_of_a_clone_can_have_a_title_of_any_length(bench: Bench) -> None:
    rollout, _ = mixed(bench)
    made = clone(bench, rollout, Which.ALL, "t" * 200)
    bench.stop(made)
    again = clone(bench, made, Which.ALL)
    [row] = bench.rows(select(tables.rollouts.c.title).where(tables.rollouts.c.id == again))
    assert row.title == "t" * 192 + " (again)"


def test_it_needs_the_permission_to_start_and_no_other(bench: Bench) -> None:
    rollout, _ = mixed(bench)
    for permissions, allowed in (
        (frozenset({Permission.OTA_START}), True),
        (frozenset(Permission) - {Permission.OTA_START}, False),
    ):
        who = Principal(bench.organization_id, permissions, name="somebody")
        with bench.database.write() as connection:
            call = Call(who, bench.organization_id, bench.now, connection, bench.settings, bench.keyring, bench.blobs)
            if allowed:
                rollout_clone.clone(call, rollout, which=Which.FAILED, title=None)
                continue
            with pytest.raises(Refusal) as refused:
                rollout_clone.clone(call, rollout, which=Which.FAILED, title=None)
            assert refused.value.kind is Kind.FORBIDDEN

"""Each device of a rollout stands somewhere for a reason, and one sentence says so; it cannot contradict the poll."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, update
from tests.make import NOON, Bench, Board

from airfreight.domain.conditions import Condition
from airfreight.domain.delivery import Reason, State
from airfreight.domain.errors import Kind, Refusal
from airfreight.domain.windows import DayPart
from airfreight.services import standings
from airfreight.services.standings import WHY, Standing
from airfreight.store import tables


def look(bench: Bench, rollout: int, board: Board | None = None) -> Standing:
    """The standing of the rollout's device, or of that one of them."""
    with bench.call() as call:
        found = standings.search(call, rollout, state=None, reason=None, after=0, limit=100)
    chosen = [one for one in found if board is None or one.row.device_id == board.id]
    assert len(chosen) == 1
    return chosen[0]


def words(bench: Bench, rollout: int, board: Board | None = None) -> str:
    return look(bench, rollout, board).words


def one(bench: Bench, **policy: Any) -> tuple[int, Board]:
    [board] = bench.devices(bench.product())
    return bench.ship(bench.artifact("2.0.0"), to=[board], **policy), board


def test_one_that_waits_to_be_asked_says_when_its_device_was_last_heard_of(bench: Bench) -> None:
    rollout, board = one(bench)
    assert words(bench, rollout) == "Waits for the device: it was never heard of."
    with bench.call() as call:
        call.connection.execute(insert(tables.device_seen).values(device_id=board.id, seen_at=NOON - 1))
    assert words(bench, rollout) == "Waits for the device: last heard of 2026-01-01T11:59:59.999Z."


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"check_type": True}, "Waits: the device has not reported its attributes yet, and the rollout goes by them."),
        (
            {"day_part": DayPart.EVENING},
            "Z: the evening, 18:00 to 24:00 in UTC (no time zone is known), is closed; ",
        ),
        ({"condition": Condition.VERSION_NEWER}, "Waits: the device has not reported its attributes yet"),
    ],
)
def test_one_that_waits_says_for_what(bench: Bench, policy: dict[str, Any], expected: str) -> None:
    [board] = bench.devices(bench.product())
    rollout = bench.ship(bench.artifact("2.0.0", fw_type="lamp"), to=[board], **policy)
    told = words(bench, rollout)
    assert told.startswith("Waits")
    assert expected in told
    if "day_part" in policy:
        assert told.startswith("Waits until 2026-01-01T18:")


def test_a_paused_rollout_and_another_that_goes_first_are_said(bench: Bench) -> None:
    [board] = bench.devices(bench.product())
    first = bench.ship(bench.artifact(""), to=[board], on_conflict="queue")
    second = bench.ship(bench.artifact(""), to=[board], on_conflict="queue")
    assert words(bench, first).startswith("Waits for the device")
    assert words(bench, second) == f"Waits until the device is through with rollout {first}, which is queued."
    bench.pause(first)
    bench.pause(second)
    assert words(bench, first) == "Waits: the rollout is paused, until somebody resumes it."


def test_one_that_will_be_skipped_says_so_before(bench: Bench) -> None:
    rollout, board = one(bench, condition=Condition.VERSION_NEWER)
    bench.tell(board, version="3.0.0")
    told = words(bench, rollout)
    assert told.startswith(
        "Waits for the device, and is skipped then: the rollout's condition is not met (device version '3.0.0'"
    )


def test_each_step_has_its_words(bench: Bench) -> None:
    rollout, board = one(bench)
    attempt = bench.poll(board).attempt_id
    said = [words(bench, rollout)]
    for seq, event in enumerate(("downloading", "downloaded", "installing", "installed", "activating"), start=1):
        bench.report(board, attempt, seq, event)  # type: ignore[arg-type]
        said.append(words(bench, rollout))
    assert [one.partition(" (")[0] for one in said] == [
        "Offered; the device has not begun",
        "Downloading",
        "Downloaded; not installed yet",
        "Installing",
        "Installed; not started yet",
        "Starting the new version; the device has to come back with it",
    ]
    assert all(
        "(try 1 of 3). Last heard of 2026-01-01T12:00:00.000Z. If it reports nothing more until 2026-01-0" in one
        for one in said
    )
    bench.tell(board, version="2.0.0")
    assert words(bench, rollout) == "Updated; the device reports 2.0.0."


def test_a_step_that_waits_or_is_asked_to_cancel_says_so(bench: Bench) -> None:
    rollout, board = one(bench)
    bench.report(board, bench.poll(board).attempt_id, 1, "downloaded")
    bench.pause(rollout)
    assert words(bench, rollout) == (
        "Downloaded; not installed yet (try 1 of 3); waits: the rollout is paused, until somebody resumes it. "
        "Last heard of 2026-01-01T12:00:00.000Z."
    )
    bench.stop(rollout)
    assert "(try 1 of 3); asked to cancel, and has not answered. Last" in words(bench, rollout)


def test_a_failed_try_says_why_and_that_another_comes(bench: Bench) -> None:
    rollout, board = one(bench)
    bench.report(board, bench.poll(board).attempt_id, 1, "failed", "no_space")
    told = words(bench, rollout)
    assert told.startswith("Try 1 of 3 failed: the device has no room for the file. Waits until 2026-01-01T12:0")


def test_a_version_mismatch_says_which_value_differed(bench: Bench) -> None:
    rollout, board = one(bench)
    bench.tell(board, version="1.0.0")
    bench.report(board, bench.poll(board).attempt_id, 1, "activating")
    bench.tell(board, version="1.5.0", build="Feb  1 2026 00:00:00")
    standing = look(bench, rollout)
    assert standing.words == (
        "Failed: the device came back with a version that is neither the old nor the new one (try 1 of 3). "
        "By its latest report: expected version '2.0.0', device version '1.5.0'."
    )
    assert standing.expected.version == "2.0.0"
    assert (standing.row.from_version, standing.row.device_version) == ("1.0.0", "1.5.0")
    assert standing.row.device_build == "Feb  1 2026 00:00:00"


@pytest.mark.parametrize(
    ("policy", "reports", "expected"),
    [
        (
            {"condition": Condition.VERSION_NEWER},
            {"version": "3.0.0"},
            (
                "Skipped: the rollout's condition is not met. "
                "By its latest report: device version '3.0.0', artifact version '2.0.0'."
            ),
        ),
        (
            {"check_type": True},
            {"fwType": "toaster"},
            (
                "Skipped: the file is for another kind of device. "
                "By its latest report: device type 'toaster', artifact type 'lamp'."
            ),
        ),
    ],
)
def test_one_that_was_skipped_says_what_was_compared(
    bench: Bench, policy: dict[str, Any], reports: dict[str, str], expected: str
) -> None:
    [board] = bench.devices(bench.product())
    rollout = bench.ship(bench.artifact("2.0.0", fw_type="lamp"), to=[board], **policy)
    bench.tell(board, **reports)
    bench.poll(board)
    assert words(bench, rollout) == expected


def test_one_that_claims_success_where_nothing_can_be_compared_is_taken_at_its_word(bench: Bench) -> None:
    [board] = bench.devices(bench.product())
    rollout = bench.ship(bench.artifact(""), to=[board])
    bench.report(board, bench.poll(board).attempt_id, 1, "succeeded")
    assert words(bench, rollout) == "Updated, as the device says."


def test_a_device_that_was_removed_is_still_told_of(bench: Bench) -> None:
    rollout, board = one(bench)
    bench.remove_device(board)
    assert words(bench, rollout) == "Canceled: the device was removed."


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_words_wherever_it_stands(bench: Bench, reason: Reason) -> None:
    rollout, board = one(bench)
    table = tables.deliveries
    for state in State:
        with bench.call() as call:
            query = update(table).where(table.c.device_id == board.id)
            call.connection.execute(query.values(state=state, reason=reason, tries=2))
        told = words(bench, rollout)
        assert told.endswith(".")
        if state in {State.QUEUED, State.FAILED, State.SKIPPED, State.CANCELED}:
            assert WHY[reason] in told
        assert "\n" not in told


def test_deliveries_are_filtered_by_state_and_reason_and_paged(bench: Bench) -> None:
    boards = bench.devices(bench.product(), 6)
    rollout = bench.ship(bench.artifact("2.0.0"), to=boards)
    table = tables.deliveries
    for place, (state, reason) in enumerate([("failed", "no_space"), ("failed", "no_report"), ("queued", "no_space")]):
        with bench.call() as call:
            query = update(table).where(table.c.device_id == boards[place].id)
            call.connection.execute(query.values(state=state, reason=reason))

    def found(state: State | None, reason: Reason | None, after: int = 0, limit: int = 100) -> list[int]:
        with bench.call() as call:
            several = standings.search(call, rollout, state=state, reason=reason, after=after, limit=limit)
        return [standing.row.device_id for standing in several]

    ids = [board.id for board in boards]
    assert found(None, None) == ids
    assert found(State.FAILED, None) == ids[:2]
    assert found(None, Reason.NO_SPACE) == [ids[0], ids[2]]
    assert found(State.FAILED, Reason.NO_SPACE) == ids[:1]
    assert found(None, None, limit=2) == ids[:2]
    assert found(None, None, after=bench.delivery(rollout, boards[1]).id, limit=2) == ids[2:4]


def walked(bench: Bench, rollout: int, between: Callable[[], None] = lambda: None) -> list[list[int]]:
    pages = []
    with bench.database.read() as connection, bench.call() as call:
        del connection
        walk = standings.walk(call, bench.database, rollout)
    for page in walk:
        pages.append([standing.row.device_id for standing in page])
        between()
    return pages


def test_a_walk_comes_by_every_device_once_in_pages(bench: Bench) -> None:
    product = bench.product()
    boards = bench.devices(product, 2000)
    full = bench.ship(bench.artifact(""), product)
    ids = sorted(board.id for board in boards)
    assert walked(bench, full) == [ids[:1000], ids[1000:]]
    some = bench.ship(bench.artifact(""), to=boards[:1001])
    assert [len(page) for page in walked(bench, some)] == [1000, 1]
    assert walked(bench, bench.ship(bench.artifact(""), bench.product())) == []


def test_a_walk_holds_nothing_between_its_pages(bench: Bench) -> None:
    """Devices and operators go on writing while an export is under way."""
    product = bench.product()
    bench.devices(product, 1500)
    rollout = bench.ship(bench.artifact(""), product)

    def between() -> None:
        bench.devices(product, 1)

    assert [len(page) for page in walked(bench, rollout, between)] == [1000, 501]


def test_a_walk_is_refused_before_its_first_page(bench: Bench) -> None:
    with bench.call() as call, pytest.raises(Refusal) as refused:
        standings.walk(call, bench.database, 1)
    assert refused.value.kind is Kind.NOT_FOUND


def test_a_failed_one_says_what_its_device_said(bench: Bench) -> None:
    [board] = bench.devices(bench.product())
    rollout = bench.ship(bench.artifact(""), to=[board], attempts_limit=1)
    message = "this is no package, and nothing else is taken here"
    bench.report(board, bench.poll(board).attempt_id, 1, "failed", "incompatible", message=message)
    assert words(bench, rollout) == (
        f"Failed: the file, or the offer of it, does not fit the device (try 1 of 1). It said: {message}"
    )

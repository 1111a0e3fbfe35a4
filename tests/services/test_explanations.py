"""Why a device is or is not updated, in one reading: `explain` says what the list of the rollout says, and names it."""

from sqlalchemy import delete, insert, select
from tests.make import NOON, Bench, Board

from airfreight.domain.access import Permission, Principal
from airfreight.domain.conditions import Condition
from airfreight.domain.delivery import Fail, Reason
from airfreight.domain.handling import Urgency
from airfreight.domain.windows import DayPart
from airfreight.services import devices, explanations, standings
from airfreight.services.call import Call
from airfreight.services.deliveries import Report
from airfreight.services.device_work import Reports
from airfreight.services.devices import Wanted
from airfreight.services.ledger import Ledger, Note
from airfreight.store import tables

NOTHING = "No rollout waits for this device."


def summary(bench: Bench, board: Board) -> str:
    with bench.call() as call:
        return explanations.explain(call, board.id).summary


def words(bench: Bench, rollout: int) -> str:
    """Of its only device."""
    with bench.call() as call:
        [standing] = standings.search(call, rollout, state=None, reason=None, after=0, limit=100)
    return standing.words


def told(bench: Bench, version: str = "1.0.0") -> Board:
    """A device that has said what it runs."""
    [board] = bench.devices(bench.product())
    bench.tell(board, version=version)
    return board


def switch(bench: Bench, board: Board, *, on: bool) -> None:
    with bench.call() as call:
        devices.switch(call, board.id, on=on)


def heard(bench: Bench, device_id: int, at: int) -> None:
    with bench.call() as call:
        call.connection.execute(delete(tables.device_seen).where(tables.device_seen.c.device_id == device_id))
        call.connection.execute(insert(tables.device_seen).values(device_id=device_id, seen_at=at))


def test_the_sentence_is_that_of_the_rollouts_list_and_names_the_rollout(bench: Bench) -> None:
    board = told(bench)
    rollout = bench.ship(bench.artifact("2.0.0"), to=[board])
    name = f"Rollout {rollout} ('a rollout'): "
    assert summary(bench, board) == name + words(bench, rollout)
    attempt = bench.poll(board).attempt_id
    assert summary(bench, board) == name + words(bench, rollout)
    assert "Offered; the device has not begun" in summary(bench, board)
    bench.report(board, attempt, 1, "failed", "no_space", message="4 kB missing")
    assert summary(bench, board) == name + words(bench, rollout)
    bench.stop(rollout)
    assert summary(bench, board).startswith(NOTHING)
    assert summary(bench, board).endswith(f"The last one, rollout {rollout} ('a rollout'): {words(bench, rollout)}")


def test_it_names_what_comes_after_and_what_a_device_waits_behind(bench: Bench) -> None:
    board = told(bench)
    first = bench.ship(bench.artifact("2.0.0"), to=[board], on_conflict="queue")
    second = bench.ship(bench.artifact("3.0.0"), to=[board], on_conflict="queue")
    assert summary(bench, board).endswith(f"After it: rollout {second}.")
    bench.report(board, bench.poll(board).attempt_id, 1, "installing")
    assert words(bench, second) == f"Waits until the device is through with rollout {first}, which is installing."


def test_one_that_is_overtaken_and_not_skipped_yet_says_by_which(bench: Bench) -> None:
    board = told(bench)
    old = bench.ship(bench.artifact("2.0.0"), to=[board])
    new = bench.ship(bench.artifact("3.0.0"), to=[board])
    assert words(bench, old).startswith(f"Waits no more: rollout {new} is newer and takes its place")
    assert f"Rollout {new}" in summary(bench, board)
    assert f"After it: rollout {old}" not in summary(bench, board)


def test_a_device_that_nothing_waits_for_says_when_it_was_last_there(bench: Bench) -> None:
    [board] = bench.devices(bench.product())
    end = "The device has never sent its attributes."
    assert summary(bench, board) == f"{NOTHING} It was never heard of. It was in none yet. {end}"
    heard(bench, board.id, NOON)
    bench.later(days=7.5)
    last = "Last heard of 2026-01-01T12:00:00.000Z, 7 days ago."
    assert summary(bench, board) == f"{NOTHING} {last} It was in none yet. {end}"
    rollout = bench.ship(bench.artifact("2.0.0"), to=[board])
    assert words(bench, rollout) == "Waits for the device: last heard of 2026-01-01T12:00:00.000Z, 7 days ago."
    switch(bench, board, on=False)
    bench.stop(rollout)
    assert summary(bench, board).startswith("No rollout waits for this device, and it is disabled. Last heard of")


def test_one_that_came_for_its_offer_was_heard_of_though_that_is_written_behind(bench: Bench) -> None:
    [board] = bench.devices(bench.product())
    rollout = bench.ship(bench.artifact(""), to=[board], finish_on="served")
    heard(bench, board.id, NOON - 60_000)
    attempt = bench.poll(board).attempt_id
    assert "Last heard of 2026-01-01T12:00:00.000Z." in words(bench, rollout)
    with bench.call() as call:
        call.connection.execute(delete(tables.device_seen))
    bench.report(board, attempt, 1, "succeeded")
    assert "never heard of" not in summary(bench, board)


def test_a_device_that_is_disabled_on_the_way_says_so_in_both_places(bench: Bench) -> None:
    board = told(bench)
    rollout = bench.ship(bench.artifact("2.0.0"), to=[board])
    bench.poll(board)
    switch(bench, board, on=False)
    clause = "(try 1 of 3); the device is disabled, until somebody enables it."
    assert clause in words(bench, rollout)
    assert clause in summary(bench, board)


def test_a_deleted_rollout_is_still_named(bench: Bench) -> None:
    board = told(bench)
    rollout = bench.ship(bench.artifact("2.0.0"), to=[board])
    bench.stop(rollout)
    bench.delete(rollout)
    end = f"The last one, rollout {rollout} ('a rollout'), deleted since: canceled (an operator stopped it)."
    assert summary(bench, board).endswith(end)


def test_a_try_that_will_be_repeated_says_what_the_device_said(bench: Bench) -> None:
    board = told(bench)
    rollout = bench.ship(bench.artifact("2.0.0"), to=[board])
    bench.report(board, bench.poll(board).attempt_id, 1, "failed", "install_failed", message="no slot b")
    assert words(bench, rollout).endswith("and the next. It said: no slot b")


def test_words_of_doors_without_numbers_and_of_the_server_are_told_too(bench: Bench) -> None:
    board = told(bench)
    rollout = bench.ship(bench.artifact("2.0.0"), to=[board])
    attempt = bench.poll(board).attempt_id
    assert attempt is not None
    declined = Report(attempt, None, Fail(Reason.USER_DECLINED), message="not now", told="denied")
    bench.work(Reports(board.digest, [declined]))
    assert words(bench, rollout).endswith("It said: not now")
    bench.later(seconds=600)
    bench.poll(board)
    with bench.call() as call:
        ledger = Ledger(call.connection, call.settings, call.now)
        [entry] = ledger.entries([bench.delivery(rollout, board).id])
        ledger.apply(entry, Fail(Reason.INCOMPATIBLE), Note("server", message="the offer has 209 bytes"))
        ledger.flush()
    assert words(bench, rollout) == (
        "Failed: the file, or the offer of it, does not fit the device (try 2 of 3). The offer has 209 bytes."
    )


def test_one_under_way_says_until_when_it_may_be_silent_unless_it_is_to_wait(bench: Bench) -> None:
    board = told(bench)
    rollout = bench.ship(bench.artifact("2.0.0"), to=[board], deadline_seconds=600)
    attempt = bench.poll(board).attempt_id
    bench.report(board, attempt, 1, "downloaded")
    end = "If it reports nothing more until 2026-01-01T12:10:00.000Z, this try has failed."
    assert words(bench, rollout).endswith(end)
    bench.pause(rollout)
    assert "this try has failed" not in words(bench, rollout)
    bench.report(board, attempt, 2, "installing")
    assert "; the rollout is paused, but what is under way goes on. " in words(bench, rollout)


def test_one_that_may_choose_its_time_only_has_to_come_by(bench: Bench) -> None:
    board = told(bench)
    rollout = bench.ship(bench.artifact("2.0.0"), to=[board], urgency=Urgency.SOFT, deadline_seconds=600)
    attempt = bench.poll(board).attempt_id
    assert "If it is not heard of until 2026-01-01T12:10:00.000Z" in words(bench, rollout)
    bench.later(seconds=500)
    heard(bench, board.id, bench.now)
    bench.later(seconds=101)
    assert bench.worker().expire() == 1
    assert "Offered; the device has not begun (try 1 of 3)" in words(bench, rollout)
    bench.report(board, attempt, 1, "downloading")
    assert "If it reports nothing more until 2026-01-01T12:20:01.000Z" in words(bench, rollout)


def test_a_device_that_goes_on_with_a_stopped_rollout_says_so(bench: Bench) -> None:
    board = told(bench)
    rollout = bench.ship(bench.artifact("2.0.0"), to=[board])
    attempt = bench.poll(board).attempt_id
    bench.report(board, attempt, 1, "installing")
    bench.stop(rollout)
    assert "; asked to cancel, and has not answered. " in words(bench, rollout)
    bench.report(board, attempt, 2, "cancel_refused")
    assert "; the rollout is stopped, but what is under way goes on. " in words(bench, rollout)


def test_a_window_says_whether_it_is_closed_or_lets_devices_in_one_by_one_and_whose_clock_counts(bench: Bench) -> None:
    product = bench.product(time_zone="Asia/Tokyo")
    [board] = bench.devices(product)
    bench.tell(board, timeZone="Europe/Berlin")
    rollout = bench.ship(bench.artifact("2.0.0"), to=[board], day_part=DayPart.AFTERNOON)
    open_now = "the afternoon, 12:00 to 18:00 in Europe/Berlin (the device's time zone), lets its devices in one after"
    assert open_now in words(bench, rollout)
    bench.tell(board, timeZone=None)
    told_now = words(bench, rollout)
    assert (
        "12:00 to 18:00 in Asia/Tokyo (the product's time zone), is closed; the turn of this one comes at" in told_now
    )
    assert told_now.startswith("Waits until 2026-01-02T03:")
    assert "2026-01-02 12:" in told_now


def test_a_file_that_the_server_has_lost_is_named_while_devices_need_it(bench: Bench) -> None:
    board = told(bench)
    stored = bench.artifact("2.0.0", content=b"bytes that go lost")
    rollout = bench.ship(stored, to=[board])
    assert "lost" not in words(bench, rollout)
    [row] = bench.rows(select(tables.artifacts).where(tables.artifacts.c.id == stored.id))
    bench.blobs.path(row.sha256).unlink()
    lost = "But it cannot be downloaded: the server has lost the bytes of 'image.bin'; `airfreight doctor` tells."
    assert words(bench, rollout).endswith(lost)
    attempt = bench.poll(board).attempt_id
    assert summary(bench, board).endswith(lost)
    bench.report(board, attempt, 1, "downloaded")
    assert "lost" not in words(bench, rollout)


def test_a_device_that_gets_what_it_runs_is_told_why(bench: Bench) -> None:
    board = told(bench, "2.0.0")
    rollout = bench.ship(bench.artifact("2.0.0"), to=[board])
    why = "It runs 2.0.0 already; no condition of the rollout keeps that from it."
    assert why in words(bench, rollout)
    bench.poll(board)
    assert why in words(bench, rollout)
    other = told(bench, "1.0.0")
    assert "already" not in words(bench, bench.ship(bench.artifact("2.0.0"), to=[other]))


def test_a_thing_names_the_device_that_asks_for_it(bench: Bench) -> None:
    product = bench.product()
    [gateway] = bench.devices(product)
    with bench.call() as call:
        [thing] = devices.create_many(call, product_id=product, wanted=[Wanted("bulb")], parent_id=gateway.id)
    board = Board(thing.id, thing.uid, "", b"")
    assert f"Device {gateway.id} ({gateway.uid}) speaks for it: it was never heard of." in summary(bench, board)
    heard(bench, gateway.id, NOON)
    assert f"({gateway.uid}) speaks for it: last heard of 2026-01-01T12:00:00.000Z." in summary(bench, board)


def test_to_explain_changes_nothing(bench: Bench) -> None:
    board = told(bench, "3.0.0")
    rollout = bench.ship(bench.artifact("2.0.0"), to=[board], condition=Condition.VERSION_NEWER)
    watched = (tables.deliveries, tables.attempts, tables.history, tables.counters, tables.outbox, tables.device_seen)
    before = [bench.rows(select(table)) for table in watched]
    with bench.database.read() as connection:
        who = Principal(bench.organization_id, frozenset({Permission.DEVICE_VIEW}), name="watcher")
        call = Call(who, bench.organization_id, bench.now, connection, bench.settings, bench.keyring, bench.blobs)
        assert "is skipped then: the rollout's condition is not met" in explanations.explain(call, board.id).summary
    assert [bench.rows(select(table)) for table in watched] == before
    assert bench.stand(rollout, board) == ("queued", "")

"""Offers to devices that listen at the broker: to whom, when, how often, and by which process."""

from pathlib import Path

import pytest
from tests.interrupt import Meanwhile
from tests.make import DAY_MS, NOON, Bench
from tests.services.listening import NEW, OLD, connection_of, listening, look, ring, send, take, told, waiting

from airfreight.domain.conditions import Condition
from airfreight.domain.delivery import Cancel, State
from airfreight.domain.windows import DayPart
from airfreight.services import deliveries, products, pushing
from airfreight.services.device_work import TurnedAway
from airfreight.services.ledger import Ledger, Note
from airfreight.store.database import Database


@pytest.fixture
def bench(database: Database, data_dir: Path) -> Bench:
    return Bench(database, data_dir, public_url="https://ota.example.com")


@pytest.fixture
def product(bench: Bench) -> int:
    return bench.product()


def test_a_device_that_listens_is_offered_what_waits_for_it(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    artifact = bench.artifact(build="Jan  9 2024 12:25:30", fw_type="TMPLabcd1234")
    rollout = bench.ship(artifact, product, [board])
    look(bench)
    [offered] = send(bench)
    assert bench.stand(rollout, board) == ("offered", "")
    assert (offered.device_id, offered.size, offered.version) == (board.id, len(artifact.content), NEW)
    assert (offered.fw_type, offered.build) == ("TMPLabcd1234", "Jan  9 2024 12:25:30")
    assert offered.url.startswith(f"https://ota.example.com{artifact.path}?token=")
    assert waiting(bench) == []
    assert bench.drift() == {}


def test_what_the_file_does_not_say_is_empty(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    bench.ship(bench.artifact("", content=b"no facts"), product, [board])
    look(bench)
    [offered] = send(bench)
    assert (offered.fw_type, offered.version, offered.build) == ("", "", "")


def test_it_is_not_offered_twice_while_it_stays(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    bench.ship(bench.artifact(), product, [board])
    assert told(bench) == [board.id]
    for _ in range(3):
        ring(bench)
        assert told(bench) == []
        bench.later(seconds=1200)
        assert look(bench) == [board.id], "it is looked at now and then"
        assert send(bench) == []
    assert bench.drift() == {}


def test_it_is_offered_the_same_again_when_it_has_come_back(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    rollout = bench.ship(bench.artifact(), product, [board])
    look(bench)
    [first] = send(bench)
    attempt = bench.delivery(rollout, board).attempt_id
    bench.later(seconds=30)
    bench.back(board, version=OLD)
    look(bench)
    [again] = send(bench)
    assert bench.delivery(rollout, board).attempt_id == attempt
    assert bench.delivery(rollout, board).tries == 1
    assert again.url != first.url, "a token of its own time"
    assert (again.url[:60], again.version) == (first.url[:60], first.version)
    assert told(bench) == []


def test_a_device_that_is_downloading_is_left_alone(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    rollout = bench.ship(bench.artifact(), product, [board])
    assert told(bench) == [board.id]
    bench.served(board, bench.delivery(rollout, board).attempt_id, State.DOWNLOADING)
    ring(bench)
    assert told(bench) == []


def test_a_device_that_is_not_there_is_forgotten_and_costs_no_try(bench: Bench, product: int) -> None:
    here, away = listening(bench, product, 2)
    rollout = bench.ship(bench.artifact(), product, [here, away])
    assert told(bench, absent=[away]) == [here.id]
    assert bench.stand(rollout, away) == ("queued", "")
    assert connection_of(bench, away) is None
    ring(bench)
    assert look(bench) == [here.id]
    bench.later(seconds=5)
    bench.back(away, version=OLD)
    assert told(bench) == [away.id]


def test_who_was_found_away_but_has_come_back_meanwhile_stays(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    bench.ship(bench.artifact(), product, [board])
    found = pushing.due(bench.database, bench.now, 10)
    bench.later(seconds=1)
    bench.back(board, version=OLD)
    pushing.gone(bench.database, found)
    assert told(bench) == [board.id]


def test_a_return_during_the_decision_is_not_lost(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    rollout = bench.ship(bench.artifact(), product, [board])
    found = pushing.due(bench.database, bench.now, 10)
    decided = bench.now
    bench.later(seconds=1)
    bench.back(board, version=OLD)
    assert pushing.offer(bench.database, bench.settings, decided, found) == 1
    assert connection_of(bench, board).due_at == bench.now
    send(bench)
    assert told(bench) == [board.id], "it may have been away when the first one was sent"
    assert bench.delivery(rollout, board).attempt == 1


def test_a_device_at_rest_is_looked_at_once_in_a_while(bench: Bench, product: int) -> None:
    boards = listening(bench, product, 20)
    look(bench)
    moments = {connection_of(bench, board).due_at - bench.now for board in boards}
    seconds = bench.settings.online_seconds
    assert all(0.74 * seconds <= moment / 1000 <= 1.26 * seconds for moment in moments)
    assert len(moments) > 10, "not all at once"
    assert look(bench) == []


def test_a_closed_window_is_when_to_look_again(bench: Bench, product: int) -> None:
    """It is noon; the evening begins at six, and the devices are spread over its first part."""
    [board] = listening(bench, product)
    rollout = bench.ship(bench.artifact(), product, [board], day_part=DayPart.EVENING)
    assert told(bench) == []
    for _ in range(100):
        bench.now = connection_of(bench, board).due_at
        if told(bench):
            break
    assert bench.stand(rollout, board) == ("offered", "")
    hours = (bench.now - NOON) / 3_600_000
    assert 6 <= hours < 9
    with bench.database.read() as connection:
        assert deliveries.look(connection, [board.id], bench.now)


def test_the_window_opens_on_the_minute_not_at_the_next_look(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    bench.ship(bench.artifact(), product, [board], day_part=DayPart.EVENING)
    with bench.database.read() as connection:
        opens = deliveries.look(connection, [board.id], bench.now)[board.id].decision.recheck_at
    assert opens is not None
    bench.now = type(bench.now)(opens - 60_000)
    ring(bench)
    assert told(bench) == []
    assert connection_of(bench, board).due_at == opens
    bench.now = type(bench.now)(opens)
    assert told(bench) == [board.id]


def test_the_pause_after_a_failed_try_is_when_to_look_again(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    rollout = bench.ship(bench.artifact(), product, [board])
    told(bench)
    first = bench.delivery(rollout, board).attempt_id
    bench.served(board, first, State.DOWNLOADING)
    bench.later(seconds=10)
    bench.back(board, version=OLD)
    assert bench.stand(rollout, board) == ("queued", "download_failed")
    assert told(bench) == []
    assert connection_of(bench, board).due_at == bench.delivery(rollout, board).not_before
    bench.now = connection_of(bench, board).due_at
    assert told(bench) == [board.id]
    assert bench.delivery(rollout, board).attempt_id != first


def test_tries_run_out(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    rollout = bench.ship(bench.artifact(), product, [board], attempts_limit=2)
    for _ in range(2):
        assert told(bench) == [board.id]
        bench.served(board, bench.delivery(rollout, board).attempt_id, State.DOWNLOADED)
        bench.back(board, version=OLD)
        bench.later(seconds=300)
    assert told(bench) == []
    assert bench.stand(rollout, board) == ("failed", "install_failed")
    assert bench.rollout_state(rollout) == "finished"


def test_the_bell_makes_all_due_and_moves_nobody_who_is_due_already(bench: Bench, product: int) -> None:
    first = listening(bench, product)
    bench.later(seconds=10)
    boards = first + listening(bench, product, 3)
    assert look(bench, limit=1) == [first[0].id], "the longest due first"
    bench.later(seconds=1)
    ring(bench)
    assert connection_of(bench, boards[1]).due_at == bench.now - 1000
    assert sorted(look(bench)) == sorted(board.id for board in boards)
    assert look(bench) == []


def test_a_limit_leaves_the_others_for_the_next_round(bench: Bench, product: int) -> None:
    boards = listening(bench, product, 5)
    bench.ship(bench.artifact(), product, boards)
    found = [look(bench, limit=2) for _ in range(4)]
    assert [len(some) for some in found] == [2, 2, 1, 0]
    assert len(send(bench)) == 5


def test_a_device_that_does_not_fit_is_skipped_and_told_nothing(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    rollout = bench.ship(bench.artifact("0.9.0"), product, [board], condition=Condition.VERSION_NEWER)
    assert told(bench) == []
    assert bench.stand(rollout, board) == ("skipped", "condition_not_met")


def test_what_comes_after_one_that_does_not_fit_comes_at_once(bench: Bench, product: int) -> None:
    """Not a quarter of an hour later, when the device would be looked at anyway."""
    [board], others = listening(bench, product), bench.devices(product, 2)
    bench.ship(
        bench.artifact("0.9.0"), product, [board, *others], condition=Condition.VERSION_NEWER, on_conflict="queue"
    )
    bench.ship(bench.artifact(NEW), product, [board], on_conflict="queue")
    rounds = [told(bench) for _ in range(3)]
    assert [board.id] in rounds


def test_a_device_that_wants_no_updates_is_told_when_its_user_does(bench: Bench) -> None:
    product = bench.product(auto_update=False)
    [board] = listening(bench, product)
    bench.ship(bench.artifact(), product, [board])
    assert told(bench) == []
    with bench.call() as call:
        products.change(call, product, auto_update=True)
    ring(bench)
    assert told(bench) == [board.id]


def test_a_removed_device_is_not_offered_anything(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    bench.ship(bench.artifact(), product, [board])
    bench.remove_device(board)
    assert told(bench) == []


def test_a_paused_rollout_offers_nothing_until_it_goes_on(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    rollout = bench.ship(bench.artifact(), product, [board])
    bench.pause(rollout)
    assert told(bench) == []
    bench.resume(rollout)
    ring(bench)
    assert told(bench) == [board.id]


def test_who_came_back_during_a_pause_is_offered_it_again_after_it(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    rollout = bench.ship(bench.artifact(), product, [board])
    assert told(bench) == [board.id]
    bench.pause(rollout)
    bench.later(seconds=5)
    bench.back(board, version=OLD)
    assert told(bench) == []
    bench.later(seconds=5)
    bench.resume(rollout)
    ring(bench)
    assert told(bench) == [board.id]


def test_who_was_turned_away_while_it_was_paused_is_told_again(bench: Bench, product: int) -> None:
    [board] = listening(bench, product)
    rollout = bench.ship(bench.artifact(), product, [board])
    assert told(bench) == [board.id]
    bench.pause(rollout)
    bench.work(TurnedAway(board.id))  # it asked for the file, and was told that there is none
    ring(bench)
    assert told(bench) == []
    bench.resume(rollout)
    ring(bench)
    assert told(bench) == [board.id]
    assert bench.delivery(rollout, board).attempt == 1


def test_when_the_broker_has_kept_nothing_everybody_that_something_waits_for_is_looked_at(
    bench: Bench, product: int
) -> None:
    waiting, idle, gone = bench.devices(product, 3)
    bench.ship(bench.artifact(), product, [waiting, gone])
    bench.remove_device(gone)
    pushing.nobody_knows(bench.database, bench.now)
    assert [one.device_id for one in pushing.due(bench.database, bench.now, 10)] == [waiting.id]
    assert told(bench) == [waiting.id]
    assert idle.id not in told(bench)


def test_a_server_that_was_away_sends_standing_offers_again_and_hurries_broken_downloads(
    bench: Bench, product: int
) -> None:
    """Who was offered something while the server went down could not fetch it, and may not say so."""
    offered, fetching = listening(bench, product, 2)
    rollout = bench.ship(bench.artifact(), product, [offered, fetching])
    assert sorted(told(bench)) == [offered.id, fetching.id]
    bench.served(fetching, bench.delivery(rollout, fetching).attempt_id, State.DOWNLOADING)
    ring(bench)
    assert told(bench) == []
    pushing.begin_anew(bench.database, bench.settings, bench.now)
    assert told(bench) == [offered.id]
    assert bench.delivery(rollout, offered).attempt == 1
    assert bench.delivery(rollout, fetching).deadline_at == bench.now + bench.settings.resume_seconds * 1000
    bench.later(seconds=bench.settings.resume_seconds + 1)
    bench.worker().expire()
    assert bench.stand(rollout, fetching) == ("queued", "no_report")


class TestStop:
    """A device at the broker cannot be asked to cancel."""

    def test_an_offer_that_was_not_taken_up_is_withdrawn(self, bench: Bench, product: int) -> None:
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board])
        told(bench)
        bench.stop(rollout)
        assert bench.stand(rollout, board) == ("canceled", "stopped"), "at once, whether it is there or not"
        ring(bench)
        assert told(bench) == []
        assert bench.drift() == {}

    def test_so_is_one_that_was_made_while_it_was_being_stopped(self, bench: Bench, product: int) -> None:
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board])
        told(bench)
        with bench.call() as call:
            ledger = Ledger(call.connection, bench.settings, bench.now)
            [entry] = ledger.entries([bench.delivery(rollout, board).id])
            ledger.apply(entry, Cancel(), Note("operator"))
            ledger.flush()
        assert bench.stand(rollout, board) == ("offered", "")
        ring(bench)
        assert told(bench) == []
        assert bench.stand(rollout, board) == ("canceled", "stopped")

    def test_a_download_under_way_ends_as_it_ends(self, bench: Bench, product: int) -> None:
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board])
        told(bench)
        bench.served(board, bench.delivery(rollout, board).attempt_id, State.DOWNLOADING)
        bench.stop(rollout)
        ring(bench)
        assert told(bench) == []
        assert bench.stand(rollout, board) == ("downloading", "")
        bench.back(board, version=NEW)
        assert bench.stand(rollout, board) == ("succeeded", "")

    def test_an_offer_that_waits_in_the_outbox_is_dropped(self, bench: Bench, product: int) -> None:
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board])
        look(bench)
        bench.stop(rollout)
        [errand] = take(bench)
        assert errand.offered is None
        pushing.sent(bench.database, [errand.row_id], [], bench.now)
        assert waiting(bench) == []

    def test_the_next_one_comes_at_once_after_one_that_was_withdrawn(self, bench: Bench, product: int) -> None:
        object.__setattr__(bench.settings, "in_flight", "cancel")
        [board], others = listening(bench, product), bench.devices(product, 2)
        old = bench.ship(bench.artifact("1.5.0"), product, [board, *others])
        assert told(bench) == [board.id]
        new = bench.ship(bench.artifact(), product, [board])
        bench.worker().drain_outbox()
        ring(bench)
        rounds = [told(bench) for _ in range(3)]
        assert bench.stand(old, board) == ("canceled", "stopped")
        assert bench.stand(new, board) == ("offered", "")
        assert [board.id] in rounds


def test_decisions_at_once_offer_once(bench: Bench, product: int) -> None:
    """Two processes may meet for a moment when a lease changes hands."""
    boards = listening(bench, product, 10)
    rollout = bench.ship(bench.artifact(), product, boards)
    found = pushing.due(bench.database, bench.now, 100)
    for meanwhile in [
        Meanwhile(lambda: pushing.offer(bench.database, bench.settings, bench.now, found)) for _ in range(3)
    ]:
        meanwhile.outcome()
    assert bench.states(rollout) == {"offered": 10}
    assert {bench.delivery(rollout, board).attempt for board in boards} == {1}
    assert bench.drift() == {}


def test_a_day_of_looking_touches_nothing(bench: Bench, product: int) -> None:
    listening(bench, product, 3)
    for _ in range(100):
        bench.later(seconds=900)
        assert send(bench) == []
        look(bench)
    assert bench.now > NOON + DAY_MS
    assert waiting(bench) == []

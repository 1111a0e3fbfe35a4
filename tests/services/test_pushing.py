"""Offers to devices that listen at the broker: to whom, when, how often, and by which process."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.interrupt import Meanwhile
from tests.make import DAY_MS, NOON, Bench, Board

from airfreight.domain.conditions import Condition
from airfreight.domain.delivery import State
from airfreight.domain.windows import DayPart
from airfreight.services import deliveries, products, pushing
from airfreight.services.device_work import BrokenOff
from airfreight.services.pushing import Errand, Offered
from airfreight.store import outbox, tables
from airfreight.store.database import Database

OLD, NEW = "1.0.0", "2.0.0"


@pytest.fixture
def bench(database: Database, data_dir: Path) -> Bench:
    return Bench(database, data_dir, public_url="https://ota.example.com")


@pytest.fixture
def product(bench: Bench) -> int:
    return bench.product()


def listening(bench: Bench, product: int, count: int = 1) -> list[Board]:
    """Devices that have just come back with the old version."""
    boards = bench.devices(product, count)
    for board in boards:
        bench.back(board, version=OLD)
    return boards


def look(bench: Bench, absent: Iterable[Board] = (), limit: int = 1000) -> list[int]:
    """What the door does with those that are due; their ids."""
    found = pushing.due(bench.database, bench.now, limit)
    away = {board.id for board in absent}
    pushing.gone(bench.database, [one for one in found if one.device_id in away])
    present = [one for one in found if one.device_id not in away]
    pushing.offer(bench.database, bench.settings, bench.now, present)
    return [one.device_id for one in found]


def take(bench: Bench, limit: int = 1000) -> list[Errand]:
    return pushing.errands(bench.database, bench.settings, bench.keyring, bench.now, limit)


def send(bench: Bench) -> list[Offered]:
    """What is sent, all of it taken by the broker."""
    found = take(bench)
    pushing.sent(bench.database, [one.row_id for one in found], [], bench.now)
    return [one.offered for one in found if one.offered is not None]


def told(bench: Bench, absent: Iterable[Board] = ()) -> list[int]:
    """One round: who is sent an offer."""
    look(bench, absent)
    return [one.device_id for one in send(bench)]


def ring(bench: Bench) -> None:
    pushing.all_due(bench.database, bench.now)


def connection_of(bench: Bench, board: Board) -> Any:
    rows = bench.rows(select(tables.connections).where(tables.connections.c.device_id == board.id))
    return rows[0] if rows else None


def waiting(bench: Bench) -> list[Any]:
    """The rows of the outbox that are for the broker."""
    return bench.rows(select(tables.outbox).where(tables.outbox.c.kind.startswith("push.")))


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


class TestStop:
    """A device at the broker cannot be asked to cancel."""

    def test_an_offer_that_was_not_taken_up_is_withdrawn(self, bench: Bench, product: int) -> None:
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board])
        told(bench)
        bench.stop(rollout)
        assert bench.stand(rollout, board) == ("offered", "")
        ring(bench)
        assert told(bench) == []
        assert bench.stand(rollout, board) == ("canceled", "stopped")
        assert bench.drift() == {}

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


class TestOutbox:
    """What waits for the broker until it has taken it."""

    @staticmethod
    def _one(bench: Bench, product: int) -> tuple[int, Board, Errand]:
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board])
        look(bench)
        [errand] = take(bench)
        return rollout, board, errand

    def test_what_is_lost_is_sent_again_later_each_time_at_most_a_minute(self, bench: Bench, product: int) -> None:
        _, board, errand = self._one(bench, product)
        pauses = []
        for _ in range(9):
            pushing.sent(bench.database, [], [errand], bench.now)
            [row] = waiting(bench)
            pauses.append((row.due_at - bench.now) // 1000)
            assert take(bench) == []
            bench.now = type(bench.now)(row.due_at)
            [errand] = take(bench)
            assert errand.offered is not None
            assert errand.offered.device_id == board.id
        assert pauses[:3] == [2, 4, 8]
        assert pauses == sorted(pauses)
        assert pauses[-1] == 60

    def test_each_sending_has_a_url_that_is_good_from_then_on(self, bench: Bench, product: int) -> None:
        _, _, errand = self._one(bench, product)
        pushing.sent(bench.database, [], [errand], bench.now)
        bench.later(days=3)
        [again] = take(bench)
        assert errand.offered is not None
        assert again.offered is not None
        assert again.offered.url != errand.offered.url

    def test_what_a_process_took_and_never_sent_comes_back_after_a_minute(self, bench: Bench, product: int) -> None:
        _, _, errand = self._one(bench, product)
        bench.later(seconds=59)
        assert take(bench) == []
        bench.later(seconds=1)
        assert [one.row_id for one in take(bench)] == [errand.row_id]

    @pytest.mark.parametrize("since", ["downloading", "succeeded", "removed", "failed", "stopped", "deleted"])
    def test_what_is_not_true_any_more_is_not_sent(self, bench: Bench, product: int, since: str) -> None:
        rollout, board, errand = self._one(bench, product)
        pushing.sent(bench.database, [], [errand], bench.now)
        if since == "downloading":
            bench.served(board, bench.delivery(rollout, board).attempt_id, State.DOWNLOADING)
        elif since == "succeeded":
            bench.back(board, version=NEW)
        elif since == "removed":
            bench.remove_device(board)
        elif since == "failed":
            bench.report(board, bench.delivery(rollout, board).attempt_id, 1, "failed", "no_space")
        else:
            bench.stop(rollout)
            if since == "deleted":
                bench.delete(rollout)
        bench.later(seconds=61)
        [again] = take(bench)
        assert again.offered is None

    @pytest.mark.parametrize("since", ["paused", "closed"])
    def test_what_may_not_be_offered_now_is_not_sent_now_but_then(self, bench: Bench, product: int, since: str) -> None:
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board], day_part=DayPart.AFTERNOON)
        bench.later(seconds=4 * 3600)
        ring(bench)
        look(bench)
        [errand] = take(bench)
        pushing.sent(bench.database, [], [errand], bench.now)
        if since == "paused":
            bench.pause(rollout)
            bench.later(seconds=61)
        else:
            bench.later(seconds=3 * 3600)
        assert send(bench) == []
        if since == "paused":
            bench.resume(rollout)
        else:
            bench.later(seconds=21 * 3600)
        ring(bench)
        assert told(bench) == [board.id]

    def test_two_offers_to_one_device_are_sent_in_order(self, bench: Bench, product: int) -> None:
        _, board, first = self._one(bench, product)
        bench.later(seconds=1)
        bench.back(board, version=OLD)
        look(bench)
        assert len(waiting(bench)) == 2
        assert take(bench) == []
        pushing.sent(bench.database, [first.row_id], [], bench.now)
        assert len(take(bench)) == 1

    def test_the_worker_leaves_offers_alone_and_the_door_everything_else(self, bench: Bench, product: int) -> None:
        self._one(bench, product)
        assert len(waiting(bench)) == 1
        bench.later(seconds=61)
        with bench.database.write() as connection:
            outbox.add(
                connection,
                organization_id=bench.organization_id,
                stream="somebody",
                kind="pushed.not",
                body={"attempt": 1},
                now=bench.now,
            )
        assert [one.offered is not None for one in take(bench)] == [True]
        bench.later(seconds=61)
        assert bench.worker().drain_outbox() >= 1
        assert [kind for _, kind, _ in bench.ears.heard if kind.startswith("push.")] == []
        assert [kind for _, kind, _ in bench.ears.heard if kind == "pushed.not"] == ["pushed.not"]
        assert len(waiting(bench)) == 1
        assert len(take(bench)) == 1

    def test_a_hundred_offers_are_claimed_in_parts(self, bench: Bench, product: int) -> None:
        boards = listening(bench, product, 30)
        bench.ship(bench.artifact(), product, boards)
        look(bench)
        taken = [take(bench, limit=20), take(bench, limit=20), take(bench, limit=20)]
        assert [len(some) for some in taken] == [20, 10, 0]
        assert len({one.row_id for some in taken for one in some}) == 30


class TestExpiry:
    """An offer that is not taken up."""

    def test_the_worker_does_not_expire_it_the_device_may_be_away(self, bench: Bench, product: int) -> None:
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board])
        told(bench)
        bench.later(days=30)
        assert bench.worker().expire() == 0
        assert bench.stand(rollout, board) == ("offered", "")

    def test_it_expires_for_a_device_that_stayed_and_comes_again(self, bench: Bench, product: int) -> None:
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board])
        told(bench)
        bench.later(seconds=bench.settings.deadline_seconds)
        assert told(bench) == []
        assert bench.stand(rollout, board) == ("offered", "")
        bench.later(seconds=1201)
        assert told(bench) == []
        assert bench.stand(rollout, board) == ("queued", "no_report")
        assert bench.drift() == {}
        bench.now = connection_of(bench, board).due_at
        assert told(bench) == [board.id]

    def test_it_does_not_cost_a_try_while_the_device_was_away(self, bench: Bench, product: int) -> None:
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board])
        told(bench)
        bench.later(seconds=1201)
        look(bench, absent=[board])
        bench.later(days=3)
        bench.back(board, version=OLD)
        assert told(bench) == [board.id]
        assert (bench.delivery(rollout, board).attempt, bench.delivery(rollout, board).tries) == (1, 1)

    def test_nor_while_the_server_was_away(self, bench: Bench, product: int) -> None:
        """Nobody looked, so nobody knows whether the device was there."""
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board])
        told(bench)
        bench.later(days=3)
        bench.back(board, version=OLD)
        assert told(bench) == [board.id]
        assert (bench.delivery(rollout, board).attempt, bench.delivery(rollout, board).tries) == (1, 1)

    def test_a_download_that_broke_off_gets_a_minute_then_another_try(self, bench: Bench, product: int) -> None:
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board])
        told(bench)
        attempt = bench.delivery(rollout, board).attempt_id
        bench.served(board, attempt, State.DOWNLOADING)
        bench.work(BrokenOff(board.id, attempt))
        assert [row.event for row in bench.history(rollout, board)][-1] == "broken_off"
        bench.later(seconds=59)
        assert bench.worker().expire() == 0
        bench.later(seconds=2)
        assert bench.worker().expire() == 1
        assert bench.stand(rollout, board) == ("queued", "no_report")
        bench.now = connection_of(bench, board).due_at
        assert bench.now == bench.delivery(rollout, board).not_before
        assert told(bench) == [board.id]
        assert bench.drift() == {}

    def test_one_that_goes_on_within_the_minute_is_not_hurried(self, bench: Bench, product: int) -> None:
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board])
        told(bench)
        attempt = bench.delivery(rollout, board).attempt_id
        bench.served(board, attempt, State.DOWNLOADING)
        bench.work(BrokenOff(board.id, attempt))
        bench.later(seconds=30)
        bench.served(board, attempt, State.DOWNLOADING)
        bench.later(seconds=60)
        assert bench.worker().expire() == 0
        bench.served(board, attempt, State.DOWNLOADED)
        bench.later(seconds=3600)
        assert bench.worker().expire() == 0
        assert bench.stand(rollout, board) == ("downloaded", "")

    @pytest.mark.parametrize("wrong", ["device", "attempt", "state"])
    def test_only_the_download_that_broke_off_is_hurried(self, bench: Bench, product: int, wrong: str) -> None:
        board, other = listening(bench, product, 2)
        rollout = bench.ship(bench.artifact(), product, [board])
        told(bench)
        attempt = bench.delivery(rollout, board).attempt_id
        bench.served(board, attempt, State.DOWNLOADED if wrong == "state" else State.DOWNLOADING)
        said = {"device": (other.id, attempt), "attempt": (board.id, attempt + 1), "state": (board.id, attempt)}
        bench.work(BrokenOff(*said[wrong]))
        bench.later(seconds=120)
        assert bench.worker().expire() == 0


class TestLease:
    """One process at a time talks to the broker."""

    def test_only_one_has_it(self, bench: Bench) -> None:
        assert pushing.hold_line(bench.database, "a", bench.now)
        assert not pushing.hold_line(bench.database, "b", bench.now)
        assert pushing.hold_line(bench.database, "a", bench.now)

    def test_it_runs_out_twenty_seconds_after_it_was_last_renewed(self, bench: Bench) -> None:
        assert pushing.hold_line(bench.database, "a", bench.now)
        bench.later(seconds=15)
        assert pushing.hold_line(bench.database, "a", bench.now)
        bench.later(seconds=19.999)
        assert not pushing.hold_line(bench.database, "b", bench.now)
        bench.later(seconds=0.001)
        assert pushing.hold_line(bench.database, "b", bench.now)
        assert not pushing.hold_line(bench.database, "a", bench.now)

    def test_who_leaves_it_need_not_be_waited_for(self, bench: Bench) -> None:
        assert pushing.hold_line(bench.database, "a", bench.now)
        pushing.leave_line(bench.database, "b")
        assert not pushing.hold_line(bench.database, "b", bench.now)
        pushing.leave_line(bench.database, "a")
        assert pushing.hold_line(bench.database, "b", bench.now)
        pushing.leave_line(bench.database, "nobody")

    @pytest.mark.parametrize("until", ["free", "run out"])
    def test_of_many_at_once_one_gets_it(self, bench: Bench, until: str) -> None:
        if until == "run out":
            pushing.hold_line(bench.database, "the last one", bench.now)
            bench.later(seconds=20)
        takers = [
            Meanwhile(lambda name=name: pushing.hold_line(bench.database, name, bench.now))  # type: ignore[misc]
            for name in "abcdefgh"
        ]
        assert [taker.outcome() for taker in takers].count(True) == 1


def test_two_processes_never_send_one_row_twice(bench: Bench, product: int) -> None:
    boards = listening(bench, product, 40)
    bench.ship(bench.artifact(), product, boards)
    look(bench)

    def until_empty() -> list[int]:
        found = []
        while some := take(bench, limit=7):
            pushing.sent(bench.database, [one.row_id for one in some], [], bench.now)
            found += [one.offered.device_id for one in some if one.offered is not None]
        return found

    sent = [meanwhile.outcome() for meanwhile in [Meanwhile(until_empty), Meanwhile(until_empty)]]
    both = sorted(sent[0] + sent[1])
    assert both == sorted(set(both))
    if waiting(bench):  # rows that the other one had locked at the time
        both += until_empty()
    assert sorted(both) == sorted(board.id for board in boards)


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

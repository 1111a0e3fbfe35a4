"""Offers that wait for the broker, those that are not taken up, and the one process that sends them."""

from pathlib import Path

import pytest
from tests.interrupt import Meanwhile
from tests.make import Bench, Board
from tests.services.listening import NEW, OLD, connection_of, listening, look, ring, send, take, told, waiting

from airfreight.domain.delivery import State
from airfreight.domain.windows import DayPart
from airfreight.services import deliveries, pushing
from airfreight.services.device_work import BrokenOff
from airfreight.services.pushing import Errand
from airfreight.store import outbox
from airfreight.store.database import Database


@pytest.fixture
def bench(database: Database, data_dir: Path) -> Bench:
    return Bench(database, data_dir, public_url="https://ota.example.com")


@pytest.fixture
def product(bench: Bench) -> int:
    return bench.product()


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

    def test_nor_after_its_user_has_wanted_it(self, bench: Bench, product: int) -> None:
        [board] = listening(bench, product)
        rollout = bench.ship(bench.artifact(), product, [board])
        told(bench)
        with bench.call() as call:
            deliveries.consent(call, board.id)
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

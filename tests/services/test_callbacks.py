"""News of a rollout made in steps: what is said to which webhook, and when."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pytest
from sqlalchemy import select
from tests.interrupt import Meanwhile
from tests.make import Bench
from tests.services.steps import KIND, WORDS, Steps

from airfreight.domain.errors import Refusal
from airfreight.domain.phases import Phase
from airfreight.domain.webhooks import Place
from airfreight.services import callbacks, members, webhooks
from airfreight.services.callbacks import News, Told
from airfreight.store import outbox, tables
from airfreight.store.database import Database
from airfreight.worker import Worker


def said(news: News, told: Told, states: Sequence[str]) -> Sequence[Mapping[str, object]]:
    """A door that says all it is told."""
    points = [[one.state, one.standing] for one in told.change.points] if told.change else []
    return [
        {
            "news": news,
            "uid": told.member.uid if told.member else None,
            "points": points,
            "states": list(states),
            "bytes": {str(which): [row.done, row.total] for which, row in told.bytes.items()},
            "lines": list(told.lines),
        }
    ]


class Watched(Steps):
    """A rollout with one webhook for all news."""

    def __init__(self, bench: Bench, *, headless: bool = True, kinds: Sequence[News] = tuple(News)) -> None:
        super().__init__(bench, headless=headless)
        with bench.call() as call:
            row, _ = webhooks.create(call, name="hook", place=Place("https", "hooks.example.com", 443, "/x"))
            self.hook = row.uid
        for news in kinds:
            self.register(news)

    def register(self, news: News, hook: str | None = None, states: Sequence[str] = ()) -> None:
        with self.bench.call() as call:
            callbacks.register(call, KIND, self.uid, news, self.hook if hook is None else hook, states)

    def worker(self) -> Worker:
        bench = self.bench
        return Worker(bench.database, bench.settings, bench.blobs, bench.ears, lambda: bench.now, said)

    def heard(self) -> list[dict[str, Any]]:
        """What has been put into the webhook's line since the last look."""
        self.worker().drain_outbox()
        rows = self.bench.rows(select(tables.webhook_messages).order_by(tables.webhook_messages.c.id))
        new, self.seen = rows[getattr(self, "seen", 0) :], len(rows)
        return [json.loads(row.body) for row in new]

    def words(self) -> list[str]:
        return [one["news"] for one in self.heard()]


def test_every_step_of_a_device_is_told_in_order(bench: Bench) -> None:
    watched = Watched(bench)
    [board] = bench.devices(watched.product)
    watched.add([board])
    assert watched.words() == []
    watched.start()
    [woken] = watched.heard()
    assert (woken["news"], woken["uid"]) == ("wake_up", board.uid)
    told = bench.poll(board)
    [offered] = watched.heard()
    assert (offered["news"], offered["points"]) == ("state_change", [["queued", "open"], ["offered", "open"]])
    bench.report(board, told.attempt_id, 1, "downloading", bytes=((watched.artifact.id, 10, 20),))
    heard = watched.heard()
    assert [one["news"] for one in heard] == ["state_change", "download_progress"]
    assert heard[1]["bytes"] == {str(watched.artifact.id): [10, 20]}
    bench.report(board, told.attempt_id, 2, "downloaded")
    assert watched.words() == ["state_change", "wake_up"]
    bench.report(board, told.attempt_id, 3, "installing", lines=("verify", "execute"))
    heard = watched.heard()
    assert [one["news"] for one in heard] == ["state_change", "execution_progress"]
    assert heard[1]["lines"] == ["verify", "execute"]
    bench.report(board, told.attempt_id, 4, "succeeded")
    assert watched.words() == ["state_change", "completed"]
    bench.report(board, told.attempt_id, 4, "succeeded")
    assert watched.words() == []


def test_the_end_is_told_once_and_again_after_somebody_was_added(bench: Bench) -> None:
    watched = Watched(bench, kinds=[News.COMPLETED])
    boards = bench.devices(watched.product, 3)
    watched.add(boards[:2])
    watched.start()
    for board in boards[:2]:
        assert watched.words() == []
        bench.report(board, bench.poll(board).attempt_id, 1, "succeeded")
    assert watched.words() == ["completed"]
    watched.add(boards[2:])
    bench.report(boards[2], bench.poll(boards[2]).attempt_id, 1, "failed", "install_failed")
    assert watched.words() == ["completed"]


def test_a_slot_that_opens_by_itself_is_told_and_wakes(bench: Bench) -> None:
    watched = Watched(bench, headless=False, kinds=[News.STATE_CHANGE, News.WAKE_UP])
    [board] = bench.devices(watched.product)
    watched.add([board])
    watched.start()
    assert watched.words() == [], "nobody may begin yet"
    watched.schedule(board, Phase.DOWNLOAD, bench.now + 1000)
    [change] = watched.heard()
    assert change["points"] == [["queued", "unapproved"], ["queued", "scheduled"]]
    assert watched.worker().open_slots() == 0
    bench.later(seconds=1)
    assert watched.worker().open_slots() == 1
    assert watched.worker().open_slots() == 0
    change, woken = watched.heard()
    assert change["points"] == [["queued", "scheduled"], ["queued", "open"]]
    assert woken["news"] == "wake_up"


def test_a_slot_that_passes_unused_is_told(bench: Bench) -> None:
    watched = Watched(bench, headless=False, kinds=[News.STATE_CHANGE])
    [board] = bench.devices(watched.product)
    watched.add([board])
    watched.start()
    watched.schedule(board, Phase.DOWNLOAD, end=bench.now + 2000)
    watched.heard()
    bench.later(seconds=2)
    assert watched.worker().open_slots() == 1
    assert watched.worker().open_slots() == 0
    assert [one["points"] for one in watched.heard()] == [[["queued", "open"], ["queued", "unapproved"]]]


def test_the_slot_of_a_later_phase_says_nothing_when_it_begins(bench: Bench) -> None:
    watched = Watched(bench, kinds=[News.STATE_CHANGE, News.WAKE_UP])
    waiting, board = bench.devices(watched.product, 2)
    watched.add([waiting, board])
    watched.start()
    bench.report(board, bench.poll(board).attempt_id, 1, "downloaded")
    for one in (waiting, board):
        watched.schedule(one, Phase.ACTIVATE, bench.now + 1000)
    watched.heard()
    bench.later(seconds=1)
    assert watched.worker().open_slots() == 2
    assert watched.words() == []


def test_a_device_that_is_quicker_than_the_worker_is_told_of_with_its_slot(bench: Bench) -> None:
    watched = Watched(bench, headless=False, kinds=[News.STATE_CHANGE])
    [board] = bench.devices(watched.product)
    watched.add([board])
    watched.start()
    watched.schedule(board, Phase.DOWNLOAD, bench.now + 1000)
    watched.heard()
    bench.later(seconds=1)
    bench.report(board, bench.poll(board).attempt_id, 1, "downloading")
    assert watched.worker().open_slots() == 0
    assert [one["points"] for one in watched.heard()] == [
        [["queued", "scheduled"], ["queued", "open"], ["offered", "open"]],
        [["offered", "open"], ["downloading", None]],
    ]


def test_what_was_written_of_one_that_was_removed_meanwhile_is_told(bench: Bench) -> None:
    watched = Watched(bench, kinds=[News.STATE_CHANGE, News.COMPLETED])
    [board] = bench.devices(watched.product)
    watched.add([board])
    watched.start()
    bench.report(board, bench.poll(board).attempt_id, 1, "downloaded")
    watched.take_out([board])
    assert [one["points"][-1][0] for one in watched.heard()] == ["offered", "downloaded"]


def test_who_is_added_while_the_end_is_counted_has_an_end_of_its_own(bench: Bench) -> None:
    watched = Watched(bench, kinds=[News.COMPLETED])
    boards = bench.devices(watched.product, 2)
    watched.add(boards[:1])
    watched.start()
    watched.heard()
    watched.close(boards[0])
    with bench.call() as call:
        members.add(call, KIND, watched.uid, [boards[1].uid], WORDS)
        meanwhile = Meanwhile(watched.words)
        meanwhile.join(0.5)
    assert meanwhile.outcome() == []
    watched.close(boards[1])
    assert watched.words() == ["completed"]


def test_who_begins_or_ends_before_the_start_is_told_is_woken_like_all_others(bench: Bench) -> None:
    watched = Watched(bench, kinds=[News.WAKE_UP])
    boards = bench.devices(watched.product, 3)
    watched.add(boards)
    watched.start()
    bench.later(seconds=1)
    bench.report(boards[1], bench.poll(boards[1]).attempt_id, 1, "downloading")
    bench.report(boards[2], bench.poll(boards[2]).attempt_id, 1, "succeeded")
    assert [one["uid"] for one in watched.heard()] == [board.uid for board in boards]


def test_a_device_is_woken_by_hand(bench: Bench) -> None:
    watched = Watched(bench, kinds=[News.WAKE_UP])
    board, other = bench.devices(watched.product, 2)
    watched.add([board])
    with bench.call() as call:
        callbacks.notify(call, KIND, watched.uid, board.uid, WORDS)
        with pytest.raises(Refusal):
            callbacks.notify(call, KIND, watched.uid, other.uid, WORDS)
    assert [one["uid"] for one in watched.heard()] == [board.uid]


def test_who_is_registered_no_more_hears_nothing(bench: Bench) -> None:
    watched = Watched(bench, kinds=[News.STATE_CHANGE])
    [board] = bench.devices(watched.product)
    watched.add([board])
    watched.start()
    watched.register(News.STATE_CHANGE, states=["A", "B"])
    told = bench.poll(board)
    assert [one["states"] for one in watched.heard()] == [["A", "B"]]
    watched.register(News.STATE_CHANGE, "")
    bench.report(board, told.attempt_id, 1, "downloaded")
    assert watched.words() == []
    assert bench.rows(select(tables.outbox).where(tables.outbox.c.kind == "rollout.changes")) == []


def test_a_webhook_that_is_not_there_is_not_registered(bench: Bench) -> None:
    watched = Watched(bench, kinds=[])
    with pytest.raises(Refusal) as refusal:
        watched.register(News.COMPLETED, "00000000-0000-4000-8000-000000000000")
    assert refusal.value.code == "not_found"


def test_what_nobody_watches_costs_no_row(bench: Bench) -> None:
    steps = Steps(bench, headless=True)
    [board] = bench.devices(steps.product)
    steps.add([board])
    steps.start()
    bench.poll(board)
    assert bench.rows(select(tables.outbox).where(tables.outbox.c.kind.startswith("rollout.ch"))) == []


def test_what_has_piled_up_is_told_in_order_and_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "_CHANGES_AT_ONCE", 5)
    watched = Watched(bench, kinds=[News.STATE_CHANGE, News.COMPLETED])
    boards = bench.devices(watched.product, 3)
    watched.add(boards)
    watched.start()
    for board in boards:
        attempt = bench.poll(board).attempt_id
        bench.report(board, attempt, 1, "downloading")
        bench.report(board, attempt, 2, "downloaded")
        bench.later(seconds=1)
        bench.report(board, attempt, 3, "installing")
        bench.report(board, attempt, 4, "succeeded")
    piled = len(bench.rows(select(tables.outbox)))
    assert piled > 3 * callbacks._CHANGES_AT_ONCE / 2
    heard = watched.heard()
    states = ["offered", "downloading", "downloaded", "installing", "succeeded"]
    for board in boards:
        assert [one["points"][-1][0] for one in heard if one["uid"] == board.uid] == states
    assert [one["news"] for one in heard].index("completed") == len(heard) - 1, "after all else, and once"
    assert bench.rows(select(tables.outbox)) == []
    assert watched.heard() == []


def test_news_that_cannot_be_told_holds_back_only_what_is_behind_it(bench: Bench) -> None:
    watched = Watched(bench, kinds=[News.STATE_CHANGE])
    boards = bench.devices(watched.product, 3)
    watched.add(boards)
    watched.start()
    watched.heard()
    for board in boards:
        bench.poll(board)

    def stumbling(news: News, told: Told, states: Sequence[str]) -> Sequence[Mapping[str, object]]:
        if told.member.uid == boards[1].uid:
            raise LookupError
        return said(news, told, states)

    worker = Worker(bench.database, bench.settings, bench.blobs, bench.ears, lambda: bench.now, stumbling)
    for _ in range(3):
        worker.drain_outbox()
        bench.later(seconds=60)
    told = bench.rows(select(tables.webhook_messages.c.device_id))
    assert [row.device_id for row in told] == [boards[0].id]
    assert [one["uid"] for one in watched.heard()] == [board.uid for board in boards]


def test_a_worker_that_was_away_for_too_long_tells_nothing_twice(bench: Bench) -> None:
    watched = Watched(bench, kinds=[News.STATE_CHANGE])
    board = bench.devices(watched.product)[0]
    watched.add([board])
    watched.start()
    watched.heard()
    told = bench.poll(board)
    with bench.database.write() as connection:
        [row] = outbox.claim(connection, now=bench.now, until=bench.now + 60_000, limit=1)
    bench.later(seconds=60)
    assert len(watched.heard()) == 1
    callbacks.tell(bench.database, row, said)
    assert watched.heard() == []
    bench.report(board, told.attempt_id, 1, "downloading")  # on SQLite under the id that the row had
    callbacks.tell(bench.database, row, said)
    assert bench.rows(select(tables.webhook_messages.c.id))[1:] == []
    assert len(watched.heard()) == 1


def test_what_happens_while_something_is_told_is_told_next(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite the next row may have the id of the one that was just done."""
    watched = Watched(bench, kinds=[News.STATE_CHANGE])
    board = bench.devices(watched.product)[0]
    watched.add([board])
    watched.start()
    watched.heard()
    attempt = bench.poll(board).attempt_id
    tell, happens = callbacks.tell, ["downloading"]

    def tell_and_more(*given: Any) -> None:
        tell(*given)
        if happens:
            happens.pop()
            bench.report(board, attempt, 1, "downloading")

    monkeypatch.setattr(callbacks, "tell", tell_and_more)
    assert [one["points"][-1][0] for one in watched.heard()] == ["offered", "downloading"]


def test_two_workers_tell_what_has_piled_up_in_order_and_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callbacks, "_ROWS_AT_ONCE", 3)
    watched = Watched(bench, kinds=[News.STATE_CHANGE])
    boards = bench.devices(watched.product, 10)
    watched.add(boards)
    watched.start()
    watched.heard()
    for board in boards:
        attempt = bench.poll(board).attempt_id
        bench.report(board, attempt, 1, "downloading")
        bench.report(board, attempt, 2, "downloaded")
    processes = [Database(bench.database.engine.url.render_as_string(hide_password=False)) for _ in range(2)]

    def until_empty(database: Database) -> None:
        worker = Worker(database, bench.settings, bench.blobs, bench.ears, lambda: bench.now, said)
        while bench.rows(select(tables.outbox.c.id).limit(1)):
            worker.drain_outbox()

    for meanwhile in [Meanwhile(partial(until_empty, process)) for process in processes]:
        meanwhile.outcome()
    for process in processes:
        process.close()
    heard = watched.heard()
    for board in boards:
        states = [one["points"][-1][0] for one in heard if one["uid"] == board.uid]
        assert states == ["offered", "downloading", "downloaded"]

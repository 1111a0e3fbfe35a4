"""Rollouts that follow a live group."""

import pytest
from tests.make import Bench
from tests.services.steps import KIND, Steps

from airfreight.domain.errors import Refusal
from airfreight.services import followed_groups, groups


def follow(steps: Steps, group_uid: str, seconds: int) -> None:
    with steps.bench.call() as call:
        followed_groups.follow(call, KIND, steps.uid, group_uid, seconds)


def live(bench: Bench, text: str) -> str:
    with bench.call() as call:
        return str(groups.create_live(call, "old ones", text).uid)


def evaluate(bench: Bench) -> int:
    return followed_groups.evaluate(bench.database, bench.settings, bench.now)


def test_who_matches_is_added_again_and_again_and_nobody_twice(bench: Bench) -> None:
    steps = Steps(bench)
    boards = bench.devices(steps.product, 4)
    for board in boards[:2]:
        bench.tell(board, version="1.0.0")
    follow(steps, live(bench, 'version < "2.0.0"'), 60)
    assert evaluate(bench) == 0, "it has not started"
    steps.start()
    assert evaluate(bench) == 2
    assert evaluate(bench) == 0
    bench.tell(boards[2], version="1.5.0")
    assert evaluate(bench) == 0, "not before its time"
    bench.later(seconds=60)
    steps.take_out(boards[:1])
    steps.close(boards[1])
    assert evaluate(bench) == 1
    assert steps.members() == ([boards[1].uid, boards[2].uid], 2)
    assert bench.stand(steps.id, boards[0]) == ("canceled", "taken_out")
    bench.tell(boards[2], version="2.0.0")
    bench.later(seconds=60)
    assert evaluate(bench) == 0
    assert steps.members()[1] == 2, "who does not match any more stays"
    assert bench.drift() == {}


def test_without_an_interval_it_is_looked_at_once(bench: Bench) -> None:
    steps = Steps(bench)
    board, other = bench.devices(steps.product, 2)
    bench.tell(board, version="1.0.0")
    follow(steps, live(bench, "has(version)"), 0)
    steps.start()
    assert evaluate(bench) == 1
    bench.tell(other, version="1.0.0")
    bench.later(days=1)
    assert evaluate(bench) == 0


def test_a_held_rollout_adds_nobody(bench: Bench) -> None:
    steps = Steps(bench)
    [board] = bench.devices(steps.product)
    bench.tell(board, version="1.0.0")
    follow(steps, live(bench, "has(version)"), 10)
    steps.start()
    steps.hold()
    assert evaluate(bench) == 0
    steps.start()
    assert evaluate(bench) == 1


def test_a_group_that_is_gone_adds_nobody_and_says_so(bench: Bench) -> None:
    steps = Steps(bench)
    uid = live(bench, "has(version)")
    follow(steps, uid, 10)
    with bench.call() as call:
        assert followed_groups.followed(call, KIND, steps.uid) == (uid, 10)
        groups.remove(call, call.connection.exec_driver_sql("SELECT max(id) FROM groups").scalar_one())
        assert followed_groups.followed(call, KIND, steps.uid) == ("", 0)
    steps.start()
    assert evaluate(bench) == 0


def test_what_cannot_be_followed_is_refused(bench: Bench) -> None:
    steps = Steps(bench)
    with pytest.raises(Refusal) as refusal:
        follow(steps, "0" * 24, 10)
    assert refusal.value.code == "unknown_group"
    with pytest.raises(Refusal) as refusal:
        follow(steps, live(bench, "has(version)"), -1)
    assert refusal.value.code == "bad_interval"

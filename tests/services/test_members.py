"""Devices in a rollout made in steps: in, out, closed, and the time that their phases are given."""

import pytest
from tests.make import Bench, Board
from tests.services.steps import KIND, WORDS, Steps

from airfreight.domain.decide import Do
from airfreight.domain.delivery import Verdict
from airfreight.domain.errors import Refusal
from airfreight.domain.phases import Phase
from airfreight.services import members

HOUR = 3_600_000


@pytest.fixture
def steps(bench: Bench) -> Steps:
    return Steps(bench)


def test_every_phase_waits_for_its_word_and_a_word_given_early_counts(steps: Steps) -> None:
    bench = steps.bench
    [board] = bench.devices(steps.product)
    steps.add([board])
    assert bench.poll(board).decision.do is Do.NOTHING
    steps.start()
    told = bench.poll(board)
    assert (told.decision.do, told.decision.trace[-1].name) == (Do.NOTHING, "download time")
    steps.schedule(board, Phase.DOWNLOAD)
    steps.schedule(board, Phase.ACTIVATE, bench.now + HOUR, bench.now + 2 * HOUR)
    told = bench.poll(board)
    assert told.decision.do is Do.DOWNLOAD
    bench.report(board, told.attempt_id, 1, "downloaded")
    told = bench.poll(board)
    assert (told.decision.do, told.decision.trace[-1].name) == (Do.WAIT, "install time")
    steps.schedule(board, Phase.INSTALL)
    assert bench.poll(board).decision.do is Do.INSTALL
    bench.report(board, told.attempt_id, 2, "installed")
    told = bench.poll(board)
    assert (told.decision.do, told.decision.recheck_at) == (Do.WAIT, bench.now + HOUR)
    bench.later(seconds=3600)
    assert bench.poll(board).decision.do is Do.ACTIVATE
    bench.report(board, told.attempt_id, 3, "succeeded")
    assert bench.stand(steps.id, board) == ("succeeded", "")
    assert bench.rollout_state(steps.id) == "running", "devices may be added for ever"
    assert bench.drift() == {}


def test_who_waits_for_a_word_is_not_given_up(steps: Steps) -> None:
    bench = steps.bench
    [board] = bench.devices(steps.product)
    steps.add([board])
    steps.start()
    steps.schedule(board, Phase.DOWNLOAD)
    told = bench.poll(board)
    bench.report(board, told.attempt_id, 1, "downloaded")
    bench.later(days=30)
    assert bench.worker().expire() == 0
    steps.schedule(board, Phase.INSTALL, bench.now + HOUR)
    bench.later(seconds=3600)
    assert bench.worker().expire() == 0
    bench.later(days=2)
    assert bench.worker().expire() == 1, "now it has been silent when it was its turn"
    assert bench.stand(steps.id, board) == ("failed", "no_report")


def test_a_slot_that_passed_unused_is_gone(steps: Steps) -> None:
    bench = steps.bench
    [board] = bench.devices(steps.product)
    steps.add([board])
    steps.start()
    steps.schedule(board, Phase.DOWNLOAD, bench.now + HOUR, bench.now + 2 * HOUR)
    assert bench.poll(board).decision.recheck_at == bench.now + HOUR
    bench.later(seconds=2 * 3600)
    told = bench.poll(board)
    assert (told.decision.do, told.decision.recheck_at) == (Do.NOTHING, None)
    steps.schedule(board, Phase.DOWNLOAD)
    assert bench.poll(board).decision.do is Do.DOWNLOAD


def test_what_has_begun_is_given_no_time_any_more(steps: Steps) -> None:
    bench = steps.bench
    [board] = bench.devices(steps.product)
    steps.add([board])
    steps.start()
    steps.schedule(board, Phase.DOWNLOAD)
    told = bench.poll(board)
    bench.report(board, told.attempt_id, 1, "downloading")
    with pytest.raises(Refusal, match="has begun") as refusal:
        steps.schedule(board, Phase.DOWNLOAD)
    assert refusal.value.code == "begun"
    steps.schedule(board, Phase.INSTALL)


@pytest.mark.parametrize(("begin", "end"), [(-1, 0), (0, -1), (2 * HOUR, HOUR), (5, 5), (0, 1), (10**13, 0)])
def test_a_time_that_is_none_is_refused(steps: Steps, begin: int, end: int) -> None:
    [board] = steps.bench.devices(steps.product)
    steps.add([board])
    with pytest.raises(Refusal) as refusal:
        steps.schedule(board, Phase.DOWNLOAD, begin, end)
    assert refusal.value.code == "bad_time"


def test_a_device_is_taken_out_and_comes_back_as_new(steps: Steps) -> None:
    bench = steps.bench
    boards = bench.devices(steps.product, 3)
    assert steps.add(boards) == 3
    assert steps.add(boards) == 0
    steps.start()
    steps.schedule(boards[0], Phase.DOWNLOAD)
    told = bench.poll(boards[0])
    bench.report(boards[0], told.attempt_id, 1, "failed", "install_failed")
    assert bench.stand(steps.id, boards[0]) == ("failed", "install_failed")
    assert steps.take_out(boards[:2]) == 2
    assert steps.members() == ([boards[2].uid], 1)
    assert bench.poll(boards[1]).decision.do is Do.NOTHING
    assert steps.add(boards[:1]) == 1
    assert bench.stand(steps.id, boards[0]) == ("queued", "")
    assert bench.poll(boards[0]).decision.trace[-1].name == "download time", "it needs a word again"
    steps.schedule(boards[0], Phase.DOWNLOAD)
    again = bench.poll(boards[0])
    assert again.decision.do is Do.DOWNLOAD
    assert again.attempt_id != told.attempt_id
    assert steps.members()[1] == 2
    assert bench.drift() == {}


def test_a_closed_device_keeps_its_place_and_hears_nothing_more(steps: Steps) -> None:
    bench = steps.bench
    [board] = bench.devices(steps.product)
    steps.add([board])
    steps.start()
    steps.schedule(board, Phase.DOWNLOAD)
    told = bench.poll(board)
    bench.report(board, told.attempt_id, 1, "downloaded")
    for _ in range(2):
        steps.close(board)
        assert bench.stand(steps.id, board) == ("canceled", "closed")
    assert bench.delivery(steps.id, board).reached == 3
    assert bench.poll(board).decision.do is Do.NOTHING
    assert steps.members() == ([board.uid], 1)


def test_a_held_rollout_withholds_what_has_not_begun_and_goes_on_later(steps: Steps) -> None:
    bench = steps.bench
    [board] = bench.devices(steps.product)
    steps.add([board])
    steps.start()
    for phase in Phase:
        steps.schedule(board, phase)
    told = bench.poll(board)
    bench.report(board, told.attempt_id, 1, "downloaded")
    steps.hold()
    assert bench.poll(board).decision.do is Do.WAIT
    steps.start()
    assert bench.poll(board).decision.do is Do.INSTALL


def test_headless_artifacts_need_no_word(bench: Bench) -> None:
    steps = Steps(bench, headless=True)
    [board] = bench.devices(steps.product)
    steps.add([board])
    steps.start()
    told = bench.poll(board)
    bench.report(board, told.attempt_id, 1, "downloaded")
    assert bench.poll(board).decision.do is Do.INSTALL


def test_several_rollouts_queue_behind_one_another(bench: Bench) -> None:
    first, second = Steps(bench, headless=True), Steps(bench, headless=True)
    [board] = bench.devices(first.product)
    for one in (first, second):
        one.add([board])
        one.start()
    told = bench.poll(board)
    assert told.row is not None
    assert told.row.rollout_id == first.id
    bench.report(board, told.attempt_id, 1, "succeeded")
    told = bench.poll(board)
    assert told.row is not None
    assert told.row.rollout_id == second.id


def test_several_rollouts_go_in_the_order_in_which_they_were_started(bench: Bench) -> None:
    first, second = Steps(bench, headless=True), Steps(bench, headless=True)
    [board] = bench.devices(first.product)
    for one in (second, first):
        one.add([board])
        one.start()
        bench.later(seconds=1)
    told = bench.poll(board)
    assert told.row is not None
    assert told.row.rollout_id == second.id
    with bench.call() as call:
        assert members.active(call, KIND, board.uid, WORDS) == [second.uid, first.uid]
        assert members.standing(call, KIND, first.uid, board.uid, WORDS).has_one_ahead
        assert not members.standing(call, KIND, second.uid, board.uid, WORDS).has_one_ahead


def carried(steps: Steps, board: Board) -> list[str]:
    with steps.bench.call() as call:
        return [one.uid for one in members.artifacts_of(call, KIND, steps.uid, board.uid, WORDS)]


def test_who_has_begun_goes_on_with_what_it_has_when_the_rollout_carries_something_else(bench: Bench) -> None:
    steps, other = Steps(bench, headless=True), Steps(bench)
    boards = done, begun, offered, queued = bench.devices(steps.product, 4)
    steps.add(boards)
    steps.start()
    told = {board.id: bench.poll(board) for board in boards[:3]}
    assert bench.report(done, told[done.id].attempt_id, 1, "succeeded") is Verdict.MOVED
    assert bench.report(begun, told[begun.id].attempt_id, 1, "downloaded") is Verdict.MOVED
    steps.hold()
    steps.edit(artifacts=[other.artifact_uid])
    steps.start()
    assert [carried(steps, board) for board in (done, begun)] == [[steps.artifact_uid]] * 2
    assert [carried(steps, board) for board in (offered, queued)] == [[other.artifact_uid]] * 2
    again = bench.poll(begun)
    assert (again.decision.do, again.attempt_id) == (Do.INSTALL, told[begun.id].attempt_id)
    assert [one.uid for one in again.artifacts] == [steps.artifact_uid]
    assert bench.poll(queued).decision.do is Do.NOTHING, "what the new one needs is asked of those that get it"
    steps.take_out([begun])
    steps.add([begun])
    assert carried(steps, begun) == [other.artifact_uid], "from the beginning, with what it carries now"


def test_a_list_that_is_partly_wrong_changes_nothing_and_says_where(steps: Steps) -> None:
    bench = steps.bench
    boards = bench.devices(steps.product, 2)
    with bench.call() as call:
        for wrong, code, place in [
            ([boards[0].uid, "nobody"], "unknown_devices", "2"),
            ([boards[0].uid, boards[1].uid, boards[0].uid], "repeated", "3"),
            ([], "nobody", ""),
        ]:
            with pytest.raises(Refusal) as refusal:
                members.add(call, KIND, steps.uid, wrong, WORDS)
            assert refusal.value.code == code
            assert place in refusal.value.message
    assert steps.members() == ([], 0)
    with pytest.raises(Refusal) as refusal:
        steps.take_out(boards[:1])
    assert refusal.value.code == "no_member"

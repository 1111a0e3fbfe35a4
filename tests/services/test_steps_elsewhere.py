"""Rollouts made in steps, where another verb meets them: other artifacts under an offer, a resume, a stop, a clone."""

import pytest
from sqlalchemy import select
from tests.make import Bench, Board
from tests.services.steps import KIND, WORDS, Steps

from airfreight.domain.decide import Do
from airfreight.domain.delivery import Verdict
from airfreight.domain.errors import Kind, Refusal
from airfreight.services import members, members_behind, rollout_clone
from airfreight.services.rollout_clone import Which
from airfreight.store import tables


@pytest.fixture
def steps(bench: Bench) -> Steps:
    return Steps(bench, headless=True)


def other_artifact(bench: Bench) -> tuple[int, str]:
    made = bench.artifact("3.0.0")
    [row] = bench.rows(select(tables.artifacts.c.uid).where(tables.artifacts.c.id == made.id))
    return made.id, row.uid


def give(steps: Steps, board: Board, *uids: str) -> None:
    with steps.bench.call() as call:
        members.own_artifacts(call, KIND, steps.uid, board.uid, WORDS, list(uids))


def offered(steps: Steps) -> tuple[Board, int]:
    """A device that was told to download, and the attempt that it was told."""
    [board] = steps.bench.devices(steps.product)
    steps.add([board])
    steps.start()
    told = steps.bench.poll(board)
    assert (told.decision.do, [one.id for one in told.artifacts]) == (Do.DOWNLOAD, [steps.artifact.id])
    assert told.attempt_id is not None
    return board, told.attempt_id


def check_that_it_begins_anew(steps: Steps, board: Board, old: int, artifact_id: int) -> None:
    bench = steps.bench
    assert bench.report(board, old, 1, "downloaded") is Verdict.LATE, "what it has is not what it is to have now"
    assert bench.report(board, old, 2, "succeeded") is Verdict.LATE
    assert bench.stand(steps.id, board) == ("offered", "")
    told = bench.poll(board)
    assert (told.decision.do, [one.id for one in told.artifacts]) == (Do.DOWNLOAD, [artifact_id])
    assert told.attempt_id != old
    assert bench.report(board, told.attempt_id, 1, "succeeded") is Verdict.MOVED
    assert bench.stand(steps.id, board) == ("succeeded", "")
    assert bench.delivery(steps.id, board).tries == 1
    assert bench.drift() == {}


def test_a_device_with_the_files_of_its_offer_does_not_count_for_those_it_is_given_instead(steps: Steps) -> None:
    board, old = offered(steps)
    other_id, other_uid = other_artifact(steps.bench)
    give(steps, board, other_uid)
    check_that_it_begins_anew(steps, board, old, other_id)


def test_nor_does_it_when_the_rollout_is_given_others(steps: Steps) -> None:
    board, old = offered(steps)
    other_id, other_uid = other_artifact(steps.bench)
    steps.hold()
    steps.edit(artifacts=[other_uid])
    steps.start()
    check_that_it_begins_anew(steps, board, old, other_id)


def test_an_offer_of_files_of_its_own_stays_when_the_rollout_is_given_others(steps: Steps) -> None:
    bench = steps.bench
    [board] = bench.devices(steps.product)
    steps.add([board])
    own_id, own_uid = other_artifact(bench)
    give(steps, board, own_uid)
    steps.start()
    told = bench.poll(board)
    steps.hold()
    steps.edit(artifacts=[other_artifact(bench)[1]])
    steps.start()
    again = bench.poll(board)
    assert (again.attempt_id, [one.id for one in again.artifacts]) == (told.attempt_id, [own_id])


def test_what_was_never_started_is_not_resumed(steps: Steps) -> None:
    with pytest.raises(Refusal) as refused:
        steps.bench.resume(steps.id)
    assert (refused.value.kind, refused.value.code) == (Kind.CONFLICT, "wrong_state")
    assert steps.bench.rollout_state(steps.id) == "ready"


def test_what_carries_nothing_any_more_is_not_resumed(steps: Steps) -> None:
    steps.start()
    steps.hold()
    steps.edit(artifacts=[])
    with pytest.raises(Refusal) as refused:
        steps.bench.resume(steps.id)
    assert (refused.value.kind, refused.value.code) == (Kind.INVALID, "no_artifacts")
    assert steps.bench.rollout_state(steps.id) == "paused"


def test_what_was_stopped_for_good_does_not_say_that_it_starts_again(steps: Steps) -> None:
    steps.start()
    steps.bench.stop(steps.id)
    with pytest.raises(Refusal) as refused:
        steps.start()
    assert (refused.value.kind, refused.value.code) == (Kind.CONFLICT, "wrong_state")


def test_nobody_is_added_to_what_was_stopped_for_good(steps: Steps) -> None:
    steps.start()
    steps.bench.stop(steps.id)
    [board] = steps.bench.devices(steps.product)
    with pytest.raises(Refusal) as refused:
        steps.add([board])
    assert (refused.value.kind, refused.value.code) == (Kind.CONFLICT, "wrong_state")
    things = [members_behind.Wanted(board.uid, ("a thing",))]
    with pytest.raises(Refusal) as refused, steps.bench.call() as call:
        members_behind.add(call, KIND, steps.uid, things, WORDS)
    assert (refused.value.kind, refused.value.code) == (Kind.CONFLICT, "wrong_state")


def test_no_clone_goes_around_the_approval_and_the_words_that_a_rollout_in_steps_needs(bench: Bench) -> None:
    steps = Steps(bench)
    [board] = bench.devices(steps.product)
    steps.add([board])
    steps.start()
    bench.stop(steps.id)
    with pytest.raises(Refusal) as refused, bench.call() as call:
        rollout_clone.clone(call, steps.id, which=Which.ALL, title=None)
    assert (refused.value.kind, refused.value.code) == (Kind.CONFLICT, "in_steps")
    assert bench.poll(board).decision.do is Do.NOTHING


def test_what_is_deleted_before_it_was_started_frees_its_artifacts_at_every_door(steps: Steps) -> None:
    steps.bench.delete(steps.id)
    table = tables.rollout_artifacts
    assert steps.bench.rows(select(table.c.artifact_id).where(table.c.rollout_id == steps.id)) == []


def test_who_sleeps_is_told_at_whatever_door_it_goes_on(steps: Steps) -> None:
    bench = steps.bench
    with bench.database.write() as connection:
        connection.execute(tables.rollouts.update().where(tables.rollouts.c.id == steps.id).values(announces=True))

    def told() -> int:
        return [row.kind for row in bench.rows(select(tables.outbox.c.kind))].count("rollout.started")

    steps.start()
    assert told() == 1
    steps.start()
    assert told() == 1, "it is started already"
    bench.pause(steps.id)
    bench.resume(steps.id)
    assert told() == 2

"""A success that does not last: the device ran the old version, then the new one, and runs the old one again."""

from collections.abc import Callable

import pytest
from tests.make import BUILD, Bench, Board

from airfreight.apis.shipments import translate
from airfreight.domain.delivery import State
from airfreight.services import rollouts

OLD, NEW, THIRD = "1.0.0", "2.0.0", "9.9.9"
OTHER_BUILD = "Feb 19 2024 08:00:00"
Say = Callable[..., object]


@pytest.fixture(params=["broker", "native"])
def say(request: pytest.FixtureRequest, bench: Bench) -> Say:
    """How a device tells what it runs: at the broker, or with PUT attributes."""
    return bench.back if request.param == "broker" else bench.tell


def updated(bench: Bench, say: Say, board: Board, product: int, version: str = NEW, **policy: object) -> int:
    """A rollout that has just succeeded on the board."""
    rollout = bench.ship(bench.artifact(version), product, [board], **policy)
    bench.served(board, bench.poll(board).attempt_id, State.DOWNLOADED)
    say(board, version=version)
    assert bench.stand(rollout, board) == ("succeeded", "")
    return rollout


@pytest.fixture
def product(bench: Bench) -> int:
    return bench.product()


@pytest.fixture
def board(bench: Bench, say: Say, product: int) -> Board:
    [made] = bench.devices(product)
    say(made, version=OLD)
    return made


def buckets(bench: Bench, rollout: int) -> dict[str, int]:
    """The counters of the Shipments door that are not 0."""
    with bench.call() as call:
        view = rollouts.get(call, rollout)
    shown = translate.progress(view.counts, 1)
    counts = {name: getattr(shown, name) for name in shown.__struct_fields__ if name != "updatedAt"}
    return {name: n for name, n in counts.items() if n}


def test_old_new_old_is_a_rollback_exactly_counted(bench: Bench, say: Say, board: Board, product: int) -> None:
    rollout = updated(bench, say, board, product)
    assert (bench.rollout_state(rollout), buckets(bench, rollout)) == ("finished", {"success": 1})
    bench.later(seconds=30)
    say(board, version=OLD)
    assert bench.stand(rollout, board) == ("failed", "rolled_back")
    assert (bench.rollout_state(rollout), buckets(bench, rollout)) == ("finished", {"rollback": 1})
    assert bench.drift() == {}
    last = bench.history(rollout, board)[-1]
    assert (last.event, last.verdict, last.at, last.message) == ("revert", "moved", bench.now, f"runs {OLD}")


def test_it_is_not_offered_again(bench: Bench, say: Say, board: Board, product: int) -> None:
    rollout = updated(bench, say, board, product)
    say(board, version=OLD)
    bench.later(days=2)
    assert bench.poll(board).attempt_id is None
    assert bench.delivery(rollout, board).attempt == 1


def test_only_the_one_that_went_back_is_counted(bench: Bench, say: Say, product: int) -> None:
    boards = bench.devices(product, 5)
    for one in boards:
        say(one, version=OLD)
    rollout = bench.ship(bench.artifact(), product, boards)
    for one in boards:
        bench.served(one, bench.poll(one).attempt_id, State.DOWNLOADED)
        say(one, version=NEW)
    for one in boards[:2]:
        say(one, version=OLD)
    assert buckets(bench, rollout) == {"success": 3, "rollback": 2}
    assert bench.drift() == {}


def test_saying_it_again_and_again_counts_once(bench: Bench, say: Say, board: Board, product: int) -> None:
    rollout = updated(bench, say, board, product)
    for _ in range(3):
        say(board, version=OLD)
    assert [row.event for row in bench.history(rollout, board)].count("revert") == 1
    assert buckets(bench, rollout) == {"rollback": 1}
    assert bench.drift() == {}


def test_the_new_version_after_the_rollback_does_not_make_it_a_success_again(
    bench: Bench, say: Say, board: Board, product: int
) -> None:
    rollout = updated(bench, say, board, product)
    say(board, version=OLD)
    say(board, version=NEW)
    assert bench.stand(rollout, board) == ("failed", "rolled_back")
    say(board, version=OLD)
    assert buckets(bench, rollout) == {"rollback": 1}


def test_another_version_than_the_one_before_is_no_rollback(bench: Bench, say: Say, board: Board, product: int) -> None:
    rollout = updated(bench, say, board, product)
    say(board, version=THIRD)
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_a_device_that_ran_the_wanted_version_before_has_not_gone_back_to_the_old_one(
    bench: Bench, say: Say, product: int
) -> None:
    [made] = bench.devices(product)
    say(made, version=NEW)
    rollout = updated(bench, bench.back, made, product)
    say(made, version=THIRD)
    say(made, version=NEW)
    assert bench.stand(rollout, made) == ("succeeded", "")


def test_over_a_third_version_it_is_one_all_the_same(bench: Bench, say: Say, board: Board, product: int) -> None:
    rollout = updated(bench, say, board, product)
    say(board, version=THIRD)
    say(board, version=OLD)
    assert bench.stand(rollout, board) == ("failed", "rolled_back")


def test_a_device_that_was_never_updated_has_not_gone_back(bench: Bench, say: Say, product: int) -> None:
    """It was skipped, canceled, or never had a rollout at all."""
    skipped, canceled, untouched = boards = bench.devices(product, 3)
    for one in boards:
        say(one, version=OLD)
    stopped = bench.ship(bench.artifact(), product, [canceled])
    bench.stop(stopped)
    late = bench.ship(bench.artifact(), product, [skipped])
    bench.poll(skipped)
    bench.later(days=1)
    bench.worker().expire()
    for one in boards:
        say(one, version=NEW)
    bench.later(days=1)
    bench.poll(skipped)
    assert bench.stand(late, skipped) == ("skipped", "already_running")
    for one in (skipped, canceled, untouched):
        say(one, version=OLD)
    assert bench.stand(late, skipped) == ("skipped", "already_running")
    assert bench.stand(stopped, canceled) == ("canceled", "stopped")
    assert bench.drift() == {}


def test_a_device_that_said_nothing_before_the_update_cannot_be_seen_going_back(
    bench: Bench, say: Say, product: int
) -> None:
    [made] = bench.devices(product)
    rollout = updated(bench, say, made, product)
    say(made, version=OLD)
    assert bench.stand(rollout, made) == ("succeeded", "")


def test_after_the_next_rollout_the_old_one_keeps_its_success(
    bench: Bench, say: Say, board: Board, product: int
) -> None:
    first = updated(bench, say, board, product)
    second = updated(bench, say, board, product, "3.0.0")
    say(board, version=OLD)
    assert bench.stand(first, board) == ("succeeded", "")
    assert bench.stand(second, board) == ("succeeded", "")
    say(board, version="3.0.0")
    say(board, version=NEW)
    assert bench.stand(second, board) == ("failed", "rolled_back")
    assert bench.stand(first, board) == ("succeeded", "")
    assert bench.drift() == {}


def test_an_operator_who_takes_it_back_to_the_old_version_does_not_make_it_a_rollback(
    bench: Bench, say: Say, board: Board, product: int
) -> None:
    first = updated(bench, say, board, product)
    second = updated(bench, say, board, product, OLD)
    assert bench.stand(first, board) == ("succeeded", "")
    assert bench.stand(second, board) == ("succeeded", "")


@pytest.mark.parametrize("stood", [State.OFFERED, State.DOWNLOADING])
def test_while_a_newer_rollout_is_under_way_the_old_one_keeps_its_success(
    bench: Bench, say: Say, board: Board, product: int, stood: State
) -> None:
    first = updated(bench, say, board, product)
    second = bench.ship(bench.artifact("3.0.0"), product, [board])
    attempt = bench.poll(board).attempt_id
    if stood is State.DOWNLOADING:
        bench.served(board, attempt, stood)
    say(board, version=OLD)
    assert bench.stand(first, board) == ("succeeded", "")
    assert bench.delivery(second, board).state in {"offered", "downloading", "queued"}
    assert bench.drift() == {}


def test_between_two_tries_of_a_newer_rollout_the_old_one_keeps_its_success(
    bench: Bench, say: Say, board: Board, product: int
) -> None:
    first = updated(bench, say, board, product)
    second = bench.ship(bench.artifact("3.0.0"), product, [board])
    bench.report(board, bench.poll(board).attempt_id, 1, "failed", "install_failed")
    assert bench.stand(second, board) == ("queued", "install_failed")
    say(board, version=OLD)
    assert bench.stand(first, board) == ("succeeded", "")


def test_the_old_build_of_the_same_version_is_a_rollback(bench: Bench, say: Say, product: int) -> None:
    [made] = bench.devices(product)
    say(made, version=NEW, build=OTHER_BUILD)
    rollout = bench.ship(bench.artifact(NEW, BUILD), product, [made])
    bench.served(made, bench.poll(made).attempt_id, State.DOWNLOADED)
    say(made, version=NEW, build=BUILD)
    assert bench.stand(rollout, made) == ("succeeded", "")
    say(made, version=NEW, build=OTHER_BUILD)
    assert bench.stand(rollout, made) == ("failed", "rolled_back")


def test_the_same_version_in_another_spelling_is_no_rollback(
    bench: Bench, say: Say, board: Board, product: int
) -> None:
    rollout = updated(bench, say, board, product)
    say(board, version="v2.0")
    say(board, rxbuff=1024)
    assert bench.stand(rollout, board) == ("succeeded", "")
    say(board, version="v1.0")
    assert bench.stand(rollout, board) == ("failed", "rolled_back")


def test_a_success_on_the_devices_word_is_not_taken_back_for_standing_still(
    bench: Bench, say: Say, product: int
) -> None:
    """Its file names no version; that the device says a build for the first time is no going back."""
    [made] = bench.devices(product)
    say(made, version=OLD)
    rollout = bench.ship(bench.artifact(""), product, [made])
    bench.report(made, bench.poll(made).attempt_id, 1, "succeeded")
    for info in ({"version": OLD}, {"build": BUILD}, {"version": OLD, "build": BUILD}):
        say(made, **info)
    assert bench.stand(rollout, made) == ("succeeded", "")


def test_a_running_rollout_of_a_whole_product_goes_on(bench: Bench, say: Say, product: int) -> None:
    [made] = bench.devices(product)
    say(made, version=OLD)
    rollout = bench.ship(bench.artifact(), product)
    bench.served(made, bench.poll(made).attempt_id, State.DOWNLOADED)
    say(made, version=NEW)
    say(made, version=OLD)
    assert (bench.rollout_state(rollout), buckets(bench, rollout)) == ("running", {"rollback": 1})
    [other] = bench.devices(product)
    say(other, version=OLD)
    assert bench.poll(other).row is not None


@pytest.mark.parametrize("verb", ["stop", "delete"])
def test_a_rollout_that_is_over_or_out_of_sight_is_still_counted_right(
    bench: Bench, say: Say, product: int, verb: str
) -> None:
    [made] = bench.devices(product)
    say(made, version=OLD)
    rollout = bench.ship(bench.artifact(), product)
    bench.served(made, bench.poll(made).attempt_id, State.DOWNLOADED)
    say(made, version=NEW)
    bench.stop(rollout)
    if verb == "delete":
        bench.delete(rollout)
    say(made, version=OLD)
    assert bench.stand(rollout, made) == ("failed", "rolled_back")
    assert bench.rollout_state(rollout) == "stopped"
    assert bench.drift() == {}


def test_both_words_in_one_batch_of_two_devices(bench: Bench, say: Say, product: int) -> None:
    from airfreight.services.device_work import Returned, SetAttributes

    one, other = boards = bench.devices(product, 2)
    for made in boards:
        say(made, version=OLD)
    rollouts_made = [updated(bench, say, made, product) for made in boards]
    bench.work(Returned(one.id, {"version": OLD}), SetAttributes(other.digest, {"version": OLD}))
    for rollout, made in zip(rollouts_made, boards, strict=True):
        assert bench.stand(rollout, made) == ("failed", "rolled_back")


def test_a_copy_never_takes_a_success_back(bench: Bench, say: Say, board: Board, product: int) -> None:
    """Of an old message: the broker kept it, or sends it again because the line broke before it was acknowledged."""
    rollout = updated(bench, say, board, product)
    bench.copy(board, version=OLD)
    bench.copy(board, version=NEW)
    assert bench.stand(rollout, board) == ("succeeded", "")

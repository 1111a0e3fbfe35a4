"""Who says that a delivery has succeeded: the version that comes back, or (where a file carries none) the device."""

import pytest
from tests.make import BUILD, Bench, Board

from airfreight.domain.conditions import Condition
from airfreight.domain.decide import Do
from airfreight.domain.delivery import Verdict

OTHER_BUILD = "Feb 19 2024 08:00:00"


def activating(bench: Bench, version: str = "2.0.0", build: str = "", **policy: object) -> tuple[int, Board, int]:
    """A device on 1.0.0 that has just begun to activate."""
    product = bench.product()
    [board] = bench.devices(product)
    bench.tell(board, version="1.0.0")
    rollout = bench.ship(bench.artifact(version, build), product, [board], **policy)
    attempt = bench.poll(board).attempt_id or 0
    assert bench.report(board, attempt, 1, "activating") is Verdict.MOVED
    return rollout, board, attempt


def test_the_version_that_comes_back_is_the_success(bench: Bench) -> None:
    rollout, board, _ = activating(bench)
    bench.tell(board, version="2.0.0")
    assert bench.stand(rollout, board) == ("succeeded", "")
    assert bench.rollout_state(rollout) == "finished"


def test_a_claim_of_success_alone_only_says_that_it_is_activating(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    bench.tell(board, version="1.0.0")
    rollout = bench.ship(bench.artifact("2.0.0"), product, [board])
    attempt = bench.poll(board).attempt_id
    assert bench.report(board, attempt, 1, "succeeded") is Verdict.MOVED
    assert bench.stand(rollout, board) == ("activating", "")
    bench.tell(board, version="2.0.0")
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_without_a_version_in_the_file_the_claim_counts(bench: Bench) -> None:
    rollout, board, attempt = activating(bench, version="")
    bench.tell(board, version="7.7.7")
    assert bench.stand(rollout, board) == ("activating", "")
    assert bench.report(board, attempt, 2, "succeeded") is Verdict.MOVED
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_the_old_version_that_comes_back_is_a_rollback_and_final(bench: Bench) -> None:
    rollout, board, _ = activating(bench)
    bench.tell(board, version="1.0.0")
    assert bench.stand(rollout, board) == ("failed", "rolled_back")
    assert bench.rollout_state(rollout) == "finished"


def test_a_third_version_that_comes_back_is_the_wrong_one(bench: Bench) -> None:
    rollout, board, _ = activating(bench)
    bench.tell(board, version="9.9.9")
    assert bench.stand(rollout, board) == ("failed", "wrong_version")


@pytest.mark.parametrize("word", ["downloading", "downloaded", "installing", "installed"])
@pytest.mark.parametrize("version", ["1.0.0", "9.9.9"])
def test_before_activating_a_device_runs_something_else_by_right(bench: Bench, word: str, version: str) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    bench.tell(board, version="1.0.0")
    rollout = bench.ship(bench.artifact("2.0.0"), product, [board])
    attempt = bench.poll(board).attempt_id
    bench.report(board, attempt, 1, word)  # type: ignore[arg-type]
    bench.tell(board, version=version)
    assert bench.stand(rollout, board) == (word, "")


def test_a_device_that_was_only_offered_it_and_comes_back_with_it_has_it(bench: Bench) -> None:
    """Its reports were lost, its version was not."""
    product = bench.product()
    [board] = bench.devices(product)
    bench.tell(board, version="1.0.0")
    rollout = bench.ship(bench.artifact("2.0.0"), product, [board])
    bench.poll(board)
    bench.tell(board, version="2.0.0")
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_a_version_told_again_proves_nothing_before_activating(bench: Bench) -> None:
    """It ran this version before the offer, too: another build of the same version, say."""
    product = bench.product()
    [board] = bench.devices(product)
    bench.tell(board, version="2.0.0")
    rollout = bench.ship(bench.artifact("2.0.0"), product, [board])
    attempt = bench.poll(board).attempt_id
    bench.tell(board, version="2.0.0")
    assert bench.stand(rollout, board) == ("offered", "")
    bench.report(board, attempt, 1, "activating")
    bench.tell(board, version="2.0.0")
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_the_same_version_with_another_build_is_not_it(bench: Bench) -> None:
    rollout, board, _ = activating(bench, build=BUILD)
    bench.tell(board, version="2.0.0", build=OTHER_BUILD)
    assert bench.stand(rollout, board) == ("failed", "wrong_version")


def test_version_and_build_that_agree_are_it(bench: Bench) -> None:
    rollout, board, _ = activating(bench, build=BUILD)
    bench.tell(board, version="v2.0", build=BUILD.replace("  ", " 0"))
    assert bench.stand(rollout, board) == ("succeeded", "")


def test_attributes_without_a_version_judge_nothing(bench: Bench) -> None:
    rollout, board, _ = activating(bench)
    assert bench.tell(board, colour="red", board="ESP32")["colour"] == "red"
    assert bench.stand(rollout, board) == ("activating", "")


def test_a_late_report_after_the_version_has_spoken_changes_nothing(bench: Bench) -> None:
    rollout, board, attempt = activating(bench)
    bench.tell(board, version="2.0.0")
    assert bench.report(board, attempt, 2, "failed", "install_failed") is Verdict.LATE
    assert bench.stand(rollout, board) == ("succeeded", "")
    assert bench.drift() == {}


def test_a_device_that_got_it_in_a_try_that_was_thought_lost_is_not_asked_again(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    bench.tell(board, version="1.0.0")
    rollout = bench.ship(bench.artifact("2.0.0"), product, [board])
    bench.poll(board)
    bench.later(days=1)
    assert bench.worker().expire() == 1
    bench.tell(board, version="2.0.0")
    bench.later(seconds=60)
    assert bench.poll(board).decision.do is Do.NOTHING
    assert bench.stand(rollout, board) == ("skipped", "already_running")


@pytest.mark.parametrize(
    ("condition", "version", "reason"),
    [
        (Condition.VERSION_NEWER, "2.0.0", "condition_not_met"),
        (Condition.VERSION_NEWER, "3.0.0", "condition_not_met"),
        (Condition.VERSION_NEWER, "", "condition_not_met"),
        (Condition.VERSION_NEWER, "1.9.9", ""),
        (Condition.NONE, "3.0.0", ""),
    ],
)
def test_a_device_that_does_not_fit_is_skipped_at_its_poll(
    bench: Bench, condition: Condition, version: str, reason: str
) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    bench.tell(board, version=version)
    rollout = bench.ship(bench.artifact("2.0.0"), product, [board], condition=condition)
    bench.poll(board)
    assert bench.stand(rollout, board) == ("skipped" if reason else "offered", reason)


def test_a_condition_waits_for_a_device_that_has_not_told_what_it_runs(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    rollout = bench.ship(bench.artifact("2.0.0"), product, [board], condition=Condition.VERSION_NEWER)
    assert bench.poll(board).decision.do is Do.NOTHING
    assert bench.stand(rollout, board) == ("queued", "")
    bench.tell(board, version="1.0.0")
    assert bench.poll(board).decision.do is Do.DOWNLOAD


def test_a_file_for_another_type_is_never_offered(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    rollout = bench.ship(bench.artifact("2.0.0", fw_type="toaster"), product, [board], check_type=True)
    bench.tell(board, fwType="kettle")
    assert bench.poll(board).decision.do is Do.NOTHING
    assert bench.stand(rollout, board) == ("skipped", "type_mismatch")


def test_a_version_without_a_build_makes_the_old_build_unknown(bench: Bench) -> None:
    product = bench.product()
    [board] = bench.devices(product)
    bench.tell(board, version="1.0.0", build=BUILD)
    assert bench.tell(board, version="1.1.0") == {"version": "1.1.0"}
    assert bench.tell(board, version="1.1.0", build=BUILD)["build"] == BUILD
    assert bench.tell(board, version="1.1.0")["build"] == BUILD

"""A device that nothing holds back, and ways to change it: what the tests of `decide` start from."""

from dataclasses import replace

from airfreight.domain.conditions import Condition, Facts
from airfreight.domain.decide import Device, Plan, Snapshot
from airfreight.domain.delivery import RANK, Delivery, State
from airfreight.domain.ids import Millis
from airfreight.domain.rollout import RolloutState
from airfreight.domain.windows import DayPart

NOW = Millis(1_773_144_000_000)  # 2026-03-10 12:00 UTC, 14:00 in Kyiv
MIDNIGHT_IN_KYIV = Millis(1_773_180_000_000)  # 2026-03-10 22:00 UTC
HOUR = 3_600_000
NIGHT_FOR_DEVICE_7 = Millis(MIDNIGHT_IN_KYIV + 1_174_456)  # its place in the herd, 0.326, of the hour after midnight
NOON_IN_KYIV = Millis(NOW - 2 * HOUR)

FIT = Snapshot(
    Device(
        7, reported=True, facts=Facts("1.0", library_version="0.9"), fw_type="esp32", time_zones=("", "Europe/Kyiv")
    ),
    Delivery(attempt=2, tries=2),
    Plan(
        RolloutState.RUNNING,
        artifact=Facts("2.0", library_version="1.0"),
        fw_type="esp32",
        condition=Condition.VERSION_NEWER,
        check_type=True,
        window=DayPart.AFTERNOON,
    ),
    not_before=NOW,
    tries_since=Millis(NOW - HOUR),
)
"""A queued delivery that nothing holds back."""


def with_plan(snapshot: Snapshot, **changes: object) -> Snapshot:
    assert snapshot.plan is not None
    return replace(snapshot, plan=replace(snapshot.plan, **changes))  # type: ignore[arg-type]


def with_device(snapshot: Snapshot, **changes: object) -> Snapshot:
    return replace(snapshot, device=replace(snapshot.device, **changes))  # type: ignore[arg-type]


def consented(snapshot: Snapshot) -> Snapshot:
    assert snapshot.delivery is not None
    return replace(snapshot, delivery=replace(snapshot.delivery, consented=True))


def standing_in(state: State, *, wished: bool = False) -> Snapshot:
    """FIT, but in `state` of the six."""
    return replace(FIT, delivery=Delivery(state, cancel_requested=wished, reached=RANK[state]))

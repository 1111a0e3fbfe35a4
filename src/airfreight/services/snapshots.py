"""From a row of deliveries to what the domain looks at."""

from airfreight.domain import phases
from airfreight.domain.conditions import Condition, Facts
from airfreight.domain.decide import Device, Plan, Snapshot
from airfreight.domain.delivery import Delivery, Reason, State
from airfreight.domain.ids import Millis
from airfreight.domain.rollout import RolloutState
from airfreight.domain.windows import DayPart
from airfreight.store.deliveries import Row


def delivery_of(row: Row) -> Delivery:
    """The pure part of a row."""
    return Delivery(
        state=State(row.state),
        attempts_limit=row.attempts_limit,
        attempt=row.attempt,
        tries=row.tries,
        cancel_requested=bool(row.cancel_requested),
        consented=bool(row.consented),
        reached=row.reached,
        reason=Reason(row.reason) if row.reason else None,
    )


def snapshot(row: Row) -> Snapshot:
    """What `decide` looks at, from a row as read."""
    device = Device(
        id=row.device_id,
        enabled=bool(row.enabled),
        reported=row.attributes_at is not None,
        facts=Facts(row.device_version, row.device_build, row.device_library_version),
        fw_type=row.device_fw_type,
        board=row.device_board,
        component=row.device_component,
        auto_update=bool(row.product_auto_update if row.device_auto_update is None else row.device_auto_update),
        asks_user=bool(row.asks_user),
        time_zones=(row.device_time_zone, row.product_time_zone, row.organization_time_zone),
    )
    if row.id is None:
        return Snapshot(device)
    plan = Plan(
        state=RolloutState(row.rollout_state),
        artifact=Facts(row.artifact_version, row.artifact_build, row.artifact_library_version),
        fw_type=row.artifact_fw_type,
        board=row.artifact_board,
        component=row.artifact_component,
        condition=Condition(row.condition),
        check_type=bool(row.check_type),
        critical=bool(row.critical),
        window=DayPart(row.day_part),
        started_at=None if row.started_at is None else Millis(row.started_at),
        reset_period_ms=row.reset_period_ms,
        superseded=is_superseded(row),
        needs_word=bool(row.needs_word),
        early_download=bool(row.early_download),
    )
    not_before = None if row.not_before is None else Millis(row.not_before)
    tries_since = None if row.tries_since is None else Millis(row.tries_since)
    before = Facts(row.from_version, row.from_build)
    return Snapshot(device, delivery_of(row), plan, before, not_before, tries_since, phases.decode(row.slots))


def is_superseded(row: Row) -> bool:
    """Whether a newer rollout has come for the device, and this one is of the kind that gives way."""
    return row.on_conflict == "supersede" and (row.newest_rollout_id or 0) > row.rollout_id

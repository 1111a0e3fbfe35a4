"""Why a device is or is not updated, and what happened to it: the same decision that its next poll gets."""

from dataclasses import dataclass
from typing import Any

from airfreight.domain.access import Permission
from airfreight.domain.decide import Decision
from airfreight.domain.errors import not_found
from airfreight.services.call import Call
from airfreight.services.deliveries import answer_for, choose, rows_of
from airfreight.store import deliveries as store
from airfreight.store import progress, rollouts
from airfreight.store.deliveries import Row


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision that a device's next poll gets, one sentence on it, and the device's latest deliveries."""

    decision: Decision
    summary: str
    latest: list[Any]


def explain(call: Call, device_id: int) -> Explanation:
    """Why a device is or is not updated now. Raises NOT_FOUND."""
    call.need(Permission.DEVICE_VIEW)
    rows = rows_of(call, device_id)
    decision = answer_for(choose(rows), call.now).decision
    latest = store.of_device(call.connection, rows[0].organization_id, device_id, 20)
    return Explanation(decision, _summary(decision, rows[0], latest), latest)


def _summary(decision: Decision, row: Row, latest: list[Any]) -> str:
    """The check that decided; how the last rollout went when none waits; and whether the device was ever heard of."""
    deciding_check = decision.trace[-1]
    words = f"{deciding_check.name}: {deciding_check.detail}"
    if row.id is None and latest:
        last = latest[0]
        words += f"; the last one, {last.title!r}, {last.state}" + (f" ({last.reason})" if last.reason else "")
    if row.attributes_at is None:
        words += "; the device has never sent its attributes"
    return words


_MOST_LINES = 2000


@dataclass(frozen=True, slots=True)
class Happening:
    """A row of the history, and what the device printed with it."""

    row: Any
    lines: list[str]


def history(call: Call, rollout_id: int, delivery_id: int) -> list[Happening]:
    """What happened to a delivery of a rollout, oldest first. Raises NOT_FOUND."""
    call.need(Permission.OTA_VIEW)
    rows = [row for row in store.by_id(call.connection, [delivery_id]) if row.rollout_id == rollout_id]
    if not rows or rollouts.get(call.connection, call.organization_id, rollout_id) is None:
        raise not_found("Delivery")
    lines = progress.lines_by_time(call.connection, delivery_id, _MOST_LINES)
    told = store.history_of(call.connection, call.organization_id, delivery_id, call.settings.history_limit + 50)
    return [Happening(row, lines.pop(row.at, []) if row.actor == "device" else []) for row in told]

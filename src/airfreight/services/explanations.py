"""Why a device is or is not updated, and what happened to it: the same decision that its next poll gets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airfreight.domain.access import Permission
from airfreight.domain.decide import Decision
from airfreight.domain.delivery import Reason
from airfreight.domain.errors import Refusal, not_found
from airfreight.services import standings
from airfreight.services.call import Call
from airfreight.services.deliveries import answer_for, choose, rows_of
from airfreight.services.snapshots import is_superseded
from airfreight.store import deliveries as store
from airfreight.store import devices, progress, rollouts, seen
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
    turn = choose(rows)
    decision = answer_for(turn, call.now).decision
    latest = store.of_device(call.connection, turn.organization_id, device_id, 20)
    words = _idle(call, turn, latest) if turn.id is None else _busy(call, turn, rows, latest)
    return Explanation(decision, words + _unknown(turn) + _behind(call, turn), latest)


def _busy(call: Call, turn: Row, rows: Sequence[Row], latest: list[Any]) -> str:
    """The sentence of the rollout whose turn it is, as its list of devices has it, and which ones come after it."""
    after = sorted(row.rollout_id for row in rows if row.id != turn.id and not is_superseded(row))
    words = standings.sentence(_of(call, turn, latest))
    return f"{words} After it: rollout {', '.join(map(str, after))}." if after else words


def _idle(call: Call, row: Row, latest: list[Any]) -> str:
    """That nothing waits, when the device was last heard of, and how its last rollout went."""
    words = "No rollout waits for this device" + ("." if row.enabled else ", and it is disabled.")
    seen_at = max(seen.moments(call.connection, [row.device_id]).get(row.device_id, 0), row.attributes_at or 0)
    if seen_at or not latest:  # written behind: one that took part may not be in it yet
        words += f" {standings.sentence(standings.heard(seen_at, call.now))}."
    return f"{words} The last one, {_of(call, latest[0], latest)}" if latest else f"{words} It was in none yet."


def _of(call: Call, delivery: Any, latest: list[Any]) -> str:  # noqa: ANN401 - a row of deliveries, or of a device
    """A delivery's rollout and its sentence; of a rollout that is deleted only how it went."""
    found = next((one for one in latest if one.id == delivery.id), None)
    name = f"rollout {delivery.rollout_id}" + (f" ({found.title!r})" if found else "")
    try:
        return f"{name}: {standings.one(call, delivery)}"
    except Refusal:
        reason = f" ({standings.WHY[Reason(delivery.reason)]})" if delivery.reason else ""
        return f"{name}, deleted since: {delivery.state}{reason}."


def _unknown(row: Row) -> str:
    return " The device has never sent its attributes." if row.attributes_at is None else ""


def _behind(call: Call, row: Row) -> str:
    """Of a thing: the device that asks for it, and when that was last heard of."""
    device = devices.get(call.connection, row.organization_id, row.device_id)
    parent = device and device.parent_id and devices.get(call.connection, row.organization_id, device.parent_id)
    if not parent:
        return ""
    seen_at = seen.moments(call.connection, [parent.id]).get(parent.id)
    return f" Device {parent.id} ({parent.uid}) speaks for it: {standings.heard(seen_at, call.now)}."


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

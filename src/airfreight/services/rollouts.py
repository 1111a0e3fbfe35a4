"""Rollouts: made, looked at, paused, resumed, stopped, deleted. One call, one transaction."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from airfreight.domain.access import Permission
from airfreight.domain.conditions import Condition
from airfreight.domain.delivery import Verdict
from airfreight.domain.errors import conflict, invalid, not_found
from airfreight.domain.finish import FinishOn
from airfreight.domain.handling import Urgency
from airfreight.domain.ids import Millis
from airfreight.domain.rollout import DELETABLE, OVER, Count, RolloutEvent, RolloutState
from airfreight.domain.windows import DayPart
from airfreight.services import deliveries, delivery_sweeps
from airfreight.services.artifacts import Confirmed
from airfreight.services.call import Call
from airfreight.services.ledger import LostRace
from airfreight.services.rollout_checks import check_type
from airfreight.services.rollout_state import move_rollout, stream_of, tell
from airfreight.settings import Settings
from airfreight.store import counters, outbox, products, rollouts
from airfreight.store.database import Database, is_contention

log = structlog.get_logger()
_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Policy:
    """How a rollout treats its devices."""

    condition: Condition = Condition.NONE
    check_type: bool = False
    critical: bool = False
    day_part: DayPart = DayPart.ANY
    attempts_limit: int = 3
    reset_period_ms: int = 86_400_000
    host: str = ""
    secure: bool = False
    on_conflict: str = "supersede"
    finish_on: FinishOn | None = None
    """What ends a delivery well; None: the version if the file has one, else the device's word."""
    urgency: Urgency = Urgency.FORCED
    forced_at: Millis | None = None
    """When a soft one becomes a forced one."""
    early_download: bool = False
    """The window is for the installation only."""
    deadline_seconds: int | None = None
    """How long a device under way may be silent; None: as the server is set."""


@dataclass(frozen=True, slots=True)
class Cargo:
    """One artifact of a rollout: the stored file, its name for people, the facts to go by."""

    artifact_id: int
    filename: str
    confirmed: Confirmed


@dataclass(frozen=True, slots=True)
class View:
    """A rollout with everything that a door shows of it.

    `device_ids`: those it was made for, none for a whole product. `files`: what each file says, by artifact id.
    """

    rollout: Any
    artifacts: list[Any]
    counts: list[Count]
    device_ids: list[int]
    files: dict[int, Any]


def create(
    call: Call,
    *,
    origin: str,
    title: str,
    product_id: int | None,
    device_ids: Sequence[int],
    cargo: Sequence[Cargo],
    policy: Policy,
    description: str = "",
) -> int:
    """Make a rollout and start it; its id. No `device_ids`: the whole product, devices that appear later included.

    Raises NOT_FOUND for the product, INVALID for devices that are not of the product (naming them) and for a file that
    could pass the type check on none of them.
    """
    call.need(Permission.OTA_START)
    chosen = list(dict.fromkeys(device_ids))
    product_id = _product_of(call, product_id, chosen)
    first = cargo[0].confirmed
    if policy.check_type:
        check_type(call.connection, call.organization_id, first, chosen, origin=origin)
    values = {
        "organization_id": call.organization_id,
        "uid": str(uuid.uuid4()),
        "origin": origin,
        "product_id": product_id,
        "title": title,
        "description": description,
        "state": RolloutState.READY,
        "whole_product": not chosen,
        "created_by_user_id": call.principal.user_id,
        "created_at": call.now,
    }
    rollout_id = rollouts.add(call.connection, {**values, **_columns(call, policy, first)})
    rollouts.add_artifacts(call.connection, rollout_id, [_carried(one) for one in cargo])
    rollout = rollouts.locked(call.connection, rollout_id)
    deliveries.enqueue(call.connection, rollout, chosen or None, call.now)
    move_rollout(call.connection, rollout, RolloutEvent.START, call.now)
    if policy.on_conflict == "supersede":
        tell(call.connection, rollout, "rollout.supersede", {}, call.now)
    return rollout_id


def _columns(call: Call, policy: Policy, first: Confirmed) -> dict[str, Any]:
    """The policy as a rollout's row has it; `first`: what judges by the version go by."""
    return {
        "condition": policy.condition,
        "check_type": policy.check_type,
        "critical": policy.critical,
        "day_part": policy.day_part,
        "attempts_limit": policy.attempts_limit,
        "reset_period_ms": policy.reset_period_ms,
        "deadline_seconds": policy.deadline_seconds or call.settings.deadline_seconds,
        "finish_on": policy.finish_on or (FinishOn.VERSION if first.version else FinishOn.REPORT),
        "urgency": policy.urgency,
        "forced_at": policy.forced_at,
        "early_download": policy.early_download,
        "on_conflict": policy.on_conflict,
        "host": policy.host,
        "secure": policy.secure,
    }


def _carried(one: Cargo) -> dict[str, Any]:
    confirmed = one.confirmed
    return {
        "artifact_id": one.artifact_id,
        "filename": one.filename,
        "version": confirmed.version,
        "build": confirmed.build,
        "fw_type": confirmed.fw_type,
        "board": confirmed.board,
        "library_version": confirmed.library_version,
        "component": confirmed.component,
    }


def _product_of(call: Call, product_id: int | None, device_ids: list[int]) -> int:
    """The product of the rollout; every named device must be one of it."""
    found = rollouts.device_products(call.connection, call.organization_id, device_ids)
    if product_id is None:
        if len(set(found.values())) != 1:
            raise invalid("productId is needed: deviceIds do not name devices of one product.", "product_needed")
        product_id = next(iter(found.values()))
    elif products.get(call.connection, call.organization_id, product_id) is None:
        raise not_found("Product")
    strange = [device_id for device_id in device_ids if found.get(device_id) != product_id]
    if strange:
        named = ", ".join(str(device_id) for device_id in strange[:20]) + (", ..." if len(strange) > 20 else "")
        raise invalid(f"deviceIds has {len(strange)} that are not devices of this product: {named}.", "unknown_devices")
    return product_id


def get(
    call: Call,
    rollout_id: int,
    *,
    origin: str | None = None,
    what: str = "Rollout",
    need: Permission = Permission.OTA_VIEW,
    with_devices: bool = True,
) -> View:
    """Raises NOT_FOUND. `origin`: only rollouts made through that door. Without devices it costs the same for millions.

    `need`: for the answer to a verb, that verb's permission, so that none is refused after the deed.
    """
    call.need(need)
    rollout = rollouts.get(call.connection, call.organization_id, rollout_id, origin) if _is_id(rollout_id) else None
    if rollout is None:
        raise not_found(what)
    return _views(call, [rollout], with_devices=with_devices)[0]


def search(
    call: Call, *, after: int = 0, limit: int | None = None, origin: str | None = None, with_devices: bool = True
) -> list[View]:
    """Rollouts of the organization, oldest first."""
    call.need(Permission.OTA_VIEW)
    found = rollouts.listed(call.connection, call.organization_id, after=after, limit=limit, origin=origin)
    return _views(call, found, with_devices=with_devices)


def _views(call: Call, found: list[Any], *, with_devices: bool) -> list[View]:
    """Everything that belongs to the rollouts, a few thousand at a time: drivers take only so many parameters."""
    views = []
    for start in range(0, len(found), _AT_ONCE):
        views += _some_views(call, found[start : start + _AT_ONCE], with_devices=with_devices)
    return views


def _some_views(call: Call, found: list[Any], *, with_devices: bool) -> list[View]:
    ids = [rollout.id for rollout in found]
    carried = rollouts.artifacts_of(call.connection, ids)
    files = rollouts.file_facts(call.connection, list({one.id for several in carried.values() for one in several}))
    counts = counters.totals(call.connection, ids)
    listing = [rollout.id for rollout in found if with_devices and not rollout.whole_product]
    named = deliveries.members(call.connection, listing) if listing else {}
    return [View(r, carried.get(r.id, []), counts.get(r.id, []), named.get(r.id, []), files) for r in found]


def stop(call: Call, rollout_id: int, *, what: str = "Rollout", origin: str | None = None) -> None:
    """Stop for good. From now on nothing new is offered; `carry_out` asks the devices under way to cancel.

    Raises NOT_FOUND, or CONFLICT unless it is running, paused or not yet started.
    """
    call.need(Permission.OTA_CANCEL)
    rollout = _locked(call, rollout_id, what, origin)
    if move_rollout(call.connection, rollout, RolloutEvent.STOP, call.now) is not Verdict.MOVED:
        raise conflict(
            f"The {what.lower()} is over already; only one that is running or paused can be stopped.", "over"
        )
    tell(call.connection, rollout, "rollout.wind_down", {}, call.now)


def pause(call: Call, rollout_id: int) -> None:
    """Offer nothing new; devices in the middle of a step finish it and wait. Raises NOT_FOUND, CONFLICT."""
    _steer(call, rollout_id, RolloutEvent.PAUSE, "Only a running rollout can be paused.")


def resume(call: Call, rollout_id: int) -> None:
    """Go on after a pause. Raises NOT_FOUND, CONFLICT, INVALID for one that was left with nothing to carry."""
    _steer(call, rollout_id, RolloutEvent.START, "Only a paused rollout can be resumed.")


def _steer(call: Call, rollout_id: int, event: RolloutEvent, words: str) -> None:
    call.need(Permission.OTA_CANCEL)
    rollout = _locked(call, rollout_id, "Rollout", None)
    # what has not been started is none of these verbs': to start it is checked, and needs another permission
    is_going = RolloutState(rollout.state) in {RolloutState.RUNNING, RolloutState.PAUSED}
    if not is_going or move_rollout(call.connection, rollout, event, call.now) is Verdict.REFUSED:
        raise conflict(words, "wrong_state")
    if event is RolloutEvent.START and not rollouts.artifacts_of(call.connection, [rollout_id]):
        raise invalid("The rollout carries nothing. Give it something to carry first.", "no_artifacts")


def delete(call: Call, rollout_id: int, *, what: str = "Rollout", origin: str | None = None) -> None:
    """Take a rollout that is over out of sight; its record stays in the database. Raises NOT_FOUND, CONFLICT."""
    call.need(Permission.OTA_CANCEL)
    rollout = _locked(call, rollout_id, what, origin)
    state = RolloutState(rollout.state)
    if state not in (DELETABLE if origin is None else OVER):
        raise conflict(
            f"The {what.lower()} is {state}; only one that is over can be deleted. Stop it first.", "not_over"
        )
    deliveries.close_all(call, rollout_id)
    if rollout.started_at is None:  # it has no record that its artifacts would have to be kept for
        rollouts.replace_artifacts(call.connection, rollout_id, [])
    rollouts.move(call.connection, rollout_id, rollout.version, {"deleted_at": call.now})
    outbox.ring(call.connection)


def _is_id(number: int) -> bool:
    """A wire may carry 64 bits where our ids have 31: such a number is nobody's, and PostgreSQL would not take it."""
    return 0 < number < 2**31


def _locked(call: Call, rollout_id: int, what: str, origin: str | None) -> Any:  # noqa: ANN401 - a row
    rollout = rollouts.locked(call.connection, rollout_id) if _is_id(rollout_id) else None
    if rollout is None or rollout.organization_id != call.organization_id or origin not in {None, rollout.origin}:
        raise not_found(what)
    return rollout


def carry_out_now(database: Database, settings: Settings, kind: str, rollout_id: int, now: Millis) -> None:
    """`carry_out` at once, for whoever waits for the answer; when devices are in the way, the worker goes on."""
    try:
        carry_out(database, settings, kind, rollout_id, now)
    except Exception as error:
        if not (isinstance(error, LostRace) or is_contention(error)):
            raise
        log.info("left to the worker", kind=kind, rollout=rollout_id)


def carry_out(database: Database, settings: Settings, kind: str, rollout_id: int, now: Millis) -> None:
    """The part of a verb that takes many small transactions, then its outbox row: the worker does it after a crash."""
    if kind == "rollout.wind_down":
        delivery_sweeps.wind_down(database, settings, rollout_id, now)
    elif kind == "rollout.supersede":
        delivery_sweeps.supersede(database, settings, rollout_id, now)
    with database.write() as connection:
        outbox.remove(connection, stream_of(rollout_id), kind)
        outbox.ring(connection)

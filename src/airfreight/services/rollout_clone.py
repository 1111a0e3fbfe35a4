"""A rollout made again from one that is over: the same file, facts and policy, for the devices that need it still."""

from enum import StrEnum
from typing import Any

from airfreight.domain.access import Permission
from airfreight.domain.conditions import Condition
from airfreight.domain.delivery import Reason, State
from airfreight.domain.errors import conflict, not_found
from airfreight.domain.finish import FinishOn
from airfreight.domain.handling import Urgency
from airfreight.domain.ids import Millis
from airfreight.domain.rollout import OVER, RolloutState
from airfreight.domain.windows import DayPart
from airfreight.services.artifacts import Confirmed
from airfreight.services.call import Call
from airfreight.services.rollouts import Cargo, Policy, create
from airfreight.store import rollouts, standings

_TITLE = 200
_AGAIN = " (again)"


class Which(StrEnum):
    """Which devices of the old rollout the new one is for."""

    FAILED = "failed"
    UNFINISHED = "unfinished"
    ALL = "all"


_CHOSEN: dict[Which, tuple[list[State], list[Reason]]] = {
    Which.FAILED: ([State.FAILED], []),
    Which.UNFINISHED: ([state for state in State if state is not State.SUCCEEDED], [Reason.ALREADY_RUNNING]),
    Which.ALL: (list(State), []),
}
"""The states whose devices are taken, and the reasons that make an exception."""


def clone(call: Call, rollout_id: int, *, which: Which, title: str | None) -> int:
    """Make and start the new rollout, as if through the door of the old one; its id. It is for named devices, always.

    Raises NOT_FOUND, CONFLICT while the old one is not over, was made in steps or when no such device is left, and what
    `create` raises.
    """
    call.need(Permission.OTA_START)
    old = rollouts.get(call.connection, call.organization_id, rollout_id)
    if old is None:
        raise not_found("Rollout")
    if RolloutState(old.state) not in OVER:
        raise conflict(f"The rollout is {old.state}; only one that is over can be cloned. Stop it first.", "still_open")
    if old.open_ended:
        words = "A rollout that is made in steps has approvals and files for single devices: make another one like it."
        raise conflict(words, "in_steps")
    states, besides = _CHOSEN[which]
    chosen = standings.devices_in(call.connection, call.organization_id, rollout_id, states=states, besides=besides)
    if not chosen:
        raise conflict(_nobody(which), "nobody_left")
    return create(
        call,
        origin=old.origin,
        title=title or old.title[: _TITLE - len(_AGAIN)] + _AGAIN,
        product_id=old.product_id,
        device_ids=chosen,
        cargo=[_cargo(one) for one in rollouts.artifacts_of(call.connection, [rollout_id])[rollout_id]],
        policy=_policy(old),
        description=old.description,
    )


def _nobody(which: Which) -> str:
    kind = {Which.FAILED: " that failed", Which.UNFINISHED: " that is not updated", Which.ALL: ""}[which]
    return f"No device{kind} is left of this rollout. Choose other devices, or make a new rollout."


def _cargo(carried: Any) -> Cargo:  # noqa: ANN401 - a row
    names = ("version", "build", "fw_type", "board", "library_version", "component")
    return Cargo(carried.id, carried.filename, Confirmed(**{name: getattr(carried, name) for name in names}))


def _policy(old: Any) -> Policy:  # noqa: ANN401 - a row
    return Policy(
        condition=Condition(old.condition),
        check_type=bool(old.check_type),
        critical=bool(old.critical),
        day_part=DayPart(old.day_part),
        attempts_limit=old.attempts_limit,
        reset_period_ms=old.reset_period_ms,
        host=old.host,
        secure=bool(old.secure),
        on_conflict=old.on_conflict,
        finish_on=FinishOn(old.finish_on),
        urgency=Urgency(old.urgency),
        forced_at=None if old.forced_at is None else Millis(old.forced_at),
        early_download=bool(old.early_download),
        deadline_seconds=old.deadline_seconds,
    )

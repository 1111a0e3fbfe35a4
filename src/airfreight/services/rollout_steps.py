"""Rollouts that are made in steps: drafted, approved, started, stopped and started again.

Rule: what was approved is what is started. Who takes part is in services.members.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from airfreight.domain.access import Permission
from airfreight.domain.conditions import Condition
from airfreight.domain.errors import Refusal, conflict, forbidden, invalid, not_found
from airfreight.domain.finish import FinishOn
from airfreight.domain.ids import is_uid
from airfreight.domain.rollout import MOVES, OVER, Count, RolloutEvent, RolloutState, Stage, stage
from airfreight.domain.windows import DayPart
from airfreight.services import deliveries
from airfreight.services.call import Call
from airfreight.services.rollout_state import move_rollout
from airfreight.store import artifacts, callbacks, counters, organizations, outbox, rollouts
from airfreight.store import rollout_steps as store

MOST_ARTIFACTS = 50
Filters = store.Filters


@dataclass(frozen=True, slots=True)
class Kind:
    """Whose rollouts are meant: the door they are made through, and what it calls one and an artifact of it."""

    origin: str
    name: str
    artifact: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody says of a rollout; None: nothing, it stays as it is. `artifacts`: uids, in order."""

    title: str | None = None
    description: str | None = None
    settings: Mapping[str, str] | None = None
    artifacts: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """A rollout with its artifacts in order, its exact counts, and the uid of the webhook told each kind of news."""

    row: Any
    artifacts: list[Any]
    counts: list[Count]
    told: Mapping[str, str]

    @property
    def stage(self) -> Stage:
        return stage_of(self.row)


def stage_of(row: Any) -> Stage:  # noqa: ANN401 - a row
    return stage(RolloutState(row.state), approval_needed=bool(row.approval_needed))


def draft(call: Call, kind: Kind, wanted: Draft) -> str:
    """Make a rollout that nobody takes part in yet; its uid. Raises INVALID for artifacts that do not exist.

    Whether it needs approval is its organization's setting of this moment.
    """
    call.need(Permission.OTA_START)
    carried = chosen(call, kind, wanted.artifacts or ())
    needs_approval = bool(organizations.get(call.connection, call.organization_id).approval_needed)
    uid = str(uuid.uuid4())
    values = {
        "organization_id": call.organization_id,
        "uid": uid,
        "origin": kind.origin,
        "title": wanted.title or "",
        "description": wanted.description or "",
        "details": _encode(wanted.settings or {}),
        "state": RolloutState.PENDING_APPROVAL if needs_approval else RolloutState.READY,
        "approval_needed": needs_approval,
        "needs_word": needs_word(carried),
        "open_ended": True,
        "whole_product": False,
        "condition": Condition.NONE,
        "check_type": False,
        "critical": False,
        "day_part": DayPart.ANY,
        "attempts_limit": 1,
        "reset_period_ms": 86_400_000,
        "deadline_seconds": call.settings.deadline_seconds,
        "finish_on": FinishOn.REPORT,
        "on_conflict": "queue",
        "host": "",
        "secure": False,
        "created_by_user_id": call.principal.user_id,
        "made_by": call.actor,
        "chosen_by": _person(call),
        "created_at": call.now,
        "changed_at": call.now,
    }
    rollout_id = rollouts.add(call.connection, values)
    rollouts.replace_artifacts(call.connection, rollout_id, [_carried(one) for one in carried])
    return uid


def edit(call: Call, kind: Kind, uid: str, wanted: Draft) -> None:
    """Change what is said. Raises NOT_FOUND, INVALID; CONFLICT for other artifacts of one that has started.

    Other artifacts than those that were approved need approval again.
    """
    call.need(Permission.OTA_START)
    row = locked(call, kind, uid)
    said = {
        "title": wanted.title,
        "description": wanted.description,
        "details": None if wanted.settings is None else _encode(wanted.settings),
    }
    values: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    if wanted.artifacts is not None:
        values |= _other_cargo(call, kind, row, wanted.artifacts)
    store.change(call.connection, row.id, {**values, "changed_at": call.now})


def _other_cargo(call: Call, kind: Kind, row: Any, wanted: Sequence[str]) -> dict[str, Any]:  # noqa: ANN401 - a row
    """Carry these artifacts; the columns that change with them."""
    other = chosen(call, kind, wanted)
    before = [one.artifact_id for one in rollouts.artifacts_of(call.connection, [row.id]).get(row.id, [])]
    if [one.id for one in other] == before:
        return {}
    if stage_of(row) is Stage.STARTED:
        raise conflict(
            f"The {kind.name.lower()} is started: its {kind.artifact}s cannot be changed. Stop it first.", "wrong_state"
        )
    deliveries.keep_artifacts(call, row)
    rollouts.replace_artifacts(call.connection, row.id, [_carried(one) for one in other])
    changed = {"needs_word": needs_word(other), "chosen_by": _person(call)}
    if row.approval_needed:
        move_rollout(call.connection, row, RolloutEvent.CHANGE_CARGO, call.now)
        return {**changed, "approved_by": "", "approved_at": None}
    return changed


def check_other(call: Call, kind: Kind, row: Any, other: Sequence[Any]) -> None:  # noqa: ANN401 - rows
    """Whether one device may carry these instead of what the rollout carries: where approval is asked for, they are
    approved with it, and afterwards nothing is that was not. Raises CONFLICT.
    """
    call.need(Permission.OTA_START)
    if not row.approval_needed or not other:
        return
    if stage_of(row) is Stage.APPROVAL_NEEDED:
        store.change(call.connection, row.id, {"chosen_by": _person(call)})
        return
    approved = {one.artifact_id for one in rollouts.artifacts_of(call.connection, [row.id]).get(row.id, [])}
    if any(one.id not in approved for one in other):
        raise conflict(
            f"Only {kind.artifact}s that were approved with the {kind.name.lower()} can be given to one device.",
            "wrong_state",
        )


def approve(call: Call, kind: Kind, uid: str) -> None:
    """Let it be started. Raises NOT_FOUND, CONFLICT, and FORBIDDEN for whoever made it, or chose what it carries, where
    four eyes are asked for.
    """
    call.need(Permission.OTA_APPROVE)
    row = locked(call, kind, uid)
    if stage_of(row) is not Stage.APPROVAL_NEEDED:
        raise refused(kind, row, "approved")
    who = call.actor
    if organizations.get(call.connection, row.organization_id).four_eyes and _same_person(call, row):
        raise forbidden(
            f"Who made the {kind.name.lower()}, or chose its {kind.artifact}s, cannot approve it. Ask somebody else."
        )
    move_rollout(call.connection, row, RolloutEvent.APPROVE, call.now)
    store.change(call.connection, row.id, {"approved_by": who, "approved_at": call.now})


def _same_person(call: Call, row: Any) -> bool:  # noqa: ANN401 - a row
    """Whether the caller made it or chose what it carries, as a user or through an API client of the same user."""
    user = call.principal.user_id
    made_it = row.made_by == call.actor or (user is not None and row.created_by_user_id == user)
    return made_it or row.chosen_by in {call.actor, _person(call)}


def _person(call: Call) -> str:
    """The user behind the caller, if there is one: an API client acts for somebody."""
    return call.actor if call.principal.user_id is None else f"user:{call.principal.user_id}"


def start(call: Call, kind: Kind, uid: str) -> None:
    """Start it, or go on with it; again, when it is started, changes nothing.

    Raises NOT_FOUND, CONFLICT when it waits for approval or was stopped for good, INVALID when it carries nothing.
    """
    call.need(Permission.OTA_START)
    row = locked(call, kind, uid)
    if stage_of(row) is Stage.APPROVAL_NEEDED:
        raise refused(kind, row, "started")
    check_not_over(kind, row)
    if not rollouts.artifacts_of(call.connection, [row.id]):
        raise invalid(f"The {kind.name.lower()} has no {kind.artifact}s. Add some first.", "no_artifacts")
    move_rollout(call.connection, row, RolloutEvent.START, call.now)
    if row.follows_group_id and row.evaluate_at is None:
        store.change(call.connection, row.id, {"evaluate_at": call.now})


def hold(call: Call, kind: Kind, uid: str) -> None:
    """Tell devices nothing more; what they are in the middle of goes on. Raises NOT_FOUND, CONFLICT unless started."""
    call.need(Permission.OTA_CANCEL)
    row = locked(call, kind, uid)
    if stage_of(row) not in {Stage.STARTED, Stage.STOPPED}:
        raise refused(kind, row, "stopped")
    move_rollout(call.connection, row, RolloutEvent.PAUSE, call.now)


def remove(call: Call, kind: Kind, uid: str) -> None:
    """Take it out of sight and let its devices go. Raises NOT_FOUND, CONFLICT while it is started."""
    call.need(Permission.OTA_CANCEL)
    row = locked(call, kind, uid)
    if stage_of(row) is Stage.STARTED:
        raise refused(kind, row, "deleted")
    deliveries.close_all(call, row.id)
    if row.started_at is None:  # it has no record that its artifacts would have to be kept for
        rollouts.replace_artifacts(call.connection, row.id, [])
    store.change(call.connection, row.id, {"deleted_at": call.now})
    outbox.ring(call.connection)


def get(call: Call, kind: Kind, uid: str) -> Shown:
    """Raises NOT_FOUND."""
    call.need(Permission.OTA_VIEW)
    return _shown(call, [find(call, kind, uid)])[0]


def search(
    call: Call, kind: Kind, filters: store.Filters, *, newest_first: bool = True, skip: int, limit: int
) -> tuple[list[Shown], int]:
    """One page, and how many there are."""
    call.need(Permission.OTA_VIEW)
    rows, total = store.listed(
        call.connection, call.organization_id, kind.origin, filters, newest_first=newest_first, skip=skip, limit=limit
    )
    return _shown(call, rows), total


def stages(call: Call, kind: Kind) -> dict[Stage, int]:
    """How many stand at each stage."""
    call.need(Permission.OTA_VIEW)
    found = dict.fromkeys(Stage, 0)
    for state, approval_needed, count in store.stages(call.connection, call.organization_id, kind.origin):
        found[stage(RolloutState(state), approval_needed=bool(approval_needed))] += count
    return found


def needs_word(some: Sequence[Any]) -> bool:
    """Whether phases need somebody's word: unless every artifact installs itself without anybody."""
    return not all(msgspec.json.decode(one.details).get("headless", True) for one in some)


def find(call: Call, kind: Kind, uid: str) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND."""
    row = store.by_uid(call.connection, call.organization_id, kind.origin, uid) if is_uid(uid) else None
    if row is None:
        raise not_found(kind.name)
    return row


def locked(call: Call, kind: Kind, uid: str) -> Any:  # noqa: ANN401 - a row
    """The same, locked until the transaction ends."""
    row = rollouts.locked(call.connection, find(call, kind, uid).id)
    if row is None:
        raise not_found(kind.name)
    return row


def check_not_over(kind: Kind, row: Any) -> None:  # noqa: ANN401 - a row
    """Raises CONFLICT for one that was stopped at another door, where that is for good."""
    if RolloutState(row.state) in OVER:
        raise conflict(f"The {kind.name.lower()} was stopped for good. Make another one.", "wrong_state")


def refused(kind: Kind, row: Any, wish: str) -> Refusal:  # noqa: ANN401 - a row
    """A move that is not legal from here, and which are."""
    here = stage_of(row)
    legal = ", ".join(MOVES[here])
    words = f"The {kind.name.lower()} is in {here.upper()} and cannot be {wish}; from there it can be: {legal}."
    return conflict(words, "wrong_state")


def chosen(call: Call, kind: Kind, uids: Sequence[str]) -> list[Any]:
    """The artifacts of these uids, in order. Raises INVALID; whoever asks has asked for a permission."""
    name = kind.artifact + "s"
    if len(uids) > MOST_ARTIFACTS:
        raise invalid(f"{name} may name at most {MOST_ARTIFACTS}.", "too_many")
    if len(set(uids)) != len(uids):
        raise invalid(f"{name} names one of them twice.", "repeated")
    found = {row.uid: row for row in artifacts.by_uids(call.connection, call.organization_id, uids)}
    missing = [str(place) for place, uid in enumerate(uids, start=1) if uid not in found]
    if missing:
        raise invalid(f"{name} has some that do not exist, at: {', '.join(missing)}.", "unknown_artifacts")
    return [found[uid] for uid in uids]


def _carried(one: Any) -> dict[str, Any]:  # noqa: ANN401 - a row
    names = ("filename", "version", "build", "fw_type", "board", "library_version", "component")
    return {"artifact_id": one.id, **{name: getattr(one, name) for name in names}}


def _encode(settings: Mapping[str, str]) -> str:
    return msgspec.json.encode(dict(settings)).decode()


def _shown(call: Call, rows: Sequence[Any]) -> list[Shown]:
    ids = [row.id for row in rows]
    carried = rollouts.artifacts_of(call.connection, ids) if ids else {}
    counts = counters.totals(call.connection, ids) if ids else {}
    told = callbacks.destinations(call.connection, ids) if ids else {}
    return [Shown(row, carried.get(row.id, []), counts.get(row.id, []), told.get(row.id, {})) for row in rows]

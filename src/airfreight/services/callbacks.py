"""Who is told what of a rollout made in steps: webhooks are registered for kinds of news, and the worker tells them.

News is an outbox row in the transaction of the fact; a door's `Teller` puts it into words; the webhook's line sends it.
Rule: at least once, in order for each delivery.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Connection

from airfreight.domain import phases
from airfreight.domain.access import Permission
from airfreight.domain.delivery import ENDS, Reason, State
from airfreight.domain.ids import Millis
from airfreight.domain.phases import Point, Standing
from airfreight.services import members, rollout_steps, webhooks
from airfreight.services.call import Call
from airfreight.services.members import Words
from airfreight.services.rollout_state import CHANGES, stream_of, tell_changes
from airfreight.services.rollout_steps import Kind
from airfreight.services.webhooks import Saying
from airfreight.store import callbacks as store
from airfreight.store import counters, outbox
from airfreight.store import progress as progress_rows
from airfreight.store import rollout_steps as steps
from airfreight.store.database import Database

_AT_ONCE = 1000
_ROWS_AT_ONCE, _CHANGES_AT_ONCE = 50, 300
"""Of the outbox, in one transaction: more would keep others from writing for too long."""


class News(StrEnum):
    """What a webhook can be registered for."""

    COMPLETED = "completed"
    WAKE_UP = "wake_up"
    STATE_CHANGE = "state_change"
    DOWNLOAD_PROGRESS = "download_progress"
    EXECUTION_PROGRESS = "execution_progress"


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one delivery: where it stood one after another, and whether the device told bytes or lines.

    `reason`: why it ended. `is_known`: its device had been heard of before; `heard`: it has come for the first time.
    `wake`: somebody wants it to come and ask.
    """

    delivery_id: int
    points: tuple[Point, ...] = ()
    reason: str = ""
    is_known: bool = False
    bytes: bool = False
    lines: bool = False
    wake: bool = False
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """Everything that a door needs to put a piece of news into words.

    `member`: the delivery's row as services.members has it, None when the news is of the whole rollout.
    """

    rollout: Any
    member: Any
    change: Change | None
    at: Millis
    bytes: Mapping[int, Any]
    lines: Sequence[str]
    counts: Sequence[Any]
    artifacts: Sequence[Any]


Teller = Callable[[News, Told, Sequence[str]], Sequence[Mapping[str, object]]]
"""What a door says of a piece of news, to somebody who wants to hear of these states only (none: of all)."""


def register(call: Call, kind: Kind, uid: str, news: News, destination_uid: str, states: Sequence[str] = ()) -> None:
    """Tell this webhook, instead of the one before; without one, nobody. Raises NOT_FOUND for rollout and webhook."""
    call.need(Permission.OTA_START)
    rollout = rollout_steps.locked(call, kind, uid)
    found = webhooks.destination_of(call, destination_uid, Permission.OTA_START) if destination_uid else None
    store.put(
        call.connection, rollout.id, news, found.id if found else None, msgspec.json.encode(list(states)).decode()
    )
    is_told = bool(store.of_rollout(call.connection, rollout.id))
    steps.change(call.connection, rollout.id, {"announces": is_told, "changed_at": call.now})


def notify(call: Call, kind: Kind, uid: str, device_uid: str, words: Words) -> None:
    """Have this device woken, so that it comes and asks. Raises NOT_FOUND."""
    call.need(Permission.OTA_START)
    rollout = rollout_steps.locked(call, kind, uid)
    delivery_id = members.progress(call, kind, uid, device_uid, words).member.id
    if rollout.announces:
        tell_changes(call.connection, rollout.id, [{"deliveryId": delivery_id, "points": [], "wake": True}], call.now)
    outbox.ring(call.connection)


def tell_started(database: Database, rollout_id: int, body: Mapping[str, Any], teller: Teller) -> None:
    """Wake up every device that could begin at the start, some in each transaction; a gateway once for all behind it.

    Whoever has begun by now is told as well: who is told does not depend on who is faster.
    """
    at, skip = Millis(body["at"]), 0
    woken: set[str] = set()
    while True:
        with database.write() as connection:
            rollout = store.rollout(connection, rollout_id)
            listener = store.of_rollout(connection, rollout_id).get(News.WAKE_UP)
            rows = steps.members_page(connection, rollout_id, skip=skip, limit=_AT_ONCE) if rollout and listener else []
            sayings = [
                Saying(f"rollout.{News.WAKE_UP}", said, rollout_id, row.device_id)
                for row in rows
                if _may_begin(row, at) and _is_first(row.parent_uid or row.uid, woken)
                for said in teller(News.WAKE_UP, Told(rollout, row, None, at, {}, (), (), ()), ())
            ]
            if listener and sayings:
                webhooks.say_all(connection, listener.destination_id, sayings, at)
        if len(rows) < _AT_ONCE:
            return
        skip += _AT_ONCE


def _is_first(uid: str, seen: set[str]) -> bool:
    before = len(seen)
    seen.add(uid)
    return len(seen) > before


def _may_begin(row: Any, at: Millis) -> bool:  # noqa: ANN401 - a row
    if row.state != State.QUEUED and row.updated_at >= at:
        return True  # it has begun since
    here = phases.point(State(row.state), row.reached, phases.decode(row.slots), at, needs_word=bool(row.needs_word))
    return here.standing is Standing.OPEN


def tell(database: Database, row: Any, teller: Teller) -> None:  # noqa: ANN401 - a row of the outbox
    """Say everything that an outbox row tells, and those right behind it, in one transaction, which also ends them.

    A row that has failed before is told alone: it may have failed for one of those.
    """
    with database.write() as connection:
        rows = outbox.run(connection, row, _ROWS_AT_ONCE if row.attempts == 1 else 1)
        changes: list[tuple[Millis, list[Change]]] = []
        for one in rows:
            body = msgspec.json.decode(one.body)
            if changes and sum(len(some) for _, some in changes) + len(body["changes"]) > _CHANGES_AT_ONCE:
                break
            changes.append((Millis(body["at"]), [_change(given) for given in body["changes"]]))
        if not changes:
            return
        outbox.all_done(connection, [one.id for one in rows[: len(changes)]])
        rollout_id = msgspec.json.decode(row.body)["rolloutId"]
        rollout = store.rollout(connection, rollout_id)
        registered = store.of_rollout(connection, rollout_id)
        if rollout is not None and registered:
            _say(connection, _all_news(connection, rollout, changes), registered, teller)


def _say(
    connection: Connection, news: Sequence[tuple[News, Told]], registered: Mapping[str, Any], teller: Teller
) -> None:
    sayings: dict[int, list[Saying]] = {}
    for one, told in news:
        listener = registered.get(one)
        if listener is None:
            continue
        states = msgspec.json.decode(listener.states, type=list[str])
        device_id = told.member.device_id if told.member else None
        sayings.setdefault(listener.destination_id, []).extend(
            Saying(f"rollout.{one}", said, told.rollout.id, device_id) for said in teller(one, told, states)
        )
    for destination_id, some in sorted(sayings.items()):
        webhooks.say_all(connection, destination_id, some, news[-1][1].at)


def _change(given: Mapping[str, Any]) -> Change:
    points = tuple(
        Point(State(state), reached, Standing(standing) if standing else None, has_slot)
        for state, reached, standing, has_slot in given["points"]
    )
    flags = {name: given.get(name, False) for name in ("bytes", "lines", "wake", "heard")}
    return Change(given["deliveryId"], points, given.get("reason", ""), given.get("known", False), **flags)


def _all_news(
    connection: Connection,
    rollout: Any,  # noqa: ANN401 - a row
    changes: Sequence[tuple[Millis, Sequence[Change]]],
) -> list[tuple[News, Told]]:
    """Each piece of news in the order in which it is told, from what has changed when."""
    rows = steps.members_by_id(connection, sorted({one.delivery_id for _, some in changes for one in some}))
    artifacts = store.artifacts_of(connection, rollout.id)
    found: list[tuple[News, Told]] = []
    for at, change in ((at, one) for at, some in changes for one in some):
        member = rows.get(change.delivery_id)
        if member is None:
            continue
        told = Told(rollout, member, change, at, {}, (), (), artifacts)
        if change.heard or (len(change.points) > 1 and change.reason != Reason.TAKEN_OUT):
            found.append((News.STATE_CHANGE, told))
        if change.bytes:
            known = progress_rows.bytes_of(connection, change.delivery_id)
            found.append((News.DOWNLOAD_PROGRESS, Told(rollout, member, change, at, known, (), (), artifacts)))
        if change.lines:
            lines = progress_rows.lines_of(connection, change.delivery_id, 100)
            found.append((News.EXECUTION_PROGRESS, Told(rollout, member, change, at, {}, lines, (), artifacts)))
        if change.wake or _opens(change.points):
            found.append((News.WAKE_UP, told))
    at = changes[-1][0]
    if _is_completed(connection, rollout, at):
        counts = counters.totals(connection, [rollout.id]).get(rollout.id, [])
        found.append((News.COMPLETED, Told(rollout, None, None, at, {}, (), counts, artifacts)))
    return found


def _opens(points: Sequence[Point]) -> bool:
    """Whether a device may begin what it may not before; one that was offered something has just asked."""
    return len(points) > 1 and points[-1].standing is Standing.OPEN and points[-1].state is not State.OFFERED


def _is_completed(connection: Connection, rollout: Any, at: Millis) -> bool:  # noqa: ANN401 - a row
    """Whether all that take part have just come to an end; told once, after all else, and again if more are added."""
    stream = stream_of(rollout.id)
    if outbox.waiting_in(connection, stream, CHANGES):
        return False  # the last row tells
    store.lock(connection, rollout.id)
    if outbox.waiting_in(connection, stream, CHANGES):
        return False  # written while somebody else had the lock
    counts = counters.totals(connection, [rollout.id]).get(rollout.id, [])
    those = [one for one in counts if one.reason != Reason.TAKEN_OUT]
    is_over = bool(those) and all(one.state in ENDS for one in those)
    return store.completed(connection, rollout.id, at if is_over else None)

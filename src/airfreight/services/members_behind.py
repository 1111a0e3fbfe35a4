"""Devices behind others that take part in a rollout made in steps: each gets a delivery of its own.

Rule: what can be let in is let in, and of the rest it is said why. Their parent drives them; it takes part itself only
if it is added itself, because what is meant for them is not meant for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airfreight.domain.access import Permission
from airfreight.domain.errors import invalid
from airfreight.services import deliveries, members, rollout_steps
from airfreight.services.call import Call
from airfreight.services.members import Words
from airfreight.services.rollout_steps import Kind
from airfreight.store import rollout_steps as store

MOST = 100_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A device and those behind it that are to take part, by uid."""

    parent: str
    things: Sequence[str]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one `Wanted`: those let in, the others, and why.

    `row`: the parent if it takes part itself, else one of those behind it: one let in now, which has the longest way to
    go; None if nobody named does.
    """

    parent: str
    things: list[str]
    refused: list[str]
    why: str
    row: Any


def add(call: Call, kind: Kind, uid: str, wanted: Sequence[Wanted], words: Words) -> list[Taken]:
    """Let these take part, also some that were taken out before; what became of each, in the same order.

    Raises NOT_FOUND for the rollout, CONFLICT for one that is over, INVALID when nobody is named, or too many are.
    """
    call.need(Permission.OTA_START)
    rollout = rollout_steps.locked(call, kind, uid)
    rollout_steps.check_not_over(kind, rollout)
    named = sum(len(one.things) for one in wanted)
    if not named:
        raise invalid(f"{words.field} names no device.", "nobody")
    if named + len(wanted) > MOST:
        raise invalid(f"{words.field} may name at most {MOST}.", "too_many")
    uids = [one.parent for one in wanted] + [thing for one in wanted for thing in one.things]
    found = store.devices_by_uid(call.connection, call.organization_id, list(dict.fromkeys(uids)))
    known = store.deliveries_of(call.connection, rollout.id, [row.id for row in found.values()])
    sorter = _Sorter(found, known, words)
    sorted_out = [sorter.sort(one) for one in wanted]
    if sorter.new:
        deliveries.enqueue(call.connection, rollout, sorter.new, call.now)
    members.readmit(call, sorter.again)
    members.touch(call.connection, rollout, call.now, **({"finished_at": None} if sorter.new or sorter.again else {}))
    speakers = [_speakers(one, let_in, found) for one, (let_in, _, _) in zip(wanted, sorted_out, strict=True)]
    rows = store.members_of(call.connection, rollout.id, sorted({device_id for ids in speakers for device_id in ids}))
    return [
        Taken(one.parent, let_in, refused, why, next((rows[device_id] for device_id in ids if device_id in rows), None))
        for one, (let_in, refused, why), ids in zip(wanted, sorted_out, speakers, strict=True)
    ]


def _speakers(one: Wanted, let_in: Sequence[str], found: Mapping[str, Any]) -> list[int]:
    """The ids of those that may say how far a parent is, a few, the first that takes part does."""
    parent = found.get(one.parent)
    if parent is None:
        return []
    things = [found[uid] for uid in (*let_in[:1], *one.things[:1]) if uid in found]
    return [parent.id, *(thing.id for thing in things if thing.parent_id == parent.id)]


class _Sorter:
    """Who is let in, and why not: `new` device ids, and the ids of deliveries that begin `again`."""

    def __init__(self, found: Mapping[str, Any], known: Mapping[int, Any], words: Words) -> None:
        self._found, self._known, self._words = found, known, words
        self.new: list[int] = []
        self.again: list[int] = []
        self._seen: set[str] = set()

    def sort(self, wanted: Wanted) -> tuple[list[str], list[str], str]:
        """Those let in, those refused, and why."""
        parent = self._found.get(wanted.parent)
        if parent is None:
            return [], list(wanted.things), f"There is no such {self._words.device}."
        if parent.parent_id is not None:
            return [], list(wanted.things), f"That is not a {self._words.device} but a thing behind one."
        let_in: list[str] = []
        refused: list[str] = []
        reasons: dict[str, list[int]] = {}
        for place, uid in enumerate(wanted.things, 1):
            why = self._why_not(parent, uid)
            if why:
                refused.append(uid)
                reasons.setdefault(why, []).append(place)
            else:
                let_in.append(uid)
                self._let_in(self._found[uid].id)
                self._seen.add(uid)
        return let_in, refused, "; ".join(f"{why}, at: {members.places(at)}" for why, at in reasons.items())

    def _why_not(self, parent: Any, uid: str) -> str:  # noqa: ANN401 - a row
        thing = self._found.get(uid)
        if uid in self._seen:
            return "repeated"
        if thing is None:
            return "no such thing"
        if thing.parent_id is None:
            return "not a thing"
        if thing.parent_id != parent.id:
            return f"not behind this {self._words.device}"
        delivery = self._known.get(thing.id)
        return "takes part already" if delivery is not None and not members.is_out(delivery) else ""

    def _let_in(self, device_id: int) -> None:
        delivery = self._known.get(device_id)
        if delivery is None:
            self.new.append(device_id)
        else:
            self.again.append(delivery.id)

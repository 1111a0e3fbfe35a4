"""The three phases of a delivery, the word that each may need before it begins, and the time it is given. Pure.

A slot is that word: whoever gives a phase its time has approved it. Source: the Campaigns reference, 5.2 and 5.4.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from airfreight.domain.delivery import RANK, State
from airfreight.domain.ids import Millis


class Phase(StrEnum):
    """In the order in which a delivery passes them."""

    DOWNLOAD = "download"
    INSTALL = "install"
    ACTIVATE = "activate"


class Standing(StrEnum):
    """What holds a phase back, or that nothing does."""

    UNAPPROVED = "unapproved"
    SCHEDULED = "scheduled"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Slot:
    """When a phase may begin: from `begin_at` and before `end_at`, which is 0 where there is no end."""

    begin_at: Millis
    end_at: Millis


Slots = Mapping[Phase, Slot]

_BEGUN = {
    Phase.DOWNLOAD: RANK[State.DOWNLOADING],
    Phase.INSTALL: RANK[State.INSTALLING],
    Phase.ACTIVATE: RANK[State.ACTIVATING],
}
_NEXT = {
    State.QUEUED: Phase.DOWNLOAD,
    State.OFFERED: Phase.DOWNLOAD,
    State.DOWNLOADED: Phase.INSTALL,
    State.INSTALLED: Phase.ACTIVATE,
}


def next_phase(state: State) -> Phase | None:
    """The phase that a delivery waits to begin; None while it is in the middle of one, or over."""
    return _NEXT.get(state)


def may_schedule(state: State, phase: Phase) -> bool:
    """Whether the phase has not begun yet: then it may be given a slot, or another one."""
    return state in RANK and RANK[state] < _BEGUN[phase]


def stands(slot: Slot | None, now: Millis, *, needs_word: bool) -> Standing:
    """Whether a phase may begin. A slot that passed unused was for that time only: the phase needs a word again."""
    if slot is None:
        return Standing.UNAPPROVED if needs_word else Standing.OPEN
    if now < slot.begin_at:
        return Standing.SCHEDULED
    return Standing.UNAPPROVED if slot.end_at and now >= slot.end_at else Standing.OPEN


@dataclass(frozen=True, slots=True)
class Point:
    """Where a delivery stands for those who watch it: its state, how far it ever came, and, while it waits for a phase
    to begin, whether that may (`standing`) and was given a slot.
    """

    state: State
    reached: int
    standing: Standing | None = None
    has_slot: bool = False


def point(state: State, reached: int, slots: Slots, now: Millis, *, needs_word: bool) -> Point:
    """The point at which a delivery stands now."""
    phase = next_phase(state)
    if phase is None:
        return Point(state, reached)
    slot = slots.get(phase)
    return Point(state, reached, stands(slot, now, needs_word=needs_word), slot is not None)


def next_edge(slots: Slots, state: State, now: Millis) -> Millis | None:
    """When a slot of a phase that has not begun will begin or end next; None when none is to come."""
    to_come = [slot for phase, slot in slots.items() if may_schedule(state, phase)]
    edges = [edge for slot in to_come for edge in (slot.begin_at, slot.end_at) if edge > now]
    return min(edges, default=None)


def encode(slots: Slots) -> str:
    """As a delivery's row keeps them; nothing for none."""
    given = {phase.value: (slots[phase].begin_at, slots[phase].end_at) for phase in Phase if phase in slots}
    return json.dumps(given, separators=(",", ":")) if given else ""


def decode(text: str) -> dict[Phase, Slot]:
    """What `encode` wrote."""
    given = json.loads(text) if text else {}
    return {Phase(name): Slot(Millis(begin), Millis(end)) for name, (begin, end) in given.items()}

"""Every delivery that can be reached, with every event applied to it: the ground the delivery tests stand on."""

from collections import deque
from dataclasses import dataclass
from functools import lru_cache

from airfreight.domain.delivery import (
    ENDS,
    Cancel,
    Close,
    Consent,
    Delivery,
    Event,
    Expire,
    Fail,
    Insist,
    Offer,
    Reach,
    Readmit,
    Reason,
    Revert,
    Skip,
    State,
    Succeed,
    TakeOut,
    Verdict,
    Yield,
    step,
)

LAST_ATTEMPT = 6
"""Fresh offers make attempts endless; deliveries beyond this one are seen but not walked on from."""

EVENTS: tuple[Event, ...] = (
    Offer(),
    Offer(fresh=True),
    Skip(Reason.CONDITION_NOT_MET),
    *(Reach(state) for state in State),
    Succeed(),
    Fail(Reason.DOWNLOAD_FAILED),
    Fail(Reason.ROLLED_BACK),
    Expire(),
    Cancel(),
    Yield(),
    Insist(),
    Close(Reason.SUPERSEDED),
    Consent(),
    Revert(),
)
"""Every event of a member; of the reasons one for each way they are treated (`EVERY_REASON` has the rest)."""

MEMBERSHIP: tuple[Event, ...] = (TakeOut(), Readmit())
"""What ends being a member and begins it anew: not walked, because everything comes back after it."""

EVERY_REASON: tuple[Event, ...] = tuple(kind(reason) for kind in (Skip, Fail, Close) for reason in Reason)


@dataclass(frozen=True, slots=True)
class Edge:
    before: Delivery
    event: Event
    after: Delivery
    verdict: Verdict


@lru_cache(maxsize=4)
def walk(attempts_limit: int) -> tuple[Edge, ...]:
    """All edges from a new delivery with this limit, breadth first, until nothing new turns up."""
    start = Delivery(attempts_limit=attempts_limit)
    seen, todo, edges = {start}, deque([start]), list[Edge]()
    while todo:
        before = todo.popleft()
        for event in EVENTS:
            after, verdict = step(before, event)
            edges.append(Edge(before, event, after, verdict))
            if after not in seen:
                seen.add(after)
                if after.attempt <= LAST_ATTEMPT:
                    todo.append(after)
    return tuple(edges)


def snapshots(attempts_limit: int) -> set[Delivery]:
    """The deliveries that `walk` applied every event to."""
    return {edge.before for edge in walk(attempts_limit)}


def states_ahead(attempts_limit: int) -> dict[Delivery, set[State]]:
    """For each delivery the ends that some path from it comes to."""
    edges = walk(attempts_limit)
    back: dict[Delivery, set[Delivery]] = {}
    for edge in edges:
        back.setdefault(edge.after, set()).add(edge.before)
    ahead: dict[Delivery, set[State]] = {edge.before: set() for edge in edges}
    for end in ENDS:
        todo = [delivery for delivery in back if delivery.state is end]
        seen = set(todo)
        while todo:
            for before in back.get(todo.pop(), set()) - seen:
                ahead[before].add(end)
                seen.add(before)
                todo.append(before)
    return ahead

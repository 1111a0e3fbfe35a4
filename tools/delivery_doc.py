"""Prints docs/delivery.md from the tables that run: what people read is what the server does.

Every cell is the answer of `step`, `settle`, `judge` or `decide`; only the sentences around them are written here.
Refresh: .venv/bin/python tools/delivery_doc.py > docs/delivery.md
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cmp_to_key

from airfreight.domain import delivery as machine
from airfreight.domain import rollout
from airfreight.domain.conditions import NO_FACTS, Condition, Facts
from airfreight.domain.decide import Decision, Device, Do, Plan, Snapshot, decide
from airfreight.domain.delivery import (
    ENDS,
    OPEN,
    RANK,
    TABLE,
    THE_SIX,
    Cancel,
    Close,
    Delivery,
    Event,
    Expire,
    Fail,
    Insist,
    Offer,
    Reach,
    Reason,
    Skip,
    State,
    Succeed,
    Verdict,
    Yield,
)
from airfreight.domain.finish import FinishOn, judge, settle
from airfreight.domain.ids import Millis
from airfreight.domain.rollout import RolloutEvent, RolloutState
from airfreight.domain.windows import DayPart

HEAD = """# What happens to one device in one rollout

This page is printed from the tables in `src/airfreight/domain`; do not edit it. Refresh it with
`.venv/bin/python tools/delivery_doc.py > docs/delivery.md`.
"""


def page() -> str:
    """The whole text of docs/delivery.md, ending in one newline."""
    sections = (HEAD, _picture(), _states(), _events(), _outcomes(), _reasons(), _finish(), _rollout(), _checks())
    return "\n".join(section.strip("\n") + "\n" for section in sections)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _picture() -> str:
    """The picture is the one in the head of delivery.py, so that there is only one."""
    lines = (machine.__doc__ or "").splitlines()
    return "```\n" + "\n".join(line[4:] for line in lines if line.startswith("    ")) + "\n```\n"


def _in_order(states: Iterable[State]) -> list[State]:
    return [state for state in State if state in set(states)]


def standing(state: State, *, last_try: bool = False, wished: bool = False) -> Delivery:
    """A delivery in `state`, with one of two tries used, or both."""
    tries = 2 if last_try else 1
    return Delivery(state, 2, tries, tries, cancel_requested=wished, reached=RANK[state])


# States and events


STATES = """## States

A delivery is queued, then in one of *the six*, then at an end that nothing leaves. The rank says how far along the way
a state is; a delivery remembers the highest it ever reached.
"""


def _part(state: State) -> str:
    if state in ENDS:
        return "end"
    if state is State.QUEUED:
        return "before the offer"
    paused = replace(unhindered(standing(state)), plan=Plan(RolloutState.PAUSED))
    waits = decide(paused, NOON).do is Do.WAIT
    return "wait: a pause of the rollout holds the device here" if waits else "do: a pause lets it go on"


def _states() -> str:
    rows = ((f"`{state}`", str(RANK.get(state, "")), _part(state)) for state in State)
    return STATES + "\n" + _table(("state", "rank", "part"), rows)


def _froms(states: frozenset[State]) -> str:
    if states == OPEN:
        return "any not ended"
    return "the six" if states == set(THE_SIX) else ", ".join(_in_order(states))


def _events() -> str:
    rows = [(row.event, row.who, _froms(row.froms), row.words) for row in TABLE.values()]
    rows.append(("anything", "anyone", "an end", "unchanged; the verdict is late"))
    return "## Events\n\n" + _table(("event", "who may send it", "from", "effect"), rows)


SAMPLES: dict[str, Event] = {
    "offer": Offer(),
    "skip": Skip(Reason.CONDITION_NOT_MET),
    **{f"reach({state})": Reach(state) for state in THE_SIX},
    "succeed": Succeed(),
    "fail, worth another try": Fail(Reason.DOWNLOAD_FAILED),
    "fail, final reason": Fail(Reason.ROLLED_BACK),
    "expire": Expire(),
    "cancel": Cancel(),
    "yield": Yield(),
    "insist": Insist(),
    "close": Close(),
}


def _outcome(before: Delivery, event: Event) -> str:
    after, verdict = machine.step(before, event)
    if verdict is not Verdict.MOVED:
        return verdict.value
    if after.state is not before.state:
        return f"**{after.state}**"
    return "**wish set**" if after.cancel_requested else "**wish cleared**"


OUTCOMES = """## Every event from every state

Bold is a move, with the state or the change it makes; *noted* changes nothing, because it is so already or the way only
goes forward; *refused* is not allowed from there. From the ends everything is *late*.

With a try left and no wish to cancel:
"""


def _outcomes() -> str:
    def row(event: Event, *, last_try: bool = False, wished: bool = False) -> list[str]:
        return [_outcome(standing(state, last_try=last_try, wished=wished), event) for state in THE_SIX]

    def unlike(**how: bool) -> Iterator[list[str]]:
        return ([name, *row(event, **how)] for name, event in SAMPLES.items() if row(event, **how) != row(event))

    every = ([name, _outcome(standing(State.QUEUED), event), *row(event)] for name, event in SAMPLES.items())
    return "\n".join(
        (
            OUTCOMES,
            _table(("event", "queued", *THE_SIX), every),
            "In the last try these differ:\n",
            _table(("event", *THE_SIX), unlike(last_try=True)),
            "Once an operator has asked to cancel these differ:\n",
            _table(("event", *THE_SIX), unlike(wished=True)),
        )
    )


def _reasons() -> str:
    def ends(reason: Reason) -> bool:
        return machine.step(standing(State.ACTIVATING), Fail(reason))[0].state is State.FAILED

    lines = ["## Reasons", "", "Failures that end a delivery whatever tries are left:", ""]
    lines += [f"- `{reason}`" for reason in Reason if ends(reason)]
    lines += ["", "All others, of failures, skips and cancels (as a failure they leave another try):", ""]
    lines += [f"- `{reason}`" for reason in Reason if not ends(reason)]
    return "\n".join(lines) + "\n"


# Finishing


def _say(event: Event | None) -> str:
    match event:
        case None:
            return "nothing yet"
        case Reach(state):
            return f"reach({state})"
        case Fail(reason) | Skip(reason):
            return f"{type(event).__name__.lower()}({reason})"
        case Offer(fresh=fresh):
            return "fresh offer" if fresh else "offer"
        case _:
            return type(event).__name__.lower()


def _finish() -> str:
    words: list[Event] = [*(Reach(state) for state in THE_SIX[1:]), Succeed(), Fail(Reason.INSTALL_FAILED)]

    def counts(event: Event, finish_on: FinishOn) -> str:
        settled = settle(event, finish_on)
        return "as it is" if settled == event else f"**{_say(settled)}**"

    settled = ([_say(word), *(counts(word, finish_on) for finish_on in FinishOn)] for word in words)
    old, new, other = (Facts(version) for version in ("1", "2", "3"))
    runs = {
        "what the rollout carries": (new, old),
        "the same, and it did before": (new, new),
        "what it ran before": (old, old),
        "anything else": (other, old),
        "unknown": (NO_FACTS, old),
    }
    judged = (
        [state, *(_say(judge(standing(state), running=now, wanted=new, before=was)) for now, was in runs.values())]
        for state in _in_order(OPEN)
    )
    return "\n".join(
        (
            "## What ends a delivery well\n\nWhat a report of the device counts for, by the rollout's `finish_on`:\n",
            _table(("report", *(f"`{finish_on}`" for finish_on in FinishOn)), settled),
            "What the version and the build that a device runs now say of its open delivery:\n",
            _table(("state", *runs), judged),
        )
    )


def _rollout() -> str:
    def cell(state: RolloutState, event: RolloutEvent) -> str:
        after, verdict = rollout.step(state, event)
        return f"**{after}**" if verdict is Verdict.MOVED else verdict.value

    rows = ([f"`{state}`", *(cell(state, event) for event in RolloutEvent)] for state in RolloutState)
    return "## The rollout around it\n\n" + _table(("state", *RolloutEvent), rows)


# Deciding

NOON = Millis(1_773_144_000_000)  # a noon in UTC


def unhindered(delivery: Delivery) -> Snapshot:
    """A delivery of a device that nothing holds back."""
    device = Device(1, reported=True, facts=Facts("1"), fw_type="a")
    plan = Plan(
        RolloutState.RUNNING,
        artifact=Facts("2"),
        fw_type="a",
        check_type=True,
        condition=Condition.VERSION_NEWER,
        window=DayPart.AFTERNOON,
    )
    return Snapshot(device, delivery, plan)


@dataclass(frozen=True, slots=True)
class Fault:
    """What can hold a device back, in words and as a change of a snapshot."""

    words: str
    spoil: Callable[[Snapshot], Snapshot]


def _device(snapshot: Snapshot, change: Callable[[Device], Device]) -> Snapshot:
    return replace(snapshot, device=change(snapshot.device))


def _plan(snapshot: Snapshot, change: Callable[[Plan], Plan]) -> Snapshot:
    return replace(snapshot, plan=snapshot.plan and change(snapshot.plan))


FAULTS = (
    Fault("the device is disabled", lambda s: _device(s, lambda d: replace(d, enabled=False))),
    Fault("the device has no open delivery", lambda s: replace(s, delivery=None)),
    Fault(
        "an operator has asked to cancel",
        lambda s: replace(s, delivery=s.delivery and replace(s.delivery, cancel_requested=s.delivery.state in THE_SIX)),
    ),
    Fault("a newer rollout has come for the device", lambda s: _plan(s, lambda p: replace(p, superseded=True))),
    Fault("the rollout is paused", lambda s: _plan(s, lambda p: replace(p, state=RolloutState.PAUSED))),
    Fault("the pause after a failed try is not over", lambda s: replace(s, not_before=Millis(NOON + 1))),
    Fault(
        "type or condition matter and the device has reported nothing yet",
        lambda s: _device(s, lambda d: replace(d, reported=False)),
    ),
    Fault("the device's type is not the artifact's", lambda s: _device(s, lambda d: replace(d, fw_type="b"))),
    Fault("the condition is not met", lambda s: _device(s, lambda d: replace(d, facts=Facts("3")))),
    Fault(
        "the window is closed and the rollout not critical",
        lambda s: _plan(s, lambda p: replace(p, window=DayPart.NIGHT)),
    ),
)


def _holding(base: Snapshot) -> list[tuple[Fault, Decision]]:
    """The faults that change what `base` is told, in the order in which `decide` looks at them.

    Of two faults at once the one that is looked at first decides: that is how the order is found out.
    """
    told = {fault.words: decide(fault.spoil(base), NOON) for fault in FAULTS}

    def earlier(a: Fault, b: Fault) -> int:
        return -1 if decide(b.spoil(a.spoil(base)), NOON) == told[a.words] else 1

    holding = [fault for fault in FAULTS if told[fault.words].do is not decide(base, NOON).do]
    return [(fault, told[fault.words]) for fault in sorted(holding, key=cmp_to_key(earlier))]


def _chain(base: Snapshot) -> str:
    def line(number: int, fault: Fault, decision: Decision) -> str:
        told = f"{number}. **{decision.trace[-1].name}**: if {fault.words}: *{decision.do}*"
        if decision.event:
            told += f", after {_say(decision.event)}"
        return told + (", until a known moment" if decision.recheck_at else "")

    lines = [line(number, *held) for number, held in enumerate(_holding(base), start=1)]
    fit = decide(base, NOON)
    after = f", after {_say(fit.event)}" if fit.event else ""
    return "\n".join([*lines, f"{len(lines) + 1}. otherwise: *{fit.do}*{after}"]) + "\n"


CHECKS = """## What a device is told

The checks run in this order and the first that stops decides. The list of all that were looked at is what "explain"
prints.

A queued delivery:
"""


def _checks() -> str:
    def row(state: State) -> tuple[str, str, str]:
        snapshot = unhindered(standing(state))
        stops = (decision.trace[-1].name for _, decision in _holding(snapshot))
        return f"`{state}`", f"*{decide(snapshot, NOON).do}*", ", ".join(stops)

    queued = unhindered(standing(State.QUEUED))
    after_reset = _say(decide(replace(queued, tries_since=Millis(0)), NOON).event)
    return "\n".join(
        (
            CHECKS,
            _chain(queued),
            f"Once the reset period of the tries is over the last line is a {after_reset}.\n",
            "An offered delivery:\n",
            _chain(unhindered(standing(State.OFFERED))),
            "Each of the six when nothing stops it, and which checks can:\n",
            _table(("state", "told", "stopped by"), map(row, THE_SIX)),
        )
    )


if __name__ == "__main__":
    print(page(), end="")

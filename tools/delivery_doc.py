"""Prints docs/delivery.md from the tables that run: what people read is what the server does.

Every cell is the answer of `step`, `decide` or a function of `finish`; only the sentences around them are written here.
Refresh: .venv/bin/python tools/delivery_doc.py > docs/delivery.md
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cmp_to_key
from itertools import groupby

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
)
from airfreight.domain.finish import FinishOn, has_reverted, judge, judge_returned, settle
from airfreight.domain.ids import Millis
from airfreight.domain.phases import Phase, Slot
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


def standing(state: State, *, last_try: bool = False, wished: bool = False, consented: bool = False) -> Delivery:
    """A delivery in `state`, with one of two tries used, or both."""
    tries = 2 if last_try else 1
    reached = RANK.get(state, RANK[THE_SIX[-1]])
    return Delivery(state, 2, tries, tries, cancel_requested=wished, consented=consented, reached=reached)


# States and events


STATES = """## States

A delivery is queued, then in one of *the six*, then at an end. Nothing leaves an end, but for a success that is taken
back. The rank says how far along the way a state is; a delivery remembers the highest it ever reached.
"""


def _part(state: State) -> str:
    if state in ENDS:
        return "end"
    if state is State.QUEUED:
        return "before the offer"
    paused = replace(unhindered(standing(state)), plan=Plan(RolloutState.PAUSED))
    waits = decide(paused, NOW).do is Do.WAIT
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
    rows.append(("anything else", "anyone", "an end", "unchanged; the verdict is late"))
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
    "consent": Consent(),
    "revert": Revert(),
    "take out": TakeOut(),
    "readmit": Readmit(),
}


def _outcome(before: Delivery, event: Event) -> str:
    after, verdict = machine.step(before, event)
    if verdict is not Verdict.MOVED:
        return verdict.value
    if after.state is not before.state:
        return f"**{after.state}**"
    if after.consented is not before.consented:
        return "**consent set**"
    return "**wish set**" if after.cancel_requested else "**wish cleared**"


OUTCOMES = """## Every event from every state

Bold is a move, with the state or the change it makes; *noted* changes nothing, because it is so already or the way only
goes forward; *refused* is not allowed from there.

With a try left and no wish to cancel:
"""


def _outcomes() -> str:
    def row(event: Event, states: Iterable[State], **how: bool) -> list[str]:
        return [_outcome(standing(state, **how), event) for state in states]

    def unlike(**how: bool) -> Iterator[list[str]]:
        rows = ((name, row(event, THE_SIX, **how), row(event, THE_SIX)) for name, event in SAMPLES.items())
        return ([name, *cells] for name, cells, plain in rows if cells != plain)

    every = ([name, *row(event, (State.QUEUED, *THE_SIX))] for name, event in SAMPLES.items())
    ends, late = _in_order(ENDS), Verdict.LATE.value
    not_late = ([name, *row(event, ends)] for name, event in SAMPLES.items() if set(row(event, ends)) != {late})
    return "\n".join(
        (
            OUTCOMES,
            _table(("event", "queued", *THE_SIX), every),
            "In the last try these differ:\n",
            _table(("event", *THE_SIX), unlike(last_try=True)),
            "Once an operator has asked to cancel these differ:\n",
            _table(("event", *THE_SIX), unlike(wished=True)),
            "Once the device's user has consented these differ:\n",
            _table(("event", *THE_SIX), unlike(consented=True)),
            "From the ends everything is *late*, but for:\n",
            _table(("event", *ends), not_late),
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


RETURNED = """\
What it says that a device has come back, when it is one that never reports (all that the server sees of it is what
bytes go, and what it runs whenever it connects):
"""


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

    def judged(judge: Callable[..., Event | None]) -> Iterator[list[str]]:
        for state in _in_order(OPEN):
            cells = (judge(standing(state), running=now, wanted=new, before=was) for now, was in runs.values())
            unnamed = judge(standing(state), running=new, wanted=NO_FACTS, before=old)
            yield [state, *map(_say, (*cells, unnamed))]

    def taken_back(now: Facts, was: Facts) -> str:
        return _say(Revert() if has_reverted(running=now, wanted=new, before=was) else None)

    columns = ("state", *runs, "something, and the file names nothing")
    return "\n".join(
        (
            "## What ends a delivery well\n\nWhat a report of the device counts for, by the rollout's `finish_on`:\n",
            _table(("report", *(f"`{finish_on}`" for finish_on in FinishOn)), settled),
            "What the version and the build that a device runs now say of its open delivery:\n",
            _table(columns, judged(judge)),
            RETURNED,
            _table(columns, judged(judge_returned)),
            "Had an operator asked to cancel, all but success would be a yield.\n",
            "What they say later of a delivery that has succeeded, when they change:\n",
            _table(runs, [[taken_back(now, was) for now, was in runs.values()]]),
        )
    )


def _rollout() -> str:
    def cell(state: RolloutState, event: RolloutEvent) -> str:
        after, verdict = rollout.step(state, event)
        return f"**{after}**" if verdict is Verdict.MOVED else verdict.value

    rows = ([f"`{state}`", *(cell(state, event) for event in RolloutEvent)] for state in RolloutState)
    return "## The rollout around it\n\n" + _table(("state", *RolloutEvent), rows)


# Deciding

NOW = Millis(1_773_151_200_000)  # 14:00 in UTC: an afternoon that has let everybody in


def unhindered(delivery: Delivery) -> Snapshot:
    """A delivery of a device that nothing holds back."""
    device = Device(1, reported=True, facts=Facts("1"), fw_type="a", board="a", component="a")
    plan = Plan(
        RolloutState.RUNNING,
        artifact=Facts("2"),
        fw_type="a",
        board="a",
        component="a",
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
    Fault("the pause after a failed try is not over", lambda s: replace(s, not_before=Millis(NOW + 1))),
    Fault(
        "type or condition matter and the device has reported nothing yet",
        lambda s: _device(s, lambda d: replace(d, reported=False)),
    ),
    Fault("the device's type is not the artifact's", lambda s: _device(s, lambda d: replace(d, fw_type="b"))),
    Fault("both boards are known and differ", lambda s: _device(s, lambda d: replace(d, board="b"))),
    Fault("both components are known and differ", lambda s: _device(s, lambda d: replace(d, component="b"))),
    Fault("the condition is not met", lambda s: _device(s, lambda d: replace(d, facts=Facts("3")))),
    Fault("automatic updates are off", lambda s: _device(s, lambda d: replace(d, auto_update=False))),
    Fault(
        "the phase that comes next needs a word and has none",
        lambda s: _plan(s, lambda p: replace(p, needs_word=True)),
    ),
    Fault(
        "its slot has not begun",
        lambda s: replace(s, slots=dict.fromkeys(Phase, Slot(Millis(NOW + 1), Millis(0)))),
    ),
    Fault("the window is closed", lambda s: _plan(s, lambda p: replace(p, window=DayPart.NIGHT))),
    Fault(
        "it is open and the device's turn in it has not come",
        lambda s: _plan(s, lambda p: replace(p, started_at=NOW)),
    ),
)


def _check(decision: Decision) -> str:
    """The check that decided."""
    return decision.trace[-1].name


def _holding(base: Snapshot) -> list[tuple[Fault, Decision]]:
    """The faults that change what `base` is told, in the order in which `decide` looks at them.

    Of two faults at once the one that is looked at first decides: that is how the order is found out.
    """
    told = {fault.words: decide(fault.spoil(base), NOW) for fault in FAULTS}

    def earlier(a: Fault, b: Fault) -> int:
        checks = _check(told[a.words]), _check(told[b.words])
        both = _check(decide(b.spoil(a.spoil(base)), NOW))
        return 0 if checks[0] == checks[1] else -1 if both == checks[0] else 1

    holding = [fault for fault in FAULTS if told[fault.words].do is not decide(base, NOW).do]
    return [(fault, told[fault.words]) for fault in sorted(holding, key=cmp_to_key(earlier))]


def _chain(base: Snapshot) -> str:
    def line(faults: list[tuple[Fault, Decision]]) -> str:
        decision = faults[0][1]
        words = ", or ".join(fault.words for fault, _ in faults)
        told = f"**{_check(decision)}**: if {words}: *{decision.do}*"
        if decision.event:
            told += f", after {_say(decision.event)}"
        return told + (", until a known moment" if decision.recheck_at else "")

    fit = decide(base, NOW)
    lines = [line(list(faults)) for _, faults in groupby(_holding(base), lambda held: _check(held[1]))]
    lines.append(f"otherwise: *{fit.do}*" + (f", after {_say(fit.event)}" if fit.event else ""))
    return "\n".join(f"{number}. {words}" for number, words in enumerate(lines, start=1)) + "\n"


def _stops(base: Snapshot) -> list[str]:
    """The checks that can stop `base`, in their order."""
    return list(dict.fromkeys(_check(decision) for _, decision in _holding(base)))


def _lifted(by: Callable[[Snapshot], Snapshot]) -> str:
    """The checks that stop a queued delivery no more once `by` has changed it."""
    queued = unhindered(standing(State.QUEUED))
    return ", ".join(check for check in _stops(queued) if check not in _stops(by(queued)))


CHECKS = """## What a device is told

The checks run in this order and the first that stops decides. The list of all that were looked at is what "explain"
prints.

A queued delivery:
"""


def _checks() -> str:
    def row(state: State) -> tuple[str, str, str]:
        snapshot = unhindered(standing(state))
        return f"`{state}`", f"*{decide(snapshot, NOW).do}*", ", ".join(_stops(snapshot))

    critical = _lifted(lambda s: _plan(s, lambda p: replace(p, critical=True)))
    consented = _lifted(lambda s: replace(s, delivery=standing(State.QUEUED, consented=True)))
    queued = unhindered(standing(State.QUEUED))
    after_reset = _say(decide(replace(queued, tries_since=Millis(0)), NOW).event)
    return "\n".join(
        (
            CHECKS,
            _chain(queued),
            f"Once the reset period of the tries is over the last line is a {after_reset}.\n",
            f"Passed over where the rollout is critical: {critical}; if the device's user wants it now: {consented}.\n",
            "An offered delivery:\n",
            _chain(unhindered(standing(State.OFFERED))),
            "Each of the six when nothing stops it, and which checks can:\n",
            _table(("state", "told", "stopped by"), map(row, THE_SIX)),
        )
    )


if __name__ == "__main__":
    print(page(), end="")

"""The table of behaviours against the real server: what it says of each device is what the table declares."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.agent.server import Delivery, Operator, airfreight

from airfreight_agent.behaviours import BEHAVIOURS, End, expected_end, is_expected_history
from airfreight_agent.fleet import Fleet
from airfreight_agent.sample_image import build_sample_image
from airfreight_agent.simulated import Member

EACH = 3
GIVE_UP_SECONDS = 240.0
OPEN = ("queued", "offered", "downloading", "downloaded", "installing", "installed", "activating")
Work = Callable[[float], Coroutine[Any, Any, None]]
SILENT = ("downloaded",)
"""Where a silent device stays: the server sees the last byte go."""


async def until(holds: Callable[[], bool], *, every: float = 0.2) -> None:
    """Look, in a thread, until it `holds`, or it takes too long. The server may be away meanwhile."""
    for _ in range(int(GIVE_UP_SECONDS / every)):
        with contextlib.suppress(httpx.TransportError):
            if await asyncio.to_thread(holds):
                return
        await asyncio.sleep(every)


async def play(
    operator: Operator,
    rollout: int,
    members: list[Member],
    *,
    still_open: int = 0,
    stay_in: Collection[str] = SILENT,
    time_scale: float = 0.01,
) -> tuple[Fleet, dict[str, Delivery]]:
    """Let the fleet live until all deliveries but `still_open` have ended, and those are where they `stay_in`."""

    def is_over() -> bool:
        counts = operator.counts(rollout)
        is_open = {state: counts[state] for state in OPEN if counts.get(state)}
        return sum(is_open.values()) <= still_open and is_open.keys() <= set(stay_in)

    fleet = Fleet(operator.url, members, seed=7, time_scale=time_scale, haste=10)
    over = asyncio.Event()

    async def watch() -> None:
        await until(is_over)
        over.set()

    watcher = asyncio.create_task(watch())
    await fleet.run(over)
    await watcher
    return fleet, operator.deliveries(rollout)


def as_declared(members: list[Member], deliveries: dict[str, Delivery], **rollout: object) -> dict[str, object]:
    """The devices whose end is not what the table says: none, if all is well."""
    wrong: dict[str, object] = {}
    for member in members:
        expected = expected_end(member.behaviour, **rollout)  # type: ignore[arg-type]
        found = deliveries[member.uid].end
        if found not in expected:
            wrong[member.uid] = (found, expected)
    return wrong


@pytest.mark.parametrize(("attempts", "size"), [(1, 200_000), (2, 65_536), (3, 1_000_000)])
def test_every_behaviour_ends_as_declared(operator: Operator, attempts: int, size: int) -> None:
    """65536 bytes come in one piece, or nearly: a device may lose power with all of them and the step not done."""
    product = operator.product()
    members = operator.members(product, [name for name in BEHAVIOURS for _ in range(EACH)])
    rollout = operator.ship(product, build_sample_image("2.0.0", size=size), attempts=attempts)
    fleet, deliveries = asyncio.run(play(operator, rollout, members, still_open=EACH))
    assert as_declared(members, deliveries, attempts_limit=attempts) == {}
    histories = {member: operator.history(rollout, deliveries[member.uid]) for member in members}
    unexpected = {
        member.uid: history
        for member, history in histories.items()
        if not is_expected_history(member.behaviour, history, attempts_limit=attempts)
    }
    assert unexpected == {}
    assert fleet.traffic.contradictions == 0
    assert fleet.traffic.power_cuts == 5 * EACH


def test_without_a_version_the_report_is_believed(operator: Operator) -> None:
    product = operator.product()
    members = operator.members(product, list(BEHAVIOURS))
    rollout = operator.ship(product, b"no version in here" * 10_000)
    _, deliveries = asyncio.run(play(operator, rollout, members, still_open=1))
    assert as_declared(members, deliveries, attempts_limit=2, versioned=False) == {}


def test_a_silent_device_is_given_up_after_its_attempts(impatient: Operator) -> None:
    product = impatient.product()
    members = impatient.members(product, ["goes_silent"] * 2)
    rollout = impatient.ship(product, build_sample_image("2.0.0"), attempts=2)
    _, deliveries = asyncio.run(play(impatient, rollout, members))
    assert as_declared(members, deliveries, attempts_limit=2, deadlines_passed=True) == {}
    assert {delivery.attempt for delivery in deliveries.values()} == {2}


def waiting_for(event: asyncio.Event, work: Work) -> Work:
    """The same work, not begun before the event."""

    async def wait(seconds: float) -> None:
        await event.wait()
        await work(seconds)

    return wait


def test_a_stopped_rollout_cancels_those_that_yield_and_lets_the_others_finish(operator: Operator) -> None:
    product = operator.product()
    members = operator.members(product, ["slow"] * 4 + ["refuses_cancel"] * 4)
    slow = {member.uid for member in members if member.behaviour == "slow"}
    content = build_sample_image("2.0.0", size=600_000)
    rollout = operator.ship(product, content)

    async def scene() -> dict[str, Delivery]:
        fleet = Fleet(operator.url, members, seed=3, time_scale=0.01, haste=10)
        over, stopped = asyncio.Event(), asyncio.Event()
        for device in fleet.devices:  # nobody gets beyond the first bytes, or the download, before
            device._work = waiting_for(stopped, device._work)  # type: ignore[method-assign, assignment]

        async def stop_then_watch() -> None:
            await until(lambda: not operator.counts(rollout).get("queued"), every=0.05)
            await asyncio.to_thread(operator.stop, rollout)
            await until(lambda: slow <= operator.asked_to_cancel(rollout), every=0.05)
            stopped.set()
            await until(lambda: not operator.counts(rollout).keys() & set(OPEN))
            over.set()

        director = asyncio.create_task(stop_then_watch())
        await fleet.run(over)
        await director
        return operator.deliveries(rollout)

    deliveries = asyncio.run(scene())
    ends = {member.uid: deliveries[member.uid].end for member in members}
    assert {ends[member.uid].state for member in members if member.behaviour == "refuses_cancel"} == {"succeeded"}
    assert {ends[uid] for uid in slow} == {End("canceled", "stopped")}


def test_a_server_that_is_killed_and_started_again_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with airfreight(tmp_path / "data", poll_seconds="1", retry_seconds="0") as operator:
        product = operator.product()
        members = operator.members(product, [name for name in BEHAVIOURS for _ in range(12)])
        rollout = operator.ship(product, build_sample_image("2.0.0", size=200_000))

        cut_off = ("downloading", "downloaded")  # the server may be killed when it has seen the last byte of one go

        async def scene() -> tuple[Fleet, dict[str, Delivery]]:
            playing = asyncio.create_task(
                play(operator, rollout, members, still_open=12, stay_in=cut_off, time_scale=0.2)
            )
            await asyncio.sleep(0.7)
            await asyncio.to_thread(operator.server.end, signal.SIGKILL)
            await asyncio.to_thread(operator.server.start)
            return await playing

        fleet, deliveries = asyncio.run(scene())
        assert sum(fleet.traffic.errors.values()) > 0, "the devices noticed"
        assert as_declared(members, deliveries, attempts_limit=2) == {}
        assert fleet.traffic.contradictions == 0
        assert sum(operator.counts(rollout).values()) == len(members)


def test_a_wrong_token_is_turned_away_and_nothing_else_happens(operator: Operator) -> None:
    members = [Member("nobody", "a-token-that-nobody-has")]
    fleet = Fleet(operator.url, members, haste=100)

    async def scene() -> None:
        over = asyncio.Event()
        living = asyncio.create_task(fleet.run(over))
        await until(lambda: fleet.traffic.requests >= 5, every=0.01)
        over.set()
        await living

    asyncio.run(scene())
    assert set(fleet.traffic.errors) == {"the server answered 401"}
    assert fleet.progress().steps == {"idle": 1}

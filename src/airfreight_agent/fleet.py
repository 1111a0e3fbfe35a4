"""A fleet: thousands of simulated devices in one process and one event loop, the same again for the same seed."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from airfreight_agent.behaviours import BEHAVIOURS
from airfreight_agent.simulated import Member, Pace, SimulatedDevice, Traffic
from airfreight_agent.wire import Wire

MAX_SHORT_POLL_CONNECTIONS = 256
STARTS_PER_SECOND = 500


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fleet is, in the devices' own view: `steps` counts devices by what they are doing or how their last
    attempt ended, `behaviours` splits the same by behaviour.
    """

    steps: Counter[str]
    behaviours: dict[str, Counter[str]]
    traffic: Traffic


class Fleet:
    """`members` against one server.

    Raises ValueError for a behaviour that the table does not know, or an address that is none.
    """

    def __init__(
        self,
        server_url: str,
        members: Sequence[Member],
        *,
        seed: int = 0,
        time_scale: float = 1.0,
        haste: float = 1.0,
        wait_seconds: int = 0,
    ) -> None:
        if unknown := {member.behaviour for member in members} - BEHAVIOURS.keys():
            raise ValueError(f"unknown behaviours: {', '.join(sorted(unknown))}")
        # A held poll keeps its connection; without holding, a few connections serve everybody in turn.
        limit = len(members) + 16 if wait_seconds else min(len(members) + 1, MAX_SHORT_POLL_CONNECTIONS)
        self._wire = Wire(server_url, limit=limit)
        self._rng = random.Random(seed)  # noqa: S311  the same fleet again for the same seed, nothing secret
        self._haste = haste
        self.traffic = Traffic()
        pace = Pace(time_scale, haste, wait_seconds)
        self.devices = [
            SimulatedDevice(
                member,
                self._wire,
                pace,
                random.Random(f"{seed}:{member.uid}"),  # noqa: S311  as above
                self.traffic,
            )
            for member in members
        ]

    async def run(self, until: asyncio.Event | float) -> None:
        """Let all devices live until the event is set, or for that many seconds. May be called again: they go on."""
        spread = len(self.devices) / STARTS_PER_SECOND
        async with self._wire, asyncio.TaskGroup() as group:
            tasks = [group.create_task(device.live(self._rng.uniform(0.0, spread))) for device in self.devices]
            if isinstance(until, asyncio.Event):
                await until.wait()
            else:
                await asyncio.sleep(until)
            for task in tasks:
                task.cancel()

    def progress(self) -> Progress:
        """Counters of this moment."""
        behaviours: dict[str, Counter[str]] = {}
        for device in self.devices:
            memory = device.memory
            word = str(memory.outcome) if memory.outcome and not memory.is_open else str(memory.step)
            behaviours.setdefault(device.row.name, Counter())[word] += 1
        return Progress(sum(behaviours.values(), Counter()), behaviours, self.traffic)


def load_members(path: Path) -> list[Member]:
    """A JSON list of objects with the fields of Member. Raises ValueError when the file holds something else."""
    rows = json.loads(path.read_bytes())
    if not isinstance(rows, list):
        raise ValueError("the members file is not a list")  # noqa: TRY004  the content is wrong, not the call
    return [_member(row) for row in rows]


def _member(row: object) -> Member:
    if not isinstance(row, dict) or not all(isinstance(value, str) for value in row.values()):
        raise ValueError("a member is not an object of texts")
    try:
        return Member(**row)
    except TypeError as error:
        raise ValueError(f"a member has the wrong fields: {error}") from None

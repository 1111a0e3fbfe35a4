"""A fleet at a broker: thousands of simulated MQTT devices in one process and one event loop."""

import asyncio
import json
import random
import ssl
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

from airfreight_agent.mqtt_behaviours import MQTT_BEHAVIOURS
from airfreight_agent.mqtt_device import MqttDevice, MqttMember, MqttTraffic, World
from airfreight_agent.mqtt_link import parse_address

CONNECTING_THREADS = 16
STARTS_PER_SECOND = 500
DEFAULT_PREFIX = "airfreight"


@dataclass(frozen=True, slots=True)
class MqttProgress:
    """How far a fleet is: `phases` counts devices by what they are at, `versions` by what they run, `behaviours`
    splits the versions by behaviour.
    """

    phases: Counter[str]
    versions: Counter[str]
    behaviours: dict[str, Counter[str]]
    traffic: MqttTraffic


class MqttFleet:
    """`members` at one broker; `ca_file` is trusted for the broker and for https downloads, instead of the system's.

    Raises ValueError for a behaviour that the table does not know, or an address that is none.
    """

    def __init__(
        self,
        broker_url: str,
        members: Sequence[MqttMember],
        *,
        prefix: str = DEFAULT_PREFIX,
        ca_file: str = "",
        seed: int = 0,
        time_scale: float = 1.0,
    ) -> None:
        if unknown := {member.behaviour for member in members} - MQTT_BEHAVIOURS.keys():
            raise ValueError(f"unknown behaviours: {', '.join(sorted(unknown))}")
        self._rng = random.Random(seed)  # noqa: S311  the same fleet again for the same seed, nothing secret
        self._threads = ThreadPoolExecutor(CONNECTING_THREADS, thread_name_prefix="connect")
        self.traffic = MqttTraffic()
        world = World(
            broker=parse_address(broker_url, ca_file),
            prefix=prefix,
            tls=ssl.create_default_context(cafile=ca_file) if ca_file else None,
            time_scale=time_scale,
            threads=self._threads,
            traffic=self.traffic,
        )
        self.devices = [
            MqttDevice(member, world, random.Random(f"{seed}:{member.id}"))  # noqa: S311  as above
            for member in members
        ]

    async def run(self, until: asyncio.Event | float) -> None:
        """Let all devices live until the event is set, or for that many seconds. May be called again: they go on."""
        spread = len(self.devices) / STARTS_PER_SECOND
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(device.live(self._rng.uniform(0.0, spread))) for device in self.devices]
            if isinstance(until, asyncio.Event):
                await until.wait()
            else:
                await asyncio.sleep(until)
            for task in tasks:
                task.cancel()

    def progress(self) -> MqttProgress:
        """Counters of this moment."""
        behaviours: dict[str, Counter[str]] = {}
        for device in self.devices:
            behaviours.setdefault(device.row.name, Counter())[device.version] += 1
        phases = Counter(str(device.phase) for device in self.devices)
        return MqttProgress(phases, sum(behaviours.values(), Counter()), behaviours, self.traffic)


def load_mqtt_members(path: Path) -> list[MqttMember]:
    """A JSON list of objects with the fields of MqttMember. Raises ValueError when the file holds something else."""
    rows = json.loads(path.read_bytes())
    if not isinstance(rows, list):
        raise ValueError("the members file is not a list")  # noqa: TRY004  the content is wrong, not the call
    return [_member(row) for row in rows]


def _member(row: object) -> MqttMember:
    if not isinstance(row, dict) or not {"id", "token"} <= row.keys():
        raise ValueError("a member is not an object with id and token")
    texts = {name: str(value) if name == "id" else value for name, value in row.items()}
    known = {field.name for field in fields(MqttMember)}
    if not texts.keys() <= known or not all(isinstance(value, str) for value in texts.values()):
        raise ValueError(f"a member has other fields than the texts {', '.join(sorted(known))}")
    return MqttMember(**texts)

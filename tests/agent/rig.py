"""A device in a folder, with an installer that counts its runs: what the agent's tests drive."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from airfreight_agent.client import Client
from airfreight_agent.device import Device, Habits
from airfreight_agent.installers import Activator, Installation, Installer, Outcome, activate_in_place

OLD = "1.0.0"
MAX_STEPS = 200


@dataclass
class Slot:
    """An installer that remembers: what it was given, and how often it ran for each piece of work."""

    outcomes: list[Outcome] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    content: bytes = b""

    def __call__(self, work: Installation, /) -> Outcome:
        self.runs.append(work.key)
        self.content = work.path.read_bytes()
        return self.outcomes.pop(0) if self.outcomes else Outcome(ok=True)


@contextmanager
def device_at(
    url: str,
    directory: Path,
    installer: Installer,
    activator: Activator = activate_in_place,
    *,
    token: str,
    version: str | None = OLD,
    read_version: Callable[[], str | None] | None = None,
    boot_id: Callable[[], str] = lambda: "boot-1",
    progress_seconds: float = 60.0,
) -> Iterator[Device]:
    habits = Habits(
        version=version,
        read_version=read_version,
        poll_wait_seconds=0,
        progress_seconds=progress_seconds,
        boot_id=boot_id,
    )
    with httpx.Client(base_url=url, timeout=30.0) as http:
        yield Device(Client(http, token), directory, installer, activator, habits)


def drive(device: Device, *, is_done: Callable[[Device], bool] | None = None) -> list[float]:
    """Step without resting until the attempt is over and told (or `is_done`); the rests that were asked for."""
    rests: list[float] = []
    for _ in range(MAX_STEPS):
        rests.append(device.step())
        if is_done(device) if is_done else device.memory.outcome and not device.memory.outbox:
            return rests
    raise AssertionError(f"after {MAX_STEPS} steps the device is still {device.memory.step}")

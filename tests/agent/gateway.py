"""Gateways and what is sent to them: packages made of shell scripts, campaigns of several of them, a disk to look at."""

import random
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select
from tests.apis.site import Site
from tests.clients.wire import Wire
from tests.make import Board

from airfreight.domain.phases import Phase
from airfreight.services import members, rollout_steps
from airfreight.services.members import Progress, Words
from airfreight.services.rollout_steps import Draft, Kind
from airfreight.store import tables
from airfreight_agent import iotcp
from airfreight_agent.client import Client
from airfreight_agent.device import Device, Habits
from airfreight_agent.installers import Activator, Installer, activate_in_place
from airfreight_agent.lifecycle import Rules
from airfreight_agent.protocol import Event

KIND = Kind("steps", "Campaign", "package")
WORDS = Words("gatewayIds", "gateway")
CONNECTIONS = httpx.Limits(keepalive_expiry=2)
"""Given up before the server of the tests does it: a request that crosses that end would find nobody."""
PATIENCE = 120.0
"""For a machine that is slow and busy; nobody waits for all of it."""


def eventually(holds: Callable[[], object], every: float = 0.005) -> None:
    give_up = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(every)


def is_gone(pid: int) -> bool:
    """Whether a process has ended; nobody may have taken notice yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def large(mib: int) -> bytes:
    """So many MiB that cannot be packed, and are no firmware by chance."""
    return random.Random(mib).randbytes(mib << 20)


@contextmanager
def slow_line(server_port: int) -> Iterator[Wire]:
    """A way to the server on which 16 MiB take half a minute, so that a test comes in time for the middle of it."""
    line = Wire(server_port)
    line.chunk_seconds = 0.1
    try:
        yield line
    finally:
        line.stop()


@dataclass
class Disk:
    """What a gateway has: its folder, a log that scripts write to, and the place of new packages."""

    folder: Path
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / "log"
        self.agent = self.folder / "agent"
        self.root = self.folder / "root"
        self.root.mkdir()

    @property
    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def package(
        self,
        name: str = "metrics",
        version: str = "1.0.3",
        *,
        headless: bool = True,
        attachments: Sequence[tuple[str, bytes, str]] = (),
        shebang: str = "#!/bin/sh\n",
        **scripts: str,
    ) -> bytes:
        """Each script says in the log that it ran; what is given for a phase (`$LOG` is the log) it does besides.

        An attachment is its name, its content and its install path.
        """
        source = self.folder / f"source-{name}-{version}"
        source.mkdir()
        for phase, does in scripts.items():
            head = f"{shebang}LOG={shlex.quote(str(self.log))}\necho {name} {phase} >> $LOG\n"
            (source / f"{phase}.sh").write_text(head + does + "\n")
        for file, content, _ in attachments:
            (source / file).write_bytes(content)
        path = self.folder / f"{name}-{version}.iotcp"
        iotcp.build(
            path,
            name,
            version,
            headless=headless,
            lifecycle={phase: f"{phase}.sh" for phase in scripts},
            attachments=[
                *((source / f"{phase}.sh", "") for phase in scripts),
                *((source / file, target) for file, _, target in attachments),
            ],
        )
        return path.read_bytes()


class Campaign:
    """These packages, in this order, for one gateway."""

    def __init__(self, site: Site, *packages: bytes) -> None:
        self.site = site
        self.board: Board = site.devices(site.product())[0]
        site.now = type(site.now)(int(time.time() * 1000))
        ids = [site.artifact(content=content).id for content in packages]
        rows = {row.id: row.uid for row in site.rows(select(tables.artifacts.c.id, tables.artifacts.c.uid))}
        with site.call() as call:
            self.uid = rollout_steps.draft(call, KIND, Draft("a title", artifacts=[rows[one] for one in ids]))
            members.add(call, KIND, self.uid, [self.board.uid], WORDS)
            rollout_steps.start(call, KIND, self.uid)

    def approve(self, phase: Phase, after_ms: int = 0) -> int:
        """When it may begin, in milliseconds."""
        self.site.now = type(self.site.now)(int(time.time() * 1000))
        begin = self.site.now + after_ms if after_ms else 0
        with self.site.call() as call:
            members.schedule(call, KIND, self.uid, self.board.uid, WORDS, phase, begin, 0)
        return begin

    def stop(self) -> None:
        """Ask the gateway to give up."""
        [row] = self.site.rows(select(tables.rollouts.c.id).where(tables.rollouts.c.uid == self.uid))
        answer = self.site.ask("POST", f"/api/v1/rollouts/{row.id}/stop")
        assert answer.is_success, answer.text

    @property
    def progress(self) -> Progress:
        with self.site.call() as call:
            return members.progress(call, KIND, self.uid, self.board.uid, WORDS)

    @property
    def downloaded(self) -> list[tuple[int, int]]:
        """How much has come of how much, of each artifact in its order."""
        progress = self.progress
        told = [progress.bytes[one.id] for one in progress.artifacts]
        assert len(told) == len(progress.bytes)
        return [(one.done, one.total) for one in told]

    @property
    def delivery(self) -> Any:
        table = tables.deliveries
        [row] = self.site.rows(select(table).where(table.c.device_id == self.board.id))
        return row

    @property
    def end(self) -> tuple[str, str]:
        return self.delivery.state, self.delivery.reason or ""


class Gateway:
    """An agent in this process, working on a thread of its own."""

    def __init__(
        self,
        url: str,
        token: str,
        disk: Disk,
        installer: Installer | None = None,
        activator: Activator = activate_in_place,
        *,
        progress_seconds: float = 0.1,
        **rules: Any,
    ) -> None:
        self.http = httpx.Client(base_url=url, timeout=30, limits=CONNECTIONS)
        habits = Habits(
            version="0.9",
            poll_wait_seconds=0,
            progress_seconds=progress_seconds,
            backoff_first_seconds=0.05,
            rules=Rules(**{"install_root": disk.root, **rules}),
        )
        self.device = Device(Client(self.http, token), disk.agent, installer, activator, habits)

    def step_until(self, holds: Callable[[Device], object]) -> None:
        """Work, without resting long, until it `holds`."""
        give_up = time.monotonic() + PATIENCE
        while not holds(self.device):
            assert time.monotonic() < give_up, self.device.memory
            time.sleep(min(self.device.step(), 0.05))

    def run(self) -> Event | None:
        """Work until an attempt is over and told."""
        self.step_until(lambda device: device.memory.outcome and not device.memory.outbox)
        return self.device.memory.outcome

    def begin(self) -> threading.Thread:
        thread = threading.Thread(target=self.run)
        thread.start()
        return thread

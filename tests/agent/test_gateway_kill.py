"""A gateway that is killed at every point of a campaign: one success is counted, and every script has done its work.

Either only the agent dies, and the script in hand goes on without it; or everything does, as in a power loss.
"""

import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.agent.faulty_server import TOKEN, Plane, serving
from tests.agent.gateway import PATIENCE, Campaign, Disk, Gateway, eventually, large, slow_line
from tests.apis.site import Site

from airfreight.store import tables
from airfreight_agent.machine import Memory
from airfreight_agent.protocol import Event
from airfreight_agent.state import StateFile

PHASES = ("verify", "execute", "validate", "activate")
SAVES = 35
"""How often a package with all its scripts makes something durable; a test holds this number."""


class Agent:
    """`airfreight-agent run` in a process of its own, again and again."""

    def __init__(self, url: str, campaign: Campaign, disk: Disk) -> None:
        command = [sys.executable, "-m", "airfreight_agent.main", "run", "--folder", str(disk.agent)]
        self._command = [*command, "--server", url, "--token", campaign.board.token]
        self._log = disk.folder / "agent.log"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as output:
            process = subprocess.Popen([*self._command, *options], stderr=output)
        self._processes.append(process)
        return process

    def kill(self) -> None:
        self._processes[-1].kill()
        self._processes[-1].wait()

    def finish(self) -> None:
        """Work until there is nothing more to do."""
        assert self.start("--once").wait(PATIENCE) == 0, self._log.read_text()

    def end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        said = self._log.read_text() if self._log.exists() else ""
        sys.stderr.write(said)  # shown when the test fails
        assert "ERROR" not in said


@pytest.fixture
def agent_of(site: Site, disk: Disk) -> Iterator[Callable[..., Agent]]:
    made: list[Agent] = []

    def make(campaign: Campaign, url: str = "") -> Agent:
        made.append(Agent(url or site.server.url, campaign, disk))
        return made[-1]

    yield make
    for agent in made:
        agent.end()


def assert_one_success(campaign: Campaign) -> None:
    assert campaign.end == ("succeeded", "")
    table = tables.history
    delivery = campaign.delivery
    rows = campaign.site.rows(
        select(table.c.event, table.c.verdict).where(table.c.delivery_id == delivery.id, table.c.verdict == "moved")
    )
    assert (delivery.attempt, Counter(row.event for row in rows)["succeed"]) == (1, 1)


MakeAgent = Callable[..., Agent]


@pytest.mark.parametrize("phase", PHASES)
def test_a_script_goes_on_without_its_agent_and_is_not_run_again(
    site: Site, disk: Disk, agent_of: MakeAgent, phase: str
) -> None:
    go = disk.folder / "go"
    waits = f"echo one; while ! test -e {shlex.quote(str(go))}; do sleep 0.05; done; sleep 0.7; echo two"
    does = dict.fromkeys(PHASES, "echo done >> $LOG") | {phase: f"{waits}; echo done >> $LOG"}
    campaign = Campaign(site, disk.package("one", **does))  # type: ignore[arg-type]
    agent = agent_of(campaign)
    agent.start()
    eventually(lambda: f"one {phase}" in disk.lines)
    agent.kill()
    go.touch()
    agent.finish()
    assert_one_success(campaign)
    assert disk.lines == [line for name in PHASES for line in (f"one {name}", "done")]
    assert campaign.progress.lines == ["one", "two"]


@pytest.mark.parametrize("phase", PHASES)
def test_a_script_that_was_cut_off_is_run_again(site: Site, disk: Disk, agent_of: MakeAgent, phase: str) -> None:
    """Everything dies: the agent, the supervisor, the script."""
    pids = disk.folder / "pids"
    stops = f"echo run $AIRFREIGHT_RUN; test -e {pids} || {{ echo $$ $PPID > {pids}; sleep 300; }}; echo done >> $LOG"
    does = dict.fromkeys(PHASES, "echo done >> $LOG") | {phase: stops}
    campaign = Campaign(site, disk.package("one", **does))  # type: ignore[arg-type]
    agent = agent_of(campaign)
    agent.start()
    eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    eventually(lambda: any(log.stat().st_size for log in disk.agent.rglob("*.log")))  # what it printed is kept
    script, supervisor = map(int, pids.read_text().split())
    agent.kill()
    os.kill(supervisor, signal.SIGKILL)
    os.killpg(script, signal.SIGKILL)
    agent.finish()
    assert_one_success(campaign)
    once = [line for name in PHASES for line in (f"one {name}", "done")]
    once.insert(once.index(f"one {phase}"), f"one {phase}")
    assert disk.lines == once
    assert campaign.progress.lines == ["run 1", "run 2"]


def test_a_download_that_was_cut_off_goes_on(site: Site, disk: Disk, agent_of: MakeAgent) -> None:
    big = disk.package("two", execute="wc -c < big.bin >> $LOG", attachments=[("big.bin", large(16), "")])
    campaign = Campaign(site, disk.package("one", execute=""), big)
    with slow_line(site.server.port) as line:
        agent = agent_of(campaign, line.url)
        agent.start()
        files = disk.agent / "files"
        eventually(lambda: any(part.stat().st_size for part in files.glob("*-1.bin.part")))
        agent.kill()
        had = next(files.glob("*-1.bin.part")).stat().st_size
        assert 0 < had < len(big)
        line.chunk_seconds = 0.0
        agent.finish()
    assert_one_success(campaign)
    assert disk.lines == ["one execute", "two execute", str(16 << 20)]
    assert campaign.downloaded[1] == (len(big), len(big))


@pytest.mark.parametrize("seed", range(2))
def test_an_agent_that_is_killed_again_and_again_runs_each_script_once(
    site: Site, disk: Disk, agent_of: MakeAgent, seed: int
) -> None:
    rng = random.Random(seed)
    does = dict.fromkeys(PHASES, "sleep 0.2; echo done >> $LOG")
    go = disk.folder / "go"
    waits = {"activate": f"while ! test -e {shlex.quote(str(go))}; do sleep 0.05; done; {does['activate']}"}
    campaign = Campaign(
        site,
        disk.package("one", **does),  # type: ignore[arg-type]
        disk.package("two", **does | waits),  # type: ignore[arg-type]
    )
    agent = agent_of(campaign)
    kills, slowness, come = 0, 1.0, (campaign.end, disk.lines)
    while campaign.end[0] != "succeeded":
        agent.start()
        time.sleep(rng.uniform(0.4, 0.9) * slowness)
        agent.kill()
        kills += 1
        assert kills < 40
        if kills == 3:  # fewer runs than four cannot be enough, however fast they are
            go.touch()
        before, come = come, (campaign.end, disk.lines)
        if before == come:  # on a slow machine it has hardly begun by then
            slowness = min(slowness * 1.5, 10)
    assert_one_success(campaign)
    assert kills > 3
    assert Counter(disk.lines) == {f"{name} {phase}": 1 for name in ("one", "two") for phase in PHASES} | {"done": 8}


class PowerCut(BaseException):
    """Nothing catches it, as nothing catches a power loss."""


class FailingState(StateFile):
    """Loses power at one of its saves, just before or just after it."""

    def __init__(self, path: Path, points: list[str], cut: int) -> None:
        super().__init__(path)
        self._points = points
        self._cut = cut

    def save(self, memory: Memory) -> None:
        self._point("before")
        super().save(memory)
        self._point("after")

    def _point(self, name: str) -> None:
        self._points.append(name)
        if len(self._points) == self._cut:
            raise PowerCut


@pytest.fixture
def plane(disk: Disk) -> Iterator[Plane]:
    does = {phase: f"echo {phase}" for phase in PHASES}
    does["execute"] += f"; echo changed > {disk.root}/etc/a.conf"
    content = disk.package(attachments=[("a.conf", b"on", "/etc/a.conf")], **does)  # type: ignore[arg-type]
    with serving(Plane(content=content, version="1.0.3")) as made:
        yield made


def run(plane: Plane, disk: Disk, cut: int) -> list[str]:
    """Start again after each power loss until the attempt is over; the points that were passed."""
    points: list[str] = []
    while True:
        gateway = Gateway(plane.url, TOKEN, disk, progress_seconds=60)
        gateway.device._state = FailingState(disk.agent / "state.json", points, cut)
        with gateway.http:
            try:
                assert gateway.run() is Event.SUCCEEDED
            except PowerCut:
                continue
            return points


def test_the_table_covers_every_save(plane: Plane, disk: Disk) -> None:
    assert len(run(plane, disk, 0)) == 2 * SAVES


@pytest.mark.parametrize("cut", range(1, 2 * SAVES, 3))
def test_a_power_loss_between_any_two_things_changes_nothing(plane: Plane, disk: Disk, cut: int) -> None:
    run(plane, disk, cut)
    told = [event for event in plane.events if "lines" not in event]
    assert list(dict.fromkeys(told)) == [
        *("downloading", "downloaded", "installing", "installed", "activating", "succeeded")
    ]
    assert [line for report in plane.reports.values() for line in report.get("lines", [])] == list(PHASES)  # type: ignore[attr-defined]
    assert disk.lines == [f"metrics {phase}" for phase in PHASES]
    assert (disk.root / "etc" / "a.conf").read_text() == "changed\n", "put in its place before, and not again"
    assert list(plane.reports) == sorted(plane.reports)
    assert plane.attributes[-1] == {"version": "1.0.3"}

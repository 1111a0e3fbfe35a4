"""A gateway that loses power while it works at a thing: what had ended is not run again, what was cut off is; and the
command as an operator starts it, with things.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.agent import behind as rig
from tests.agent.behind import Behind, Named, ThingsCampaign, plug_in
from tests.agent.faulty_server import TOKEN, Plane, reset, serving
from tests.agent.gateway import PATIENCE, Disk, eventually, large, slow_line
from tests.agent.server import Operator
from tests.agent.test_command import AGENT, fleet_until
from tests.agent.test_gateway_kill import FailingState, PowerCut
from tests.apis.site import Site

from airfreight_agent import things
from airfreight_agent.behaviours import End
from airfreight_agent.fleet import load_members
from airfreight_agent.protocol import Event
from airfreight_agent.sample_image import build_sample_image
from airfreight_agent.state import StateFile
from airfreight_agent.things import SELDOM_SECONDS

SAVES = 23
"""How often a file that goes through a plug-in makes something durable; a test holds this number."""
PLUGGED = ("install", "activate")
PHASES = ("verify", "execute", "validate", "activate")


class Gateway:
    """`airfreight-agent run` in a process of its own, with one thing."""

    def __init__(self, site: Site, disk: Disk) -> None:
        self.behind = Behind(site)
        self.url = site.server.url
        [self.lamp] = self.behind.things(self.behind.product("lamp"), "lamp-1")
        self._disk = disk
        self._log = disk.folder / "agent.log"
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *options: str, plug: str = "") -> "subprocess.Popen[bytes]":
        where = ["--folder", str(self._disk.agent), "--server", self.url]
        plugs = ["--thing", f"lamp={plug}"] if plug else []
        command = [*AGENT, "run", *where, "--token", self.behind.board.token, *plugs, *options]
        with self._log.open("ab") as output:
            self._processes.append(subprocess.Popen(command, stderr=output))
        return self._processes[-1]

    def kill(self) -> None:
        self._processes[-1].kill()
        self._processes[-1].wait()

    def finish(self, plug: str = "") -> None:
        assert self.start("--once", plug=plug).wait(PATIENCE) == 0, self._log.read_text()

    def end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        said = self._log.read_text() if self._log.exists() else ""
        sys.stderr.write(said)  # shown when the test fails
        assert "ERROR" not in said
        assert "Traceback" not in said


@pytest.fixture
def gateway(site: Site, disk: Disk) -> Iterator[Gateway]:
    made = Gateway(site, disk)
    yield made
    made.end()


def cut_off(disk: Disk, gateway: Gateway, pids: Path) -> None:
    """Everything dies: the agent, the supervisor, the script."""
    eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    eventually(lambda: any(log.stat().st_size for log in disk.agent.rglob("*.log")))  # what it printed is kept
    script, supervisor = map(int, pids.read_text().split())
    gateway.kill()
    os.kill(supervisor, signal.SIGKILL)
    os.killpg(script, signal.SIGKILL)


def campaign_of(gateway: Gateway, disk: Disk, phase: str, does: str) -> tuple[ThingsCampaign, str, list[str]]:
    """A file for the plug-in or a package, with something to do in one phase; what the log says when all went well."""
    if phase.startswith("plug-in "):
        verb = phase.removeprefix("plug-in ")
        plug = plug_in(disk, "lamp", f"test $1 != {verb} || {{ {does}; }}; test $1 = version || echo done >> $LOG")
        lines = [line for one in PLUGGED for line in (f"lamp {one} lamp-1", "done")]
        return gateway.behind.campaign([gateway.lamp], b"plain bytes"), plug, lines
    scripts = dict.fromkeys(PHASES, "echo done >> $LOG") | {phase: f"{does}; echo done >> $LOG"}
    package = disk.package("one", **scripts)  # type: ignore[arg-type]
    lines = [line for one in PHASES for line in (f"one {one}", "done")]
    return gateway.behind.campaign([gateway.lamp], package), "", lines


EACH = pytest.mark.parametrize("phase", [*PHASES, *(f"plug-in {verb}" for verb in PLUGGED)])


@EACH
def test_a_script_for_a_thing_goes_on_without_its_agent_and_is_not_run_again(
    gateway: Gateway, disk: Disk, phase: str
) -> None:
    go = disk.folder / "go"
    waits = f"echo one; while ! test -e {shlex.quote(str(go))}; do sleep 0.05; done; sleep 0.7; echo two"
    campaign, plug, lines = campaign_of(gateway, disk, phase, waits)
    begun = f"lamp {phase.removeprefix('plug-in ')} lamp-1" if plug else f"one {phase}"
    gateway.start(plug=plug)
    eventually(lambda: begun in disk.lines)
    gateway.kill()
    go.touch()
    gateway.finish(plug)
    assert gateway.behind.end(gateway.lamp) == ("succeeded", "")
    assert disk.lines == lines
    assert campaign.progress(gateway.lamp).lines == ["one", "two"]


@EACH
def test_a_script_for_a_thing_that_was_cut_off_is_run_again(gateway: Gateway, disk: Disk, phase: str) -> None:
    pids = disk.folder / "pids"
    stops = f"echo run $AIRFREIGHT_RUN; test -e {pids} || {{ echo $$ $PPID > {pids}; sleep 300; }}"
    campaign, plug, lines = campaign_of(gateway, disk, phase, stops)
    gateway.start(plug=plug)
    cut_off(disk, gateway, pids)
    gateway.finish(plug)
    assert gateway.behind.end(gateway.lamp) == ("succeeded", "")
    again = f"lamp {phase.removeprefix('plug-in ')} lamp-1" if plug else f"one {phase}"
    lines.insert(lines.index(again), again)
    assert disk.lines == lines
    assert campaign.progress(gateway.lamp).lines == ["run 1", "run 2"]


def test_a_download_for_a_thing_that_was_cut_off_goes_on(gateway: Gateway, disk: Disk) -> None:
    content = large(16)
    campaign = gateway.behind.campaign([gateway.lamp], content)
    plug = plug_in(disk, "lamp", 'test $1 != install || wc -c < "$2" >> $LOG')
    with slow_line(gateway.behind.site.server.port) as line:
        gateway.url = line.url
        gateway.start(plug=plug)
        files = disk.agent / "things" / "lamp-1" / "files"
        eventually(lambda: any(part.stat().st_size for part in files.glob("*.part")))
        gateway.kill()
        assert 0 < next(files.glob("*.part")).stat().st_size < len(content)
        line.chunk_seconds = 0.0
        gateway.finish(plug)
    assert gateway.behind.end(gateway.lamp) == ("succeeded", "")
    assert disk.lines == ["lamp install lamp-1", str(len(content)), "lamp activate lamp-1"]
    assert [(row.done, row.total) for row in campaign.progress(gateway.lamp).bytes.values()] == [(len(content),) * 2]


def test_an_agent_that_runs_hears_of_a_thing_at_once_and_of_its_own_update_meanwhile(
    gateway: Gateway, disk: Disk
) -> None:
    behind, go = gateway.behind, disk.folder / "go"
    process = gateway.start(
        *("--wait", "60"),
        plug=plug_in(disk, "lamp", f"test $1 != install || while ! test -e {go}; do sleep 0.1; done"),
    )
    eventually((disk.agent / "files").exists)
    time.sleep(0.7)
    behind.campaign([gateway.lamp], b"plain bytes")
    began = time.monotonic()
    eventually(lambda: disk.lines == ["lamp install lamp-1"])
    assert time.monotonic() - began < 50, "by itself it would ask after a minute"
    behind.ship_own(disk.package(execute=""), "1.0.3")
    eventually(lambda: behind.end(Named(behind.board.id, ""))[0] == "activating" or "metrics execute" in disk.lines)
    go.touch()
    eventually(lambda: behind.end(gateway.lamp)[0] == "succeeded", every=0.05)
    eventually(lambda: behind.end(Named(behind.board.id, ""))[0] == "succeeded", every=0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


# a power loss at every save


class Loser(rig.Agent):
    """Its things lose power at one of their saves; what they save first is the state that they began with."""

    def __init__(self, plane: Plane, disk: Disk, points: list[str], cut: int) -> None:
        super().__init__(plane.url, TOKEN, disk, {"lamp": str(disk.folder / "plug-in-lamp")}, progress_seconds=60)
        made = self.things._device

        def device(thing: object) -> object:
            one = made(thing)  # type: ignore[arg-type]
            one._state = FailingState(self.home("lamp-1") / "state.json", points, cut)
            return one

        self.things._device = device  # type: ignore[method-assign, assignment]


@pytest.fixture
def plane() -> Iterator[Plane]:
    with serving(Plane(content=b"plain bytes", version="2.0.0", thing="lamp-1")) as made:
        yield made


def run(plane: Plane, disk: Disk, cut: int) -> list[str]:
    """Start again after each power loss until all is over and told; the points that were passed."""
    points: list[str] = []
    runs = disk.folder / "runs"
    does = f"""
    if test $1 = version; then test -e {runs} && echo 2.0.0 || echo 1.0.0; exit 0; fi
    test $1 != activate || touch {runs}
    echo $1"""
    plug_in(disk, "lamp", does)
    while True:
        agent = Loser(plane, disk, points, cut)
        with agent.http:
            try:
                agent.finish()
            except PowerCut:
                continue
        return points


def test_the_table_covers_every_save(plane: Plane, disk: Disk) -> None:
    assert len(run(plane, disk, 0)) == 2 * SAVES


@pytest.mark.parametrize("cut", range(1, 2 * SAVES, 2))
def test_a_power_loss_between_any_two_things_changes_nothing(plane: Plane, disk: Disk, cut: int) -> None:
    run(plane, disk, cut)
    told = [event for event in plane.events if "lines" not in event]
    assert list(dict.fromkeys(told)) == [
        *("downloading", "downloaded", "installing", "installed", "activating", "succeeded")
    ]
    assert disk.lines == ["lamp install lamp-1", "lamp activate lamp-1"]
    assert [line for report in plane.reports.values() for line in report.get("lines", [])] == list(PLUGGED)  # type: ignore[attr-defined]
    assert list(plane.reports) == sorted(plane.reports)
    assert plane.attributes[-1] == {"version": "2.0.0"}


def test_what_there_is_to_tell_is_told_though_the_server_names_nobody(plane: Plane, disk: Disk) -> None:
    run(plane, disk, 0)
    state = StateFile(disk.agent / "things" / "lamp-1" / "state.json")
    told = state.load()
    assert (plane.is_open, told.outbox) == (False, ())
    state.save(told.says(Event.SUCCEEDED))
    agent = Loser(plane, disk, [], 0)
    with agent.http:
        agent.finish()
    assert list(plane.reports)[-1] == (told.attempt, told.next_seq)
    assert state.load().outbox == ()


@pytest.mark.parametrize("thing", ["", "lamp-1"])
def test_where_there_never_was_a_thing_the_server_is_asked_seldom(
    disk: Disk, thing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that knows of no things at all, and says 404."""
    monkeypatch.setattr(things, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    with serving(Plane(is_open=False, thing=thing)) as plane:
        agent = rig.Agent(plane.url, TOKEN, disk, {})
        with agent.http:
            rests = [agent.things.step() for _ in range(3)]
    assert rests == [0.0, SELDOM_SECONDS, SELDOM_SECONDS]
    assert [seen.path for seen in plane.of("things")] == ["/device/v1/things?wait=0"]


def test_a_line_that_breaks_is_tried_again(plane: Plane, disk: Disk) -> None:
    for kind in ("things", "next", "attributes", "artifacts", "reports"):
        plane.break_next(kind, reset, reset)
    plug_in(disk, "lamp")
    agent = rig.Agent(plane.url, TOKEN, disk, {"lamp": str(disk.folder / "plug-in-lamp")})
    with agent.http:
        agent.work_until(lambda: not plane.is_open)
    assert disk.lines == ["lamp install lamp-1", "lamp activate lamp-1"]
    assert [len(faults) for faults in plane.faults.values()] == [0] * 5


def test_a_plug_in_that_is_taken_away_in_the_middle_fails_what_needs_it(
    plane: Plane, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(things, "STRETCH_SECONDS", 0.0)  # one thing at a time
    plug_in(disk, "lamp")
    agent = rig.Agent(plane.url, TOKEN, disk, {"lamp": str(disk.folder / "plug-in-lamp")})
    with agent.http:
        agent.work_until(lambda: "downloaded" in plane.events)
    again = rig.Agent(plane.url, TOKEN, disk, {})
    with again.http:
        again.finish()
    assert (plane.last["event"], plane.last["message"]) == ("failed", "its plug-in is not there any more")


def test_a_folder_that_is_damaged_is_begun_anew(plane: Plane, disk: Disk) -> None:
    home = disk.agent / "things" / "lamp-1"
    (home / "type").mkdir(parents=True)
    (home / "state.json").write_bytes(b"\xff")
    (disk.agent / "things" / "not a uid").mkdir()
    (disk.agent / "things" / "a-file").write_text("x")
    plug_in(disk, "lamp")
    agent = rig.Agent(plane.url, TOKEN, disk, {"lamp": str(disk.folder / "plug-in-lamp")})
    with agent.http:
        agent.things.step()
        assert disk.lines == []
        assert agent.things.has_failed
        (home / "type").rmdir()
        agent.work_until(lambda: not plane.is_open)
    assert disk.lines == ["lamp install lamp-1", "lamp activate lamp-1"]


def test_a_mistake_ends_neither_the_loop_nor_its_patience(plane: Plane, disk: Disk) -> None:
    agent = rig.Agent(plane.url, TOKEN, disk, {})
    agent.http.close()  # nothing in the loop expects that
    rests: list[float] = []

    def sleep(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 4:
            raise PowerCut

    with pytest.raises(PowerCut):
        agent.things.run(sleep)
    assert rests == sorted(rests)
    assert rests[-1] > rests[0] > 0


# the command


def enrolled(operator: Operator, folder: Path, *more: str) -> "subprocess.CompletedProcess[str]":
    command = [*AGENT, "enroll", "--server", operator.url, "--key", operator.enrollment_key(), "--folder", str(folder)]
    return subprocess.run([*command, *more], capture_output=True, text=True, timeout=PATIENCE, check=False)


def a_gateway(operator: Operator, folder: Path) -> str:
    uid = f"gateway-{os.urandom(4).hex()}"
    done = enrolled(operator, folder, "--uid", uid, "--product", str(operator.product()))
    assert done.returncode == 0, done.stderr
    return uid


def test_a_thing_is_enrolled_behind_its_gateway_and_leaves_nothing_behind(operator: Operator, tmp_path: Path) -> None:
    uid = a_gateway(operator, tmp_path / "agent")
    product, lamp = operator.product(), f"lamp-{os.urandom(4).hex()}"
    where = ("--uid", lamp, "--product", str(product), "--attribute", "room=7", "--parent")
    nowhere = tmp_path / "nowhere"
    done = enrolled(operator, nowhere, *where, uid)
    assert done.returncode == 0, done.stderr
    assert not nowhere.exists()
    made = operator.device(lamp)
    assert (made["parentId"], made["attributes"]["room"]) == (operator.device(uid)["id"], "7")
    again = enrolled(operator, nowhere, *where, uid)
    assert (again.returncode, "is enrolled already" in again.stderr) == (2, True)
    assert "rotate" not in again.stderr
    stranger = enrolled(operator, nowhere, "--uid", "other", "--product", str(product), "--parent", "nobody")
    assert (stranger.returncode, "404" in stranger.stderr) == (2, True)


@pytest.mark.parametrize("given", ["lamp", "=x", "lamp=", "lamp=a --thing lamp=b"])
def test_a_plug_in_that_is_none_is_wrong_use(tmp_path: Path, given: str) -> None:
    command = [*AGENT, "run", "--folder", str(tmp_path), "--server", "http://127.0.0.1:1", "--thing", *given.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_simulated_things_use_the_token_of_their_gateway(operator: Operator, tmp_path: Path) -> None:
    uid = a_gateway(operator, tmp_path / "agent")
    token = (tmp_path / "agent" / "token").read_text()
    product = operator.product()
    wanted = ["good", "fails_at_install", "loses_power_at_installing", "repeats_reports"]
    names = [f"{name}-{os.urandom(3).hex()}" for name in wanted]
    for name in names:
        assert enrolled(operator, tmp_path, "--uid", name, "--product", str(product), "--parent", uid).returncode == 0
    rollout = operator.ship(product, build_sample_image("2.0.0"))
    rows = [
        {"uid": name, "token": token, "behaviour": does, "thing": name}
        for name, does in zip(names, wanted, strict=True)
    ]
    file = tmp_path / "members.json"
    file.write_text(json.dumps([{"uid": uid, "token": token}, *rows]))
    assert [member.thing for member in load_members(file)] == ["", *names]
    said = fleet_until(
        tmp_path,
        operator.url,
        file,
        lambda: operator.counts(rollout) == {"succeeded": 3, "failed": 1},
        "3 succeeded, 1 idle, 1 failed; ",
    )
    assert (said["errors"], said["contradictions"]) == ({}, 0)
    ends = {name: delivery.end for name, delivery in operator.deliveries(rollout).items()}
    good = End("succeeded")
    assert ends == dict(zip(names, [good, End("failed", "install_failed"), good, good], strict=True))
    assert operator.device(names[0])["version"] == "2.0.0"

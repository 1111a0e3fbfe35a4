"""`airfreight-agent run` as an operator starts it, against the real server; killed without warning, and started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.agent.gateway import PATIENCE, eventually, large, slow_line
from tests.agent.server import Operator

from airfreight_agent.behaviours import End
from airfreight_agent.sample_image import build_sample_image
from airfreight_agent.simulated import Member

AGENT = [sys.executable, "-m", "airfreight_agent.main"]
AT_A_TERMINAL = [
    *(sys.executable, "-c"),
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import airfreight_agent.main as m; m.main()",
]
"""Ctrl-C reaches it, which whoever starts tests in the background may have switched off."""


class Machine:
    """A device's disk, and the agent processes that run on it."""

    def __init__(self, operator: Operator, directory: Path) -> None:
        self.operator = operator
        self.url = operator.url
        self.directory = directory
        self.state = directory / "state"
        self.slot = directory / "slot"
        self.log = directory / "log"
        self.processes: list[subprocess.Popen[str]] = []

    def install_script(self, between: str = "") -> str:
        return f"sh -c 'echo begin >> {self.log}; {between} cp \"$1\" {self.slot}; echo end >> {self.log}' sh"

    def start(self, *options: str, install: str | None = None) -> "subprocess.Popen[str]":
        command = [*AGENT, "run", "--server", self.url, "--state", str(self.state)]
        command += ["--install", install or self.install_script(), "--wait", "2", *options]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def run(self, *options: str, install: str | None = None) -> tuple[int, str]:
        process = self.start(*options, install=install)
        _, said = process.communicate(timeout=PATIENCE)
        return process.returncode, said

    @property
    def lines(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    @property
    def step(self) -> object:
        return json.loads((self.state / "state.json").read_text())["step"]


@pytest.fixture
def machine(operator: Operator, tmp_path: Path) -> Iterator[Machine]:
    made = Machine(operator, tmp_path)
    yield made
    for process in made.processes:
        if process.poll() is None:
            process.kill()
        _, said = process.communicate(timeout=PATIENCE)
        sys.stderr.write(said)  # shown when the test fails


def fleet_until(folder: Path, url: str, members: Path, is_over: Callable[[], object], line: str) -> dict[str, Any]:
    """Run the fleet command until the server `is_over` and the fleet has said this line; its summary."""
    command = [*AT_A_TERMINAL, "fleet", "--server", url, "--members", str(members)]
    said = folder / "fleet.log"
    with (
        said.open("wb") as log,
        subprocess.Popen(
            [*command, "--seconds", "900", "--time-scale", "0.01", "--haste", "10"], stdout=subprocess.PIPE, stderr=log
        ) as process,
    ):
        try:
            eventually(lambda: is_over() and line in said.read_text(), every=0.1)
        finally:
            process.send_signal(signal.SIGINT)
            summary, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said.read_text()
    return dict(json.loads(summary))


def a_device(operator: Operator) -> tuple[int, Member]:
    product = operator.product()
    return product, operator.members(product, ["good"])[0]


def test_a_device_enrolls_updates_and_has_nothing_more_to_do(machine: Machine) -> None:
    operator = machine.operator
    product = operator.product()
    content = build_sample_image("2.0.0")
    rollout = operator.ship(product, content)
    uid = f"enrolled-{os.urandom(4).hex()}"
    options = ("--enroll-key", operator.enrollment_key(), "--uid", uid, "--product", str(product))
    code, said = machine.run(*options, "--version", "1.0.0", "--attribute", "rack=7", "--once")
    assert code == 0, said
    assert machine.slot.read_bytes() == content
    assert operator.deliveries(rollout)[uid].end == End("succeeded")
    assert operator.device(uid)["version"] == "2.0.0"
    assert (machine.state / "token").stat().st_mode & 0o777 == 0o600
    code, said = machine.run("--version", "1.0.0", "--once")
    assert code == 0, said
    assert operator.device(uid)["version"] == "2.0.0", "without a version file the agent believes its installer"
    assert machine.lines == ["begin", "end"]


def test_a_uid_that_is_taken_is_explained(machine: Machine, tmp_path: Path) -> None:
    product, member = a_device(machine.operator)
    key = machine.operator.enrollment_key()
    code, said = machine.run("--enroll-key", key, "--uid", member.uid, "--product", str(product), "--once")
    assert code == 2
    assert "is enrolled already" in said
    assert not (machine.state / "token").exists()


def test_without_a_token_or_a_key_it_says_what_to_give(machine: Machine) -> None:
    code, said = machine.run("--once")
    assert code == 2
    assert "--enroll-key" in said


@pytest.mark.parametrize("token", ["nobody-has-this", "-begins-with-a-dash"])
def test_a_wrong_token_is_no_answer(machine: Machine, token: str) -> None:
    code, said = machine.run("--token", token, "--once")
    assert code == 3
    assert "401" in said


def test_a_failed_installation_is_the_exit_code(machine: Machine) -> None:
    product, member = a_device(machine.operator)
    rollout = machine.operator.ship(product, build_sample_image("2.0.0"), attempts=1)
    code, said = machine.run("--token", member.token, "--once", install="sh -c 'echo the slot is read-only; exit 5'")
    assert code == 1, said
    assert machine.operator.deliveries(rollout)[member.uid].end == End("failed", "install_failed")


def test_the_running_version_is_read_from_its_file_after_activation(machine: Machine) -> None:
    product, member = a_device(machine.operator)
    rollout = machine.operator.ship(product, build_sample_image("2.0.0"))
    version = machine.directory / "version"
    version.write_text("1.0.0\n")
    activate = f"sh -c 'echo $AIRFREIGHT_VERSION > {version}'"
    options = ("--token", member.token, "--version-file", str(version), "--activate", activate, "--settle", "0")
    code, said = machine.run(*options, "--once")
    assert code == 0, said
    assert machine.operator.deliveries(rollout)[member.uid].end == End("succeeded")


def test_an_activation_that_leaves_the_old_version_running_is_a_rollback(machine: Machine) -> None:
    product, member = a_device(machine.operator)
    rollout = machine.operator.ship(product, build_sample_image("2.0.0"), attempts=3)
    version = machine.directory / "version"
    version.write_text("1.0.0\n")
    options = ("--token", member.token, "--version-file", str(version), "--activate", "true", "--settle", "0")
    code, said = machine.run(*options, "--once")
    assert code == 1, said
    assert machine.operator.deliveries(rollout)[member.uid].end == End("failed", "rolled_back")


def test_two_agents_never_share_a_device(machine: Machine) -> None:
    _, member = a_device(machine.operator)
    machine.start("--token", member.token)
    eventually(lambda: (machine.state / "lock").exists() and (machine.state / "files").exists())
    code, said = machine.run("--token", member.token, "--once")
    assert code == 4
    assert "another agent works in" in said


def test_a_waiting_device_hears_of_an_update_at_once(machine: Machine) -> None:
    product, member = a_device(machine.operator)
    process = machine.start("--token", member.token, "--version", "1.0.0", "--wait", "60")
    eventually((machine.state / "files").exists)
    time.sleep(0.5)
    shipped_at = time.monotonic()
    rollout = machine.operator.ship(product, build_sample_image("2.0.0"))
    eventually(lambda: machine.operator.counts(rollout) == {"succeeded": 1}, every=0.1)
    assert time.monotonic() - shipped_at < 30
    assert process.poll() is None


def test_sigterm_ends_it_at_once_and_in_good_order(machine: Machine) -> None:
    _, member = a_device(machine.operator)
    process = machine.start("--token", member.token, "--wait", "60")
    eventually((machine.state / "files").exists)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


def test_killed_in_the_middle_of_a_download_it_goes_on_with_the_rest(machine: Machine) -> None:
    product, member = a_device(machine.operator)
    content = large(16)
    rollout = machine.operator.ship(product, content, version="2.0.0")
    with slow_line(int(machine.url.rpartition(":")[2])) as line:
        machine.url = line.url
        first = machine.start("--token", member.token, "--version", "1.0.0")
        part = machine.state / "files"
        eventually(lambda: any(path.stat().st_size for path in part.glob("*.part")))
        first.kill()
        first.wait()
        had = next(part.glob("*.part")).stat().st_size
        assert 0 < had < len(content)
        assert machine.step == "downloading"
        line.chunk_seconds = 0.0
        code, said = machine.run("--token", member.token, "--version", "1.0.0", "--once")
    assert code == 0, said
    assert machine.slot.read_bytes() == content
    assert machine.lines == ["begin", "end"]
    delivery = machine.operator.deliveries(rollout)[member.uid]
    assert (delivery.end, delivery.attempt) == (End("succeeded"), 1)


@pytest.mark.parametrize("returns", ["while it installs", "after it installed"])
def test_killed_in_the_middle_of_an_installation_it_is_not_installed_twice(machine: Machine, returns: str) -> None:
    product, member = a_device(machine.operator)
    content = build_sample_image("2.0.0")
    rollout = machine.operator.ship(product, content)
    go = machine.directory / "go"
    script = machine.install_script(f"while ! test -e {go}; do sleep 0.05; done; sleep 1;")
    first = machine.start("--token", member.token, "--version", "1.0.0", install=script)
    eventually(lambda: machine.lines)
    first.kill()
    first.wait()
    assert machine.step == "installing"
    go.touch()
    if returns == "after it installed":
        eventually(lambda: machine.lines == ["begin", "end"])
    code, said = machine.run("--token", member.token, "--version", "1.0.0", "--once", install=script)
    assert code == 0, said
    assert machine.lines == ["begin", "end"]
    assert machine.slot.read_bytes() == content
    delivery = machine.operator.deliveries(rollout)[member.uid]
    assert (delivery.end, delivery.attempt) == (End("succeeded"), 1)


def test_a_power_loss_in_the_middle_of_an_installation_begins_it_again(machine: Machine) -> None:
    """Everything dies: agent, supervisor and installer. What did not finish is run again, in the same attempt."""
    product, member = a_device(machine.operator)
    rollout = machine.operator.ship(product, build_sample_image("2.0.0"))
    pids = machine.directory / "pids"
    script = machine.install_script(f"test -e {pids} || {{ echo $$ $PPID > {pids}; sleep 300; }};")
    first = machine.start("--token", member.token, "--version", "1.0.0", install=script)
    eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    first.kill()
    first.wait()
    installer, supervisor = map(int, pids.read_text().split())
    os.kill(supervisor, signal.SIGKILL)
    os.killpg(installer, signal.SIGKILL)
    code, said = machine.run("--token", member.token, "--version", "1.0.0", "--once", install=script)
    assert code == 0, said
    assert machine.lines == ["begin", "begin", "end"]
    delivery = machine.operator.deliveries(rollout)[member.uid]
    assert (delivery.end, delivery.attempt) == (End("succeeded"), 1)


def test_the_fleet_command_runs_a_file_of_members_and_sums_up(machine: Machine) -> None:
    product = machine.operator.product()
    members = machine.operator.members(product, ["good"] * 5 + ["rolls_back"])
    rollout = machine.operator.ship(product, build_sample_image("2.0.0"))
    file = machine.directory / "members.json"
    file.write_text(json.dumps([{"uid": m.uid, "token": m.token, "behaviour": m.behaviour} for m in members]))
    ends = {"succeeded": 5, "failed": 1}
    said = fleet_until(
        machine.directory,
        machine.operator.url,
        file,
        lambda: machine.operator.counts(rollout) == ends,
        "5 succeeded, 1 failed; ",
    )
    assert said["behaviours"] == {"good": {"succeeded": 5}, "rolls_back": {"failed": 1}}
    assert said["errors"] == {}
    assert machine.operator.counts(rollout) == ends


def test_a_fleet_leaves_by_itself_after_its_seconds(tmp_path: Path) -> None:
    (tmp_path / "members.json").write_text("[]")
    command = [*AGENT, "fleet", "--server", "http://127.0.0.1:1", "--members", str(tmp_path / "members.json")]
    done = subprocess.run([*command, "--seconds", "0.1"], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert json.loads(done.stdout)["devices"] == 0


def test_a_members_file_with_nonsense_is_explained(tmp_path: Path) -> None:
    file = tmp_path / "members.json"
    for content in (
        "{}",
        "[1]",
        '[{"uid": "a", "token": "b", "colour": "red"}]',
        '[{"uid": "a", "token": "b", "behaviour": "x"}]',
        "[",
    ):
        file.write_text(content)
        command = [*AGENT, "fleet", "--server", "http://127.0.0.1:1", "--members", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("airfreight-agent: ")
        assert "Traceback" not in done.stderr

"""The commands a device runs: exit codes, time-outs, environment, and one run only, whatever happens to the agent."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.agent.gateway import PATIENCE, eventually, is_gone

from airfreight_agent.installers import CommandActivator, CommandInstaller, CutOffError, Installation, Outcome
from airfreight_agent.protocol import Artifact


@pytest.fixture
def work(tmp_path: Path) -> Installation:
    path = tmp_path / "image.bin"
    path.write_bytes(b"image")
    return Installation(1001, "1001-0", Artifact("my image.bin\n", "2.0.0", 5, "ab" * 32, "/x"), path)


@pytest.fixture
def installer(tmp_path: Path) -> Callable[..., CommandInstaller]:
    def make(script: str, timeout_seconds: float = 120.0) -> CommandInstaller:
        return CommandInstaller(["sh", "-c", script, "sh"], tmp_path / "journal", timeout_seconds=timeout_seconds)

    return make


def test_the_path_is_the_last_argument_and_the_rest_is_in_the_environment(
    installer: Callable[..., CommandInstaller], work: Installation, tmp_path: Path
) -> None:
    script = (
        f'printf "%s|" "$1" "$AIRFREIGHT_ATTEMPT" "$AIRFREIGHT_NAME" "$AIRFREIGHT_VERSION" "$AIRFREIGHT_SHA256"'
        f' "$AIRFREIGHT_SIZE" > {tmp_path}/seen'
    )
    assert installer(script)(work) == Outcome(ok=True)
    assert (tmp_path / "seen").read_text() == f"{work.path}|1001|my image.bin|2.0.0|{'ab' * 32}|5|"


def test_a_failure_tells_its_code_and_its_last_words(
    installer: Callable[..., CommandInstaller], work: Installation
) -> None:
    outcome = installer("seq 1 2000; echo no slot is free >&2; exit 3")(work)
    assert not outcome.ok
    assert outcome.message.startswith("exit code 3 ")
    assert outcome.message.endswith("no slot is free")
    assert len(outcome.message) <= 500


def test_a_command_that_takes_too_long_is_ended_with_its_children(
    installer: Callable[..., CommandInstaller], work: Installation, tmp_path: Path
) -> None:
    outcome = installer(f"sleep 30 & echo $! > {tmp_path}/child; wait", timeout_seconds=4)(work)
    assert outcome == Outcome(ok=False, message="exit code 124 it took longer than 4 seconds and is ended")
    child = int((tmp_path / "child").read_text())
    eventually(lambda: is_gone(child))


def test_a_command_that_does_not_exist_is_a_failure(work: Installation, tmp_path: Path) -> None:
    outcome = CommandInstaller(["/nowhere/installer"], tmp_path / "journal")(work)
    assert outcome == Outcome(ok=False, message="exit code 127 it does not start: No such file or directory")


@pytest.mark.parametrize("code", [0, 4])
def test_what_has_finished_is_not_run_again_for_the_same_work(
    installer: Callable[..., CommandInstaller], work: Installation, tmp_path: Path, code: int
) -> None:
    run = installer(f"echo run >> {tmp_path}/runs; exit {code}")
    first, second = run(work), run(work)
    assert first == second
    assert (tmp_path / "runs").read_text() == "run\n"


def test_other_work_is_run_for_itself(
    installer: Callable[..., CommandInstaller], work: Installation, tmp_path: Path
) -> None:
    run = installer(f"echo run >> {tmp_path}/runs")
    run(work)
    run(Installation(1002, "1002-0", work.artifact, work.path))
    assert (tmp_path / "runs").read_text() == "run\nrun\n"


def test_a_command_that_was_killed_may_be_run_again(
    installer: Callable[..., CommandInstaller], work: Installation, tmp_path: Path
) -> None:
    run = installer(f"test -e {tmp_path}/again && exit 0; touch {tmp_path}/again; kill -9 $$")
    with pytest.raises(CutOffError):
        run(work)
    assert run(work) == Outcome(ok=True)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGPIPE])
def test_a_command_that_ends_by_a_mistake_of_its_own_has_failed(
    installer: Callable[..., CommandInstaller], work: Installation, tmp_path: Path, number: signal.Signals
) -> None:
    run = installer(f"echo run >> {tmp_path}/runs; kill -{number.value} $$")
    message = f"exit code {128 + number.value} it was ended by {number.name}"
    assert run(work) == run(work) == Outcome(ok=False, message=message)
    assert (tmp_path / "runs").read_text() == "run\n"


def test_two_that_install_the_same_work_at_once_run_it_once(
    installer: Callable[..., CommandInstaller], work: Installation, tmp_path: Path
) -> None:
    run = installer(f"echo run >> {tmp_path}/runs; sleep 0.5")
    outcomes: list[Outcome] = []
    threads = [threading.Thread(target=lambda: outcomes.append(run(work))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [Outcome(ok=True)] * 3
    assert (tmp_path / "runs").read_text() == "run\n"


def test_a_command_whose_supervisor_was_killed_is_waited_for_before_it_is_run_again(
    installer: Callable[..., CommandInstaller], work: Installation, tmp_path: Path
) -> None:
    outlives = "while kill -0 $PPID 2>/dev/null; do sleep 0.05; done; sleep 0.7"
    script = (
        f"echo begin $PPID >> {tmp_path}/log; test $(grep -c begin {tmp_path}/log) = 2 || {{ {outlives}; }};"
        f" echo end >> {tmp_path}/log"
    )
    run = installer(script)
    log = tmp_path / "log"

    def kill_the_supervisor() -> None:
        eventually(lambda: log.exists() and log.read_text().endswith("\n"))
        os.kill(int(log.read_text().split()[1]), signal.SIGKILL)

    killer = threading.Thread(target=kill_the_supervisor)
    killer.start()
    with pytest.raises(CutOffError):
        run(work)
    killer.join()
    assert run(work) == Outcome(ok=True)
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["begin", "end", "begin", "end"]


def test_a_ctrl_c_does_not_reach_the_command(work: Installation, tmp_path: Path) -> None:
    log = tmp_path / "log"
    go = tmp_path / "go"
    program = f"""
import signal
from pathlib import Path
from airfreight_agent.installers import CommandInstaller, Installation
from airfreight_agent.protocol import Artifact
signal.signal(signal.SIGINT, signal.default_int_handler)
script = "echo begin >> {log}; while ! test -e {go}; do sleep 0.05; done; echo end >> {log}"
run = CommandInstaller(["sh", "-c", script, "sh"], Path("{tmp_path}/journal"))
run(Installation(1001, "1001-0", Artifact("a", None, 5, "{"ab" * 32}", "/x"), Path("{work.path}")))
"""
    child = subprocess.Popen([sys.executable, "-c", program], start_new_session=True, stderr=subprocess.DEVNULL)
    eventually(log.exists)
    os.killpg(child.pid, signal.SIGINT)
    assert child.wait(PATIENCE) != 0
    go.touch()
    eventually(lambda: log.read_text() == "begin\nend\n")


def test_an_activation_gets_the_version_and_its_failure_is_told(tmp_path: Path) -> None:
    activate = CommandActivator(["sh", "-c", f'echo "$AIRFREIGHT_VERSION" > {tmp_path}/version'])
    assert activate(1001, "2.0.0") == Outcome(ok=True)
    assert (tmp_path / "version").read_text() == "2.0.0\n"
    assert CommandActivator(["sh", "-c", "exit 9"])(1001, None) == Outcome(ok=False, message="exit code 9")
    assert not CommandActivator(["/nowhere"])(1001, None).ok
    assert CommandActivator(["sleep", "9"], timeout_seconds=0.2)(1, None).message.endswith("took too long")

"""What nobody plans for: files that change under work, commands that outlive their attempt, a disk that others fill."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.faulty_server import TOKEN, Plane, serving
from tests.agent.gateway import PATIENCE, Disk, Gateway, eventually
from tests.agent.rig import Slot

from airfreight_agent import supervisor
from airfreight_agent.installers import CommandInstaller
from airfreight_agent.line_log import lines_of
from airfreight_agent.machine import Step
from airfreight_agent.protocol import Event
from airfreight_agent.supervisor import Job


@pytest.fixture
def plane() -> Iterator[Plane]:
    with serving(Plane(version="1.0.3")) as made:
        yield made


def test_a_package_that_the_server_replaces_after_its_download_is_not_told_as_installed(
    plane: Plane, disk: Disk
) -> None:
    plane.content = disk.package("one", verify="", execute="")
    gateway = Gateway(plane.url, TOKEN, disk)
    with gateway.http:
        gateway.step_until(lambda device: device.memory.step is Step.DOWNLOADED)
        plane.content, plane.do = disk.package("two", execute=""), "install"
        assert gateway.run() is Event.FAILED
    assert (plane.last["reason"], disk.lines) == ("device_error", ["one verify"])
    assert plane.last["message"] == "the server has changed the files of this attempt"


def test_a_package_that_the_server_replaces_during_its_download_is_the_one_that_is_installed(
    plane: Plane, disk: Disk
) -> None:
    plane.content = disk.package("one", execute="", attachments=[("big.bin", os.urandom(1 << 20), "")])
    gateway = Gateway(plane.url, TOKEN, disk, progress_seconds=0)
    with gateway.http:
        gateway.step_until(lambda device: device.memory.step is Step.DOWNLOADING)
        plane.content = disk.package("two", execute="")
        assert gateway.run() is Event.SUCCEEDED
    assert disk.lines == ["two execute"]


def test_a_file_that_has_changed_since_it_was_checked_is_not_installed(plane: Plane, disk: Disk) -> None:
    slot = Slot()
    gateway = Gateway(plane.url, TOKEN, disk, slot)
    with gateway.http:
        gateway.step_until(lambda device: device.memory.step is Step.DOWNLOADED)
        (disk.agent / "files" / "1001-0.bin").write_bytes(b"other")
        assert gateway.run() is Event.FAILED
    assert (plane.last["reason"], slot.runs) == ("checksum_mismatch", [])


def test_an_installer_may_take_the_file_away_though_the_agent_is_cut_off_before_it_heard(
    plane: Plane, disk: Disk
) -> None:
    command = ["sh", "-c", f'echo run >> {disk.log}; mv "$1" {disk.folder}/slot', "sh"]
    installer = CommandInstaller(command, disk.agent / "files")
    gateway = Gateway(plane.url, TOKEN, disk, installer)
    with gateway.http:
        gateway.step_until(lambda device: device.memory.step is Step.INSTALLING)
        memory = gateway.device.memory.tried()
        gateway.device.keep(memory)
        job = Job([*command, str(disk.agent / "files" / "1001-0.bin")], 30)
        supervisor.start(disk.agent / "files" / "1001-0", job).wait()
        again = Gateway(plane.url, TOKEN, disk, installer)
        with again.http:
            assert again.run() is Event.SUCCEEDED
    assert disk.lines == ["run"]


def test_a_script_of_an_attempt_that_is_over_ends_before_anything_else_is_run(plane: Plane, disk: Disk) -> None:
    """It outlives the agent, and its attempt: the server has given that up meanwhile, and offers the next."""
    script = f"test -e {disk.folder}/again || {{ touch {disk.folder}/again; sleep 2; ls >/dev/null || exit 9; }}"
    plane.content = disk.package(execute=f"{script}; echo end >> $LOG")
    gateway = Gateway(plane.url, TOKEN, disk)
    note = disk.agent / "files" / "1001-0-execute"
    with gateway.http:
        gateway.step_until(lambda device: device.memory.step is Step.INSTALLING and not device.memory.outbox)
        lifecycle = gateway.device._lifecycle
        child = supervisor.start(note, lifecycle._script(0, "execute")._job())  # type: ignore[union-attr]
        eventually(lambda: disk.lines)
        plane.attempt = 1002
        again = Gateway(plane.url, TOKEN, disk)
        with again.http:
            assert again.run() is Event.SUCCEEDED
    assert child.wait(PATIENCE) == 0
    assert disk.lines == ["metrics execute", "end"] * 2, "one after the other"
    assert not list((disk.agent / "files").iterdir())


def test_what_a_script_left_behind_holds_up_nobody(plane: Plane, disk: Disk) -> None:
    """It has the lock of a script whose supervisor is dead; nothing is known of an end."""
    pid = disk.folder / "pid"
    plane.content = disk.package(execute=f"test -e {pid} || {{ sleep 300 & echo $! > {pid}; kill -9 $PPID; }}")
    note = disk.agent / "files" / "1001-0-execute"
    gateway = Gateway(plane.url, TOKEN, disk)
    with gateway.http:
        gateway.step_until(lambda device: device.memory.step is Step.INSTALLING and not device.memory.outbox)
        script = gateway.device._lifecycle._script(0, "execute")
        supervisor.start(note, script._job()).wait()  # type: ignore[union-attr]
        eventually(lambda: pid.exists() and pid.read_text().strip())
        assert supervisor.is_running(note)
        plane.attempt = 1002
        again = Gateway(plane.url, TOKEN, disk)
        again.device._began_at = time.monotonic() - 3601
        with again.http:
            assert again.run() is Event.SUCCEEDED
    os.kill(int(pid.read_text()), signal.SIGKILL)


def test_the_room_for_an_outcome_is_taken_before_the_command_can_fill_the_disk(tmp_path: Path) -> None:
    note = tmp_path / "1-0-execute"
    supervisor.start(note, Job(["sh", "-c", f"stat -c '%i %s' {tmp_path}/*.room; exit 7"], 30)).wait()
    code = note.with_suffix(".code").stat()
    assert lines_of(note.with_suffix(".log")) == [f"{code.st_ino} {code.st_size}"], "written in its place"
    assert supervisor.code_of(note) == 7
    assert not list(tmp_path.glob("*.room"))


@pytest.mark.parametrize("content", [b"", b"\xff", b"1x", b"    \n"])
def test_an_outcome_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    note = tmp_path / "1-0-execute"
    note.with_suffix(".code").write_bytes(content)
    assert supervisor.code_of(note) is None
    supervisor.start(note, Job(["true"], 30)).wait()
    assert supervisor.code_of(note) == 0

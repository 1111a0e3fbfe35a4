"""Packages that lie, scripts that never end well, and what the supervisor keeps of them; and `enroll`."""

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.agent.faulty_server import TOKEN, Plane, reset, serving
from tests.agent.gateway import PATIENCE, Disk, Gateway, eventually, is_gone
from tests.agent.server import Operator
from tests.agent.test_command import AGENT

from airfreight_agent import iotcp, supervisor
from airfreight_agent.lifecycle import MAX_SCRIPT_RUNS
from airfreight_agent.line_log import CUT, MAX_LINES, LineLog, lines_of
from airfreight_agent.protocol import Event
from airfreight_agent.supervisor import Job


@pytest.fixture
def plane() -> Iterator[Plane]:
    with serving(Plane(version="1.0.3")) as made:
        yield made


def run(plane: Plane, disk: Disk, content: bytes, **rules: object) -> Event | None:
    plane.content = content
    gateway = Gateway(plane.url, TOKEN, disk, **rules)  # type: ignore[arg-type]
    with gateway.http:
        return gateway.run()


def rewritten(package: bytes, entry: str, content: bytes, name: str = "") -> bytes:
    """The same package with other content (and name) in one entry, and every other byte in order."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            is_it = info.filename == entry
            new.writestr(name or entry if is_it else info.filename, content if is_it else old.read(info))
    return made.getvalue()


def test_a_package_that_lies_about_its_checksums_is_not_unpacked(plane: Plane, disk: Disk) -> None:
    lie = rewritten(disk.package(verify="", execute=""), "data/execute.sh", b"#!/bin/sh\n")
    assert run(plane, disk, lie) is Event.FAILED
    assert plane.last["reason"] == "checksum_mismatch"
    assert "SHA-256" in str(plane.last["message"])
    assert disk.lines == []


def test_a_package_that_would_write_elsewhere_is_not_unpacked(plane: Plane, disk: Disk) -> None:
    lie = rewritten(disk.package(verify="", execute=""), "data/execute.sh", b"x", name="../../escaped")
    assert run(plane, disk, lie) is Event.FAILED
    assert plane.last["reason"] == "incompatible"
    assert disk.lines == []
    assert not list(disk.folder.rglob("escaped"))


def test_what_is_meant_to_be_a_package_is_told_from_other_files(disk: Disk) -> None:
    path = disk.folder / "file"
    package = disk.package(execute="")
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a.txt", "a")
    for content, is_one in ((package, True), (package[:-30], True), (other.getvalue(), False), (b"PK", False)):
        path.write_bytes(content)
        assert iotcp.is_package(path) is is_one


def test_a_script_that_is_always_cut_off_fails_in_the_end(plane: Plane, disk: Disk) -> None:
    """As one that restarts the machine each time it runs."""
    package = disk.package(activate="echo $AIRFREIGHT_RUN; kill -9 $$", reset="echo back")
    assert run(plane, disk, package, reset_on_failure=True) is Event.FAILED
    assert plane.last["reason"] == "activate_failed"
    assert plane.last["message"] == "activate: it was cut off too often: it was ended by SIGKILL"
    assert disk.lines == ["metrics activate"] * MAX_SCRIPT_RUNS + ["metrics reset"]
    lines = [line for report in plane.reports.values() for line in report.get("lines", [])]  # type: ignore[attr-defined]
    killed = "it was ended by SIGKILL"
    assert lines == [*(line for run in range(1, MAX_SCRIPT_RUNS + 1) for line in (str(run), killed)), "back"]


def test_a_program_that_is_not_there_is_a_failure_that_says_so(plane: Plane, disk: Disk) -> None:
    path = disk.folder / "a.iotcp"
    iotcp.build(path, "a", "1", headless=True, lifecycle={"execute": "/nowhere/tool"}, attachments=[])
    assert run(plane, disk, path.read_bytes()) is Event.FAILED
    assert plane.last["message"] == "execute: exit code 127: it does not start: No such file or directory"


def test_without_an_answer_the_scripts_of_a_phase_still_run_to_its_end(plane: Plane, disk: Disk) -> None:
    """What was begun is not left half done because the network is gone."""
    plane.content = disk.package(execute="echo lost; sleep 0.5", validate="")
    gateway = Gateway(plane.url, TOKEN, disk)
    with gateway.http:
        gateway.step_until(lambda device: device.memory.step == "installing" and not device.memory.outbox)
        plane.break_next("reports", *[reset] * 1000)
        plane.break_next("next", *[reset] * 1000)
        gateway.step_until(lambda device: device.memory.step == "installed")
        assert disk.lines == ["metrics execute", "metrics validate"]
        plane.faults.clear()
        assert gateway.run() is Event.SUCCEEDED
    lines = [line for report in plane.reports.values() for line in report.get("lines", [])]  # type: ignore[attr-defined]
    assert lines == ["lost"]


def test_a_script_that_prints_nothing_is_still_a_sign_of_life(plane: Plane, disk: Disk) -> None:
    plane.content = disk.package(execute="while ! test -e go; do sleep 0.05; done")
    gateway = Gateway(plane.url, TOKEN, disk, quiet_seconds=0.3)
    with gateway.http:
        thread = gateway.begin()
        eventually(lambda: plane.events.count("installing") >= 3)
        assert plane.is_open, "and it runs on"
        next((disk.agent / "work").glob("*/data")).joinpath("go").touch()
        thread.join()
    assert plane.events[-1] == "succeeded"


def test_a_log_has_short_lines_not_too_many_and_the_last(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with LineLog(path) as log:
        for piece in (b"a\xff\x1b[1m", b"b\r\n", b"\n", b"x" * 9000, b"y\n", b"torn \xc3", b"\xbc"):
            log.feed(piece)
    assert lines_of(path) == ["a\ufffd [1mb", "x" * 500, "torn ü"]
    path.write_text("one\ntorn")
    with LineLog(path) as log:
        log.feed(b"two\n" * MAX_LINES + b"last")
    lines = lines_of(path)
    assert lines[:3] == ["one", "torn", "two"]
    assert lines[-2:] == [CUT, "last"]
    assert len(lines) == MAX_LINES + 2
    assert lines_of(tmp_path / "none") == []


def test_a_disk_that_takes_no_more_harms_nobody_but_the_log(tmp_path: Path) -> None:
    program = f"""
import resource
from pathlib import Path
from airfreight_agent.line_log import LineLog
resource.setrlimit(resource.RLIMIT_FSIZE, (6, 6))
with LineLog(Path("{tmp_path}/log")) as log:
    log.feed(b"first\\nsecond\\nthird\\n")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE)
    assert lines_of(tmp_path / "log") == ["first"]


def test_what_has_ended_is_answered_at_once_though_a_child_still_holds_the_lock(tmp_path: Path) -> None:
    note = tmp_path / "1-0-execute"
    job = Job(["sh", "-c", f"sleep 200 & echo $! > {tmp_path}/pid; exit 3"], 900)
    supervisor.start(note, job).wait()
    supervisor.start(note, job).wait()
    child = int((tmp_path / "pid").read_text())
    assert not is_gone(child), "nobody waited for its end"
    assert supervisor.code_of(note) == 3
    os.kill(child, 9)


def test_who_does_not_end_when_asked_to_is_ended_with_its_children(tmp_path: Path) -> None:
    deaf = "trap '' TERM"
    script = f"{deaf}; (while :; do sleep 0.1; done) & echo $! > {tmp_path}/pid; while :; do sleep 0.1; done"
    supervisor.start(tmp_path / "note", Job(["sh", "-c", script], 4, grace_seconds=0.3)).wait()
    assert supervisor.code_of(tmp_path / "note") == supervisor.TIMED_OUT
    child = int((tmp_path / "pid").read_text())
    eventually(lambda: is_gone(child))


def test_what_closes_its_output_is_still_waited_for(tmp_path: Path) -> None:
    note = tmp_path / "note"
    supervisor.start(note, Job(["sh", "-c", "echo a; exec >&- 2>&-; sleep 0.5; exit 5"], 60)).wait()
    assert (supervisor.code_of(note), lines_of(note.with_suffix(".log"))) == (5, ["a"])


def agent(*arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFREIGHT_")}
    return subprocess.run(
        [*AGENT, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment
    )


def test_a_gateway_is_enrolled_and_then_needs_only_its_folder(operator: Operator, tmp_path: Path) -> None:
    product = operator.product()
    folder = tmp_path / "agent"
    uid = f"gateway-{os.urandom(4).hex()}"
    who = ("--server", operator.url, "--uid", uid, "--product", str(product), "--folder", str(folder))
    key = operator.enrollment_key()
    first = agent("enroll", *who, "--key", key, "--attribute", "site=roof")
    assert first.returncode == 0, first.stderr
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
    assert agent("enroll", *who, "--key", key).returncode == 0, "again changes nothing"
    done = agent("run", "--folder", str(folder), "--once")
    assert done.returncode == 0, done.stderr
    device = operator.device(uid)
    assert device["attributes"]["site"] == "roof"
    assert key not in first.stdout + first.stderr


def test_what_is_wrong_with_enrolling_is_said(operator: Operator, tmp_path: Path) -> None:
    who = ("--uid", "g", "--product", "none", "--folder", str(tmp_path), "--key", "-wrong")
    refused = agent("enroll", "--server", operator.url, *who)
    assert (refused.returncode, "Traceback" in refused.stderr) == (3, False)
    assert agent("enroll", "--server", "http://127.0.0.1:1", *who).returncode == 3
    assert not (tmp_path / "token").exists()
    (tmp_path / "server").write_text("http://elsewhere")
    other = agent("enroll", "--server", operator.url, *who)
    assert (other.returncode, "belongs to a device of http://elsewhere" in other.stderr) == (2, True)
    nobody = agent("run", "--folder", str(tmp_path / "new"), "--once")
    assert (nobody.returncode, "nobody enrolled" in nobody.stderr) == (2, True)

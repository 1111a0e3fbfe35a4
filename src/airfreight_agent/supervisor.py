"""Runs one command once: `python -m airfreight_agent.supervisor NOTE JOB`.

It goes on when the agent that started it dies. Started again with the same NOTE it waits for the run that is still
going on and, if that came to an end, does not run the command a second time. Files beside NOTE: `.lock` is held as
long as the command runs, `.code` holds its exit code, `.log` the lines that it printed, in all its runs. `.room` is to
become `.code`: its place on the disk is taken before the command runs, which may fill the rest.
"""

import contextlib
import errno
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from airfreight_agent.line_log import LineLog
from airfreight_agent.state import sync_directory

TIMED_OUT = 124
DOES_NOT_START = 127
GRACE_SECONDS = 10.0
_LAST_WORDS_SECONDS = 0.5
_PIECE = 1 << 16
_FROM_OUTSIDE = frozenset({signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP})
"""What a shutdown sends, or a machine without memory. Any other signal is a mistake of the command's own."""
_BLANK = b"    \n"


@dataclass(frozen=True, slots=True)
class Job:
    """What to run: `folder` and `environment` are this process's own if None.

    A command that takes longer than its time is asked to end, with all its children, and ended when it does not.
    """

    command: Sequence[str]
    timeout_seconds: float
    folder: str | None = None
    environment: Mapping[str, str] | None = None
    grace_seconds: float = GRACE_SECONDS


def start(note: Path, job: Job, variables: Mapping[str, str] | None = None) -> "subprocess.Popen[bytes]":
    """Run the job under a supervisor, in a session of its own: neither a Ctrl-C nor our end may cut it in half.

    `variables` are added to the environment.
    """
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "airfreight_agent.supervisor", str(note), json.dumps(asdict(job))]
    return subprocess.Popen(  # noqa: S603  the owner of the device, or who signed in to its server, chose the command
        command, env={**os.environ, **(variables or {})}, stdin=subprocess.DEVNULL, start_new_session=True
    )


def code_of(note: Path) -> int | None:
    """The exit code of a command that came to its end."""
    try:
        return int(note.with_suffix(".code").read_bytes())
    except (FileNotFoundError, ValueError):  # damaged: nobody knows any more how it ended
        return None


def is_running(note: Path) -> bool:
    """Whether the command runs now, without an outcome so far."""
    try:
        lock = os.open(note.with_suffix(".lock"), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return code_of(note) is None
    else:
        return False
    finally:
        os.close(lock)


def main(arguments: list[str]) -> None:
    note, job = Path(arguments[0]), Job(**json.loads(arguments[1]))
    lock = os.open(note.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _locked(lock, note, job.timeout_seconds):
        return
    try:
        room = os.open(note.with_suffix(".room"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _put(room, _BLANK)
    except OSError as error:
        sys.exit(f"{note.name} is not run: its outcome could not be kept: {error.strerror}")
    with LineLog(note.with_suffix(".log")) as log:
        code = _run(job, log, lock)
        if code < 0:
            log.feed(f"\nit was ended by {_name_of(-code)}\n".encode())
    # Killed from outside is not an outcome: the next start runs it again.
    if -code not in _FROM_OUTSIDE:
        _put(room, str(code if code >= 0 else 128 - code).encode())
        note.with_suffix(".room").rename(note.with_suffix(".code"))
        sync_directory(note.parent)


def _put(file: int, content: bytes) -> None:
    os.pwrite(file, content.ljust(len(_BLANK)), 0)
    os.fsync(file)


def _name_of(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _locked(lock: int, note: Path, timeout_seconds: float) -> bool:
    """Wait for another run of the same work, whose command holds the lock even when its supervisor was killed.

    False when that one has an outcome (what it left running may hold the lock for ever), or takes too long.
    """
    give_up = time.monotonic() + timeout_seconds
    while code_of(note) is None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                return False
            time.sleep(0.1)
        else:
            return code_of(note) is None
    return False


def _run(job: Job, log: LineLog, lock: int) -> int:
    try:
        child, pipe = _started(job, lock)
    except OSError as error:
        log.feed(f"it does not start: {error.strerror}\n".encode())
        return DOES_NOT_START
    try:
        if _ends(child, pipe, log, job.timeout_seconds):
            return child.returncode
        log.feed(f"\nit took longer than {job.timeout_seconds:g} seconds and is ended\n".encode())
        _signal(child.pid, signal.SIGTERM)
        _ends(child, pipe, log, job.grace_seconds, with_children=True)
        _signal(child.pid, signal.SIGKILL)
        child.wait()
        return TIMED_OUT
    finally:
        _listen(pipe, log, _LAST_WORDS_SECONDS)
        os.close(pipe)


def _started(job: Job, lock: int) -> tuple["subprocess.Popen[bytes]", int]:
    """The running command, and the end of the pipe that brings what it prints."""
    pipe, theirs = os.pipe()
    command = list(job.command)
    try:
        try:
            return _popen(job, command, lock, theirs), pipe
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            return _popen(job, ["/bin/sh", *command], lock, theirs), pipe  # a script without a first line that says how
    except OSError:
        os.close(pipe)
        raise
    finally:
        os.close(theirs)


def _popen(job: Job, command: list[str], lock: int, output: int) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(  # noqa: S603  as above
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        pass_fds=(lock,),
        start_new_session=True,
        cwd=job.folder,
        env=None if job.environment is None else dict(job.environment),
    )


def _ends(
    child: "subprocess.Popen[bytes]", pipe: int, log: LineLog, seconds: float, *, with_children: bool = False
) -> bool:
    """Take what it prints until it ends, for so long at most; whether it has ended."""
    give_up = time.monotonic() + seconds
    while True:
        has_ended = child.poll() is not None
        if has_ended and not (with_children and _signal(child.pid, 0)):
            return True
        left = give_up - time.monotonic()
        if left <= 0:
            return False
        before = time.monotonic()
        _listen(pipe, log, min(0.05, left))
        if time.monotonic() - before < 0.001:  # it closed its output and works on
            time.sleep(min(0.05, left))


def _listen(pipe: int, log: LineLog, seconds: float) -> None:
    """Take what comes until nothing did for so long, or the other end is closed; at most twenty times so long."""
    give_up = time.monotonic() + 20 * seconds
    while time.monotonic() < give_up and select.select([pipe], [], [], seconds)[0]:
        piece = os.read(pipe, _PIECE)
        if not piece:
            return
        log.feed(piece)


def _signal(group: int, number: int) -> bool:
    """Send a signal to a process group; whether there is one. 0 sends nothing."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
        return True
    return False


if __name__ == "__main__":
    main(sys.argv[1:])

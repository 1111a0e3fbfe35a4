"""Runs one command once: `python -m airfreight_agent.supervisor NOTE TIMEOUT COMMAND...`.

It goes on when the agent that started it dies. Started again with the same NOTE it waits for the run that is still
going on and, if that came to an end, does not run the command a second time. Files beside NOTE: `.lock` is held as
long as the command runs, `.code` holds its exit code, `.log` what it printed.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from airfreight_agent.state import write_durably

TIMED_OUT = 124
DOES_NOT_START = 127


def main(arguments: list[str]) -> None:
    note, timeout_seconds, command = Path(arguments[0]), float(arguments[1]), arguments[2:]
    lock = os.open(note.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    verdict = note.with_suffix(".code")
    if not _locked(lock, timeout_seconds) or verdict.exists():
        return
    code = _run(command, note.with_suffix(".log"), lock, timeout_seconds)
    # Killed from outside (a shutdown, no memory left) is not an outcome: the next start runs it again.
    if code >= 0:
        write_durably(verdict, str(code).encode())


def _locked(lock: int, timeout_seconds: float) -> bool:
    """Wait for another run of the same work, whose command holds the lock even when its supervisor was killed."""
    give_up = time.monotonic() + timeout_seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                return False
            time.sleep(0.1)
        else:
            return True


def _run(command: list[str], log: Path, lock: int, timeout_seconds: float) -> int:
    with log.open("wb") as output:
        try:
            child = subprocess.Popen(  # noqa: S603  the owner of the device chose the command
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(lock,),
                start_new_session=True,
            )
        except OSError:
            return DOES_NOT_START
        try:
            return child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return TIMED_OUT


if __name__ == "__main__":
    main(sys.argv[1:])

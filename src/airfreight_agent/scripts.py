"""Runs the scripts of packages: with few things around them, a time limit, and nothing that can hold them up."""

import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from airfreight_agent import supervisor
from airfreight_agent.installers import CutOffError, printable
from airfreight_agent.line_log import lines_of
from airfreight_iotcp.package import Manifest

LOOK_SECONDS = 0.1
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Script:
    """One phase of one package. `note` is where the supervisor keeps its files, the same in each run of this script;
    `run` counts the runs from 1.
    """

    note: Path
    phase: str
    command: Path
    folder: Path
    attempt: int
    manifest: Manifest
    run: int
    timeout_seconds: float

    def __call__(self, tick: Callable[[], None]) -> int:
        """Run it, or wait for the run that outlived an agent; its exit code.

        `tick` is called about ten times a second. Raises CutOffError when it did not come to its end.
        """
        child = supervisor.start(self.note, self._job())
        while True:
            try:
                child.wait(LOOK_SECONDS)
                break
            except subprocess.TimeoutExpired:
                tick()
        code = supervisor.code_of(self.note)
        if code is None:
            raise CutOffError(f"{self.phase} did not come to an end")
        return code

    def lines(self, start: int) -> list[str]:
        """What it has printed, from the line with this number on."""
        return lines_of(self.note.with_suffix(".log"), start)

    def complaint(self, code: int) -> str:
        """Why it has failed, for people."""
        last = next(reversed(self.lines(0)), "")
        return f"{self.phase}: exit code {code}: {last}".rstrip(": ")

    def _job(self) -> supervisor.Job:
        name, version = printable(self.manifest.name), printable(self.manifest.version)
        environment = {
            "PATH": os.environ.get("PATH", _PATH),
            "HOME": os.path.expanduser("~"),  # noqa: PTH111  pathlib raises where there is no home
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "AIRFREIGHT_ATTEMPT": str(self.attempt),
            "AIRFREIGHT_PHASE": self.phase,
            "AIRFREIGHT_NAME": name,
            "AIRFREIGHT_VERSION": version,
            "AIRFREIGHT_RUN": str(self.run),
        }
        command = [str(self.command), str(self.attempt), name, version]
        return supervisor.Job(command, self.timeout_seconds, str(self.folder), environment)


class Pace:
    """When to tell something again: seldomer the longer the work takes, for the server keeps only so many notes."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began = time.monotonic()
        self._next = self._began + seconds

    def is_due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + max(self._seconds, (now - self._began) / 10)
        return True

"""Runs the scripts of packages, and plug-ins: with a time limit, and nothing that can hold them up."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from airfreight_agent import supervisor
from airfreight_agent.installers import CutOffError, printable
from airfreight_agent.line_log import lines_of

LOOK_SECONDS = 0.1
VERSION_SECONDS = 60.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Thing:
    """Whom the work is for, when it is not this machine. `plug_in` is the command for things of this type (empty: there
    is none).
    """

    uid: str
    type: str
    plug_in: tuple[str, ...] = ()


class SilentError(Exception):
    """Something that should say which version it runs does not."""


@dataclass(frozen=True, slots=True)
class Work:
    """What every script is told: `name` and `version` of a package or a file, `run` counts the runs from 1."""

    attempt: int
    phase: str
    name: str
    version: str
    run: int
    thing: Thing | None = None

    @property
    def arguments(self) -> tuple[str, ...]:
        about = (self.thing.uid,) if self.thing else ()
        return (str(self.attempt), printable(self.name), printable(self.version), *about)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "AIRFREIGHT_ATTEMPT": str(self.attempt),
            "AIRFREIGHT_PHASE": self.phase,
            "AIRFREIGHT_NAME": printable(self.name),
            "AIRFREIGHT_VERSION": printable(self.version),
            "AIRFREIGHT_RUN": str(self.run),
            **({"AIRFREIGHT_THING": self.thing.uid} if self.thing else {}),
        }


@dataclass(frozen=True, slots=True)
class Script:
    """What is run in one phase. `note` is where the supervisor keeps its files, the same in each run of it.

    With a `folder` it runs in there, with few things around it; without, as the agent itself runs.
    """

    note: Path
    phase: str
    command: tuple[str, ...]
    timeout_seconds: float
    variables: Mapping[str, str]
    folder: Path | None = None

    def __call__(self, tick: Callable[[], None]) -> int:
        """Run it, or wait for the run that outlived an agent; its exit code.

        `tick` is called about ten times a second. Raises CutOffError when it did not come to its end.
        """
        child = supervisor.start(self.note, self._job(), self.variables)
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
        return f"{self.phase}: exit code {code}: {self.last_line}".rstrip(": ")

    @property
    def last_line(self) -> str:
        return next(reversed(self.lines(0)), "")

    def _job(self) -> supervisor.Job:
        if self.folder is None:
            return supervisor.Job(self.command, self.timeout_seconds)
        environment = {
            "PATH": os.environ.get("PATH", _PATH),
            "HOME": os.path.expanduser("~"),  # noqa: PTH111  pathlib raises where there is no home
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            **self.variables,
        }
        return supervisor.Job(self.command, self.timeout_seconds, str(self.folder), environment)


def version_of(thing: Thing, folder: Path) -> str | None:
    """What its plug-in says that it runs; None when it prints nothing. Raises SilentError when it fails.

    `folder` is for the supervisor's files. Each run has its own: one that outlived an agent has another answer.
    """
    for kept in folder.glob("version-*"):
        kept.unlink(missing_ok=True)
    note = folder / f"version-{time.monotonic_ns()}"
    variables = {"AIRFREIGHT_PHASE": "version", "AIRFREIGHT_THING": thing.uid}
    script = Script(note, "version", (*thing.plug_in, "version", thing.uid), VERSION_SECONDS, variables)
    try:
        code = script(lambda: None)
    except CutOffError as error:
        raise SilentError(str(error)) from error
    if code:
        raise SilentError(script.complaint(code))
    return next(reversed(script.lines(0)), None)


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

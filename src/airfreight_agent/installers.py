"""The two places where a device plugs in its own work: installing an artifact, and activating what is installed.

A hook is any callable of these shapes; `CommandInstaller` and `CommandActivator` run a program.
"""

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from airfreight_agent import supervisor
from airfreight_agent.protocol import MAX_MESSAGE_CHARACTERS, Artifact


@dataclass(frozen=True, slots=True)
class Installation:
    """One artifact to install. `key` is the same whenever this artifact of this attempt is installed again, because
    the first run was cut off: an installer that must not run twice keeps a note under it.
    """

    attempt: int
    key: str
    artifact: Artifact
    path: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    ok: bool
    message: str = ""


class CutOffError(Exception):
    """The work was interrupted and has no outcome: it may be begun again."""


class Installer(Protocol):
    """May raise CutOffError; any other exception counts as a failed installation."""

    def __call__(self, work: Installation, /) -> Outcome: ...


class Activator(Protocol):
    """Called with the attempt and the version to bring up. May never return: a reboot ends the process in here."""

    def __call__(self, attempt: int, version: str | None, /) -> Outcome: ...


def activate_in_place(attempt: int, version: str | None) -> Outcome:
    """What is installed already runs: nothing to do."""
    del attempt, version
    return Outcome(ok=True)


class CommandInstaller:
    """Runs `command` with the path of the artifact as its last argument; exit code 0 means installed.

    The command runs under `airfreight_agent.supervisor`, which outlives this process and keeps the exit code in
    `journal`: whatever happens to the agent, a command that has finished is not run again for the same work.
    """

    def __init__(self, command: Sequence[str], journal: Path, *, timeout_seconds: float = 3600.0) -> None:
        self._command = list(command)
        self._journal = journal
        self._timeout_seconds = timeout_seconds

    def __call__(self, work: Installation, /) -> Outcome:
        note = self._journal / work.key
        variables = {
            "AIRFREIGHT_ATTEMPT": str(work.attempt),
            "AIRFREIGHT_NAME": printable(work.artifact.name),
            "AIRFREIGHT_VERSION": printable(work.artifact.version or ""),
            "AIRFREIGHT_SHA256": work.artifact.sha256,
            "AIRFREIGHT_SIZE": str(work.artifact.size),
        }
        job = supervisor.Job([*self._command, str(work.path)], self._timeout_seconds)
        supervisor.start(note, job, variables).wait()
        code = supervisor.code_of(note)
        if code is None:
            raise CutOffError("the installer did not come to an end")
        return _outcome(code, note.with_suffix(".log"))


class CommandActivator:
    """Runs `command`; exit code 0 means that the new version runs, or comes up with the reboot that follows."""

    def __init__(self, command: Sequence[str], *, timeout_seconds: float = 600.0) -> None:
        self._command = list(command)
        self._timeout_seconds = timeout_seconds

    def __call__(self, attempt: int, version: str | None, /) -> Outcome:
        environment = {"AIRFREIGHT_ATTEMPT": str(attempt), "AIRFREIGHT_VERSION": printable(version or "")}
        try:
            child = _start(self._command, environment)
        except OSError as error:
            return Outcome(ok=False, message=f"the activation command does not start: {error.strerror}")
        try:
            code = child.wait(self._timeout_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return Outcome(ok=False, message="the activation command took too long")
        return _outcome(code, None)


def printable(text: str) -> str:
    """What an environment variable may hold of a text that came over the wire."""
    return "".join(character for character in text if character.isprintable())


def _start(command: list[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start it in a session of its own: neither a Ctrl-C nor the end of the agent may cut it in half."""
    return subprocess.Popen(  # noqa: S603  the owner of the device chose the command
        command, env={**os.environ, **variables}, stdin=subprocess.DEVNULL, start_new_session=True
    )


def _outcome(code: int, log: Path | None) -> Outcome:
    if code == 0:
        return Outcome(ok=True)
    said = log.read_bytes()[-4 * MAX_MESSAGE_CHARACTERS :].decode(errors="replace") if log else ""
    words = f"exit code {code}"
    last_words = printable(" ".join(said.split()))[len(words) + 1 - MAX_MESSAGE_CHARACTERS :]
    return Outcome(ok=False, message=f"{words} {last_words}".strip())

"""What a gateway does with a package: check and unpack it, then run the script of each phase. A thing's file that is
no package has two phases, `install` and `activate`, whose scripts are the plug-in's.

Rule: what was begun and what has ended is in the memory before and after it; a restart goes on from there.
"""

import contextlib
import errno
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from airfreight_agent import iotcp, supervisor
from airfreight_agent.installers import CutOffError
from airfreight_agent.iotcp_place import install
from airfreight_agent.machine import Memory, Step
from airfreight_agent.protocol import Reason, UnavailableError, one_report
from airfreight_agent.scripts import Pace, Script, Thing, Work
from airfreight_iotcp.package import CHECK_SUMS, DATA, MANIFEST, Manifest, ManifestError, parse_manifest

MAX_SCRIPT_RUNS = 5
UNPACK, PLACE = "unpack", "place"
_CUT_OFF = -1
_REASONS = {
    "verify": Reason.INCOMPATIBLE,
    "install": Reason.INSTALL_FAILED,
    "execute": Reason.INSTALL_FAILED,
    "validate": Reason.INSTALL_FAILED,
    "activate": Reason.ACTIVATE_FAILED,
}


@dataclass(frozen=True, slots=True)
class Rules:
    """How packages are handled here. `install_root` is where install paths begin; `quiet_seconds` is how long a script
    may print nothing until the server is told that it goes on. `thing` is whom the work is for, if not this machine.
    """

    script_seconds: float = 1800.0
    reset_on_failure: bool = False
    install_root: Path = Path("/")
    quiet_seconds: float = 60.0
    thing: Thing | None = None


class Host(Protocol):
    """The device that the work is done on."""

    @property
    def memory(self) -> Memory: ...

    def keep(self, memory: Memory) -> None:
        """Make it durable. Raises OSError."""

    def send(self) -> None:
        """Tell what there is to tell, if the server can be reached now."""

    def goes_on(self) -> bool:
        """Ask whether the attempt is still wanted; without an answer it is."""


class _OverError(Exception):
    """The work on this attempt ends here; why is in the memory."""


class Lifecycle:
    """Works on the artifact in hand; its file is `files/KEY.bin`, and a package is unpacked to `work/KEY`.

    All three methods leave a memory that went on, or one that has failed or was called off. They raise
    UnavailableError when a script was cut off, to be called again later.
    """

    def __init__(self, host: Host, files: Path, work: Path, rules: Rules, tell_seconds: float) -> None:
        self._host = host
        self._files = files
        self._work = work
        self._rules = rules
        self._tell_seconds = tell_seconds

    def check(self) -> None:
        """The last part of a download: all checksums, and the package's own look at this device."""

        def work() -> None:
            self._once(UNPACK, self._unpack)
            self._phase("verify")
            host.keep(host.memory.finished_one(host.memory.fetched))

        host = self._host
        self._guarded(work)

    def install(self) -> None:
        def work() -> None:
            if host.memory.done in host.memory.packages:
                package()
            else:
                self._phase("install")
            host.keep(host.memory.finished_one())

        def package() -> None:
            manifest, folder = self._opened(host.memory.done)
            if manifest.install_paths:
                self._once(PLACE, lambda: install(folder, manifest.install_paths, self._rules.install_root))
            self._phase("execute")
            self._phase("validate")

        host = self._host
        self._guarded(work)

    def activate(self) -> None:
        def work() -> None:
            self._phase("activate")
            self._host.keep(self._host.memory.passed())

        self._guarded(work)

    def tidy(self, kept: Collection[str]) -> None:
        """Remove the work folders that begin with none of these."""
        for folder in self._work.iterdir() if self._work.is_dir() else ():
            if not folder.name.startswith(tuple(kept)):
                shutil.rmtree(folder, ignore_errors=True)

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except _OverError:
            pass
        except CutOffError as error:
            raise UnavailableError(str(error)) from error
        except (OSError, ManifestError) as error:  # somebody changed what was unpacked, or nothing can be started
            self._host.keep(self._host.memory.failed(Reason.DEVICE_ERROR, f"the package's folder: {error}"))

    def _once(self, name: str, work: Callable[[], None]) -> None:
        """Do a part of the work that is no script, unless it has been done."""
        host = self._host
        if host.memory.code_of(name) is not None:
            return
        host.keep(host.memory.begun(name))
        try:
            work()
        except iotcp.PackageError as error:
            is_torn = any(CHECK_SUMS in fault for fault in error.faults)
            self._fail(Reason.CHECKSUM_MISMATCH if is_torn else Reason.INCOMPATIBLE, str(error))
        except OSError as error:
            is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            unplaced = Reason.INSTALL_FAILED if name == PLACE else Reason.DEVICE_ERROR
            self._fail(Reason.NO_SPACE if is_full else unplaced, f"{name}: {error.strerror}")
        host.keep(host.memory.over(name, 0))

    def _unpack(self) -> None:
        key = self._key(self._host.memory.done)
        folder = self._work / key
        if folder.exists():  # of a run that was cut off
            shutil.rmtree(folder)
        self._work.mkdir(mode=0o700, parents=True, exist_ok=True)
        iotcp.unpack(self._files / f"{key}.bin", folder)

    def _phase(self, phase: str) -> None:
        """Run the script of this phase of the package in hand, if it has one and it has not ended."""
        host = self._host
        script = self._script(host.memory.done, phase)
        if script is None:
            return
        code = host.memory.code_of(phase)
        if code is None:
            if self._comes_after_another(phase) and not host.goes_on():
                raise _OverError
            code = self._run(script, phase)
        if not host.memory.is_open:
            raise _OverError
        if code == _CUT_OFF:
            self._fail(_REASONS[phase], f"{phase}: it was cut off too often: {script.last_line}".rstrip(": "))
        if code:
            self._fail(_REASONS[phase], script.complaint(code))

    def _comes_after_another(self, phase: str) -> bool:
        """Whether a script of this step has ended before: only between two may the work be given up."""
        memory = self._host.memory
        if memory.step is Step.ACTIVATING or memory.tries:
            return False
        return bool(memory.done) or phase == "validate"

    def _run(self, script: Script, name: str) -> int:
        host = self._host
        if host.memory.tries >= MAX_SCRIPT_RUNS and supervisor.code_of(script.note) is None:
            host.keep(host.memory.over(name, _CUT_OFF))
            return _CUT_OFF
        host.keep(host.memory.begun(name))
        told = host.memory.told if host.memory.telling == script.note.name else 0
        if told > (printed := len(script.lines(0))):  # a power loss took lines that were told
            host.keep(host.memory.rewound(script.note.name, printed))
        try:
            code = script(self._teller(script))
        except CutOffError:
            self._tell_rest(script)
            raise
        self._tell_rest(script)
        host.keep(host.memory.over(name, code))
        return code

    def _tell_rest(self, script: Script) -> None:
        while lines := self._untold(script):
            self._host.keep(self._host.memory.tells(script.note.name, lines))

    def _teller(self, script: Script) -> Callable[[], None]:
        """Every now and then: tell what it has printed, or that it still runs."""
        host = self._host
        pace, quiet = Pace(self._tell_seconds), Pace(self._rules.quiet_seconds)

        def tick() -> None:
            if not pace.is_due():
                return
            if not host.memory.outbox and host.memory.is_open:
                lines = self._untold(script)
                if lines or quiet.is_due():
                    host.keep(host.memory.tells(script.note.name, lines))
            host.send()

        return tick

    def _untold(self, script: Script) -> tuple[str, ...]:
        memory = self._host.memory
        told = memory.told if memory.telling == script.note.name else 0
        return tuple(one_report(script.lines(told))) if memory.is_open else ()

    def _fail(self, reason: Reason, message: str) -> NoReturn:
        """The end of the attempt, after going back where that is wished for."""
        host = self._host
        if self._rules.reset_on_failure:
            for place in reversed(host.memory.packages):
                self._reset(place)
        if host.memory.is_open:
            host.keep(host.memory.failed(reason, message))
        raise _OverError

    def _reset(self, place: int) -> None:
        name = f"reset {place}"
        with contextlib.suppress(OSError, ManifestError):  # it was not unpacked: there is nothing to go back from
            script = self._script(place, "reset")
            if script is not None and self._host.memory.code_of(name) is None:
                self._run(script, name)

    def _script(self, place: int, phase: str) -> Script | None:
        """What is to be run for an artifact in a phase, if anything is."""
        if place not in self._host.memory.packages:
            return self._of_plug_in(place, phase)
        manifest, folder = self._opened(place)
        command = iotcp.command(manifest, folder, phase)
        if command is None:
            return None
        work = self._as_told(phase, manifest.name, manifest.version)
        data = folder / DATA
        return Script(
            note=self._note(place, phase),
            phase=phase,
            command=(str(command), *work.arguments),
            timeout_seconds=self._rules.script_seconds,
            variables=work.variables,
            folder=data if data.is_dir() else folder,
        )

    def _of_plug_in(self, place: int, phase: str) -> Script | None:
        """Each file is installed, and with the last of them the thing is activated, once."""
        memory, thing = self._host.memory, self._rules.thing
        if phase == "activate" and place != memory.last_file:
            return None
        if thing is None or not thing.plug_in:
            self._fail(_REASONS[phase], "its plug-in is not there any more")
        artifact = memory.artifacts[place]
        file = (str(self._files / f"{self._key(place)}.bin"),) if phase == "install" else ()
        return Script(
            note=self._note(place, phase),
            phase=phase,
            command=(*thing.plug_in, phase, *file, thing.uid),
            timeout_seconds=self._rules.script_seconds,
            variables=self._as_told(phase, artifact.name, artifact.version or "").variables,
        )

    def _as_told(self, phase: str, name: str, version: str) -> Work:
        memory = self._host.memory
        return Work(memory.attempt, phase, name, version, memory.tries + 1, self._rules.thing)

    def _note(self, place: int, phase: str) -> Path:
        return self._files / f"{self._key(place)}-{phase}"

    def _opened(self, place: int) -> tuple[Manifest, Path]:
        folder = self._work / self._key(place)
        return parse_manifest((folder / MANIFEST).read_bytes()), folder

    def _key(self, place: int) -> str:
        return f"{self._host.memory.attempt}-{place}"

"""The agent's loop on a real device.

Rule: one `step()` does one thing and makes it durable; a process that is killed anywhere goes on where it was.
"""

import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from airfreight_agent import download, iotcp, supervisor
from airfreight_agent.backoff import Backoff
from airfreight_agent.client import Client
from airfreight_agent.installers import Activator, CutOffError, Installation, Installer, Outcome, activate_in_place
from airfreight_agent.lifecycle import Lifecycle, Rules
from airfreight_agent.machine import ASKS_BEFORE_GOING_ON, Action, Memory, Session, Step, has_booted, heard, plan
from airfreight_agent.protocol import (
    Attribute,
    Count,
    Event,
    Idle,
    Instruction,
    ProtocolError,
    Reason,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
    UnknownThingError,
    one_call,
)
from airfreight_agent.scripts import Pace, SilentError
from airfreight_agent.state import StateFile

MAX_INSTALL_TRIES = 5
MAX_FETCH_TRIES = 20
LOOK_SECONDS = 1.0
LONGEST_SECONDS = 3600.0
_CHANGES = frozenset({Action.CHECK, Action.INSTALL, Action.ACTIVATE})
_log = logging.getLogger(__name__)


def kernel_boot_id() -> str:
    """Differs after each start of the machine; the same as long as only processes are restarted."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


@dataclass(frozen=True, slots=True)
class Habits:
    """How a device behaves. `version` is what runs before the first update; `read_version` reads what really runs (it
    may raise SilentError), and without it the agent believes its installer. `settle_seconds` is how long an activation
    that has returned may take to end this process (a reboot does not come at once). `progress_seconds`: how often it
    tells how far it is, at most; `stretch_seconds`: after so long a download lets others have a turn.
    """

    version: str | None = None
    read_version: Callable[[], str | None] | None = None
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    poll_wait_seconds: int = 30
    progress_seconds: float = 1.0
    stretch_seconds: float = math.inf
    settle_seconds: float = 0.0
    backoff_first_seconds: float = 1.0
    backoff_most_seconds: float = 300.0
    boot_id: Callable[[], str] = kernel_boot_id
    rules: Rules = field(default_factory=Rules)


class _UnwantedError(Exception):
    """Something during a download wants the loop's attention."""


class _EnoughError(Exception):
    """A download has had its stretch; the rest comes in the next one."""


class Device:
    """One device with its state in `directory`.

    `installer` and `activator` are the device's own, for files that are no packages; see `installers`. Without an
    installer it takes nothing but packages. Only one Device may use a directory at a time. `turn` is held while it
    activates. `trouble` is why the last step came to nothing; `is_idle` says that the server had nothing for it when
    last asked. A thing (`habits.rules` says so) has neither installer nor activator: its plug-in is both.
    """

    def __init__(
        self,
        client: Client,
        directory: Path,
        installer: Installer | None,
        activator: Activator = activate_in_place,
        habits: Habits | None = None,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        self._client = client
        self._installer = installer
        self._activator = activator
        self._habits = habits or Habits()
        self._turn = turn or nullcontext()
        self._thing = self._habits.rules.thing
        self._who = f"{self._thing.uid}: " if self._thing else ""
        self._files = directory / "files"
        self._files.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._state = StateFile(directory / "state.json", None if self._thing else directory / "reserve")
        self._state.keep_reserve()
        self._lifecycle = Lifecycle(
            self, self._files, directory / "work", self._habits.rules, self._habits.progress_seconds
        )
        self._backoff = Backoff(
            random.Random(),  # noqa: S311  it spreads waits, it keeps no secret
            first=self._habits.backoff_first_seconds,
            most=self._habits.backoff_most_seconds,
        )
        self._actions = {
            Action.SEND: self._send,
            Action.ANNOUNCE: self._announce,
            Action.POLL: self._poll,
            Action.BEGIN: self._begin,
            Action.FETCH: self._fetch,
            Action.CHECK: self._check,
            Action.INSTALL: self._install,
            Action.ACTIVATE: self._activate,
            Action.JUDGE: self._judge,
        }
        self.trouble: Exception | None = None
        self.is_idle = False
        self._pace: Pace | None = None
        self._began_at = time.monotonic()
        self.memory = self._state.load()
        self._boot(activated=False)
        self._tidy()

    def run(self, *, once: bool = False, sleep: Callable[[float], None] = time.sleep) -> Event | None:
        """Work for ever; with `once` only until there is nothing (more) to do.

        Returns how the last attempt ended. With `once` it raises what keeps it from asking, instead of trying again.
        """
        outcome: Event | None = None
        while True:
            was_open = self.memory.is_open
            rest = self.step()
            if was_open and not self.memory.is_open:
                outcome = self.memory.outcome
            is_done = not self.memory.is_open and not self.memory.outbox
            if once and is_done:
                if self.trouble:
                    raise self.trouble
                if rest > 0 or outcome is not None:
                    return outcome
            sleep(rest)

    @property
    def next_action(self) -> Action:
        return plan(self.memory, self._session)

    def step(self) -> float:
        """Do the next thing; the number of seconds to rest before the one after it.

        Nothing that a server, a network or a hook does raises here. Disk errors of the state file do.
        """
        action = self.next_action
        self.trouble = None
        if action in _CHANGES and self._is_held_up():
            return LOOK_SECONDS
        try:
            with self._turn if action is Action.ACTIVATE else nullcontext():
                rest = self._actions[action]()
        except (UnavailableError, UnauthorizedError, ProtocolError, RefusedError) as error:
            _log.warning("%s%s: %s", self._who, action, error)
            self.trouble = error
            return self._backoff.after_failure(error.retry_after if isinstance(error, UnavailableError) else None)
        if not self.memory.tries:  # work that failed is still to be tried again: talking well in between is no relief
            self._backoff.reset()
        return rest

    def _is_held_up(self) -> bool:
        """Whether a command of an attempt that is over still runs: it outlived an agent, and its server its attempt.

        No longer than one may take: what holds its lock after that is something that it left behind.
        """
        mine = f"{self.memory.attempt}-"
        others = [note for note in self._running() if not note.name.startswith(mine)]
        longest = max(self._habits.rules.script_seconds, LONGEST_SECONDS)
        if others and time.monotonic() - self._began_at < longest:
            _log.info("%s%s of an earlier attempt still runs", self._who, others[0].name)
            return True
        return False

    def _running(self) -> list[Path]:
        notes = (lock.with_suffix("") for lock in self._files.glob("*.lock"))
        return [note for note in notes if supervisor.is_running(note)]

    def _boot(self, *, activated: bool) -> None:
        boot_id = self._habits.boot_id()
        self._session = Session(version=None, boot_id=boot_id, activated=activated)
        try:
            self._session = replace(self._session, version=self._running_version(self._session))
        except SilentError as error:
            _log.warning("%s%s", self._who, error)
            if self.memory.step is Step.ACTIVATING and has_booted(self.memory, self._session):
                self.keep(self.memory.failed(Reason.ACTIVATE_FAILED, str(error)))
        running, memory = self._session.version, self.memory
        _log.info("%srunning version %s, attempt %s is %s", self._who, running, memory.attempt, memory.step)

    def _running_version(self, session: Session) -> str | None:
        if self._habits.read_version is not None:
            version = self._habits.read_version()
            if version is not None or self._thing is None:  # a thing's plug-in need not be able to tell
                return version
        if self.memory.step is Step.ACTIVATING and has_booted(self.memory, session) and self.memory.believed:
            return self.memory.believed
        return self.memory.version or self._habits.version

    def keep(self, memory: Memory) -> None:
        """Make it durable, if it is news. Raises OSError."""
        if memory != self.memory:
            self._state.save(memory)
            if memory.step is not self.memory.step or memory.attempt != self.memory.attempt:
                _log.info("%sattempt %s: %s%s", self._who, memory.attempt, memory.outcome or memory.step, _why(memory))
            self.memory = memory

    def send(self) -> None:
        """Tell what there is to tell, if the server can be reached now."""
        if not self.memory.outbox:
            return
        try:
            self._tell()
        except (UnavailableError, UnauthorizedError, ProtocolError) as error:
            _log.warning("%sreports: %s", self._who, error)

    def goes_on(self) -> bool:
        """Ask whether the attempt is still wanted; without an answer it is."""
        self.send()
        try:
            answer = self._client.poll(0)
        except (UnavailableError, UnauthorizedError, RefusedError, ProtocolError) as error:
            _log.warning("%s%s; going on", self._who, error)
            return self.memory.is_open
        memory, session = self._heard(answer)
        if memory.attempt != self.memory.attempt:  # the loop asks again
            self._session = replace(self._session, asked_at=None)
            return False
        self._session = session
        self.keep(memory)
        return memory.is_open and session.asked_at is not None

    def _heard(self, answer: Instruction | Idle) -> tuple[Memory, Session]:
        return heard(self.memory, self._session, None if isinstance(answer, Idle) else answer)

    def _send(self) -> float:
        self._tell()
        self._tidy()
        return 0.0

    def _tell(self) -> None:
        batch = one_call(self.memory.outbox)
        try:
            verdicts = self._client.report(batch)
        except RefusedError as error:
            _log.error("%sreports dropped: %s", self._who, error)
            self.keep(replace(self.memory, outbox=self.memory.outbox[len(batch) :]))
        else:
            self.keep(self.memory.answered(verdicts))

    def _announce(self) -> float:
        version: dict[str, Attribute] = {"version": self._session.version} if self._session.version else {}
        try:
            self._client.put_attributes({**self._habits.attributes, **version})
        except UnknownThingError:
            raise
        except RefusedError as error:
            _log.error("%sattributes: %s", self._who, error)
        self._session = replace(self._session, announced=True)
        return 0.0

    def _poll(self) -> float:
        """Ask; let the answer wait only when there is nothing else to do, or the next step needs somebody's word."""
        may_wait = not self.memory.is_open or self.memory.step in ASKS_BEFORE_GOING_ON
        answer = self._client.poll(self._habits.poll_wait_seconds if may_wait else 0)
        self.is_idle = isinstance(answer, Idle)
        memory, self._session = self._heard(answer)
        self.keep(memory)
        if plan(self.memory, self._session) is not Action.POLL:
            return 0.0
        if isinstance(answer, Idle):
            return answer.retry_after
        until_open = (answer.opens_at or 0) / 1000 - time.time()
        return max(1.0, min(answer.poll_after, until_open) if until_open > 0 else answer.poll_after)

    def _begin(self) -> float:
        self._pace = None
        self.keep(self.memory.advanced())
        return 0.0

    def _fetch(self) -> float:
        size_before = self._part_size()
        try:
            download.fetch(
                self._client, self.memory.in_hand, self._path(), self.memory.etag, self._began, self._ticker()
            )
        except _UnwantedError:
            self._session = replace(self._session, asked_at=None)
        except _EnoughError:
            pass
        except download.MismatchError as error:
            if not error.was_resumed or self.memory.tries >= MAX_FETCH_TRIES:
                self.keep(self.memory.failed(Reason.CHECKSUM_MISMATCH, str(error)))
            else:
                self.keep(replace(self.memory.tried(), etag=""))
        except download.NoSpaceError as error:
            self.keep(self.memory.failed(Reason.NO_SPACE, str(error)))
        except OSError as error:
            self.keep(self.memory.failed(Reason.DEVICE_ERROR, f"disk: {error.strerror}"))
        except (UnavailableError, UnauthorizedError, RefusedError, ProtocolError) as error:
            # The address may have grown old, or the attempt may be over: the next poll tells.
            self._session = replace(self._session, asked_at=None)
            has_grown = self._part_size() > size_before
            self.keep(replace(self.memory, tries=0) if has_grown else self.memory.tried())
            if self.memory.tries < MAX_FETCH_TRIES:
                raise
            self.keep(self.memory.failed(Reason.DOWNLOAD_FAILED, str(error)))
        else:
            self.keep(self.memory.finished_one())
        self._tidy()
        return 0.0

    def _began(self, etag: str) -> None:
        self.keep(replace(self.memory, etag=etag))

    def _ticker(self) -> Callable[[int], None]:
        """Every now and then: tell how far it is, and hear whether to stop."""
        if self._pace is None:
            self._pace = Pace(self._habits.progress_seconds)
        pace = self._pace
        artifacts = self.memory.artifacts
        one = self.memory.in_hand
        before = sum(other.size for other in artifacts[: self.memory.done])
        total = sum(other.size for other in artifacts)

        end = time.monotonic() + self._habits.stretch_seconds

        def tick(received: int) -> None:
            if time.monotonic() > end and self.memory.etag:  # without a tag it would begin again from nothing
                raise _EnoughError
            if not pace.is_due():
                return
            counts = (*self.memory.fetched[: self.memory.done], Count(one.id, received, one.size)) if one.id else ()
            progress = (before + received) * 100 // total
            self.keep(self.memory.says(Event.DOWNLOADING, progress=progress, artifacts=counts))
            self.keep(self.memory.answered(self._client.report(one_call(self.memory.outbox))))
            if not self._is_still_wanted():
                raise _UnwantedError

        return tick

    def _is_still_wanted(self) -> bool:
        answer = self._client.poll(0)
        memory, session = self._heard(answer)
        is_the_same = isinstance(answer, Idle) or not answer.artifacts or self.memory.has_files_of(answer)
        is_on = memory.is_open and memory.attempt == self.memory.attempt and session.asked_at is not None
        return is_on and is_the_same

    def _check(self) -> float:
        """Packages are opened; everything else needs an installer."""
        if iotcp.is_package(self._path()):
            self.keep(self.memory.opened())
            self._lifecycle.check()
        elif self._thing is not None and self._thing.plug_in:
            self.keep(self.memory.taken_by_plug_in())
        elif self._thing is not None:
            missing = f"no package, and there is no plug-in for things of the type {self._thing.type}"
            self.keep(self.memory.failed(Reason.INCOMPATIBLE, missing))
        elif self._installer is None:
            self.keep(self.memory.failed(Reason.INCOMPATIBLE, "this is no package, and nothing else is taken here"))
        else:
            self.keep(self.memory.finished_one(self.memory.fetched))
        return 0.0

    def _install(self) -> float:
        is_package = self.memory.done in self.memory.packages
        if not is_package and not self.memory.tries and not download.is_whole(self._path(), self.memory.in_hand):
            changed = "the file has changed since it was checked"
            self.keep(self.memory.failed(Reason.CHECKSUM_MISMATCH, changed))
            return 0.0
        if is_package or self.memory.by_plug_in:
            self._lifecycle.install()
            return 0.0
        if self._installer is None:
            self.keep(self.memory.failed(Reason.INCOMPATIBLE, "nothing but packages is taken here any more"))
            return 0.0
        if self.memory.tries >= MAX_INSTALL_TRIES:
            self.keep(self.memory.failed(Reason.INSTALL_FAILED, "it was cut off too often"))
            return 0.0
        self.keep(self.memory.tried())
        work = Installation(self.memory.attempt, self._key(), self.memory.in_hand, self._path())
        try:
            outcome = self._installer(work)
        except CutOffError as error:
            raise UnavailableError(str(error)) from error
        except Exception as error:  # noqa: BLE001  a hook is foreign code; whatever it raises, the device lives on
            outcome = Outcome(ok=False, message=f"the installer raised {type(error).__name__}")
        if outcome.ok:
            self.keep(self.memory.finished_one())
        else:
            self.keep(self.memory.failed(Reason.INSTALL_FAILED, outcome.message or None))
        return 0.0

    def _activate(self) -> float:
        if self.memory.has_scripts_to_activate:
            self._activate_package()
            return 0.0
        self.keep(self.memory.tried())
        try:
            outcome = self._activator(self.memory.attempt, self.memory.wanted)
        except Exception as error:  # noqa: BLE001  as above
            outcome = Outcome(ok=False, message=f"the activation raised {type(error).__name__}")
        if outcome.ok:
            self.keep(self.memory.activated(self._session.boot_id))
            time.sleep(self._habits.settle_seconds)
            self._boot(activated=True)
        else:
            self.keep(self.memory.failed(Reason.ACTIVATE_FAILED, outcome.message or None))
        return 0.0

    def _activate_package(self) -> None:
        """One artifact's script; after the last one all is judged, unless a plain file is still to be activated."""
        if self.memory.done in self.memory.packages or self.memory.by_plug_in:
            self._lifecycle.activate()
        else:
            self.keep(self.memory.passed())
        if self.memory.is_open and has_booted(self.memory, self._session):
            time.sleep(self._habits.settle_seconds)
            self._boot(activated=True)

    def _judge(self) -> float:
        self.keep(self.memory.judged(self._session.version))
        return 0.0

    def _key(self) -> str:
        return f"{self.memory.attempt}-{self.memory.done}"

    def _path(self) -> Path:
        return self._files / f"{self._key()}.bin"

    def _part_size(self) -> int:
        part = self._path().with_name(self._path().name + ".part")
        return part.stat().st_size if part.exists() else 0

    def _tidy(self) -> None:
        """Remove the files of attempts that are over, and of which nothing runs any more. A device that lost its state
        may still need what is there.
        """
        if not self.memory.attempt:
            return
        kept = {note.name.partition("-")[0] + "-" for note in self._running()}
        if self.memory.is_open:
            kept.add(f"{self.memory.attempt}-")
        for path in self._files.iterdir():
            if not path.name.startswith(tuple(kept)):
                path.unlink(missing_ok=True)
        self._lifecycle.tidy(kept)


def _why(memory: Memory) -> str:
    """What a failed attempt says of itself."""
    last = memory.outbox[-1] if memory.outcome is Event.FAILED and memory.outbox else None
    return ": " + ", ".join(filter(None, (last.reason, last.message))) if last else ""

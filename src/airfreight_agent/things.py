"""The things behind a gateway. Each is one more `Device`: a folder of its own, and a client that names it.

They have a thread beside the gateway's own loop. So both can have the server hold a poll, and neither does a thing that
takes half an hour keep the gateway from its own update, nor the other way round. Rule: the two meet in `turn`, a lock.
While the gateway activates, nothing is installed or activated behind it; what has begun there, it lets end first.
"""

import logging
import math
import random
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock

import httpx

from airfreight_agent.backoff import Backoff
from airfreight_agent.client import Client
from airfreight_agent.device import Device, Habits
from airfreight_agent.machine import Action, Step
from airfreight_agent.protocol import (
    Event,
    ProtocolError,
    RefusedError,
    UnauthorizedError,
    UnavailableError,
    UnknownThingError,
    is_uid,
)
from airfreight_agent.scripts import Thing, version_of
from airfreight_agent.state import StateFile, sync_directory, write_durably

STRETCH_SECONDS = 60.0
"""How long one thing is worked at when others could go on; a script is let come to its end."""
WAITING_SECONDS = 300.0
"""How often one that waits for a word asks by itself: when it may go on, the server's list names it."""
NEWS_SECONDS = 5.0
"""How soon the list is asked for again after it had something new in it."""
HOLD_SECONDS = 30.0
"""How long it may be held back while somebody waits, and how soon it is asked for again after it had nothing new."""
SELDOM_SECONDS = 300.0
"""How often it is asked for where nobody ever heard of a thing, and no plug-in is there for one."""
TURN_SECONDS = 0.5
"""How soon one that has to let the gateway go first looks again; shorter than any wait that the server asks for."""
_CHANGES = frozenset({Action.INSTALL, Action.ACTIVATE})
_TROUBLES = (UnavailableError, UnauthorizedError, ProtocolError, RefusedError)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    """A thing that has something to do, not before `due` (of the monotonic clock)."""

    type: str
    due: float
    device: Device | None = None
    is_broken: bool = False

    @property
    def is_waiting(self) -> bool:
        """For somebody's word, or a slot of time."""
        return self.device is not None and self.device.memory.is_open and self.device.trouble is None

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be done, for now at least."""
        if self.is_broken:
            return True
        device = self.device
        return device is not None and not (device.memory.is_open or device.memory.outbox or device.trouble)


class Things:
    """All things behind `gateway`, whose `token` speaks for them; they live in `folder`.

    `plug_ins` has the command for each type of thing. `habits` are those of the gateway; what is about itself in them
    does not go for things.
    """

    def __init__(
        self,
        http: httpx.Client,
        token: str,
        folder: Path,
        gateway: Device,
        turn: Lock,
        plug_ins: Mapping[str, tuple[str, ...]],
        habits: Habits,
    ) -> None:
        self._http = http
        self._token = token
        self._client = Client(http, token)
        self._folder = folder
        self._gateway = gateway
        self._turn = turn
        self._plug_ins = plug_ins
        self._wait_seconds = habits.poll_wait_seconds
        self._habits = replace(
            habits,
            version=None,
            attributes={},
            poll_wait_seconds=0,
            settle_seconds=0.0,
            stretch_seconds=STRETCH_SECONDS,
        )
        self._backoff = Backoff(
            random.Random(),  # noqa: S311  it spreads waits, it keeps no secret
            first=habits.backoff_first_seconds,
            most=habits.backoff_most_seconds,
        )
        self._jobs: dict[str, _Job] = {}
        self._rest: Iterator[str] = iter(())
        self._asked_at = self._ask_at = 0.0
        self._has_news = False
        self.trouble: Exception | None = None
        self._failed: set[str] = set()
        self._resume()

    @property
    def has_failed(self) -> bool:
        """Whether the last update of one of them has, or its folder is unusable."""
        return bool(self._failed)

    def run(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Drive them for ever, whatever happens."""
        while True:
            try:
                rest = self.step()
            except Exception:  # noqa: BLE001  a mistake must end neither this loop nor the gateway's
                _log.exception("things")
                rest = self._backoff.after_failure()
            sleep(rest)

    def finish(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Drive them until there is nothing more to do. Raises what keeps it from asking."""
        while True:
            rest = self.step()
            if self.trouble:
                raise self.trouble
            if not self._has_news and all(job.is_over for job in self._jobs.values()):
                return
            sleep(rest)

    def step(self) -> float:
        """Ask, or do the next thing; the number of seconds to rest before the one after it."""
        now = time.monotonic()
        uid = min(self._jobs, key=lambda uid: self._jobs[uid].due, default=None)
        due = self._jobs[uid].due if uid is not None else math.inf
        if uid is not None and due <= now < max(self._ask_at, self._asked_at + STRETCH_SECONDS):
            self._drive(uid, self._jobs[uid])
            return 0.0
        if self._ask_at <= now:
            self._ask(due - now)
            return 0.0
        return min(self._ask_at, due) - now

    def _resume(self) -> None:
        """Take up what was begun, also when the server does not name it: there may be something to tell."""
        for uid in self._known():
            memory = StateFile(self._home(uid) / "state.json").load()
            its_type = self._type_of(uid)
            if (memory.is_open or memory.outbox) and its_type is not None:
                self._jobs[uid] = _Job(its_type, 0.0)

    def _ask(self, most_seconds: float) -> None:
        """Which of them have something to do? The server may hold the answer back for `most_seconds`."""
        has_any = bool(self._plug_ins) or self._folder.exists()
        hold = self._wait_seconds or (HOLD_SECONDS if self._jobs else 0)
        wait = max(1, int(min(hold, most_seconds))) if has_any and hold else 0
        self.trouble = None
        try:
            named, pause = self._client.things(wait)
        except RefusedError as error:
            _log.warning("things: %s", error)  # a server that knows of none
            named, pause = {}, SELDOM_SECONDS
        except _TROUBLES as error:
            _log.warning("things: %s", error)
            self.trouble = error
            self._ask_at = time.monotonic() + self._backoff.after_failure(
                error.retry_after if isinstance(error, UnavailableError) else None
            )
            return
        self._backoff.reset()
        self._has_news = bool([uid for uid, its_type in named.items() if self._takes_up(uid, its_type)])
        self._asked_at = time.monotonic()
        if not named:
            self._ask_at = self._asked_at + (pause if has_any else max(pause, SELDOM_SECONDS))
            self._look_at_one()
        else:
            self._ask_at = self._asked_at + (NEWS_SECONDS if self._has_news else HOLD_SECONDS)

    def _takes_up(self, uid: str, its_type: str) -> bool:
        """Whether it was not known that this one may go on."""
        now = time.monotonic()
        job = self._jobs.get(uid)
        if job is not None and (job.due <= now or not job.is_waiting):
            return False
        if job is None:
            try:
                self._remember(uid, its_type)
            except OSError as error:
                _log.error("%s: its folder: %s", uid, error)
                self._failed.add(uid)
                return False
            job = self._jobs[uid] = _Job(its_type, now)
        job.due = now
        return True

    def _drive(self, uid: str, job: _Job) -> None:
        """Work at one thing as far as it goes, within its stretch."""
        end = time.monotonic() + STRETCH_SECONDS
        job.is_broken = False
        try:
            if job.device is None:
                job.device = self._device(Thing(uid, job.type, self._plug_ins.get(job.type, ())))
            while True:
                rest = self._step(uid, job.device)
                if job.is_over and job.device.is_idle:
                    del self._jobs[uid]
                    return
                if rest > 0 or time.monotonic() >= end:
                    break
        except Exception as error:  # noqa: BLE001  a mistake about one of them must not keep the others waiting
            if isinstance(error, OSError):
                _log.error("%s: its folder: %s", uid, error)
            else:
                _log.exception("%s", uid)
            self._failed.add(uid)
            job.is_broken = True
            job.device, rest = None, WAITING_SECONDS
        else:
            if isinstance(job.device.trouble, UnknownThingError):
                self._forget(uid)
                return
            if job.is_waiting and rest > TURN_SECONDS:
                rest = max(rest, WAITING_SECONDS)
        job.due = time.monotonic() + rest

    def _step(self, uid: str, device: Device) -> float:
        if device.next_action in _CHANGES:
            if not self._turn.acquire(blocking=False):
                return TURN_SECONDS
            try:
                if self._gateway.memory.step is Step.ACTIVATING:
                    return TURN_SECONDS
                return self._watched(uid, device)
            finally:
                self._turn.release()
        return self._watched(uid, device)

    def _watched(self, uid: str, device: Device) -> float:
        was_open = device.memory.is_open
        rest = device.step()
        if was_open and not device.memory.is_open:
            if device.memory.outcome is Event.FAILED:
                self._failed.add(uid)
            else:
                self._failed.discard(uid)
            self._ask_at = 0.0  # the list may have room for another one now
        return rest

    def _device(self, thing: Thing) -> Device:
        """Raises OSError."""
        home = self._home(thing.uid)
        read_version = partial(version_of, thing, home) if thing.plug_in else None
        habits = replace(self._habits, read_version=read_version, rules=replace(self._habits.rules, thing=thing))
        return Device(Client(self._http, self._token, thing.uid), home, None, habits=habits)

    def _look_at_one(self) -> None:
        """While there is nothing to do: is there still a thing for the next folder?"""
        uid = next(self._rest, None)
        if uid is None:
            self._rest = iter(sorted(self._known()))
        elif uid not in self._jobs:
            try:
                Client(self._http, self._token, uid).poll(0)
            except UnknownThingError:
                self._forget(uid)
            except _TROUBLES as error:
                _log.warning("%s: %s", uid, error)

    def _remember(self, uid: str, its_type: str) -> None:
        """Raises OSError."""
        home = self._home(uid)
        if self._type_of(uid) != its_type:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_durably(home / "type", its_type.encode(errors="replace"))
            sync_directory(home.parent)
            sync_directory(home.parent.parent)

    def _type_of(self, uid: str) -> str | None:
        try:
            return (self._home(uid) / "type").read_text(errors="replace")
        except OSError:
            return None

    def _forget(self, uid: str) -> None:
        _log.info("%s: it is not behind this gateway any more", uid)
        self._jobs.pop(uid, None)
        shutil.rmtree(self._home(uid), ignore_errors=True)

    def _known(self) -> Iterator[str]:
        names = [path.name for path in self._folder.iterdir()] if self._folder.is_dir() else []
        uids = (name.replace("%2E", ".") for name in names)
        return (uid for uid in uids if is_uid(uid))

    def _home(self, uid: str) -> Path:
        return self._folder / (uid.replace(".", "%2E") if uid in (".", "..") else uid)

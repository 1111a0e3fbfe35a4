"""One simulated device: the agent's state machine with disk, installer and clock replaced, bent by its behaviour."""

import asyncio
import hashlib
import json
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from airfreight_agent.backoff import Backoff
from airfreight_agent.behaviours import BEHAVIOURS
from airfreight_agent.machine import Action, Memory, Session, Step, heard, plan
from airfreight_agent.protocol import (
    MAX_REPORTS_PER_CALL,
    Event,
    Idle,
    Instruction,
    ProtocolError,
    Reason,
    RefusedError,
    Report,
    UnauthorizedError,
    UnavailableError,
    Verdict,
    check_status,
    encode_reports,
    parse_instruction,
    parse_results,
    parse_retry_after,
    strong_etag,
)
from airfreight_agent.wire import Answer, Wire

DEFAULT_RETRY_AFTER = 60.0
SHORTEST_REST_SECONDS = 0.05
INSTALL_SECONDS = (1.0, 4.0)
BOOT_SECONDS = (2.0, 6.0)
OTHER_VERSION = "0.0.0-other"


@dataclass(frozen=True, slots=True)
class Member:
    """One device of a fleet: who it is at the server, what it does, and the version it runs at first.

    `thing`: it is the thing with this uid, behind the gateway whose token it uses.
    """

    uid: str
    token: str
    behaviour: str = "good"
    version: str = "1.0.0"
    thing: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast simulated time goes.

    `time_scale` is the number of real seconds that one second of a device's own work takes (0.01: a hundred times
    faster); waits that the server asks for are divided by `haste`; `wait_seconds` is sent with each idle poll.
    """

    time_scale: float = 1.0
    haste: float = 1.0
    wait_seconds: int = 0


@dataclass(slots=True)
class Traffic:
    """What all devices did on the wire. `contradictions` counts repeated reports that were answered differently."""

    requests: int = 0
    reports: int = 0
    downloaded_bytes: int = 0
    power_cuts: int = 0
    contradictions: int = 0
    errors: Counter[str] = field(default_factory=Counter)


class _PowerCutError(Exception):
    pass


class SimulatedDevice:
    """A device that lives until its task is canceled.

    `ends` holds how each of its attempts ended, in its own view. `memory` is its flash, `version` its running image.
    """

    def __init__(self, member: Member, wire: Wire, pace: Pace, rng: random.Random, traffic: Traffic) -> None:
        self.uid = member.uid
        self.version = member.version
        self.row = BEHAVIOURS[member.behaviour]
        self.memory = Memory()
        self.ends: list[Event] = []
        self._token = member.token
        self._thing = member.thing
        self._named = f"thing={quote(member.thing, safe='')}" if member.thing else ""
        self._wire = wire
        self._pace = pace
        self._rng = rng
        self._traffic = traffic
        self._backoff = Backoff(rng, first=1.0 / pace.haste, most=60.0 / pace.haste)
        self._boots = 0
        self._failures = 0
        self._has_lost_power = False
        self._received = 0
        self._digest = hashlib.sha256()
        self._session = self._boot()
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

    async def live(self, first_rest: float) -> None:
        await asyncio.sleep(first_rest)
        while True:
            rest = await self.step()
            if rest:
                await asyncio.sleep(rest)

    async def step(self) -> float:
        """Do the next thing; the number of (real) seconds to rest after it."""
        was_open = self.memory.is_open
        try:
            rest = await self._actions[self._plan()]()
        except UnavailableError as error:
            self._traffic.errors[str(error)] += 1
            return self._backoff.after_failure((error.retry_after or 0.0) / self._pace.haste)
        except (UnauthorizedError, RefusedError, ProtocolError) as error:
            self._traffic.errors[str(error)] += 1
            return self._backoff.after_failure()
        except _PowerCutError:
            return self._lose_power()
        if was_open and not self.memory.is_open and self.memory.outcome:
            self.ends.append(self.memory.outcome)
        self._backoff.reset()
        return rest

    def _plan(self) -> Action:
        """What the agent would do, if it saw its outbox the way this behaviour does."""
        if self.row.goes_silent and self.memory.step is Step.DOWNLOADED:
            return Action.POLL
        is_window_open = len(self.memory.outbox) < self.row.report_window and self.memory.is_open
        if self.memory.outbox and is_window_open and self.memory.step is not Step.ACTIVATING:
            return plan(replace(self.memory, outbox=()), self._session)
        return plan(self.memory, self._session)

    async def _send(self) -> float:
        batch = self.memory.outbox[:MAX_REPORTS_PER_CALL]
        if self.row.report_window > 1:
            batch = batch[::-1]
        verdicts = await self._post(batch)
        for _ in range(self.row.report_copies - 1):
            self._traffic.contradictions += await self._post(batch) != verdicts
        # The server has heard, but power goes before the answer is stored: the report will be sent again.
        self._maybe_lose_power(Step.DOWNLOADED, Step.INSTALLING, Step.INSTALLED, Step.ACTIVATING)
        self.memory = self.memory.answered(verdicts)
        return 0.0

    async def _post(self, batch: tuple[Report, ...]) -> dict[tuple[int, int], Verdict]:
        answer = await self._ask("POST", "/device/v1/reports", encode_reports(batch, self._thing))
        self._traffic.reports += len(batch)
        return parse_results(answer.body, batch)

    async def _announce(self) -> float:
        path = f"/device/v1/attributes?{self._named}".rstrip("?")
        await self._ask("PUT", path, json.dumps({"version": self.version}).encode())
        self._session = replace(self._session, announced=True)
        return 0.0

    async def _poll(self) -> float:
        wait = 0 if self.memory.is_open else self._pace.wait_seconds
        answer = await self._ask("GET", f"/device/v1/next?wait={wait}&{self._named}".rstrip("&"), extra_seconds=wait)
        word = self._read(answer)
        instruction = None if isinstance(word, Idle) else word
        self.memory, self._session = heard(self.memory, self._session, instruction, yields=not self.row.refuses_cancel)
        if self._plan() is not Action.POLL:
            return 0.0
        seconds = word.retry_after if isinstance(word, Idle) else word.poll_after
        return max(seconds / self._pace.haste, SHORTEST_REST_SECONDS)

    @staticmethod
    def _read(answer: Answer) -> Instruction | Idle:
        if answer.status == 204:
            seconds = parse_retry_after(answer.headers.get("retry-after"))
            return Idle(DEFAULT_RETRY_AFTER if seconds is None else seconds)
        return parse_instruction(answer.body)

    async def _begin(self) -> float:
        self._forget_bytes()
        self.memory = self.memory.advanced()
        return 0.0

    async def _fetch(self) -> float:
        artifact = self.memory.in_hand
        if self._received < artifact.size or not artifact.size:
            await self._receive()
        if self._fails_now():
            return self._fail()
        if self._received != artifact.size or self._digest.hexdigest() != artifact.sha256:
            self.memory = self.memory.failed(Reason.CHECKSUM_MISMATCH)
        else:
            self.memory = self.memory.finished_one()
        if self.row.goes_silent:
            self.memory = replace(self.memory, outbox=())
        self._forget_bytes()
        return 0.0

    async def _check(self) -> float:
        self.memory = self.memory.finished_one()
        return 0.0

    async def _receive(self) -> None:
        """Read the bytes that are missing; a device that is to fail leaves after the first of them."""
        artifact = self.memory.in_hand
        can_go_on = bool(self._received and self.memory.etag)
        headers = {"Range": f"bytes={self._received}-", "If-Range": self.memory.etag} if can_go_on else {}
        self._traffic.requests += 1
        async with self._wire.download(artifact.url, self._token, headers) as (head, chunks):
            if not 200 <= head.status < 300:
                self._session = replace(self._session, asked_at=None)
            check_status(head.status, head.headers.get("retry-after"))
            if head.status != 206:
                self._forget_bytes()
            self.memory = replace(self.memory, etag=strong_etag(head.headers.get("etag", "")))
            async for chunk in chunks:
                self._digest.update(chunk)
                self._received += len(chunk)
                self._traffic.downloaded_bytes += len(chunk)
                if self._fails_now():
                    return
                if self._received * 2 >= artifact.size:
                    self._maybe_lose_power(Step.DOWNLOADING)
                if self.row.bytes_per_second:
                    await self._work(len(chunk) / self.row.bytes_per_second)

    async def _install(self) -> float:
        await self._work(self._rng.uniform(*INSTALL_SECONDS))
        if self._fails_now():
            return self._fail()
        self.memory = self.memory.finished_one()
        return 0.0

    async def _activate(self) -> float:
        self.memory = self.memory.tried().activated(self._session.boot_id)
        await self._work(self._rng.uniform(*BOOT_SECONDS))
        if self.row.boots == "new":
            self.version = self.memory.wanted or self.version
        elif self.row.boots == "other":
            self.version = OTHER_VERSION
        self._session = self._boot()
        return 0.0

    async def _judge(self) -> float:
        if self.row.lies:
            self.memory = self.memory.ended(Event.SUCCEEDED)
        elif self.row.boots == "old":
            self.memory = self.memory.failed(Reason.ROLLED_BACK)
        else:
            self.memory = self.memory.judged(self.version)
        return 0.0

    async def _ask(self, method: str, path: str, body: bytes | None = None, *, extra_seconds: float = 0.0) -> Answer:
        self._traffic.requests += 1
        answer = await self._wire.request(method, path, self._token, body, extra_seconds=extra_seconds)
        check_status(answer.status, answer.headers.get("retry-after"))
        return answer

    async def _work(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self._pace.time_scale)

    def _fails_now(self) -> bool:
        may_fail = self.row.failing_attempts is None or self._failures < self.row.failing_attempts
        return self.memory.step is self.row.fails_at and may_fail

    def _fail(self) -> float:
        self._failures += 1
        self._forget_bytes()
        self.memory = self.memory.failed(self.row.reason or Reason.DEVICE_ERROR)
        return 0.0

    def _maybe_lose_power(self, *steps: Step) -> None:
        if not self._has_lost_power and self.memory.step is self.row.power_cut_at and self.memory.step in steps:
            self._has_lost_power = True
            raise _PowerCutError

    def _lose_power(self) -> float:
        self._traffic.power_cuts += 1
        self._session = self._boot()
        return self._rng.uniform(*BOOT_SECONDS) * self._pace.time_scale

    def _boot(self) -> Session:
        self._boots += 1
        return Session(version=self.version, boot_id=str(self._boots))

    def _forget_bytes(self) -> None:
        self._received = 0
        self._digest = hashlib.sha256()

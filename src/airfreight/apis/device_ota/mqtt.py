"""The Device OTA door for devices at a broker: they are told to ask, and what they say of themselves is taken.

The topics are fixed in the devices' firmware, so they have no prefix; the first level is what a device logs in as, its
id. Nothing here is needed for an update: devices ask by themselves too. Source: the Device OTA reference, 17 and 18.
"""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import structlog

from airfreight.apis.common.broker_line import Say, device_of
from airfreight.apis.common.desk import Desk
from airfreight.domain.ids import Millis
from airfreight.ports import Arrived, Message, Receipt
from airfreight.services import device_work, overview, triggers
from airfreight.services.device_work import Returned
from airfreight.services.single_updates import ORIGIN, is_uid
from airfreight.services.triggers import Errand, Waiting

log = structlog.get_logger()

SAME_VERSION, FAILED = 202, 203
"""Of the codes of `update-response`; 200 (heard) and 201 (begun) tell nothing that the download does not tell."""
_LONGEST = 4096
_LONGEST_VERSION = 64
_MOST_KNOWN = 50_000
_MOST_WORDS = 4
"""Of one device that is not known yet: the latest."""
_BATCH = 500
_TURN_SECONDS = 0.5
_SEEN_SECONDS = 60.0
_AGAIN_SECONDS = 300.0
"""So often a device that speaks is looked at: an upload may wait for it whose trigger was lost or came too early."""
_LATER_SECONDS = 2.0
"""A device is looked at so much after its word: by then that is written."""
_decode = msgspec.json.Decoder(dict[str, object]).decode
_encode = msgspec.json.Encoder().encode


def triggers_of(one: Waiting) -> list[Message]:
    """What makes a device look for its update. One that is set to a group may listen at the group's topic only."""
    body = _encode({"ver": one.version})
    found = [Message(f"/{one.device_id}/devices/{one.uid}/update-trigger", body)]
    if one.group_uid is not None:
        found.append(Message(f"/{one.device_id}/groups/{one.group_uid}/update-trigger", body))
    return found


@dataclass(frozen=True, slots=True)
class Word:
    """What a device says: the version that it runs and since when (`status`), or a code (`update-response`)."""

    device_id: int
    uid: str
    version: str = ""
    uptime: float | None = None
    code: int = 0


def word_of(arrived: Arrived) -> Word | None:
    """What a device says, as far as it can be understood; None for anything else. Never raises.

    Copies that the broker kept are nothing: the device says it again in five seconds.
    """
    parts = arrived.message.topic.split("/")
    if len(parts) != 5 or parts[0] or parts[2] != "devices" or not is_uid(parts[3]) or not arrived.is_live:
        return None
    device_id = device_of(parts[1])
    if device_id is None or parts[4] not in {"status", "update-response"}:
        return None
    said = _said(arrived.message.payload)
    if parts[4] == "status":
        version, uptime = said.get("fw_version"), said.get("uptime")
        is_version = isinstance(version, str) and len(version) <= _LONGEST_VERSION
        since = uptime if isinstance(uptime, int | float) else None
        return Word(device_id, parts[3], str(version) if is_version else "", since)
    code = said.get("code")
    return Word(device_id, parts[3], code=code if isinstance(code, int) else 0)


def _said(payload: bytes) -> dict[str, object]:
    if len(payload) > _LONGEST:
        return {}
    try:
        return _decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


@dataclass(slots=True)
class _Known:
    """A device that has spoken: the version that it is known for, whether it said so itself since the line was opened,
    how long it had been up then; when it is next a sign of life, and next to be looked at.
    """

    uid: str
    version: str
    has_said: bool = False
    uptime: float | None = None
    seen_again_at: float = 0.0
    look_at: float = 0.0


class TriggerTongue:
    """What this door says and understands at the broker. Devices speak every five seconds, so what was said on an
    earlier line is forgotten; what one says before it is known waits until its name has been looked up.
    """

    def __init__(self, desk: Desk, clock: Callable[[], Millis]) -> None:
        self._desk, self._clock = desk, clock
        self.topics: Sequence[str] = []
        self.passing: Sequence[str] = ["/+/devices/+/status", "/+/devices/+/update-response"]
        self._lock = threading.Lock()
        self._then = 0.0
        self._warned = False
        self._forget()

    def _forget(self) -> None:
        self._known: OrderedDict[int, _Known] = OrderedDict()
        self._strangers: dict[int, list[Word]] = {}
        self._seen: dict[int, int] = {}
        self._same: set[int] = set()
        self._due: deque[tuple[float, int]] = deque(maxlen=_MOST_KNOWN)

    def opened(self, *, is_new: bool) -> None:  # noqa: ARG002 - nothing of what devices said is missed here
        """See broker_line.Tongue."""
        with self._lock:
            self._forget()

    def understand(self, arrived: Arrived) -> Returned | None:
        """See broker_line.Tongue. A device can only write below its own id; the uid must be its own too."""
        word = word_of(arrived)
        if word is None:
            return None
        with self._lock:
            known = self._known.get(word.device_id)
            if known is None:
                if word.device_id in self._strangers or len(self._strangers) < _MOST_KNOWN:
                    words = self._strangers.setdefault(word.device_id, [])
                    words[:] = [*words[1 - _MOST_WORDS :], word]
                return None
            if known.uid != word.uid:
                return None
            self._known.move_to_end(word.device_id)
            return self._take(word, known, time.monotonic())

    def _take(self, word: Word, known: _Known, now: float) -> Returned | None:
        """A device that says another version, has restarted or gives up has come back: what it runs judges its update.

        What it says itself goes before what follows from a code.
        """
        if now >= known.seen_again_at:
            known.seen_again_at = now + _SEEN_SECONDS
            self._seen[word.device_id] = self._clock()
        is_other, has_restarted = bool(word.version) and word.version != known.version, False
        if word.version:
            has_restarted = word.uptime is not None and known.uptime is not None and word.uptime < known.uptime
            known.version, known.uptime, known.has_said = word.version, word.uptime, True
        elif word.code == SAME_VERSION and not known.has_said:
            self._same.add(word.device_id)
        if is_other or now >= known.look_at:
            self._look_at(word.device_id, known, now)
        is_back = is_other or has_restarted or (word.code == FAILED and known.has_said)
        return Returned(word.device_id, {"version": known.version}, listens=False) if is_back else None

    def _look_at(self, device_id: int, known: _Known, now: float) -> None:
        known.look_at = now + _AGAIN_SECONDS
        self._due.append((now + _LATER_SECONDS, device_id))

    def speak(self, say: Say, limit: int) -> int:
        """See broker_line.Tongue."""
        now = time.monotonic()
        if now - self._then < _TURN_SECONDS:
            return 0
        self._then = now
        self._meet()
        self._note()
        told = self._tell_uploads(say, limit)
        return told + self._tell_again(say, limit - told, now)

    def _meet(self) -> None:
        """Learn the names of who has spoken for the first time, and take what they said."""
        database = self._desk.database
        jobs: list[Returned] = []
        with self._lock:
            strangers = dict(self._strangers.popitem() for _ in range(min(len(self._strangers), _BATCH)))
        found = triggers.names(database, list(strangers)) if strangers else []
        with self._lock:
            for device_id, uid, version in found:
                known = self._known.setdefault(device_id, _Known(uid, version))
                words = [*strangers[device_id], *self._strangers.pop(device_id, [])]  # it may have gone on speaking
                taken = [self._take(word, known, time.monotonic()) for word in words if word.uid == known.uid]
                jobs += [job for job in taken if job is not None]
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        results = device_work.work(database, self._desk.settings, self._clock(), jobs) if jobs else []
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, Exception) and overview.is_passing(result):
                with self._lock:
                    self._known.pop(job.device_id, None)  # it was not written: its next word is again the first

    def _note(self) -> None:
        """Write who is there, and what follows for those that never say their version and have found it the same."""
        database, now = self._desk.database, self._clock()
        with self._lock:
            seen, self._seen = self._seen, {}
            same = [self._same.pop() for _ in range(min(len(self._same), _BATCH))]
        if seen:
            device_work.remember_seen(database, seen)
        versions = triggers.last_versions(database, now, same, ORIGIN) if same else {}
        jobs = [Returned(which, {"version": version}, listens=False) for which, version in versions.items()]
        if jobs:
            device_work.work(database, self._desk.settings, now, jobs)
        with self._lock:
            for device_id, version in versions.items():
                if known := self._known.get(device_id):
                    known.version = version
                    self._look_at(device_id, known, time.monotonic())

    def _tell_uploads(self, say: Say, limit: int) -> int:
        """Tell the devices of new uploads; how many."""
        found = triggers.errands(self._desk.database, self._clock(), limit) if limit > 0 else []
        lost: list[Errand] = found
        try:
            receipts = self._say(say, [one for errand in found for one in errand.waiting])
            lost = [one for one in found if any(receipts[each.device_id] is Receipt.LOST for each in one.waiting)]
        finally:
            if found:
                done = [one for one in found if one not in lost]
                triggers.sent(self._desk.database, done, lost, self._clock())
        with self._lock:
            for device_id, receipt in receipts.items():
                if known := self._known.get(device_id):  # who was not there is looked at as soon as it speaks
                    known.look_at = 0.0 if receipt is Receipt.NOBODY else time.monotonic() + _AGAIN_SECONDS
        return len(receipts)

    def _tell_again(self, say: Say, limit: int, now: float) -> int:
        """Tell those that have spoken and that an upload waits for; how many."""
        some: list[int] = []
        with self._lock:
            while self._due and self._due[0][0] <= now and len(some) < min(limit, _BATCH):
                some.append(self._due.popleft()[1])
        if not some:
            return 0
        desk = self._desk
        return len(self._say(say, triggers.look(desk.database, desk.settings, self._clock(), some, ORIGIN)))

    def _say(self, say: Say, waiting: Sequence[Waiting]) -> dict[int, Receipt]:
        """Device id -> what became of its triggers: NOBODY only if nobody listens at any of them."""
        messages = [(one.device_id, message) for one in waiting for message in triggers_of(one)]
        receipts: dict[int, Receipt] = {}
        for (device_id, _), receipt in zip(messages, say([message for _, message in messages]), strict=True):
            if receipts.get(device_id, Receipt.NOBODY) is Receipt.NOBODY or receipt is Receipt.LOST:
                receipts[device_id] = receipt
        is_refused = Receipt.REFUSED in receipts.values()
        if is_refused and not self._warned:
            log.warning("the broker does not let us send update triggers: see the access list")
        self._warned = self._warned or is_refused
        return receipts

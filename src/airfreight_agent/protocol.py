"""The device protocol `/device/v1` as typed values: what a device says, what it hears, and which answers mean "later".

Nothing here does I/O. Whatever arrives is untrusted: a field of the wrong type or range is a `ProtocolError`.
"""

import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import cast

MAX_REPORTS_PER_CALL = 100
MAX_REPORTS_BYTES = 128 << 10
MAX_LINES_PER_REPORT = 100
MAX_LINE_CHARACTERS = 500
MAX_MESSAGE_CHARACTERS = 500
MAX_WORDS = 200
MAX_ARTIFACT_BYTES = 1 << 40
MAX_WAIT_SECONDS = 86_400.0
SHORTEST_PAUSE_SECONDS = 1.0
"""Between two questions, whatever the server says."""
_STRONG_ETAG = re.compile(r'"[!#-~]{0,254}"')
_HEX_SHA256 = re.compile(r"[0-9a-f]{64}")
_UID = re.compile(r"[A-Za-z0-9._:-]{1,64}")

Attribute = str | int | float | bool | None


class Do(StrEnum):
    DOWNLOAD = "download"
    INSTALL = "install"
    ACTIVATE = "activate"
    WAIT = "wait"
    CANCEL = "cancel"


class Event(StrEnum):
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    INSTALLING = "installing"
    INSTALLED = "installed"
    ACTIVATING = "activating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    CANCEL_REFUSED = "cancel_refused"


class Reason(StrEnum):
    DOWNLOAD_FAILED = "download_failed"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    NO_SPACE = "no_space"
    INSTALL_FAILED = "install_failed"
    ACTIVATE_FAILED = "activate_failed"
    ROLLED_BACK = "rolled_back"
    WRONG_VERSION = "wrong_version"
    INCOMPATIBLE = "incompatible"
    DEVICE_ERROR = "device_error"


class Verdict(StrEnum):
    MOVED = "moved"
    NOTED = "noted"
    LATE = "late"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file to fetch: `size` in bytes, `sha256` as 64 lower-case hex digits, `url` absolute or on the server.

    `id` is the server's number for it, 0 when it gave none.
    """

    name: str
    version: str | None
    size: int
    sha256: str
    url: str
    id: int = 0


@dataclass(frozen=True, slots=True)
class Instruction:
    """What the server wants of this device now. `poll_after` is the number of seconds until the next question.

    `opens_at` is when a device that is to wait may go on, in milliseconds since the epoch; None when nobody knows.
    """

    attempt: int
    do: Do
    artifacts: tuple[Artifact, ...]
    poll_after: float
    opens_at: int | None = None


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing to do; ask again in `retry_after` seconds."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class Count:
    """How far the download of the artifact `id` is, in bytes."""

    id: int
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Report:
    """One sentence of a device about one attempt. The pair (attempt, seq) names it, however often it is sent.

    `artifacts`: downloads that have gone on; `lines`: what was printed since the last report.
    """

    attempt: int
    seq: int
    event: Event
    progress: int | None = None
    reason: Reason | None = None
    message: str | None = None
    artifacts: tuple[Count, ...] = ()
    lines: tuple[str, ...] = ()


class ProtocolError(Exception):
    """The other side said something that the protocol does not allow."""


class UnavailableError(Exception):
    """No usable answer now: the network, a 5xx, a 429. Try again, not before `retry_after` seconds if it is given."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnauthorizedError(Exception):
    """The server does not accept this device's token or key."""


class RefusedError(Exception):
    """The server understood and says no for good: sending the same again does not help."""

    def __init__(self, status: int, code: str = "", words: str = "") -> None:
        super().__init__(_answer(status, code, words))
        self.status = status
        self.code = code


class UnknownThingError(RefusedError):
    """There is no such thing behind this gateway, or not any more."""


def check_status(status: int, retry_after: str | None, code: str = "", words: str = "") -> None:
    """Raise `UnauthorizedError`, `UnavailableError` or `RefusedError` for a status outside 2xx.

    `code` is the server's own word for it, `words` what it says to people.
    """
    if 200 <= status < 300:
        return
    if status in (401, 403):
        raise UnauthorizedError(_answer(status, "", words))
    if status in (408, 425, 429) or not 400 <= status < 500:
        raise UnavailableError(f"the server answered {status}", parse_retry_after(retry_after))
    raise RefusedError(status, code, words)


def _answer(status: int, code: str, words: str) -> str:
    return f"the server answered {status} {code}".rstrip() + (f": {words}" if words else "")


def words_of(body: bytes) -> str:
    """What the body of a refusal says to people, fit for a line of a log; "" when it says nothing."""
    try:
        error = parse_object(body).get("error")
    except ProtocolError:
        return ""
    message = error.get("message") if isinstance(error, dict) else None
    return "".join(c for c in message if c.isprintable())[:MAX_WORDS] if isinstance(message, str) else ""


def parse_retry_after(value: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date; None when it is absent or nonsense."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return _clamped(seconds)


def strong_etag(value: str) -> str:
    """A tag that may be sent back to resume a download (RFC 9110, 8.8.3, in ASCII); "" for anything else."""
    return value if _STRONG_ETAG.fullmatch(value) else ""


def parse_instruction(body: bytes) -> Instruction:
    """Raises ProtocolError when the body is not an instruction that this version understands."""
    document = parse_object(body)
    artifacts = document.get("artifacts", [])
    if not isinstance(artifacts, list):
        raise ProtocolError("artifacts is not a list")
    try:
        do = Do(text(document, "do"))
    except ValueError:
        raise ProtocolError("unknown instruction") from None
    if not artifacts and do not in (Do.WAIT, Do.CANCEL):
        raise ProtocolError("nothing to work on")
    poll_after = document.get("poll_after", 0)
    if isinstance(poll_after, bool) or not isinstance(poll_after, int | float):
        raise ProtocolError("poll_after is not a number")
    return Instruction(
        attempt=integer(document, "attempt", 1, 1 << 62),
        do=do,
        artifacts=tuple(parse_artifact(item) for item in artifacts),
        poll_after=_clamped(poll_after),
        opens_at=_opens_at(document.get("window")),
    )


def _opens_at(window: object) -> int | None:
    if window is None:
        return None
    if not isinstance(window, dict):
        raise ProtocolError("window is not an object")
    return integer(window, "opens_at", 0, 1 << 53)


def parse_artifact(item: object) -> Artifact:
    if not isinstance(item, dict):
        raise ProtocolError("an artifact is not an object")
    document = cast(dict[str, object], item)
    sha256 = text(document, "sha256").lower()
    if not _HEX_SHA256.fullmatch(sha256):
        raise ProtocolError("sha256 is not 64 hex digits")
    return Artifact(
        name=text(document, "name"),
        version=optional_text(document, "version"),
        size=integer(document, "size", 0, MAX_ARTIFACT_BYTES),
        sha256=sha256,
        url=text(document, "url"),
        id=integer(document, "id", 0, 1 << 31) if "id" in document else 0,
    )


def is_uid(word: str) -> bool:
    return _UID.fullmatch(word) is not None


def parse_things(body: bytes) -> dict[str, str]:
    """The uids of things that have something to do, in the server's order, each with the name of its product."""
    items = parse_object(body).get("things")
    if not isinstance(items, list):
        raise ProtocolError("things is not a list")
    things: dict[str, str] = {}
    for item in items:
        if not isinstance(item, dict):
            raise ProtocolError("a thing is not an object")
        uid = text(item, "uid")
        if not is_uid(uid):
            raise ProtocolError("a uid that is none")
        things[uid] = text(item, "product")
    return things


def parse_results(body: bytes, sent: Sequence[Report]) -> dict[tuple[int, int], Verdict]:
    """The verdict for each report of `sent`. Raises ProtocolError when one of them has none."""
    items = parse_object(body).get("results")
    if not isinstance(items, list):
        raise ProtocolError("results is not a list")
    verdicts: dict[tuple[int, int], Verdict] = {}
    for item in items:
        if not isinstance(item, dict):
            raise ProtocolError("a result is not an object")
        key = integer(item, "attempt", 1, 1 << 62), integer(item, "seq", 1, 1 << 62)
        try:
            verdicts[key] = Verdict(text(item, "verdict"))
        except ValueError:
            raise ProtocolError("unknown verdict") from None
    if any((report.attempt, report.seq) not in verdicts for report in sent):
        raise ProtocolError("a report has no result")
    return verdicts


def one_call(outbox: Sequence[Report]) -> Sequence[Report]:
    """As many of the first reports as the server takes in one call."""
    size = 0
    for number, report in enumerate(outbox[:MAX_REPORTS_PER_CALL]):
        size += len(encode_reports([report]))
        if number and size > MAX_REPORTS_BYTES:
            return outbox[:number]
    return outbox[:MAX_REPORTS_PER_CALL]


def one_report(lines: Sequence[str]) -> Sequence[str]:
    """As many of the first lines as one report may carry."""
    size = 0
    for number, line in enumerate(lines[:MAX_LINES_PER_REPORT]):
        size += len(line.encode(errors="replace"))
        if number and size > MAX_REPORTS_BYTES // 4:
            return lines[:number]
    return lines[:MAX_LINES_PER_REPORT]


def encode_reports(reports: Sequence[Report], thing: str = "") -> bytes:
    """`thing` is the uid of the thing that they are about, if it is not the device itself."""
    about = {"thing": thing} if thing else {}
    document = {"reports": [report_fields(report) | about for report in reports]}
    return json.dumps(document, ensure_ascii=False).encode(errors="replace")


def report_fields(report: Report) -> dict[str, object]:
    """The wire form of one report: absent fields are left out."""
    fields: dict[str, object] = {"attempt": report.attempt, "seq": report.seq, "event": report.event.value}
    if report.progress is not None:
        fields["progress"] = report.progress
    if report.reason is not None:
        fields["reason"] = report.reason.value
    if report.message is not None:
        fields["message"] = report.message
    if report.artifacts:
        fields["artifacts"] = [asdict(count) for count in report.artifacts]
    if report.lines:
        fields["lines"] = list(report.lines)
    return fields


def parse_object(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise ProtocolError("not JSON") from None
    if not isinstance(document, dict):
        raise ProtocolError("not an object")
    return cast(dict[str, object], document)


def integer(document: Mapping[str, object], name: str, low: int, high: int) -> int:
    value = document.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ProtocolError(f"{name} is not an integer in its range")
    return value


def text(document: Mapping[str, object], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise ProtocolError(f"{name} is not text")
    return value


def optional_text(document: Mapping[str, object], name: str) -> str | None:
    return None if document.get(name) is None else text(document, name)


def _clamped(seconds: float) -> float:
    """JSON knows integers that no float can hold: compare before anything else."""
    return float(min(seconds, MAX_WAIT_SECONDS)) if seconds > 0 else 0.0

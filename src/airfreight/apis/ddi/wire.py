"""Bodies, answers and errors of DDI: JSON or CBOR both ways, every answer with its exact length, hawkBit's error body.

Whatever a client sends becomes plain values or a 400. Source: eclipse-hawkbit/hawkbit, the DDI API v1 and its tests.
"""

import gc
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from math import isfinite
from typing import Never

import cbor2
import msgspec
from typing_extensions import override

from airfreight.apis.common.asgi import Headers, Receive, Scope, Send, answer, body_of, header
from airfreight.domain.errors import Kind, Refusal

_LARGEST_BODY = 256 * 1024
_DEEPEST, _MOST_VALUES = 32, 20_000
_LONGEST_ACCEPT = 1000
_TRY_AGAIN_SECONDS = 60
_SELF_DESCRIBED = b"\xd9\xd9\xf7"

Header = tuple[bytes, bytes]

_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode


class Media(StrEnum):
    """What an answer is written in; the first is for clients that do not care."""

    HAL = "application/hal+json"
    JSON = "application/json"
    CBOR = "application/cbor"


class Code(StrEnum):
    """hawkBit's `errorCode`, without what they all begin with."""

    NOT_READABLE = "rest.body.notReadable"
    CONSTRAINT = "repo.constraintViolation"
    INVALID_ATTRIBUTES = "repo.invalidTargetAttributes"
    NOT_FOUND = "repo.entityNotFound"
    NOT_CANCELABLE = "action.notCancelable"
    ALREADY_EXISTS = "repo.entityAlreadyExists"
    ALREADY_CONFIRMING = "repo.autoConfAlreadyActive"
    CONCURRENT = "repo.concurrentModification"
    LOCKED = "locked"
    TOO_MANY_ENTRIES = "quota.tooManyEntries"
    FILE_TOO_LARGE = "quota.fileSizeExceeded"
    STORAGE_FULL = "quota.storageExceeded"


_REPOSITORY = "org.eclipse.hawkbit.repository.exception."
_EXCEPTIONS = {
    Code.NOT_READABLE: "org.eclipse.hawkbit.rest.exception.MessageNotReadableException",
    Code.CONSTRAINT: "jakarta.validation.ConstraintViolationException",
    Code.INVALID_ATTRIBUTES: _REPOSITORY + "InvalidTargetAttributeException",
    Code.NOT_FOUND: _REPOSITORY + "EntityNotFoundException",
    Code.NOT_CANCELABLE: _REPOSITORY + "CancelActionNotAllowedException",
    Code.ALREADY_EXISTS: _REPOSITORY + "EntityAlreadyExistsException",
    Code.ALREADY_CONFIRMING: _REPOSITORY + "AutoConfirmationAlreadyActiveException",
    Code.CONCURRENT: _REPOSITORY + "ConcurrentModificationException",
    Code.LOCKED: _REPOSITORY + "LockedException",
    Code.TOO_MANY_ENTRIES: _REPOSITORY + "AssignmentQuotaExceededException",
    Code.FILE_TOO_LARGE: _REPOSITORY + "FileSizeQuotaExceededException",
    Code.STORAGE_FULL: _REPOSITORY + "StorageQuotaExceededException",
}


class ErrorBody(msgspec.Struct, rename="camel"):
    """The error body of DDI; `message` is for people."""

    exception_class: str
    error_code: str
    message: str


class Problem(Exception):  # noqa: N818 - an answer, not a failure
    """An error as this door answers it: with hawkBit's body where there is a `code`, else with an empty one."""

    def __init__(
        self, status: int, code: Code | None = None, message: str = "", headers: Sequence[Header] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


_KINDS: dict[Kind, tuple[int, Code | None]] = {
    Kind.INVALID: (400, Code.CONSTRAINT),
    Kind.UNAUTHENTICATED: (401, None),
    Kind.FORBIDDEN: (403, None),
    Kind.NOT_FOUND: (404, None),
    Kind.CONFLICT: (409, Code.CONCURRENT),
    Kind.TOO_LARGE: (413, Code.NOT_READABLE),
    Kind.UNSUPPORTED: (415, Code.NOT_READABLE),
    Kind.LIMITED: (429, None),
}
_SPECIAL: dict[str, tuple[int, Code | None]] = {
    "slow_body": (400, Code.NOT_READABLE),
    "bad_attributes": (400, Code.INVALID_ATTRIBUTES),
    "too_many_attributes": (429, Code.TOO_MANY_ENTRIES),
    "too_many_devices": (429, Code.TOO_MANY_ENTRIES),
    "uid_taken": (409, Code.ALREADY_EXISTS),
}
"""Refusals that are something else here than their kind says, by their code."""


def accepted(scope: Scope) -> Media:
    """What to answer in, from `Accept`: the best that the client names, then the most precise, then the first.

    Raises Problem(406). What cannot be understood of the header, or comes late in it, does not count.
    """
    named = b",".join(value for name, value in scope["headers"] if name == b"accept")
    if not named.strip():
        return Media.HAL
    ranges = list(_media_ranges(str(named[:_LONGEST_ACCEPT], "latin-1")))
    found: list[tuple[float, int, int, Media]] = []
    for media in Media:
        patterns = (media, media.partition("/")[0] + "/*", "*/*")
        fitting = [
            (2 - patterns.index(one), -at, quality) for at, (one, quality) in enumerate(ranges) if one in patterns
        ]
        if fitting:
            precision, place, quality = max(fitting)
            found.append((quality, precision, place, media))
    quality, _, _, best = max(found, key=lambda one: one[:3], default=(0.0, 0, 0, Media.HAL))
    if not quality:
        raise Problem(406)
    return best


def _media_ranges(named: str) -> Iterator[tuple[str, float]]:
    """Each media range of an `Accept` header with its quality."""
    for member in named.split(","):
        media, *parameters = (part.strip().lower() for part in member.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                quality = _quality(value)
        if 0 <= quality <= 1:
            yield media, quality


def _quality(value: str) -> float:
    """-1 for what is none."""
    try:
        return float(value)
    except ValueError:
        return -1.0


async def read_body(scope: Scope, receive: Receive, seconds: float, *, is_optional: bool = False) -> object:
    """The body as plain values: dict with str keys, list, str, int, finite float, bool, None.

    At most 32 levels deep; an int may have any number of digits. An empty body is None where it `is_optional`. Raises
    Problem (400 for what cannot be read, 415 for another type than JSON or CBOR), Refusal (too large, too slow),
    Disconnected.
    """
    media = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
    decode = _DECODERS.get(media)
    if decode is None and not is_optional:
        raise _unsupported()
    body = await body_of(receive, _LARGEST_BODY, seconds)
    if is_optional and not body:
        return None
    if decode is None:
        raise _unsupported()
    return _decoded(decode, body)


def _unsupported() -> Problem:
    return Problem(
        415, Code.NOT_READABLE, "The body must be sent as Content-Type: application/json or application/cbor."
    )


def _unreadable(why: str) -> Problem:
    return Problem(400, Code.NOT_READABLE, f"The body cannot be read: {why}.")


def _decoded(decode: Callable[[bytes], object], body: bytes) -> object:
    """The plain values of a body. Without the cycle collector: nothing made here has cycles, and a body of nothing but
    empty lists has it look at all objects of the process again and again (150 ms instead of 15).
    """
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        return _plain(decode(body))
    except Problem as error:
        raise error.with_traceback(None) from None  # whose frames would keep the values while the error is answered
    finally:
        if is_collecting:
            gc.enable()


def _from_json(body: bytes) -> object:
    try:
        return _decode_json(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _unreadable("it is not JSON") from None


def _from_cbor(body: bytes) -> object:
    """One CBOR item, indefinite lengths included; no tags, but for the one that only says that it is CBOR."""
    stream = io.BytesIO(body.removeprefix(_SELF_DESCRIBED))
    decoder = cbor2.CBORDecoder(
        stream,
        semantic_decoders=_NO_TAGS,
        max_depth=_DEEPEST,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    )
    try:
        value: object = decoder.decode()
    except cbor2.CBORDecodeError:
        raise _unreadable("it is not CBOR, or has a tag or a doubled key in it") from None
    if stream.read(1):
        raise _unreadable("something follows it")
    return value


class _NoTags(Mapping[int, Callable[[object, bool], Never]]):
    """Says of each tag that it is decoded by an error: dates, expressions and references are never made."""

    @override
    def __getitem__(self, tag: int) -> Callable[[object, bool], Never]:
        return _refuse_tag

    @override
    def __iter__(self) -> Iterator[int]:
        return iter(())

    @override
    def __len__(self) -> int:
        return 0


def _refuse_tag(_value: object, _immutable: bool) -> Never:  # noqa: FBT001 - the signature that the decoder calls
    raise ValueError("a tag")


_NO_TAGS = _NoTags()
_DECODERS: dict[str, Callable[[bytes], object]] = {Media.JSON: _from_json, Media.CBOR: _from_cbor}
_PLAIN = frozenset({str, int, bool, type(None)})


def _plain(value: object) -> object:
    """`value`, if there are only plain values in it, not too many and not too deep; else raises Problem(400)."""
    level, seen, depth = [value], 1, 0
    while level:
        below: list[object] = []
        for one in level:
            if isinstance(one, dict) and all(isinstance(key, str) for key in one):
                below.extend(one.values())
            elif isinstance(one, list):
                below.extend(one)
            elif type(one) in _PLAIN or (isinstance(one, float) and isfinite(one)):
                continue
            else:
                raise _unreadable("only objects, lists, text, finite numbers, true, false and null may be in it")
            if depth == _DEEPEST:
                raise _unreadable(f"it is more than {_DEEPEST} levels deep")
        level, seen, depth = below, seen + len(below), depth + 1
        if seen > _MOST_VALUES:
            raise _unreadable(f"it has more than {_MOST_VALUES} values in it")
    return value


async def send_value(
    scope: Scope, send: Send, status: int, value: object, media: Media, etag: str | None = None
) -> None:
    """Answer with `value` (plain values or Structs) in `media`; `etag` with its quotes."""
    headers: Headers = [(b"content-type", media.encode())]
    if etag is not None:
        headers.append((b"etag", etag.encode()))
    await send_bytes(scope, send, status, encoded(value, media), headers)


def encoded(value: object, media: Media) -> bytes:
    """What `send_value` sends."""
    return cbor2.dumps(msgspec.to_builtins(value)) if media is Media.CBOR else _encode_json(value)


async def send_empty(scope: Scope, send: Send, status: int = 200, headers: Sequence[Header] = ()) -> None:
    await send_bytes(scope, send, status, b"", headers)


async def send_bytes(scope: Scope, send: Send, status: int, body: bytes, headers: Sequence[Header]) -> None:
    """A whole answer with its exact length; to a HEAD the same without the body."""
    if scope["method"] != "HEAD" or not body:
        await answer(send, status, body, list(headers))
        return
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": b""})


def problem_of(error: Refusal) -> Problem:
    """A refusal of the core as this door answers it, with its own code in a header."""
    status, code = _SPECIAL.get(error.code, _KINDS[error.kind])
    headers = [(b"x-error-code", error.code.encode())]
    if error.retry_seconds:
        headers.append((b"retry-after", str(error.retry_seconds).encode()))
    return Problem(status, code, error.message, headers)


async def send_error(scope: Scope, send: Send, error: Problem | Refusal) -> None:
    """Answer with an error, in what the client accepts if it accepts anything; each 429 says when to try again."""
    problem = problem_of(error) if isinstance(error, Refusal) else error
    headers = list(problem.headers)
    if problem.status == 429 and b"retry-after" not in dict(headers):
        headers.append((b"retry-after", str(_TRY_AGAIN_SECONDS).encode()))
    if problem.code is None:
        await send_empty(scope, send, problem.status, headers)
        return
    body = ErrorBody(_EXCEPTIONS[problem.code], f"hawkbit.server.error.{problem.code}", problem.message)
    try:
        media = accepted(scope)
    except Problem:
        media = Media.HAL
    headers.append((b"content-type", media.encode()))
    await send_bytes(scope, send, problem.status, encoded(body, media), headers)

"""Small pieces for plain ASGI routes: headers, bounded bodies, JSON answers, the error body."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

from airfreight.apis.common.errors import STATUS
from airfreight.domain.errors import Kind, Refusal, invalid

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_BODILESS = frozenset({204, 304})
_encode = msgspec.json.Encoder().encode


class Disconnected(Exception):  # noqa: N818 - an expected event, not a failure
    """The client went away."""


def header(scope: Scope, name: bytes) -> str | None:
    """A request header by its lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


def token_of(scope: Scope) -> str | None:
    """The token of `Authorization: Bearer ...`, or None."""
    value = header(scope, b"authorization")
    if value is None or value[:7].lower() != "bearer " or len(value) > 200:
        return None
    return value[7:].strip() or None


def patient(receive: Receive, seconds: float) -> Receive:
    """`receive` that raises Refusal when the next bytes of the body take longer than `seconds`, Disconnected when the
    client leaves before its end. After the body there is no limit: what comes then is the client leaving.
    """
    is_over = False

    async def next_message() -> Message:
        nonlocal is_over
        if is_over:
            return await receive()
        try:
            async with asyncio.timeout(seconds):
                message = await receive()
        except TimeoutError:
            raise invalid("The body stopped coming. Send it again.", "slow_body") from None
        if message["type"] == "http.disconnect":
            raise Disconnected
        is_over = not message.get("more_body")
        return message

    return next_message


async def chunks(receive: Receive, seconds: float) -> AsyncIterator[bytes]:
    """The body as it comes. Raises Disconnected, or Refusal when the next bytes take longer than `seconds`."""
    receive = patient(receive, seconds)
    while True:
        message = await receive()
        if body := message.get("body"):
            yield body
        if not message.get("more_body"):
            return


async def body_of(receive: Receive, limit: int, seconds: float) -> bytes:
    """The whole body, up to `limit` bytes. Raises Disconnected, Refusal."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks(receive, seconds):
        size += len(chunk)
        if size > limit:
            raise Refusal(Kind.TOO_LARGE, f"The body is larger than the limit of {limit} bytes.")
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def answer(send: Send, status: int, body: bytes = b"", headers: Headers | None = None) -> None:
    """A whole answer with its length (204 and 304 have none)."""
    all_headers = list(headers or ())
    if status not in _BODILESS:
        all_headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": all_headers})
    await send({"type": "http.response.body", "body": body})


async def answer_json(send: Send, status: int, value: object, headers: Headers | None = None) -> None:
    await answer(send, status, _encode(value), [(b"content-type", b"application/json"), *(headers or ())])


async def answer_error(send: Send, status: int, message: str, code: str, headers: Headers | None = None) -> None:
    """The one error body, `{"error":{"message"}}`, with its stable code in a header."""
    extra: Headers = [(b"x-error-code", code.encode()), *(headers or ())]
    if status == STATUS[Kind.UNAUTHENTICATED]:
        extra.append((b"www-authenticate", b"Bearer"))
    await answer_json(send, status, {"error": {"message": message}}, extra)


Refuse = Callable[[Send, int, str, str, Headers], Awaitable[None]]
"""Writes an error: status, message, code, further headers."""


async def answer_refusal(send: Send, error: Refusal, refuse: Refuse = answer_error) -> None:
    """`refuse` writes it in the door's own shape."""
    headers = [(b"retry-after", str(error.retry_seconds).encode())] if error.retry_seconds else []
    await refuse(send, STATUS[error.kind], error.message, error.code, headers)

"""Uploads without a file in them: HTTP clients send such a form URL-encoded, or nothing at all.

Rule: it is read only to say what is missing, as in a form that may have a file; nothing ever comes of it.
"""

from typing import Any
from urllib.parse import parse_qsl

from litestar import Request

from airfreight.apis.common.asgi import Receive, chunks
from airfreight.apis.common.uploads import Form
from airfreight.domain.errors import invalid

_LONGEST = 64 * 1024
_URL_ENCODED = "application/x-www-form-urlencoded"

Asked = Request[Any, Any, Any]


async def read(request: Asked, seconds: float) -> Form | None:
    """The form, `seconds` being how long it waits for the next bytes; None when there may be more in the body.

    Raises INVALID when a field is there twice, asgi.Disconnected.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind and not _has_body(request):
        return Form()
    if kind != _URL_ENCODED:
        return None
    body = bytearray()
    receive: Receive = request.receive  # type: ignore[assignment]  # Litestar's messages are TypedDicts
    async for chunk in chunks(receive, seconds):
        body += chunk
        if len(body) > _LONGEST:
            return None
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise invalid("The form has a field twice.", "bad_form")
    return Form(fields=fields)


def _has_body(request: Asked) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"

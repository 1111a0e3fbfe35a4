"""How resumable uploads are spoken: the headers of tus 1.0.0 (https://tus.io/protocols/resumable-upload)."""

import base64
import binascii
import re
from collections.abc import MutableMapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from litestar import Request
from litestar.openapi.spec import OpenAPIResponse, OpenAPIType, Operation, Parameter, Schema
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from airfreight.apis.common.asgi import answer_error, header
from airfreight.domain.errors import Kind, Refusal, invalid

PATH = "/api/v1/uploads"
VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,termination"
OFFSET_TYPE = "application/offset+octet-stream"
LONGEST_METADATA = 4096
NUMBER = "^(0|[1-9][0-9]{0,17})$"
"""Of a length or an offset; the longest is within 63 bits."""

METADATA = r"^[!-+\--~]+( [A-Za-z0-9+/=]*)?( *, *[!-+\--~]+( [A-Za-z0-9+/=]*)?)*$"
_NUMBER = re.compile(NUMBER[1:-1], re.ASCII)
_NAMED = {"DELETE", "PATCH"}
_KEY = re.compile(r"[!-+\--~]+", re.ASCII)

Asked = Request[Any, Any, Any]


def resumable(app: ASGIApp) -> ASGIApp:
    """A middleware: every answer, also one that refuses, says which protocol this is; another one is not understood.

    Who names none speaks ours.
    """

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        async def said(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"tus-resumable", VERSION.encode())]
            await send(message)

        spoken = {value for name, value in scope["headers"] if name == b"tus-resumable"}
        if spoken <= {VERSION.encode()}:
            await app(scope, receive, said)
        else:
            words = f"Uploads are spoken in tus {VERSION} here, and in no other version."
            await answer_error(said, 412, words, "tus_version", [(b"tus-version", VERSION.encode())])  # type: ignore[arg-type]

    return answering


def by_its_name(scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The request under the method that a client which has no PATCH or DELETE names in `X-HTTP-Method-Override`."""
    if scope["method"] != "POST" or not scope["path"].startswith(f"{PATH}/"):
        return scope
    named = header(scope, b"x-http-method-override")
    return {**scope, "method": named} if named in _NAMED else scope


def one(request: Asked, name: str) -> str:
    """A header, empty when there is none. Raises INVALID when it is sent twice: which one is meant nobody knows."""
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise invalid(f"The header {name} is sent more than once.")
    return values[0].strip() if values else ""


def number(request: Asked, name: str) -> int:
    """A header that is a whole number in plain digits. Raises INVALID."""
    text = one(request, name)
    if not _NUMBER.fullmatch(text):
        raise invalid(f"The header {name} must be a whole number of bytes, in plain digits.")
    return int(text)


def announced(request: Asked) -> int:
    """How many bytes the body says it has; 0 when it says nothing, or nothing that can be so."""
    text = request.headers.get("content-length", "")
    return int(text) if _NUMBER.fullmatch(text) else 0


def check_type(request: Asked) -> None:
    """Raises UNSUPPORTED unless the body is a part of a file."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != OFFSET_TYPE:
        raise Refusal(Kind.UNSUPPORTED, f"The body must be sent as Content-Type: {OFFSET_TYPE}.")


def metadata(text: str) -> dict[str, str]:
    """`Upload-Metadata`: `key base64(value), key base64(value), ...`. Raises INVALID.

    A value may have any bytes; what is no UTF-8 in it is shown as such.
    """
    if len(text) > LONGEST_METADATA:
        raise invalid(f"Upload-Metadata is longer than {LONGEST_METADATA} characters.", "bad_metadata")
    found: dict[str, str] = {}
    for pair in text.split(",") if text else []:
        key, _, value = pair.strip().partition(" ")
        if not _KEY.fullmatch(key) or key in found:
            raise _bad_metadata()
        try:
            found[key] = base64.b64decode(value, validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise _bad_metadata() from None
    return found


def _bad_metadata() -> Refusal:
    words = "Upload-Metadata must be keys, each once, and their values in base64: filename bGFtcC5iaW4=, note eA==."
    return invalid(words, "bad_metadata")


def expires(millis: int) -> str:
    """A moment as HTTP writes it."""
    return formatdate(millis / 1000, usegmt=True)


def _header(name: str, pattern: str, words: str) -> Parameter:
    schema = Schema(type=OpenAPIType.STRING, pattern=pattern, min_length=1)
    return Parameter(name=name, param_in="header", required=True, description=words, schema=schema)


@dataclass
class Creating(Operation):
    """The headers of a request that are looked at by hand, for the document: strangers hear 404 before they count."""

    def __post_init__(self) -> None:
        self.parameters = [
            *(self.parameters or []),
            _header("Upload-Length", NUMBER, "How many bytes the file has."),
            _header(
                "Upload-Metadata",
                METADATA,
                "`filename` and its value in base64; if wanted `description`, and whatever else is to be told again.",
            ),
        ]


@dataclass
class Appending(Operation):
    """The same of one that brings a piece."""

    def __post_init__(self) -> None:
        self.parameters = [
            *(self.parameters or []),
            _header("Upload-Offset", NUMBER, "How many bytes are there: the piece goes behind them."),
        ]
        _without_bodies(self)


@dataclass
class Asking(Operation):
    """Its answer is in headers."""

    def __post_init__(self) -> None:
        _without_bodies(self)


def _without_bodies(operation: Operation) -> None:
    for status, told in (operation.responses or {}).items():
        if status.startswith("2") and isinstance(told, OpenAPIResponse):
            told.content = None

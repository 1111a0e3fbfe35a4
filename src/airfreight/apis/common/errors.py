"""The error body of the operator plane: `{"error":{"message"}}` and an `X-Error-Code` header.

Nothing a client sends ends as a 5xx, and nothing of it is repeated in the answer.
"""

import re
from http import HTTPStatus
from typing import Annotated

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.typing import FieldDefinition

from airfreight.apis.common.choices import with_choices
from airfreight.apis.common.fields import LINE, NAME, PHONE
from airfreight.domain.errors import Kind, Refusal
from airfreight.services import overview, products

log = structlog.get_logger()

STATUS = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.TOO_LARGE: 413,
    Kind.LIMITED: 429,
    Kind.UNSUPPORTED: 415,
}
"""What a kind is on the wire, where a door does not say otherwise."""

UNAVAILABLE = "The database cannot be used now. Try again in a moment."

_CODES = {400: "invalid", 401: "unauthenticated", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"} | {
    413: "too_large",
    415: "unsupported_media_type",
    429: "limited",
}
_WORDS = {
    404: "There is nothing at this address. See /docs for what there is.",
    405: "This address does not take this method; the Allow header lists those it takes.",
    415: "The body must be sent as Content-Type: application/json.",
}


class ErrorMessage(msgspec.Struct):
    """What happened and what to do."""

    message: Annotated[str, msgspec.Meta(description="Error message")]


class ErrorResponse(msgspec.Struct):
    error: ErrorMessage


def answer(status: int, message: str, code: str, headers: dict[str, str] | None = None) -> Response[ErrorResponse]:
    """An error answer in the one shape."""
    extra = {"X-Error-Code": code} | (headers or {})
    if status == HTTPStatus.UNAUTHORIZED:
        extra["WWW-Authenticate"] = "Bearer"
    return Response(
        ErrorResponse(ErrorMessage(message)), status_code=status, media_type="application/json", headers=extra
    )


def on_refusal(request: Request, error: Refusal) -> Response[ErrorResponse]:  # type: ignore[type-arg]
    """A door sets `opt["statuses"]` where its contract wants other numbers for a kind."""
    statuses = STATUS | (request.route_handler.opt.get("statuses") or {} if "route_handler" in request.scope else {})
    headers = {"Retry-After": str(error.retry_seconds)} if error.retry_seconds else None
    return answer(statuses[error.kind], error.message, error.code, headers)


def on_http(request: Request, error: HTTPException) -> Response[ErrorResponse]:  # type: ignore[type-arg]
    status = error.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return on_crash(request, error)
    is_validation = isinstance(error, ValidationException)
    message = _validation_words(error, _parameters(request)) if is_validation else _WORDS.get(status, "")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        message = f"The body is larger than the limit of {request.route_handler.resolve_request_max_body_size()} bytes."
    return answer(status, message or HTTPStatus(status).phrase + ".", _CODES.get(status, "invalid"), error.headers)


def on_gone(_request: Request, _error: Exception) -> Response[ErrorResponse]:  # type: ignore[type-arg]
    """The client left in the middle of its body: an everyday event, and nobody is there to read the answer."""
    return answer(400, "The body was cut off. Send it again.", "slow_body")


def on_crash(request: Request, error: Exception) -> Response[ErrorResponse]:  # type: ignore[type-arg]
    """A bug of ours: the log gets everything, the client one sentence."""
    if overview.is_outage(error):
        log.error("the database cannot be used", path=request.scope["path"], error=str(error).splitlines()[0])
        return answer(503, UNAVAILABLE, "unavailable", {"Retry-After": "5"})
    log.error("request failed", path=request.scope["path"], method=request.scope["method"], exc_info=error)
    return answer(500, "The server made a mistake; it is in its log. Try again later.", "internal")


def _parameters(request: Request) -> dict[str, FieldDefinition]:  # type: ignore[type-arg]
    """The parameters of the handler by their names in the code."""
    handler = request.scope.get("route_handler")
    return {} if handler is None else dict(handler.parsed_fn_signature.parameters)


def _validation_words(error: HTTPException, parameters: dict[str, FieldDefinition]) -> str:
    """Names the parameters and what would be right; the words carry types and limits, never the value sent."""
    parts = []
    for item in error.extra if isinstance(error.extra, list) else []:
        key, message = str(item.get("key", "")), str(item.get("message", ""))
        if key == "data":
            return "A JSON body is needed."
        field = parameters.get(key)
        if field is not None:
            key = getattr(field.kwarg_definition, "name", None) or key
            message = with_choices(field.annotation, f"{message} - at `$`").removesuffix(" - at `$`")
        parts.append(f"{key}: {message}" if key else message)
    return safe_words("; ".join(parts[:20]) or error.detail.partition(" for path ")[0])


_ENUM_VALUE = re.compile(r"(Invalid enum value) .*?(?= - at |$)", re.DOTALL)
_PATTERNS = {
    LINE: "in one line without control characters",
    NAME: "in one line without control characters, and not only blanks",
    PHONE: "that is a phone number such as +44 20 7946 0000",
    products.KEY: "that is TMPL and 1 to 28 letters, digits, _ or -",
}
_OTHER_PATTERN = re.compile(r"matching regex '.*?'(?= - at |; |$)", re.DOTALL)
_ODD_FIELD = re.compile(r"(unknown field) `(?![A-Za-z0-9_]{1,40}`(?: - at |$)).*", re.DOTALL)


def safe_words(words: str) -> str:
    """A message of msgspec without the values it quotes from the input and without odd characters."""
    plain = words
    for regex, in_words in _PATTERNS.items():
        plain = plain.replace(f"matching regex {regex!r}", in_words)
    plain = _OTHER_PATTERN.sub("of the right form", plain)
    plain = _ODD_FIELD.sub(r"\1", _ENUM_VALUE.sub(r"\1", plain))
    return "".join(c if c.isprintable() else " " for c in plain)[:500]

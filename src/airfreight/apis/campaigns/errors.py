"""The errors of this door: `{"code","message"}` with a gRPC code, and the message again in the header `grpc-message`.

The stable codes are those of every door, in the header `X-Error-Code`.
"""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta

from airfreight.apis.common import errors
from airfreight.apis.common.errors import ErrorResponse
from airfreight.domain.errors import Refusal

Asked = Request[Any, Any, Any]

_UNKNOWN, _INVALID, _MISSING, _FORBIDDEN, _EXHAUSTED, _PRECONDITION, _ABORTED = 2, 3, 5, 7, 8, 9, 10
_UNIMPLEMENTED, _INTERNAL, _UNAVAILABLE, _UNAUTHENTICATED = 12, 13, 14, 16
_GRPC = {
    400: _INVALID,
    401: _UNAUTHENTICATED,
    403: _FORBIDDEN,
    404: _MISSING,
    405: _UNIMPLEMENTED,
    406: _UNIMPLEMENTED,
    409: _PRECONDITION,
    413: _EXHAUSTED,
    415: _INVALID,
    429: _EXHAUSTED,
    500: _INTERNAL,
    503: _UNAVAILABLE,
}
_CLASH, _BAD, _NOT_ACCEPTABLE = 409, 400, 406

ADDRESSES = (
    *("/api/campaigns", "/api/campaign-status", "/api/programs", "/api/devices", "/api/notification-destinations"),
    *("/api/organizations", "/api/me", "/api/tokens", "/api/users", "/api/versions"),
)
"""What begins so is this door's, and its ids are text: 007 is the name of a gateway."""

_ALSO = "/devices/things"


class CampaignError(msgspec.Struct):
    """What happened, and its gRPC code."""

    code: Annotated[int, Meta(description="A gRPC code: 3 invalid argument, 5 not found, 9 failed precondition, ...")]
    message: Annotated[str, Meta(description="What happened and what to do")]


class UnknownVersion(HTTPException):
    """The `Accept` header asks for an API version that there is not."""

    status_code = _NOT_ACCEPTABLE


_WORDS = {
    400: "Something in the request is wrong, or the state of things does not allow it; the message says what",
    401: "The bearer token is missing, unknown or expired",
    403: "The caller lacks a permission, or is no member of the organization in `x-current-org-id`",
    404: "Not found, or not yours",
    406: "The API version in `Accept` is not known here",
    409: "Somebody else changed the same thing at the same moment",
    413: "The body is larger than the server accepts",
    415: "The body has another content type than the one documented",
    429: "Too many requests; `Retry-After` says when to go on",
    500: "The server made a mistake",
}
PROBLEMS = {
    status: ResponseSpec(CampaignError, description=words, generate_examples=False) for status, words in _WORDS.items()
}
"""What every route of this door can answer instead of what was asked for."""


def on_refusal(request: Asked, error: Refusal) -> Response[Any]:
    """What the state of things does not allow is 400 here, as FAILED_PRECONDITION; a lost race is 409, as ABORTED."""
    made = errors.on_refusal(request, error)
    if made.status_code != _CLASH:
        return _reshaped(made)
    if error.code == "race":
        return _reshaped(made, grpc=_ABORTED)
    return _reshaped(made, status=_BAD, grpc=_PRECONDITION)


def on_version(_request: Asked, _error: UnknownVersion) -> Response[Any]:
    words = "Accept names an API version that is not known here. Leave api-version out, or send 1.0."
    return _reshaped(errors.answer(406, words, "unknown_version"))


def on_http(request: Asked, error: HTTPException) -> Response[Any]:
    return _reshaped(errors.on_http(request, error))


def on_stray(request: Asked, error: HTTPException) -> Response[Any]:
    """An address or a method that there is not at all, for the whole plane: below our addresses in our shape."""
    path = str(request.scope["path"]).rstrip("/")
    return (on_http if path.startswith(ADDRESSES) or path.endswith(_ALSO) else errors.on_http)(request, error)


def on_gone(request: Asked, error: Exception) -> Response[Any]:
    return _reshaped(errors.on_gone(request, error))


def on_crash(request: Asked, error: Exception) -> Response[Any]:
    return _reshaped(errors.on_crash(request, error))


def _reshaped(made: Response[ErrorResponse], *, status: int = 0, grpc: int = 0) -> Response[Any]:
    status = status or made.status_code or 500
    return problem(status, made.content.error.message, made.headers, grpc)


def problem(status: int, message: str, headers: Mapping[str, str], grpc: int = 0) -> Response[Any]:
    """An error in this door's shape. In the header the message is percent-encoded, as gRPC has it."""
    told = {**headers, "grpc-message": quote(message, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")}
    body = CampaignError(grpc or _GRPC.get(status, _UNKNOWN), message)
    return Response(body, status_code=status, media_type="application/json", headers=told)

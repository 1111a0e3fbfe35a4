"""The errors of this door: `{"message"}`, with `"error"` beside it where the contract has it; 401 is a plain word.

The codes are those of every door, in the header `X-Error-Code`.
"""

from typing import Annotated, Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from msgspec import UNSET, Meta, UnsetType

from airfreight.apis.common import errors
from airfreight.apis.common.asgi import Headers, Send, answer_json
from airfreight.apis.common.errors import ErrorResponse
from airfreight.domain.errors import Kind, Refusal

NO_SUCH_DEVICE = "No such device"
NO_SUCH_GROUP = "No such group"
_NOT_FOUND, _UNAUTHENTICATED, _CRASHED = 404, 401, 500

Asked = Request[Any, Any, Any]


class Problem(msgspec.Struct):
    """What happened; `error` says more where the contract has it."""

    message: Annotated[str, Meta(description="What happened and what to do")]
    error: str | UnsetType = UNSET


def on_refusal(request: Asked, error: Refusal) -> Response[Any]:
    """Whatever is not found here is a device, or what the route says (`opt["missing"]`)."""
    if error.kind is Kind.NOT_FOUND:
        missing = request.route_handler.opt.get("missing", NO_SUCH_DEVICE)
        return _respond(_NOT_FOUND, Problem(missing), {"X-Error-Code": error.code})
    return _reshaped(errors.on_refusal(request, error))


def on_http(request: Asked, error: HTTPException) -> Response[Any]:
    return _reshaped(errors.on_http(request, error))


def on_gone(request: Asked, error: Exception) -> Response[Any]:
    return _reshaped(errors.on_gone(request, error))


def on_crash(request: Asked, error: Exception) -> Response[Any]:
    """Where the contract names the failure (`opt["failure"]`), that is the message, and ours stands beside it."""
    made = errors.on_crash(request, error)
    failure = request.route_handler.opt.get("failure")
    if made.status_code != _CRASHED or not failure:
        return _reshaped(made)
    return _respond(_CRASHED, Problem(failure, made.content.error.message), made.headers)


def _reshaped(made: Response[ErrorResponse]) -> Response[Any]:
    if made.status_code == _UNAUTHENTICATED:
        return Response("Unauthorized", status_code=_UNAUTHENTICATED, media_type="text/plain", headers=made.headers)
    return _respond(made.status_code or _CRASHED, Problem(made.content.error.message), made.headers)


def _respond(status: int, problem: Problem, headers: Any) -> Response[Any]:  # noqa: ANN401 - a mapping of Litestar's
    return Response(problem, status_code=status, media_type="application/json", headers=headers)


async def answer_problem(send: Send, status: int, message: str, code: str, headers: Headers) -> None:
    """The same on the plain plane."""
    await answer_json(send, status, Problem(message), [(b"x-error-code", code.encode()), *headers])


async def answer_missing(send: Send, what: str) -> None:
    """One answer, whatever is wrong with an address of a device or a group (`what`)."""
    problem = Problem(f"No such {what}", f"There is no such {what}, or nothing for it now.")
    await answer_json(send, _NOT_FOUND, problem, [(b"x-error-code", b"not_found")])

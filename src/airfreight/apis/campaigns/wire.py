"""How this door is spoken: names in either case, a version in `Accept`, the organization in a header, pages."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter
from typing_extensions import override

from airfreight.apis.campaigns.errors import Asked, UnknownVersion
from airfreight.apis.campaigns.shapes import PageInfo
from airfreight.apis.common.body import Body
from airfreight.apis.common.desk import Desk
from airfreight.domain.errors import Kind, Refusal, forbidden, invalid
from airfreight.services.call import Call

_VERSION = re.compile(r";\s*api-version\s*=\s*\"?([^\s;,\"]*)", re.IGNORECASE)
_KNOWN_VERSION = re.compile(r"[01](\.[0-9]{1,4}){0,2}")
_SNAKE = re.compile(r"[a-z]+(?:_[a-z]+)+")
_AS_THEY_ARE = frozenset({"settings"})
"""Below this name are keys of the caller's own."""


class EitherCase(Body):
    """A body whose fields are named in camelCase or in snake_case."""

    @override
    def decode_bytes(self, value: bytes) -> Any:
        if value.strip() == b"null":
            raise invalid("The body must be an object; where it may say nothing, leave it out.")
        return super().decode_bytes(in_camel_case(value) if b"_" in value else value)


def in_camel_case(value: bytes) -> bytes:
    """A JSON text with its snake_case names in camelCase; what is no JSON stays as it is. Raises INVALID."""
    try:
        return msgspec.json.encode(_renamed(msgspec.json.decode(value)))
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        return value


def _renamed(value: Any) -> Any:  # noqa: ANN401 - whatever is in a JSON text
    if isinstance(value, list):
        return [_renamed(one) for one in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for name, inner in value.items():
        camel = _camel(name)
        if camel in made:
            raise invalid(f"{camel} is given twice, in two spellings.")
        made[camel] = inner if camel in _AS_THEY_ARE else _renamed(inner)
    return made


def _camel(name: str) -> str:
    if not _SNAKE.fullmatch(name):
        return name
    first, *others = name.split("_")
    return first + "".join(one.capitalize() for one in others)


def check_version(connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler) -> None:
    """A guard. Any 0.x and 1.x will do, and none; raises UnknownVersion for a major version that is not there."""
    for asked in _VERSION.findall(connection.headers.get("accept", "")):
        if not _KNOWN_VERSION.fullmatch(asked):
            raise UnknownVersion


@contextmanager
def reading(desk: Desk, request: Asked) -> Iterator[Call]:
    """A call that only looks, on the organization that `x-current-org-id` names. Raises Refusal."""
    with desk.read(request) as call:
        yield _acting(call, request)


@contextmanager
def writing(desk: Desk, request: Asked) -> Iterator[Call]:
    """The same in one transaction."""
    with desk.write(request) as call:
        yield _acting(call, request)


def _acting(call: Call, request: Asked) -> Call:
    """Without the header: the caller's own. One that is not there and one that is not theirs are the same 403."""
    named = request.headers.get("x-current-org-id", "")
    if not named:
        return call
    if not number_of(named):
        raise invalid("x-current-org-id must be the number of an organization.")
    try:
        return call.within(number_of(named))
    except Refusal as error:
        if error.kind is not Kind.NOT_FOUND:
            raise
        raise forbidden("You are not a member of the organization that x-current-org-id names.") from None


def number_of(text: str) -> int:
    """The number of an organization; 0, which none has, for a text that is no number in plain digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


class Sort(StrEnum):
    """By age."""

    ASC = "ASC"
    DESC = "DESC"


Number = Annotated[int, QueryParameter(name="page.number", ge=1, le=2**31 - 1, description="The page, from 1.")]
Size = Annotated[int, QueryParameter(name="page.size", ge=1, le=500, description="How many on a page.")]
Direction = Annotated[Sort, QueryParameter(name="page.sort", description="Oldest (ASC) or newest first.")]
DEFAULT_SIZE = 20


def page_info(number: int, size: int, total: int) -> PageInfo:
    return PageInfo(total_pages=str(-(-total // size)), total_elements=str(total), page=number, page_size=size)

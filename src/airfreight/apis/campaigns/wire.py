"""How this door is spoken: names in either case, a version in `Accept`, the organization in a header, pages."""

import re
from collections.abc import Callable, Iterator
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
VERSIONS = ("1.0", "0.7", "0.6", "0.5", "0.4", "0.3", "0.2", "0.1")
"""The current one, and those that clients are known to ask for; they are all the same."""

_NUMBER = re.compile("[1-9][0-9]{0,9}")
_HUMP = re.compile("(?<=[a-z])[A-Z]")
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


class EitherCaseInSnake(Body):
    """The same for the one call whose contract has its names in snake_case."""

    @override
    def decode_bytes(self, value: bytes) -> Any:
        return super().decode_bytes(_in_case(value, _snake))


def in_camel_case(value: bytes) -> bytes:
    """A JSON text with its snake_case names in camelCase; what is no JSON stays as it is. Raises INVALID."""
    return _in_case(value, _camel)


def _in_case(value: bytes, rename: Callable[[str], str]) -> bytes:
    try:
        return msgspec.json.encode(_renamed(msgspec.json.decode(value), rename))
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        return value


def _renamed(value: Any, rename: Callable[[str], str]) -> Any:  # noqa: ANN401 - whatever is in a JSON text
    if isinstance(value, list):
        return [_renamed(one, rename) for one in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Any] = {}
    for name, inner in value.items():
        new = rename(name)
        if new in made:
            raise invalid(f"{new} is given twice, in two spellings.")
        made[new] = inner if new in _AS_THEY_ARE else _renamed(inner, rename)
    return made


def _snake(name: str) -> str:
    return _HUMP.sub(lambda found: "_" + found[0].lower(), name) if name.isascii() and name.isalpha() else name


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
    return int(text) if _NUMBER.fullmatch(text) and len(text) < 10 else 0


class Sort(StrEnum):
    """By age."""

    ASC = "ASC"
    DESC = "DESC"


Number = Annotated[int, QueryParameter(name="page.number", ge=1, le=2**31 - 1, description="The page, from 1.")]
Size = Annotated[int, QueryParameter(name="page.size", ge=1, le=500, description="How many on a page.")]
Direction = Annotated[Sort, QueryParameter(name="page.sort", description="Oldest (ASC) or newest first.")]
DEFAULT_SIZE = 20
_LARGEST = {"page.number": 2**31 - 1, "page.size": 500}
_OLDER = {"page.number": ("page", "pageInfo.page"), "page.size": ("pageSize", "pageInfo.pageSize")}


def paged(request: Asked, number: int, size: int) -> tuple[int, int]:
    """Number and size of the page that is asked for; older clients have other names for them. Raises INVALID."""
    return _by_any_name(request, "page.number", number), _by_any_name(request, "page.size", size)


def _by_any_name(request: Asked, name: str, value: int) -> int:
    """`value`, which came by its name if at all; or what came by an older one."""
    query = request.query_params
    older = [(other, text) for other in _OLDER[name] for text in query.getall(other, [])]
    if not older:
        return value
    if len(older) > 1 or name in query:
        raise invalid(f"{name} is given more than once, or in two spellings.")
    [(other, text)] = older
    if not _NUMBER.fullmatch(text) or int(text) > _LARGEST[name]:
        raise invalid(f"{other} must be a whole number from 1 to {_LARGEST[name]}, in plain digits.")
    return int(text)


def page_info(number: int, size: int, total: int) -> PageInfo:
    return PageInfo(total_pages=str(-(-total // size)), total_elements=str(total), page=number, page_size=size)

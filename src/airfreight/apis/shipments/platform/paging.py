"""Paging of this door's lists: `?page=&size=` -> `{"content": [...], "totalElements": N}`; pages are counted from 0."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter

T = TypeVar("T")

DEFAULT_SIZE = 50

PageNumber = Annotated[
    int,
    QueryParameter(
        name="page", ge=0, le=2**31 - 1, description="Page number, from 0.", schema_extra={"format": "int32"}
    ),
]
PageSize = Annotated[
    int,
    QueryParameter(name="size", ge=1, le=1000, description="How many in a page.", schema_extra={"format": "int32"}),
]
"""Handlers take `page: PageNumber = 0, size: PageSize = DEFAULT_SIZE`; a query skips `page * size` rows."""


class Content(msgspec.Struct, Generic[T], rename="camel"):
    """A page, and how many there are on all pages."""

    content: list[T]
    total_elements: int


def content(rows: Sequence[Any], total: int, shape: Callable[[Any], T]) -> Content[T]:
    """The rows of one page, shaped."""
    return Content([shape(row) for row in rows], total)

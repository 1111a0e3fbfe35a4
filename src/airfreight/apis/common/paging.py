"""Keyset paging of the native API: `?limit=&after=` -> `{"items": [...], "next": id or null}`."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from litestar.params import Parameter

T = TypeVar("T")

Limit = Annotated[int, Parameter(ge=1, le=500, description="How many at most.")]
After = Annotated[int, Parameter(ge=0, le=2**31 - 1, description="Only those with an id above this one.")]
LongAfter = Annotated[int, Parameter(ge=0, le=2**53, description="Only those with an id above this one.")]
"""For ids of 64 bits: deliveries."""
RowId = Annotated[int, Parameter(ge=1, le=2**31 - 1)]
"""An id in a path or a query."""


class Page(msgspec.Struct, Generic[T]):
    """`next` goes into `after` of the next call; null when this is the last page."""

    items: list[T]
    next: int | None


def page(rows: Sequence[Any], limit: int, shape: Callable[[Any], T]) -> Page[T]:
    """A page of `rows`, fetched with a limit of `limit + 1` so that the end is known."""
    shown = rows[:limit]
    return Page([shape(row) for row in shown], shown[-1].id if len(rows) > limit else None)

"""All devices of a rollout as one CSV or JSON document, made and sent a page at a time.

Rule: no cell can become a formula of the spreadsheet that opens it.
"""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.response import Stream

from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.paging import RowId
from airfreight.apis.platform.products import OrgId
from airfreight.apis.platform.rollout_deliveries import Delivery, shape
from airfreight.domain.access import Permission
from airfreight.services import standings
from airfreight.services.standings import Standing, moment

Asked = Request[Any, Any, Any]
Pages = Iterable[list[Standing]]


class Format(StrEnum):
    CSV = "csv"
    JSON = "json"


_MEDIA_TYPES = {Format.CSV: "text/csv", Format.JSON: "application/json"}
_SCHEMA = {
    "type": "object",
    "properties": {
        "rolloutId": {"type": "integer"},
        "exportedAt": {"type": "integer"},
        "items": {"type": "array", "items": {"type": "object"}},
    },
    "required": ["rolloutId", "exportedAt", "items"],
}
_CONTENT = {"text/csv": {"schema": {"type": "string"}}, "application/json": {"schema": _SCHEMA}}

_NAMES = Delivery.__struct_encode_fields__
_TIMES = frozenset({"offered_at", "updated_at", "reported_at"})
_LIVE = re.compile(r"((?:^|[;\t\r\n])\s*)(?=[=+\-@\t\r])")
"""Where a cell begins that spreadsheets would run, also where they take `;` or a tab for its end; an apostrophe there
makes them show it as text."""

_encode = msgspec.json.Encoder().encode


def cell(name: str, value: object) -> str:
    """A value as a cell: times in ISO 8601 (UTC), text without power over a spreadsheet, nothing for null."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int():
            return moment(value) if name in _TIMES else str(value)
        case _:
            text = str(value)
            return _LIVE.sub(r"\1'", text)


def as_csv(_rollout_id: int, pages: Pages) -> Iterator[bytes]:
    """RFC 4180: one line of names, then a line for each device, quoted where it must be, ended by CR LF."""
    fields = Delivery.__struct_fields__
    yield _lines([list(_NAMES)])
    for page in pages:
        shown = [shape(standing) for standing in page]
        yield _lines([cell(name, getattr(one, name)) for name in fields] for one in shown)


def _lines(rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def as_json(rollout_id: int, pages: Pages) -> Iterator[bytes]:
    """One object; `items` are as in the list of deliveries, times in milliseconds."""
    yield b'{"rolloutId":%d,"exportedAt":%d,"items":[' % (rollout_id, clock())
    between = b"\n"
    for page in pages:
        yield between + b",\n".join(_encode(shape(standing)) for standing in page)
        between = b",\n"
    yield b"\n]}\n"


async def _in_threads(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Each piece is made in a thread. Litestar's own wrapper would take a ValueError for the end of the document."""
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


_WRITERS: dict[Format, Callable[[int, Pages], Iterator[bytes]]] = {Format.CSV: as_csv, Format.JSON: as_json}


@get(
    "/{rollout_id:int}/export",
    need=Permission.OTA_VIEW,
    tags=["Rollouts"],
    sync_to_thread=True,
    opt={"response_content": _CONTENT},
)
def export_rollout(
    request: Asked,
    desk: NamedDependency[Desk],
    rollout_id: RowId,
    format_: Annotated[Format, QueryParameter(name="format", description="What to write.")] = Format.CSV,
    org_id: OrgId = None,
) -> Stream:
    """Export all devices of a rollout with where they stand, as CSV or JSON. Needs `OTA_VIEW`.

    Sent in pages of a thousand: each page shows one moment, and between two of them devices go on. A document that is
    cut off ends without its last chunk.
    """
    with desk.read(request, org_id) as call:
        pages = standings.walk(call, desk.database, rollout_id)
    name = f"rollout-{rollout_id}.{format_}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    document = _in_threads(_WRITERS[format_](rollout_id, pages))
    return Stream(document, media_type=_MEDIA_TYPES[format_], headers=headers)

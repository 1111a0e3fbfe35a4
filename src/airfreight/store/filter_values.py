"""The fields of a few devices, for domain.filters.predicate: what store.filters compares, read instead.

Rule: no rows are read but those of these devices, and of the product, group and parent of each.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, select

from airfreight.domain.filters import ATTRIBUTES, FIELDS
from airfreight.store import alike
from airfreight.store.filters import ELSEWHERE, OWN, Now, is_online
from airfreight.store.tables import devices


def _everything() -> Select[Any]:
    elsewhere = {name: column for name, (column, _) in ELSEWHERE.items()}
    columns = {**OWN, **elsewhere, ATTRIBUTES: devices.c.attributes}
    rows: Any = devices
    for column, link in ELSEWHERE.values():
        rows = rows.outerjoin(column.table, link)
    labelled = (column.label(name) for name, column in columns.items())
    return select(devices.c.id, *labelled).select_from(rows)


_EVERYTHING = _everything()


def values_of(connection: Connection, device_ids: Sequence[int], now: Now) -> dict[int, Mapping[str, object]]:
    """Device id -> its FIELDS, for those of these devices that there are."""
    query = _EVERYTHING.add_columns(is_online(now).label("online"))
    found = connection.execute(query.where(alike.among(connection, devices.c.id, device_ids))).mappings()
    return {row["id"]: _fields(row) for row in found}


def _fields(row: Mapping[Any, Any]) -> Mapping[str, object]:
    return {**{name: row[name] for name in FIELDS}, ATTRIBUTES: msgspec.json.decode(row[ATTRIBUTES])}

"""What is known of a device: a few well-known attributes in columns, any others in one JSON object.

Rule: devices and operators write the same ones, the last word counts; everything is bounded before it is kept.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from airfreight.domain import windows
from airfreight.domain.errors import Refusal, invalid

Value = str | bool | int | float

WELL_KNOWN = {
    "version": "version",
    "build": "build",
    "board": "board",
    "fwType": "fw_type",
    "blynkVersion": "library_version",
    "component": "component",
    "timeZone": "time_zone",
}
"""Those that are text: the name on the wire, and the column."""


class How(StrEnum):
    """What a device's word of itself does to what is known: laid over it, in its place, or taken out of it."""

    MERGE = "merge"
    REPLACE = "replace"
    REMOVE = "remove"


AUTO_UPDATE = "autoUpdate"
"""Whether updates come by themselves, or wait until somebody asks for them; null: as the product says."""

COMPONENTS = frozenset({"MCU", "NCP"})

_MOST = 100
_LONGEST_KEY = 128
_LONGEST_KNOWN = 64
_LONGEST = 256
_LARGEST_NUMBER = 2**53
"""Beyond it JSON readers disagree about integers."""


@dataclass(frozen=True, slots=True)
class Merged:
    """`columns`: the well-known ones that were given, by column; `json`: all the others as they are now."""

    columns: dict[str, str | bool | None]
    json: str


def merge(stored_json: str, given: Mapping[str, object]) -> Merged:
    """`given` laid over what is stored; null removes. Pure.

    Raises INVALID for more than 100 other attributes, a key that is not 1 to 128 printable characters, a value that is
    not text of up to 256 characters (well-known: 64, printable), true or false, a number or null, an unknown time zone
    or component, an autoUpdate that is neither true, false nor null.
    """
    columns: dict[str, str | bool | None] = {}
    others: dict[str, Value] = msgspec.json.decode(stored_json, type=dict[str, Value])
    for key, value in given.items():
        if key in WELL_KNOWN:
            columns[WELL_KNOWN[key]] = _known(key, value)
        elif key == AUTO_UPDATE:
            columns["auto_update"] = _switch(value)
        elif not 1 <= len(key) <= _LONGEST_KEY or not key.isprintable():
            raise _bad(f"An attribute's name has 1 to {_LONGEST_KEY} printable characters.")
        elif value is None:
            others.pop(key, None)
        else:
            others[key] = _other(value)
    if len(others) > _MOST:
        words = f"A device has at most {_MOST} attributes beside {', '.join(WELL_KNOWN)} and {AUTO_UPDATE}."
        raise invalid(words, "too_many_attributes")
    return Merged(columns, msgspec.json.encode(others, order="sorted").decode())


def merge_what_is_good(stored_json: str, given: Mapping[str, object]) -> tuple[Merged, list[str]]:
    """`merge` for who cannot be told what is wrong: each attribute by itself; the names of those that were left out."""
    good = {name: value for name, value in given.items() if _is_good(name, value)}
    room = _MOST - len(msgspec.json.decode(stored_json, type=dict[str, Value]))
    for name in [name for name in good if not _is_known(name)][max(0, room) :]:
        del good[name]
    return merge(stored_json, good), [name for name in given if name not in good]


def without_bad_known(given: Mapping[str, object]) -> dict[str, object]:
    """For who means something else by these names: without those well-known ones that have no value of theirs. Pure."""
    return {name: value for name, value in given.items() if not _is_known(name) or _is_good(name, value)}


def _is_good(name: str, value: object) -> bool:
    """Whether it could be kept, beside none."""
    try:
        merge("{}", {name: value})
    except Refusal:
        return False
    return True


def _is_known(name: str) -> bool:
    return name in WELL_KNOWN or name == AUTO_UPDATE


def as_merge(stored_json: str, given: Mapping[str, object], how: How) -> Mapping[str, object]:
    """What has to be laid over what is stored to come to the same; the switch for updates is not the device's."""
    if how is How.REMOVE:
        return dict.fromkeys(given)
    if how is How.REPLACE:
        stored: dict[str, Value] = msgspec.json.decode(stored_json, type=dict[str, Value])
        return {**dict.fromkeys([*stored, *WELL_KNOWN]), **given}
    return given


def shown(row: Any) -> dict[str, Value]:  # noqa: ANN401 - a row of devices
    """All attributes of a device; the well-known ones only when they have a value."""
    others: dict[str, Value] = msgspec.json.decode(row.attributes, type=dict[str, Value])
    known = {name: getattr(row, column) for name, column in WELL_KNOWN.items()}
    switch = {} if row.auto_update is None else {AUTO_UPDATE: bool(row.auto_update)}
    return others | {name: value for name, value in known.items() if value} | switch


def _known(key: str, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > _LONGEST_KNOWN or not value.isprintable():
        raise _bad(f"{key} must be text of at most {_LONGEST_KNOWN} printable characters, or null.")
    if key == "timeZone" and value and not windows.is_zone(value):
        raise invalid("timeZone must be an IANA time zone such as Europe/Berlin.", "unknown_time_zone")
    if key == "component" and value and value not in COMPONENTS:
        raise _bad(f"component must be {' or '.join(sorted(COMPONENTS))}, or null.")
    return value


def _switch(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise _bad(f"{AUTO_UPDATE} must be true, false or null.")


def _other(value: object) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= _LONGEST and _is_text(value):
        return value
    if isinstance(value, int) and abs(value) <= _LARGEST_NUMBER:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise _bad(
        f"An attribute is text of at most {_LONGEST} characters, true, false, null or a number within 2^53 of zero."
    )


def _is_text(value: str) -> bool:
    """Whether it can be written as UTF-8: half a surrogate pair cannot."""
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _bad(words: str) -> Refusal:
    return invalid(words, "bad_attributes")

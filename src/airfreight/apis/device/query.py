"""The query strings of `/device/v1`: `wait`, and `thing`, the device behind this one that it speaks for."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import parse_qs

from airfreight.domain.errors import invalid

LONGEST_WAIT = 60
_WAIT = re.compile(r"0|[1-9][0-9]?", re.ASCII)
_UID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Query:
    """`wait` in seconds; `thing` a uid, or "" for the device itself."""

    wait: int = 0
    thing: str = ""


_NOTHING = Query()


def query_of(text: bytes, takes: Collection[str]) -> Query:
    """Raises Refusal(INVALID) for a value that is none, and for whatever `takes` does not name."""
    if not text:
        return _NOTHING
    values = _values(text)
    if values.keys() - set(takes):
        raise invalid(f"This address takes {' and '.join(takes)}, and no other parameter.")
    wait = values.get("wait", "0")
    if not _WAIT.fullmatch(wait) or int(wait) > LONGEST_WAIT:
        raise invalid(f"wait must be a whole number of seconds from 0 to {LONGEST_WAIT}.")
    return Query(int(wait), _thing(values))


def thing_of(text: bytes) -> str:
    """The `thing` of an address that does not mind other parameters. Raises Refusal(INVALID) for one that is none."""
    return _thing(_values(text)) if b"thing" in text or b"%" in text else ""


def _values(text: bytes) -> dict[str, str]:
    """Each parameter once."""
    found = parse_qs(str(text, "latin-1"), keep_blank_values=True)
    if any(len(given) > 1 for given in found.values()):
        raise invalid("Give each parameter once.")
    return {name: given[0] for name, given in found.items()}


def _thing(values: dict[str, str]) -> str:
    if "thing" in values and not _UID.fullmatch(values["thing"]):
        raise invalid("thing must be a uid: 1 to 64 of A-Z a-z 0-9 . _ : -", "bad_uid")
    return values.get("thing", "")

"""The `blnkinf` tag: key and value pairs that a build leaves in its image so that a server can read them.

Bytes: `blnkinf` NUL, then key NUL value NUL repeated, then NUL. The older text form is `blnkinf={...}` with JSON5,
of which one flat object is read.
The rule: accept at least what the vendor's own finder accepts, and go on searching after a find that does not parse.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from airfreight.formats.facts import Component
from airfreight.formats.text import printable

_MARKER = b"blnkinf"
_LIMIT = 1024
_MAX_FAILED = 1024
_KNOWN = frozenset({"mcu", "ncp", "fw", "ver", "fw-type", "build", "blynk", "dev", "tmpl"})

_PAIR = re.compile(
    r"""\s*(?:"([^"\\]*)"|'([^'\\]*)'|([A-Za-z_$][\w$-]*))\s*:"""
    r"""\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([-+.\w]+))\s*(,\s*\}|,|\})""",
    re.ASCII | re.DOTALL,
)
"""A pair of JSON5 with what ends it: its name as one of three groups, its value as one of three."""


@dataclass(frozen=True, slots=True)
class Tag:
    """What a tag tells; "" is "not told"."""

    version: str
    component: Component
    fw_type: str
    build: str
    board: str
    blynk_version: str


class TagSearch:
    """Looks for a tag in bytes that come in pieces of any size; holds about 1 KiB between two of them.

    `tag` is the first tag that parses. `gave_up` tells that so many false marks came that the search ended early:
    without that a file full of marks would cost a thousand times its size.
    """

    def __init__(self) -> None:
        self.tag: Tag | None = None
        self.gave_up = False
        self._kept = b""
        self._failed = 0

    @property
    def over(self) -> bool:
        return self.tag is not None or self.gave_up

    def feed(self, data: bytes) -> None:
        if not self.over:
            self._kept = self._scan(self._kept + data, last=False)

    def finish(self) -> Tag | None:
        """Look at what was held back for bytes that did not come, and give the tag."""
        if not self.over:
            self._kept = self._scan(self._kept, last=True)
        return self.tag

    def _scan(self, data: bytes, *, last: bool) -> bytes:
        at = data.find(_MARKER)
        while at >= 0:
            if not last and len(data) - at < _LIMIT:
                return data[at:]
            self.tag = _parse(data[at + len(_MARKER) : at + _LIMIT])
            self._failed += self.tag is None
            self.gave_up = self._failed >= _MAX_FAILED
            if self.over:
                return b""
            at = data.find(_MARKER, at + len(_MARKER))
        return data[-len(_MARKER) + 1 :]


def find_tag(data: Iterable[bytes]) -> TagSearch:
    """Search a walk over a file; it is not walked further than the tag."""
    search = TagSearch()
    for piece in data:
        search.feed(piece)
        if search.over:
            break
    search.finish()
    return search


def _parse(body: bytes) -> Tag | None:
    """Read what follows the marker."""
    pairs: dict[str, str] | None = None
    if body[:1] == b"\0":
        pairs = _binary_pairs(body[1:])
    elif body[:1] == b"=":
        pairs = _json_pairs(body[1:])
    return _tag(pairs) if pairs and not _KNOWN.isdisjoint(pairs) else None


def _binary_pairs(body: bytes) -> dict[str, str] | None:
    """Read pairs up to the empty key.

    The vendor's finder ends at the first empty value instead. So where what follows an empty value is not a tag
    any more, the pairs before it count.
    """
    fields = body.split(b"\0")[:-1]
    pairs: dict[str, str] = {}
    before_empty: dict[str, str] | None = None
    for at in range(0, len(fields), 2):
        if not fields[at]:
            return pairs
        key = printable(fields[at])
        value = printable(fields[at + 1]) if at + 1 < len(fields) else None
        if key is None or value is None:
            return before_empty
        if not value and before_empty is None:
            before_empty = pairs.copy()
        pairs[key] = value
    return before_empty


def _json_pairs(body: bytes) -> dict[str, str] | None:
    text = body.decode("utf-8", "replace").lstrip()
    try:
        value, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        value = _json5_pairs(text)
    if not isinstance(value, dict):
        return None
    pairs = {key: printable(str(told).encode()) for key, told in value.items() if type(told) in (str, int, float)}
    return {key: told for key, told in pairs.items() if told is not None and "\ufffd" not in told}


def _json5_pairs(text: str) -> dict[str, str | None] | None:
    """One flat object with names without quotes, single quotes, a comma too many; None for anything else."""
    if not text.startswith("{"):
        return None
    at, found = 1, dict[str, str | None]()
    while pair := _PAIR.match(text, at):
        *names, double, single, bare, end = pair.groups()
        quoted = double if double is not None else single
        word = None if bare == "null" else bare
        found[next(name for name in names if name is not None)] = word if quoted is None else _unescaped(quoted)
        if end.endswith("}"):
            return found
        at = pair.end()
    return None


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _tag(pairs: dict[str, str]) -> Tag:
    version_key = next((key for key in ("mcu", "ncp", "fw", "ver") if key in pairs), "")
    return Tag(
        version=pairs.get(version_key, ""),
        component=Component.NCP if version_key == "ncp" else Component.MCU,
        fw_type=pairs.get("fw-type", ""),
        build=pairs.get("build", ""),
        board=pairs.get("dev", ""),
        blynk_version=pairs.get("blynk", ""),
    )

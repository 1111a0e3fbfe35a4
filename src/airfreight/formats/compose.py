"""Docker-compose files, and their version convention: a top-level `x-...` map that has `version`.

This is no YAML parser. It reads lines of a small file and knows that one convention, in block and in flow form;
whatever else stands there is passed over.
"""

import re
from collections.abc import Iterable, Iterator

from airfreight.formats.facts import Facts, Format
from airfreight.formats.reading import Reading
from airfreight.formats.source import Source

_MAX_SIZE = 256 << 10
_MAX_LINE = 4096
_MAX_VERSION = 64
_ENTRY = re.compile(r"""(["']?)(?P<key>[A-Za-z0-9_.-]+)\1 *:(?: +(?P<value>.*))?""")
_ANCHORS = re.compile(r"(?:[&!][^ ]*(?: +|$))*")
_QUOTED = re.compile(r"""(["'])(?P<text>[^"'\\]*)\1 *(?:#.*)?""")
_VERSION_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+~/-]*")
_NO_VERSION = frozenset({"null", "true", "false"})
_SERVICES = "services"


def read(source: Source, filename: str) -> Reading | None:
    """Recognise a compose file: text with top-level `services`, or the convention in a file named as YAML."""
    text = _text(source)
    if text is None:
        return None
    top = list(_top_level(_lines(text)))
    version = next((found for key, block in top if key.startswith("x-") and (found := _version(block))), "")
    named_yaml = filename.lower().endswith((".yml", ".yaml"))
    if not any(key == _SERVICES for key, _ in top) and not (version and named_yaml):
        return None
    return Reading(Facts(format=Format.COMPOSE, version=version))


def _text(source: Source) -> str | None:
    if not 0 < source.size <= _MAX_SIZE:
        return None
    try:
        text = source.read_at(0, _MAX_SIZE).decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return text if text.translate({ord(white): " " for white in "\t\n\r"}).isprintable() else None


def _lines(text: str) -> Iterator[str]:
    """Give the lines of the first document, without blank ones and those that are a comment."""
    begun = False
    for line in text.splitlines():
        if line.startswith(("---", "...")):
            if begun:
                return
        elif line.strip() and not line.lstrip().startswith("#"):
            begun = True
            yield line[:_MAX_LINE].rstrip()


def _top_level(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Give each top-level key with its value: what follows the colon, then the indented lines below it."""
    key, block = "", list[str]()
    for line in lines:
        if line.startswith(" "):
            block.append(line)
            continue
        if key:
            yield key, block
        found = _ENTRY.fullmatch(line)
        key, block = (found["key"], [found["value"] or ""]) if found else ("", [])
    if key:
        yield key, block


def _version(block: list[str]) -> str:
    """Read `version` of a map that is written as a block, or in one line of flow; "" when there is none."""
    head = _ANCHORS.sub("", block[0], count=1)
    if head.startswith("{"):
        return _version_in(_flow_entries(head[1:]))
    return _version_in(_children(block[1:])) if not head or head.startswith("#") else ""


def _version_in(entries: Iterable[str]) -> str:
    values = (found["value"] for entry in entries if (found := _ENTRY.fullmatch(entry)) and found["key"] == "version")
    return _scalar(next(values, None) or "")


def _children(lines: list[str]) -> Iterator[str]:
    """Give the entries of a block map: the lines that are indented like the first one, not the deeper ones."""
    indent = len(lines[0]) - len(lines[0].lstrip(" ")) if lines else 0
    for line in lines:
        if len(line) - len(line.lstrip(" ")) == indent:
            yield line[indent:]


def _flow_entries(text: str) -> list[str]:
    """Split the inside of `{...}` at its own commas; empty when the closing brace is missing."""
    entries, begin, depth, quote, before = list[str](), 0, 0, "", ","
    for at, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'" and before in ",:{[":
            quote = char
        elif char in "{[":
            depth += 1
        elif char in ",}" and depth == 0:
            entries.append(text[begin:at].strip())
            begin = at + 1
            if char == "}":
                return entries
        elif char in "}]":
            depth -= 1
        before = before if char == " " else char
    return []


def _scalar(value: str) -> str:
    """Read a plain or quoted version; "" for anything that is not plainly one, such as `${VERSION}`."""
    quoted = _QUOTED.fullmatch(value)
    text = quoted["text"] if quoted else value.split(" #", 1)[0].strip()
    if len(text) > _MAX_VERSION or text in _NO_VERSION or not _VERSION_TEXT.fullmatch(text):
        return ""
    return text

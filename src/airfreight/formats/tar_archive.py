"""Plain tar archives. Members stand in the file as they are, so the search of the whole file sees their tags."""

from airfreight.formats.facts import Facts, Format
from airfreight.formats.reading import Reading
from airfreight.formats.source import Source

_BLOCK = 512
_MAGIC = slice(257, 262)
_CHECKSUM = slice(148, 156)


def read(source: Source, _filename: str) -> Reading | None:
    """Recognise a tar by its magic and by the checksum of its first head."""
    head = source.read_at(0, _BLOCK)
    if len(head) < _BLOCK or head[_MAGIC] != b"ustar":
        return None
    stored = head[_CHECKSUM].rstrip(b" \0").lstrip(b" ")
    computed = sum(head) - sum(head[_CHECKSUM]) + 8 * ord(" ")
    if stored.lstrip(b"0") != b"%o" % computed:
        return None
    return Reading(Facts(format=Format.TAR))

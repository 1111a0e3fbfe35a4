"""Tells what a file is: the readers in their order, then the search for a tag, then one set of facts."""

import msgspec

from airfreight.formats import compose, esp, iotcp, packed, tar_archive, zip_archive
from airfreight.formats.blynk import Tag, find_tag
from airfreight.formats.facts import Facts
from airfreight.formats.reading import Reader, Reading
from airfreight.formats.source import PIECE, Refusal, Source, pieces

READERS: tuple[tuple[str, Reader], ...] = (
    ("an IoTCP package", iotcp.read),
    ("a ZIP archive", zip_archive.read),
    ("an ESP image", esp.read),
    ("a packed file", packed.read),
    ("a tar archive", tar_archive.read),
    ("a compose file", compose.read),
)
"""In the order of identification: sure signs first. The first reader that knows the file decides."""


def identify(source: Source, *, filename: str = "") -> Facts:
    """Tell what a file is. Any bytes give facts: `GENERIC` with a warning where a file is not what it begins like.

    Reads in pieces and holds a few MiB at most, whatever the size. `filename` only helps to know YAML.
    Raises nothing but the OSError of a source that cannot be read.
    """
    if source.size == 0:
        return Facts(warnings=("the file is empty",))
    reading = _read(source, filename)
    if reading.is_final:
        return reading.facts
    tag, gave_up = _find_tag(source, reading)
    facts = _with_tag(reading.facts, tag) if tag else reading.facts
    if gave_up and not tag:
        warnings = (*facts.warnings, "too many false tag marks: the search for a tag was given up")
        facts = msgspec.structs.replace(facts, warnings=warnings)
    return facts


def _read(source: Source, filename: str) -> Reading:
    for name, reader in READERS:
        try:
            reading = reader(source, filename)
        except Refusal as refusal:
            return Reading(Facts(warnings=(f"begins like {name}, but {refusal}",)))
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - the border: no reader's mistake may stop an upload
            return Reading(Facts(warnings=(f"the reader of {name} failed: {type(error).__name__}",)))
        if reading is not None:
            return reading
    return Reading(Facts())


_LARGEST_SEARCHED = 64 * 1024 * 1024


def _find_tag(source: Source, reading: Reading) -> tuple[Tag | None, bool]:
    """Search the app inside first, then the whole file, then take what was found in packed content.

    Of a file larger than any microcontroller's flash only the end is searched, where repackaging tools put a tag:
    searching it all would cost as much as hashing it.
    """
    gave_up = False
    start = 0 if source.size <= _LARGEST_SEARCHED else source.size - PIECE
    for stretch, begin in ((reading.first, 0), (source, start)):
        if stretch is not None:
            search = find_tag(pieces(stretch, begin))
            if search.tag is not None:
                return search.tag, False
            gave_up = gave_up or search.gave_up
    return reading.inner, gave_up


def _with_tag(facts: Facts, tag: Tag) -> Facts:
    """Let the tag speak for the file: it is what the running program reports later."""
    return msgspec.structs.replace(
        facts,
        version=tag.version,
        build=tag.build or facts.build,
        fw_type=tag.fw_type,
        board=tag.board or facts.board,
        blynk_version=tag.blynk_version,
        component=tag.component,
        tagged=True,
    )

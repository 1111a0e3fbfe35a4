"""What a reader hands back: the facts, and what it knows about where the tag is. The table of readers is `identify`."""

from collections.abc import Callable
from dataclasses import dataclass

from airfreight.formats.blynk import Tag
from airfreight.formats.facts import Facts
from airfreight.formats.source import Source


@dataclass(frozen=True, slots=True)
class Reading:
    """`first` is the stretch to search for a tag before the whole file; `inner` is a tag found in packed content.

    `is_final`: the file has said itself which version it is; a tag inside, of a file it carries, is not looked for.
    """

    facts: Facts
    first: Source | None = None
    inner: Tag | None = None
    is_final: bool = False


Reader = Callable[[Source, str], Reading | None]
"""Takes a file and its name; gives None when the file is of another format, raises Refusal when it is a broken one."""

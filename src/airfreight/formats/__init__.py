"""File formats: bytes in, facts out. Pure readers that trust no length field and never raise on any bytes."""

from airfreight.formats.facts import Component, Facts, Format
from airfreight.formats.identify import identify
from airfreight.formats.source import BytesSource, FileSource, Source

__all__ = ["BytesSource", "Component", "Facts", "FileSource", "Format", "Source", "identify"]

"""Where the bytes come from. A reader asks for pieces, checks what it got, and never holds the whole file."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

PIECE = 1 << 20
"""How much of a file, in bytes, is held at once."""


class Refusal(Exception):  # noqa: N818 - it is an answer of a reader, not a fault of the program
    """A file is not what its first bytes promise; the message says what is wrong with it."""


class Source(Protocol):
    """Random access to a file of a known size in bytes."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes:
        """Give `length` bytes from `offset` on; fewer, or none, only where the file ends."""
        ...


@dataclass(frozen=True, slots=True)
class BytesSource:
    """A file that is in memory already."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


class FileSource:
    """A file on disk, read by position; close it, or use it in a `with` statement. Raises OSError."""

    __slots__ = ("_descriptor", "_size")

    def __init__(self, path: str | Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._size = os.fstat(self._descriptor).st_size

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of another source, clipped to that source's end."""

    whole: Source
    start: int
    length: int

    @property
    def size(self) -> int:
        return max(0, min(self.length, self.whole.size - self.start))

    def read_at(self, offset: int, length: int) -> bytes:
        room = max(0, self.size - offset)
        return self.whole.read_at(self.start + offset, min(length, room))


def read_exactly(source: Source, offset: int, length: int, what: str) -> bytes:
    """Read `length` bytes, or raise Refusal because the file ends inside `what`."""
    data = source.read_at(offset, length)
    if len(data) < length:
        raise Refusal(f"the file ends inside {what}")
    return data


def pieces(source: Source, start: int = 0, end: int | None = None, piece: int = PIECE) -> Iterator[bytes]:
    """Walk over the bytes from `start` to `end` (the end of the file when None), `piece` at a time."""
    stop = source.size if end is None else min(end, source.size)
    while start < stop:
        data = source.read_at(start, min(piece, stop - start))
        if not data:
            return
        yield data
        start += len(data)

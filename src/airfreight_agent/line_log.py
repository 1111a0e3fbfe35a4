"""What a command prints, as lines in a file: short ones, not too many of them, and always the last.

Rule: whatever is printed, and whatever the disk does, taking it never fails and never needs much room.
"""

import contextlib
import os
import re
from pathlib import Path
from typing import Self

from airfreight_agent.protocol import MAX_LINE_CHARACTERS

MAX_LINES = 2000
CUT = "(more was printed, which is left out here)"
_MOST_BYTES = 4 * MAX_LINE_CHARACTERS


class LineLog:
    """Adds to the file at `path`. Lines end with LF or CR; empty ones are left out. A context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line = bytearray()
        self._last = ""
        self._count = 0
        self._is_cut = False

    def __enter__(self) -> Self:
        old = self._path.read_bytes() if self._path.exists() else b""
        self._count = len(old.splitlines())
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if old and not old.endswith(b"\n"):  # torn by a power loss
            self._write("")
        return self

    def __exit__(self, *_: object) -> None:
        self.feed(b"\n")
        if self._is_cut:
            self._write(self._last)
        with contextlib.suppress(OSError):
            os.fsync(self._descriptor)
        os.close(self._descriptor)

    def feed(self, piece: bytes) -> None:
        """Take what was printed, in pieces of any size."""
        *ended, rest = re.split(rb"[\r\n]", piece)
        for part in ended:
            self._more(part)
            self._end_line()
        self._more(rest)

    def _more(self, part: bytes) -> None:
        self._line += part[: _MOST_BYTES - len(self._line)]

    def _end_line(self) -> None:
        text = self._line.decode(errors="replace")
        self._line.clear()
        line = "".join(c if c.isprintable() else " " for c in text)[:MAX_LINE_CHARACTERS].rstrip()
        if not line:
            return
        self._last = line
        if self._count < MAX_LINES:
            self._write(line)
            self._count += 1
        elif not self._is_cut:
            self._write(CUT)
            self._is_cut = True

    def _write(self, line: str) -> None:
        with contextlib.suppress(OSError):  # a full disk: the command goes on
            os.write(self._descriptor, line.encode() + b"\n")


def lines_of(path: Path, start: int = 0) -> list[str]:
    """The complete lines of such a file from the one with this number on; none if there is no file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return text.split("\n")[:-1][start:]

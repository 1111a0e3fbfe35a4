"""Writes a large answer to a file or to stdout, piece by piece.

A file appears under its name when it is complete, and takes no other's place unless that is asked for.
"""

import os
import secrets
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from airfreight.cli.errors import usage


def check(target: Path, *, force: bool) -> None:
    """Raise CliError for a place where no file can be written, before anything is fetched."""
    if target.is_dir():
        raise usage(f"{target} is a folder", "Name a file in it.")
    if os.path.lexists(target) and not force:
        raise _exists(target)
    if not target.parent.is_dir():
        raise usage(f"There is no folder {target.parent}", "Make it first, or name another one.")


def to_file(pieces: Iterable[bytes], target: Path, *, force: bool) -> int:
    """Write the pieces and return how many bytes they were. Raises CliError; then there is no new file."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as sink:
            length = sum(sink.write(piece) for piece in pieces)
            sink.flush()
            os.fsync(sink.fileno())
        if force:
            temporary.replace(target)
        else:
            _claim(temporary, target)
    except OSError as error:
        raise usage(f"{target} cannot be written: {error.strerror}", "Check the place and the room in it.") from None
    finally:
        with suppress(OSError):
            temporary.unlink()
    return length


def to_stdout(pieces: Iterable[bytes]) -> None:
    """Write the pieces as they come."""
    for piece in pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _claim(temporary: Path, target: Path) -> None:
    """Give the file its name, unless something has got it meanwhile."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:
        # A file system without links: look, then rename.
        if os.path.lexists(target):
            raise _exists(target) from None
        temporary.replace(target)


def _exists(target: Path) -> Exception:
    return usage(f"{target} exists", "Name another file, or replace it with --force.")

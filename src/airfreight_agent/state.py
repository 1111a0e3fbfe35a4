"""The state of a device on disk: one small JSON file, replaced as a whole; a power loss leaves the old or the new one.

A file that cannot be understood counts as no file: a device that forgot is repaired by its next poll, one that
crashes at each boot is not.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from pathlib import Path

from airfreight_agent.machine import Memory, Ran, Step
from airfreight_agent.protocol import (
    Count,
    Event,
    ProtocolError,
    Reason,
    Report,
    integer,
    optional_text,
    parse_artifact,
    parse_object,
    report_fields,
    text,
)

FORMAT = 1
RESERVE_BYTES = 256 << 10
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_log = logging.getLogger(__name__)


class StateFile:
    """Loads and saves one `Memory` at `path`.

    With a `reserve`, a file that only takes up room, it can also be saved when others have filled the disk: then the
    reserve is given up, until there is room for it again.
    """

    def __init__(self, path: Path, reserve: Path | None = None) -> None:
        self.path = path
        self._reserve = reserve

    def load(self) -> Memory:
        """The stored memory, or a fresh one when there is none that can be understood."""
        try:
            return decode(self.path.read_bytes())
        except FileNotFoundError:
            pass
        except (OSError, ProtocolError) as error:
            _log.warning("the state file is unusable (%s): starting clean", error)
        # An attempt may be open at the server with numbers that this device has forgotten: begin far away from them.
        return Memory(next_seq=random.SystemRandom().randrange(1 << 20, 1 << 30))

    def save(self, memory: Memory) -> None:
        """Raises OSError when the disk does; the file then still holds what it held before."""
        content = encode(memory)
        try:
            write_durably(self.path, content)
        except OSError as error:
            if error.errno not in _FULL or self._reserve is None or not self._reserve.exists():
                raise
            _log.warning("the disk is full: the reserve is used")
            self._reserve.unlink()
            write_durably(self.path, content)

    def keep_reserve(self) -> None:
        """Take up the room, if the disk has it twice."""
        if self._reserve is None or self._reserve.exists():
            return
        if shutil.disk_usage(self._reserve.parent).free > 2 * RESERVE_BYTES:
            with contextlib.suppress(OSError):
                write_durably(self._reserve, os.urandom(RESERVE_BYTES))  # no file system packs that


def write_durably(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace `path` so that after a power loss it holds either its old content or all of `content`."""
    temporary = path.with_name(path.name + ".tmp")
    with contextlib.suppress(FileNotFoundError):
        temporary.unlink()
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """A rename is durable only when its directory is."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def encode(memory: Memory) -> bytes:
    document = {
        **{field.name: getattr(memory, field.name) for field in fields(memory)},
        "format": FORMAT,
        "artifacts": [asdict(artifact) for artifact in memory.artifacts],
        "outbox": [report_fields(report) for report in memory.outbox],
        "ran": [asdict(ran) for ran in memory.ran],
    }
    return json.dumps({**document, "sum": _sum(document)}, indent=1).encode()


def _sum(document: Mapping[str, object]) -> str:
    """A digit that has changed on the disk still makes sense, and may tell of another end."""
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def decode(content: bytes) -> Memory:
    """Raises ProtocolError for what `encode` does not write, and did not before there were packages, or sums."""
    document = parse_object(content)
    if "sum" in document and document.pop("sum") != _sum(document):
        raise ProtocolError("its sum is another")
    integer(document, "format", FORMAT, FORMAT)
    try:
        memory = Memory(
            attempt=integer(document, "attempt", 0, 1 << 62),
            step=Step(text(document, "step")),
            artifacts=tuple(parse_artifact(item) for item in _items(document, "artifacts")),
            done=integer(document, "done", 0, 1 << 16),
            tries=integer(document, "tries", 0, 1 << 16),
            etag=text(document, "etag"),
            next_seq=integer(document, "next_seq", 1, 1 << 62),
            outbox=tuple(_decode_report(item) for item in _items(document, "outbox")),
            version=optional_text(document, "version"),
            version_before=optional_text(document, "version_before"),
            activation_boot=text(document, "activation_boot"),
            outcome=Event(text(document, "outcome")) if document.get("outcome") is not None else None,
            packages=_places(document),
            ran=tuple(_decode_ran(item) for item in _items(document, "ran")) if "ran" in document else (),
            telling=optional_text(document, "telling") or "",
            told=integer(document, "told", 0, 1 << 31) if "told" in document else 0,
            by_plug_in=document.get("by_plug_in") is True,
        )
    except ValueError:
        raise ProtocolError("an unknown word") from None
    most = len(memory.artifacts) - (memory.step is not Step.ACTIVATING)
    if memory.is_open and memory.step is not Step.OFFERED and memory.done > most:
        raise ProtocolError("no artifact in hand")
    return memory


def _places(document: dict[str, object]) -> tuple[int, ...]:
    places = document.get("packages", [])
    if not isinstance(places, list):
        raise ProtocolError("packages is not a list")
    return tuple(integer({"place": place}, "place", 0, 1 << 16) for place in places)


def _decode_ran(item: dict[str, object]) -> Ran:
    return Ran(text(item, "name"), None if item.get("code") is None else integer(item, "code", -256, 1 << 16))


def _decode_report(item: dict[str, object]) -> Report:
    return Report(
        attempt=integer(item, "attempt", 1, 1 << 62),
        seq=integer(item, "seq", 1, 1 << 62),
        event=Event(text(item, "event")),
        progress=integer(item, "progress", 0, 100) if "progress" in item else None,
        reason=Reason(text(item, "reason")) if "reason" in item else None,
        message=text(item, "message") if "message" in item else None,
        artifacts=tuple(_decode_count(count) for count in _items(item, "artifacts")) if "artifacts" in item else (),
        lines=_lines(item),
    )


def _decode_count(item: dict[str, object]) -> Count:
    return Count(integer(item, "id", 0, 1 << 31), integer(item, "done", 0, 1 << 62), integer(item, "total", 0, 1 << 62))


def _lines(item: dict[str, object]) -> tuple[str, ...]:
    lines = item.get("lines", [])
    if not isinstance(lines, list):
        raise ProtocolError("lines is not a list")
    return tuple(text({"line": line}, "line") for line in lines)


def _items(document: dict[str, object], name: str) -> Iterator[dict[str, object]]:
    items = document.get(name)
    if not isinstance(items, list):
        raise ProtocolError(f"{name} is not a list")
    for item in items:
        if not isinstance(item, dict):
            raise ProtocolError(f"{name} holds something else")
        yield item

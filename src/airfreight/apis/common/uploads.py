"""Receiving files: straight from the socket into a blob writer, limits counted on the bytes that really came.

A refused or broken upload leaves nothing behind.
"""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from litestar import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from airfreight.apis.common.asgi import Receive, chunks
from airfreight.apis.common.desk import Desk
from airfreight.domain.errors import Kind, Refusal, invalid
from airfreight.formats.facts import Facts
from airfreight.ports import Blob, BlobWriter
from airfreight.services import artifacts

OVERHEAD = 64 * 1024
_LOOK_EVERY = 16 * 1024**2
"""How often the room on the disk is looked at while a body comes: it may not be announced, or not alone."""
_MOST_PARTS = 8
_LONGEST_HEAD = 8 * 1024
_LONGEST_FIELD = 512
"""Bytes: 128 characters of any kind."""

Asked = Request[Any, Any, Any]


def check(request: Asked, desk: Desk, limit: int, overhead: int = 0) -> None:
    """Before the body is read: may the caller upload, is it announced too large, is there room? Raises Refusal.

    `overhead`: how much longer than the file its body may be.
    """
    with desk.read(request) as call:
        artifacts.may_upload(call)
    length = request.headers.get("content-length", "")
    announced = int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None
    if announced is not None and announced > limit + overhead:
        raise artifacts.too_large(limit)
    artifacts.check_room(desk.settings, desk.blobs.free_bytes(), announced or 0)


async def receive_raw(request: Asked, desk: Desk, limit: int, filename: str) -> tuple[Blob, Facts]:
    """The request's body as a stored blob, and what it says of itself, which is looked at before it is kept.

    Raises Refusal, asgi.Disconnected.
    """
    writer = desk.blobs.receive()
    async with _kept(writer) as keep:
        async for chunk in chunks(_receive(request), desk.settings.chunk_seconds):
            await _write(desk, writer, chunk, limit)
        facts = await asyncio.to_thread(lambda: artifacts.read(writer.finish(), filename))
        return await keep(), facts


@dataclass(slots=True)
class Form:
    """A multipart form: the file's blob and name, what it says of itself, and the small text fields."""

    blob: Blob | None = None
    facts: Facts | None = None
    has_file: bool = False
    filename: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def stored(self) -> Blob:
        """The file; a finished form has one."""
        if self.blob is None:
            raise invalid("The form has no file.", "file_missing")
        return self.blob


Judge = Callable[[Form, Path], None]


async def receive_form(request: Asked, desk: Desk, limit: int, file_field: str, judge: Judge | None = None) -> Form:
    """A multipart/form-data body whose `file_field` is a file; everything else must be short text. Raises Refusal.

    `judge` sees the whole form and the file before it is kept, in a thread; it refuses by raising Refusal, and says
    what a form without a file is told (its `has_file` tells).
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise Refusal(Kind.UNSUPPORTED, "The body must be sent as multipart/form-data with a boundary.")
    reader = _FormReader(options[b"boundary"], file_field)
    writer = desk.blobs.receive()
    async with _kept(writer) as keep:
        total = 0
        async for chunk in chunks(_receive(request), desk.settings.chunk_seconds):
            total += len(chunk)
            if total > limit + OVERHEAD:
                raise artifacts.too_large(limit)
            for data in reader.feed(chunk):
                await _write(desk, writer, data, limit)
        form = reader.finish()
        if judge is not None:
            await asyncio.to_thread(lambda: judge(form, writer.finish()))
        if not form.has_file:
            raise invalid(f"The form has no file in the field {file_field}.", "file_missing")
        form.blob = await keep()
        return form


def _receive(request: Asked) -> Receive:
    return request.receive  # type: ignore[return-value]  # Litestar's messages are TypedDicts


class _kept:  # noqa: N801 - reads as a verb where it is used
    """A context that aborts the writer unless its `keep` was awaited to the end."""

    def __init__(self, writer: BlobWriter) -> None:
        self._writer, self._is_kept = writer, False

    async def __aenter__(self) -> Callable[[], Awaitable[Blob]]:
        return self._keep

    async def _keep(self) -> Blob:
        blob: Blob = await asyncio.to_thread(self._writer.commit)
        self._is_kept = True
        return blob

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not self._is_kept:
            await asyncio.shield(asyncio.to_thread(self._writer.abort))
        if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise artifacts.disk_full() from None


async def _write(desk: Desk, writer: BlobWriter, chunk: bytes, limit: int) -> None:
    if writer.size + len(chunk) > limit:
        raise artifacts.too_large(limit)
    if writer.size // _LOOK_EVERY != (writer.size + len(chunk)) // _LOOK_EVERY:
        artifacts.check_room(desk.settings, desk.blobs.free_bytes(), 0)
    if writer.would_block:
        await asyncio.to_thread(writer.write, chunk)
    else:
        writer.write(chunk)


class _FormReader:
    """Callbacks of python-multipart's parser; collects file data until the caller takes it."""

    def __init__(self, boundary: bytes, file_field: str) -> None:
        self._file_field = file_field
        self._form = Form()
        self._data: list[bytes] = []
        self._name, self._parts, self._is_file, self._ended = "", 0, False, False
        self._is_other_file = False
        self._value = bytearray()
        self._head_name, self._head_value, self._head_size = bytearray(), bytearray(), 0
        self._heads: dict[bytes, bytes] = {}
        callbacks = {
            "on_part_begin": self._begin,
            "on_part_data": self._part_data,
            "on_part_end": self._end,
            "on_header_field": self._field,
            "on_header_value": self._head,
            "on_header_end": self._head_end,
            "on_headers_finished": self._heads_done,
            "on_end": self._over,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
        except FormParserError:
            raise _broken() from None

    def feed(self, chunk: bytes) -> list[bytes]:
        """The file's bytes in this chunk. Raises Refusal."""
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise _broken() from None
        data, self._data = self._data, []
        return data

    def finish(self) -> Form:
        """The form, when it was complete. Raises Refusal."""
        if not self._ended:
            raise _broken()
        return self._form

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > _MOST_PARTS:
            raise invalid(f"The form has more than {_MOST_PARTS} parts.")
        self._heads, self._head_size, self._value = {}, 0, bytearray()

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._grow(end - start)
        self._head_name += data[start:end]

    def _head(self, data: bytes, start: int, end: int) -> None:
        self._grow(end - start)
        self._head_value += data[start:end]

    def _grow(self, size: int) -> None:
        self._head_size += size
        if self._head_size > _LONGEST_HEAD:
            raise _broken()

    def _head_end(self) -> None:
        self._heads[bytes(self._head_name).lower()] = bytes(self._head_value)
        self._head_name, self._head_value = bytearray(), bytearray()

    def _heads_done(self) -> None:
        _, options = parse_options_header(self._heads.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = self._name == self._file_field
        self._is_other_file = not self._is_file and b"filename" in options
        if self._is_file:
            if self._form.has_file:
                raise invalid(f"The form has more than one {self._file_field}.")
            self._form.has_file = True
            self._form.filename = options.get(b"filename", b"").decode("utf-8", "replace")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self._data.append(data[start:end])
            return
        self._value += data[start:end]
        if len(self._value) <= _LONGEST_FIELD:
            return
        if self._is_other_file:  # its door says which file is missing; only the beginning is kept
            del self._value[_LONGEST_FIELD:]
        else:
            raise invalid(f"Only {self._file_field} may be longer than {_LONGEST_FIELD} bytes.")

    def _end(self) -> None:
        if not self._is_file:
            if self._name in self._form.fields:
                raise invalid("The form has a field twice.", "bad_form")
            self._form.fields[self._name] = self._value.decode("utf-8", "replace")

    def _over(self) -> None:
        self._ended = True


def _broken() -> Refusal:
    return invalid("The multipart body is broken or cut off. Send the form again.", "bad_form")

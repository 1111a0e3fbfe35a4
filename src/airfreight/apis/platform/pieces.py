"""A body that is a piece of a file: straight from the socket to the end of the partial file, in constant memory.

What came before a body broke off is kept. The last byte of a file is written when its body has ended: a file that is
complete was meant to be.
"""

import asyncio
import errno
from collections.abc import Iterator
from contextlib import contextmanager

from airfreight.apis.common.asgi import Disconnected, Receive, chunks
from airfreight.apis.common.desk import Desk
from airfreight.domain.errors import Refusal
from airfreight.ports import Partial
from airfreight.services import artifacts, uploads

_BLOCK = 1024 * 1024
_LOOK_EVERY = 16 * _BLOCK
"""How often the room on the disk is looked at while a body comes, and whether anybody still wants it."""


async def take(receive: Receive, desk: Desk, partial: Partial, most: int) -> None:
    """Append the body to the file, which may have `most` bytes. Raises Disconnected, Refusal, also when the body stops.

    A body that has more leaves nothing.
    """
    start, waiting = partial.size, bytearray()
    try:
        async for chunk in chunks(receive, desk.settings.chunk_seconds):
            waiting += chunk
            if partial.size + len(waiting) > most:
                waiting.clear()
                await asyncio.to_thread(partial.cut, start)
                raise uploads.more_than_announced()
            if len(waiting) >= _BLOCK and partial.size + len(waiting) < most:
                block, waiting = bytes(waiting), bytearray()
                await asyncio.to_thread(_write, desk, partial, block)
    except (Disconnected, Refusal):
        await asyncio.to_thread(_write, desk, partial, bytes(waiting))
        raise
    await asyncio.to_thread(_write, desk, partial, bytes(waiting))


def _write(desk: Desk, partial: Partial, block: bytes) -> None:
    if partial.size // _LOOK_EVERY != (partial.size + len(block)) // _LOOK_EVERY:
        if partial.is_removed:
            raise uploads.gone()
        artifacts.check_room(desk.settings, desk.blobs.free_bytes(), 0)
    with full_disks_refuse():
        partial.write(block)


@contextmanager
def full_disks_refuse() -> Iterator[None]:
    """A disk that takes no more is an everyday event. Raises Refusal."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise artifacts.disk_full() from None
        raise

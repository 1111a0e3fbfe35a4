"""The bell that ends long polls early: one task per process watches a number in the database.

Any process that changes what polls may answer adds one to it in the same transaction (store.outbox.ring).
"""

import asyncio
from collections.abc import Callable

import structlog

_EVERY = 0.25
log = structlog.get_logger()


class Bell:
    """`wait` returns when the bell rings or the time is over, whichever is first."""

    def __init__(self, look: Callable[[], int | None]) -> None:
        """`look` answers with the number, or None when it cannot be had; it is called in a thread."""
        self._look = look
        self._waiters: set[asyncio.Future[None]] = set()
        self._last = -1

    async def wait(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(future)
        try:
            async with asyncio.timeout(seconds):
                await future
        except TimeoutError:
            pass
        finally:
            self._waiters.discard(future)

    async def watch(self) -> None:
        """Look at the number while anybody waits; for ever."""
        while True:
            await asyncio.sleep(_EVERY)
            if not self._waiters:
                self._last = -1
                continue
            now = await asyncio.to_thread(self._look)
            if now is None:
                log.warning("the bell cannot see the database")
            elif now != self._last:
                self._last = now
                self._ring()

    def _ring(self) -> None:
        for future in self._waiters:
            if not future.done():
                future.set_result(None)

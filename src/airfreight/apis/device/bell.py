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
        self._rung = 0

    @property
    def rung(self) -> int:
        """How often it has rung in this process: what `wait` is told to wait past."""
        return self._rung

    async def wait(self, seconds: float, rung: int) -> None:
        """Wait for it to ring once more than `rung` times; a ring since then is not missed."""
        if self._rung != rung:
            return
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
                self._last = -1  # so that whoever comes next is rung for at once
                continue
            now = await asyncio.to_thread(self._look)
            if now is None:
                log.warning("the bell cannot see the database")
            elif now != self._last:
                self._last = now
                self._ring()

    def _ring(self) -> None:
        self._rung += 1
        for future in self._waiters:
            if not future.done():
                future.set_result(None)

"""The bell that ends long polls early: one task per process watches a number in the database.

Any process that changes what polls may answer adds one to it in the same transaction (store.outbox.ring).
"""

import asyncio

import structlog
from sqlalchemy.exc import SQLAlchemyError

from airfreight.store import outbox
from airfreight.store.database import Database

_EVERY = 0.25
log = structlog.get_logger()


class Bell:
    """`wait` returns when the bell rings or the time is over, whichever is first."""

    def __init__(self, database: Database) -> None:
        self._database = database
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
            try:
                now = await asyncio.to_thread(self._look)
            except SQLAlchemyError as error:
                log.warning("the bell cannot see the database", error=type(error).__name__)
                continue
            if now != self._last:
                self._last = now
                self._ring()

    def _ring(self) -> None:
        for future in self._waiters:
            if not future.done():
                future.set_result(None)

    def _look(self) -> int:
        with self._database.read() as connection:
            return outbox.rung(connection)

"""Natural batching: whatever arrives while a batch is being worked off forms the next one. No timers.

Light load means batches of one; heavy load means fewer, larger statements and commits.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from airfreight.domain.errors import Kind, Refusal

In = TypeVar("In")
Out = TypeVar("Out")

_LARGEST = 512
_WAITING = 20_000


class Batcher(Generic[In, Out]):
    """Hands items from one event loop to one thread, which works off many at once.

    `work` takes the items and answers one result for each, in order; a result that is an exception is raised for its
    item alone, an exception that escapes is raised for the whole batch.
    """

    def __init__(self, name: str, work: Callable[[Sequence[In]], Sequence[Out | Exception]]) -> None:
        self._work = work
        self._queue: queue.SimpleQueue[list[tuple[In, asyncio.Future[Out]]] | None] = queue.SimpleQueue()
        self._gathered: list[tuple[In, asyncio.Future[Out]]] = []
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: In) -> "asyncio.Future[Out]":
        """The future of the item's result. Raises Refusal(LIMITED) when too many wait already."""
        if self._waiting >= _WAITING:
            raise Refusal(Kind.LIMITED, "The server is busy. Try again in a moment.", "busy", retry_seconds=5)
        self._waiting += 1
        future: asyncio.Future[Out] = self._loop.create_future()
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append((item, future))
        return future

    def _hand_over(self) -> None:
        """Once per turn of the loop: the thread is woken for all that came in it, not for the first of them."""
        if self._gathered:
            self._queue.put(self._gathered)
            self._gathered = []

    async def close(self) -> None:
        """Work off what was submitted, then end the thread."""
        self._hand_over()
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            results: Sequence[Out | Exception]
            try:
                results = self._work([item for item, _ in batch])
            except Exception as error:  # noqa: BLE001 - whatever it is belongs to the callers, not to this thread
                results = [error] * len(batch)
            self._loop.call_soon_threadsafe(self._deliver, batch, results)

    def _next(self) -> list[tuple[In, "asyncio.Future[Out]"]] | None:
        """Everything that waits, at least one; None at the end."""
        batch = self._queue.get()
        if batch is None:
            return None
        while len(batch) < _LARGEST:
            try:
                more = self._queue.get_nowait()
            except queue.Empty:
                break
            if more is None:
                self._queue.put(None)
                break
            batch += more
        return batch

    def _deliver(self, batch: list[tuple[In, "asyncio.Future[Out]"]], results: Sequence[Out | Exception]) -> None:
        self._waiting -= len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

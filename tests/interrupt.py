"""Deterministic races: something happens just before a transaction's next statement of a kind."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from airfreight.store.database import Database


@contextmanager
def before_commit(database: Database, action: Callable[[], object]) -> Iterator[None]:
    """Run `action` once, on the thread that commits, before its transaction of `database` is committed."""
    todo = [action]

    def interrupt(_connection: Any) -> None:
        if todo:
            todo.pop()()

    event.listen(database.engine, "commit", interrupt)
    try:
        yield
    finally:
        event.remove(database.engine, "commit", interrupt)
    assert not todo, "nothing was committed"


class Meanwhile(threading.Thread):
    """Runs `work` beside the test; `outcome` waits for its result and raises what it raised."""

    def __init__(self, work: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._work, self._result = work, None
        self._error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._work()
        except Exception as error:  # noqa: BLE001 - raised again by `outcome`
            self._error = error

    def outcome(self, seconds: float = 30) -> Any:
        self.join(seconds)
        assert not self.is_alive(), "it hangs"
        if self._error is not None:
            raise self._error
        return self._result

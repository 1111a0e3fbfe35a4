"""Deterministic races: something happens just before a transaction's next statement of a kind."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, text

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

    def until_it_waits(self, database: Database) -> None:
        """Until it waits for a lock of PostgreSQL that somebody holds, or is done."""
        waits = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            " AND backend_type = 'client backend'"  # not a vacuum
        )
        give_up = time.monotonic() + 30
        with database.read() as connection:
            while self.is_alive() and not connection.execute(waits).scalar_one():
                assert time.monotonic() < give_up, "it neither waits nor is it done"
                connection.rollback()  # the numbers of one transaction do not change
                time.sleep(0.01)

    def outcome(self, seconds: float = 60) -> Any:
        self.join(seconds)
        assert not self.is_alive(), "it hangs"
        if self._error is not None:
            raise self._error
        return self._result

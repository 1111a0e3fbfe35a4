"""Rows of leases: what only one process at a time does. A lease that is not renewed runs out by itself."""

from sqlalchemy import Connection, delete, or_, update
from sqlalchemy.dialects import postgresql, sqlite

from airfreight.store.tables import leases


def take(connection: Connection, name: str, holder: str, now: int, until: int) -> bool:
    """Take or renew a lease; False while it is somebody else's."""
    free = or_(leases.c.holder == holder, leases.c.until_at <= now)
    renewed = update(leases).where(leases.c.name == name, free).values(holder=holder, until_at=until)
    if connection.execute(renewed).rowcount == 1:
        return True
    insert = (sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert)(leases)
    first = insert.values(name=name, holder=holder, until_at=until).on_conflict_do_nothing()
    return connection.execute(first.execution_options(preserve_rowcount=True)).rowcount == 1


def leave(connection: Connection, name: str, holder: str) -> None:
    """Give it up, so that the next one need not wait for its end."""
    connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))

"""Bringing a database to the current shape. Migrations travel inside the package, so a wheel can migrate."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from airfreight.store.database import Database

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x41697266
"""Advisory lock on PostgreSQL: two processes that start at once migrate one after the other."""


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, on a connection of ours."""
    made = Config(attributes={"connection": connection})
    made.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    return made


def head() -> str:
    """The revision this code expects."""
    return ScriptDirectory.from_config(config()).get_current_head() or ""


def current(connection: Connection) -> str:
    """The revision the database is at; empty for a new one."""
    return MigrationContext.configure(connection).get_current_revision() or ""


def upgrade(database: Database) -> tuple[str, str]:
    """Migrate to `head`; the revisions before and after. Does nothing when it is there already."""
    with database.write() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        before = current(connection)
        if before != head():
            command.upgrade(config(connection), "head")
        return before, head()

"""Migrations and the tables page say the same, on both databases."""

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from airfreight.store import migrate
from airfreight.store.database import Database
from airfreight.store.tables import metadata


def test_a_migrated_database_is_what_the_tables_page_says(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    assert migrate.upgrade(database) == (migrate.head(), migrate.head())


def test_everything_can_be_taken_back_and_made_again(database: Database) -> None:
    with database.write() as connection:
        command.downgrade(migrate.config(connection), "base")
    with database.read() as connection:
        assert set(inspect(connection).get_table_names()) == {"alembic_version"}
    migrate.upgrade(database)
    with database.read() as connection:
        assert connection.execute(text("SELECT seq FROM signals WHERE name = 'deliveries'")).scalar_one() == 0

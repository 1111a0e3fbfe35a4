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


FIRST_RELEASE = """
INSERT INTO organizations (id, name, time_zone, created_at) VALUES (1, 'o', '', 1);
INSERT INTO users (id, organization_id, email, role, password_hash, created_at) VALUES (1, 1, 'a@b.co', 'admin',
  'x', 1);
INSERT INTO clients (id, organization_id, name, client_id, secret_hash, owner_user_id, created_at) VALUES (1, 1,
  'c', 'c', 'h', 1, 1);
INSERT INTO tokens (id, organization_id, kind, hash, client_id, user_id, expires_at) VALUES (1, 1, 'access', 'h',
  1, 1, 9);
INSERT INTO products (id, organization_id, name, created_at) VALUES (1, 1, 'p', 1), (2, 1, 'q', 1);
INSERT INTO devices (id, organization_id, product_id, uid, created_at) VALUES (1, 1, 1, 'u', 1);
INSERT INTO artifacts (id, organization_id, uid, path, filename, size, sha256, md5, format, component, tagged,
  created_at) VALUES (1, 1, 'a', '/a', 'a', 1, 'h', 'h', '', 'NCP', TRUE, 1), (2, 1, 'b', '/b', 'b', 1, 'h', 'h',
  '', 'MCU', FALSE, 1);
INSERT INTO rollouts (id, organization_id, uid, origin, product_id, title, state, whole_product, condition,
  check_type, critical, day_part, attempts_limit, reset_period_ms, deadline_seconds, finish_on, on_conflict,
  secure, created_at) VALUES (1, 1, 'r', 'shipments', 1, 't', 'running', FALSE, 'none', FALSE, FALSE, 'any', 3, 1,
  1, 'version', 'supersede', FALSE, 1);
INSERT INTO rollout_artifacts (rollout_id, position, artifact_id, filename) VALUES (1, 0, 1, 'a'), (1, 1, 2, 'b');
INSERT INTO deliveries (id, organization_id, rollout_id, device_id, state, attempts_limit, updated_at) VALUES (1,
  1, 1, 1, 'queued', 3, 1);
"""
"""One of everything that the second migration touches, as the first release wrote it."""


def test_the_rows_of_the_first_release_are_kept_and_completed(database: Database) -> None:
    with database.write() as connection:
        command.downgrade(migrate.config(connection), "0001")
        for statement in filter(None, map(str.strip, FIRST_RELEASE.split(";"))):
            connection.execute(text(statement))
    assert migrate.upgrade(database) == ("0001", migrate.head())
    with database.read() as connection:
        counts = {
            name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
            for name in ("organizations", "users", "clients", "tokens", "products", "devices", "deliveries")
        }
        assert counts == dict.fromkeys(counts, 1) | {"products": 2}
        keys = connection.execute(text("SELECT key FROM products")).scalars().all()
        assert len(set(keys)) == 2
        assert all(key.startswith("TMPL") and len(key) == 16 for key in keys)
        query = text("SELECT component FROM rollout_artifacts ORDER BY position")
        assert connection.execute(query).scalars().all() == ["NCP", ""]
        [device] = connection.execute(text("SELECT auto_update, broker_hash, component FROM devices"))
        assert tuple(device) == (None, "", "")
        for table in ("devices", "rollouts"):
            assert connection.execute(text(f"SELECT group_id FROM {table}")).scalars().all() == [None]
        assert connection.execute(text("SELECT scopes FROM tokens")).scalar_one() == "*"
        assert connection.execute(text("SELECT status FROM users")).scalar_one() == "active"
        assert connection.execute(text("SELECT count(*) FROM deliveries WHERE consented")).scalar_one() == 0

"""The first start makes what is needed to log in, exactly once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import func, select

from airfreight.apis.common.desk import clock
from airfreight.services import access
from airfreight.services.bootstrap import FirstStart, first_start
from airfreight.services.credentials import Keyring, check_password
from airfreight.settings import SettingError, Settings, load
from airfreight.store import access as people
from airfreight.store.database import Database
from airfreight.store.tables import clients, organizations, users


def start(database: Database, keyring: Keyring, settings: Settings) -> FirstStart | None:
    with database.write() as connection:
        return first_start(connection, keyring, settings, clock())


def rows(database: Database) -> list[int]:
    with database.read() as connection:
        return [
            connection.execute(select(func.count()).select_from(t)).scalar_one()
            for t in (organizations, users, clients)
        ]


def test_the_first_start_makes_an_organization_an_admin_and_a_client(
    database: Database, keyring: Keyring, data_dir: Path
) -> None:
    made = start(database, keyring, load({}, data=data_dir))
    assert made is not None
    assert made.email == "admin@airfreight.local"
    assert len(made.password) >= 20
    assert made.client_id.startswith("oa2-client-id_")
    with database.write() as connection:
        user = people.user_by_email(connection, made.email)
        assert (user.role, user.organization_id) == ("admin", made.organization_id)
        assert check_password(user.password_hash, made.password)
        client = people.client_by_client_id(connection, made.client_id)
        assert (client.organization_id, client.owner_user_id) == (made.organization_id, user.id)
        grant = access.client_credentials(connection, keyring, made.client_id, made.client_secret, clock(), 60)
        who = access.authenticate(connection, keyring, grant.access_token, clock())
        assert (who.organization_id, who.user_id) == (made.organization_id, user.id)
        assert connection.execute(select(organizations.c.name)).scalar_one() == "Airfreight"
    assert made.password not in repr(made)
    assert made.client_secret not in repr(made)


def test_the_settings_decide_where_they_say_something(database: Database, keyring: Keyring, data_dir: Path) -> None:
    settings = load(
        {},
        data=data_dir,
        admin_email="Root@Example.com",
        admin_password="a password of mine",
        client_id="my-client",
        client_secret="my secret",
    )
    made = start(database, keyring, settings)
    assert made == FirstStart(1, "root@example.com", "a password of mine", "my-client", "my secret")


def test_later_starts_change_nothing(database: Database, keyring: Keyring, data_dir: Path) -> None:
    settings = load({}, data=data_dir)
    assert start(database, keyring, settings) is not None
    assert start(database, keyring, settings) is None
    assert start(database, keyring, load({}, data=data_dir, admin_email="other@example.com")) is None
    assert rows(database) == [1, 1, 1]


def test_of_processes_that_start_together_one_makes_it(database: Database, keyring: Keyring, data_dir: Path) -> None:
    together = threading.Barrier(4)

    def one(number: int) -> FirstStart | None:
        settings = load({}, data=data_dir, admin_email=f"admin{number}@example.com")
        mine = Database(database.url.render_as_string(hide_password=False))
        try:
            together.wait()
            return start(mine, keyring, settings)
        finally:
            mine.close()

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(one, range(4)))
    assert sum(result is not None for result in made) == 1
    assert rows(database) == [1, 1, 1]


@pytest.mark.parametrize(
    ("name", "value"),
    [("admin_email", "nobody"), ("admin_password", "short"), ("admin_password", "x" * 201), ("client_id", "a:b"), ("client_id", "x" * 65), ("client_id", "a\0b")],
)  # fmt: skip
def test_a_setting_that_cannot_work_is_named_and_nothing_is_made(
    database: Database, keyring: Keyring, data_dir: Path, name: str, value: str
) -> None:
    with pytest.raises(SettingError, match=f"AIRFREIGHT_{name.upper()}"):
        start(database, keyring, load({}, data=data_dir, **{name: value}))
    assert rows(database) == [0, 0, 0]

"""Nothing that opens a door can be read from the database; and no token outlives what it stands for."""

import threading
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from tests.platform.conftest import PASSWORD, PASSWORD_HASH, World

from airfreight.apis.common.desk import clock
from airfreight.services import access
from airfreight.store import access as people
from airfreight.store.tables import metadata

NEW = "a brand new password"


def dump(world: World) -> bytes:
    """Every value of every table."""
    with world.desk.database.read() as connection:
        values = [
            value for table in metadata.sorted_tables for row in connection.execute(select(table)) for value in row
        ]
    return b"\n".join(
        bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode() for value in values
    )


def test_no_token_secret_key_or_password_is_in_any_table(world: World) -> None:
    product = world.make("product")
    made: list[dict[str, Any]] = [
        world.token("client_credentials").json(),
        world.token("user_credentials", username=world.home.email("admin"), password=PASSWORD).json(),
        world.post("/api/v1/clients", {"name": "c"}),
        world.post("/api/v1/enrollment-keys", {"name": "k"}),
        device := world.post("/api/v1/devices", {"productId": product}),
        world.post(f"/api/v1/devices/{device['id']}/rotate-token", None),
        *world.post("/api/v1/devices/bulk", {"productId": product, "count": 3})["items"],
    ]
    world.post("/api/v1/users", {"email": "x@y.z", "password": NEW, "role": "user"})
    world.call("PATCH", f"/api/v1/users/{world.home.users['user']}", json={"password": NEW + "!"})
    made.append(world.token("refresh_token", refresh_token=made[0]["refresh_token"]).json())
    names = ("access_token", "refresh_token", "secret", "key", "token")
    secrets = [one[name] for one in made for name in names if name in one]
    secrets += [*world.home.tokens.values(), world.home.secret, PASSWORD, NEW]
    assert len(secrets) > 18
    everything = dump(world)
    assert device["uid"].encode() in everything, "the dump shows what is stored"
    for secret in secrets:
        assert len(secret) >= 12
        for start in range(len(secret) - 11):
            assert secret[start : start + 12].encode() not in everything


def test_lists_and_details_show_no_secrets_or_hashes(world: World) -> None:
    key = world.post("/api/v1/enrollment-keys", {"name": "k"})["key"]
    client = world.post("/api/v1/clients", {"name": "c"})
    token = world.post("/api/v1/devices", {"productId": world.make("product")})["token"]
    hidden = [key, client["secret"], token, PASSWORD_HASH, "argon2", "hash"]
    for name in ("me", "organizations", "users", "clients", "enrollment-keys", "products", "devices"):
        answer = world.call("GET", f"/api/v1/{name}").text
        assert (client["clientId"] in answer) == (name == "clients")
        rest = answer.replace(client["clientId"], "")  # random letters, which may spell anything
        assert not [text for text in hidden if text in rest], name


def test_a_refresh_that_runs_while_the_password_changes_leaves_no_token(world: World) -> None:
    desk, side = world.desk, world.home
    granted = world.token("user_credentials", username=side.email("user"), password=PASSWORD).json()
    changed = threading.Event()

    def change() -> None:
        answer = world.call("PATCH", f"/api/v1/users/{side.users['user']}", json={"password": NEW})
        assert answer.status_code == 200
        changed.set()

    other = threading.Thread(target=change)
    with desk.database.write() as connection:
        grant = access.refresh(
            connection, desk.keyring, side.client_id, side.secret, granted["refresh_token"], clock(), 3600
        )
        other.start()
        assert not changed.wait(0.5), "the change waits for the refresh"
    other.join()
    assert changed.is_set()
    side.tokens["new"] = grant.access_token
    assert world.call("GET", "/api/v1/me", "new").status_code == 401
    assert world.token("refresh_token", refresh_token=grant.refresh_token).status_code == 400


def test_a_password_that_changes_while_it_is_checked_gives_no_token(world: World) -> None:
    desk, side = world.desk, world.home
    with desk.database.read() as connection:
        who = access.candidate(connection, side.email("user"))
    assert world.call("PATCH", f"/api/v1/users/{side.users['user']}", json={"password": NEW}).status_code == 200
    with desk.database.write() as connection, pytest.raises(access.GrantError) as caught:
        access.user_credentials(connection, desk.keyring, side.client_id, who, clock(), 60)
    assert caught.value.error == "invalid_grant"
    assert PASSWORD_HASH not in repr(who)


def test_a_client_that_is_removed_while_it_asks_gets_no_token(world: World) -> None:
    made = world.post("/api/v1/clients", {"name": "c"})
    answers: list[httpx.Response] = []

    def ask() -> None:
        auth = (made["clientId"], made["secret"])
        answers.append(world.http.post("/oauth2/token?grant_type=client_credentials", auth=auth))

    other = threading.Thread(target=ask)
    with world.desk.database.write() as connection:
        people.remove_client(connection, world.home.organization_id, made["id"])
        other.start()
        other.join(0.5)
        assert not answers, "the request waits for the removal"
    other.join()
    assert (answers[0].status_code, answers[0].json()["error"]) == (400, "invalid_client")

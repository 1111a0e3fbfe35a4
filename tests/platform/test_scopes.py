"""Scopes of API clients through the native door, and those of tokens from before there were any."""

from typing import Any

import pytest
from sqlalchemy import update
from tests.platform.conftest import PASSWORD, World

from airfreight.domain.access import ROLES, Permission, Role
from airfreight.services.access import GrantError, narrower
from airfreight.store.tables import tokens


def new(world: World, **fields: Any) -> dict[str, Any]:
    return world.post("/api/v1/clients", {"name": "CI", **fields})


def token(world: World, client: dict[str, Any], **fields: str) -> dict[str, Any]:
    auth = (client["clientId"], client["secret"])
    answer = world.http.post("/oauth2/token", auth=auth, params={"grant_type": "client_credentials", **fields})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    world.home.tokens["new"] = made["access_token"]
    return made


def test_a_client_has_every_scope_unless_it_is_made_with_fewer(world: World) -> None:
    assert new(world)["scopes"] == ["*"]
    assert new(world, scopes=["*"])["scopes"] == ["*"]
    assert new(world, scopes=["OTA_VIEW", "DEVICE_VIEW"])["scopes"] == ["DEVICE_VIEW", "OTA_VIEW"]
    assert [item["scopes"] for item in world.get("/api/v1/clients")["items"]][1:] == [
        ["*"],
        ["*"],
        ["DEVICE_VIEW", "OTA_VIEW"],
    ]


def test_its_tokens_may_do_what_they_allow(world: World) -> None:
    token(world, new(world, scopes=["DEVICE_VIEW"]))
    assert world.get("/api/v1/me", "new")["permissions"] == ["DEVICE_VIEW"]
    assert world.call("GET", "/api/v1/devices", "new").status_code == 200
    assert world.call("GET", "/api/v1/products", "new").status_code == 403


def test_without_any_scope_every_route_is_closed(world: World) -> None:
    token(world, new(world, scopes=[]))
    for path in ("/api/v1/me", "/api/v1/devices", "/api/v1/users/1"):
        answer = world.call("GET", path, "new")
        assert (answer.status_code, answer.headers["x-error-code"]) == (403, "no_scope")


def test_a_scope_that_does_not_exist_and_one_that_the_caller_lacks_are_refused(world: World) -> None:
    answer = world.call("POST", "/api/v1/clients", json={"name": "x", "scopes": ["OTA"]})
    assert (answer.status_code, answer.headers["x-error-code"]) == (400, "bad_scope")
    token(world, new(world, scopes=["CLIENT_EDIT"]))
    for body in ({"name": "x"}, {"name": "x", "scopes": ["OTA_VIEW"]}):
        assert world.call("POST", "/api/v1/clients", "new", json=body).status_code == 403
    assert len(world.get("/api/v1/clients")["items"]) == 2


def test_scope_works_in_a_form_too_and_for_users(world: World) -> None:
    how: dict[str, Any] = {"username": world.home.email("admin"), "password": PASSWORD, "scope": "OTA_VIEW"}
    answer = world.token("user_credentials", form=True, **how)
    assert answer.json()["scope"] == "OTA_VIEW"
    world.home.tokens["few"] = answer.json()["access_token"]
    assert world.get("/api/v1/me", "few")["permissions"] == ["OTA_VIEW"]
    twice = world.http.post("/oauth2/token?grant_type=client_credentials&scope=OTA_VIEW", data={"scope": "OTA_VIEW"})
    assert twice.json()["error"] == "invalid_request"


def test_a_wrong_secret_learns_nothing_about_scopes(world: World) -> None:
    params = {"grant_type": "client_credentials", "scope": "nonsense"}
    answer = world.http.post("/oauth2/token", auth=(world.home.client_id, "wrong"), params=params)
    assert answer.json()["error"] == "invalid_client"


def test_a_stored_scope_that_is_no_permission_any_more_allows_nothing(world: World) -> None:
    with world.desk.database.write() as connection:
        connection.execute(update(tokens).values(scopes="OTA_VIEW GONE"))
    assert world.get("/api/v1/me", "client")["permissions"] == ["OTA_VIEW"]
    with world.desk.database.write() as connection:
        connection.execute(update(tokens).values(scopes="GONE"))
    assert world.call("GET", "/api/v1/me", "client").headers["x-error-code"] == "no_scope"


@pytest.mark.parametrize(
    ("held", "asked", "left"),
    [
        ("*", "", ""),
        ("*", "*", ""),
        ("*", "OTA_VIEW", "OTA_VIEW"),
        ("OTA_VIEW ORG_VIEW", "ORG_VIEW OTA_VIEW", ""),
        ("OTA_VIEW ORG_VIEW", "ORG_VIEW", "ORG_VIEW"),
        ("OTA_VIEW", "ORG_VIEW", None),
        ("OTA_VIEW", "*", None),
        ("", "OTA_VIEW", None),
        ("", "", ""),
        ("*", "OTA_VIEW ", None),
    ],
)
def test_what_is_left_of_the_scopes_that_are_held(held: str, asked: str, left: str | None) -> None:
    if left is not None:
        assert narrower(held, asked) == left
        return
    with pytest.raises(GrantError) as caught:
        narrower(held, asked)
    assert caught.value.error == "invalid_scope"


def test_a_token_from_before_scopes_may_do_everything(world: World) -> None:
    assert world.get("/api/v1/me", "client")["permissions"] == sorted(Permission)
    assert world.get("/api/v1/me", "user")["permissions"] == sorted(ROLES[Role.USER])

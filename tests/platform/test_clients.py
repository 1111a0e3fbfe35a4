"""API clients and enrollment keys: made, shown once, used, and gone."""

import re

from tests.platform.conftest import PASSWORD, World

SHOWN = {"id", "organizationId", "name", "clientId", "scopes", "redirectUrls", "ownerUserId", "createdAt"}


def test_a_new_client_works_at_once_and_its_secret_is_shown_once(world: World) -> None:
    made = world.post("/api/v1/clients", {"name": "CI"})
    assert set(made) == {*SHOWN, "secret"}
    assert re.fullmatch(r"oa2-client-id_[A-Za-z0-9_-]{32}", made["clientId"])
    assert re.fullmatch(r"[A-Za-z0-9_-]{40}", made["secret"])
    assert made["ownerUserId"] == world.home.users["admin"]
    auth = (made["clientId"], made["secret"])
    answer = world.http.post("/oauth2/token?grant_type=client_credentials", auth=auth)
    world.home.tokens["ci"] = answer.json()["access_token"]
    assert world.get("/api/v1/me", "ci")["client"] == {"id": made["id"], "name": "CI"}
    listed = world.get("/api/v1/clients")["items"]
    assert [set(item) for item in listed] == [SHOWN] * 2
    assert made["secret"] not in str(listed)


def test_a_client_made_by_a_client_has_the_same_owner(world: World) -> None:
    assert world.post("/api/v1/clients", {"name": "x"}, "client")["ownerUserId"] == world.home.users["admin"]


def test_a_deleted_client_takes_all_tokens_it_was_given_with_it(world: World) -> None:
    made = world.post("/api/v1/clients", {"name": "x"})
    auth = (made["clientId"], made["secret"])
    fields = {"grant_type": "user_credentials", "username": world.home.email("user"), "password": PASSWORD}
    for grant in ({"grant_type": "client_credentials"}, fields):
        answer = world.http.post("/oauth2/token", data=grant, auth=auth)
        world.home.tokens[grant["grant_type"]] = answer.json()["access_token"]
    assert world.call("DELETE", f"/api/v1/clients/{made['id']}").status_code == 204
    assert world.call("DELETE", f"/api/v1/clients/{made['id']}").status_code == 404
    for who in ("client_credentials", "user_credentials"):
        assert world.call("GET", "/api/v1/me", who).status_code == 401
    assert world.http.post("/oauth2/token", data=fields, auth=auth).json()["error"] == "invalid_client"
    assert world.call("GET", "/api/v1/me", "user").status_code == 200


def test_a_client_outlives_its_owner(world: World) -> None:
    second = world.post("/api/v1/users", {"email": "b@x.y", "password": PASSWORD, "role": "admin"})
    assert second["role"] == "admin"
    assert world.call("DELETE", f"/api/v1/users/{world.home.users['admin']}", "client").status_code == 204
    assert world.get("/api/v1/clients", "client")["items"][0]["ownerUserId"] is None


def test_an_enrollment_key_is_shown_once_and_can_be_deleted(world: World) -> None:
    made = world.post("/api/v1/enrollment-keys", {"name": "line 2"})
    assert set(made) == {"id", "name", "key"}
    assert re.fullmatch(r"[A-Za-z0-9_-]{40}", made["key"])
    items = world.get("/api/v1/enrollment-keys")["items"]
    assert [(set(item), item["name"]) for item in items] == [({"id", "name", "createdAt"}, "line 2")]
    assert world.call("DELETE", f"/api/v1/enrollment-keys/{made['id']}").status_code == 204
    assert world.call("DELETE", f"/api/v1/enrollment-keys/{made['id']}").status_code == 404
    assert world.get("/api/v1/enrollment-keys") == {"items": [], "next": None}


def test_an_enrollment_key_is_no_bearer_token(world: World) -> None:
    world.home.tokens["key"] = world.post("/api/v1/enrollment-keys", {"name": "x"})["key"]
    assert world.call("GET", "/api/v1/me", "key").status_code == 401
    device = world.post("/api/v1/devices", {"productId": world.make("product")})
    world.home.tokens["device"] = device["token"]
    assert world.call("GET", "/api/v1/me", "device").status_code == 401

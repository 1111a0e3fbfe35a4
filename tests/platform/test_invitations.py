"""Invitations and the status of users, through the native door; the other door's tests have the rest."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.platform.conftest import PASSWORD, World

NEW = "another long password"


def invite(world: World, **fields: Any) -> dict[str, Any]:
    return world.post("/api/v1/users/invite", {"email": "ada@x.y", "role": "user", **fields})


def accept(world: World, token: str, password: str = NEW) -> Any:
    return world.call("POST", "/api/v1/users/accept-invite", None, json={"token": token, "password": password})


def sign_in(world: World, email: str = "ada@x.y") -> int:
    return world.token("user_credentials", username=email, password=NEW).status_code


def test_an_invited_user_chooses_a_password_and_is_active(world: World) -> None:
    made = invite(world, name="Ada", title="Dr", timeZone="Europe/Oslo", locale="nb_NO")
    token = made.pop("inviteToken")
    assert (made["status"], made["title"], made["timeZone"], made["locale"]) == (
        "pending",
        "Dr",
        "Europe/Oslo",
        "nb_NO",
    )
    assert world.get(f"/api/v1/users/{made['id']}") == made
    assert sign_in(world) == 400
    answer = accept(world, token)
    assert (answer.status_code, answer.json()["status"]) == (200, "active")
    assert sign_in(world) == 200
    again = accept(world, token)
    assert (again.status_code, again.headers["x-error-code"]) == (400, "bad_invitation")


def test_of_many_who_accept_at_once_one_does(world: World) -> None:
    token = invite(world)["inviteToken"]
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(lambda number: accept(world, token, f"{NEW} {number}").status_code, range(4)))
    assert sorted(codes) == [200, 400, 400, 400]


def test_the_token_opens_nothing_else_and_stands_in_no_list(world: World) -> None:
    made = invite(world)
    world.home.tokens["invited"] = made["inviteToken"]
    assert world.call("GET", "/api/v1/me", "invited").status_code == 401
    assert made["inviteToken"] not in str(world.get("/api/v1/users"))


def test_a_pending_users_password_and_status_are_theirs_to_make(world: World) -> None:
    made = invite(world)
    path = f"/api/v1/users/{made['id']}"
    for change in ({"status": "active"}, {"status": "suspended"}, {"password": NEW}):
        answer = world.call("PATCH", path, json=change)
        assert (answer.status_code, answer.headers["x-error-code"]) == (409, "pending")
    assert world.call("PATCH", path, json={"name": "Ada", "role": "staff"}).json()["status"] == "pending"
    assert accept(world, made["inviteToken"]).json()["role"] == "staff"


def test_an_invitation_ends_with_the_user_it_was_for(world: World) -> None:
    made = invite(world)
    assert world.call("DELETE", f"/api/v1/users/{made['id']}").status_code == 204
    assert accept(world, made["inviteToken"]).status_code == 400
    assert invite(world)["inviteToken"]


@pytest.mark.parametrize("status", ["inactive", "suspended"])
def test_a_user_who_is_not_active_is_signed_out_and_stays_out_until_they_are(world: World, status: str) -> None:
    number, email = world.home.users["staff"], world.home.email("staff")
    granted = world.token("user_credentials", username=email, password=PASSWORD).json()
    assert world.call("PATCH", f"/api/v1/users/{number}", json={"status": status}).json()["status"] == status
    assert world.call("GET", "/api/v1/me", "staff").status_code == 401
    refused = world.token("user_credentials", username=email, password=PASSWORD)
    unknown = world.token("user_credentials", username="nobody@x.y", password=PASSWORD)
    assert (refused.status_code, refused.json()) == (400, unknown.json())
    assert world.token("refresh_token", refresh_token=granted["refresh_token"]).status_code == 400
    assert world.call("PATCH", f"/api/v1/users/{number}", json={"status": "active"}).status_code == 200
    assert world.token("user_credentials", username=email, password=PASSWORD).status_code == 200


def test_the_last_active_admin_stays_active(world: World) -> None:
    admin = f"/api/v1/users/{world.home.users['admin']}"
    second = world.post("/api/v1/users", {"email": "b@x.y", "password": NEW, "role": "admin"})
    assert world.call("PATCH", f"/api/v1/users/{second['id']}", json={"status": "inactive"}).status_code == 200
    for change in ({"status": "suspended"}, {"role": "user"}):
        answer = world.call("PATCH", admin, "client", json=change)
        assert (answer.status_code, answer.headers["x-error-code"]) == (409, "last_admin")
    assert world.call("DELETE", admin, "client").status_code == 409
    assert world.call("DELETE", f"/api/v1/users/{second['id']}", "client").status_code == 204


@pytest.mark.parametrize("status", ["pending", "Active", "gone", 1])
def test_only_three_statuses_can_be_given(world: World, status: object) -> None:
    answer = world.call("PATCH", f"/api/v1/users/{world.home.users['user']}", json={"status": status})
    assert answer.status_code == 400
    assert "status" in answer.json()["error"]["message"]

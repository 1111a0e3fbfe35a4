"""Users: roles, passwords, the last admin, and what ends their tokens."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from tests.platform.conftest import PASSWORD, World

from airfreight.apis.common.desk import clock
from airfreight.domain.access import Permission, Principal, Role
from airfreight.domain.errors import Kind, Refusal
from airfreight.services import invitations, users
from airfreight.services.call import Call
from airfreight.services.users import Change

NEW = "another long password"


def body(**changed: object) -> dict[str, Any]:
    return {"email": "Ada@Example.COM", "password": NEW, "role": "user", **changed}


def works(world: World, token: str) -> bool:
    return world.call("GET", "/api/v1/me", None, headers={"Authorization": f"Bearer {token}"}).status_code == 200


def test_a_new_user_is_shown_without_the_password_and_can_sign_in(world: World) -> None:
    made = world.post("/api/v1/users", body(name="Ada"))
    assert set(made) == {
        "id", "organizationId", "email", "name", "role", "status", "title", "nickName", "phone", "timeZone", "locale",
        "createdAt", "changedAt",
    }  # fmt: skip
    assert (made["email"], made["name"], made["role"]) == ("ada@example.com", "Ada", "user")
    assert world.get(f"/api/v1/users/{made['id']}") == made
    assert made in world.get("/api/v1/users")["items"]
    assert world.token("user_credentials", username="ADA@example.com", password=NEW).status_code == 200


def test_an_email_is_used_once_whatever_its_case_and_whoever_has_it(world: World) -> None:
    world.post("/api/v1/users", body())
    for side in (world.home, world.other):
        answer = world.call("POST", "/api/v1/users", "admin", side, json=body(email="aDA@EXAMPLE.com"))
        assert (answer.status_code, answer.headers["x-error-code"]) == (409, "email_taken")


def test_of_two_who_add_the_same_email_at_once_one_is_told_so(world: World) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: world.call("POST", "/api/v1/users", json=body()), range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


def test_users_are_listed_page_by_page(world: World) -> None:
    first = world.get("/api/v1/users?limit=2")
    rest = world.get(f"/api/v1/users?limit=2&after={first['next']}")
    assert [user["role"] for user in first["items"] + rest["items"]] == ["admin", "staff", "user"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("change", "ends"),
    [({"password": NEW}, True), ({"role": "staff"}, True), ({"role": "user"}, False), ({"name": "x"}, False), ({}, False), ({"password": None, "role": None}, False)],
)  # fmt: skip
def test_a_new_password_or_role_ends_the_users_tokens(world: World, change: dict[str, Any], *, ends: bool) -> None:
    signed_in = world.token("user_credentials", username=world.home.email("user"), password=PASSWORD).json()
    answer = world.call("PATCH", f"/api/v1/users/{world.home.users['user']}", json=change)
    assert answer.status_code == 200, answer.text
    assert works(world, signed_in["access_token"]) is not ends
    assert (world.token("refresh_token", refresh_token=signed_in["refresh_token"]).status_code == 400) is ends
    assert works(world, world.home.tokens["staff"]), "other users keep theirs"
    assert works(world, world.home.tokens["client"])


def test_a_changed_password_is_the_one_that_counts(world: World) -> None:
    world.call("PATCH", f"/api/v1/users/{world.home.users['user']}", json={"password": NEW})
    mail = world.home.email("user")
    assert world.token("user_credentials", username=mail, password=PASSWORD).status_code == 400
    assert world.token("user_credentials", username=mail, password=NEW).status_code == 200


def test_a_deleted_user_is_gone_with_their_tokens(world: World) -> None:
    number = world.home.users["staff"]
    assert world.call("DELETE", f"/api/v1/users/{number}").status_code == 204
    assert world.call("GET", f"/api/v1/users/{number}").status_code == 404
    assert world.call("DELETE", f"/api/v1/users/{number}").status_code == 404
    assert not works(world, world.home.tokens["staff"])
    assert world.token("user_credentials", username=world.home.email("staff"), password=PASSWORD).status_code == 400


def test_the_last_admin_is_neither_deleted_nor_demoted(world: World) -> None:
    admin = f"/api/v1/users/{world.home.users['admin']}"
    for who in ("admin", "client"):
        for answer in (world.call("DELETE", admin, who), world.call("PATCH", admin, who, json={"role": "staff"})):
            assert (answer.status_code, answer.headers["x-error-code"]) == (409, "last_admin")
    assert world.get(admin)["role"] == "admin"
    assert world.call("PATCH", admin, json={"role": "admin", "name": "still"}).status_code == 200
    second = world.post("/api/v1/users", body(role="admin"))
    assert world.call("PATCH", admin, json={"role": "user"}).status_code == 200
    assert world.call("DELETE", f"/api/v1/users/{second['id']}", "client").status_code == 409
    assert world.call("DELETE", admin, "client").status_code == 204


def test_two_admins_who_remove_each_other_at_once_do_not_leave_none(world: World) -> None:
    ids = [
        world.home.users["admin"],
        *(world.post("/api/v1/users", body(email=f"{i}@x.y", role="admin"))["id"] for i in range(5)),
    ]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda number: world.call("DELETE", f"/api/v1/users/{number}", "client"), ids))
    assert sorted(answer.status_code for answer in answers) == [204] * 5 + [409]


def limited(world: World, connection: Any, role: Role, **more: Any) -> Call:
    """A caller who may edit users, and has otherwise the permissions of `role`."""
    from airfreight.domain.access import ROLES

    who = Principal(world.home.organization_id, ROLES[role] | {Permission.USER_EDIT})
    desk = world.desk
    return replace(Call(who, who.organization_id, clock(), connection, desk.settings, desk.keyring, desk.blobs), **more)


def test_nobody_gives_or_touches_a_role_above_their_own(world: World) -> None:
    below = world.make("organization")
    with world.desk.database.write() as connection:
        call = limited(world, connection, Role.STAFF)
        tries: list[Any] = [
            lambda: users.may_create(call, email="a@b.c", password=NEW, role=Role.ADMIN),
            lambda: users.create(call, email="a@b.c", password_hash="h", role=Role.ADMIN),
            lambda: users.may_change(call, world.home.users["admin"], password=NEW),
            lambda: users.change(call, world.home.users["admin"], Change(password_hash="h")),
            lambda: users.change(call, world.home.users["user"], Change(role=Role.ADMIN)),
            lambda: users.transfer(call, world.home.users["admin"], organization_id=below),
            lambda: users.transfer(call, world.home.users["user"], organization_id=below, role=Role.ADMIN),
            lambda: invitations.invite(call, email="a@b.c", role=Role.ADMIN),
            lambda: users.delete(call, world.home.users["admin"]),
        ]
        for attempt in tries:
            with pytest.raises(Refusal) as caught:
                attempt()
            assert caught.value.kind is Kind.FORBIDDEN
        assert users.change(call, world.home.users["user"], Change(role=Role.STAFF)).role == "staff"
        assert users.create(call, email="a@b.c", password_hash="h", role=Role.STAFF).role == "staff"


def test_the_shortest_and_the_longest_password_and_email_are_taken(world: World) -> None:
    for number, password in enumerate(("x" * 12, "ü" * 200)):
        world.post("/api/v1/users", body(email=f"{number}@x.y", password=password))
        assert world.token("user_credentials", username=f"{number}@x.y", password=password).status_code == 200
    longest = "x" * 250 + "@b.c"
    assert len(world.post("/api/v1/users", body(email=longest))["email"]) == 254

"""`POST /oauth2/token`: the three grants, and every way they are refused."""

import asyncio
import base64
import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import update
from tests.platform.conftest import PASSWORD, World

from airfreight.apis.common.desk import clock
from airfreight.apis.platform import oauth
from airfreight.domain.access import Permission
from airfreight.store.tables import tokens


def refused(answer: httpx.Response, error: str, status: int = 400) -> None:
    assert answer.status_code == status, answer.text
    assert answer.json()["error"] == error
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.json()["error_description"]
    assert answer.headers["cache-control"] == "no-store"
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("form", [False, True], ids=["query", "form"])
def test_a_client_gets_a_token_that_acts_for_its_organization(world: World, *, form: bool) -> None:
    answer = world.token("client_credentials", form=form)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    granted = answer.json()
    assert set(granted) == {"access_token", "token_type", "expires_in", "refresh_token"}
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 86_400)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{40}", granted[name]) for name in ("access_token", "refresh_token"))
    world.home.tokens["new"] = granted["access_token"]
    me = world.get("/api/v1/me", "new")
    assert (me["organizationId"], me["organizationName"]) == (world.home.organization_id, "home")
    assert me["user"] is None
    assert me["client"]["name"] == "home"
    assert set(me["permissions"]) == set(Permission)


@pytest.mark.parametrize("form", [False, True], ids=["query", "form"])
@pytest.mark.parametrize(("role", "rights"), [("admin", len(Permission)), ("staff", 9), ("user", 4)])
def test_a_user_gets_a_token_with_the_rights_of_the_role(world: World, role: str, rights: int, *, form: bool) -> None:
    answer = world.token("user_credentials", form=form, username=world.home.email(role).upper(), password=PASSWORD)
    assert answer.status_code == 200, answer.text
    world.home.tokens["new"] = answer.json()["access_token"]
    me = world.get("/api/v1/me", "new")
    assert me["user"] == {"id": world.home.users[role], "email": world.home.email(role), "name": role, "role": role}
    assert me["client"] is None
    assert len(me["permissions"]) == rights
    assert me["permissions"] == sorted(me["permissions"])


def test_the_client_may_prove_itself_by_parameters(world: World) -> None:
    fields = {"grant_type": "client_credentials", "client_id": world.home.client_id, "client_secret": world.home.secret}
    assert world.http.post("/oauth2/token", params=fields).status_code == 200
    assert world.http.post("/oauth2/token", data=fields).status_code == 200
    refused(world.http.post("/oauth2/token", data={**fields, "client_secret": "wrong"}), "invalid_client")
    auth = (world.home.client_id, world.home.secret)
    refused(world.http.post("/oauth2/token", data=fields, auth=auth), "invalid_request")
    same_id = {"grant_type": "client_credentials", "client_id": world.home.client_id}
    assert world.http.post("/oauth2/token", data=same_id, auth=auth).status_code == 200
    refused(world.http.post("/oauth2/token", data={**same_id, "client_id": "x"}, auth=auth), "invalid_request")


def test_a_refresh_token_gives_new_tokens_for_the_same_user_once(world: World) -> None:
    first = world.token("user_credentials", username=world.home.email("staff"), password=PASSWORD).json()
    second = world.token("refresh_token", refresh_token=first["refresh_token"])
    assert second.status_code == 200
    assert second.json()["access_token"] != first["access_token"]
    world.home.tokens["new"] = second.json()["access_token"]
    assert world.get("/api/v1/me", "new")["user"]["role"] == "staff"
    refused(world.token("refresh_token", refresh_token=first["refresh_token"]), "invalid_grant")
    assert world.token("refresh_token", refresh_token=second.json()["refresh_token"]).status_code == 200


def test_of_many_who_use_a_refresh_token_at_once_one_wins(world: World) -> None:
    token = world.token("client_credentials").json()["refresh_token"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.token("refresh_token", refresh_token=token), range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    for answer in answers:
        if answer.status_code == 400:
            refused(answer, "invalid_grant")


def test_a_refresh_token_belongs_to_the_client_it_was_given_to(world: World) -> None:
    token = world.token("client_credentials").json()["refresh_token"]
    refused(world.token("refresh_token", world.other, refresh_token=token), "invalid_grant")
    made = world.post("/api/v1/clients", {"name": "second"})
    fields = {"grant_type": "refresh_token", "refresh_token": token}
    refused(world.http.post("/oauth2/token", params=fields, auth=(made["clientId"], made["secret"])), "invalid_grant")
    assert world.token("refresh_token", refresh_token=token).status_code == 200, "the refusals did not spend it"


def test_the_two_kinds_of_token_do_not_stand_in_for_each_other(world: World) -> None:
    granted = world.token("client_credentials").json()
    refused(world.token("refresh_token", refresh_token=granted["access_token"]), "invalid_grant")
    world.home.tokens["refresh"] = granted["refresh_token"]
    assert world.call("GET", "/api/v1/me", "refresh").status_code == 401


def test_tokens_end_when_their_time_is_over(world: World) -> None:
    granted = world.token("client_credentials").json()
    world.home.tokens["old"] = granted["access_token"]
    assert world.call("GET", "/api/v1/me", "old").status_code == 200
    with world.desk.database.write() as connection:
        connection.execute(update(tokens).values(expires_at=int(time.time() * 1000)))
    assert world.call("GET", "/api/v1/me", "old").status_code == 401
    refused(world.token("refresh_token", refresh_token=granted["refresh_token"]), "invalid_grant")


def test_wrong_credentials_look_alike_whatever_is_wrong(world: World) -> None:
    right, mail = (world.home.client_id, world.home.secret), world.home.email("user")
    clients = [
        (right[0], "wrong"),
        ("unknown", right[1]),
        ("", ""),
        (right[0], ""),
        (world.other.client_id, right[1]),
        ("x\0y", "z"),
    ]
    answers = [world.http.post("/oauth2/token?grant_type=client_credentials", auth=client) for client in clients]
    for answer in answers:
        refused(answer, "invalid_client")
    assert {answer.json()["error_description"] for answer in answers} == {
        "Client ID is not found or password is wrong."
    }
    users = [
        (mail, "wrong wrong wrong"),
        ("nobody@example.com", PASSWORD),
        (f" {mail}", PASSWORD),
        (f"{mail[:-1]}%", PASSWORD),
    ]
    answers = [world.token("user_credentials", username=name, password=password) for name, password in users]
    for answer in answers:
        refused(answer, "invalid_grant")
    assert len({answer.content for answer in answers}) == 1


def test_a_client_signs_in_only_users_of_its_organization(world: World) -> None:
    answer = world.token("user_credentials", world.other, username=world.home.email("user"), password=PASSWORD)
    refused(answer, "unauthorized_client")


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


NO_CLIENT = (
    "Basic", "Basic ", "Basic !!!", "Basic YTpi=", basic(b"nocolon"), basic(b"\xff:\xff"), "Bearer x", "x", "Basic " + "A" * 9000, "basic a b",
)  # fmt: skip


def test_an_authorization_header_that_is_no_client_is_an_invalid_client(world: World) -> None:
    for header in NO_CLIENT:
        answer = world.http.post("/oauth2/token?grant_type=client_credentials", headers={"Authorization": header})
        refused(answer, "invalid_client")


BAD_PARAMETERS = (
    ("", "invalid_request"),
    ("grant_type=", "invalid_request"),
    ("grant_type=password&username=a&password=b", "unsupported_grant_type"),
    ("grant_type=CLIENT_CREDENTIALS", "unsupported_grant_type"),
    ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
    ("grant_type=user_credentials", "invalid_request"),
    ("grant_type=user_credentials&username=a", "invalid_request"),
    ("grant_type=user_credentials&password=a", "invalid_request"),
    ("grant_type=user_credentials&username=a%00b&password=a", "invalid_request"),
    (f"grant_type=user_credentials&username={'a' * 1001}&password=a", "invalid_request"),
    (f"grant_type=user_credentials&username=a&password={'a' * 1001}", "invalid_request"),
    ("grant_type=user_credentials&username=%ff&password=a", "invalid_request"),
    ("grant_type=user_credentials&username=%ED%A0%80&password=a", "invalid_request"),
    ("grant_type=refresh_token", "invalid_request"),
    ("grant_type=refresh_token&refresh_token=x", "invalid_grant"),
    (f"grant_type=refresh_token&refresh_token={'x' * 1001}", "invalid_request"),
    ("&".join(f"a{i}=1" for i in range(60)), "invalid_request"),
)


def test_bad_parameters_are_refused_in_the_flat_form(world: World) -> None:
    auth = (world.home.client_id, world.home.secret)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for query, error in BAD_PARAMETERS:
        refused(world.http.post(f"/oauth2/token?{query}", auth=auth), error)
        refused(world.http.post("/oauth2/token", content=query, headers=form, auth=auth), error)


def test_a_body_of_another_type_or_a_parameter_in_both_places_is_refused(world: World) -> None:
    auth = (world.home.client_id, world.home.secret)
    refused(world.http.post("/oauth2/token", json={"grant_type": "client_credentials"}, auth=auth), "invalid_request")
    refused(world.http.post("/oauth2/token", content=b"\xff", auth=auth), "invalid_request")
    both = world.http.post(
        "/oauth2/token?grant_type=client_credentials", data={"grant_type": "client_credentials"}, auth=auth
    )
    refused(both, "invalid_request")
    assert world.http.post("/oauth2/token?grant_type=client_credentials&lang=en", auth=auth).status_code == 200


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still where passwords are counted: on a slow machine, six seconds are over soon."""
    now = clock()
    monkeypatch.setattr(oauth, "clock", lambda: now)


def sign_in(world: World, address: str, email: str, password: str = "wrong wrong wrong") -> httpx.Response:
    """Sign in from an address of one's own."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(world.http.app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
            fields = {"grant_type": "user_credentials", "username": email, "password": password}
            return await http.post("/oauth2/token", data=fields, auth=(world.home.client_id, world.home.secret))

    return asyncio.run(ask())


@pytest.mark.usefixtures("stopped")
def test_the_eleventh_wrong_password_in_a_row_has_to_wait(world: World) -> None:
    mail = world.home.email("user")
    for _ in range(10):
        refused(sign_in(world, "192.0.2.1", mail), "invalid_grant")
    late = sign_in(world, "192.0.2.1", mail.upper(), PASSWORD)
    refused(late, "invalid_request", 429)
    assert late.headers["retry-after"] == "6"
    assert sign_in(world, "192.0.2.2", mail, PASSWORD).status_code == 200, "a stranger locks nobody out"
    assert sign_in(world, "192.0.2.1", world.home.email("staff"), PASSWORD).status_code == 200


@pytest.mark.usefixtures("stopped")
def test_wrong_passwords_sent_at_once_are_counted_too(world: World) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: world.token("user_credentials", username="a@b.c", password="x"), range(16)))
    assert sorted(answer.status_code for answer in answers) == [400] * 10 + [429] * 6


@pytest.mark.usefixtures("stopped")
def test_right_passwords_are_never_too_many(world: World) -> None:
    for _ in range(12):
        answer = world.token("user_credentials", username=world.home.email("user"), password=PASSWORD)
        assert answer.status_code == 200, answer.text


@pytest.mark.usefixtures("stopped")
def test_without_a_good_client_no_password_is_looked_at(world: World) -> None:
    fields = {"grant_type": "user_credentials", "username": world.home.email("user"), "password": PASSWORD}
    for _ in range(12):
        refused(world.http.post("/oauth2/token", params=fields, auth=("x", "y")), "invalid_client")
    assert world.token(**fields).status_code == 200, "and none was counted"  # type: ignore[arg-type]

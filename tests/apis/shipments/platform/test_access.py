"""Who may call which endpoint of organization, users and OAuth clients; an endpoint that is not listed fails."""

import uuid
from typing import Any

import pytest
from tests.apis.shipments.platform.door import API, ask
from tests.apis.site import Site

from airfreight.apis.shipments.platform import clients, organization, users

EVERYBODY = {"client", "admin", "staff", "user"}
STAFF, ADMIN = EVERYBODY - {"user"}, {"client", "admin"}
PEOPLE = EVERYBODY - {"client"}

TABLE: dict[tuple[str, str], tuple[set[str], dict[str, Any], dict[str, Any] | None]] = {
    ("GET", "profile"): (EVERYBODY, {}, None),
    ("GET", ""): (EVERYBODY, {"orgId": "ORGANIZATION"}, None),
    ("DELETE", ""): (ADMIN, {"orgId": "ORGANIZATION"}, None),
    ("GET", "search"): (EVERYBODY, {"query": "x"}, None),
    ("GET", "sub-organizations"): (EVERYBODY, {}, None),
    ("POST", "create"): (ADMIN, {}, {"name": "abc", "type": "BRANCH"}),
    ("PUT", "edit/name"): (ADMIN, {}, {"name": "abc"}),
    ("GET", "users"): (STAFF, {}, None),
    ("GET", "search/users"): (STAFF, {"query": "x"}, None),
    ("GET", "user"): (STAFF, {"userId": "USER"}, None),
    ("GET", "user/profile"): (PEOPLE, {}, None),
    ("GET", "roles"): (STAFF, {}, None),
    ("POST", "users/create"): (ADMIN, {}, {"email": "EMAIL", "password": "x" * 12, "name": "A", "roleId": 3}),
    ("POST", "users/create-in-org"): (
        ADMIN,
        {},
        {"email": "EMAIL", "password": "x" * 12, "name": "A", "roleId": 3, "orgId": "ORGANIZATION"},
    ),
    ("POST", "users/invite"): (ADMIN, {}, {"email": "EMAIL", "name": "A", "roleId": 3}),
    ("PUT", "users/role"): (ADMIN, {"userId": "USER", "roleId": 2}, None),
    ("POST", "users/transfer"): (ADMIN, {}, {"userId": "USER", "targetOrgId": "ORGANIZATION", "roleId": 3}),
    ("POST", "oauth/clients/create"): (ADMIN, {}, {"name": "c"}),
    ("GET", "oauth/clients"): (ADMIN, {}, None),
    ("DELETE", "oauth/client"): (ADMIN, {"clientId": "CLIENT"}, None),
}
OPEN = {("POST", "users/accept-invite")}
"""Takes an invitation in place of a bearer token."""


def new(site: Site, word: Any) -> Any:
    """The id of something new for a word of the table; every other value is itself."""
    unique = uuid.uuid4().hex
    if word == "ORGANIZATION":
        return ask(site, "POST", "create", status=201, json={"name": "abc", "type": "BRANCH"})["id"]
    if word == "USER":
        person = {"email": f"{unique}@b.example", "name": "A", "roleId": 3}
        return ask(site, "POST", "users/invite", status=201, json=person)["id"]
    if word == "CLIENT":
        return ask(site, "POST", "oauth/clients/create", status=201, json={"name": "c"})["clientId"]
    return f"{unique}@b.example" if word == "EMAIL" else word


def call(site: Site, who: str | None, method: str, path: str) -> Any:
    _, query, body = TABLE[method, path]
    how: dict[str, Any] = {"params": {name: new(site, value) for name, value in query.items()}}
    if body is not None:
        how["json"] = {name: new(site, value) for name, value in body.items()}
    return site.ask(method, f"{API}/{path}", who, **how)


def everything(site: Site) -> list[Any]:
    return [
        ask(site, "GET", "sub-organizations", size=1000),
        ask(site, "GET", "users", size=1000, includeSubOrgUsers=True),
        ask(site, "GET", "oauth/clients", size=1000),
        ask(site, "GET", "profile"),
    ]


@pytest.mark.parametrize(("method", "path"), TABLE, ids=[f"{method}-{path}" for method, path in TABLE])
def test_an_endpoint_takes_exactly_these_callers(site: Site, method: str, path: str) -> None:
    for who in sorted(EVERYBODY):
        answer = call(site, who, method, path)
        if who in TABLE[method, path][0]:
            assert answer.status_code in {200, 201, 204}, (who, answer.text)
        else:
            assert answer.status_code == 403, (who, answer.text)
            assert answer.headers["x-error-code"] == "forbidden"


@pytest.mark.parametrize(("method", "path"), TABLE, ids=[f"{method}-{path}" for method, path in TABLE])
def test_without_a_token_an_endpoint_is_closed(site: Site, method: str, path: str) -> None:
    answer = call(site, None, method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert set(answer.json()) == {"error"}
    site.tokens["odd"] = "x" * 40
    assert call(site, "odd", method, path).status_code == 401


def test_what_is_forbidden_changes_nothing(site: Site) -> None:
    for (method, path), (allowed, query, body) in TABLE.items():
        if "user" in allowed:
            continue
        how: dict[str, Any] = {"params": {name: new(site, value) for name, value in query.items()}}
        if body is not None:
            how["json"] = {name: new(site, value) for name, value in body.items()}
        before = everything(site)
        assert site.ask(method, f"{API}/{path}", "user", **how).status_code == 403, (method, path)
        assert everything(site) == before, (method, path)


def test_every_endpoint_stands_in_the_table() -> None:
    handlers = [*organization.HANDLERS, *users.HANDLERS, *clients.HANDLERS]
    found = {(method, path.strip("/")) for one in handlers for method in one.http_methods for path in one.paths}
    assert found - OPEN == set(TABLE)


def test_a_wrong_method_is_told_which_are_right(site: Site) -> None:
    answer = site.ask("PATCH", f"{API}/users/role")
    assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, {"OPTIONS", "PUT"})


def test_a_body_must_be_json(site: Site) -> None:
    form = site.ask("POST", f"{API}/create", data={"name": "abc", "type": "BRANCH"})
    assert form.status_code == 415
    for content in (b"", b"{", b"[]", b"null", b"\xff"):
        headers = {"Content-Type": "application/json"}
        assert site.ask("POST", f"{API}/create", content=content, headers=headers).status_code == 400

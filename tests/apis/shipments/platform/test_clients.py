"""OAuth clients through this door: made once with a secret, listed without it, deleted with their tokens."""

import re
from typing import Any

import httpx
import pytest
from tests.apis.shipments.platform.door import MISSING, ask, stranger
from tests.apis.site import Site

from airfreight.domain.access import ROLES, Permission, Role

NOWHERE = {"error": {"message": "Organization is not found or you don't have access to it."}}
NOBODY = {"error": {"message": "Client is not found or you don't have access to it."}}
DISABLED = {"error": {"message": "Platform API scope is not enabled for this oauth client."}}
TOKEN_FIELDS = {"access_token", "token_type", "expires_in", "refresh_token"}


def made(site: Site, status: int = 201, who: str = "client", **fields: Any) -> Any:
    return ask(site, "POST", "oauth/clients/create", who, status=status, json={"name": "CI", **fields})


def token(site: Site, client: Any, grant_type: str = "client_credentials", **fields: str) -> httpx.Response:
    return site.http(None).post(
        "/oauth2/token", auth=(client["clientId"], client["secret"]), data={"grant_type": grant_type, **fields}
    )


def named(site: Site, client: Any, name: str = "new", **fields: str) -> str:
    """The name under which the site now has a token of the client."""
    answer = token(site, client, **fields)
    assert answer.status_code == 200, answer.text
    site.tokens[name] = answer.json()["access_token"]
    site.tokens[f"{name}'s refresh"] = answer.json()["refresh_token"]
    return name


def listed(site: Site, **query: Any) -> list[str]:
    return [one["clientId"] for one in ask(site, "GET", "oauth/clients", **query)["content"]]


def test_a_new_client_is_answered_as_published_and_works(site: Site) -> None:
    client = made(site, redirectUrls=["https://app.example.com/back", "http://localhost:8000/"])
    assert set(client) == {"orgId", "name", "clientId", "secret", "redirectUrls"}
    assert (client["orgId"], client["name"]) == (site.organization_id, "CI")
    assert client["redirectUrls"] == ["https://app.example.com/back", "http://localhost:8000/"]
    assert re.fullmatch(r"oa2-client-id_[A-Za-z0-9_-]{32}", client["clientId"])
    assert re.fullmatch(r"[A-Za-z0-9_-]{40}", client["secret"])
    answer = token(site, client)
    assert set(answer.json()) == TOKEN_FIELDS
    assert ask(site, "GET", "profile", named(site, client))["id"] == site.organization_id
    assert made(site)["redirectUrls"] == []


def test_lists_show_no_secret_and_come_page_by_page(site: Site) -> None:
    clients = [made(site, name=f"c{number}") for number in range(3)]
    page = ask(site, "GET", "oauth/clients", page=1, size=2)
    assert [one["name"] for one in page["content"]] == ["c1", "c2"]
    assert page["totalElements"] == 4
    assert set(page["content"][0]) == {"orgId", "name", "clientId", "redirectUrls", "scopes", "createdAt"}
    assert page["content"][0]["scopes"] == ["*"]
    assert all(client["secret"] not in str(page) for client in clients)


def test_a_deleted_client_is_gone_with_its_tokens(site: Site) -> None:
    client = made(site)
    who = named(site, client)
    ask(site, "DELETE", "oauth/client", status=204, clientId=client["clientId"])
    assert site.ask("GET", "/api/v1/organization/profile", who).status_code == 401
    assert token(site, client).json()["error"] == "invalid_client"
    assert ask(site, "DELETE", "oauth/client", status=404, clientId=client["clientId"]) == NOBODY
    assert client["clientId"] not in listed(site)


def test_a_client_of_an_organization_below_is_its_own_and_its_parents(site: Site) -> None:
    below = ask(site, "POST", "create", status=201, json={"name": "below", "type": "BRANCH"})["id"]
    client = made(site, orgId=below)
    assert client["orgId"] == below
    who = named(site, client)
    assert ask(site, "GET", "profile", who)["id"] == below
    assert client["clientId"] not in listed(site)
    assert listed(site, orgId=below) == [client["clientId"]]
    own = listed(site)[0]
    assert ask(site, "DELETE", "oauth/client", who, status=404, clientId=own) == NOBODY
    assert made(site, 404, who, orgId=site.organization_id) == NOWHERE
    ask(site, "DELETE", "oauth/client", status=204, clientId=client["clientId"])


def test_a_stranger_is_told_the_same_as_about_a_missing_one(site: Site) -> None:
    who, client = stranger(site), made(site)
    for name in (client["clientId"], "oa2-client-id_x", "ü"):
        assert ask(site, "DELETE", "oauth/client", who, status=404, clientId=name) == NOBODY
    for number in (site.organization_id, MISSING):
        assert made(site, 404, who, orgId=number) == NOWHERE
        assert ask(site, "GET", "oauth/clients", who, status=404, orgId=number) == NOWHERE
    assert token(site, client).status_code == 200


# scopes


def permissions(site: Site, who: str) -> list[str]:
    found: list[str] = site.ask("GET", "/api/v1/me", who).json()["permissions"]
    return found


def test_a_client_with_scopes_may_do_only_what_they_allow(site: Site) -> None:
    client = made(site, scopes=["OTA_VIEW", "ORG_VIEW", "OTA_VIEW"])
    assert client["scopes"] == ["ORG_VIEW", "OTA_VIEW"]
    who = named(site, client)
    assert permissions(site, who) == ["ORG_VIEW", "OTA_VIEW"]
    ask(site, "GET", "shipments", who)
    ask(site, "GET", "sub-organizations", who)
    ask(site, "GET", "profile", who)
    for method, path, how in (
        ("GET", "users", {}),
        ("GET", "oauth/clients", {}),
        ("GET", "devices", {}),
        ("POST", "create", {"json": {"name": "abc", "type": "BRANCH"}}),
    ):
        refused = ask(site, method, path, who, status=403, **how)
        assert "permission" in refused["error"]["message"], path


def test_a_client_without_scopes_gets_tokens_that_open_nothing(site: Site) -> None:
    client = made(site, scopes=[])
    assert client["scopes"] == []
    who = named(site, client)
    for method, path in (
        ("GET", "/api/v1/organization/profile"),
        ("GET", "/api/v1/organization/shipments"),
        ("GET", "/api/v1/me"),
        ("GET", "/api/v1/rollouts"),
        ("POST", "/api/upload"),
        ("PUT", "/api/v1/artifacts"),
    ):
        answer = site.ask(method, path, who)
        assert (answer.status_code, answer.json()) == (403, DISABLED), path
        assert answer.headers["x-error-code"] == "no_scope"
    refreshed = token(site, client, "refresh_token", refresh_token=site.tokens["new's refresh"])
    assert refreshed.status_code == 200
    assert token(site, client, scope="OTA_VIEW").json()["error"] == "invalid_scope"


def test_a_token_can_be_asked_for_with_fewer_scopes_and_keeps_them(site: Site) -> None:
    client = made(site, scopes=["OTA_VIEW", "ORG_VIEW", "USER_VIEW"])
    answer = token(site, client, scope="OTA_VIEW ORG_VIEW")
    assert set(answer.json()) == TOKEN_FIELDS | {"scope"}
    assert answer.json()["scope"] == "ORG_VIEW OTA_VIEW"
    site.tokens["few"] = answer.json()["access_token"]
    assert permissions(site, "few") == ["ORG_VIEW", "OTA_VIEW"]
    again = token(site, client, "refresh_token", refresh_token=answer.json()["refresh_token"])
    assert set(again.json()) == TOKEN_FIELDS
    site.tokens["again"] = again.json()["access_token"]
    assert permissions(site, "again") == ["ORG_VIEW", "OTA_VIEW"]
    wider = {"refresh_token": again.json()["refresh_token"], "scope": "USER_VIEW"}
    assert token(site, client, "refresh_token", **wider).json()["error"] == "invalid_scope"
    fewer = token(site, client, "refresh_token", **wider | {"scope": "OTA_VIEW"})
    assert fewer.json()["scope"] == "OTA_VIEW", "a refused refresh did not use the token up"
    site.tokens["fewer"] = fewer.json()["access_token"]
    assert permissions(site, "fewer") == ["OTA_VIEW"]
    last = token(site, client, "refresh_token", refresh_token=fewer.json()["refresh_token"])
    site.tokens["last"] = last.json()["access_token"]
    assert permissions(site, "last") == ["ORG_VIEW", "OTA_VIEW"], "the refresh token kept what it had"


def test_asking_for_all_there_are_is_not_asking_for_fewer(site: Site) -> None:
    everything = " ".join(Permission)
    for client, scope in (
        (made(site, scopes=["OTA_VIEW"]), "OTA_VIEW"),
        (made(site, scopes=["OTA_VIEW"]), "OTA_VIEW OTA_VIEW"),
        (made(site, scopes=["OTA_VIEW"]), ""),
        (made(site), "*"),
        (made(site), everything),
        (made(site, scopes=list(Permission)), "*"),
        (made(site, scopes=["*"]), everything),
    ):
        answer = token(site, client, scope=scope)
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == TOKEN_FIELDS


@pytest.mark.parametrize(
    "scope",
    ["OTA_START", "*", "OTA_VIEW OTA_START", "ota_view", "openid", "OTA_VIEW  OTA_VIEW", " ", "OTA_VIEW\t", "ü", "x" * 999],
)  # fmt: skip
def test_a_scope_that_is_unknown_or_more_than_the_client_has_is_refused(site: Site, scope: str) -> None:
    client = made(site, scopes=["OTA_VIEW", "ORG_VIEW"])
    answer = token(site, client, scope=scope)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    assert set(answer.json()) == {"error", "error_description"}
    assert "openid" not in answer.text
    assert token(site, client, scope="x" * 1001).json()["error"] == "invalid_request"


def test_a_users_token_may_do_what_role_and_client_both_allow(site: Site) -> None:
    password, address = "correct horse battery", f"{site.organization_id}-staff@example.com"
    person = {"email": address, "password": password, "name": "S", "roleId": 2}
    ask(site, "POST", "users/create", status=201, json=person)
    client = made(site, scopes=["OTA_VIEW", "USER_EDIT", "USER_VIEW"])
    fields = {"grant_type": "user_credentials", "username": address, "password": password}
    who = named(site, client, **fields)
    assert permissions(site, who) == ["OTA_VIEW", "USER_VIEW"]
    assert ask(site, "GET", "user/profile", who)["role"]["permissions"] == ["OTA_VIEW", "USER_VIEW"]
    assert permissions(site, named(site, client, **fields, scope="OTA_VIEW USER_EDIT")) == ["OTA_VIEW"]
    refreshed = token(site, client, "refresh_token", refresh_token=site.tokens["new's refresh"]).json()
    site.tokens["refreshed"] = refreshed["access_token"]
    assert permissions(site, "refreshed") == ["OTA_VIEW"]


def test_nobody_makes_a_client_that_may_more_than_they_may(site: Site) -> None:
    maker = named(site, made(site, scopes=["CLIENT_EDIT", "OTA_VIEW"]))
    before = listed(site)
    for scopes in (["*"], ["OTA_START"], ["OTA_VIEW", "USER_EDIT"], list(Permission)):
        refused = made(site, 403, maker, scopes=scopes)
        assert "do not have" in refused["error"]["message"]
    assert "do not have" in made(site, 403, maker)["error"]["message"], "all is the default"
    assert listed(site) == before
    assert made(site, 201, maker, scopes=["OTA_VIEW"])["scopes"] == ["OTA_VIEW"]
    assert made(site, 201, maker, scopes=[])["scopes"] == []


def test_a_narrow_token_gives_and_takes_no_more_than_it_has(site: Site) -> None:
    keeper = named(site, made(site, scopes=["USER_EDIT", "USER_VIEW", *ROLES[Role.USER]]))
    person = {"email": f"{site.organization_id}-a@b.example", "name": "A"}
    ask(site, "POST", "users/invite", keeper, status=201, json={**person, "roleId": 3})
    for role in (1, 2):
        refused = ask(site, "POST", "users/invite", keeper, status=403, json={**person, "roleId": role})
        assert "do not have" in refused["error"]["message"]
    ask(site, "PUT", "users/role", keeper, status=403, userId=site.admin_id, roleId=3)


BAD = [
    ("name", ""),
    ("name", " "),
    ("name", "x" * 65),
    ("name", "a\nb"),
    ("name", None),
    ("orgId", 0),
    ("orgId", "1"),
    ("scopes", "OTA_VIEW"),
    ("scopes", ["OTA_EVERYTHING"]),
    ("scopes", ["ota_view"]),
    ("scopes", [1]),
    ("scopes", ["OTA_VIEW"] * 65),
    ("scopes", ["x" * 33]),
    ("redirectUrls", "https://a.example"),
    ("redirectUrls", ["https://a.example"] * 12),
    ("redirectUrls", ["http://a.example/"]),
    ("redirectUrls", ["http://localhost.evil.example/"]),
    ("redirectUrls", ["http://127.0.0.1@evil.example/"]),
    ("redirectUrls", ["https://user:pw@a.example/"]),
    ("redirectUrls", ["https://"]),
    ("redirectUrls", ["https:a.example"]),
    ("redirectUrls", ["//a.example"]),
    ("redirectUrls", ["https://a.example/#part"]),
    ("redirectUrls", ["https://a.example\\@b.example/"]),
    ("redirectUrls", ["https://a.example:99999/"]),
    ("redirectUrls", ["https://[::1/"]),
    ("redirectUrls", ["https://a b.example/"]),
    ("redirectUrls", ["https://ä.example/"]),
    ("redirectUrls", ["javascript:alert(1)"]),
    ("redirectUrls", ["custom.app:/back"]),
    ("redirectUrls", [""]),
    ("redirectUrls", ["https://a.example/" + "x" * 500]),
    ("redirectUrls", [None]),
    ("secret", "mine"),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_bad_field_is_named_and_nothing_is_made(site: Site, field: str, value: Any) -> None:
    message = made(site, 400, **{field: value})["error"]["message"]
    assert field in message
    assert "evil" not in message
    assert "EVERYTHING" not in message
    assert len(listed(site)) == 1


def test_the_longest_and_the_oddest_that_are_right_are_taken(site: Site) -> None:
    urls = [
        "http://127.0.0.1/",
        "http://[::1]:8080/back?x=1",
        "http://localhost",
        "https://a.example:443/%C3%A4?next=/x&y",
        "https://a.example/" + "x" * 482,
        *(f"https://a.example/{number}" for number in range(6)),
    ]
    assert made(site, name="x" * 64, redirectUrls=urls)["redirectUrls"] == urls


@pytest.mark.parametrize(
    ("method", "path", "named"),
    [
        ("DELETE", "oauth/client", "clientId"),
        ("DELETE", "oauth/client?clientId=", "clientId"),
        ("DELETE", f"oauth/client?clientId={'x' * 65}", "clientId"),
        ("DELETE", "oauth/client?clientId=%00", "clientId"),
        ("GET", "oauth/clients?orgId=x", "orgId"),
        ("GET", "oauth/clients?size=1001", "size"),
    ],
)
def test_a_bad_parameter_is_named(site: Site, method: str, path: str, named: str) -> None:
    answer = site.ask(method, f"/api/v1/organization/{path}")
    assert answer.status_code == 400, answer.text
    assert named in answer.json()["error"]["message"]

"""How this door is spoken to: signing in, the organization of the header, versions, spellings, the shape of errors."""

import time
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from tests.apis.campaigns.conftest import Campaigns, Json, refused

from airfreight.apis.campaigns.wire import in_camel_case
from airfreight.domain.access import Role
from airfreight.services import credentials, passwords
from airfreight.store import access as people
from airfreight.store import tables

PASSWORD = "correct horse battery staple"


@pytest.fixture
def email(door: Campaigns) -> str:
    address = f"admin@{door.site.organization_id}.example"
    with door.site.database.write() as connection:
        people.add_user(
            connection,
            door.site.organization_id,
            email=address,
            name="",
            role=Role.ADMIN,
            password_hash=credentials.hash_password(PASSWORD),
            now=1,
        )
    return address


def tokens(door: Campaigns, email: str, password: str = PASSWORD) -> httpx.Response:
    return door.site.http(None).get("/api/tokens", auth=(email, password))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_basic_becomes_tokens_and_a_refresh_token_the_next_ones(door: Campaigns, email: str) -> None:
    first = tokens(door, email).json()
    assert set(first) == {"accessToken", "refreshToken", "accessTokenExpiresAt"}
    assert abs(first["accessTokenExpiresAt"] - time.time() - door.site.settings.token_seconds) < 60
    http = door.site.http(None)
    assert http.get("/api/campaigns", headers=bearer(first["accessToken"])).status_code == 200
    second = http.get("/api/tokens/refresh", headers=bearer(first["refreshToken"]))
    assert second.status_code == 200
    assert set(second.json()) == set(first)
    assert http.get("/api/campaigns", headers=bearer(second.json()["accessToken"])).status_code == 200
    again = http.get("/api/tokens/refresh", headers=bearer(first["refreshToken"]))
    refused(again, 401, "unauthenticated", 16)
    for wrong in (first["accessToken"], second.json()["accessToken"], "nobody-has-this"):
        refused(http.get("/api/tokens/refresh", headers=bearer(wrong)), 401, "unauthenticated", 16)
    refused(http.get("/api/campaigns", headers=bearer(second.json()["refreshToken"])), 401, "unauthenticated", 16)


def test_a_refresh_token_of_an_api_client_is_not_taken_here(door: Campaigns, email: str) -> None:
    del email
    site = door.site
    name = "a client"
    with site.database.write() as connection:
        people.add_client(
            connection, site.organization_id, name=name, client_id="c-of-" + str(site.organization_id),
            secret_hash=site.keyring.digest("s"), owner_user_id=None, now=1,
        )  # fmt: skip
    auth = ("c-of-" + str(site.organization_id), "s")
    granted = site.http(None).post("/oauth2/token", params={"grant_type": "client_credentials"}, auth=auth).json()
    answer = site.http(None).get("/api/tokens/refresh", headers=bearer(granted["refresh_token"]))
    refused(answer, 401, "unauthenticated", 16)


def test_a_token_ends_at_its_time(door: Campaigns, email: str) -> None:
    got = tokens(door, email).json()
    with door.site.database.write() as connection:
        mine = tables.tokens.c.organization_id == door.site.organization_id
        connection.execute(update(tables.tokens).where(mine).values(expires_at=1))
    for path, token in (("/api/campaigns", got["accessToken"]), ("/api/tokens/refresh", got["refreshToken"])):
        refused(door.site.http(None).get(path, headers=bearer(token)), 401, "unauthenticated", 16)


def test_wrong_passwords_are_one_answer_and_then_have_to_wait(
    door: Campaigns, email: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_EVERY_MS", 3_600_000)  # however long ten tries take, no other is earned meanwhile
    answers = [tokens(door, email, "wrong wrong wrong"), tokens(door, f"nobody-{email}")]
    assert answers[0].content == answers[1].content
    assert "basic" in answers[0].headers["www-authenticate"].lower()
    for _ in range(9):
        refused(tokens(door, email, "wrong wrong wrong"), 401, "unauthenticated", 16)
    late = tokens(door, email)
    refused(late, 429, "limited", 8)
    assert int(late.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    "header", [None, "Basic", "Basic %%%", "Basic eA==", "Bearer x", "Basic " + "YTpi" * 500, "Basic AGE6Yg=="]
)
def test_without_a_name_and_a_password_nobody_signs_in(door: Campaigns, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    refused(door.site.http(None).get("/api/tokens", headers=headers), 401, "unauthenticated", 16)


def test_the_header_names_the_organization_that_is_acted_on(door: Campaigns) -> None:
    below = door.site.organization("below")
    in_it = {"x-current-org-id": str(below)}
    made = door.ok("POST", "/api/campaigns", json={"name": "x"}, headers=in_it)["uuid"]
    assert [one["id"] for one in door.ok("GET", "/api/campaigns", headers=in_it)["campaigns"]] == [made]
    assert door.ok("GET", "/api/campaigns")["campaigns"] == []
    refused(door.ask("GET", f"/api/campaigns/{made}"), 404, "not_found", 5)
    package = door.ask("POST", "/api/programs", content=b"x", headers=in_it).json()["uuid"]
    assert door.ok("GET", f"/api/programs/{package}/file-info", headers=in_it)["id"] == package
    refused(door.ask("GET", f"/api/programs/{package}/file-info"), 404, "not_found", 5)
    own = {"x-current-org-id": str(door.site.organization_id)}
    assert door.ok("GET", "/api/campaigns", headers=own)["campaigns"] == []


def test_an_organization_that_is_not_theirs_and_one_that_is_not_there_are_the_same(door: Campaigns) -> None:
    with door.site.database.write() as connection:
        other = people_of_another(connection)
    answers = [
        door.ask("GET", "/api/campaigns", headers={"x-current-org-id": str(one)}) for one in (other, 999_999_999)
    ]
    assert answers[0].content == answers[1].content
    refused(answers[0], 403, "forbidden", 7)
    for wrong in ("x", "-1", "1.0", f"0{door.site.organization_id}", "9" * 30, "\u0663".encode()):
        answer = door.ask("GET", "/api/campaigns", headers={"x-current-org-id": wrong})
        assert "x-current-org-id" in refused(answer, 400, "invalid", 3)


def people_of_another(connection: Any) -> int:
    insert = tables.organizations.insert().values(name="another", created_at=1).returning(tables.organizations.c.id)
    return int(connection.execute(insert).scalar_one())


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/json", 200),
        ("*/*", 200),
        ("application/json;api-version=0.1", 200),
        ("application/json; api-version=0.7", 200),
        ("application/json;api-version=1.0", 200),
        ("application/json;API-Version=1", 200),
        ("application/json;api-version=2.0", 406),
        ("application/json;api-version=10.0", 406),
        ("application/json;api-version=x", 406),
        ("application/json;api-version=", 406),
    ],
)
def test_versions_0_and_1_are_spoken_others_are_406(door: Campaigns, accept: str, status: int) -> None:
    for path in ("/api/campaigns", "/api/programs", "/api/campaign-status/campaigns"):
        answer = door.ask("GET", path, headers={"Accept": accept})
        if status == 200:
            assert answer.status_code == 200
        else:
            refused(answer, 406, "unknown_version", 12)
    assert door.ask("GET", "/api/v1/me", headers={"Accept": accept}).status_code == 200


def test_names_are_taken_in_either_spelling_and_given_in_one(door: Campaigns) -> None:
    settings = {"settings": {"a_key": "b", "aKey": "c"}}
    made = door.ok("POST", "/api/campaigns", json={"name": "x", "campaign_settings": settings})["uuid"]
    spec = {"update_spec": {"name": "y", "campaign_settings": settings}, "campaign_id": made}
    door.ok("PUT", f"/api/campaigns/{made}", json=spec)
    told = door.ok("GET", f"/api/campaigns/{made}")
    assert (told["name"], told["campaignSettings"]) == ("y", settings)
    twice: Json = {"updateSpec": {}, "update_spec": {}}
    assert "updateSpec" in refused(door.ask("PUT", f"/api/campaigns/{made}", json=twice), 400, "invalid", 3)
    unknown = door.ask("PUT", f"/api/campaigns/{made}", json={"update_spec": {"no_such_name": 1}})
    assert "noSuchName" in refused(unknown, 400, "invalid", 3)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b'{"a_b":{"c_d":[{"e_f":1}]}}', b'{"aB":{"cD":[{"eF":1}]}}'),
        (
            b'{"settings":{"a_b":1},"A_b":1,"_a":2,"a__b":3,"a_1":4}',
            b'{"settings":{"a_b":1},"A_b":1,"_a":2,"a__b":3,"a_1":4}',
        ),
        (b'{"a_b":', b'{"a_b":'),
        (b"\xff_", b"\xff_"),
        (b"[" * 100_000 + b"_", b"[" * 100_000 + b"_"),
    ],
)
def test_only_names_change(sent: bytes, read: bytes) -> None:
    assert in_camel_case(sent) == read


def test_every_kind_of_error_has_this_doors_shape(door: Campaigns) -> None:
    campaigns = "/api/campaigns"
    refused(door.ask("POST", campaigns), 400, "invalid", 3)
    refused(door.ask("POST", campaigns, content=b"{"), 400, "not_json", 3)
    refused(door.ask("POST", campaigns, json={}), 400, "invalid", 3)
    refused(door.ask("POST", campaigns, content=b" null "), 400, "invalid", 3)
    refused(door.ask("PUT", f"{campaigns}/{door.create()}/start", content=b"null"), 400, "invalid", 3)
    refused(door.ask("POST", campaigns, json={"name": "x", "packages": "y"}), 400, "invalid", 3)
    refused(door.ask("POST", campaigns, json={"name": ""}), 400, "invalid", 3)
    refused(door.ask("POST", campaigns, data={"name": "x"}), 415, "unsupported_media_type", 3)
    refused(door.ask("GET", campaigns, params={"status": "FINISHED"}), 400, "invalid", 3)
    refused(door.ask("GET", campaigns, params={"creationTime": "x"}), 400, "invalid", 3)
    big = door.ask("POST", campaigns, json={"name": "x", "description": "x" * 3_000_000})
    refused(big, 413, "too_large", 8)


def test_settings_of_an_organization_are_for_its_admins(door: Campaigns) -> None:
    path = f"/api/organizations/{door.site.organization_id}/settings"
    body = [{"category": "campaign", "settings": {"approvalNeeded": True}, "finalSettings": {}}]
    refused(door.ask("PUT", path, "staff", json=body), 403, "forbidden", 7)
    assert door.ask("GET", path, "user").status_code == 200
    wrong: Any
    for wrong in (
        [{}],
        [{"category": "iam", "settings": {}}],
        [{"category": "campaign", "settings": {"x": True}}],
        {},
    ):
        refused(door.ask("PUT", path, json=wrong), 400, "invalid", 3)
    refused(door.ask("GET", path, params={"category": "iam"}), 400, "invalid", 3)
    for missing in (999_999_999, 0, "x", "1.0", f"0{door.site.organization_id}", "%00", "9" * 30):
        refused(door.ask("GET", f"/api/organizations/{missing}/settings"), 404, "not_found", 5)
        refused(door.ask("PUT", f"/api/organizations/{missing}/settings", json=body), 404, "not_found", 5)


STRAYS = [
    "/api/campaigns/x/nothing",
    "/api/campaigns/x/devices/y/scheduled-nothing",
    "/api/campaign-status",
    "/api/campaign-status/packages",
    "/api/programs/x",
    "/api/programs/x/file",
    "/api/devices/x",
    "/api/notification-destinations/x/y",
    "/api/organizations/1/settings/x",
    "/api/me/x",
    "/api/users",
]


@pytest.mark.parametrize("path", STRAYS)
def test_an_address_that_is_none_is_answered_in_this_doors_shape(door: Campaigns, path: str) -> None:
    status = 405 if path == "/api/programs/x" else 404
    code, grpc = {404: ("not_found", 5), 405: ("method_not_allowed", 12)}[status]
    for who in ("client", None):
        for tail in ("", "/"):
            refused(door.ask("GET", path + tail, who), status, code, grpc)


METHODS = {
    "/api/campaigns": {"GET", "POST"},
    "/api/campaigns/x": {"DELETE", "GET", "PUT"},
    "/api/campaigns/x/start": {"PUT"},
    "/api/campaigns/x/devices": {"GET", "POST", "PUT"},
    "/api/campaigns/x/devices/y/state": {"GET"},
    "/api/campaign-status/campaigns": {"GET"},
    "/api/programs/": {"GET", "POST"},
    "/api/programs/x/file-info": {"GET"},
    "/api/devices/y/active-campaigns": {"GET"},
    "/api/notification-destinations/x": {"DELETE", "GET", "PUT"},
    "/api/tokens": {"GET"},
    "/api/users/logout": {"PUT"},
}


@pytest.mark.parametrize("path", METHODS)
def test_a_method_that_an_address_does_not_take_is_405_with_those_that_it_does(door: Campaigns, path: str) -> None:
    for method in {"GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"} - METHODS[path]:
        answer = door.ask(method, path)
        assert set(answer.headers["allow"].split(", ")) - {"OPTIONS"} == METHODS[path]
        if method == "HEAD":
            assert answer.status_code == 405
        else:
            refused(answer, 405, "method_not_allowed", 12)


def test_other_doors_keep_their_shape(door: Campaigns) -> None:
    for path in ("/api", "/api/nothing", "/api/v1/nothing", "/nothing", "/api/v1/devices/+1"):
        answer = door.ask("GET", path)
        assert (answer.status_code, list(answer.json())) == (404, ["error"])
        assert "grpc-message" not in answer.headers


def test_versions_are_told_to_everybody_the_current_one_first(door: Campaigns) -> None:
    answer = door.ask("GET", "/api/versions", None, headers={"Accept": "application/json;api-version=1.0"})
    assert answer.status_code == 200
    told = answer.json()
    assert next(iter(told.values())) == told["currentVersion"] == told["supportedVersions"][0] == "1.0"
    for version in told["supportedVersions"]:
        door.ok("GET", "/api/campaigns", headers={"Accept": f"application/json;api-version={version}"})


def test_signing_out_ends_the_token_and_what_came_with_it_and_no_other(door: Campaigns, email: str) -> None:
    mine, other = tokens(door, email).json(), tokens(door, email).json()
    http = door.site.http(None)
    path = "/api/users/logout"
    refused(http.put(path), 401, "unauthenticated", 16)
    refused(http.put(path, headers=bearer(mine["refreshToken"])), 401, "unauthenticated", 16)
    answer = http.put(path, headers=bearer(mine["accessToken"]))
    assert (answer.status_code, answer.json()) == (200, {})
    for way, token in (
        ("/api/campaigns", "accessToken"),
        ("/api/tokens/refresh", "refreshToken"),
    ):
        refused(http.get(way, headers=bearer(mine[token])), 401, "unauthenticated", 16)
        assert http.get(way, headers=bearer(other[token])).status_code == 200
    refused(http.put(path, headers=bearer(mine["accessToken"])), 401, "unauthenticated", 16)
    assert door.ask("GET", "/api/campaigns").status_code == 200


def test_everybody_may_know_who_they_are_and_what_they_may_do(door: Campaigns) -> None:
    staff = door.ok("GET", "/api/me", "staff")
    assert set(staff) == {"id", "userName", "displayName", "orgId", "orgName", "permissions"}
    assert staff["id"].startswith("user:")
    assert staff["userName"].startswith("staff@")
    assert staff["orgId"] == str(door.site.organization_id)
    assert {"View Campaign", "Start Campaign", "Create Package"} <= set(staff["permissions"])
    assert not {"Approve Campaign", "View Notification Destination"} & set(staff["permissions"])
    assert set(door.ok("GET", "/api/me", "user")["permissions"]) == {"View Campaign", "View Package"}
    client = door.ok("GET", "/api/me", "client")
    assert client["id"].startswith("client:")
    assert client["userName"] == f"client:{client['displayName']}"
    assert "Delete Notification Destination" in client["permissions"]
    refused(door.ask("GET", "/api/me", None), 401, "unauthenticated", 16)


OLDER = [("page", "pageSize"), ("pageInfo.page", "pageInfo.pageSize"), ("page.number", "pageInfo.pageSize")]


@pytest.mark.parametrize(("number", "size"), OLDER)
def test_pages_are_also_asked_for_by_their_older_names(door: Campaigns, number: str, size: str) -> None:
    campaign = door.create(*[door.upload(f"{i}.iotcp") for i in range(3)])
    for _ in range(2):
        door.create()
        door.destination()
    door.destination()
    door.add(campaign, door.gateways(3))
    members = f"/api/campaigns/{campaign}/devices"
    for path in ("/api/campaigns", "/api/programs", members, "/api/notification-destinations"):
        told = door.ok("GET", path, params={number: 2, size: 2})
        info = told.get("pageResponse") or told["pageInfo"]
        assert info == {"totalPages": "2", "totalElements": "3", "page": 2, "pageSize": 2}, path
        [items] = [
            value
            for name, value in told.items()
            if name in {"campaigns", "programs", "gateways", "notificationDestinations"}
        ]
        assert len(items) == 1
        for wrong in ("0", "-1", "x", "", "1e2", "01", "1.0", "9" * 12, "\u0663"):
            for name in (number, size):
                assert name in refused(door.ask("GET", path, params={name: wrong}), 400, "invalid", 3)
        refused(door.ask("GET", path, params={size: 501}), 400, "invalid", 3)
        twice = door.ask("GET", path, params={"page.number": 1, "page": 1, "page.size": 1})
        assert "page.number" in refused(twice, 400, "invalid", 3)
        refused(door.ask("GET", path, params={"pageSize": [1, 1]}), 400, "invalid", 3)


def test_the_list_of_campaigns_repeats_the_page_that_was_asked_for(door: Campaigns) -> None:
    assert door.ok("GET", "/api/campaigns")["page"] == {"number": 1, "size": 20, "sort": "DESC"}
    told = door.ok("GET", "/api/campaigns", params={"page.number": 3, "page.size": 7, "page.sort": "ASC"})
    assert told["page"] == {"number": 3, "size": 7, "sort": "ASC"}

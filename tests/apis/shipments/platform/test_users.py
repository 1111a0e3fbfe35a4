"""Users through this door: made, invited, given roles, moved; and who may do that to whom."""

import uuid
from typing import Any

import pytest
from sqlalchemy import select, update
from tests.apis.shipments.platform.door import MISSING, ask, stranger
from tests.apis.site import Site

from airfreight.domain.ids import Millis
from airfreight.services.invitations import LIFETIME_MS
from airfreight.store import tables

LISTED = {"id", "name", "email", "roleId", "orgId", "isDev"}
SINGLE = LISTED | {
    "title",
    "nickName",
    "phoneNumber",
    "tz",
    "locale",
    "status",
    "lastModifiedTs",
    "registeredAt",
}
NOBODY = {"error": {"message": "User is not found or you don't have access to it."}}
NOWHERE = {"error": {"message": "Organization is not found or you don't have access to it."}}
USELESS = {"error": {"message": "The invitation is unknown, used or expired. Ask for a new one."}}
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def forgiven(site: Site) -> None:
    """Tries that other tests made with invitations do not count."""
    guard = site.server.app.operators.state.get("password_guard")
    if guard is not None:
        guard._full_until.clear()


def mail() -> str:
    return f"{uuid.uuid4().hex}@example.com"


def made(site: Site, status: int = 201, who: str = "client", path: str = "users/create", **fields: Any) -> Any:
    body = {"email": mail(), "password": PASSWORD, "name": "Ada", "roleId": 3, **fields}
    return ask(site, "POST", path, who, status=status, json=body)


def invited(site: Site, status: int = 201, who: str = "client", **fields: Any) -> Any:
    body = {"email": mail(), "name": "Ada", "roleId": 3, **fields}
    return ask(site, "POST", "users/invite", who, status=status, json=body)


def accept(site: Site, token: str, status: int = 200, password: str = PASSWORD) -> Any:
    return ask(site, "POST", "users/accept-invite", None, status=status, json={"token": token, "password": password})


def branch(site: Site, name: str = "branch", **fields: Any) -> int:
    made = ask(site, "POST", "create", status=201, json={"name": name, "type": "BRANCH", **fields})
    return int(made["id"])


def listed(site: Site, **query: Any) -> list[int]:
    return [one["id"] for one in ask(site, "GET", "users", size=1000, **query)["content"]]


def own_client(site: Site) -> str:
    """The id of the API client of the site; its secret is s."""
    [row] = site.rows(
        select(tables.clients.c.client_id)
        .where(tables.clients.c.organization_id == site.organization_id)
        .order_by(tables.clients.c.id)
        .limit(1)
    )
    return str(row.client_id)


def sign_in(site: Site, email: str, password: str = PASSWORD) -> int:
    """The status of a sign-in; the token of a good one is kept under the email."""
    answer = site.http(None).post(
        "/oauth2/token",
        auth=(own_client(site), "s"),
        data={"grant_type": "user_credentials", "username": email, "password": password},
    )
    if answer.status_code == 200:
        site.tokens[email] = answer.json()["access_token"]
    return answer.status_code


def test_a_new_user_is_active_and_shown_as_sent(site: Site) -> None:
    fields: dict[str, Any] = {
        "title": "Engineer",
        "nickName": "ada",
        "phoneNumber": "+44 20 7946 0000",
        "tz": "Europe/London",
        "locale": "en_GB",
    }
    email = mail()
    user = made(site, email=email.upper(), roleId=2, **fields)
    assert set(user) == SINGLE
    assert {name: user[name] for name in fields} == fields
    assert (user["email"], user["name"], user["roleId"], user["status"]) == (email, "Ada", 2, "Active")
    assert (user["orgId"], user["isDev"]) == (site.organization_id, False)
    assert user["registeredAt"] == user["lastModifiedTs"] >= site.now
    assert ask(site, "GET", "user", userId=user["id"]) == user
    assert sign_in(site, email) == 200
    in_list = [one for one in ask(site, "GET", "users", size=1000)["content"] if one["id"] == user["id"]]
    assert in_list == [{name: user[name] for name in LISTED}]
    assert made(site, roleId=1)["isDev"] is True


def test_a_user_can_be_made_in_an_organization_below_but_not_elsewhere(site: Site) -> None:
    below = branch(site)
    user = made(site, path="users/create-in-org", orgId=below, roleId=1)
    assert user["orgId"] == below
    assert ask(site, "GET", "user", userId=user["id"]) == user
    assert user["id"] not in listed(site)
    assert user["id"] in listed(site, includeSubOrgUsers=True)
    assert made(site, path="users/create-in-org", orgId=site.organization_id)["orgId"] == site.organization_id
    assert made(site, 404, path="users/create-in-org", orgId=MISSING) == NOWHERE
    assert "orgId" in made(site, 400, path="users/create-in-org")["error"]["message"]


def test_lists_and_searches_come_page_by_page(site: Site) -> None:
    before = ask(site, "GET", "users")["totalElements"]
    ids = [made(site, name=f"Grace {number}")["id"] for number in range(3)]
    assert listed(site)[-3:] == ids
    page = ask(site, "GET", "users", page=1, size=before)
    assert [one["id"] for one in page["content"]] == ids[:before]
    assert page["totalElements"] == before + 3
    found = ask(site, "GET", "search/users", query="gRACE", page=1, size=2)
    assert ([one["id"] for one in found["content"]], found["totalElements"]) == (ids[2:], 3)
    below = made(site, path="users/create-in-org", orgId=branch(site), name="Grace below")["id"]
    assert ask(site, "GET", "search/users", query="grace b")["content"][0]["id"] == below
    by_email = ask(site, "GET", "user", userId=ids[0])["email"]
    assert [one["id"] for one in ask(site, "GET", "search/users", query=by_email[:20])["content"]] == [ids[0]]
    assert ask(site, "GET", "search/users", query="%")["content"] == []


def test_a_users_profile_is_theirs_with_role_and_permissions(site: Site) -> None:
    for number, who in enumerate(("admin", "staff", "user"), start=1):
        mine = ask(site, "GET", "user/profile", who)
        assert set(mine) == SINGLE | {"role"}
        assert (mine["roleId"], mine["role"]["id"], mine["role"]["name"]) == (number, number, who.capitalize())
        me = site.ask("GET", "/api/v1/me", who).json()
        assert mine["role"]["permissions"] == me["permissions"]
        assert mine["id"] == me["user"]["id"]
    refused = ask(site, "GET", "user/profile", "client", status=403)
    assert "user_credentials" in refused["error"]["message"]


def test_there_are_three_roles(site: Site) -> None:
    roles = ask(site, "GET", "roles")
    assert roles["totalElements"] == 3
    assert [(one["id"], one["name"]) for one in roles["content"]] == [(1, "Admin"), (2, "Staff"), (3, "User")]
    admin, staff, user = (set(one["permissions"]) for one in roles["content"])
    assert admin > staff > user > {"OTA_VIEW"}
    assert [one["id"] for one in ask(site, "GET", "roles", page=1, size=2)["content"]] == [3]


def test_a_role_is_given_by_its_number_and_ends_the_users_tokens(site: Site) -> None:
    email = mail()
    user = made(site, email=email)
    assert sign_in(site, email) == 200
    changed = ask(site, "PUT", "users/role", userId=user["id"], roleId=2)
    assert changed == {**user, "roleId": 2, "lastModifiedTs": changed["lastModifiedTs"]}
    assert site.ask("GET", "/api/v1/me", email).status_code == 401
    for role in (0, 4, "admin"):
        refused = ask(site, "PUT", "users/role", status=400, userId=user["id"], roleId=role)
        assert "roleId" in refused["error"]["message"]
    assert ask(site, "PUT", "users/role", status=404, userId=MISSING, roleId=3) == NOBODY
    assert ask(site, "GET", "user", userId=user["id"])["roleId"] == 2


def test_the_last_admin_keeps_the_role_and_stays(site: Site) -> None:
    below = branch(site)
    for _ in range(2):
        refused = ask(site, "PUT", "users/role", status=400, userId=site.admin_id, roleId=2)
        assert "last admin" in refused["error"]["message"]
        body = {"userId": site.admin_id, "targetOrgId": below, "roleId": 1}
        assert "last admin" in ask(site, "POST", "users/transfer", status=400, json=body)["error"]["message"]
        invited(site, roleId=1)  # who has not accepted is no admin yet
    made(site, roleId=1)
    assert ask(site, "PUT", "users/role", userId=site.admin_id, roleId=2)["roleId"] == 2


def test_a_user_moves_to_an_organization_below_and_leaves_what_they_owned(site: Site) -> None:
    below, email = branch(site), mail()
    user = made(site, email=email)
    assert sign_in(site, email) == 200
    board = site.devices(site.product_id)[0]
    with site.database.write() as connection:
        connection.execute(
            update(tables.devices).where(tables.devices.c.id == board.id).values(owner_user_id=user["id"])
        )
    moved = ask(
        site, "POST", "users/transfer", status=201, json={"userId": user["id"], "targetOrgId": below, "roleId": 1}
    )
    assert moved == {**user, "orgId": below, "roleId": 1, "isDev": True, "lastModifiedTs": moved["lastModifiedTs"]}
    assert user["id"] not in listed(site)
    assert site.ask("GET", "/api/v1/me", email).status_code == 401
    assert sign_in(site, email) == 400, "they sign in with a client of their new organization"
    [row] = site.rows(select(tables.devices.c.owner_user_id).where(tables.devices.c.id == board.id))
    assert row.owner_user_id is None
    other = made(site)
    kept = ask(site, "POST", "users/transfer", status=201, json={"userId": other["id"], "targetOrgId": below})
    assert kept["roleId"] == 3
    again = ask(site, "POST", "users/transfer", status=400, json={"userId": other["id"], "targetOrgId": below})
    assert "already" in again["error"]["message"]


def test_nobody_is_moved_up_or_beside_by_one_below(site: Site) -> None:
    below, beside = branch(site, "below"), branch(site, "beside")
    mine = site.admin_id
    site.tokens["below"] = site.people(below)["client"]
    theirs, site.admin_id = site.admin_id, mine
    other = ask(site, "GET", "users", "below")["content"][1]["id"]
    for number in (site.organization_id, beside, MISSING):
        body = {"userId": other, "targetOrgId": number}
        assert ask(site, "POST", "users/transfer", "below", status=404, json=body) == NOWHERE
    for number in (mine, MISSING):
        assert ask(site, "GET", "user", "below", status=404, userId=number) == NOBODY
        body = {"userId": number, "targetOrgId": below}
        assert ask(site, "POST", "users/transfer", "below", status=404, json=body) == NOBODY
        assert ask(site, "PUT", "users/role", "below", status=404, userId=number, roleId=3) == NOBODY
    assert ask(site, "GET", "users", "below", includeSubOrgUsers=True)["totalElements"] == 3
    assert ask(site, "GET", "user", userId=theirs)["orgId"] == below


def test_an_invited_user_is_pending_until_they_choose_a_password(site: Site) -> None:
    email = mail()
    user = invited(site, email=email, roleId=2, locale="de_DE")
    assert set(user) == SINGLE | {"inviteToken"}
    assert (user["status"], user["roleId"], user["locale"]) == ("Pending", 2, "de_DE")
    shown = ask(site, "GET", "user", userId=user["id"])
    assert shown == {name: user[name] for name in SINGLE}
    assert sign_in(site, email) == 400
    assert sign_in(site, email, password=user["inviteToken"]) == 400
    taken = accept(site, user["inviteToken"])
    assert taken == {**shown, "status": "Active", "lastModifiedTs": taken["lastModifiedTs"]}
    assert sign_in(site, email) == 200
    assert ask(site, "GET", "user/profile", email)["role"]["name"] == "Staff"


def test_unknown_used_expired_and_withdrawn_invitations_are_answered_alike(site: Site) -> None:
    used, expired, replaced = (invited(site) for _ in range(3))
    accept(site, used["inviteToken"])
    invited(site, email=replaced["email"])
    with site.database.write() as connection:
        connection.execute(
            update(tables.users).where(tables.users.c.id == expired["id"]).values(invitation_expires_at=site.now)
        )
    tokens = [one["inviteToken"] for one in (used, expired, replaced)]
    for token in (*tokens, "x" * 40, "x", "ü", site.tokens["client"]):
        assert accept(site, token, 400) == USELESS
    assert ask(site, "GET", "user", userId=expired["id"])["status"] == "Pending"


def test_an_invitation_lives_a_week_and_is_stored_as_a_digest(site: Site) -> None:
    user = invited(site)
    [row] = site.rows(select(tables.users).where(tables.users.c.id == user["id"]))
    assert row.invitation_expires_at - row.created_at == LIFETIME_MS == 7 * 86_400_000
    assert bytes(row.invitation_hash) == site.keyring.digest(user["inviteToken"])
    assert row.password_hash == ""


def test_inviting_a_pending_user_again_replaces_the_invitation(site: Site) -> None:
    first = invited(site, name="Ada")
    second = invited(site, email=first["email"].upper(), name="Ada L.", roleId=2)
    assert second["id"] == first["id"]
    assert (second["name"], second["roleId"]) == ("Ada L.", 2)
    assert second["inviteToken"] != first["inviteToken"]
    accept(site, first["inviteToken"], 400)
    assert accept(site, second["inviteToken"])["roleId"] == 2
    assert "exists already" in invited(site, 400, email=first["email"])["error"]["message"]


def test_somebody_can_be_invited_below_but_not_elsewhere(site: Site) -> None:
    below = branch(site)
    user = invited(site, orgId=below)
    assert user["orgId"] == below
    assert invited(site, 404, orgId=MISSING) == NOWHERE
    assert "exists already" in invited(site, 400, email=user["email"])["error"]["message"], "pending elsewhere"


def test_a_bad_password_does_not_use_an_invitation_up(site: Site) -> None:
    token = invited(site)["inviteToken"]
    for password in ("short", "x" * 201, 7, None):
        refused = ask(
            site, "POST", "users/accept-invite", None, status=400, json={"token": token, "password": password}
        )
        assert "password" in refused["error"]["message"]
    accept(site, token)


def test_tries_with_invitations_are_counted_like_passwords(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that stands still: ten passwords may take longer to hash than a try takes to come back."""
    now = [site.now]
    monkeypatch.setattr("airfreight.apis.common.guard.clock", lambda: now[0])
    wrong = {"token": "x" * 40, "password": PASSWORD}
    token = invited(site)["inviteToken"]
    answers = [site.ask("POST", "/api/v1/organization/users/accept-invite", None, json=wrong) for _ in range(12)]
    assert [answer.status_code for answer in answers] == [400] * 10 + [429] * 2
    assert answers[-1].headers["retry-after"] == "6"
    native = site.ask("POST", "/api/v1/users/accept-invite", None, json={"token": token, "password": PASSWORD})
    assert native.status_code == 429, "both doors count together"
    now[0] = Millis(now[0] + 6000)
    accept(site, token)


def test_the_email_is_used_once_and_the_answer_does_not_repeat_it(site: Site) -> None:
    user = made(site)
    for refused in (made(site, 400, email=user["email"]), invited(site, 400, email=user["email"])):
        assert "exists already" in refused["error"]["message"]
        assert user["email"] not in str(refused)


def test_a_stranger_is_told_the_same_as_about_a_missing_one(site: Site) -> None:
    who = stranger(site)
    user = made(site)
    here = ask(site, "GET", "profile", who)["id"]
    for number in (user["id"], site.admin_id, MISSING):
        assert ask(site, "GET", "user", who, status=404, userId=number) == NOBODY
        assert ask(site, "PUT", "users/role", who, status=404, userId=number, roleId=1) == NOBODY
        body = {"userId": number, "targetOrgId": here}
        assert ask(site, "POST", "users/transfer", who, status=404, json=body) == NOBODY
    theirs = ask(site, "GET", "users", who)["content"][0]["id"]
    for number in (site.organization_id, MISSING):
        assert made(site, 404, who, "users/create-in-org", orgId=number) == NOWHERE
        assert invited(site, 404, who, orgId=number) == NOWHERE
        body = {"userId": theirs, "targetOrgId": number}
        assert ask(site, "POST", "users/transfer", who, status=404, json=body)["error"]
    assert ask(site, "GET", "search/users", who, query=user["email"])["content"] == []
    assert ask(site, "GET", "user", userId=user["id"]) == user


PERSON = {"email": "a@b.example", "name": "A", "roleId": 3}
BAD = [
    ("email", "nobody"),
    ("email", "a b@c.d"),
    ("email", "x" * 251 + "@b.c"),
    ("email", 7),
    ("email", None),
    ("name", ""),
    ("name", " "),
    ("name", "x" * 101),
    ("name", "a\u202eb"),
    ("roleId", 0),
    ("roleId", 4),
    ("roleId", "1"),
    ("roleId", None),
    ("locale", "english"),
    ("locale", "en_US\n"),
]
BAD_OF_CREATE = [
    ("password", "short"),
    ("password", None),
    ("title", "x" * 51),
    ("nickName", 1),
    ("phoneNumber", "12345"),
    ("tz", "Mars/Olympus"),
    ("passwordHash", "tk++TTJLCEKfWuhQyGAKCSRMop6wyIexGKylaknsUo8="),
]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_a_bad_field_is_named_and_nobody_is_made(site: Site, field: str, value: Any) -> None:
    before = listed(site)
    for answer in (made(site, 400, **{field: value}), invited(site, 400, **{field: value})):
        assert field in answer["error"]["message"]
    assert listed(site) == before


@pytest.mark.parametrize(("field", "value"), BAD_OF_CREATE)
def test_a_bad_field_of_a_new_user_is_named(site: Site, field: str, value: Any) -> None:
    before = listed(site)
    message = made(site, 400, **{field: value})["error"]["message"]
    assert field in message
    assert "Mars" not in message
    assert listed(site) == before


@pytest.mark.parametrize(
    ("path", "query", "named"),
    [
        ("user", "", "userId"),
        ("user", "userId=0", "userId"),
        ("user", "userId=1.5", "userId"),
        ("user", f"userId={2**31}", "userId"),
        ("users", "size=1001", "size"),
        ("users", "page=-1", "page"),
        ("users", "includeSubOrgUsers=maybe", "includeSubOrgUsers"),
        ("search/users", "", "query"),
        ("search/users", "query=%00", "query"),
        ("roles", "size=0", "size"),
    ],
)
def test_a_bad_parameter_is_named(site: Site, path: str, query: str, named: str) -> None:
    answer = site.ask("GET", f"/api/v1/organization/{path}?{query}")
    assert answer.status_code == 400, answer.text
    assert named in answer.json()["error"]["message"]

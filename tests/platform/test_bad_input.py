"""What clients must not send: each is answered 400 with the error body, names what is wrong, and echoes nothing."""

from typing import Any

import pytest
from tests.platform.conftest import PASSWORD, World

EVIL = "e\u0000vil"
NOT_TEXT: list[Any] = [1, 1.5, True, None, [], {}]
NOT_AN_ID: list[Any] = ["1", 1.5, True, None, [], 0, -1, 2**31, 2**70]
BLANK = ["", " ", "\u00a0 \u3000"]
DIRTY = [EVIL, "a\nb", "a\n", "\x1b[31m", "a\u202eb", "\u2028", "\x7f", "\x85"]

USER = {"email": "new@example.com", "password": PASSWORD, "role": "user"}
PLACES: list[tuple[str, dict[str, Any], dict[str, list[Any]]]] = [
    (
        "/api/v1/organizations",
        {"name": "x"},
        {"name": [*NOT_TEXT, *DIRTY, *BLANK, "x" * 101], "timeZone": [1, EVIL, "Mars/Olympus", "x" * 65, "../../etc/passwd"], "parentId": [x for x in NOT_AN_ID if x is not None]},
    ),
    (
        "/api/v1/users",
        USER,
        {
            "email": [*NOT_TEXT, *DIRTY, "", "a", "@", "a@", "@b", "a@b@c", "a b@c", f"{'x' * 251}@b.c", "a\u00a0b@c", "\u0130" * 200 + "@b"],
            "password": [*NOT_TEXT, "", "x" * 11, "x" * 201],
            "role": [*NOT_TEXT, "", "root", "ADMIN", "admin "],
            "name": [*NOT_TEXT, *DIRTY, "x" * 101],
        },
    ),
    ("/api/v1/clients", {"name": "x"}, {"name": [*NOT_TEXT, *DIRTY, *BLANK, "x" * 65]}),
    ("/api/v1/enrollment-keys", {"name": "x"}, {"name": [*NOT_TEXT, *DIRTY, *BLANK, "x" * 65]}),
    (
        "/api/v1/devices",
        {"productId": 1},
        {"productId": NOT_AN_ID, "name": [*NOT_TEXT, *DIRTY, "x" * 101], "uid": [1, [], "", " ", "a b", "\u00e4", "a\n", "x" * 65, EVIL, "a/b", "%41"]},
    ),
    (
        "/api/v1/devices/bulk",
        {"productId": 1, "count": 1},
        {
            "productId": NOT_AN_ID,
            "count": [0, -1, 10_001, "1", 1.5, True, None],
            "devices": [[], {}, [{}], "x", [1], [{"uid": "a b"}], [{"uid": 1}], [{"name": EVIL}], [{"id": 1}], [{}] * 10_001],
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("path", "good", "bad"), PLACES, ids=[place[0].rpartition("/")[2] for place in PLACES])
def test_a_bad_field_is_refused_by_name(
    world: World, path: str, good: dict[str, Any], bad: dict[str, list[Any]]
) -> None:
    product = world.make("product")
    good = {**good, **({"productId": product} if "productId" in good else {})}
    before = everything(world)
    for name, values in bad.items():
        for value in values:
            answer = world.call("POST", path, json={**good, name: value})
            assert answer.status_code == 400, (name, value, answer.text)
            assert set(answer.json()) == {"error"}
            assert set(answer.json()["error"]) == {"message"}
            assert "evil" not in answer.text
            assert "passwd" not in answer.text
    assert everything(world) == before
    answer = world.call("POST", path, json=good)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("path", [place[0] for place in PLACES], ids=[place[0].rpartition("/")[2] for place in PLACES])
def test_a_body_that_is_not_the_one_object_is_refused(world: World, path: str) -> None:
    good = next(place[1] for place in PLACES if place[0] == path)
    for content in (
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"\xff",
        b"{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"name":"\\ud800"}',
    ):
        answer = world.call("POST", path, content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, (content[:20], answer.text)
    answer = world.call("POST", path, json={**good, "organizationId": world.other.organization_id})
    assert answer.status_code == 400, "a field that nobody knows is refused"
    assert world.call("POST", path, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    big = b'{"name":"' + b"x" * 3_000_000 + b'"}'
    assert world.call("POST", path, content=big, headers={"Content-Type": "application/json"}).status_code == 413


def test_names_in_any_language_come_back_as_they_went(world: World) -> None:
    for name in (
        "Ünïcode Ω",
        "温度计",
        "ترموستات",
        "👩‍👩‍👧 family",
        "'; DROP TABLE users; --",
        '"<b>%_\\',
        "x" * 100,
        "𝔘" * 100,
    ):
        made = world.post("/api/v1/devices", {"productId": world.make("product"), "name": name})
        assert world.get(f"/api/v1/devices/{made['id']}")["name"] == name
        assert world.post("/api/v1/organizations", {"name": name})["name"] == name


PAGING = (
    "limit=0",
    "limit=501",
    "limit=x",
    "limit=1.5",
    "limit=",
    "after=-1",
    "after=x",
    f"after={2**60}",
    "limit=1&limit=x",
)
FILTERS = ("productId=0", "productId=x", f"productId={2**31}", "query=%00", "query=a%0Ab", f"query={'x' * 101}")


def test_bad_paging_and_bad_filters_are_refused(world: World) -> None:
    for name in ("organizations", "users", "clients", "enrollment-keys", "devices"):
        for query in PAGING:
            assert world.call("GET", f"/api/v1/{name}?{query}").status_code == 400, (name, query)
    for query in FILTERS:
        assert world.call("GET", f"/api/v1/devices?{query}").status_code == 400, query


def test_a_bad_id_in_a_path_is_refused_or_nowhere(world: World) -> None:
    for name in ("organizations", "users", "devices", "products"):
        for number in ("0", "-1", str(2**31), str(2**63), "9" * 400, "x", "1.5", "%00", "1%2F2"):
            assert world.call("GET", f"/api/v1/{name}/{number}").status_code in {400, 404}, (name, number)


def test_a_wrong_method_is_told_which_are_right(world: World) -> None:
    for path in ("/api/v1/me", "/api/v1/users", "/oauth2/token"):
        answer = world.call("PUT", path)
        assert answer.status_code == 405
        assert answer.headers["allow"]
        assert answer.json()["error"]["message"]


def everything(world: World) -> list[Any]:
    names = ("organizations", "users", "clients", "enrollment-keys", "products", "devices")
    return [world.get(f"/api/v1/{name}?limit=500", "client") for name in names]

"""`/api/v1/groups`: made, looked at, changed and removed; who is in them, page by page; what is refused."""

from typing import Any

import pytest
from tests.platform.conftest import World

API = "/api/v1/groups"
SHOWN = {"id", "organizationId", "uid", "name", "filter", "createdAt"}


def lamps(world: World, count: int = 3) -> list[dict[str, Any]]:
    product = world.post("/api/v1/products", {"name": "Lamp"})["id"]
    made = [world.post("/api/v1/devices", {"productId": product, "name": f"lamp {n}"}) for n in range(count)]
    for number, device in enumerate(made):
        answer = world.call("PATCH", f"/api/v1/devices/{device['id']}", json={"attributes": {"floor": number}})
        assert answer.status_code == 200
    return [world.get(f"/api/v1/devices/{device['id']}") for device in made]


def test_a_live_group_is_made_shown_changed_and_removed(world: World) -> None:
    devices = lamps(world)
    text = 'product = "Lamp"\n  and attributes.floor >= 1'
    made = world.post(API, {"name": "upstairs", "filter": text})
    assert set(made) == SHOWN | {"token"}
    assert (made.pop("token"), made["filter"], made["organizationId"]) == (None, text, world.home.organization_id)
    path = f"{API}/{made['id']}"
    assert world.get(path) == {**made, "total": 2}
    assert world.get(API) == {"items": [made], "next": None}
    assert world.get(f"{path}/devices") == {"items": devices[1:], "next": None}
    changed = world.call("PATCH", path, json={"filter": "attributes.floor = 0"})
    assert changed.json() == {**made, "filter": "attributes.floor = 0"}
    assert world.get(f"{path}/devices")["items"] == devices[:1]
    assert world.call("PATCH", path, json={"name": "ground"}).json()["filter"] == "attributes.floor = 0"
    assert world.call("DELETE", path).status_code == 204
    assert world.call("GET", path).status_code == 404
    assert world.get(API)["items"] == []


def test_a_fixed_group_has_a_token_that_is_shown_once(world: World) -> None:
    made = world.post(API, {"name": "bench"})
    assert (len(made.pop("token")), made["filter"]) == (32, "")
    assert world.get(f"{API}/{made['id']}") == {**made, "total": 0}
    refused = world.call("PATCH", f"{API}/{made['id']}", json={"filter": "online"})
    assert (refused.status_code, refused.headers["x-error-code"]) == (409, "fixed_group")


def test_pages_of_groups_and_of_their_devices_go_on_after_an_id(world: World) -> None:
    devices = lamps(world, 5)
    made = [world.post(API, {"name": str(n), "filter": "attributes.floor != 2"})["id"] for n in range(3)]
    first = world.get(f"{API}?limit=2")
    assert ([one["id"] for one in first["items"]], first["next"]) == (made[:2], made[1])
    assert [one["id"] for one in world.get(f"{API}?limit=2&after={first['next']}")["items"]] == made[2:]
    path, seen, after = f"{API}/{made[0]}/devices", [], 0
    while after is not None:
        page = world.get(f"{path}?limit=2&after={after}")
        seen += [one["id"] for one in page["items"]]
        after = page["next"]
    assert seen == [device["id"] for device in devices if device["attributes"]["floor"] != 2]


def test_a_preview_shows_devices_and_makes_nothing(world: World) -> None:
    devices = lamps(world)
    found = world.post(f"{API}/preview", {"filter": "not (attributes.floor < 2)"}, "user")
    assert found == {"total": 1, "devices": devices[2:]}
    assert world.get(API)["items"] == []


def test_a_group_below_has_the_devices_there(world: World) -> None:
    lamps(world)
    below = world.make("organization")
    product = world.post("/api/v1/products", {"name": "Lamp", "orgId": below})["id"]
    device = world.post("/api/v1/devices", {"productId": product})["id"]
    group = world.post(API, {"name": "below", "filter": 'product = "Lamp"', "orgId": below})
    assert group["organizationId"] == below
    assert [one["id"] for one in world.get(f"{API}/{group['id']}/devices")["items"]] == [device]
    assert world.get(API)["items"] == []
    assert [one["id"] for one in world.get(f"{API}?orgId={below}")["items"]] == [group["id"]]
    assert world.post(f"{API}/preview", {"filter": "has(uid)", "orgId": below})["total"] == 1
    for path, body in ((API, {"name": "x", "filter": "online"}), (f"{API}/preview", {"filter": "online"})):
        for number in (below, 2**31 - 1):
            assert world.call("POST", path, "client", world.other, json={**body, "orgId": number}).status_code == 404


@pytest.mark.parametrize(
    ("text", "column"),
    [("vrsion = '1'", 1), ("online and", 11), ("name = 'zebra", 8), (" ", 2), ("name = 'a' # zebra", 12)],
)
def test_a_filter_that_is_wrong_is_refused_with_its_column(world: World, text: str, column: int) -> None:
    group = world.post(API, {"name": "g", "filter": "online"})
    for method, path, body in (
        ("POST", API, {"name": "x", "filter": text}),
        ("POST", f"{API}/preview", {"filter": text}),
        ("PATCH", f"{API}/{group['id']}", {"name": "x", "filter": text}),
    ):
        answer = world.call(method, path, json=body)
        assert (answer.status_code, answer.headers["x-error-code"]) == (400, "bad_filter")
        assert answer.json()["error"]["message"].startswith(f"filter, column {column}: expected ")
        assert "zebra" not in answer.text
    assert [one["name"] for one in world.get(API)["items"]] == ["g"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("filter", "online".ljust(2001)),
        ("filter", 1),
        ("filter", None),
        ("name", ""),
        ("name", "a\nb"),
        ("orgId", 0),
        ("x", 1),
    ],
)
def test_bad_input_is_refused_by_name(world: World, field: str, value: Any) -> None:
    answer = world.call("POST", API, json={"name": "g", "filter": "online", field: value})
    assert (answer.status_code, field in answer.text or field == "x") == (400, True), answer.text
    assert world.get(API)["items"] == []

"""Products as operators make, change and remove them, here and in organizations below."""

import re
from typing import Any

import pytest
from tests.platform.conftest import World

from airfreight.store import outbox

SHOWN = {
    "id",
    "organizationId",
    "name",
    "description",
    "timeZone",
    "key",
    "autoUpdate",
    "part",
    "chunks",
    "createdAt",
    "changedAt",
}


def rung(world: World) -> int:
    with world.desk.database.read() as connection:
        return outbox.rung(connection)


def test_a_new_product_has_a_key_of_its_own_or_the_one_that_was_given(world: World) -> None:
    made = world.post("/api/v1/products", {"name": "Lamp"})
    assert set(made) == SHOWN
    assert made == world.get(f"/api/v1/products/{made['id']}")
    assert (made["organizationId"], made["autoUpdate"]) == (world.home.organization_id, True)
    assert re.fullmatch(r"TMPL[0-9a-f]{12}", made["key"])
    given = {"name": "Heater", "key": "TMPL_old-1", "autoUpdate": False, "timeZone": "Asia/Tokyo", "description": "d"}
    made = world.post("/api/v1/products", given)
    assert {name: made[name] for name in given} == given


def test_a_key_is_used_once_anywhere(world: World) -> None:
    world.post("/api/v1/products", {"name": "a", "key": "TMPLsame"})
    for who in (world.home, world.other):
        again = world.call("POST", "/api/v1/products", "admin", who, json={"name": "b", "key": "TMPLsame"})
        assert (again.status_code, again.headers["x-error-code"]) == (409, "key_taken")
        assert "TMPLsame" not in again.text


def test_a_change_changes_what_it_names(world: World) -> None:
    made = world.post("/api/v1/products", {"name": "Lamp", "description": "old", "timeZone": "Asia/Tokyo"})
    path = f"/api/v1/products/{made['id']}"
    changed = world.call("PATCH", path, json={"description": "", "autoUpdate": False}).json()
    assert changed == {**made, "description": "", "autoUpdate": False, "changedAt": changed["changedAt"]}
    assert world.get(path) == changed
    assert world.call("PATCH", path, json={"name": "Lamp", "timeZone": ""}).json()["timeZone"] == ""
    world.post("/api/v1/products", {"name": "Taken"})
    assert world.call("PATCH", path, json={"name": "Taken"}).status_code == 409
    assert world.get(path)["name"] == "Lamp"


def test_what_devices_are_told_of_its_files_is_said_kept_and_changed(world: World) -> None:
    made = world.post("/api/v1/products", {"name": "Lamp"})
    assert (made["part"], made["chunks"]) == ("application", "each")
    path = f"/api/v1/products/{made['id']}"
    assert world.call("PATCH", path, json={"part": "os"}).json()["chunks"] == "each"
    changed = world.call("PATCH", path, json={"chunks": "one"}).json()
    assert (changed["part"], changed["chunks"]) == ("os", "one")
    assert world.get(path) == changed
    assert world.call("PATCH", path, json={"chunks": "each"}).json()["chunks"] == "each"
    given = {"name": "Board", "part": "A-z_0.9" + "x" * 25, "chunks": "one"}
    made = world.post("/api/v1/products", given)
    assert {name: made[name] for name in given} == given


def test_waiting_devices_are_decided_for_again_when_it_matters(world: World) -> None:
    path = f"/api/v1/products/{world.make('product')}"
    for change, by in (({"description": "x"}, 0), ({"autoUpdate": False}, 1), ({"timeZone": "Asia/Tokyo"}, 1), ({}, 0)):
        before = rung(world)
        assert world.call("PATCH", path, json=change).status_code == 200
        assert rung(world) - before == by, change


def test_a_parent_fills_an_organization_below(world: World) -> None:
    below = world.make("organization")
    mine = world.make("product")
    product = world.post("/api/v1/products", {"name": "Lamp", "orgId": below})
    assert product["organizationId"] == below
    device = world.post("/api/v1/devices", {"productId": product["id"], "orgId": below})
    many = world.post("/api/v1/devices/bulk", {"productId": product["id"], "count": 2})["items"]
    assert device["organizationId"] == below
    for noun, there in (("products", [product["id"]]), ("devices", [device["id"], *(one["id"] for one in many)])):
        assert [one["id"] for one in world.get(f"/api/v1/{noun}?orgId={below}")["items"]] == there
        assert world.get(f"/api/v1/{noun}?orgId={below}", "client", world.home)["items"]
        assert there[0] not in [one["id"] for one in world.get(f"/api/v1/{noun}")["items"]]
        assert world.get(f"/api/v1/{noun}/{there[0]}")["organizationId"] == below
        assert world.call("GET", f"/api/v1/{noun}?orgId={below}", "client", world.other).status_code == 404
    rotated = world.post(f"/api/v1/devices/{device['id']}/rotate-token", None)
    assert rotated["token"] != device["token"]
    assert world.call("DELETE", f"/api/v1/devices/{device['id']}").status_code == 204
    assert world.call("POST", "/api/v1/devices", json={"productId": mine, "orgId": below}).status_code == 404
    for path, body in (
        ("products", {"name": "x"}),
        ("devices", {"productId": product["id"]}),
        ("devices/bulk", {"productId": product["id"], "count": 1}),
    ):
        for number in (below, world.home.organization_id, 2**31 - 1):
            answer = world.call("POST", f"/api/v1/{path}", "client", world.other, json={**body, "orgId": number})
            assert answer.status_code == 404, (path, number, answer.text)


BAD: list[tuple[str, Any]] = [
    ("key", "x"), ("key", "TMPL"), ("key", "TMPL" + "x" * 29), ("key", "TMPLx\n"), ("key", 1), ("autoUpdate", "yes"),
    ("autoUpdate", 1), ("orgId", 0), ("orgId", "1"), ("orgId", 2**31), ("name", ""), ("timeZone", "Mars/Olympus"),
    ("description", "x" * 1001), ("part", ""), ("part", "x" * 33), ("part", "a b"), ("part", "os\n"), ("part", "ö"), ("part", 1),
    ("chunks", "two"), ("chunks", ""), ("chunks", True), ("chunks", "ONE"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD)
def test_bad_input_is_refused_by_name_and_changes_nothing(world: World, field: str, value: Any) -> None:
    product = world.post("/api/v1/products", {"name": "Lamp"})
    tries = [("POST", "/api/v1/products", {"name": "new", field: value})]
    if field not in {"key", "orgId"}:
        tries.append(("PATCH", f"/api/v1/products/{product['id']}", {field: value}))
    for method, path, body in tries:
        answer = world.call(method, path, json=body)
        assert (answer.status_code, field in answer.text) == (400, True), answer.text
    assert world.get("/api/v1/products")["items"] == [product]

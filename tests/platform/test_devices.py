"""Devices as operators make, find and remove them."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, insert, select, update
from tests.platform.conftest import World

from airfreight.apis.common.desk import clock
from airfreight.store.tables import deliveries, device_seen, devices, rollouts

SHOWN = {"id", "uid", "name", "productId", "enabled", "attributes", "version", "lastSeenAt", "online", "createdAt"} | {
    "organizationId",
    "ownerUserId",
    "autoUpdate",
    "parentId",
}


def test_a_new_device_is_shown_with_its_token_this_once(world: World) -> None:
    product = world.make("product")
    made = world.post("/api/v1/devices", {"productId": product, "name": "Kitchen", "uid": "kitchen-17"})
    assert set(made) == SHOWN | {"token"}
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", made.pop("token"))
    assert made == world.get(f"/api/v1/devices/{made['id']}")
    assert (made["uid"], made["name"], made["productId"], made["enabled"]) == ("kitchen-17", "Kitchen", product, True)
    assert (made["attributes"], made["version"], made["lastSeenAt"], made["online"]) == ({}, "", None, False)
    assert abs(made["createdAt"] - clock()) < 60_000


def test_a_device_without_a_uid_gets_a_random_one(world: World) -> None:
    product = world.make("product")
    uids = {world.post("/api/v1/devices", {"productId": product})["uid"] for _ in range(3)}
    assert len(uids) == 3
    assert all(re.fullmatch(r"[0-9a-f]{24}", uid) for uid in uids)


def test_a_uid_may_be_any_of_its_characters(world: World) -> None:
    for uid in ("a", "x" * 64, "AZaz09._:-", "..", "-"):
        assert world.post("/api/v1/devices", {"productId": world.make("product"), "uid": uid})["uid"] == uid


def test_a_uid_is_used_once_in_an_organization(world: World) -> None:
    body = {"productId": world.make("product"), "uid": "same"}
    world.post("/api/v1/devices", body)
    again = world.call("POST", "/api/v1/devices", json={**body, "productId": world.make("product")})
    assert (again.status_code, again.headers["x-error-code"]) == (409, "uid_taken")
    product = world.post("/api/v1/products", {"name": "p"}, "client", world.other)["id"]
    world.post("/api/v1/devices", {"productId": product, "uid": "same"}, "client", world.other)


def test_of_many_who_add_the_same_uid_at_once_one_wins(world: World) -> None:
    body = {"productId": world.make("product"), "uid": "same"}
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: world.call("POST", "/api/v1/devices", json=body), range(6)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5


def test_ten_thousand_devices_are_made_in_one_quick_transaction(world: World) -> None:
    product = world.make("product")
    statements: list[str] = []
    commits: list[object] = []
    for engine in {world.desk.database.engine, world.desk.database._writing}:
        event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
        event.listen(engine, "commit", commits.append)
    made = world.post("/api/v1/devices/bulk", {"productId": product, "count": 10_000})["items"]
    assert (len(commits), len(statements) <= 20) == (1, True), statements
    assert len({item["id"] for item in made}) == len({item["uid"] for item in made}) == 10_000
    assert len({item["token"] for item in made}) == 10_000
    assert set(made[0]) == {"id", "uid", "token", "name"}
    with world.desk.database.read() as connection:
        columns = (devices.c.id, devices.c.token_hash, devices.c.broker_hash)
        rows = list(connection.execute(select(*columns)))
    assert {row.broker_hash[:7] for row in rows} == {"$7$101$"}, "few rounds: each device is quickly made"
    digests = {row.id: row.token_hash for row in rows}
    assert all(bytes(digests[item["id"]] or b"") == world.desk.keyring.digest(item["token"]) for item in made)


def test_listed_devices_keep_their_order_names_and_uids(world: World) -> None:
    wanted: list[dict[str, str]] = [{"uid": "b", "name": "Bee"}, {"name": "only a name"}, {"uid": "a"}, {}]
    made = world.post("/api/v1/devices/bulk", {"productId": world.make("product"), "devices": wanted})["items"]
    assert [item["uid"] for item in made if len(item["uid"]) < 24] == ["b", "a"]
    assert [item["name"] for item in made] == ["Bee", "only a name", "", ""]
    for item in made:
        assert world.get(f"/api/v1/devices/{item['id']}")["uid"] == item["uid"]


@pytest.mark.parametrize(
    ("wanted", "status", "where"),
    [([{"uid": "a"}, {"uid": "a"}], 400, "devices[1]"), ([{"uid": "new"}, {"uid": "taken"}], 409, "devices[1]"), ([{"uid": "a"}, {"uid": "x y"}], 400, "devices")],
)  # fmt: skip
def test_when_one_of_many_cannot_be_made_none_is(world: World, wanted: list[Any], status: int, where: str) -> None:
    product = world.make("product")
    world.post("/api/v1/devices", {"productId": product, "uid": "taken"})
    answer = world.call("POST", "/api/v1/devices/bulk", json={"productId": product, "devices": wanted})
    assert answer.status_code == status, answer.text
    assert where in answer.json()["error"]["message"]
    assert len(world.get("/api/v1/devices")["items"]) == 1


def test_either_a_count_or_a_list_is_needed(world: World) -> None:
    product = world.make("product")
    for body in ({}, {"count": 1, "devices": [{}]}):
        assert world.call("POST", "/api/v1/devices/bulk", json={"productId": product, **body}).status_code == 400


def found(world: World, **params: object) -> list[str]:
    answer = world.call("GET", "/api/v1/devices", params=params)
    assert answer.status_code == 200, answer.text
    return [item["uid"] for item in answer.json()["items"]]


def test_devices_are_found_by_product_and_by_part_of_uid_or_name(world: World) -> None:
    one, two = world.make("product"), world.make("product")
    for product, uid, name in (
        (one, "kitchen-1", "100% warm"),
        (one, "cellar_1", "Kitchen spare"),
        (two, "KITCHEN-2", "back\\slash"),
    ):
        world.post("/api/v1/devices", {"productId": product, "uid": uid, "name": name})
    assert found(world) == ["kitchen-1", "cellar_1", "KITCHEN-2"]
    assert found(world, productId=one) == ["kitchen-1", "cellar_1"]
    assert found(world, query="kitchen") == ["kitchen-1", "cellar_1", "KITCHEN-2"]
    assert found(world, query="Kitchen", productId=two) == ["KITCHEN-2"]
    assert found(world, query="%") == ["kitchen-1"]
    assert found(world, query="_") == ["cellar_1"]
    assert found(world, query="\\") == ["KITCHEN-2"]
    assert found(world, query="nothing' OR 1=1") == []
    assert found(world, query="") == found(world)


def test_devices_are_listed_page_by_page(world: World) -> None:
    product = world.make("product")
    made = world.post("/api/v1/devices/bulk", {"productId": product, "count": 7})["items"]
    ids, after = [], 0
    while after is not None:
        page = world.get(f"/api/v1/devices?limit=3&after={after}&productId={product}")
        ids += [item["id"] for item in page["items"]]
        after = page["next"]
    assert ids == sorted(item["id"] for item in made)
    assert world.get("/api/v1/devices?limit=7")["next"] is None


def test_a_device_is_online_while_it_was_heard_from_lately(world: World) -> None:
    number = world.make("device")
    seconds = world.desk.settings.online_seconds
    with world.desk.database.write() as connection:
        connection.execute(insert(device_seen).values(device_id=number, seen_at=clock()))
    assert world.get(f"/api/v1/devices/{number}")["online"] is True
    long_ago = clock() - seconds * 1000 - 1
    with world.desk.database.write() as connection:
        connection.execute(update(device_seen).values(seen_at=long_ago))
    device = world.get(f"/api/v1/devices/{number}")
    assert (device["online"], device["lastSeenAt"]) == (False, long_ago)
    assert world.get("/api/v1/devices")["items"] == [device]


def test_attributes_show_the_well_known_ones_that_have_a_value_and_all_others(world: World) -> None:
    number = world.make("device")
    values = {
        "version": "1.2.3",
        "library_version": "1.3.2",
        "time_zone": "Asia/Tokyo",
        "attributes": '{"floor":2,"hot":true,"t":1.5,"x":"y"}',
    }
    with world.desk.database.write() as connection:
        connection.execute(update(devices).values(values))
    device = world.get(f"/api/v1/devices/{number}")
    assert device["version"] == "1.2.3"
    assert device["attributes"] == {
        "version": "1.2.3",
        "blynkVersion": "1.3.2",
        "timeZone": "Asia/Tokyo",
        "floor": 2,
        "hot": True,
        "t": 1.5,
        "x": "y",
    }


def test_a_rotated_token_replaces_the_old_one(world: World) -> None:
    made = world.post("/api/v1/devices", {"productId": world.make("product")})
    rotated = world.post(f"/api/v1/devices/{made['id']}/rotate-token", None)
    assert set(rotated) == {"id", "uid", "token"}
    assert (rotated["id"], rotated["uid"]) == (made["id"], made["uid"])
    assert rotated["token"] != made["token"]
    with world.desk.database.read() as connection:
        digest = bytes(connection.execute(select(devices.c.token_hash)).scalar_one() or b"")
    assert digest == world.desk.keyring.digest(rotated["token"])


def test_a_deleted_device_is_gone_its_token_ends_and_its_uid_is_free(world: World) -> None:
    product = world.make("product")
    body = {"productId": product, "uid": "same"}
    first = world.post("/api/v1/devices", body)["id"]
    assert world.call("DELETE", f"/api/v1/devices/{first}").status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/rotate-token")):
        assert world.call(method, f"/api/v1/devices/{first}{path}").status_code == 404
    assert found(world) == []
    second = world.post("/api/v1/devices", body)["id"]
    assert second != first
    with world.desk.database.read() as connection:
        row = connection.execute(select(devices).where(devices.c.id == first)).one()
    assert row.token_hash is None
    assert row.deleted_at is not None
    assert world.call("DELETE", f"/api/v1/products/{product}").status_code == 409


def states(world: World, rollout: int) -> dict[int, str]:
    with world.desk.database.read() as connection:
        query = select(deliveries.c.device_id, deliveries.c.state).where(deliveries.c.rollout_id == rollout)
        return {row.device_id: row.state for row in connection.execute(query)}


def test_a_new_device_joins_the_running_rollout_of_its_whole_product_and_leaves_it_when_deleted(world: World) -> None:
    rollout = world.make("rollout")
    with world.desk.database.write() as connection:
        connection.execute(update(rollouts).values(whole_product=True))
        product = connection.execute(select(rollouts.c.product_id)).scalar_one()
    one = world.post("/api/v1/devices", {"productId": product})["id"]
    many = [item["id"] for item in world.post("/api/v1/devices/bulk", {"productId": product, "count": 3})["items"]]
    world.make("device")
    assert states(world, rollout) == dict.fromkeys([one, *many], "queued")
    assert world.call("DELETE", f"/api/v1/devices/{one}").status_code == 204
    assert states(world, rollout) == {one: "canceled", **dict.fromkeys(many, "queued")}


def test_a_change_changes_what_it_names(world: World) -> None:
    number = world.make("device")
    path = f"/api/v1/devices/{number}"
    before = world.get(path)
    owner = world.home.users["user"]
    changed = world.call("PATCH", path, json={"name": "Cellar", "autoUpdate": False, "ownerUserId": owner}).json()
    attributes = {"autoUpdate": False}
    assert changed == {**before, "name": "Cellar", "autoUpdate": False, "ownerUserId": owner, "attributes": attributes}
    assert world.get(path) == changed
    again = world.call("PATCH", path, json={"attributes": {"floor": 2, "timeZone": "Asia/Tokyo"}}).json()
    assert again["attributes"] == {"floor": 2, "timeZone": "Asia/Tokyo", "autoUpdate": False}
    cleared = {"autoUpdate": None, "ownerUserId": None, "attributes": {"floor": None, "timeZone": None}, "name": ""}
    assert world.call("PATCH", path, json=cleared).json() == {**before, "name": ""}
    assert world.call("PATCH", path, json={}).json() == {**before, "name": ""}


def test_an_owner_is_a_user_of_the_devices_organization(world: World) -> None:
    number = world.make("device")
    for nobody in (2**31 - 1, world.other.users["user"]):
        answer = world.call("PATCH", f"/api/v1/devices/{number}", json={"name": "x", "ownerUserId": nobody})
        assert answer.status_code == 404
        body = {"productId": world.make("product"), "ownerUserId": nobody}
        assert world.call("POST", "/api/v1/devices", json=body).status_code == 404
    assert (world.get(f"/api/v1/devices/{number}")["name"], len(found(world))) == ("", 1)
    mine = {"productId": world.make("product"), "ownerUserId": world.home.users["user"]}
    assert world.post("/api/v1/devices", mine)["ownerUserId"] == mine["ownerUserId"]


@pytest.mark.parametrize(
    "body",
    [{"name": None}, {"name": "a\nb"}, {"autoUpdate": "no"}, {"ownerUserId": 0}, {"ownerUserId": "1"}, {"attributes": None}, {"attributes": []}, {"attributes": {"k": []}}, {"attributes": {"": 1}}, {"attributes": {"version": "2"}}, {"attributes": {f"k{i}": 1 for i in range(101)}}, {"uid": "x"}, {"token": "x"}],
)  # fmt: skip
def test_a_bad_change_is_refused_and_changes_nothing(world: World, body: dict[str, Any]) -> None:
    number = world.make("device")
    before = world.get(f"/api/v1/devices/{number}")
    answer = world.call("PATCH", f"/api/v1/devices/{number}", json=body)
    assert answer.status_code == 400, answer.text
    assert world.get(f"/api/v1/devices/{number}") == before

"""Organizations see themselves and what is below them, and go only when they are empty."""

from tests.platform.conftest import World

from airfreight.services import access
from airfreight.store import access as people
from airfreight.store import enrollment, organizations, products


def test_a_new_organization_is_below_the_callers_or_below_one_of_those(world: World) -> None:
    plant = world.post("/api/v1/organizations", {"name": "Plant", "timeZone": "Europe/Oslo"})
    assert set(plant) == {
        "id", "name", "timeZone", "parentId", "description", "kind", "phone", "units", "createdAt", "changedAt",
    }  # fmt: skip
    assert (plant["name"], plant["timeZone"], plant["parentId"]) == ("Plant", "Europe/Oslo", world.home.organization_id)
    line = world.post("/api/v1/organizations", {"name": "Line", "parentId": plant["id"]})
    own = world.post("/api/v1/organizations", {"name": "Own", "parentId": world.home.organization_id})
    assert [line["parentId"], own["parentId"]] == [plant["id"], world.home.organization_id]
    assert world.get(f"/api/v1/organizations/{line['id']}") == line
    ids = [item["id"] for item in world.get("/api/v1/organizations")["items"]]
    assert ids == sorted([world.home.organization_id, plant["id"], line["id"], own["id"]])


def test_the_list_comes_page_by_page(world: World) -> None:
    for _ in range(3):
        world.make("organization")
    found, after = [], 0
    while after is not None:
        page = world.get(f"/api/v1/organizations?limit=2&after={after}")
        found += [item["id"] for item in page["items"]]
        after = page["next"]
    assert len(found) == len(set(found)) == 4
    assert found == sorted(found)


def test_one_below_sees_nothing_above_or_beside_it(world: World) -> None:
    child, sibling = world.make("organization"), world.make("organization")
    desk = world.desk
    with desk.database.write() as connection:
        people.add_client(
            connection,
            child,
            name="c",
            client_id="child",
            secret_hash=desk.keyring.digest("s"),
            owner_user_id=None,
            now=1,
        )
        from airfreight.apis.common.desk import clock

        grant = access.client_credentials(connection, desk.keyring, "child", "s", clock(), 60)
    world.home.tokens["child"] = grant.access_token
    assert [item["id"] for item in world.get("/api/v1/organizations", "child")["items"]] == [child]
    for number in (world.home.organization_id, sibling, world.other.organization_id):
        assert world.call("GET", f"/api/v1/organizations/{number}", "child").status_code == 404
        assert world.call("DELETE", f"/api/v1/organizations/{number}", "child").status_code == 404
        made = world.call("POST", "/api/v1/organizations", "child", json={"name": "x", "parentId": number})
        assert made.status_code == 404


def test_an_empty_one_can_be_deleted_and_a_used_one_cannot(world: World) -> None:
    desk = world.desk

    def delete(number: int) -> int:
        return world.call("DELETE", f"/api/v1/organizations/{number}").status_code

    empty = world.make("organization")
    assert delete(empty) == 204
    assert delete(empty) == 404
    used = [world.make("organization") for _ in range(5)]
    with desk.database.write() as connection:
        people.add_user(connection, used[0], email="x@y.z", name="", role="user", password_hash="", now=1)
        people.add_client(connection, used[1], name="", client_id="x", secret_hash=b"0" * 32, owner_user_id=None, now=1)
        products.add(connection, used[2], {"name": "p", "key": "k", "created_at": 1})
        enrollment.add(connection, used[3], name="k", digest=b"1" * 32, now=1)
        organizations.add(connection, name="below", parent_id=used[4], time_zone="", now=1)
    assert [delete(number) for number in used] == [409] * 5
    with desk.database.read() as connection:
        assert all(organizations.get(connection, number) for number in used)


def test_nobody_deletes_their_own(world: World) -> None:
    for who in ("admin", "client"):
        answer = world.call("DELETE", f"/api/v1/organizations/{world.home.organization_id}", who)
        assert (answer.status_code, answer.headers["x-error-code"]) == (409, "own_organization")

"""What a parent organization does in those below it: people and API clients, made, changed, moved and removed."""

import threading
import uuid
from typing import Any

from sqlalchemy import insert, select
from tests.platform.conftest import PASSWORD as HOME_PASSWORD
from tests.platform.conftest import World

from airfreight.apis.common.desk import clock
from airfreight.services import access
from airfreight.store.tables import devices

PASSWORD = "another long password"


def new_user(world: World, **fields: Any) -> dict[str, Any]:
    email = f"{uuid.uuid4().hex}@x.y"
    return world.post("/api/v1/users", {"email": email, "password": PASSWORD, "role": "user", **fields})


def below(world: World, **fields: Any) -> int:
    return int(world.post("/api/v1/organizations", {"name": "below", **fields})["id"])


def ids(world: World, query: str) -> list[int]:
    return [item["id"] for item in world.get(f"/api/v1/{query}")["items"]]


def owned_device(world: World, user_id: int) -> int:
    product = world.make("product")
    with world.desk.database.write() as connection:
        values = {
            "organization_id": world.home.organization_id,
            "product_id": product,
            "uid": uuid.uuid4().hex,
            "owner_user_id": user_id,
            "created_at": 1,
        }
        return int(connection.execute(insert(devices).values(values).returning(devices.c.id)).scalar_one())


def owner(world: World, device_id: int) -> int | None:
    with world.desk.database.read() as connection:
        found: int | None = connection.execute(
            select(devices.c.owner_user_id).where(devices.c.id == device_id)
        ).scalar_one()
        return found


def test_a_parent_fills_an_organization_below_with_people_and_clients(world: World) -> None:
    plant = below(world)
    admin = new_user(world, orgId=plant, role="admin")
    client = world.post("/api/v1/clients", {"name": "CI", "orgId": plant})
    assert admin["organizationId"] == client["organizationId"] == plant
    assert ids(world, f"users?orgId={plant}") == [admin["id"]]
    assert ids(world, f"clients?orgId={plant}") == [client["id"]]
    assert admin["id"] not in ids(world, "users?limit=500")
    assert admin["id"] in ids(world, "users?limit=500&includeBelow=true")
    fields = {"grant_type": "user_credentials", "username": admin["email"], "password": PASSWORD}
    answer = world.http.post("/oauth2/token", auth=(client["clientId"], client["secret"]), params=fields)
    world.home.tokens["below"] = answer.json()["access_token"]
    assert world.get("/api/v1/me", "below")["organizationId"] == plant
    assert world.call("GET", f"/api/v1/users/{world.home.users['admin']}", "below").status_code == 404
    assert world.call("GET", f"/api/v1/users?orgId={world.home.organization_id}", "below").status_code == 404


def test_a_parent_changes_and_removes_them(world: World) -> None:
    plant = below(world)
    first, second = (new_user(world, orgId=plant, role="admin") for _ in range(2))
    client = world.post("/api/v1/clients", {"name": "CI", "orgId": plant})
    path = f"/api/v1/users/{first['id']}"
    assert world.get(path) == first
    assert world.call("PATCH", path, json={"role": "staff"}).json()["role"] == "staff"
    assert world.call("DELETE", path).status_code == 204
    last = world.call("DELETE", f"/api/v1/users/{second['id']}")
    assert last.headers["x-error-code"] == "last_admin", "of that organization, not of the parent"
    assert world.call("DELETE", f"/api/v1/clients/{client['id']}").status_code == 204
    assert ids(world, f"clients?orgId={plant}") == []


def test_searches_look_at_names_and_emails(world: World) -> None:
    made = new_user(world, name="Grace Hopper")
    assert ids(world, "users?query=HOPPER") == [made["id"]]
    assert ids(world, f"users?query={made['email'][:16]}") == [made["id"]]
    assert ids(world, "users?query=_") == []
    plant = below(world)
    assert ids(world, "organizations?query=elo") == [plant]


def test_a_user_moves_down_and_up_again_and_never_out(world: World) -> None:
    plant, user = below(world), new_user(world)
    path = f"/api/v1/users/{user['id']}/transfer"
    device = owned_device(world, user["id"])
    moved = world.post(path, {"orgId": plant, "role": "staff"})
    assert (moved["organizationId"], moved["role"]) == (plant, "staff")
    assert owner(world, device) is None
    again = world.call("POST", path, json={"orgId": plant})
    assert (again.status_code, again.headers["x-error-code"]) == (409, "already_there")
    assert world.post(path, {"orgId": world.home.organization_id})["role"] == "staff"
    for number in (world.other.organization_id, 2**31 - 1):
        assert world.call("POST", path, json={"orgId": number}).status_code == 404


def test_a_token_that_is_handed_out_while_the_user_moves_ends_too(world: World) -> None:
    desk, side, plant = world.desk, world.home, below(world)
    granted = world.token("user_credentials", username=side.email("user"), password=HOME_PASSWORD).json()
    path = f"/api/v1/users/{side.users['user']}/transfer"
    other = threading.Thread(target=lambda: world.post(path, {"orgId": plant}))
    with desk.database.write() as connection:
        refresh = granted["refresh_token"]
        grant = access.refresh(connection, desk.keyring, side.client_id, side.secret, refresh, clock(), 60)
        other.start()
        other.join(0.5)
        assert other.is_alive(), "the move waits for the refresh"
    other.join()
    side.tokens["late"] = grant.access_token
    assert world.get(f"/api/v1/users/{side.users['user']}")["organizationId"] == plant
    assert world.call("GET", "/api/v1/me", "late").status_code == 401


def test_the_devices_of_a_deleted_user_are_nobodys_and_others_keep_theirs(world: World) -> None:
    user, other = new_user(world), new_user(world)
    device, kept = owned_device(world, user["id"]), owned_device(world, other["id"])
    assert world.call("DELETE", f"/api/v1/users/{user['id']}").status_code == 204
    assert (owner(world, device), owner(world, kept)) == (None, other["id"])


def test_an_organization_is_changed_a_field_at_a_time(world: World) -> None:
    plant = below(world, description="cold", kind="branch", phone="+47 1234", units="imperial")
    path = f"/api/v1/organizations/{plant}"
    before = world.get(path)
    for field, value in (
        ("name", "South"),
        ("timeZone", "Europe/Oslo"),
        ("description", "warm"),
        ("kind", "reseller"),
        ("phone", ""),
        ("units", "metric"),
    ):
        changed = world.call("PATCH", path, json={field: value}).json()
        assert changed == {**before, field: value, "changedAt": changed["changedAt"]}
        before = changed
    assert world.call("PATCH", path, json={"timeZone": "Mars/Olympus"}).status_code == 400
    assert world.call("PATCH", path, json={"kind": "MARTIAN"}).status_code == 400
    assert world.get(path) == before

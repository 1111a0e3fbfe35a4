"""Devices that show an enrollment key become devices of its organization."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select
from tests.platform.conftest import World

from airfreight.apis.common.desk import clock
from airfreight.domain.errors import Kind, Refusal
from airfreight.services import enrollment
from airfreight.services.devices import Made
from airfreight.store.tables import devices


def enroll(world: World, key: str, uid: str, product: int | str, given: Mapping[str, object] | None = None) -> Made:
    desk = world.desk
    with desk.database.write() as connection:
        return enrollment.enroll(
            connection,
            desk.keyring,
            desk.settings,
            desk.blobs,
            key=key,
            uid=uid,
            product=product,
            given=given or {},
            now=clock(),
        )


@pytest.fixture
def key(world: World) -> str:
    made: str = world.post("/api/v1/enrollment-keys", {"name": "k"})["key"]
    return made


def refused(kind: Kind, world: World, *arguments: Any) -> None:
    with pytest.raises(Refusal) as caught:
        enroll(world, *arguments)
    assert caught.value.kind is kind


def test_a_device_enrolls_with_its_attributes(world: World, key: str) -> None:
    product = world.make("product")
    made = enroll(world, key, "d-1", product, {"version": "1.0", "timeZone": "Asia/Tokyo", "floor": 2})
    device = world.get(f"/api/v1/devices/{made.id}")
    assert (device["uid"], device["productId"], device["version"]) == ("d-1", product, "1.0")
    assert device["attributes"] == {"version": "1.0", "timeZone": "Asia/Tokyo", "floor": 2}
    with world.desk.database.read() as connection:
        row = connection.execute(select(devices)).one()
    assert bytes(row.token_hash) == world.desk.keyring.digest(made.token)
    assert row.attributes_at is not None
    assert made.token not in repr(made)


def test_without_attributes_a_device_has_not_reported_yet(world: World, key: str) -> None:
    enroll(world, key, "d-1", world.make("product"))
    with world.desk.database.read() as connection:
        assert connection.execute(select(devices.c.attributes_at)).scalar_one() is None


def test_the_product_is_named_by_id_or_by_name_and_names_go_first(world: World, key: str) -> None:
    first = world.post("/api/v1/products", {"name": "Lamp"})["id"]
    tricky = world.post("/api/v1/products", {"name": str(first)})["id"]
    for uid, product, expected in (
        ("a", "Lamp", first),
        ("b", first, first),
        ("c", str(first), tricky),
        ("d", str(tricky), tricky),
    ):
        made = enroll(world, key, uid, product)
        assert world.get(f"/api/v1/devices/{made.id}")["productId"] == expected, product


def test_an_unknown_product_is_not_found(world: World, key: str) -> None:
    world.post("/api/v1/products", {"name": "Lamp"})
    unknown = ["nope", "", "lamp", "Lamp ", "a\0b", "999", "9" * 30, "\u0661", 0, -1, 2**31, 2**70]
    for product in unknown:
        refused(Kind.NOT_FOUND, world, key, "a", product)


def test_a_product_of_another_organization_is_not_found(world: World, key: str) -> None:
    other = world.post("/api/v1/products", {"name": "Theirs"}, "client", world.other)["id"]
    for product in (other, "Theirs", str(other)):
        refused(Kind.NOT_FOUND, world, key, "a", product)


def test_only_a_key_opens_the_door(world: World, key: str) -> None:
    product = world.make("product")
    for wrong in ("", "x", key[:-1], key + " ", "\ud800", "x" * 10_000, world.home.tokens["client"], world.home.secret):
        refused(Kind.UNAUTHENTICATED, world, wrong, "a", product)
    number = world.get("/api/v1/enrollment-keys")["items"][0]["id"]
    world.call("DELETE", f"/api/v1/enrollment-keys/{number}")
    refused(Kind.UNAUTHENTICATED, world, key, "a", product)


def test_a_uid_that_is_there_already_is_a_conflict_and_changes_nothing(world: World, key: str) -> None:
    product = world.make("product")
    made = enroll(world, key, "a", product, {"version": "1"})
    refused(Kind.CONFLICT, world, key, "a", product, {"version": "2"})
    assert world.get(f"/api/v1/devices/{made.id}")["version"] == "1"
    with world.desk.database.read() as connection:
        assert bytes(connection.execute(select(devices.c.token_hash)).scalar_one() or b"") == world.desk.keyring.digest(
            made.token
        )


def test_a_bad_uid_or_bad_attributes_are_invalid(world: World, key: str) -> None:
    product = world.make("product")
    for uid in ("", "a b", "a\n", "ä", "x" * 65, "a/b", "\0"):
        refused(Kind.INVALID, world, key, uid, product)
    bad: list[dict[str, object]] = [{"": 1}, {"a": []}, {"version": 1}, {"timeZone": "Mars/Olympus"}]
    for given in bad:
        refused(Kind.INVALID, world, key, "good", product, given)


def test_of_devices_that_enroll_with_one_uid_at_once_one_gets_a_token(world: World, key: str) -> None:
    product = world.make("product")

    def one(_: int) -> Kind | None:
        try:
            enroll(world, key, "same", product)
        except Refusal as refusal:
            return refusal.kind
        return None

    with ThreadPoolExecutor(6) as pool:
        ends = list(pool.map(one, range(6)))
    assert ends.count(None) == 1
    assert ends.count(Kind.CONFLICT) == 5
    assert len(world.get("/api/v1/devices")["items"]) == 1

"""Enrollment: keys that operators make, and devices that show one to get a token of their own."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from airfreight.domain.access import Permission, Principal
from airfreight.domain.errors import not_found, unauthenticated
from airfreight.domain.ids import Millis
from airfreight.ports import Blobs
from airfreight.services import attributes, credentials, devices
from airfreight.services.call import Call
from airfreight.services.credentials import Keyring
from airfreight.services.devices import Made, Wanted
from airfreight.settings import Settings
from airfreight.store import devices as store_devices
from airfreight.store import enrollment, products


def create(call: Call, *, name: str) -> tuple[int, str]:
    """A new key and its id; the key cannot be had again."""
    call.need(Permission.DEVICE_EDIT)
    key = credentials.new_token()
    digest = call.keyring.digest(key)
    return enrollment.add(call.connection, call.organization_id, name=name, digest=digest, now=call.now), key


def search(call: Call, *, after: int, limit: int) -> list[Any]:
    call.need(Permission.DEVICE_EDIT)
    return enrollment.listed(call.connection, call.organization_id, after=after, limit=limit)


def delete(call: Call, key_id: int) -> None:
    """Delete a key; devices that used it stay. Raises NOT_FOUND."""
    call.need(Permission.DEVICE_EDIT)
    if enrollment.get(call.connection, call.organization_id, key_id) is None:
        raise not_found("Enrollment key")
    enrollment.remove(call.connection, call.organization_id, key_id)


def enroll(
    connection: Connection,
    keyring: Keyring,
    settings: Settings,
    blobs: Blobs,
    *,
    key: str,
    uid: str,
    product: int | str,
    given: Mapping[str, object],
    parent: str | None = None,
    now: Millis,
) -> Made:
    """A new device of the key's organization, for whoever shows the key. `product` is an id or an exact name.

    `parent`: the uid of the device that it is behind. Raises UNAUTHENTICATED, NOT_FOUND for product or parent, INVALID
    for uid or attributes, CONFLICT for a known uid.
    """
    digest = keyring.digest(key)
    row = enrollment.by_digest(connection, digest)
    if row is None or not credentials.same(row.hash, digest):
        raise unauthenticated("The enrollment key is unknown.")
    who = Principal(row.organization_id, frozenset({Permission.DEVICE_EDIT}), name=f"enrollment key {row.id}")
    call = Call(who, row.organization_id, now, connection, settings, keyring, blobs)
    merged = attributes.merge("{}", given)
    columns: dict[str, object] = {**merged.columns, "attributes": merged.json, "attributes_at": now if given else None}
    if parent is not None:
        columns["parent_id"] = _parent_id(call, parent)
    return devices.add(call, _product_id(call, product), [Wanted(uid)], columns=columns)[0]


def _parent_id(call: Call, uid: str) -> int:
    found = store_devices.id_of(call.connection, call.organization_id, uid) if uid.isprintable() else None
    if found is None:
        raise not_found("Parent")
    return found


def _product_id(call: Call, product: int | str) -> int:
    """A name is tried first: command lines give ids as text too."""
    if isinstance(product, str):
        named = products.named(call.connection, call.organization_id, product) if product.isprintable() else None
        if named is not None:
            return int(named.id)
        product = int(product) if product.isascii() and product.isdigit() and len(product) < 10 else 0
    if not 1 <= product < 2**31:
        raise not_found("Product")
    return product

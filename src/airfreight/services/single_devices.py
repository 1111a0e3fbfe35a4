"""Devices that are known by 24 hex digits alone, whatever product they are of; the verbs of services.devices."""

import secrets
from typing import Any

from airfreight.domain.access import Permission
from airfreight.domain.errors import not_found
from airfreight.services import devices, groups, products, single_updates
from airfreight.services.call import Call
from airfreight.services.devices import Wanted
from airfreight.store import products as product_rows
from airfreight.store import single_updates as store

PRODUCT = "Device OTA"
"""The product of devices that are made without naming one."""


def create(call: Call, name: str | None) -> tuple[Any, str]:
    """A new device and its token, which cannot be had again; without a name it gets 10 random characters."""
    call.need(Permission.DEVICE_EDIT)
    product = product_rows.named(call.connection, call.organization_id, PRODUCT)
    product = product or products.create(call, name=PRODUCT)
    wanted = Wanted(name=name or secrets.token_hex(5))
    _, made = devices.create(call, product_id=product.id, wanted=wanted)
    return store.device_shown(call.connection, made.id), made.token


def search(call: Call, *, part: str, skip: int, limit: int, newest_first: bool) -> tuple[list[Any], int, int]:
    """One page of them, there and below; how many in all, and how many have `part` in their name."""
    call.need(Permission.DEVICE_VIEW)
    return store.devices_listed(
        call.connection, call.organization_id, search=part, skip=skip, limit=limit, newest_first=newest_first
    )


def get(call: Call, uid: str) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND."""
    call.need(Permission.DEVICE_VIEW)
    return store.device_shown(call.connection, _id(call, uid))


def change(call: Call, uid: str, name: str | None, group: str | None) -> Any:  # noqa: ANN401 - a row
    """A new name, a group (`groups.move`), both or neither. Raises NOT_FOUND, INVALID."""
    call.need(Permission.DEVICE_EDIT)
    device_id = _id(call, uid)
    if group is not None:
        groups.move(call, device_id, group)
    if name is not None:
        devices.rename(call, device_id, name)
    return store.device_shown(call.connection, device_id)


def delete(call: Call, uid: str) -> None:
    """Raises NOT_FOUND, CONFLICT when the device fetches something at the same moment."""
    call.need(Permission.DEVICE_EDIT)
    devices.delete(call, _id(call, uid))


def _id(call: Call, uid: str) -> int:
    found = store.with_uid(call.connection, call.organization_id, uid) if single_updates.is_uid(uid) else []
    if not found:
        raise not_found("Device")
    return int(found[0].id)

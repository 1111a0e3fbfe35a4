"""Groups of devices: made, looked at, renamed, removed; and who is in which."""

import secrets
from typing import Any

from airfreight.domain.access import Permission
from airfreight.domain.errors import invalid, not_found
from airfreight.services import credentials, devices
from airfreight.services.call import Call
from airfreight.services.single_updates import is_uid
from airfreight.store import devices as device_rows
from airfreight.store import groups as store
from airfreight.store import single_updates as single_rows

LEAVE = "undefined"
"""What a device's group is called by who wants it in none. Source: the Device OTA reference, section 15."""


def create(call: Call, name: str | None) -> tuple[Any, str]:
    """A new group and its token, which cannot be had again; without a name it gets 10 random characters."""
    call.need(Permission.DEVICE_EDIT)
    token = credentials.new_device_token()
    row = store.add(
        call.connection,
        organization_id=call.organization_id,
        uid=secrets.token_hex(12),
        name=name or secrets.token_hex(5),
        token_hash=call.keyring.digest(token),
        now=call.now,
    )
    return row, token


def search(call: Call, *, part: str, skip: int, limit: int, newest_first: bool) -> tuple[list[Any], int, int]:
    """One page of them, there and below; how many in all, and how many have `part` in their name."""
    call.need(Permission.DEVICE_VIEW)
    return store.listed(
        call.connection, call.organization_id, search=part, skip=skip, limit=limit, newest_first=newest_first
    )


def get(call: Call, uid: str) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND."""
    call.need(Permission.DEVICE_VIEW)
    return _find(call, uid)


def devices_of(
    call: Call, uid: str, *, part: str, skip: int, limit: int, newest_first: bool
) -> tuple[list[Any], int, int]:
    """One page of its devices, as services.single_devices shows them. Raises NOT_FOUND."""
    call.need(Permission.DEVICE_VIEW)
    group = _find(call, uid)
    return single_rows.devices_listed(
        call.connection,
        call.organization_id,
        search=part,
        skip=skip,
        limit=limit,
        newest_first=newest_first,
        group_id=group.id,
    )


def rename(call: Call, uid: str, name: str | None) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND."""
    call.need(Permission.DEVICE_EDIT)
    group = _find(call, uid, lock=True)
    if name is not None:
        store.rename(call.connection, group.id, name)
    return _find(call, uid)


def delete(call: Call, uid: str) -> None:
    """Remove a group: its addresses end, its devices are in none. What was sent to them goes on. Raises NOT_FOUND."""
    call.need(Permission.DEVICE_EDIT)
    store.remove(call.connection, _find(call, uid, lock=True).id)


def check_id(uid: str) -> str:
    """Raises INVALID for what no group could have as its id."""
    if not is_uid(uid):
        raise invalid("Group ID is not valid", "bad_group_id")
    return uid


def move(call: Call, device_id: int, uid: str) -> None:
    """Put a device into a group, or (LEAVE) into none. A group that is not its organization's is left unsaid.

    Raises INVALID for what is no id, NOT_FOUND for the device.
    """
    call.need(Permission.DEVICE_EDIT)
    home = call.at(device_rows.home(call.connection, device_id), "Device")
    if uid == LEAVE:
        devices.set_group(home, device_id, None)
        return
    group = store.find(home.connection, home.organization_id, check_id(uid), lock=True)
    if group is not None and group.organization_id == home.organization_id:
        devices.set_group(home, device_id, group.id)


def _find(call: Call, uid: str, *, lock: bool = False) -> Any:  # noqa: ANN401 - a row
    group = store.find(call.connection, call.organization_id, uid, lock=lock) if is_uid(uid) else None
    if group is None:
        raise not_found("Group")
    return group

"""Groups of devices: made, looked at, renamed, removed; and who is in which.

Rule: a group with a filter is live, its devices are those that match; one without is fixed, its devices were put into
it. It stays what it was made as. What takes a uid knows fixed ones only; either has devices of its organization only.
"""

import secrets
from typing import Any

from sqlalchemy import Connection

from airfreight.domain.access import Permission
from airfreight.domain.errors import conflict, invalid, not_found
from airfreight.domain.filter_language import parse
from airfreight.domain.ids import Millis
from airfreight.services import credentials, devices
from airfreight.services.call import Call
from airfreight.services.single_updates import is_uid
from airfreight.settings import Settings
from airfreight.store import devices as device_rows
from airfreight.store import filters
from airfreight.store import groups as store
from airfreight.store import single_updates as single_rows

PREVIEWED = 20
LEAVE = "undefined"
"""What a device's group is called by who wants it in none. Source: the Device OTA reference, section 15."""


def create(call: Call, name: str | None) -> tuple[Any, str]:
    """A new group and its token, which cannot be had again; without a name it gets 10 random characters."""
    call.need(Permission.DEVICE_EDIT)
    token = credentials.new_device_token()
    return _add(call, name or secrets.token_hex(5), token_hash=call.keyring.digest(token)), token


def create_live(call: Call, name: str, text: str) -> Any:  # noqa: ANN401 - a row
    """A new group of the devices that match. Raises INVALID (bad_filter) as domain.filter_language.parse."""
    call.need(Permission.DEVICE_EDIT)
    parse(text)
    return _add(call, name, filter=text)


def _add(call: Call, name: str, **values: object) -> Any:  # noqa: ANN401 - a row
    values |= {"organization_id": call.organization_id, "name": name, "created_at": call.now}
    return store.add(call.connection, {"uid": secrets.token_hex(12), **values})


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
        store.change(call.connection, group.id, {"name": name})
    return _find(call, uid)


def delete(call: Call, uid: str) -> None:
    """Remove a group: its addresses end, its devices are in none. What was sent to them goes on. Raises NOT_FOUND."""
    call.need(Permission.DEVICE_EDIT)
    store.remove(call.connection, _find(call, uid, lock=True).id)


def paged(call: Call, *, after: int, limit: int) -> list[Any]:
    """The groups of the organization acted on, fixed and live."""
    call.need(Permission.DEVICE_VIEW)
    return store.paged(call.connection, call.organization_id, after=after, limit=limit)


def numbered(call: Call, group_id: int) -> Any:  # noqa: ANN401 - a row
    """A fixed or live group of the organization acted on or one below it. Raises NOT_FOUND."""
    call.need(Permission.DEVICE_VIEW)
    return _at(call, group_id)[1]


def change(call: Call, group_id: int, *, name: str | None, text: str | None) -> Any:  # noqa: ANN401 - a row
    """Another name, another filter; None stays. Raises NOT_FOUND, INVALID (bad_filter), CONFLICT for a fixed group."""
    call.need(Permission.DEVICE_EDIT)
    home, group = _at(call, group_id, lock=True)
    values = {"name": group.name if name is None else name}
    if text is not None:
        if not group.filter:
            raise conflict("Devices are put into this group, so it has no filter. Make another group.", "fixed_group")
        parse(text)
        values["filter"] = text
    store.change(home.connection, group_id, values)
    return _at(home, group_id)[1]


def remove(call: Call, group_id: int) -> None:
    """As `delete`, fixed or live. Raises NOT_FOUND."""
    call.need(Permission.DEVICE_EDIT)
    home, _ = _at(call, group_id, lock=True)
    store.remove(home.connection, group_id)


def matching(call: Call, group: Any) -> list[int]:  # noqa: ANN401 - a row of groups
    """The ids of the devices that are in a group now, in order. NOT_FOUND for one of another organization."""
    call.need(Permission.DEVICE_VIEW)
    home = call.at(group.organization_id, "Group")
    return store.matching(home.connection, home.organization_id, _members(home, group))


def count(call: Call, group: Any) -> int:  # noqa: ANN401 - a row of groups
    """How many devices are in it now. Raises as `matching`."""
    call.need(Permission.DEVICE_VIEW)
    home = call.at(group.organization_id, "Group")
    return store.count(home.connection, home.organization_id, _members(home, group))


def members(call: Call, group_id: int, *, after: int, limit: int) -> list[Any]:
    """One page of the devices that are in it now, as `devices.search` has them. Raises NOT_FOUND."""
    call.need(Permission.DEVICE_VIEW)
    home, group = _at(call, group_id)
    where = _members(home, group)
    return device_rows.listed(home.connection, home.organization_id, where=where, after=after, limit=limit)


def preview(call: Call, text: str) -> tuple[int, list[Any]]:
    """How many devices match a filter, and the first PREVIEWED of them. Raises INVALID (bad_filter)."""
    call.need(Permission.DEVICE_VIEW)
    where = _matching(call.connection, call.settings, call.organization_id, text, call.now)
    shown = device_rows.listed(call.connection, call.organization_id, where=where, after=0, limit=PREVIEWED)
    total = len(shown) if len(shown) < PREVIEWED else store.count(call.connection, call.organization_id, where)
    return total, shown


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


def _at(call: Call, group_id: int, *, lock: bool = False) -> tuple[Call, Any]:
    """The group, and the call on its organization."""
    home = call.at(store.home(call.connection, group_id), "Group")
    group = store.get(home.connection, home.organization_id, group_id, lock=lock)
    if group is None:
        raise not_found("Group")
    return home, group


def of_uid(call: Call, uid: str) -> Any:  # noqa: ANN401 - a row
    """A fixed or live group of the organization acted on, or None."""
    call.need(Permission.DEVICE_VIEW)
    return store.of_uid(call.connection, call.organization_id, uid)


def condition(connection: Connection, settings: Settings, group: Any, now: Millis) -> filters.Condition:  # noqa: ANN401
    """What is true of a group's devices, for a query of devices."""
    if not group.filter:
        return store.put_into(group.id)
    return _matching(connection, settings, group.organization_id, group.filter, now)


def _members(call: Call, group: Any) -> filters.Condition:  # noqa: ANN401 - a row of groups
    return condition(call.connection, call.settings, group, call.now)


def _matching(
    connection: Connection, settings: Settings, organization_id: int, text: str, now: Millis
) -> filters.Condition:
    moment = filters.Now(now, online_since=now - settings.online_seconds * 1000)
    return filters.condition(connection, organization_id, parse(text), moment)


def _find(call: Call, uid: str, *, lock: bool = False) -> Any:  # noqa: ANN401 - a row
    group = store.find(call.connection, call.organization_id, uid, lock=lock) if is_uid(uid) else None
    if group is None:
        raise not_found("Group")
    return group

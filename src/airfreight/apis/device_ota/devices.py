"""Devices as this door shows them. A token is shown once, by the request that makes the device."""

from typing import Annotated

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET

from airfreight.apis.common.desk import Desk
from airfreight.apis.device_ota import translate
from airfreight.apis.device_ota.operators import (
    DEFAULT_LIMIT,
    TAGS,
    Asked,
    Draw,
    Limit,
    Offset,
    Order,
    Search,
    problems,
)
from airfreight.apis.device_ota.shapes import Device, DeviceChange, DeviceCreate, DevicePage, Message
from airfreight.domain.access import Permission
from airfreight.services import single_devices

Uid = Annotated[
    str,
    PathParameter(description="The device's id: 24 hex digits.", schema_extra={"pattern": "^[0-9a-f]{24}$"}),
]
"""Only documented: another text is no device's, and that is what it is told."""
_UNNAMED = DeviceCreate()


@get(
    "/devices",
    operation_id="getOtaDevices",
    need=Permission.DEVICE_VIEW,
    tags=TAGS,
    responses=problems(body=False),
    sync_to_thread=True,
)
def get_devices(
    request: Asked,
    desk: NamedDependency[Desk],
    search: Search = "",
    offset: Offset = 0,
    limit: Limit = DEFAULT_LIMIT,
    draw: Draw = None,
    order: Order = "asc",
) -> DevicePage:
    """The devices that have an id of this door's kind; `search_value` is looked for in their names. `DEVICE_VIEW`."""
    with desk.read(request) as call:
        rows, total, matching = single_devices.search(
            call, part=search, skip=offset, limit=limit, newest_first=order == "desc"
        )
        return DevicePage([translate.device(row) for row in rows], total, matching, UNSET if draw is None else draw)


@post(
    "/devices",
    operation_id="makeOtaDevice",
    need=Permission.DEVICE_EDIT,
    tags=TAGS,
    status_code=201,
    responses=problems(),
    sync_to_thread=True,
)
def make_device(request: Asked, desk: NamedDependency[Desk], data: JSONBody[DeviceCreate] = _UNNAMED) -> Device:
    """Make a device; its token is shown this once. Needs `DEVICE_EDIT`, and `PRODUCT_EDIT` for the very first one."""
    with desk.write(request) as call:
        row, token = single_devices.create(call, None if data.name is UNSET else data.name)
        return translate.device(row, token)


@get(
    "/devices/{uid:str}",
    operation_id="getOtaDevice",
    need=Permission.DEVICE_VIEW,
    tags=TAGS,
    responses=problems(body=False),
    sync_to_thread=True,
)
def get_device(request: Asked, desk: NamedDependency[Desk], uid: Uid) -> Device:
    """One device. Needs `DEVICE_VIEW`."""
    with desk.read(request) as call:
        return translate.device(single_devices.get(call, uid))


@put(
    "/devices/{uid:str}",
    operation_id="changeOtaDevice",
    need=Permission.DEVICE_EDIT,
    tags=TAGS,
    responses=problems(),
    sync_to_thread=True,
)
def change_device(request: Asked, desk: NamedDependency[Desk], uid: Uid, data: JSONBody[DeviceChange]) -> Device:
    """Give it another name, put it into a group, or (`undefined`) into none. Needs `DEVICE_EDIT`."""
    name = None if data.name is UNSET else data.name
    group = None if data.group is UNSET else data.group
    with desk.write(request) as call:
        return translate.device(single_devices.change(call, uid, name, group))


@delete(
    "/devices/{uid:str}",
    operation_id="removeOtaDevice",
    need=Permission.DEVICE_EDIT,
    tags=TAGS,
    status_code=200,
    responses=problems(),
    sync_to_thread=True,
)
def remove_device(request: Asked, desk: NamedDependency[Desk], uid: Uid) -> Message:
    """Remove a device: its token ends and nothing is sent to it any more. Needs `DEVICE_EDIT`."""
    with desk.write(request) as call:
        single_devices.delete(call, uid)
    return Message("Device successfully removed")

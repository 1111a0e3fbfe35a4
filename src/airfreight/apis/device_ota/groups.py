"""Groups, and uploads for them, as this door shows them. A token is shown once, by the request that makes the group."""

import asyncio
from typing import Annotated

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET

from airfreight.apis.common import uploads
from airfreight.apis.common.desk import Desk
from airfreight.apis.device_ota import translate
from airfreight.apis.device_ota.errors import NO_SUCH_GROUP
from airfreight.apis.device_ota.operators import (
    DEFAULT_LIMIT,
    DEPLOYED,
    FAILURE,
    TAGS,
    Asked,
    Draw,
    Limit,
    Offset,
    Order,
    Search,
    Uploads,
    form_of,
    problems,
    take,
)
from airfreight.apis.device_ota.shapes import DevicePage, Group, GroupName, GroupOtaPage, GroupPage, Message
from airfreight.domain.access import Permission
from airfreight.domain.errors import Kind
from airfreight.services import group_updates, groups

Uid = Annotated[
    str,
    PathParameter(description="The group's id: 24 hex digits.", schema_extra={"pattern": "^[0-9a-f]{24}$"}),
]
_UNNAMED = GroupName()
_MISSING = {"missing": NO_SUCH_GROUP}
_READ = problems(body=False, missing=NO_SUCH_GROUP)
_WRITE = problems(missing=NO_SUCH_GROUP)


@get(
    "/ota/group",
    operation_id="getGroupOtas",
    need=Permission.OTA_VIEW,
    tags=TAGS,
    responses=_READ,
    opt={"failure": "Error when getting group OTA's."},
    sync_to_thread=True,
)
def get_group_otas(
    request: Asked,
    desk: NamedDependency[Desk],
    search: Search = "",
    offset: Offset = 0,
    limit: Limit = DEFAULT_LIMIT,
    draw: Draw = None,
    order: Order = "desc",
) -> GroupOtaPage:
    """The last upload of each group. Needs `OTA_VIEW`."""
    with desk.read(request) as call:
        rows, total, matching = group_updates.listed(
            call, search=search, skip=offset, limit=limit, newest_first=order == "desc"
        )
        otas = [translate.group_ota(row) for row in rows]
        return GroupOtaPage(otas, total, matching, UNSET if draw is None else draw)


@post(
    "/ota/group",
    operation_id="makeGroupOta",
    need=Permission.OTA_START,
    tags=TAGS,
    status_code=201,
    responses=_WRITE,
    request_max_body_size=None,
    opt={
        "request_content": form_of("group"),
        "failure": FAILURE,
        "statuses": {Kind.UNSUPPORTED: 400},
        **_MISSING,
    },
)
async def make_group_ota(request: Asked, desk: NamedDependency[Desk]) -> Message:
    """Upload a file for the devices of a group (multipart: `firmware`, `group`, `token`, `version`). Needs `OTA_START`.

    The rollout is of the devices that are in the group at this moment. Nothing is stored unless all is right.
    """
    await asyncio.to_thread(uploads.check, request, desk, desk.settings.max_upload_bytes, uploads.OVERHEAD)
    await take(request, desk, Uploads("group", translate.group_wish, group_updates.check, group_updates.upload))
    return DEPLOYED


@get(
    "/groups", operation_id="getOtaGroups", need=Permission.DEVICE_VIEW, tags=TAGS, responses=_READ, sync_to_thread=True
)
def get_groups(
    request: Asked,
    desk: NamedDependency[Desk],
    search: Search = "",
    offset: Offset = 0,
    limit: Limit = DEFAULT_LIMIT,
    draw: Draw = None,
    order: Order = "asc",
) -> GroupPage:
    """The groups; `search_value` is looked for in their names. Needs `DEVICE_VIEW`."""
    with desk.read(request) as call:
        rows, total, matching = groups.search(call, part=search, skip=offset, limit=limit, newest_first=order == "desc")
        return GroupPage([translate.group(row) for row in rows], total, matching, UNSET if draw is None else draw)


@post(
    "/groups",
    operation_id="makeOtaGroup",
    need=Permission.DEVICE_EDIT,
    tags=TAGS,
    status_code=201,
    responses=_WRITE,
    sync_to_thread=True,
)
def make_group(request: Asked, desk: NamedDependency[Desk], data: JSONBody[GroupName] = _UNNAMED) -> Group:
    """Make a group; its token is shown this once. Needs `DEVICE_EDIT`."""
    with desk.write(request) as call:
        row, token = groups.create(call, None if data.name is UNSET else data.name)
        return translate.group(row, token)


@get(
    "/groups/{uid:str}",
    operation_id="getOtaGroup",
    need=Permission.DEVICE_VIEW,
    tags=TAGS,
    responses=_READ,
    opt=_MISSING,
    sync_to_thread=True,
)
def get_group(request: Asked, desk: NamedDependency[Desk], uid: Uid) -> Group:
    """One group. Needs `DEVICE_VIEW`."""
    with desk.read(request) as call:
        return translate.group(groups.get(call, uid))


@put(
    "/groups/{uid:str}",
    operation_id="changeOtaGroup",
    need=Permission.DEVICE_EDIT,
    tags=TAGS,
    responses=_WRITE,
    opt=_MISSING,
    sync_to_thread=True,
)
def change_group(request: Asked, desk: NamedDependency[Desk], uid: Uid, data: JSONBody[GroupName]) -> Group:
    """Give it another name. Needs `DEVICE_EDIT`."""
    with desk.write(request) as call:
        return translate.group(groups.rename(call, uid, None if data.name is UNSET else data.name))


@delete(
    "/groups/{uid:str}",
    operation_id="removeOtaGroup",
    need=Permission.DEVICE_EDIT,
    tags=TAGS,
    status_code=200,
    responses=_WRITE,
    opt=_MISSING,
    sync_to_thread=True,
)
def remove_group(request: Asked, desk: NamedDependency[Desk], uid: Uid) -> Message:
    """Remove a group: its devices stay, in none; what was sent to them goes on. Needs `DEVICE_EDIT`."""
    with desk.write(request) as call:
        groups.delete(call, uid)
    return Message("Group successfully removed")


@get(
    "/groups/devices/{uid:str}",
    operation_id="getOtaGroupDevices",
    need=Permission.DEVICE_VIEW,
    tags=TAGS,
    responses=_READ,
    opt=_MISSING,
    sync_to_thread=True,
)
def get_group_devices(
    request: Asked,
    desk: NamedDependency[Desk],
    uid: Uid,
    search: Search = "",
    offset: Offset = 0,
    limit: Limit = DEFAULT_LIMIT,
    draw: Draw = None,
    order: Order = "asc",
) -> DevicePage:
    """The devices of a group; `search_value` is looked for in their names. Needs `DEVICE_VIEW`."""
    with desk.read(request) as call:
        rows, total, matching = groups.devices_of(
            call, uid, part=search, skip=offset, limit=limit, newest_first=order == "desc"
        )
        return DevicePage([translate.device(row) for row in rows], total, matching, UNSET if draw is None else draw)

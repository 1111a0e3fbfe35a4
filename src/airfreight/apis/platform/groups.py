"""`/api/v1/groups`: live groups by their filter, and the fixed ones of the Device OTA operations."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import At, Name
from airfreight.apis.common.paging import After, Limit, Page, RowId, page
from airfreight.apis.platform import devices
from airfreight.apis.platform.devices import Device
from airfreight.apis.platform.products import OrgId, OrgIn
from airfreight.domain.access import Permission
from airfreight.domain.filter_language import LONGEST
from airfreight.services import groups

TAGS = ["Groups"]

Filter = Annotated[
    str,
    msgspec.Meta(
        max_length=LONGEST,
        description='Which devices, such as `version < "2.0.0" and attributes.site in ("a", "b")`.',
        examples=['version < "2.0.0" and not online'],
    ),
]
Kept = Annotated[str, msgspec.Meta(description="Empty for a fixed group: its devices are put into it.")]
Token = Annotated[
    str | None, msgspec.Meta(description="Of a fixed group, for uploads and its address; shown this once.")
]


class GroupIn(In):
    """Without a filter (or with an empty one) the group is fixed."""

    name: Name
    filter: Filter = ""
    org_id: OrgIn | None = None


class GroupChange(In):
    """What is absent stays as it is. Only a live group has a filter to change."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    filter: Filter | msgspec.UnsetType = msgspec.UNSET


class PreviewIn(In):
    filter: Filter
    org_id: OrgIn | None = None


class Group(Out):
    """`uid` is what the Device OTA operations call a fixed group."""

    id: int
    organization_id: int
    uid: str
    name: str
    filter: Kept
    created_at: At


class NewGroup(Group):
    token: Token


class CountedGroup(Group):
    """`total`: how many devices are in it now."""

    total: int


class Preview(Out):
    """How many devices match now, and the first 20 of them."""

    total: int
    devices: list[Device]


def shape(row: Any) -> Group:  # noqa: ANN401 - a row
    return Group(**{name: getattr(row, name) for name in Group.__struct_fields__})


@post("/", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def create_group(request: Request[Any, Any, Any], desk: NamedDependency[Desk], data: JSONBody[GroupIn]) -> NewGroup:
    """Create a group. Needs `DEVICE_EDIT`. With a filter it is live: whatever matches at a moment is in it then."""
    with desk.write(request, data.org_id) as call:
        token = None
        if data.filter:
            row = groups.create_live(call, data.name, data.filter)
        else:
            row, token = groups.create(call, data.name)
        return NewGroup(**msgspec.structs.asdict(shape(row)), token=token)


@post("/preview", need=Permission.DEVICE_VIEW, tags=TAGS, status_code=200, sync_to_thread=True)
def preview_group(request: Request[Any, Any, Any], desk: NamedDependency[Desk], data: JSONBody[PreviewIn]) -> Preview:
    """Show which devices a filter matches; nothing is made. Needs `DEVICE_VIEW`."""
    with desk.read(request, data.org_id) as call:
        total, rows = groups.preview(call, data.filter)
        return Preview(total=total, devices=[devices.shape(call, row) for row in rows])


@get("/", need=Permission.DEVICE_VIEW, tags=TAGS, sync_to_thread=True)
def list_groups(
    request: Request[Any, Any, Any],
    desk: NamedDependency[Desk],
    org_id: OrgId = None,
    limit: Limit = 50,
    after: After = 0,
) -> Page[Group]:
    """List the groups of an organization, oldest first. Needs `DEVICE_VIEW`."""
    with desk.read(request, org_id) as call:
        return page(groups.paged(call, after=after, limit=limit + 1), limit, shape)


@get("/{group_id:int}", need=Permission.DEVICE_VIEW, tags=TAGS, sync_to_thread=True)
def get_group(request: Request[Any, Any, Any], desk: NamedDependency[Desk], group_id: RowId) -> CountedGroup:
    """Get a group. Needs `DEVICE_VIEW`."""
    with desk.read(request) as call:
        row = groups.numbered(call, group_id)
        return CountedGroup(**msgspec.structs.asdict(shape(row)), total=groups.count(call, row))


@get("/{group_id:int}/devices", need=Permission.DEVICE_VIEW, tags=TAGS, sync_to_thread=True)
def list_group_devices(
    request: Request[Any, Any, Any],
    desk: NamedDependency[Desk],
    group_id: RowId,
    limit: Limit = 50,
    after: After = 0,
) -> Page[Device]:
    """List the devices that are in a group now, oldest first. Needs `DEVICE_VIEW`."""
    with desk.read(request) as call:
        rows = groups.members(call, group_id, after=after, limit=limit + 1)
        return page(rows, limit, lambda row: devices.shape(call, row))


@patch("/{group_id:int}", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def change_group(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], group_id: RowId, data: JSONBody[GroupChange]
) -> Group:
    """Change a group. Needs `DEVICE_EDIT`."""
    name, text = (None if given is msgspec.UNSET else given for given in (data.name, data.filter))
    with desk.write(request) as call:
        return shape(groups.change(call, group_id, name=name, text=text))


@delete("/{group_id:int}", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def delete_group(request: Request[Any, Any, Any], desk: NamedDependency[Desk], group_id: RowId) -> None:
    """Delete a group. Needs `DEVICE_EDIT`. Its devices stay; what was sent to them goes on."""
    with desk.write(request) as call:
        groups.remove(call, group_id)


router = Router(
    "/api/v1/groups",
    route_handlers=[
        create_group,
        preview_group,
        list_groups,
        get_group,
        list_group_devices,
        change_group,
        delete_group,
    ],
)

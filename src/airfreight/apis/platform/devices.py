"""`/api/v1/devices`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import LINE, UID, At, Line, OldToken
from airfreight.apis.common.paging import After, Limit, Page, RowId, page
from airfreight.apis.platform.products import OrgId, OrgIn
from airfreight.domain.access import Permission
from airfreight.domain.errors import invalid
from airfreight.services import attributes, devices
from airfreight.services.call import Call
from airfreight.services.devices import MOST_AT_ONCE, Made, Wanted

TAGS = ["Devices"]

ProductId = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Uid = Annotated[str, msgspec.Meta(pattern=UID, description="Its external identity; made up if left out.")]
DeviceName = Annotated[Line, msgspec.Meta(max_length=100)]
OfProduct = Annotated[int | None, QueryParameter(name="productId", ge=1, le=2**31 - 1)]
Part = Annotated[str, QueryParameter(name="query", max_length=100, pattern=LINE, description="Part of uid or name.")]
Token = Annotated[str, msgspec.Meta(description="Shown this once; empty for a device behind another one.")]


ParentIn = Annotated[
    int, msgspec.Meta(ge=1, le=2**31 - 1, description="The device that it is behind: it gets no token of its own.")
]
OfParent = Annotated[int | None, QueryParameter(name="parentId", ge=1, le=2**31 - 1)]
OwnerId = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1, description="A user of the device's organization.")]
Given = Annotated[
    dict[str, str | bool | int | float | None],
    msgspec.Meta(max_length=100, description="Laid over those it has; null removes. What the device says later wins."),
]
AutoUpdate = Annotated[
    bool | None, msgspec.Meta(description="Whether updates come by themselves; null: as the product says.")
]


Enabled = Annotated[
    bool, msgspec.Meta(description="False: it is told nothing and downloads nothing; what it reports is taken.")
]


class DeviceIn(In):
    product_id: ProductId
    uid: Uid | None = None
    name: DeviceName = ""
    token: OldToken | None = None
    owner_user_id: OwnerId | None = None
    parent_id: ParentIn | None = None
    org_id: OrgIn | None = None


class DeviceChange(In):
    """What is absent stays as it is."""

    name: DeviceName | msgspec.UnsetType = msgspec.UNSET
    auto_update: AutoUpdate | msgspec.UnsetType = msgspec.UNSET
    owner_user_id: OwnerId | msgspec.UnsetType | None = msgspec.UNSET
    attributes: Given | msgspec.UnsetType = msgspec.UNSET
    enabled: Enabled | msgspec.UnsetType = msgspec.UNSET


class BulkDevice(In):
    uid: Uid | None = None
    name: DeviceName = ""
    token: OldToken | None = None


class BulkIn(In):
    """Either `count` or `devices`."""

    product_id: ProductId
    parent_id: ParentIn | None = None
    org_id: OrgIn | None = None
    count: Annotated[int, msgspec.Meta(ge=1, le=MOST_AT_ONCE)] | None = None
    devices: Annotated[list[BulkDevice], msgspec.Meta(min_length=1, max_length=MOST_AT_ONCE)] | None = None


class Device(Out):
    """`version` is also among the attributes; `online`: heard from lately."""

    id: int
    organization_id: int
    uid: str
    name: str
    product_id: int
    parent_id: Annotated[int | None, msgspec.Meta(description="The device that it is behind, which speaks for it.")]
    owner_user_id: int | None
    auto_update: AutoUpdate
    enabled: Enabled
    attributes: dict[str, str | bool | float]
    version: str
    last_seen_at: At | None
    online: bool
    created_at: At


class NewDevice(Device):
    token: Token


class DeviceToken(Out):
    id: int
    uid: str
    token: Token


class BulkItem(DeviceToken):
    name: str


class BulkAnswer(Out):
    """In the order asked for."""

    items: list[BulkItem]


def shape(call: Call, row: Any) -> Device:  # noqa: ANN401 - a row
    return Device(
        id=row.id,
        organization_id=row.organization_id,
        uid=row.uid,
        name=row.name,
        product_id=row.product_id,
        parent_id=row.parent_id,
        owner_user_id=row.owner_user_id,
        auto_update=row.auto_update,
        enabled=row.enabled,
        attributes=attributes.shown(row),
        version=row.version,
        last_seen_at=row.seen_at,
        online=devices.is_online(call, row),
        created_at=row.created_at,
    )


@post("/", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def create_device(request: Request[Any, Any, Any], desk: NamedDependency[Desk], data: JSONBody[DeviceIn]) -> NewDevice:
    """Create a device. Needs `DEVICE_EDIT`. Running rollouts of the whole product include it."""
    with desk.write(request, data.org_id) as call:
        wanted = Wanted(data.uid, data.name, data.token)
        row, made = devices.create(
            call, product_id=data.product_id, wanted=wanted, owner_user_id=data.owner_user_id, parent_id=data.parent_id
        )
        return NewDevice(**msgspec.structs.asdict(shape(call, row)), token=made.token)


@post("/bulk", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def create_devices(request: Request[Any, Any, Any], desk: NamedDependency[Desk], data: JSONBody[BulkIn]) -> BulkAnswer:
    """Create many devices at once, or none of them. Needs `DEVICE_EDIT`."""
    if (data.count is None) == (data.devices is None):
        raise invalid("Give one of count and devices.", "one_of")
    wanted = [Wanted(one.uid, one.name, one.token) for one in data.devices or ()] or [Wanted()] * (data.count or 0)
    with desk.write(request, data.org_id) as call:
        made = devices.create_many(call, product_id=data.product_id, wanted=wanted, parent_id=data.parent_id)
    return BulkAnswer(items=[BulkItem(id=one.id, uid=one.uid, name=one.name, token=one.token) for one in made])


@get("/", need=Permission.DEVICE_VIEW, tags=TAGS, sync_to_thread=True)
def list_devices(
    request: Request[Any, Any, Any],
    desk: NamedDependency[Desk],
    product_id: OfProduct = None,
    parent_id: OfParent = None,
    part: Part = "",
    org_id: OrgId = None,
    limit: Limit = 50,
    after: After = 0,
) -> Page[Device]:
    """List the devices of an organization, oldest first. Needs `DEVICE_VIEW`."""
    with desk.read(request, org_id) as call:
        rows = devices.search(
            call, product_id=product_id, query=part, parent_id=parent_id, after=after, limit=limit + 1
        )
        return page(rows, limit, lambda row: shape(call, row))


@get("/{device_id:int}", need=Permission.DEVICE_VIEW, tags=TAGS, sync_to_thread=True)
def get_device(request: Request[Any, Any, Any], desk: NamedDependency[Desk], device_id: RowId) -> Device:
    """Get a device. Needs `DEVICE_VIEW`."""
    with desk.read(request) as call:
        return shape(call, devices.get(call, device_id))


@patch("/{device_id:int}", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def change_device(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], device_id: RowId, data: JSONBody[DeviceChange]
) -> Device:
    """Change a device. Needs `DEVICE_EDIT`. It is decided for again; `version` and `build` only it can tell."""
    given: dict[str, Any] = {} if data.attributes is msgspec.UNSET else dict(data.attributes)
    if data.auto_update is not msgspec.UNSET:
        given["autoUpdate"] = data.auto_update
    with desk.write(request) as call:
        row = devices.describe(call, device_id, given)
        if data.name is not msgspec.UNSET:
            row = devices.rename(call, device_id, data.name)
        if data.owner_user_id is not msgspec.UNSET:
            row = devices.give(call, device_id, data.owner_user_id)
        if data.enabled is not msgspec.UNSET:
            row = devices.switch(call, device_id, on=data.enabled)
        return shape(call, row)


@post("/{device_id:int}/rotate-token", need=Permission.DEVICE_EDIT, tags=TAGS, status_code=200, sync_to_thread=True)
def rotate_device_token(request: Request[Any, Any, Any], desk: NamedDependency[Desk], device_id: RowId) -> DeviceToken:
    """Give a device a new token; the old one ends. Needs `DEVICE_EDIT`."""
    with desk.write(request) as call:
        return _token(devices.rotate_token(call, device_id))


@delete("/{device_id:int}", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def delete_device(request: Request[Any, Any, Any], desk: NamedDependency[Desk], device_id: RowId) -> None:
    """Delete a device: its token ends, its deliveries close, its uid is free again. Needs `DEVICE_EDIT`."""
    with desk.write(request) as call:
        devices.delete(call, device_id)


def _token(made: Made) -> DeviceToken:
    return DeviceToken(id=made.id, uid=made.uid, token=made.token)


router = Router(
    "/api/v1/devices",
    route_handlers=[
        create_device,
        create_devices,
        list_devices,
        get_device,
        change_device,
        rotate_device_token,
        delete_device,
    ],
)

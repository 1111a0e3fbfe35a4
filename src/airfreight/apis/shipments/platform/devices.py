"""Devices as this door shows them. A device's token is shown once, by the request that makes it."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import LINE, At, Name
from airfreight.apis.shipments.platform.metafields import DeviceId
from airfreight.apis.shipments.platform.paging import DEFAULT_SIZE, Content, PageNumber, PageSize, content
from airfreight.apis.shipments.platform.templates import WHAT, Key, OrgIn, number
from airfreight.apis.shipments.routes import OrgId
from airfreight.domain.access import Permission
from airfreight.domain.errors import invalid, not_found
from airfreight.services import devices
from airfreight.services.call import Call
from airfreight.services.devices import Wanted

TAGS = ["Devices"]
Asked = Request[Any, Any, Any]

UserId = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1, description="A user of the device's organization.")]
WithSubOrgs = Annotated[
    bool, QueryParameter(name="includeSubOrgDevices", description="Also those of the organizations below.")
]
Part = Annotated[
    str, QueryParameter(name="query", min_length=1, max_length=255, pattern=LINE, description="Part of name or uid.")
]


_TROUBLE = {"fail", "expire", "revert"}


class DeviceCreate(In):
    """`onwerId` is `ownerId` as an older page of the vendor's spells it."""

    template_id: Key
    name: Name
    owner_id: UserId | msgspec.UnsetType = msgspec.UNSET
    onwer_id: UserId | msgspec.UnsetType = msgspec.UNSET
    org_id: OrgIn | msgspec.UnsetType = msgspec.UNSET


class DeviceName(In):
    name: Name


class NewOwner(In):
    owner_id: UserId


class HardwareInfo(Out):
    """What the device reported; empty where it did not. `templateId` is that of its template."""

    version: str
    fw_type: str
    blynk_version: str
    board_type: str
    build: str
    template_id: str


class ListedDevice(Out):
    """`token` is null but for the answer that creates the device: only its hash is kept."""

    id: int
    name: str
    template_id: int
    original_template_id: int
    org_id: int
    token: str | None
    activated_at: At
    owner_user_id: int | None
    hardware_info: HardwareInfo


class DeviceDetails(ListedDevice):
    """Times are null where nobody knows them: only a device at the broker has a connection that begins and ends."""

    uid: str
    connected: bool
    is_locked: bool
    connect_time: At | None
    disconnect_time: At | None
    firmware_updated_at: At | None
    last_received_event_at: At | None


class Online(Out):
    connected: bool


class TimelineEvent(Out):
    """One thing that happened to the device in a shipment."""

    id: int
    org_id: int
    ts: At
    event_type: Annotated[str, msgspec.Meta(description="INFORMATION, or WARNING for a failed try.")]
    name: str
    description: str
    shipment_id: int


def brief(row: Any) -> ListedDevice:  # noqa: ANN401 - a row
    return ListedDevice(**_common(row))


def details(call: Call, row: Any, token: str | None = None) -> DeviceDetails:  # noqa: ANN401 - a row
    online = devices.is_online(call, row)
    return DeviceDetails(
        **_common(row, token),
        uid=row.uid,
        connected=online,
        is_locked=not row.enabled,
        connect_time=row.connected_at,
        disconnect_time=None if online else row.seen_at,
        firmware_updated_at=devices.updated_at(call, row),
        last_received_event_at=row.seen_at,
    )


def _common(row: Any, token: str | None = None) -> dict[str, Any]:  # noqa: ANN401 - a row
    return {
        "id": row.id,
        "name": row.name,
        "template_id": row.product_id,
        "original_template_id": row.product_id,
        "org_id": row.organization_id,
        "token": token,
        "activated_at": row.created_at,
        "owner_user_id": row.owner_user_id,
        "hardware_info": HardwareInfo(
            version=row.version,
            fw_type=row.fw_type,
            blynk_version=row.library_version,
            board_type=row.board,
            build=row.build,
            template_id=row.product_key,
        ),
    }


def _event(row: Any) -> TimelineEvent:  # noqa: ANN401 - a row
    reason = f" ({row.reason})" if row.reason else ""
    return TimelineEvent(
        id=row.id,
        org_id=row.organization_id,
        ts=row.at,
        event_type="WARNING" if row.event in _TROUBLE else "INFORMATION",
        name=row.event,
        description=f"{row.title}: {row.event} -> {row.state}{reason}" + (f": {row.message}" if row.message else ""),
        shipment_id=row.rollout_id,
    )


@get("/devices", operation_id="getDevices", need=Permission.DEVICE_VIEW, tags=TAGS, sync_to_thread=True)
def get_devices(
    request: Asked,
    desk: NamedDependency[Desk],
    org_id: OrgId = None,
    include_sub_orgs: WithSubOrgs = False,  # noqa: FBT002 - a query parameter
    page: PageNumber = 0,
    size: PageSize = DEFAULT_SIZE,
) -> Content[ListedDevice]:
    """List the devices of an organization, oldest first. Needs `DEVICE_VIEW`."""
    with desk.read(request, org_id) as call:
        return content(*devices.paged(call, below=include_sub_orgs, skip=page * size, limit=size), brief)


@get("/devices", operation_id="getDevicesV2", need=Permission.DEVICE_VIEW, tags=TAGS, sync_to_thread=True)
def get_devices_v2(
    request: Asked,
    desk: NamedDependency[Desk],
    org_id: OrgId = None,
    include_sub_orgs: WithSubOrgs = False,  # noqa: FBT002 - a query parameter
    page: PageNumber = 0,
    size: PageSize = DEFAULT_SIZE,
) -> Content[ListedDevice]:
    """List the devices of an organization, as version 1 does; `include` is not looked at. Needs `DEVICE_VIEW`."""
    with desk.read(request, org_id) as call:
        return content(*devices.paged(call, below=include_sub_orgs, skip=page * size, limit=size), brief)


@get("/search/devices", operation_id="searchDevices", need=Permission.DEVICE_VIEW, tags=TAGS, sync_to_thread=True)
def search_devices(
    request: Asked,
    desk: NamedDependency[Desk],
    part: Part,
    org_id: OrgId = None,
    include_sub_orgs: WithSubOrgs = False,  # noqa: FBT002 - a query parameter
    page: PageNumber = 0,
    size: PageSize = DEFAULT_SIZE,
) -> Content[ListedDevice]:
    """Find devices by a part of their name or uid, whatever the case. Needs `DEVICE_VIEW`."""
    with desk.read(request, org_id) as call:
        found = devices.paged(call, below=include_sub_orgs, query=part, skip=page * size, limit=size)
        return content(*found, brief)


@get("/device", operation_id="getDevice", need=Permission.DEVICE_VIEW, tags=TAGS, sync_to_thread=True)
def get_device(request: Asked, desk: NamedDependency[Desk], device_id: DeviceId, org_id: OrgId = None) -> DeviceDetails:
    """Get a device. Needs `DEVICE_VIEW`."""
    with desk.read(request, org_id) as call:
        return details(call, devices.get(call, device_id))


@get("/device/baseInfo", operation_id="getDeviceBaseInfo", need=Permission.DEVICE_VIEW, tags=TAGS, sync_to_thread=True)
def get_device_base_info(
    request: Asked, desk: NamedDependency[Desk], device_id: DeviceId, org_id: OrgId = None
) -> ListedDevice:
    """Get a device as lists show it. Needs `DEVICE_VIEW`."""
    with desk.read(request, org_id) as call:
        return brief(devices.get(call, device_id))


@get("/device/online", operation_id="isDeviceOnline", need=Permission.DEVICE_VIEW, tags=TAGS, sync_to_thread=True)
def is_device_online(request: Asked, desk: NamedDependency[Desk], device_id: DeviceId, org_id: OrgId = None) -> Online:
    """Whether a device is connected, or was heard from lately. Needs `DEVICE_VIEW`."""
    with desk.read(request, org_id) as call:
        return Online(connected=devices.is_online(call, devices.get(call, device_id)))


@post("/device/create", operation_id="createDevice", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def create_device(request: Asked, desk: NamedDependency[Desk], data: JSONBody[DeviceCreate]) -> DeviceDetails:
    """Create a device; the answer has its token, this once. Needs `DEVICE_EDIT`.

    Running shipments to the whole template include it.
    """
    if data.owner_id and data.onwer_id:
        raise invalid("Give one of ownerId and onwerId.", "one_of")
    with desk.write(request, data.org_id or None) as call:
        row, made = devices.create(
            call,
            product_id=number(call, data.template_id),
            wanted=Wanted(name=data.name),
            owner_user_id=data.owner_id or data.onwer_id or None,
            what=WHAT,
        )
        if data.org_id and row.organization_id != data.org_id:
            raise not_found(WHAT)
        return details(call, row, made.token)


@put("/device", operation_id="updateDevice", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def update_device(
    request: Asked, desk: NamedDependency[Desk], device_id: DeviceId, data: JSONBody[DeviceName], org_id: OrgId = None
) -> DeviceDetails:
    """Give a device another name. Needs `DEVICE_EDIT`."""
    with desk.write(request, org_id) as call:
        return details(call, devices.rename(call, device_id, data.name))


@delete("/device", operation_id="deleteDevice", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def delete_device(request: Asked, desk: NamedDependency[Desk], device_id: DeviceId, org_id: OrgId = None) -> None:
    """Delete a device: its token ends, its part in shipments closes. Needs `DEVICE_EDIT`."""
    with desk.write(request, org_id) as call:
        devices.delete(call, device_id)


@get("/device/timeline", operation_id="getDeviceTimeline", need=Permission.DEVICE_VIEW, tags=TAGS, sync_to_thread=True)
def get_device_timeline(
    request: Asked,
    desk: NamedDependency[Desk],
    device_id: DeviceId,
    org_id: OrgId = None,
    page: PageNumber = 0,
    size: PageSize = DEFAULT_SIZE,
) -> Content[TimelineEvent]:
    """What happened to a device in all shipments, newest first. Needs `DEVICE_VIEW`."""
    with desk.read(request, org_id) as call:
        return content(*devices.timeline(call, device_id, skip=page * size, limit=size), _event)


@post(
    "/device/transfer/to-owner",
    operation_id="transferDeviceToOwner",
    need=Permission.DEVICE_EDIT,
    tags=TAGS,
    status_code=200,
    sync_to_thread=True,
)
def transfer_device_to_owner(
    request: Asked, desk: NamedDependency[Desk], device_id: DeviceId, data: JSONBody[NewOwner], org_id: OrgId = None
) -> DeviceDetails:
    """Make a user of the device's organization its owner. Needs `DEVICE_EDIT`."""
    with desk.write(request, org_id) as call:
        return details(call, devices.give(call, device_id, data.owner_id))


@delete("/device/owner", operation_id="removeDeviceOwner", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def remove_device_owner(request: Asked, desk: NamedDependency[Desk], device_id: DeviceId, org_id: OrgId = None) -> None:
    """Leave a device without an owner. Needs `DEVICE_EDIT`."""
    with desk.write(request, org_id) as call:
        devices.give(call, device_id, None)


HANDLERS = [
    get_devices,
    search_devices,
    get_device,
    get_device_base_info,
    is_device_online,
    create_device,
    update_device,
    delete_device,
    get_device_timeline,
    transfer_device_to_owner,
    remove_device_owner,
]
HANDLERS_V2 = [get_devices_v2]

"""Metafields: what this door calls the attributes of a device. The name of a metafield is its id."""

from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import ShortName
from airfreight.apis.shipments.routes import OrgId
from airfreight.domain.access import Permission
from airfreight.domain.errors import Kind, Refusal, invalid
from airfreight.services import attributes, devices

TAGS = ["Devices"]
Asked = Request[Any, Any, Any]

TIME_ZONE = "Timezone"
CONTROL = "Firmware Update Control"
NAMES = {TIME_ZONE: "timeZone", CONTROL: attributes.AUTO_UPDATE}
"""Those that the vendor's platform has under names of its own, and our attributes; all others keep their names."""

DeviceId = Annotated[
    int,
    QueryParameter(name="deviceId", ge=1, le=2**31 - 1, description="Device ID", schema_extra={"format": "int32"}),
]
Value = str | bool | int | float | None


class MetaField(Out):
    """`type` is Text, Number, Boolean or Timezone; a `value` of null: as the template, or the organization, has it."""

    name: str
    type: str
    value: Value


class MetaFieldIn(In):
    """One metafield; a `value` of null removes it. What the device itself reports later wins."""

    name: ShortName
    value: Annotated[Value, msgspec.Meta(description="Text up to 256 characters, true, false, a number, or null.")]


def device_fields(row: Any) -> list[MetaField]:  # noqa: ANN401 - a row of devices
    """The two of the vendor's first, then the attributes by name. An attribute that has a vendor's name is hidden."""
    shown = attributes.shown(row)
    rest = {name: value for name, value in shown.items() if name not in {*NAMES, *NAMES.values()}}
    return [*_both(shown), *(MetaField(name=name, type=_type(rest[name]), value=rest[name]) for name in sorted(rest))]


def template_fields(row: Any) -> list[MetaField]:  # noqa: ANN401 - a row of products
    return _both({"timeZone": row.time_zone or None, attributes.AUTO_UPDATE: bool(row.auto_update)})


def _both(values: Any) -> list[MetaField]:  # noqa: ANN401 - a dictionary that has them or not
    return [
        MetaField(name=TIME_ZONE, type="Timezone", value=values.get("timeZone")),
        MetaField(name=CONTROL, type="Boolean", value=values.get(attributes.AUTO_UPDATE)),
    ]


def _type(value: Value) -> str:
    if isinstance(value, bool):
        return "Boolean"
    return "Text" if isinstance(value, str) else "Number"


@get(
    "/device/metafield", operation_id="getDeviceMetafields", need=Permission.DEVICE_VIEW, tags=TAGS, sync_to_thread=True
)
def get_device_metafields(
    request: Asked, desk: NamedDependency[Desk], device_id: DeviceId, org_id: OrgId = None
) -> list[MetaField]:
    """Get the metafields of a device. Needs `DEVICE_VIEW`."""
    with desk.read(request, org_id) as call:
        return device_fields(devices.get(call, device_id))


@post(
    "/device/metafield",
    operation_id="setDeviceMetafield",
    need=Permission.DEVICE_EDIT,
    tags=TAGS,
    status_code=200,
    sync_to_thread=True,
)
def set_device_metafield(
    request: Asked,
    desk: NamedDependency[Desk],
    device_id: DeviceId,
    data: JSONBody[MetaFieldIn],
    org_id: OrgId = None,
) -> list[MetaField]:
    """Set or remove one metafield of a device. Needs `DEVICE_EDIT`. Answers with all that it has now."""
    try:
        with desk.write(request, org_id) as call:
            return device_fields(devices.describe(call, device_id, {NAMES.get(data.name, data.name): data.value}))
    except Refusal as error:
        if error.kind is not Kind.INVALID:
            raise
        raise invalid(f"name, value: {error.message}", error.code) from None


HANDLERS = [get_device_metafields, set_device_metafield]

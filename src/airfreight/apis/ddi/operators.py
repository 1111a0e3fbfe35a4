"""`/api/v1/ddi`: how devices that speak DDI come in; and words about one such device."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import LINE, OldToken
from airfreight.apis.common.paging import RowId
from airfreight.domain.access import Permission
from airfreight.services import direct_access
from airfreight.services.direct_access import MOST_AUTHORITIES, Access

TAGS = ["DDI"]
Asked = Request[Any, Any, Any]
OrgId = Annotated[int | None, QueryParameter(name="orgId", ge=1, le=2**31 - 1, description="Yours, or one below it.")]
Tenant = Annotated[str, msgspec.Meta(min_length=1, max_length=64, description="In the path of all its devices.")]
ProductId = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1, description="What unknown devices become.")]
Authorities = Annotated[
    list[Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=LINE)]],
    msgspec.Meta(max_length=MOST_AUTHORITIES, description="What a trusted proxy says of who it has let in."),
]
Polling = Annotated[
    str,
    msgspec.Meta(max_length=1000, description='`00:05:00~10%, attributes.site = "roof" -> 00:10:00`; empty: as set.'),
]
Remark = Annotated[str, msgspec.Meta(max_length=128, pattern=LINE)]


class DdiAccess(Out):
    """`tenant` null: no device of the organization comes in by DDI. `confirmation`: each update waits for its user."""

    tenant: Tenant | None
    has_gateway_token: bool
    product_id: ProductId | None
    authorities: Authorities
    polling: Polling
    confirmation: bool


class DdiChange(In):
    """What is absent stays as it is; `product_id` null: unknown devices become nothing any more."""

    tenant: Tenant | None = None
    product_id: ProductId | msgspec.UnsetType | None = msgspec.UNSET
    authorities: Authorities | None = None
    polling: Polling | None = None
    confirmation: bool | None = None


class GatewayTokenIn(In):
    """`product_id` is needed the first time."""

    product_id: ProductId | None = None
    gateway_token: OldToken | None = None


class GatewayToken(Out):
    """Shown this once."""

    gateway_token: str


class AutoConfirmIn(In):
    active: bool
    remark: Remark = ""


def shape(access: Access) -> DdiAccess:
    return DdiAccess(
        tenant=access.name,
        has_gateway_token=access.has_key,
        product_id=access.product_id,
        authorities=list(access.authorities),
        polling=access.polling,
        confirmation=access.confirmation_needed,
    )


@get("/ddi", need=Permission.ORG_VIEW, tags=TAGS, sync_to_thread=True)
def get_access(request: Asked, desk: NamedDependency[Desk], org_id: OrgId = None) -> DdiAccess:
    """How devices that speak DDI come in. Needs `ORG_VIEW`."""
    with desk.read(request, org_id) as call:
        return shape(direct_access.get(call))


@patch("/ddi", need=Permission.ORG_EDIT, tags=TAGS, sync_to_thread=True)
def change_access(
    request: Asked, desk: NamedDependency[Desk], data: JSONBody[DdiChange], org_id: OrgId = None
) -> DdiAccess:
    """Change that. Needs `ORG_EDIT`."""
    with desk.write(request, org_id) as call:
        changed = direct_access.change(
            call,
            name=data.tenant,
            product_id=data.product_id or None,
            no_product=data.product_id is None,
            authorities=data.authorities,
            how_often=data.polling,
            confirmation_needed=data.confirmation,
        )
        return shape(changed)


@post("/ddi/gateway-token", need=Permission.ORG_EDIT, tags=TAGS, sync_to_thread=True)
def make_gateway_token(
    request: Asked, desk: NamedDependency[Desk], data: JSONBody[GatewayTokenIn], org_id: OrgId = None
) -> GatewayToken:
    """Make or bring a token that speaks for every device of the organization; the one before ends. Needs `ORG_EDIT`.

    A device that nobody knows yet is made when it first comes with this token.
    """
    with desk.write(request, org_id) as call:
        return GatewayToken(gateway_token=direct_access.new_key(call, data.product_id, data.gateway_token))


@delete("/ddi/gateway-token", need=Permission.ORG_EDIT, tags=TAGS, sync_to_thread=True)
def end_gateway_token(request: Asked, desk: NamedDependency[Desk], org_id: OrgId = None) -> None:
    """Let nobody in by such a token any more. Needs `ORG_EDIT`."""
    with desk.write(request, org_id) as call:
        direct_access.end_key(call)


@post(
    "/devices/{device_id:int}/ask-attributes",
    need=Permission.DEVICE_EDIT,
    tags=["Devices"],
    status_code=204,
    sync_to_thread=True,
)
def ask_attributes(request: Asked, desk: NamedDependency[Desk], device_id: RowId) -> None:
    """Have a device that speaks DDI tell its attributes when it next comes. Needs `DEVICE_EDIT`."""
    with desk.write(request) as call:
        direct_access.ask_attributes(call, device_id)


@put(
    "/devices/{device_id:int}/auto-confirm",
    need=Permission.DEVICE_EDIT,
    tags=["Devices"],
    status_code=204,
    sync_to_thread=True,
)
def set_auto_confirm(
    request: Asked, desk: NamedDependency[Desk], device_id: RowId, data: JSONBody[AutoConfirmIn]
) -> None:
    """Confirm every update of a device from now on, or have its user asked each time. Needs `DEVICE_EDIT`."""
    with desk.write(request) as call:
        direct_access.consent_to_all(call, device_id, data.remark if data.active else None)


router = Router(
    "/api/v1",
    route_handlers=[
        get_access,
        change_access,
        make_gateway_token,
        end_gateway_token,
        ask_attributes,
        set_auto_confirm,
    ],
)

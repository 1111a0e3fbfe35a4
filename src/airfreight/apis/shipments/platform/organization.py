"""Organizations through this door: one's own, and those below it."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import NAME, PHONE, At, Line, Part, ZoneName
from airfreight.apis.shipments.platform.paging import DEFAULT_SIZE, Content, PageNumber, PageSize, content
from airfreight.apis.shipments.platform.zones import check_tz
from airfreight.apis.shipments.routes import OrgId
from airfreight.domain.access import Permission
from airfreight.services import organizations
from airfreight.services.organizations import OrganizationKind, Profile, Units

TAGS = ["Organization"]
Asked = Request[Any, Any, Any]

SomeOrgId = Annotated[
    int,
    QueryParameter(
        name="orgId",
        ge=1,
        le=2**31 - 1,
        description="Your organization, or one below it.",
        schema_extra={"format": "int32"},
    ),
]
OrgIn = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1, extra_json_schema={"format": "int32"})]
OrganizationName = Annotated[str, msgspec.Meta(min_length=3, max_length=100, pattern=NAME)]
Phone = Annotated[str, msgspec.Meta(max_length=32, pattern=PHONE, description="Begins with +.")]


class Type(StrEnum):
    ROOT = "ROOT"
    BUSINESS = "BUSINESS"
    PERSONAL = "PERSONAL"
    BRANCH = "BRANCH"
    DISTRIBUTOR = "DISTRIBUTOR"
    CONTRACTOR = "CONTRACTOR"
    INSTALLER = "INSTALLER"
    RESELLER = "RESELLER"


class UnitSystem(StrEnum):
    METRIC = "METRIC"
    IMPERIAL = "IMPERIAL"


class Address(In):
    full_address: Annotated[Line, msgspec.Meta(max_length=512)] = ""
    city: Annotated[Line, msgspec.Meta(max_length=50)] = ""
    country: Annotated[Line, msgspec.Meta(max_length=74)] = ""
    state: Annotated[Line, msgspec.Meta(max_length=40)] = ""
    zip: Annotated[Line, msgspec.Meta(max_length=12)] = ""


class OrganizationCreate(In):
    name: OrganizationName
    type: Type
    description: Annotated[Line, msgspec.Meta(max_length=1000)] = ""
    tz: ZoneName = ""
    parent_id: Annotated[OrgIn, msgspec.Meta(description="Yours if left out.")] | None = None
    phone_number: Phone = ""
    unit_system: UnitSystem = UnitSystem.METRIC
    address: Address = msgspec.field(default_factory=Address)


class OrganizationRename(In):
    name: OrganizationName


class OrganizationInfo(Out):
    """`parentOrganizationId` is null for the one at the top; `isActive` is always true."""

    id: int
    name: str
    description: str
    parent_organization_id: int | None
    is_active: bool
    tz: str
    unit_system: UnitSystem
    phone_number: str
    address: Address
    last_modified_ts: At


def shape(row: Any) -> OrganizationInfo:  # noqa: ANN401 - a row
    shown = organizations.profile(row)
    where = shown.address
    return OrganizationInfo(
        id=row.id,
        name=row.name,
        description=shown.description,
        parent_organization_id=row.parent_id,
        is_active=True,
        tz=row.time_zone or "UTC",
        unit_system=UnitSystem[shown.units.name],
        phone_number=shown.phone,
        address=Address(
            full_address=where.full, city=where.city, country=where.country, state=where.state, zip=where.zip
        ),
        last_modified_ts=max(row.changed_at, row.created_at),
    )


@get("/profile", tags=TAGS, sync_to_thread=True)
def get_organization_profile(request: Asked, desk: NamedDependency[Desk]) -> OrganizationInfo:
    """Get your own organization: a cheap way to ask whose token this is. Needs no permission."""
    with desk.read(request) as call:
        return shape(organizations.own(call))


@get("/", need=Permission.ORG_VIEW, tags=TAGS, sync_to_thread=True)
def get_organization_info(request: Asked, desk: NamedDependency[Desk], org_id: SomeOrgId) -> OrganizationInfo:
    """Get an organization: yours, or one below it. Needs `ORG_VIEW`."""
    with desk.read(request) as call:
        return shape(organizations.get(call, org_id))


@get("/search", need=Permission.ORG_VIEW, tags=TAGS, sync_to_thread=True)
def search_organizations(
    request: Asked,
    desk: NamedDependency[Desk],
    part: Part,
    page: PageNumber = 0,
    size: PageSize = DEFAULT_SIZE,
) -> Content[OrganizationInfo]:
    """Search your organization and all below it for a part of their name, oldest first. Needs `ORG_VIEW`."""
    with desk.read(request) as call:
        return content(*organizations.paged(call, query=part, skip=page * size, limit=size), shape)


@get("/sub-organizations", need=Permission.ORG_VIEW, tags=TAGS, sync_to_thread=True)
def get_sub_organizations(
    request: Asked,
    desk: NamedDependency[Desk],
    org_id: OrgId = None,
    page: PageNumber = 0,
    size: PageSize = DEFAULT_SIZE,
) -> Content[OrganizationInfo]:
    """List the organizations below yours (or below `orgId`) at any depth, oldest first. Needs `ORG_VIEW`."""
    with desk.read(request, org_id) as call:
        return content(*organizations.paged(call, include_top=False, skip=page * size, limit=size), shape)


@post("/create", need=Permission.ORG_EDIT, tags=TAGS, sync_to_thread=True)
def create_sub_organization(
    request: Asked, desk: NamedDependency[Desk], data: JSONBody[OrganizationCreate]
) -> OrganizationInfo:
    """Create an organization below yours, or below `parentId`. Needs `ORG_EDIT`."""
    check_tz(data.tz)
    where = data.address
    shown = Profile(
        description=data.description,
        kind=OrganizationKind[data.type.name],
        phone=data.phone_number,
        units=Units[data.unit_system.name],
        address=organizations.Address(where.full_address, where.city, where.country, where.state, where.zip),
    )
    with desk.write(request) as call:
        made = organizations.create(call, name=data.name, time_zone=data.tz, parent_id=data.parent_id, wanted=shown)
        return shape(made)


@put("/edit/name", need=Permission.ORG_EDIT, tags=TAGS, sync_to_thread=True)
def rename_organization(
    request: Asked, desk: NamedDependency[Desk], data: JSONBody[OrganizationRename], org_id: OrgId = None
) -> OrganizationInfo:
    """Rename your organization, or `orgId` below it. Needs `ORG_EDIT`."""
    with desk.write(request, org_id) as call:
        return shape(organizations.change(call, call.organization_id, name=data.name))


@delete("/", need=Permission.ORG_EDIT, tags=TAGS, sync_to_thread=True)
def delete_sub_organization(request: Asked, desk: NamedDependency[Desk], org_id: SomeOrgId) -> None:
    """Delete an organization below yours that is empty. Needs `ORG_EDIT`.

    Not your own; not one with users, OAuth clients, enrolment keys, files, templates or organizations below it.
    """
    with desk.write(request) as call:
        organizations.delete(call, org_id)


HANDLERS = [
    get_organization_profile,
    get_organization_info,
    search_organizations,
    get_sub_organizations,
    create_sub_organization,
    rename_organization,
    delete_sub_organization,
]

"""`/api/v1/organizations`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import PHONE, At, Line, Name, Part, ZoneName
from airfreight.apis.common.paging import After, Limit, Page, RowId, page
from airfreight.domain.access import Permission
from airfreight.services import organizations
from airfreight.services.organizations import OrganizationKind, Profile, Units

TAGS = ["Organizations"]


Description = Annotated[Line, msgspec.Meta(max_length=1000)]
Phone = Annotated[str, msgspec.Meta(max_length=32, pattern=PHONE, description="Begins with +.")]


class OrganizationIn(In):
    name: Name
    time_zone: ZoneName = ""
    parent_id: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None
    description: Description = ""
    kind: OrganizationKind = OrganizationKind.BUSINESS
    phone: Phone = ""
    units: Units = Units.METRIC


class OrganizationChange(In):
    """What is absent (or null) stays as it is."""

    name: Name | None = None
    time_zone: ZoneName | None = None
    description: Description | None = None
    kind: OrganizationKind | None = None
    phone: Phone | None = None
    units: Units | None = None


class Organization(Out):
    """`kind`, `phone`, `units` and `description` are for people: nothing depends on them."""

    id: int
    name: str
    time_zone: str
    parent_id: int | None
    description: str
    kind: OrganizationKind
    phone: str
    units: Units
    created_at: At
    changed_at: At


def shape(row: Any) -> Organization:  # noqa: ANN401 - a row
    shown = organizations.profile(row)
    return Organization(
        id=row.id,
        name=row.name,
        time_zone=row.time_zone,
        parent_id=row.parent_id,
        description=shown.description,
        kind=shown.kind,
        phone=shown.phone,
        units=shown.units,
        created_at=row.created_at,
        changed_at=max(row.changed_at, row.created_at),
    )


@post("/", need=Permission.ORG_EDIT, tags=TAGS, sync_to_thread=True)
def create_organization(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], data: JSONBody[OrganizationIn]
) -> Organization:
    """Create an organization below yours, or below `parentId`. Needs `ORG_EDIT`."""
    shown = Profile(description=data.description, kind=data.kind, phone=data.phone, units=data.units)
    with desk.write(request) as call:
        made = organizations.create(
            call, name=data.name, time_zone=data.time_zone, parent_id=data.parent_id, wanted=shown
        )
        return shape(made)


@get("/", need=Permission.ORG_VIEW, tags=TAGS, sync_to_thread=True)
def list_organizations(
    request: Request[Any, Any, Any],
    desk: NamedDependency[Desk],
    part: Part = "",
    limit: Limit = 50,
    after: After = 0,
) -> Page[Organization]:
    """List your organization and all below it. Needs `ORG_VIEW`."""
    with desk.read(request) as call:
        return page(organizations.search(call, query=part, after=after, limit=limit + 1), limit, shape)


@get("/{organization_id:int}", need=Permission.ORG_VIEW, tags=TAGS, sync_to_thread=True)
def get_organization(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], organization_id: RowId
) -> Organization:
    """Get an organization. Needs `ORG_VIEW`."""
    with desk.read(request) as call:
        return shape(organizations.get(call, organization_id))


@patch("/{organization_id:int}", need=Permission.ORG_EDIT, tags=TAGS, sync_to_thread=True)
def change_organization(
    request: Request[Any, Any, Any],
    desk: NamedDependency[Desk],
    organization_id: RowId,
    data: JSONBody[OrganizationChange],
) -> Organization:
    """Change an organization's name, time zone, or what is shown of it. Needs `ORG_EDIT`."""
    given = {"description": data.description, "kind": data.kind, "phone": data.phone, "units": data.units}
    shown = {name: value for name, value in given.items() if value is not None}
    with desk.write(request) as call:
        changed = organizations.change(call, organization_id, name=data.name, time_zone=data.time_zone, shown=shown)
        return shape(changed)


@delete("/{organization_id:int}", need=Permission.ORG_EDIT, tags=TAGS, sync_to_thread=True)
def delete_organization(request: Request[Any, Any, Any], desk: NamedDependency[Desk], organization_id: RowId) -> None:
    """Delete an empty organization below yours. Needs `ORG_EDIT`."""
    with desk.write(request) as call:
        organizations.delete(call, organization_id)


router = Router(
    "/api/v1/organizations",
    route_handlers=[
        create_organization,
        list_organizations,
        get_organization,
        change_organization,
        delete_organization,
    ],
)

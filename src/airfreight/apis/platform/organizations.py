"""`/api/v1/organizations`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import At, Name, ZoneName
from airfreight.apis.common.paging import After, Limit, Page, RowId, page
from airfreight.services import organizations

TAGS = ["Organizations"]


class OrganizationIn(In):
    name: Name
    time_zone: ZoneName = ""
    parent_id: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None


class Organization(Out):
    id: int
    name: str
    time_zone: str
    parent_id: int | None
    created_at: At


def shape(row: Any) -> Organization:  # noqa: ANN401 - a row
    return Organization(
        id=row.id, name=row.name, time_zone=row.time_zone, parent_id=row.parent_id, created_at=row.created_at
    )


@post("/", tags=TAGS, sync_to_thread=True)
def create_organization(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], data: JSONBody[OrganizationIn]
) -> Organization:
    """Create an organization below yours, or below `parentId`. Needs `ORG_EDIT`."""
    with desk.write(request) as call:
        return shape(organizations.create(call, name=data.name, time_zone=data.time_zone, parent_id=data.parent_id))


@get("/", tags=TAGS, sync_to_thread=True)
def list_organizations(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], limit: Limit = 50, after: After = 0
) -> Page[Organization]:
    """List your organization and all below it. Needs `ORG_VIEW`."""
    with desk.read(request) as call:
        return page(organizations.search(call, after=after, limit=limit + 1), limit, shape)


@get("/{organization_id:int}", tags=TAGS, sync_to_thread=True)
def get_organization(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], organization_id: RowId
) -> Organization:
    """Get an organization. Needs `ORG_VIEW`."""
    with desk.read(request) as call:
        return shape(organizations.get(call, organization_id))


@delete("/{organization_id:int}", tags=TAGS, sync_to_thread=True)
def delete_organization(request: Request[Any, Any, Any], desk: NamedDependency[Desk], organization_id: RowId) -> None:
    """Delete an empty organization below yours. Needs `ORG_EDIT`."""
    with desk.write(request) as call:
        organizations.delete(call, organization_id)


router = Router(
    "/api/v1/organizations",
    route_handlers=[create_organization, list_organizations, get_organization, delete_organization],
)

"""`/api/v1/clients`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import At, Line, ShortName
from airfreight.apis.common.paging import After, Limit, Page, RowId, page
from airfreight.apis.platform.products import OrgId, OrgIn
from airfreight.domain.access import EVERYTHING, Permission
from airfreight.services import clients

TAGS = ["API clients"]


Scopes = Annotated[
    list[Annotated[Line, msgspec.Meta(max_length=32)]],
    msgspec.Meta(max_length=64, description="Permissions, or `*` for all. With none, every call is refused."),
]
RedirectUrl = Annotated[Line, msgspec.Meta(max_length=clients.LONGEST_REDIRECT)]
RedirectUrls = Annotated[list[RedirectUrl], msgspec.Meta(max_length=clients.MOST_REDIRECTS)]


class ClientIn(In):
    name: ShortName
    scopes: Scopes = msgspec.field(default_factory=lambda: [EVERYTHING])
    redirect_urls: RedirectUrls = msgspec.field(default_factory=list)
    org_id: OrgIn | None = None


class Client(Out):
    id: int
    organization_id: int
    name: str
    client_id: str
    scopes: list[str]
    redirect_urls: list[str]
    owner_user_id: int | None
    created_at: At


class NewClient(Client):
    secret: Annotated[str, msgspec.Meta(description="Shown this once.")]


def shape(row: Any) -> Client:  # noqa: ANN401 - a row
    return Client(
        id=row.id,
        organization_id=row.organization_id,
        name=row.name,
        client_id=row.client_id,
        scopes=clients.scopes_of(row),
        redirect_urls=clients.redirects_of(row),
        owner_user_id=row.owner_user_id,
        created_at=row.created_at,
    )


@post("/", need=Permission.CLIENT_EDIT, tags=TAGS, sync_to_thread=True)
def create_client(request: Request[Any, Any, Any], desk: NamedDependency[Desk], data: JSONBody[ClientIn]) -> NewClient:
    """Create an API client for your organization or one below it. Needs `CLIENT_EDIT` and all of its scopes.

    Its tokens may do what `scopes` allow, in that organization and below; those of a user also not more than the role.
    """
    with desk.write(request, data.org_id) as call:
        row, secret = clients.create(call, name=data.name, allowed=data.scopes, redirect_urls=data.redirect_urls)
        return NewClient(**msgspec.structs.asdict(shape(row)), secret=secret)


@get("/", need=Permission.CLIENT_EDIT, tags=TAGS, sync_to_thread=True)
def list_clients(
    request: Request[Any, Any, Any],
    desk: NamedDependency[Desk],
    org_id: OrgId = None,
    limit: Limit = 50,
    after: After = 0,
) -> Page[Client]:
    """List the API clients of your organization or of one below it, oldest first. Needs `CLIENT_EDIT`."""
    with desk.read(request, org_id) as call:
        return page(clients.search(call, after=after, limit=limit + 1), limit, shape)


@delete("/{client_id:int}", need=Permission.CLIENT_EDIT, tags=TAGS, sync_to_thread=True)
def delete_client(request: Request[Any, Any, Any], desk: NamedDependency[Desk], client_id: RowId) -> None:
    """Delete an API client; every token given to it ends. Needs `CLIENT_EDIT`."""
    with desk.write(request) as call:
        clients.delete(call, client_id)


router = Router("/api/v1/clients", route_handlers=[create_client, list_clients, delete_client])

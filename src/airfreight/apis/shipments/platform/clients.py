"""OAuth clients through this door: what gets tokens for an organization or for its users."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter
from msgspec import UNSET, UnsetType

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import LINE, At, Line, ShortName
from airfreight.apis.shipments.platform.organization import OrgIn
from airfreight.apis.shipments.platform.paging import DEFAULT_SIZE, Content, PageNumber, PageSize, content
from airfreight.apis.shipments.routes import OrgId
from airfreight.domain.access import EVERYTHING, Permission
from airfreight.services import clients

TAGS = ["OAuth clients"]
Asked = Request[Any, Any, Any]

ClientId = Annotated[str, QueryParameter(name="clientId", min_length=1, max_length=64, pattern=LINE)]
RedirectUrl = Annotated[Line, msgspec.Meta(max_length=clients.LONGEST_REDIRECT)]


class ClientCreate(In):
    name: ShortName
    redirect_urls: Annotated[list[RedirectUrl], msgspec.Meta(max_length=clients.MOST_REDIRECTS)] = msgspec.field(
        default_factory=list
    )
    org_id: OrgIn | None = None
    scopes: (
        Annotated[
            list[Annotated[Line, msgspec.Meta(max_length=32)]],
            msgspec.Meta(max_length=64, description="Permissions, or `*` for all (so if left out)."),
        ]
        | UnsetType
    ) = UNSET


class NewOauthClient(Out):
    """The answer of the contract; `scopes` is there when it was sent."""

    org_id: int
    name: str
    client_id: str
    secret: Annotated[str, msgspec.Meta(description="Shown this once.")]
    redirect_urls: list[str]
    scopes: list[str] | UnsetType = UNSET


class OauthClient(Out):
    org_id: int
    name: str
    client_id: str
    redirect_urls: list[str]
    scopes: list[str]
    created_at: At


def shape(row: Any) -> OauthClient:  # noqa: ANN401 - a row
    return OauthClient(
        org_id=row.organization_id,
        name=row.name,
        client_id=row.client_id,
        redirect_urls=clients.redirects_of(row),
        scopes=clients.scopes_of(row),
        created_at=row.created_at,
    )


@post("/oauth/clients/create", need=Permission.CLIENT_EDIT, tags=TAGS, sync_to_thread=True)
def create_oauth_client(request: Asked, desk: NamedDependency[Desk], data: JSONBody[ClientCreate]) -> NewOauthClient:
    """Create an OAuth client for your organization or one below it. Needs `CLIENT_EDIT` and all of its scopes."""
    scopes = [EVERYTHING] if data.scopes is UNSET else data.scopes
    with desk.write(request, data.org_id) as call:
        row, secret = clients.create(call, name=data.name, allowed=scopes, redirect_urls=data.redirect_urls)
        return NewOauthClient(
            org_id=row.organization_id,
            name=row.name,
            client_id=row.client_id,
            secret=secret,
            redirect_urls=clients.redirects_of(row),
            scopes=UNSET if data.scopes is UNSET else clients.scopes_of(row),
        )


@get("/oauth/clients", need=Permission.CLIENT_EDIT, tags=TAGS, sync_to_thread=True)
def get_oauth_clients(
    request: Asked,
    desk: NamedDependency[Desk],
    org_id: OrgId = None,
    page: PageNumber = 0,
    size: PageSize = DEFAULT_SIZE,
) -> Content[OauthClient]:
    """List the OAuth clients of your organization or of one below it, oldest first. Needs `CLIENT_EDIT`."""
    with desk.read(request, org_id) as call:
        return content(*clients.paged(call, skip=page * size, limit=size), shape)


@delete("/oauth/client", need=Permission.CLIENT_EDIT, tags=TAGS, sync_to_thread=True)
def delete_oauth_client(request: Asked, desk: NamedDependency[Desk], client_id: ClientId) -> None:
    """Delete an OAuth client; every token given to it ends. Needs `CLIENT_EDIT`."""
    with desk.write(request) as call:
        clients.delete_by_name(call, client_id)


HANDLERS = [create_oauth_client, get_oauth_clients, delete_oauth_client]

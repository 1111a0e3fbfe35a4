"""`/api/v1/clients`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import At, ShortName
from airfreight.apis.common.paging import After, Limit, Page, RowId, page
from airfreight.services import clients

TAGS = ["API clients"]


class ClientIn(In):
    name: ShortName


class Client(Out):
    id: int
    name: str
    client_id: str
    owner_user_id: int | None
    created_at: At


class NewClient(Client):
    secret: Annotated[str, msgspec.Meta(description="Shown this once.")]


def shape(row: Any) -> Client:  # noqa: ANN401 - a row
    return Client(
        id=row.id,
        name=row.name,
        client_id=row.client_id,
        owner_user_id=row.owner_user_id,
        created_at=row.created_at,
    )


@post("/", tags=TAGS, sync_to_thread=True)
def create_client(request: Request[Any, Any, Any], desk: NamedDependency[Desk], data: JSONBody[ClientIn]) -> NewClient:
    """Create an API client, which may do everything in your organization. Needs `CLIENT_EDIT`."""
    with desk.write(request) as call:
        row, secret = clients.create(call, name=data.name)
        return NewClient(**msgspec.structs.asdict(shape(row)), secret=secret)


@get("/", tags=TAGS, sync_to_thread=True)
def list_clients(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], limit: Limit = 50, after: After = 0
) -> Page[Client]:
    """List the API clients, oldest first. Needs `CLIENT_EDIT`."""
    with desk.read(request) as call:
        return page(clients.search(call, after=after, limit=limit + 1), limit, shape)


@delete("/{client_id:int}", tags=TAGS, sync_to_thread=True)
def delete_client(request: Request[Any, Any, Any], desk: NamedDependency[Desk], client_id: RowId) -> None:
    """Delete an API client; every token given to it ends. Needs `CLIENT_EDIT`."""
    with desk.write(request) as call:
        clients.delete(call, client_id)


router = Router("/api/v1/clients", route_handlers=[create_client, list_clients, delete_client])

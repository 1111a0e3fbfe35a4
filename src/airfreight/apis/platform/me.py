"""`/api/v1/me`."""

from typing import Any

from litestar import Request, Router, get
from litestar.di import NamedDependency

from airfreight.apis.common.body import Out
from airfreight.apis.common.desk import Desk
from airfreight.domain.access import Permission, Role
from airfreight.services import me


class MyUser(Out):
    id: int
    email: str
    name: str
    role: Role


class MyClient(Out):
    id: int
    name: str


class Me(Out):
    """`user` for a user's token, `client` for an organization's; the other one is null."""

    organization_id: int
    organization_name: str
    user: MyUser | None
    client: MyClient | None
    permissions: list[Permission]


@get("/", tags=["Access"], sync_to_thread=True)
def get_me(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Me:
    """Say whose token this is and what it may do."""
    with desk.read(request) as call:
        found = me.describe(call)
        user, client = found.user, found.client
        return Me(
            organization_id=found.organization.id,
            organization_name=found.organization.name,
            user=MyUser(id=user.id, email=user.email, name=user.name, role=Role(user.role)) if user else None,
            client=MyClient(id=client.id, name=client.name) if client else None,
            permissions=sorted(call.principal.permissions),
        )


router = Router("/api/v1/me", route_handlers=[get_me])

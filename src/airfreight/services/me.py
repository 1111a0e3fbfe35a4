"""Who the caller is."""

from dataclasses import dataclass
from typing import Any

from airfreight.domain.errors import forbidden
from airfreight.services.call import Call
from airfreight.store import access, organizations


@dataclass(frozen=True, slots=True)
class Me:
    """The caller's organization, and the user or (with an organization's token) the API client that calls. Rows."""

    organization: Any
    user: Any
    client: Any


def describe(call: Call) -> Me:
    """Needs no permission: whoever has a token may know whose it is."""
    who = call.principal
    organization = organizations.get(call.connection, who.organization_id)
    if who.scoped:
        return Me(organization, access.user(call.connection, who.organization_id, who.user_id or 0), None)
    return Me(organization, None, access.client(call.connection, who.organization_id, who.client_id or 0))


def user(call: Call) -> Any:  # noqa: ANN401 - a row
    """The user whose token this is. Raises FORBIDDEN for an organization's token."""
    who = call.principal
    if not who.scoped:
        raise forbidden("This needs a token of a user (grant_type=user_credentials), not of an organization.")
    return access.user(call.connection, who.organization_id, who.user_id or 0)

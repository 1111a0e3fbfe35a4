"""Organizations: a caller sees their own and those below it."""

from typing import Any

from airfreight.domain.access import Permission
from airfreight.domain.errors import conflict
from airfreight.services.call import Call
from airfreight.services.products import check_time_zone
from airfreight.store import organizations


def create(call: Call, *, name: str, time_zone: str = "", parent_id: int | None = None) -> Any:  # noqa: ANN401 - a row
    """A new organization below the caller's, or below `parent_id`. Raises NOT_FOUND, INVALID for an unknown zone."""
    call.need(Permission.ORG_EDIT)
    check_time_zone(time_zone)
    parent = call.within(parent_id).organization_id
    return organizations.get(
        call.connection,
        organizations.add(call.connection, name=name, parent_id=parent, time_zone=time_zone, now=call.now),
    )


def get(call: Call, organization_id: int) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND."""
    call.need(Permission.ORG_VIEW)
    return organizations.get(call.connection, call.within(organization_id).organization_id)


def search(call: Call, *, after: int, limit: int) -> list[Any]:
    call.need(Permission.ORG_VIEW)
    return organizations.listed(call.connection, call.organization_id, after=after, limit=limit)


def delete(call: Call, organization_id: int) -> None:
    """Raises NOT_FOUND, or CONFLICT for the caller's own and for one that is not empty."""
    call.need(Permission.ORG_EDIT)
    call.within(organization_id)
    if organization_id == call.principal.organization_id:
        raise conflict("You cannot delete your own organization.", "own_organization")
    if organizations.is_used(call.connection, organization_id):
        raise conflict(
            "The organization is not empty. Delete its users, clients, keys, artifacts and products first.", "in_use"
        )
    organizations.remove(call.connection, organization_id)

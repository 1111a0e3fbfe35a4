"""Organizations: a caller sees their own and those below it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import msgspec

from airfreight.domain.access import Permission
from airfreight.domain.errors import conflict
from airfreight.services.call import Call
from airfreight.services.products import check_time_zone
from airfreight.store import organizations


class OrganizationKind(StrEnum):
    """What an organization calls itself; it changes nothing."""

    ROOT = "root"
    BUSINESS = "business"
    PERSONAL = "personal"
    BRANCH = "branch"
    DISTRIBUTOR = "distributor"
    CONTRACTOR = "contractor"
    INSTALLER = "installer"
    RESELLER = "reseller"


class Units(StrEnum):
    METRIC = "metric"
    IMPERIAL = "imperial"


@dataclass(frozen=True, slots=True)
class Address:
    full: str = ""
    city: str = ""
    country: str = ""
    state: str = ""
    zip: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """What is shown of an organization and decides nothing."""

    description: str = ""
    kind: OrganizationKind = OrganizationKind.BUSINESS
    phone: str = ""
    units: Units = Units.METRIC
    address: Address = field(default_factory=Address)


def profile(row: Any) -> Profile:  # noqa: ANN401 - a row
    return msgspec.json.decode(row.details, type=Profile)


def create(
    call: Call, *, name: str, time_zone: str = "", parent_id: int | None = None, wanted: Profile | None = None
) -> Any:  # noqa: ANN401 - a row
    """A new organization below the caller's, or below `parent_id`; below a personal one it is personal too.

    Raises NOT_FOUND, INVALID for an unknown zone.
    """
    call.need(Permission.ORG_EDIT)
    check_time_zone(time_zone)
    parent = call.within(parent_id).organization_id
    shown = wanted or Profile()
    if profile(organizations.get(call.connection, parent)).kind == OrganizationKind.PERSONAL:
        shown = replace(shown, kind=OrganizationKind.PERSONAL)
    details = msgspec.json.encode(shown).decode()
    return organizations.get(
        call.connection,
        organizations.add(
            call.connection, name=name, parent_id=parent, time_zone=time_zone, now=call.now, details=details
        ),
    )


def own(call: Call) -> Any:  # noqa: ANN401 - a row
    """The organization of the token. Needs no permission: whoever has a token may know whose it is."""
    return organizations.get(call.connection, call.principal.organization_id)


def get(call: Call, organization_id: int) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND."""
    call.need(Permission.ORG_VIEW)
    return organizations.get(call.connection, call.within(organization_id).organization_id)


def search(call: Call, *, query: str = "", after: int, limit: int) -> list[Any]:
    call.need(Permission.ORG_VIEW)
    return organizations.listed(call.connection, call.organization_id, query=query, after=after, limit=limit)


def paged(call: Call, *, query: str = "", include_top: bool = True, skip: int, limit: int) -> tuple[list[Any], int]:
    """One page of those with `query` in their name, and how many there are; without the top one if so wanted."""
    call.need(Permission.ORG_VIEW)
    return organizations.paged(
        call.connection, call.organization_id, query=query, include_top=include_top, skip=skip, limit=limit
    )


def change(
    call: Call,
    organization_id: int,
    *,
    name: str | None = None,
    time_zone: str | None = None,
    shown: Mapping[str, object] | None = None,
) -> Any:  # noqa: ANN401 - a row
    """Change what is given; `shown` are fields of the profile. Raises NOT_FOUND, INVALID for an unknown zone."""
    call.need(Permission.ORG_EDIT)
    call.within(organization_id)
    check_time_zone(time_zone or "")
    organizations.lock(call.connection, organization_id)
    values: dict[str, object] = {"changed_at": call.now}
    if name is not None:
        values["name"] = name
    if time_zone is not None:
        values["time_zone"] = time_zone
    if shown:
        now = profile(organizations.get(call.connection, organization_id))
        values["details"] = msgspec.json.encode(replace(now, **shown)).decode()  # type: ignore[arg-type]
    organizations.change(call.connection, organization_id, values)
    return organizations.get(call.connection, organization_id)


def ask_approval(
    call: Call, organization_id: int, *, approval_needed: bool | None = None, four_eyes: bool | None = None
) -> None:
    """Whether rollouts made in steps need somebody's approval from now on, and somebody else's than their maker's.

    None: as it is. Those that are made already stay as they are. Raises NOT_FOUND.
    """
    call.need(Permission.ORG_EDIT)
    call.within(organization_id)
    said = {"approval_needed": approval_needed, "four_eyes": four_eyes}
    values: dict[str, object] = {name: value for name, value in said.items() if value is not None}
    organizations.change(call.connection, organization_id, {**values, "changed_at": call.now})


def delete(call: Call, organization_id: int) -> None:
    """Raises NOT_FOUND, or CONFLICT for the caller's own and for one that is not empty."""
    call.need(Permission.ORG_EDIT)
    call.within(organization_id)
    if organization_id == call.principal.organization_id:
        raise conflict("You cannot delete your own organization.", "own_organization")
    if organizations.is_used(call.connection, organization_id):
        raise conflict(
            "The organization is not empty. Delete its users, clients, keys, artifacts, products, webhooks and the "
            "organizations below it first.",
            "in_use",
        )
    organizations.remove(call.connection, organization_id)

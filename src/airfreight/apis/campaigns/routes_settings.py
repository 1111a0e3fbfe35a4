"""What an organization has decided about campaigns: whether they need approval, and whose."""

from typing import Annotated

from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import UNSET

from airfreight.apis.campaigns.errors import Asked
from airfreight.apis.campaigns.routes_campaigns import EACH
from airfreight.apis.campaigns.shapes import ApprovalShown, Category, Done, OrganizationSettings, SettingsChange
from airfreight.apis.campaigns.wire import number_of, reading, writing
from airfreight.apis.common.desk import Desk
from airfreight.domain.access import Permission
from airfreight.services import organizations

OrganizationId = Annotated[
    str, PathParameter(description="The organization's number.", schema_extra={"pattern": "^[1-9][0-9]{0,8}$"})
]


@get(
    "/organizations/{organization_id:str}/settings",
    operation_id="getOrganizationSettings",
    need=Permission.ORG_VIEW,
    **EACH,
)
def get_settings(
    request: Asked,
    desk: NamedDependency[Desk],
    organization_id: OrganizationId,
    category: Annotated[Category, QueryParameter(description="There is one.")] = Category.CAMPAIGN,
) -> list[OrganizationSettings]:
    """Whether campaigns need approval, and whose. Needs `ORG_VIEW`."""
    with reading(desk, request) as call:
        row = organizations.get(call, number_of(organization_id))
        shown = ApprovalShown(approval_needed=bool(row.approval_needed), four_eyes=bool(row.four_eyes))
        return [OrganizationSettings(category=category, settings=shown)]


@put(
    "/organizations/{organization_id:str}/settings",
    operation_id="changeOrganizationSettings",
    need=Permission.ORG_EDIT,
    **EACH,
)
def change_settings(
    request: Asked, desk: NamedDependency[Desk], organization_id: OrganizationId, data: JSONBody[list[SettingsChange]]
) -> Done:
    """Ask for approval of campaigns that are made from now on, or do not. Needs `ORG_EDIT`."""
    said = [one.settings for one in data]
    needed = [one.approval_needed for one in said if one.approval_needed is not UNSET]
    eyes = [one.four_eyes for one in said if one.four_eyes is not UNSET]
    with writing(desk, request) as call:
        organizations.ask_approval(
            call,
            number_of(organization_id),
            approval_needed=needed[-1] if needed else None,
            four_eyes=eyes[-1] if eyes else None,
        )
    return Done()


HANDLERS = [get_settings, change_settings]

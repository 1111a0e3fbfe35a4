"""What an organization has decided about campaigns: whether they need approval, and whose."""

from typing import Annotated

from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import UNSET

from airfreight.apis.campaigns.errors import Asked
from airfreight.apis.campaigns.routes_campaigns import EACH
from airfreight.apis.campaigns.shapes import ApprovalShown, Category, Done, OrganizationSettings, SettingsChange
from airfreight.apis.campaigns.wire import reading, writing
from airfreight.apis.common.desk import Desk
from airfreight.services import organizations

OrganizationId = Annotated[int, PathParameter(ge=1, le=2**31 - 1, description="The organization's number.")]


@get("/organizations/{organization_id:int}/settings", operation_id="getOrganizationSettings", **EACH)
def get_settings(
    request: Asked,
    desk: NamedDependency[Desk],
    organization_id: OrganizationId,
    category: Annotated[Category, QueryParameter(description="There is one.")] = Category.CAMPAIGN,
) -> list[OrganizationSettings]:
    """Whether campaigns need approval, and whose. Needs `ORG_VIEW`."""
    with reading(desk, request) as call:
        row = organizations.get(call, organization_id)
        shown = ApprovalShown(approval_needed=bool(row.approval_needed), four_eyes=bool(row.four_eyes))
        return [OrganizationSettings(category=category, settings=shown)]


@put("/organizations/{organization_id:int}/settings", operation_id="changeOrganizationSettings", **EACH)
def change_settings(
    request: Asked, desk: NamedDependency[Desk], organization_id: OrganizationId, data: JSONBody[list[SettingsChange]]
) -> Done:
    """Ask for approval of campaigns that are made from now on, or do not. Needs `ORG_EDIT`."""
    with writing(desk, request) as call:
        for one in data:
            needed, eyes = one.settings.approval_needed, one.settings.four_eyes
            organizations.ask_approval(
                call,
                organization_id,
                approval_needed=None if needed is UNSET else needed,
                four_eyes=None if eyes is UNSET else eyes,
            )
    return Done()


HANDLERS = [get_settings, change_settings]

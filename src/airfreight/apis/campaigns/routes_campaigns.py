"""Campaigns: made, changed, approved, started, stopped, deleted, counted. Each route calls one verb."""

from typing import Annotated, Any

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter
from msgspec import UNSET, Meta

from airfreight.apis.campaigns import translate
from airfreight.apis.campaigns.errors import PROBLEMS, Asked
from airfreight.apis.campaigns.shapes import (
    UUID,
    CampaignCounts,
    CampaignDraft,
    CampaignEdit,
    CampaignInfo,
    CampaignOverview,
    CampaignPage,
    CampaignRef,
    CampaignStatus,
    Done,
    Made,
    PageAsked,
)
from airfreight.apis.campaigns.translate import KIND
from airfreight.apis.campaigns.wire import (
    DEFAULT_SIZE,
    Direction,
    Number,
    Size,
    Sort,
    page_info,
    paged,
    reading,
    writing,
)
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import LINE
from airfreight.domain.access import Permission
from airfreight.services import rollout_steps

EACH: dict[str, Any] = {"tags": ["Campaigns"], "status_code": 200, "responses": PROBLEMS, "sync_to_thread": True}
"""What the routes of this door have in common."""

CampaignId = Annotated[str, PathParameter(description="The campaign's id.", schema_extra={"pattern": UUID})]
_Text = Annotated[str, Meta(max_length=200, pattern=LINE)]


@post("/campaigns", operation_id="createCampaign", need=Permission.OTA_START, **EACH)
def create_campaign(request: Asked, desk: NamedDependency[Desk], data: JSONBody[CampaignDraft]) -> Made:
    """Make a campaign. Needs `OTA_START` (Create Campaign).

    It needs approval if its organization's settings say so at this moment.
    """
    with writing(desk, request) as call:
        return Made(uuid=rollout_steps.draft(call, KIND, translate.draft(data)))


@get("/campaigns", operation_id="listCampaigns", need=Permission.OTA_VIEW, **EACH)
def list_campaigns(
    request: Asked,
    desk: NamedDependency[Desk],
    ids: Annotated[list[_Text] | None, QueryParameter(name="id", description="One of these ids.")] = None,
    name: Annotated[str, QueryParameter(max_length=200, pattern=LINE, description="A part of the name.")] = "",
    status: Annotated[list[CampaignStatus] | None, QueryParameter(description="One of these.")] = None,
    pre_delivery: Annotated[
        str, QueryParameter(name="preDeliveryCallback", max_length=64, pattern=LINE, description="A destination.")
    ] = "",
    post_delivery: Annotated[
        str, QueryParameter(name="postDeliveryCallback", max_length=64, pattern=LINE, description="A destination.")
    ] = "",
    description: Annotated[
        str, QueryParameter(max_length=1000, pattern=LINE, description="A part of the description.")
    ] = "",
    creation_time: Annotated[
        int | None, QueryParameter(name="creationTime", ge=0, le=2**53, description="Milliseconds since 1970.")
    ] = None,
    packages: Annotated[list[_Text] | None, QueryParameter(description="Has one of these packages.")] = None,
    number: Number = 1,
    size: Size = DEFAULT_SIZE,
    sort: Direction = Sort.DESC,
) -> CampaignPage:
    """Campaigns that fit all filters. Needs `OTA_VIEW` (View Campaign).

    `id`, `status` and `packages` may be repeated: one of the values has to fit.
    """
    number, size = paged(request, number, size)
    wanted = translate.filters(
        ids=ids or (),
        name=name,
        status=status or (),
        description=description,
        creation_time=creation_time,
        packages=packages or (),
        pre_delivery=pre_delivery,
        post_delivery=post_delivery,
    )
    with reading(desk, request) as call:
        shown, total = rollout_steps.search(
            call, KIND, wanted, newest_first=sort is Sort.DESC, skip=(number - 1) * size, limit=size
        )
        campaigns = [translate.campaign(one) for one in shown]
        asked = PageAsked(number=number, size=size, sort=sort)
        return CampaignPage(campaigns=campaigns, page=asked, page_response=page_info(number, size, total))


@get("/campaigns/{campaign_id:str}", operation_id="getCampaign", need=Permission.OTA_VIEW, **EACH)
def get_campaign(request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId) -> CampaignInfo:
    """One campaign. Needs `OTA_VIEW` (View Campaign)."""
    with reading(desk, request) as call:
        return translate.campaign(rollout_steps.get(call, KIND, campaign_id))


@put("/campaigns/{campaign_id:str}", operation_id="editCampaign", need=Permission.OTA_START, **EACH)
def edit_campaign(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[CampaignEdit]
) -> Made:
    """Change what is given. Needs `OTA_START` (Edit Campaign).

    Of a started one the packages cannot be changed; other packages than those that were approved need approval again.
    """
    translate.same(campaign_id, data.campaign_id, "campaignId")
    with writing(desk, request) as call:
        rollout_steps.edit(call, KIND, campaign_id, translate.draft(data.update_spec))
    return Made(uuid=campaign_id)


@delete("/campaigns/{campaign_id:str}", operation_id="deleteCampaign", need=Permission.OTA_CANCEL, **EACH)
def delete_campaign(request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId) -> Done:
    """Delete a campaign that is not started; its gateways are let go. Needs `OTA_CANCEL` (Delete Campaign)."""
    with writing(desk, request) as call:
        rollout_steps.remove(call, KIND, campaign_id)
    return Done()


@put("/campaigns/{campaign_id:str}/start", operation_id="startCampaign", need=Permission.OTA_START, **EACH)
def start_campaign(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[CampaignRef | None] = None
) -> Done:
    """Start it, or go on with it. Needs `OTA_START` (Start Campaign)."""
    translate.same(campaign_id, data.campaign_id if data else UNSET, "campaignId")
    with writing(desk, request) as call:
        rollout_steps.start(call, KIND, campaign_id)
    return Done()


@put("/campaigns/{campaign_id:str}/stop", operation_id="stopCampaign", need=Permission.OTA_CANCEL, **EACH)
def stop_campaign(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[CampaignRef | None] = None
) -> Done:
    """Tell gateways nothing more; it can be started again. Needs `OTA_CANCEL` (Stop Campaign)."""
    translate.same(campaign_id, data.campaign_id if data else UNSET, "campaignId")
    with writing(desk, request) as call:
        rollout_steps.hold(call, KIND, campaign_id)
    return Done()


@put("/campaigns/{campaign_id:str}/approve", operation_id="approveCampaign", need=Permission.OTA_APPROVE, **EACH)
def approve_campaign(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[CampaignRef | None] = None
) -> Done:
    """Let it be started. Needs `OTA_APPROVE` (Approve Campaign)."""
    translate.same(campaign_id, data.campaign_id if data else UNSET, "campaignId")
    with writing(desk, request) as call:
        rollout_steps.approve(call, KIND, campaign_id)
    return Done()


@get("/campaigns/{campaign_id:str}/status", operation_id="getCampaignStatus", need=Permission.OTA_VIEW, **EACH)
def get_status(request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId) -> CampaignOverview:
    """How far a campaign has come, from exact counters. Needs `OTA_VIEW` (View Campaign)."""
    with reading(desk, request) as call:
        return translate.overview(rollout_steps.get(call, KIND, campaign_id))


@get("/campaign-status/campaigns", operation_id="countCampaigns", need=Permission.OTA_VIEW, **EACH)
def count_campaigns(request: Asked, desk: NamedDependency[Desk]) -> CampaignCounts:
    """How many campaigns have which status. Needs `OTA_VIEW` (View Campaign)."""
    with reading(desk, request) as call:
        return translate.counts(rollout_steps.stages(call, KIND))


HANDLERS = [
    create_campaign,
    list_campaigns,
    get_campaign,
    edit_campaign,
    delete_campaign,
    start_campaign,
    stop_campaign,
    approve_campaign,
    get_status,
    count_campaigns,
]

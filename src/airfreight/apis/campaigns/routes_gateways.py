"""The gateways of a campaign: in, out, closed, scheduled, watched. Each route calls one verb; no rule lives here."""

from typing import Annotated

from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET

from airfreight.apis.campaigns import translate
from airfreight.apis.campaigns.errors import Asked
from airfreight.apis.campaigns.routes_campaigns import EACH, CampaignId
from airfreight.apis.campaigns.shapes import (
    ActiveCampaigns,
    Done,
    DownloadProgress,
    ExecutionProgress,
    GatewayIds,
    GatewayPackages,
    GatewayPage,
    GatewayRef,
    GatewayStatus,
    Packages,
    Schedule,
    State,
)
from airfreight.apis.campaigns.translate import KIND, WORDS
from airfreight.apis.campaigns.wire import DEFAULT_SIZE, Number, Size, page_info, paged, reading, writing
from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.fields import UID
from airfreight.domain.access import Permission
from airfreight.domain.phases import Phase
from airfreight.services import members

GatewayId = Annotated[
    str, PathParameter(description="The gateway's id: the uid of the device.", schema_extra={"pattern": UID})
]
_ALL = "/campaigns/{campaign_id:str}/devices"
_ONE = _ALL + "/{gateway_id:str}"
LONGEST_LIST = 8 * 1024**2
"""Bytes of a body that names gateways: a hundred thousand of the longest ids."""


@post(_ALL, operation_id="addGateways", need=Permission.OTA_START, request_max_body_size=LONGEST_LIST, **EACH)
def add_gateways(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[GatewayIds]
) -> Done:
    """Let gateways take part, up to 100,000 in one call: all or none. Needs `OTA_START` (Edit Campaign)."""
    translate.same(campaign_id, data.campaign_id, "campaignId")
    with writing(desk, request) as call:
        members.add(call, KIND, campaign_id, data.gateway_ids, WORDS)
    return Done()


@put(_ALL, operation_id="removeGateways", need=Permission.OTA_START, request_max_body_size=LONGEST_LIST, **EACH)
def remove_gateways(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[GatewayIds]
) -> Done:
    """Let gateways take part no more: all or none. Needs `OTA_START` (Edit Campaign)."""
    translate.same(campaign_id, data.campaign_id, "campaignId")
    with writing(desk, request) as call:
        members.take_out(call, KIND, campaign_id, data.gateway_ids, WORDS)
    return Done()


@get(_ALL, operation_id="listGateways", need=Permission.OTA_VIEW, **EACH)
def list_gateways(
    request: Asked,
    desk: NamedDependency[Desk],
    campaign_id: CampaignId,
    number: Number = 1,
    size: Size = DEFAULT_SIZE,
) -> GatewayPage:
    """Who takes part, in the order in which they were added. Needs `OTA_VIEW` (View Campaign)."""
    number, size = paged(request, number, size)
    with reading(desk, request) as call:
        rows, total = members.page(call, KIND, campaign_id, skip=(number - 1) * size, limit=size)
        gateways = [translate.gateway(row, call.now) for row in rows]
        return GatewayPage(page_response=page_info(number, size, total), gateways=gateways)


def _check(campaign_id: str, gateway_id: str, data: GatewayRef | None) -> None:
    translate.same(campaign_id, data.campaign_id if data else UNSET, "campaignId")
    translate.same(gateway_id, data.gateway_id if data else UNSET, "gatewayId")


@put(_ONE + "/packages", operation_id="assignPackages", need=Permission.OTA_START, **EACH)
def assign_packages(
    request: Asked,
    desk: NamedDependency[Desk],
    campaign_id: CampaignId,
    gateway_id: GatewayId,
    data: JSONBody[GatewayPackages],
) -> Done:
    """Give one gateway packages of its own. Needs `OTA_START` (Edit Campaign).

    It gets them instead of the campaign's; until its download begins. None: those of the campaign again.
    """
    _check(campaign_id, gateway_id, data)
    with writing(desk, request) as call:
        members.own_artifacts(call, KIND, campaign_id, gateway_id, WORDS, data.packages)
    return Done()


@get(_ONE + "/packages", operation_id="getAssignedPackages", need=Permission.OTA_VIEW, **EACH)
def get_packages(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, gateway_id: GatewayId
) -> Packages:
    """What this gateway gets, in order. Needs `OTA_VIEW` (View Campaign)."""
    with reading(desk, request) as call:
        chosen = members.artifacts_of(call, KIND, campaign_id, gateway_id, WORDS)
        return Packages(packages=[one.uid for one in chosen])


@put(_ONE + "/close", operation_id="closeGateway", need=Permission.OTA_START, **EACH)
def close_gateway(
    request: Asked,
    desk: NamedDependency[Desk],
    campaign_id: CampaignId,
    gateway_id: GatewayId,
    data: JSONBody[GatewayRef | None] = None,
) -> Done:
    """End the campaign for one gateway, which keeps its state and its place. Needs `OTA_START` (Edit Campaign)."""
    _check(campaign_id, gateway_id, data)
    with writing(desk, request) as call:
        members.close(call, KIND, campaign_id, gateway_id, WORDS)
    return Done()


def _schedule(
    request: Asked, desk: Desk, phase: Phase, campaign_id: str, gateway_id: str, data: Schedule | None
) -> Done:
    wanted = data or Schedule()
    _check(campaign_id, gateway_id, wanted)
    with writing(desk, request) as call:
        members.schedule(call, KIND, campaign_id, gateway_id, WORDS, phase, int(wanted.begin), int(wanted.end))
    return Done()


@put(_ONE + "/scheduled-download", operation_id="scheduleDownload", need=Permission.OTA_START, **EACH)
def schedule_download(
    request: Asked,
    desk: NamedDependency[Desk],
    campaign_id: CampaignId,
    gateway_id: GatewayId,
    data: JSONBody[Schedule | None] = None,
) -> Done:
    """Give the download its time, which approves it. Needs `OTA_START` (Schedule Campaign)."""
    return _schedule(request, desk, Phase.DOWNLOAD, campaign_id, gateway_id, data)


@put(_ONE + "/scheduled-execution", operation_id="scheduleExecution", need=Permission.OTA_START, **EACH)
def schedule_execution(
    request: Asked,
    desk: NamedDependency[Desk],
    campaign_id: CampaignId,
    gateway_id: GatewayId,
    data: JSONBody[Schedule | None] = None,
) -> Done:
    """Give the execution its time, which approves it. Needs `OTA_START` (Schedule Campaign)."""
    return _schedule(request, desk, Phase.INSTALL, campaign_id, gateway_id, data)


@put(_ONE + "/scheduled-activation", operation_id="scheduleActivation", need=Permission.OTA_START, **EACH)
def schedule_activation(
    request: Asked,
    desk: NamedDependency[Desk],
    campaign_id: CampaignId,
    gateway_id: GatewayId,
    data: JSONBody[Schedule | None] = None,
) -> Done:
    """Give the activation its time, which approves it. Needs `OTA_START` (Schedule Campaign)."""
    return _schedule(request, desk, Phase.ACTIVATE, campaign_id, gateway_id, data)


@get(_ONE + "/state", operation_id="getGatewayState", need=Permission.OTA_VIEW, **EACH)
def get_state(request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, gateway_id: GatewayId) -> State:
    """Where one gateway stands. Needs `OTA_VIEW` (View Campaign)."""
    with reading(desk, request) as call:
        row = members.standing(call, KIND, campaign_id, gateway_id, WORDS)
        return State(state=translate.state_of(row, call.now))


@get(_ONE + "/status", operation_id="getGatewayStatus", need=Permission.OTA_VIEW, **EACH)
def get_gateway_status(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, gateway_id: GatewayId
) -> GatewayStatus:
    """State and progress of one gateway. Needs `OTA_VIEW` (View Campaign)."""
    with reading(desk, request) as call:
        found = members.progress(call, KIND, campaign_id, gateway_id, WORDS)
    return translate.gateway_status(campaign_id, gateway_id, found, clock())


@get(_ONE + "/progress/download", operation_id="getDownloadProgress", need=Permission.OTA_VIEW, **EACH)
def get_download_progress(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, gateway_id: GatewayId
) -> DownloadProgress:
    """Bytes of each package, in order. Needs `OTA_VIEW` (View Campaign)."""
    with reading(desk, request) as call:
        return translate.download_progress(members.progress(call, KIND, campaign_id, gateway_id, WORDS))


@get(_ONE + "/progress/execution", operation_id="getExecutionProgress", need=Permission.OTA_VIEW, **EACH)
def get_execution_progress(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, gateway_id: GatewayId
) -> ExecutionProgress:
    """The latest lines that the gateway printed. Needs `OTA_VIEW` (View Campaign)."""
    with reading(desk, request) as call:
        return ExecutionProgress(progress=members.progress(call, KIND, campaign_id, gateway_id, WORDS).lines)


@get("/devices/{gateway_id:str}/active-campaigns", operation_id="getActiveCampaigns", need=Permission.OTA_VIEW, **EACH)
def get_active(request: Asked, desk: NamedDependency[Desk], gateway_id: GatewayId) -> ActiveCampaigns:
    """The campaigns that are open for a gateway, the oldest first. Needs `OTA_VIEW` (View Campaign)."""
    with reading(desk, request) as call:
        return ActiveCampaigns(campaign_id=members.active(call, KIND, gateway_id, WORDS))


HANDLERS = [
    add_gateways,
    remove_gateways,
    list_gateways,
    assign_packages,
    get_packages,
    close_gateway,
    schedule_download,
    schedule_execution,
    schedule_activation,
    get_state,
    get_gateway_status,
    get_download_progress,
    get_execution_progress,
    get_active,
]

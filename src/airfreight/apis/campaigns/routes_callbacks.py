"""Who is told what of a campaign, the group that it follows, and waking a gateway. Each route calls one verb."""

from litestar import get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import UNSET

from airfreight.apis.campaigns import translate
from airfreight.apis.campaigns.errors import Asked
from airfreight.apis.campaigns.routes_campaigns import EACH, CampaignId
from airfreight.apis.campaigns.routes_gateways import GatewayId
from airfreight.apis.campaigns.shapes import (
    Callback,
    DistributionList,
    DistributionListSet,
    Done,
    GatewayRef,
    StateChangeCallback,
)
from airfreight.apis.campaigns.translate import KIND, WORDS
from airfreight.apis.campaigns.wire import reading, writing
from airfreight.apis.common.desk import Desk
from airfreight.domain.access import Permission
from airfreight.services import callbacks, followed_groups
from airfreight.services.callbacks import News

_CALLBACKS = "/campaigns/{campaign_id:str}/callbacks"
_LIST = "/campaigns/{campaign_id:str}/distribution-list"


def _register(request: Asked, desk: Desk, campaign_id: str, news: News, data: Callback) -> Done:
    translate.same(campaign_id, data.campaign_id, "campaignId")
    states = data.tracked_states if isinstance(data, StateChangeCallback) else []
    with writing(desk, request) as call:
        callbacks.register(call, KIND, campaign_id, news, data.notification_destination_id, states)
    return Done()


@put(_CALLBACKS + "/completed", operation_id="registerCompletedCallback", need=Permission.OTA_START, **EACH)
def register_completed(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[Callback]
) -> Done:
    """Be told once when all gateways are done, failed or closed, and again after more were added. Needs `OTA_START`."""
    return _register(request, desk, campaign_id, News.COMPLETED, data)


@put(_CALLBACKS + "/wake-up", operation_id="registerWakeUpCallback", need=Permission.OTA_START, **EACH)
def register_wake_up(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[Callback]
) -> Done:
    """Be told whenever a gateway has something to do, so that it can be woken. Needs `OTA_START`."""
    return _register(request, desk, campaign_id, News.WAKE_UP, data)


@put(_CALLBACKS + "/state-change", operation_id="registerStateChangeCallback", need=Permission.OTA_START, **EACH)
def register_state_change(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[StateChangeCallback]
) -> Done:
    """Be told of each change of a gateway's state, or of those to `trackedStates` only. Needs `OTA_START`."""
    return _register(request, desk, campaign_id, News.STATE_CHANGE, data)


@put(
    _CALLBACKS + "/execution-progress",
    operation_id="registerExecutionProgressCallback",
    need=Permission.OTA_START,
    **EACH,
)
def register_execution_progress(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[Callback]
) -> Done:
    """Be told what gateways print as they install. Needs `OTA_START`."""
    return _register(request, desk, campaign_id, News.EXECUTION_PROGRESS, data)


@put(
    _CALLBACKS + "/download-progress",
    operation_id="registerDownloadProgressCallback",
    need=Permission.OTA_START,
    **EACH,
)
def register_download_progress(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[Callback]
) -> Done:
    """Be told how far downloads have come. Needs `OTA_START`."""
    return _register(request, desk, campaign_id, News.DOWNLOAD_PROGRESS, data)


@put(
    "/campaigns/{campaign_id:str}/devices/{gateway_id:str}/notify",
    operation_id="notifyGateway",
    need=Permission.OTA_START,
    **EACH,
)
def notify_gateway(
    request: Asked,
    desk: NamedDependency[Desk],
    campaign_id: CampaignId,
    gateway_id: GatewayId,
    data: JSONBody[GatewayRef | None] = None,
) -> Done:
    """Have a gateway woken now, so that it comes and asks. Needs `OTA_START` (Edit Campaign)."""
    translate.same(campaign_id, data.campaign_id if data else UNSET, "campaignId")
    translate.same(gateway_id, data.gateway_id if data else UNSET, "gatewayId")
    with writing(desk, request) as call:
        callbacks.notify(call, KIND, campaign_id, gateway_id, WORDS)
    return Done()


@put(_LIST, operation_id="setDistributionList", need=Permission.OTA_START, **EACH)
def set_distribution_list(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[DistributionListSet]
) -> Done:
    """Follow a group: its devices are added as they match, while the campaign is started. Needs `OTA_START`."""
    translate.same(campaign_id, data.campaign_id, "campaignId")
    seconds = int(data.reevaluation_interval_seconds or 0)
    with writing(desk, request) as call:
        followed_groups.follow(call, KIND, campaign_id, data.distribution_list_id, seconds)
    return Done()


@get(_LIST, operation_id="getDistributionList", need=Permission.OTA_VIEW, **EACH)
def get_distribution_list(request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId) -> DistributionList:
    """The group that the campaign follows. Needs `OTA_VIEW` (View Campaign)."""
    with reading(desk, request) as call:
        group, seconds = followed_groups.followed(call, KIND, campaign_id)
    return DistributionList(
        distribution_list_id=group, reevaluation_interval_seconds=str(seconds), campaign_id=campaign_id
    )


HANDLERS = [
    register_completed,
    register_wake_up,
    register_state_change,
    register_execution_progress,
    register_download_progress,
    notify_gateway,
    set_distribution_list,
    get_distribution_list,
]

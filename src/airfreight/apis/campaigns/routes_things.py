"""Things in a campaign: the one call of the page that stands outside /api, and has its names in snake_case."""

from typing import Any

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from airfreight.apis.campaigns import translate
from airfreight.apis.campaigns.errors import Asked
from airfreight.apis.campaigns.routes_campaigns import EACH, CampaignId
from airfreight.apis.campaigns.routes_gateways import LONGEST_LIST
from airfreight.apis.campaigns.shapes import GatewayThingsIn, GatewayThingsOut
from airfreight.apis.campaigns.translate import KIND, OF_THINGS
from airfreight.apis.campaigns.wire import EitherCaseInSnake, writing
from airfreight.apis.common.desk import Desk
from airfreight.domain.access import Permission
from airfreight.services import members_behind
from airfreight.services.call import Call
from airfreight.services.members_behind import Wanted

_THINGS = "/{campaign_id:str}/devices/things"
_HOW: dict[str, Any] = {**EACH, "dto": EitherCaseInSnake, "return_dto": None, "request_max_body_size": LONGEST_LIST}


def _run(call: Call, campaign_id: str, data: GatewayThingsIn) -> GatewayThingsOut:
    wanted = [Wanted(one.gateway_id, one.thing_ids) for one in data.gateway_things]
    taken = members_behind.add(call, KIND, campaign_id, wanted, OF_THINGS)
    gateways = [translate.taken(campaign_id, one, call.now) for one in taken]
    refused = [thing for one in gateways for thing in one.not_processed_thing_ids]
    return GatewayThingsOut(gateway_things=gateways, not_processed_thing_ids=refused)


@post("/campaigns" + _THINGS, operation_id="runOnThings", need=Permission.OTA_START, **_HOW)
def run_on_things(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[GatewayThingsIn]
) -> GatewayThingsOut:
    """Let things take part; what cannot is named, the rest goes on. Needs `OTA_START` (Edit Campaign)."""
    with writing(desk, request) as call:
        return _run(call, campaign_id, data)


@post(_THINGS, operation_id="runOnThingsAtThePagesAddress", need=Permission.OTA_START, **_HOW)
def run_on_things_literally(
    request: Asked, desk: NamedDependency[Desk], campaign_id: CampaignId, data: JSONBody[GatewayThingsIn]
) -> GatewayThingsOut:
    """The same at the address that the page has. Needs `OTA_START` (Edit Campaign)."""
    with writing(desk, request) as call:
        return _run(call, campaign_id, data)


HANDLERS = [run_on_things]
AT_THE_ROOT = [run_on_things_literally]

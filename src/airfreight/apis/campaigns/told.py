"""What this door says to those who registered for news of a campaign. Pure. Source: the Campaigns reference, 9.4."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from airfreight.apis.campaigns import translate
from airfreight.apis.campaigns.shapes import GatewayState
from airfreight.domain.delivery import THE_SIX, State
from airfreight.domain.phases import Point, Standing
from airfreight.services.callbacks import Change, News, Told
from airfreight.services.members import Progress

_EVENTS = {
    News.COMPLETED: "COMPLETED",
    News.WAKE_UP: "WAKE_UP",
    News.STATE_CHANGE: "STATE_CHANGE",
    News.DOWNLOAD_PROGRESS: "DOWNLOAD_PROGRESS",
    News.EXECUTION_PROGRESS: "EXECUTION_PROGRESS",
}
_COMPLETE = {State.DOWNLOADED, State.INSTALLED}

Body = dict[str, object]


def tell(news: News, told: Told, states: Sequence[str]) -> Sequence[Mapping[str, object]]:
    """The bodies of one piece of news; of changes only those to one of `states`, if any are named."""
    if told.member is None:
        return [_completed(told)]
    here = translate.state_of(told.member, told.at)
    match news:
        case News.STATE_CHANGE:
            return [
                _body(news, told, name, previousState=before)
                for before, name in _changes(told.change)
                if not states or name in states
            ]
        case News.DOWNLOAD_PROGRESS:
            progress = Progress(told.member, list(told.artifacts), dict(told.bytes), [], "")
            known = [
                {"id": one.uid, "progress": str(done), "total": str(total)} for one, done, total in progress.downloads()
            ]
            return [_body(news, told, here) | {"downloadProgress": {"packagesProgress": known}}]
        case News.EXECUTION_PROGRESS:
            return [_body(news, told, here) | {"executionProgress": list(told.lines)}]
        case _:
            return [_body(news, told, here)]


def _changes(change: Change | None) -> Iterator[tuple[GatewayState, GatewayState]]:
    """From which state to which, one after another."""
    if change is None or not change.points:
        return
    first = change.points[0]
    before = translate.name_of(first)
    if change.heard or _is_untold(first):
        here, before = before, GatewayState.INSTANTIATED
        if change.heard or _is_offered(change.points):
            yield before, here
            before = here
    for last, point in pairwise(change.points):
        for name in _names(point, is_new=last.state is not point.state):
            if name is not before:
                yield before, name
            before = name


def _is_untold(point: Point) -> bool:
    """Of one that waits for its turn, and for nobody's word, nothing was told yet."""
    return point.state is State.QUEUED and point.standing is Standing.OPEN and not point.has_slot


def _is_offered(points: Sequence[Point]) -> bool:
    return any(point.state in THE_SIX for point in points[1:2])


def _names(point: Point, *, is_new: bool) -> list[GatewayState]:
    """What a gateway is called as it comes to a point: what ends is complete before the next phase is waited for."""
    name = translate.name_of(point)
    if is_new and point.state is State.QUEUED:
        return [GatewayState.INSTANTIATED]
    if is_new and point.state in _COMPLETE:
        return [translate.name_of(Point(point.state, point.reached, Standing.OPEN)), name]
    return [name]


def _body(news: News, told: Told, state: GatewayState, **details: str) -> Body:
    member = told.member
    more = {**details, **({"causedBy": member.reason} if state is GatewayState.FAILED and member.reason else {})}
    return {
        "event": _EVENTS[news],
        "entityType": "CAMPAIGN_THING" if member.parent_uid else "CAMPAIGN_GATEWAY",
        "entityId": member.uid,
        "entityName": member.name,
        "entityState": state,
        "campaignId": told.rollout.uid,
        "gatewayId": member.parent_uid or member.uid,
        "timestamp": str(told.at),
        "additionalDetails": [{"key": key, "valueString": value} for key, value in more.items()],
    }


def _completed(told: Told) -> Body:
    def count(state: State) -> str:
        return str(sum(one.n for one in told.counts if one.state == state))

    numbers = {
        "numberOfGatewaysInActivationCompleteState": count(State.SUCCEEDED),
        "numberOfGatewaysInExecutionCompleteState": count(State.INSTALLED),
        "numberOfGatewaysInDownloadCompleteState": count(State.DOWNLOADED),
    }
    return {
        "event": _EVENTS[News.COMPLETED],
        "entityType": "CAMPAIGN",
        "entityId": told.rollout.uid,
        "entityName": told.rollout.title,
        "entityState": "STARTED",
        "campaignId": told.rollout.uid,
        "timestamp": str(told.at),
        "additionalDetails": [{"key": key, "valueString": value} for key, value in numbers.items()],
    }

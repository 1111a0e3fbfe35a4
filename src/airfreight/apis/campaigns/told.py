"""What this door says to those who registered for news of a campaign. Pure. Source: the Campaigns reference, 9.4."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from airfreight.apis.campaigns import translate
from airfreight.apis.campaigns.shapes import GatewayState
from airfreight.domain.delivery import State
from airfreight.domain.phases import Point, Standing
from airfreight.services.callbacks import Change, News, Told
from airfreight.services.members import Progress
from airfreight.services.webhooks import MOST_BODY

_EVENTS = {
    News.COMPLETED: "COMPLETED",
    News.WAKE_UP: "WAKE_UP",
    News.STATE_CHANGE: "STATE_CHANGE",
    News.DOWNLOAD_PROGRESS: "DOWNLOAD_PROGRESS",
    News.EXECUTION_PROGRESS: "EXECUTION_PROGRESS",
}
_COMPLETE = {State.DOWNLOADED, State.INSTALLED}
_MOST_LINES = MOST_BODY - 8 * 1024
"""Bytes of lines in one message, as JSON; what stands around them has its place in the rest."""

Body = dict[str, object]


def tell(news: News, told: Told, states: Sequence[str]) -> Sequence[Mapping[str, object]]:
    """The bodies of one piece of news; of changes only those to one of `states`, if any are named."""
    if told.member is None:
        return [_completed(told)]
    here = [*_names(told.change)][-1:] or [translate.state_of(told.member, told.at)]
    match news:
        case News.STATE_CHANGE:
            return [
                _body(news, told, name, **({"previousState": before} if before else {}))
                for before, name in _changes(told.change)
                if not states or name in states
            ]
        case News.DOWNLOAD_PROGRESS:
            progress = Progress(told.member, list(told.artifacts), dict(told.bytes), [], "")
            known = [
                {"id": one.uid, "progress": str(done), "total": str(total)} for one, done, total in progress.downloads()
            ]
            return [_body(news, told, *here) | {"downloadProgress": {"packagesProgress": known}}]
        case News.EXECUTION_PROGRESS:
            return [_body(news, told, *here) | {"executionProgress": _latest(told.lines)}]
        case _:
            return [_body(news, told, *here)]


def _latest(lines: Sequence[str]) -> list[str]:
    """As many as a message can have, the oldest first: whatever a gateway prints, the news behind it is told."""
    kept, size = len(lines), 0
    while kept and (size := size + len(json.dumps(lines[kept - 1])) + 1) <= _MOST_LINES:
        kept -= 1
    return list(lines[kept:])


def _changes(change: Change | None) -> Iterator[tuple[GatewayState | None, GatewayState]]:
    """From which state to which, one after another; from none for one that begins anew."""
    names: list[GatewayState | None] = [*_names(change)]
    if change and change.points and change.points[0].state is State.CANCELED:
        names[0] = None  # taken out, and added again: nobody was told of what it was meanwhile
    for before, name in pairwise(names):
        if name is not None and name is not before:
            yield before, name


def _names(change: Change | None) -> Iterator[GatewayState]:
    """What a gateway is called, one point after another: what ends is complete before the next phase is waited for."""
    if change is None:
        return
    if change.heard:
        yield GatewayState.INSTANTIATED
    is_known, last = change.is_known or change.heard, None
    for point in change.points:
        is_new, last = last is not None and last is not point.state, point.state
        if point.state is State.QUEUED:
            is_known = is_known and not is_new
            yield translate.name_of(point) if is_known or point.has_slot else GatewayState.INSTANTIATED
            continue
        if is_new and point.state in _COMPLETE:
            yield translate.name_of(Point(point.state, point.reached, Standing.OPEN))
        yield translate.name_of(point)


def _body(news: News, told: Told, state: GatewayState, **details: str) -> Body:
    member = told.member
    reason = told.change.reason if told.change else member.reason
    more = {**details, **({"causedBy": reason} if state is GatewayState.FAILED and reason else {})}
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
        "entityState": translate.status_of(told.rollout),
        "campaignId": told.rollout.uid,
        "timestamp": str(told.at),
        "additionalDetails": [{"key": key, "valueString": value} for key, value in numbers.items()],
    }

"""Between this door's words and the core's. Pure and total."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, assert_never

from msgspec import UNSET, UnsetType

from airfreight.apis.campaigns.shapes import (
    CampaignCounts,
    CampaignDraft,
    CampaignInfo,
    CampaignOverview,
    CampaignSettings,
    CampaignStatus,
    DownloadProgress,
    Gateway,
    GatewayState,
    GatewayStatus,
    GatewayThings,
    PackageProgress,
    Packages,
    Program,
    SettingsMap,
    State,
    UpdateSpec,
)
from airfreight.domain import delivery, phases
from airfreight.domain.access import Permission
from airfreight.domain.delivery import ENDS, THE_SIX, Reason
from airfreight.domain.errors import invalid
from airfreight.domain.ids import Millis
from airfreight.domain.phases import Phase, Point, Standing
from airfreight.domain.rollout import Stage, standing_at
from airfreight.domain.turns import Turn, turn
from airfreight.services.callbacks import News
from airfreight.services.members import Progress, Words
from airfreight.services.members_behind import Taken
from airfreight.services.rollout_steps import Draft, Filters, Kind, Shown, stage_of

KIND = Kind("campaigns", "Campaign", "package")
WORDS = Words("gatewayIds", "gateway")
OF_THINGS = Words("gateway_things", "gateway")

PERMISSIONS = {
    "View Campaign": Permission.OTA_VIEW,
    "Create Campaign": Permission.OTA_START,
    "Edit Campaign": Permission.OTA_START,
    "Start Campaign": Permission.OTA_START,
    "Schedule Campaign": Permission.OTA_START,
    "Approve Campaign": Permission.OTA_APPROVE,
    "Stop Campaign": Permission.OTA_CANCEL,
    "Delete Campaign": Permission.OTA_CANCEL,
    "View Package": Permission.OTA_VIEW,
    "Create Package": Permission.OTA_START,
    "Delete Package": Permission.OTA_CANCEL,
}
"""The contract's permissions, and what the verbs ask for."""

OF_DESTINATIONS = {
    "View Notification Destination": Permission.WEBHOOK_VIEW,
    "Create Notification Destination": Permission.WEBHOOK_EDIT,
    "Edit Notification Destination": Permission.WEBHOOK_EDIT,
    "Delete Notification Destination": Permission.WEBHOOK_EDIT,
}
"""The same around callbacks."""


def permissions(held: Collection[Permission]) -> list[str]:
    """What somebody may do, in this door's words."""
    return sorted(name for name, needed in {**PERMISSIONS, **OF_DESTINATIONS}.items() if needed in held)


_STATUS = {
    Stage.CREATED: CampaignStatus.CREATED,
    Stage.APPROVAL_NEEDED: CampaignStatus.APPROVAL_NEEDED,
    Stage.APPROVED: CampaignStatus.APPROVED,
    Stage.STARTED: CampaignStatus.STARTED,
    Stage.STOPPED: CampaignStatus.STOPPED,
}
_STAGE = {status: stage for stage, status in _STATUS.items()}

_S, _G = delivery.State, GatewayState

_BETWEEN = {
    _S.QUEUED: (_G.WAITING_FOR_DOWNLOAD_APPROVAL, _G.SCHEDULED_DOWNLOAD, _G.WAITING_FOR_DOWNLOAD),
    _S.OFFERED: (_G.WAITING_FOR_DOWNLOAD_APPROVAL, _G.SCHEDULED_DOWNLOAD, _G.WAITING_FOR_DOWNLOAD),
    _S.DOWNLOADED: (_G.WAITING_FOR_EXECUTION_APPROVAL, _G.SCHEDULED_EXECUTION, _G.WAITING_FOR_EXECUTION),
    _S.INSTALLED: (_G.WAITING_FOR_ACTIVATION_APPROVAL, _G.SCHEDULED_ACTIVATION, _G.WAITING_FOR_ACTIVATION),
}
"""Of a gateway that waits for its next phase: unapproved, scheduled, open."""

_AT = {
    _S.QUEUED: _G.INSTANTIATED,
    _S.OFFERED: _G.WAITING_FOR_DOWNLOAD,
    _S.DOWNLOADING: _G.WAITING_FOR_DOWNLOAD,
    _S.DOWNLOADED: _G.DOWNLOAD_COMPLETE,
    _S.INSTALLING: _G.WAITING_FOR_EXECUTION,
    _S.INSTALLED: _G.EXECUTION_COMPLETE,
    _S.ACTIVATING: _G.WAITING_FOR_ACTIVATION,
    _S.SUCCEEDED: _G.ACTIVATION_COMPLETE,
    _S.FAILED: _G.FAILED,
    _S.SKIPPED: _G.FAILED,
}
"""Of one that is doing something, has done it with nothing to wait for, or is at an end."""


def name_of(point: Point) -> GatewayState:
    """The name of the point at which a gateway stands. One that was closed keeps that of how far it had come."""
    if point.state is _S.CANCELED:
        return _AT[(_S.QUEUED, *THE_SIX)[point.reached]]
    if point.standing is None:
        return _AT[point.state]
    unapproved, scheduled, opened = _BETWEEN[point.state]
    match point.standing:
        case Standing.UNAPPROVED:
            return unapproved
        case Standing.SCHEDULED:
            return scheduled
        case Standing.OPEN:
            is_after_another = point.state in {_S.DOWNLOADED, _S.INSTALLED}
            return _AT[point.state] if is_after_another and not point.has_slot else opened
        case _:
            assert_never(point.standing)


def state_of(row: Any, now: Millis) -> GatewayState:  # noqa: ANN401 - a row
    """The state of a gateway, from the row of its delivery."""
    slots = phases.decode(row.slots)
    state = _S(row.state)
    if state is _S.QUEUED:
        match turn(
            started_at=row.started_at,
            queued_at=row.updated_at,
            seen_at=row.seen_at,
            is_behind=bool(row.has_one_ahead),
            is_approved=Phase.DOWNLOAD in slots,
        ):
            case Turn.UNHEARD:
                return _G.INSTANTIATED
            case Turn.BEHIND:
                return _G.INVENTORY_UP_TO_DATE
            case Turn.NEXT:
                pass
    return name_of(phases.point(state, row.reached, slots, now, needs_word=bool(row.needs_word)))


def is_closed(row: Any) -> bool:  # noqa: ANN401 - a row
    return _S(row.state) in ENDS


def gateway(row: Any, now: Millis) -> Gateway:  # noqa: ANN401 - a row
    return Gateway(gateway_id=row.uid, state=state_of(row, now), closed=is_closed(row))


def download_progress(progress: Progress) -> DownloadProgress:
    return DownloadProgress(
        packages_progress=[
            PackageProgress(progress=str(done), total=str(total), id=one.uid)
            for one, done, total in progress.downloads()
        ]
    )


def gateway_status(campaign_id: str, gateway_id: str, progress: Progress, now: Millis) -> GatewayStatus:
    row = progress.member
    return GatewayStatus(
        campaign_id=campaign_id,
        campaign_state=State(state=state_of(row, now)),
        timestamp=str(row.updated_at),
        download_progress=download_progress(progress),
        execution_progress=progress.lines,
        gateway_id=gateway_id,
    )


_EXECUTING = {delivery.State.INSTALLING, delivery.State.ACTIVATING}


def taken(campaign_id: str, one: Taken, now: Millis) -> GatewayThings:
    """A gateway with no part in the campaign, itself or through the things named, has no state."""
    row = one.row
    at = delivery.State(row.state) if row else None
    return GatewayThings(
        gateway_id=one.parent,
        thing_ids=one.things,
        not_processed_thing_ids=one.refused,
        state=state_of(row, now) if row else "",
        closed=row is not None and is_closed(row),
        caused_by=one.why,
        download_progress=[campaign_id] if at is delivery.State.DOWNLOADING else [],
        execution_progress=[campaign_id] if at in _EXECUTING else [],
        timestamp=str(now),
    )


# campaigns


def draft(wanted: CampaignDraft | UpdateSpec) -> Draft:
    """What is not said is None."""
    return Draft(
        title=_said(wanted.name),
        description=_said(wanted.description),
        settings=_settings(wanted.campaign_settings),
        artifacts=_said(wanted.packages),
    )


def _settings(given: CampaignSettings | UnsetType) -> Mapping[str, str] | None:
    return None if given is UNSET else given.settings


def _said(value: Any) -> Any:  # noqa: ANN401 - of whatever type it has
    return None if value is UNSET else value


def status_of(row: Any) -> CampaignStatus:  # noqa: ANN401 - a row
    return _STATUS[stage_of(row)]


def campaign(shown: Shown) -> CampaignInfo:
    row = shown.row
    return CampaignInfo(
        status=_STATUS[shown.stage],
        name=row.title,
        creation_time=str(row.created_at),
        packages=Packages(packages=[one.uid for one in shown.artifacts]),
        id=row.uid,
        description=row.description,
        approval_needed=bool(row.approval_needed),
        has_approval=row.approved_at is not None,
        pre_delivery_callback=shown.told.get(News.WAKE_UP, ""),
        post_delivery_callback=shown.told.get(News.COMPLETED, ""),
        campaign_settings=SettingsMap(settings=json.loads(row.details)),
    )


def overview(shown: Shown) -> CampaignOverview:
    row = shown.row
    return CampaignOverview(
        status=_STATUS[shown.stage],
        name=row.title,
        campaign_id=row.uid,
        number_of_gateways_in_activation_complete_state=_count(shown, _S.SUCCEEDED),
        number_of_gateways_in_execution_complete_state=_count(shown, _S.INSTALLED),
        creation_time=str(row.created_at),
        modification_time=str(max(row.changed_at, row.created_at)),
        total_number_of_gateways=_count(shown, *_S),
        total_number_of_packages=str(len(shown.artifacts)),
        number_of_gateways_in_download_complete_state=_count(shown, _S.DOWNLOADED),
        description=row.description,
    )


def _count(shown: Shown, *states: delivery.State) -> str:
    return str(sum(one.n for one in shown.counts if one.state in states and one.reason != Reason.TAKEN_OUT))


def counts(stages: Mapping[Stage, int]) -> CampaignCounts:
    return CampaignCounts(
        aproved_not_started_count=str(stages[Stage.APPROVED]),
        started_count=str(stages[Stage.STARTED]),
        stopped_count=str(stages[Stage.STOPPED]),
        waiting_approval_count=str(stages[Stage.APPROVAL_NEEDED]),
        no_approval_needed_ready_to_start_count=str(stages[Stage.CREATED]),
    )


def filters(
    *,
    ids: Sequence[str],
    name: str,
    status: Sequence[CampaignStatus],
    description: str,
    creation_time: int | None,
    packages: Sequence[str],
    pre_delivery: str,
    post_delivery: str,
) -> Filters:
    wanted = {News.WAKE_UP: pre_delivery, News.COMPLETED: post_delivery}
    return Filters(
        uids=ids,
        title=name,
        description=description,
        created_at=creation_time,
        artifact_uids=packages,
        listeners=[(news, uid) for news, uid in wanted.items() if uid],
        stages=[pair for one in dict.fromkeys(status) for pair in standing_at(_STAGE[one])],
    )


# packages


def program(row: Any, names: Mapping[str, str]) -> Program:  # noqa: ANN401 - a row
    return Program(
        description=row.description,
        id=row.uid,
        created_by=names.get(row.made_by, row.made_by),
        created_on=str(row.created_at),
        name=row.filename,
    )


def same(path_id: str, given: str | UnsetType, field: str) -> None:
    """Raises INVALID when a body names another id than its path does."""
    if given is not UNSET and given != path_id:
        raise invalid(f"{field} is another one than in the path. Leave it out, or repeat the path's.", "path_mismatch")

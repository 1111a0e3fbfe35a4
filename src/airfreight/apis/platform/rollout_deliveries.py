"""The devices of a rollout: where each stands, in which words, and everything that happened to it."""

from typing import Annotated, Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from airfreight.apis.common.body import Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.paging import Limit, LongAfter, Page, RowId
from airfreight.apis.platform.products import OrgId
from airfreight.domain.access import Permission
from airfreight.domain.delivery import Reason, State
from airfreight.services import explanations, standings
from airfreight.services.explanations import Happening
from airfreight.services.standings import Standing

TAGS = ["Rollouts"]
Asked = Request[Any, Any, Any]
InState = Annotated[State | None, QueryParameter(name="state", description="Only those in this state.")]
WithReason = Annotated[
    Reason | None, QueryParameter(name="reason", description="Only those that ended, or whose last try did, for this.")
]


class Delivery(Out):
    """One device in a rollout. `id` goes into `after`; `words` say where it stands and why.

    `expected...` is what the rollout brings, `from...` what the device ran when it was offered, `reported...` what it
    says of itself now.
    """

    id: int
    device_id: int
    device_uid: str
    device_name: str
    state: str
    reason: str
    words: str
    attempt: int
    attempt_id: int | None
    tries: int
    attempts_limit: int
    cancel_requested: bool
    expected_version: str
    expected_build: str
    from_version: str
    from_build: str
    reported_version: str
    reported_build: str
    reported_at: int | None
    offered_at: int | None
    updated_at: int
    detail: str


class HistoryEvent(Out):
    """One thing that happened to a delivery. `lines`: what the device printed with it."""

    at: int
    actor: str
    event: str
    verdict: str
    state: str
    attempt_id: int | None
    seq: int | None
    reason: str
    message: str
    progress: int | None
    lines: list[str]


def shape(standing: Standing) -> Delivery:
    row = standing.row
    asked = "asked to cancel; " if row.cancel_requested else ""
    return Delivery(
        id=row.id,
        device_id=row.device_id,
        device_uid=row.device_uid,
        device_name=row.device_name,
        state=row.state,
        reason=row.reason,
        words=standing.words,
        attempt=row.attempt,
        attempt_id=row.attempt_id,
        tries=row.tries,
        attempts_limit=row.attempts_limit,
        cancel_requested=bool(row.cancel_requested),
        expected_version=standing.expected.version,
        expected_build=standing.expected.build,
        from_version=row.from_version,
        from_build=row.from_build,
        reported_version=row.device_version,
        reported_build=row.device_build,
        reported_at=row.device_reported_at,
        offered_at=row.offered_at,
        updated_at=row.updated_at,
        detail=f"{asked}try {row.tries} of {row.attempts_limit}",
    )


def _event(one: Happening) -> HistoryEvent:
    told = {name: getattr(one.row, name) for name in HistoryEvent.__struct_fields__ if name != "lines"}
    return HistoryEvent(**told, lines=one.lines)


@get("/{rollout_id:int}/deliveries", need=Permission.OTA_VIEW, tags=TAGS, sync_to_thread=True)
def list_deliveries(
    request: Asked,
    desk: NamedDependency[Desk],
    rollout_id: RowId,
    state_: InState = None,
    reason: WithReason = None,
    org_id: OrgId = None,
    limit: Limit = 50,
    after: LongAfter = 0,
) -> Page[Delivery]:
    """List the devices of a rollout with where they stand. Needs `OTA_VIEW`."""
    with desk.read(request, org_id) as call:
        found = standings.search(call, rollout_id, state=state_, reason=reason, after=after, limit=limit + 1)
    items = [shape(standing) for standing in found[:limit]]
    return Page(items, items[-1].id if len(found) > limit else None)


@get("/{rollout_id:int}/deliveries/{delivery_id:int}/history", need=Permission.OTA_VIEW, tags=TAGS, sync_to_thread=True)
def get_history(
    request: Asked, desk: NamedDependency[Desk], rollout_id: RowId, delivery_id: RowId, org_id: OrgId = None
) -> list[HistoryEvent]:
    """Everything that happened to one device in one rollout, oldest first. Needs `OTA_VIEW`."""
    with desk.read(request, org_id) as call:
        return [_event(row) for row in explanations.history(call, rollout_id, delivery_id)]


HANDLERS = [list_deliveries, get_history]

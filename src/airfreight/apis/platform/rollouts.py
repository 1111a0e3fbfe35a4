"""`/api/v1/rollouts`: every rollout, whatever door made it: watch, pause, resume, stop; and why a device waits."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from airfreight.apis.common.body import Out
from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.paging import After, Limit, LongAfter, Page, RowId, page
from airfreight.domain.delivery import State
from airfreight.services import deliveries, rollouts
from airfreight.services.rollouts import View

TAGS = ["Rollouts"]
Asked = Request[Any, Any, Any]
InState = Annotated[State | None, QueryParameter(name="state", description="Only those in this state.")]


class RolloutArtifact(Out):
    id: int
    filename: str
    version: str
    size: int
    sha256: str


class Rollout(Out):
    """A rollout; `counts` has how many deliveries are in each state, `reasons` why those that ended badly did."""

    id: int
    title: str
    state: str
    origin: str
    product_id: int
    whole_product: bool
    finish_on: str
    artifacts: list[RolloutArtifact]
    counts: dict[str, int]
    reasons: dict[str, int]
    total: int
    created_at: int
    started_at: int | None
    finished_at: int | None


class Delivery(Out):
    """One device in a rollout. `id` goes into `after`."""

    id: int
    device_id: int
    device_uid: str
    state: str
    reason: str
    attempt: int
    attempt_id: int | None
    cancel_requested: bool
    updated_at: int
    detail: str


class HistoryEvent(Out):
    """One thing that happened to a delivery."""

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


class ExplainCheck(Out):
    """One check of the decision, in order."""

    name: str
    verdict: str
    detail: str


class DeviceDelivery(Out):
    """One of the latest deliveries of a device."""

    id: int
    rollout_id: int
    title: str
    state: str
    reason: str
    attempt: int
    updated_at: int


class Explanation(Out):
    """What the device's next poll is told, and why."""

    do: str
    summary: str
    recheck_at: Annotated[int | None, msgspec.Meta(description="When the answer may change by itself.")]
    checks: list[ExplainCheck]
    deliveries: list[DeviceDelivery]


def shape(view: View) -> Rollout:
    rollout = view.rollout
    counts = {str(state): 0 for state in State}
    reasons: dict[str, int] = {}
    for count in view.counts:
        counts[count.state] += count.n
        if count.reason:
            reasons[count.reason] = reasons.get(count.reason, 0) + count.n
    return Rollout(
        id=rollout.id,
        title=rollout.title,
        state=rollout.state,
        origin=rollout.origin,
        product_id=rollout.product_id,
        whole_product=bool(rollout.whole_product),
        finish_on=rollout.finish_on,
        artifacts=[
            RolloutArtifact(id=a.id, filename=a.filename, version=a.version, size=a.size, sha256=a.sha256)
            for a in view.artifacts
        ],
        counts=counts,
        reasons=reasons,
        total=sum(counts.values()),
        created_at=rollout.created_at,
        started_at=rollout.started_at,
        finished_at=rollout.finished_at,
    )


def _delivery(row: Any) -> Delivery:  # noqa: ANN401 - a row
    asked = "asked to cancel; " if row.cancel_requested else ""
    return Delivery(
        id=row.id,
        device_id=row.device_id,
        device_uid=row.device_uid,
        state=row.state,
        reason=row.reason,
        attempt=row.attempt,
        attempt_id=row.attempt_id,
        cancel_requested=bool(row.cancel_requested),
        updated_at=row.updated_at,
        detail=f"{asked}try {row.tries} of {row.attempts_limit}",
    )


def _event(row: Any) -> HistoryEvent:  # noqa: ANN401 - a row
    return HistoryEvent(**{name: getattr(row, name) for name in HistoryEvent.__struct_fields__})


@get("/", tags=TAGS, sync_to_thread=True)
def list_rollouts(request: Asked, desk: NamedDependency[Desk], limit: Limit = 50, after: After = 0) -> Page[Rollout]:
    """List rollouts, oldest first. Needs `OTA_VIEW`."""
    with desk.read(request) as call:
        views = rollouts.search(call, after=after, limit=limit + 1)
        shown = [shape(view) for view in views[:limit]]
        return Page(shown, shown[-1].id if len(views) > limit else None)


@get("/{rollout_id:int}", tags=TAGS, sync_to_thread=True)
def get_rollout(request: Asked, desk: NamedDependency[Desk], rollout_id: RowId) -> Rollout:
    """Get a rollout with its exact counts. Needs `OTA_VIEW`."""
    with desk.read(request) as call:
        return shape(rollouts.get(call, rollout_id))


@get("/{rollout_id:int}/deliveries", tags=TAGS, sync_to_thread=True)
def list_deliveries(
    request: Asked,
    desk: NamedDependency[Desk],
    rollout_id: RowId,
    state_: InState = None,
    limit: Limit = 50,
    after: LongAfter = 0,
) -> Page[Delivery]:
    """List the devices of a rollout with where they stand. Needs `OTA_VIEW`."""
    with desk.read(request) as call:
        rows = deliveries.search(call, rollout_id, state=state_, after=after, limit=limit + 1)
        return page(rows, limit, _delivery)


@get("/{rollout_id:int}/deliveries/{delivery_id:int}/history", tags=TAGS, sync_to_thread=True)
def get_history(
    request: Asked, desk: NamedDependency[Desk], rollout_id: RowId, delivery_id: RowId
) -> list[HistoryEvent]:
    """Everything that happened to one device in one rollout, oldest first. Needs `OTA_VIEW`."""
    with desk.read(request) as call:
        return [_event(row) for row in deliveries.history(call, rollout_id, delivery_id)]


def _steered(request: Asked, desk: Desk, rollout_id: int) -> Rollout:
    with desk.read(request) as call:
        return shape(rollouts.get(call, rollout_id))


@post("/{rollout_id:int}/pause", tags=TAGS, status_code=200, sync_to_thread=True)
def pause_rollout(request: Asked, desk: NamedDependency[Desk], rollout_id: RowId) -> Rollout:
    """Offer nothing new until it is resumed. Needs `OTA_CANCEL`."""
    with desk.write(request) as call:
        rollouts.pause(call, rollout_id)
    return _steered(request, desk, rollout_id)


@post("/{rollout_id:int}/resume", tags=TAGS, status_code=200, sync_to_thread=True)
def resume_rollout(request: Asked, desk: NamedDependency[Desk], rollout_id: RowId) -> Rollout:
    """Go on after a pause. Needs `OTA_CANCEL`."""
    with desk.write(request) as call:
        rollouts.resume(call, rollout_id)
    return _steered(request, desk, rollout_id)


@post("/{rollout_id:int}/stop", tags=TAGS, status_code=200, sync_to_thread=True)
def stop_rollout(request: Asked, desk: NamedDependency[Desk], rollout_id: RowId) -> Rollout:
    """Stop for good: nothing new is offered, devices under way are asked to cancel. Needs `OTA_CANCEL`."""
    with desk.write(request) as call:
        rollouts.stop(call, rollout_id)
    rollouts.carry_out_now(desk.database, desk.settings, "rollout.wind_down", rollout_id, clock())
    return _steered(request, desk, rollout_id)


@get("/api/v1/devices/{device_id:int}/explain", tags=["Devices"], sync_to_thread=True)
def explain_device(request: Asked, desk: NamedDependency[Desk], device_id: RowId) -> Explanation:
    """Why a device is or is not updated: what its next poll is told and every check behind it. Needs `DEVICE_VIEW`."""
    with desk.read(request) as call:
        why = deliveries.explain(call, device_id)
    decision, latest = why.decision, why.latest
    return Explanation(
        do=decision.do,
        summary=why.summary,
        recheck_at=decision.recheck_at,
        checks=[ExplainCheck(name=c.name, verdict=c.mark, detail=c.detail) for c in decision.trace],
        deliveries=[
            DeviceDelivery(**{name: getattr(row, name) for name in DeviceDelivery.__struct_fields__}) for row in latest
        ],
    )


router = Router(
    "/api/v1/rollouts",
    route_handlers=[
        list_rollouts,
        get_rollout,
        list_deliveries,
        get_history,
        pause_rollout,
        resume_rollout,
        stop_rollout,
    ],
)

"""`/api/v1/rollouts`: make one; every one, whatever door made it: watch, steer, send again; and why a device waits."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.fields import NAME
from airfreight.apis.common.paging import After, Limit, Page, RowId
from airfreight.apis.platform import rollout_create, rollout_deliveries, rollout_export
from airfreight.apis.platform.products import OrgId
from airfreight.apis.platform.rollout_create import RolloutIn, WindowOn
from airfreight.domain.access import Permission
from airfreight.domain.delivery import RANK, THE_SIX, State
from airfreight.domain.rollout import Count
from airfreight.services import artifacts, explanations, rollout_clone, rollouts
from airfreight.services.rollout_clone import Which
from airfreight.services.rollouts import View

TAGS = ["Rollouts"]
Asked = Request[Any, Any, Any]


class RolloutArtifact(Out):
    """A file of a rollout. `notes`: a sentence for each fact that its maker claimed and the file does not confirm."""

    id: int
    filename: str
    version: str
    size: int
    sha256: str
    notes: list[str]


class Funnel(Out):
    """How many devices ever came as far as this, whatever became of them; one that succeeded has passed every step."""

    offered: int
    downloading: int
    downloaded: int
    installing: int
    installed: int
    activating: int
    succeeded: int


class Rollout(Out):
    """A rollout; `counts` has how many deliveries are in each state, `reasons` why those that ended badly did.

    `urgency` soft: devices that ask how urgent it is may choose their time, until `forcedAt` if that is set.
    `windowOn`: what `dayPart` is for. `uid`: its id at a door that names rollouts by text, such as a campaign's.
    """

    id: int
    uid: str
    title: str
    description: str
    state: str
    origin: str
    product_id: int | None
    whole_product: bool
    finish_on: str
    urgency: str
    forced_at: int | None
    condition: str
    check_type: bool
    critical: bool
    day_part: str
    window_on: WindowOn
    attempts_limit: int
    reset_period_ms: int
    on_conflict: str
    deadline_seconds: int
    artifacts: list[RolloutArtifact]
    counts: dict[str, int]
    funnel: Funnel
    reasons: dict[str, int]
    total: int
    created_at: int
    started_at: int | None
    finished_at: int | None


class ExplainCheck(Out):
    """One check of the decision, in order."""

    name: str
    verdict: str
    detail: str


class DeviceDelivery(Out):
    """One of the latest deliveries of a device. `deadlineAt`: when silence ends the try; null while none is awaited."""

    id: int
    rollout_id: int
    title: str
    state: str
    reason: str
    attempt: int
    tries: int
    attempts_limit: int
    deadline_at: int | None
    updated_at: int


class Explanation(Out):
    """What the device's next poll is told, and why."""

    do: str
    summary: str
    recheck_at: Annotated[int | None, msgspec.Meta(description="When the answer may change by itself.")]
    checks: list[ExplainCheck]
    deliveries: list[DeviceDelivery]


class RolloutClone(In):
    """`title`: left out, that of the old rollout, marked."""

    title: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=NAME)] | None = None
    devices: Which = Which.FAILED


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
        uid=rollout.uid,
        title=rollout.title,
        description=rollout.description,
        state=rollout.state,
        origin=rollout.origin,
        product_id=rollout.product_id,
        whole_product=bool(rollout.whole_product),
        finish_on=rollout.finish_on,
        urgency=rollout.urgency,
        forced_at=rollout.forced_at,
        condition=rollout.condition,
        check_type=bool(rollout.check_type),
        critical=bool(rollout.critical),
        day_part=rollout.day_part,
        window_on=WindowOn.INSTALL if rollout.early_download else WindowOn.UPDATE,
        attempts_limit=rollout.attempts_limit,
        reset_period_ms=rollout.reset_period_ms,
        on_conflict=rollout.on_conflict,
        deadline_seconds=rollout.deadline_seconds,
        artifacts=[
            RolloutArtifact(
                id=a.id,
                filename=a.filename,
                version=a.version,
                size=a.size,
                sha256=a.sha256,
                notes=artifacts.noted(a, view.files[a.id]),
            )
            for a in view.artifacts
        ],
        counts=counts,
        funnel=funnel(view.counts),
        reasons=reasons,
        total=sum(counts.values()),
        created_at=rollout.created_at,
        started_at=rollout.started_at,
        finished_at=rollout.finished_at,
    )


def funnel(counts: Iterable[Count]) -> Funnel:
    """From the exact counters: each says how far its deliveries ever came."""
    came = Counter[int]()
    for count in counts:
        succeeded = count.state == State.SUCCEEDED
        came[len(THE_SIX) + 1 if succeeded else count.reached] += count.n
    reached = {state: sum(n for rank, n in came.items() if rank >= RANK[state]) for state in THE_SIX}
    return Funnel(**reached, succeeded=came[len(THE_SIX) + 1])


@post("/", need=Permission.OTA_START, tags=TAGS, sync_to_thread=True)
def create_rollout(request: Asked, desk: NamedDependency[Desk], data: JSONBody[RolloutIn]) -> Rollout:
    """Make a rollout and start it. Needs `OTA_START`; for a group also `DEVICE_VIEW`.

    It goes to devices of every kind, whatever they speak: a device is offered it when it next asks.
    """
    with desk.write(request, data.org_id) as call:
        rollout_id = rollout_create.start(call, data)
        return shape(rollouts.get(call, rollout_id, need=Permission.OTA_START, with_devices=False))


@get("/", need=Permission.OTA_VIEW, tags=TAGS, sync_to_thread=True)
def list_rollouts(
    request: Asked, desk: NamedDependency[Desk], org_id: OrgId = None, limit: Limit = 50, after: After = 0
) -> Page[Rollout]:
    """List rollouts, oldest first. Needs `OTA_VIEW`."""
    with desk.read(request, org_id) as call:
        views = rollouts.search(call, after=after, limit=limit + 1, with_devices=False)
        shown = [shape(view) for view in views[:limit]]
        return Page(shown, shown[-1].id if len(views) > limit else None)


@get("/{rollout_id:int}", need=Permission.OTA_VIEW, tags=TAGS, sync_to_thread=True)
def get_rollout(request: Asked, desk: NamedDependency[Desk], rollout_id: RowId, org_id: OrgId = None) -> Rollout:
    """Get a rollout with its exact counts. Needs `OTA_VIEW`."""
    with desk.read(request, org_id) as call:
        return shape(rollouts.get(call, rollout_id, with_devices=False))


def _steered(request: Asked, desk: Desk, rollout_id: int, org_id: int | None) -> Rollout:
    with desk.read(request, org_id) as call:
        return shape(rollouts.get(call, rollout_id, need=Permission.OTA_CANCEL, with_devices=False))


@post("/{rollout_id:int}/pause", need=Permission.OTA_CANCEL, tags=TAGS, status_code=200, sync_to_thread=True)
def pause_rollout(request: Asked, desk: NamedDependency[Desk], rollout_id: RowId, org_id: OrgId = None) -> Rollout:
    """Offer nothing new until it is resumed. Needs `OTA_CANCEL`."""
    with desk.write(request, org_id) as call:
        rollouts.pause(call, rollout_id)
    return _steered(request, desk, rollout_id, org_id)


@post("/{rollout_id:int}/resume", need=Permission.OTA_CANCEL, tags=TAGS, status_code=200, sync_to_thread=True)
def resume_rollout(request: Asked, desk: NamedDependency[Desk], rollout_id: RowId, org_id: OrgId = None) -> Rollout:
    """Go on after a pause. Needs `OTA_CANCEL`."""
    with desk.write(request, org_id) as call:
        rollouts.resume(call, rollout_id)
    return _steered(request, desk, rollout_id, org_id)


@post("/{rollout_id:int}/stop", need=Permission.OTA_CANCEL, tags=TAGS, status_code=200, sync_to_thread=True)
def stop_rollout(request: Asked, desk: NamedDependency[Desk], rollout_id: RowId, org_id: OrgId = None) -> Rollout:
    """Stop for good: nothing new is offered, devices under way are asked to cancel. Needs `OTA_CANCEL`."""
    with desk.write(request, org_id) as call:
        rollouts.stop(call, rollout_id)
    rollouts.carry_out_now(desk.database, desk.settings, "rollout.wind_down", rollout_id, clock())
    return _steered(request, desk, rollout_id, org_id)


@post("/{rollout_id:int}/clone", need=Permission.OTA_START, tags=TAGS, sync_to_thread=True)
def clone_rollout(
    request: Asked, desk: NamedDependency[Desk], rollout_id: RowId, data: JSONBody[RolloutClone], org_id: OrgId = None
) -> Rollout:
    """Send the same again to devices of a rollout that is over. Needs `OTA_START`.

    The new rollout has the old one's file, facts and policy, and is for those of its devices that failed (or that are
    not updated, or all) and still exist. It is seen at the same doors.
    """
    with desk.write(request, org_id) as call:
        clone_id = rollout_clone.clone(call, rollout_id, which=data.devices, title=data.title)
        return shape(rollouts.get(call, clone_id, need=Permission.OTA_START, with_devices=False))


@delete("/{rollout_id:int}", need=Permission.OTA_CANCEL, tags=TAGS, sync_to_thread=True)
def delete_rollout(request: Asked, desk: NamedDependency[Desk], rollout_id: RowId, org_id: OrgId = None) -> None:
    """Take a rollout that is over out of sight; its record is kept. Needs `OTA_CANCEL`."""
    with desk.write(request, org_id) as call:
        rollouts.delete(call, rollout_id)


@get("/api/v1/devices/{device_id:int}/explain", need=Permission.DEVICE_VIEW, tags=["Devices"], sync_to_thread=True)
def explain_device(request: Asked, desk: NamedDependency[Desk], device_id: RowId) -> Explanation:
    """Why a device is or is not updated: what its next poll is told and every check behind it. Needs `DEVICE_VIEW`."""
    with desk.read(request) as call:
        why = explanations.explain(call, device_id)
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
        create_rollout,
        list_rollouts,
        get_rollout,
        *rollout_deliveries.HANDLERS,
        rollout_export.export_rollout,
        pause_rollout,
        resume_rollout,
        stop_rollout,
        delete_rollout,
        clone_rollout,
    ],
)

"""The body of `POST /api/v1/rollouts`, and what it is to the core. Pure but for the verb at the end."""

from enum import StrEnum
from typing import Annotated

import msgspec

from airfreight.apis.common.body import In
from airfreight.apis.common.fields import LINE, NAME
from airfreight.apis.common.firmware_info import FirmwareType
from airfreight.domain.conditions import Condition
from airfreight.domain.finish import FinishOn
from airfreight.domain.handling import Urgency
from airfreight.domain.ids import Millis
from airfreight.domain.windows import DayPart
from airfreight.services import rollout_choice
from airfreight.services.artifacts import Claims
from airfreight.services.call import Call
from airfreight.services.rollout_choice import MOST_DEVICES, Piece, Whom
from airfreight.services.rollouts import Policy

MOST_ARTIFACTS = 50
YEAR_SECONDS = 366 * 86_400
_LAST_MS = 253_402_300_799_999
"""The end of the year 9999."""


class WindowOn(StrEnum):
    """What `dayPart` is for: all of the update, or its installation only, so that the download may come before."""

    UPDATE = "update"
    INSTALL = "install"


class OnConflict(StrEnum):
    """What it does to an older rollout that waits for the same device: take its place, or come after it."""

    SUPERSEDE = "supersede"
    QUEUE = "queue"


Id = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
Uid = Annotated[str, msgspec.Meta(min_length=1, max_length=256, pattern=LINE)]
Fact = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=LINE)]
FileName = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=LINE)]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=NAME)]
Description = Annotated[str, msgspec.Meta(max_length=1000, pattern=LINE)]
Moment = Annotated[
    int, msgspec.Meta(ge=0, le=_LAST_MS, description="Milliseconds since the epoch; soft until then, then forced.")
]
Attempts = Annotated[int, msgspec.Meta(ge=1, le=1000, description="How often a device may try in one period.")]
Period = Annotated[
    int, msgspec.Meta(ge=1000, le=10 * YEAR_SECONDS * 1000, description="After so long, tries are counted anew.")
]
Seconds = Annotated[
    int, msgspec.Meta(ge=1, le=YEAR_SECONDS, description="How long a device under way may be silent; else as set.")
]


class ArtifactIn(In):
    """A stored file. What is said of it must not contradict its tag; where it has none, devices are judged by this.

    `filename`: what devices see; left out, the name that it was uploaded under.
    """

    id: Id
    filename: FileName | None = None
    version: Fact | None = None
    build_date: Fact | None = None
    fw_type: Fact | None = None
    board_type: Fact | None = None
    blynk_version: Fact | None = None
    type: FirmwareType | None = None


class RolloutIn(In):
    """For whom: devices (`deviceIds`, `uids`), those of a group now, or all of a product, later ones included.

    The first of the artifacts is the one whose version and type are looked at.
    """

    title: Title
    artifacts: Annotated[list[ArtifactIn], msgspec.Meta(min_length=1, max_length=MOST_ARTIFACTS)]
    description: Description = ""
    org_id: Id | None = None
    product_id: Id | None = None
    device_ids: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=MOST_DEVICES)] | None = None
    uids: Annotated[list[Uid], msgspec.Meta(min_length=1, max_length=MOST_DEVICES)] | None = None
    group_id: Id | None = None
    urgency: Urgency = Urgency.FORCED
    forced_at: Moment | None = None
    finish_on: FinishOn | None = None
    condition: Condition = Condition.NONE
    check_type: bool = False
    critical: bool = False
    day_part: DayPart = DayPart.ANY
    window_on: WindowOn = WindowOn.UPDATE
    attempts_limit: Attempts = 3
    reset_period_ms: Period = 86_400_000
    on_conflict: OnConflict = OnConflict.SUPERSEDE
    deadline_seconds: Seconds | None = None


def start(call: Call, data: RolloutIn) -> int:
    """Make the rollout and start it; its id. Raises Refusal."""
    return rollout_choice.start(
        call,
        title=data.title,
        description=data.description,
        whom=Whom(data.product_id, data.device_ids or (), data.uids or (), data.group_id),
        pieces=[_piece(one) for one in data.artifacts],
        policy=_policy(data),
    )


def _piece(one: ArtifactIn) -> Piece:
    claims = Claims(
        version=one.version,
        build=one.build_date,
        fw_type=one.fw_type,
        board=one.board_type,
        library_version=one.blynk_version,
        component=one.type,
    )
    return Piece(one.id, claims, one.filename)


def _policy(data: RolloutIn) -> Policy:
    return Policy(
        condition=data.condition,
        check_type=data.check_type,
        critical=data.critical,
        day_part=data.day_part,
        attempts_limit=data.attempts_limit,
        reset_period_ms=data.reset_period_ms,
        on_conflict=data.on_conflict,
        finish_on=data.finish_on,
        urgency=data.urgency,
        forced_at=None if data.forced_at is None else Millis(data.forced_at),
        early_download=data.window_on is WindowOn.INSTALL,
        deadline_seconds=data.deadline_seconds,
    )

"""Between the words of the Shipments contract and the core's. Pure and total."""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import TypeVar

from msgspec import UnsetType

from airfreight.apis.common.firmware_info import FirmwareInfo, info
from airfreight.apis.shipments.shapes import (
    CompareField,
    Shipment,
    ShipmentCreate,
    ShipmentProgress,
    ShipmentTime,
    Status,
)
from airfreight.domain.conditions import Condition
from airfreight.domain.delivery import THE_SIX, Reason, State
from airfreight.domain.errors import invalid
from airfreight.domain.rollout import Count, RolloutState
from airfreight.domain.windows import DayPart
from airfreight.services.artifacts import Claims
from airfreight.services.rollouts import Policy, View

T = TypeVar("T")

CONDITIONS = {
    CompareField.NO_CONDITION: Condition.NONE,
    CompareField.BUILD_DATE_DIFFERS: Condition.BUILD_DIFFERS,
    CompareField.EARLIER_BUILD_DATE: Condition.BUILD_NEWER,
    CompareField.LATEST_FIRMWARE_VERSION: Condition.VERSION_NEWER,
    CompareField.LATEST_BLYNK_VERSION: Condition.LIBRARY_NEWER,
}
COMPARE_FIELDS = {condition: field for field, condition in CONDITIONS.items()}

STATUSES = {
    RolloutState.PENDING_APPROVAL: Status.PAUSE,
    RolloutState.READY: Status.PAUSE,
    RolloutState.RUNNING: Status.RUN,
    RolloutState.PAUSED: Status.PAUSE,
    RolloutState.FINISHED: Status.FINISH,
    RolloutState.STOPPED: Status.CANCEL,
}

_ON_THE_WAY = {
    State.OFFERED: "requestSent",
    State.DOWNLOADING: "firmwareRequested",
    State.DOWNLOADED: "firmwareUploaded",
    State.INSTALLING: "firmwareUploaded",
    State.INSTALLED: "firmwareUploaded",
    State.ACTIVATING: "firmwareUploaded",
}
_BUCKET_BY_RANK = ["started", *(_ON_THE_WAY[state] for state in THE_SIX)]

_FAILED = {
    Reason.ROLLED_BACK: "rollback",
    Reason.WRONG_VERSION: "firmwareVersionMismatch",
    Reason.UNPROVEN: "firmwareVersionMismatch",
    Reason.INCOMPATIBLE: "firmwareTypeMismatch",
}
_SKIPPED = {
    Reason.CONDITION_NOT_MET: "firmwareVersionMismatch",
    Reason.TYPE_MISMATCH: "firmwareTypeMismatch",
    Reason.ALREADY_RUNNING: "success",
}


def bucket(count: Count) -> str:
    """The one progress counter that deliveries of this count stand in (docs/apis/shipments.md has the table).

    A failure that was worth another try has used up its tries when it is final: the download limit. A device that was
    stopped or superseded stays where it stood.
    """
    state = State(count.state)
    reason = Reason(count.reason) if count.reason else None
    if state in _ON_THE_WAY:
        return _ON_THE_WAY[state]
    if state is State.SUCCEEDED:
        return "success"
    if state is State.FAILED:
        return _FAILED.get(reason, "downloadLimitReached") if reason else "downloadLimitReached"
    if state is State.SKIPPED and reason in _SKIPPED:
        return _SKIPPED[reason]
    if state is State.QUEUED:
        return "uploadFailure" if reason else "started"
    return _BUCKET_BY_RANK[count.reached]


def progress(counts: Iterable[Count], started_at: int) -> ShipmentProgress:
    """Each device in one bucket; `updatedAt` is when one last moved."""
    shown = ShipmentProgress(updatedAt=started_at)
    for count in counts:
        name = bucket(count)
        setattr(shown, name, getattr(shown, name) + count.n)
        shown.updatedAt = max(shown.updatedAt, count.updated_at)
    return shown


def claims(wire: FirmwareInfo) -> Claims:
    """What the caller says of the file, in the core's spelling. Raises INVALID for hashes that are none."""
    return Claims(
        version=_given(wire.version),
        build=_given(wire.buildDate),
        fw_type=_given(wire.fwType),
        board=None if wire.boardType == "Other" else _given(wire.boardType),
        library_version=_given(wire.blynkVersion),
        component=_given(wire.type),
        size=_given(wire.fileSize),
        md5=_md5(_given(wire.md5Hash)),
        sha256=_sha256(_given(wire.sha256Hash)),
    )


def _given(value: T | UnsetType) -> T | None:
    return None if isinstance(value, UnsetType) else value


def _or(value: T | UnsetType, default: T) -> T:
    return default if isinstance(value, UnsetType) else value


def _md5(text: str | None) -> str | None:
    if not text:
        return None
    if not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        raise invalid("firmwareInfo.md5Hash must be 32 hexadecimal digits.", "bad_hash")
    return text.lower()


def _sha256(text: str | None) -> str | None:
    if not text:
        return None
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 32:
        raise invalid("firmwareInfo.sha256Hash must be base64 of 32 bytes, padded: 44 characters.", "bad_hash")
    return digest.hex()


def policy(wire: ShipmentCreate) -> Policy:
    """The defaults are the contract's: any time, 3 attempts in 24 hours, another build date."""
    return Policy(
        condition=CONDITIONS[_or(wire.compareField, CompareField.BUILD_DATE_DIFFERS)],
        check_type=not _or(wire.skipFwTypeCheck, False),  # noqa: FBT003 - a default, not a switch
        critical=_or(wire.isCritical, False),  # noqa: FBT003
        day_part=DayPart(_or(wire.shipmentTime, ShipmentTime.ANY).lower()),
        attempts_limit=_or(wire.attemptsLimit, 3),
        reset_period_ms=_or(wire.attemptResetPeriodMs, 86_400_000),
        host=host(_or(wire.host, "")),
        secure=_or(wire.isSecure, False),  # noqa: FBT003
    )


_NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_LONGEST_HOST = 128
"""Small devices have 239 bytes for the whole URL."""
_HOST = re.compile(rf"{_NAME}(\.{_NAME})*(:[1-9][0-9]{{0,4}})?", re.ASCII)


def host(text: str) -> str:
    """The host for download URLs: scheme and trailing slashes stripped, `host` or `host:port`. Raises INVALID."""
    bare = re.sub(r"^https?://", "", text.strip(), flags=re.IGNORECASE).rstrip("/").lower()
    port = bare.rpartition(":")[2] if ":" in bare else "1"
    if text.strip() and (len(bare) > _LONGEST_HOST or not _HOST.fullmatch(bare) or int(port) > 65_535):
        raise invalid(
            f"host must be a domain name such as myhost.com, with a port if need be, up to {_LONGEST_HOST} characters.",
            "bad_host",
        )
    return bare


def shipment(view: View) -> Shipment:
    """A rollout as the contract shows it."""
    rollout, artifact = view.rollout, view.artifacts[0]
    started = rollout.started_at or rollout.created_at
    return Shipment(
        id=rollout.id,
        productId=rollout.product_id,
        productName=rollout.product_name,
        shipmentTime=ShipmentTime(rollout.day_part.upper()),
        title=rollout.title,
        pathToFirmware=artifact.path,
        firmwareOriginalFileName=artifact.filename,
        host=rollout.host,
        startedByUserId=rollout.created_by_user_id or 0,
        startedAt=started,
        finishedAt=rollout.finished_at or 0,
        deviceIds=view.device_ids,
        firmwareInfo=info(artifact),
        attemptsLimit=rollout.attempts_limit,
        attemptResetPeriodMs=rollout.reset_period_ms,
        isSecure=bool(rollout.secure),
        skipFwTypeCheck=not rollout.check_type,
        isCritical=bool(rollout.critical),
        sendPush=False,
        status=STATUSES[RolloutState(rollout.state)],
        compareField=COMPARE_FIELDS[Condition(rollout.condition)],
        shipmentProgress=progress(view.counts, started),
    )

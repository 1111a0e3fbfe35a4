"""Between the words of `/device/v1` and the core's. Pure and total."""

from typing import assert_never

from airfreight.apis.device.shapes import ArtifactOut, Instruction, ReportEvent, ReportIn, Window
from airfreight.domain.delivery import Event, Fail, Insist, Reach, Reason, State, Succeed, Yield
from airfreight.services.deliveries import Answer, Report

_SERVER_ONLY = frozenset(
    {Reason.CONDITION_NOT_MET, Reason.TYPE_MISMATCH, Reason.SUPERSEDED, Reason.ALREADY_RUNNING}
    | {Reason.STOPPED, Reason.DEVICE_REMOVED, Reason.NO_REPORT, Reason.UNPROVEN, Reason.CLOSED, Reason.TAKEN_OUT}
)
DEVICE_REASONS = {str(reason): reason for reason in Reason if reason not in _SERVER_ONLY}
"""The reasons a device may give; any other word is `device_error`, kept in the message."""


def event_of(word: ReportEvent, reason: str | None) -> Event:
    match word:
        case "downloading" | "downloaded" | "installing" | "installed" | "activating":
            return Reach(State(word))
        case "succeeded":
            return Succeed()
        case "failed":
            return Fail(DEVICE_REASONS.get(reason or "", Reason.DEVICE_ERROR))
        case "canceled":
            return Yield()
        case "cancel_refused":
            return Insist()
        case _:
            assert_never(word)


def report_of(wire: ReportIn) -> Report:
    unknown = wire.reason if wire.reason and wire.reason not in DEVICE_REASONS else ""
    message = ": ".join(part for part in (unknown, wire.message or "") if part)
    return Report(
        wire.attempt,
        wire.seq,
        event_of(wire.event, wire.reason),
        wire.progress,
        printable(message),
        tuple((one.id, one.done, one.total) for one in wire.artifacts or ()),
        tuple(printable(line) for line in wire.lines or ()),
    )


def printable(text: str) -> str:
    """Text of a device, fit for a log and a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)[:500]


def instruction_of(answer: Answer, base: str, poll_after: int, thing: str = "") -> Instruction:
    """`base`: scheme and host of the URLs, such as `http://10.0.0.1:8080`; a rollout's own host goes before it.

    `thing`: for which device behind the one that asks this is, or "".
    """
    row, decision = answer.row, answer.decision
    if row is not None and (row.host or row.secure):
        scheme, _, host = base.partition("://")
        base = f"{'https' if row.secure else scheme}://{row.host or host}"
    artifacts = [
        ArtifactOut(
            id=artifact.id,
            name=artifact.filename,
            version=artifact.version,
            build=artifact.build,
            size=artifact.size,
            sha256=artifact.sha256,
            md5=artifact.md5,
            url=f"{base}/device/v1/artifacts/{artifact.id}" + (f"?thing={thing}" if thing else ""),
        )
        for artifact in answer.artifacts
    ]
    window = Window(decision.recheck_at) if decision.recheck_at is not None else None
    return Instruction(answer.attempt_id or 0, decision.do, artifacts, window, answer.deadline_at, poll_after)

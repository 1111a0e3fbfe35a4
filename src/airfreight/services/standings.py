"""Where the devices of a rollout stand, and why: a sentence each for people, beside what was expected and reported.

Open deliveries are judged by the same decision that the device's next poll gets, so that the words cannot disagree.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from airfreight.domain import decide
from airfreight.domain.access import Permission
from airfreight.domain.conditions import Condition, Facts, meets
from airfreight.domain.decide import Do
from airfreight.domain.delivery import OPEN, Offer, Reason, Skip, State
from airfreight.domain.errors import not_found
from airfreight.domain.finish import FinishOn
from airfreight.domain.ids import Millis
from airfreight.domain.rollout import RolloutState
from airfreight.services import deliveries
from airfreight.services.call import Call
from airfreight.services.deliveries import Answer
from airfreight.store import rollouts, standings
from airfreight.store.database import Database

_PAGE = 1000
_LONGEST_WORDS = 200

WHY = {
    Reason.CONDITION_NOT_MET: "the rollout's condition is not met",
    Reason.TYPE_MISMATCH: "the file is for another kind of device",
    Reason.SUPERSEDED: "a newer rollout took its place",
    Reason.ALREADY_RUNNING: "the device runs this version already",
    Reason.STOPPED: "an operator stopped it",
    Reason.DEVICE_REMOVED: "the device was removed",
    Reason.DOWNLOAD_FAILED: "the download broke off",
    Reason.CHECKSUM_MISMATCH: "the bytes that arrived are not those of the file",
    Reason.NO_SPACE: "the device has no room for the file",
    Reason.INSTALL_FAILED: "the device could not install the file",
    Reason.ACTIVATE_FAILED: "the device could not start the new version",
    Reason.BATTERY_LOW: "the device's battery is low",
    Reason.USER_DECLINED: "the device's user declined",
    Reason.DEVICE_ERROR: "the device reported an error",
    Reason.NO_REPORT: "the device fell silent",
    Reason.ROLLED_BACK: "the device came back with the version it had before",
    Reason.WRONG_VERSION: "the device came back with a version that is neither the old nor the new one",
    Reason.INCOMPATIBLE: "the device says that the file does not fit it",
    Reason.CLOSED: "an operator closed it for this device",
    Reason.TAKEN_OUT: "an operator took the device out of it",
    Reason.UNPROVEN: "the device came back, but the file names no version or build to know it by",
}
"""Why a delivery ended badly, or why its last try did."""

_UNDER_WAY = {
    State.OFFERED: "Offered; the device has not begun",
    State.DOWNLOADING: "Downloading",
    State.DOWNLOADED: "Downloaded; not installed yet",
    State.INSTALLING: "Installing",
    State.INSTALLED: "Installed; not started yet",
    State.ACTIVATING: "Starting the new version; the device has to come back with it",
}
_ENDED = {State.FAILED: "Failed", State.CANCELED: "Canceled", State.SKIPPED: "Skipped"}
_VERSION_JUDGED = frozenset({Reason.ROLLED_BACK, Reason.WRONG_VERSION, Reason.UNPROVEN, Reason.INSTALL_FAILED})


@dataclass(frozen=True, slots=True)
class Standing:
    """One delivery (a row with its device), the facts it is about, and a sentence on it."""

    row: Any
    expected: Facts
    words: str


@dataclass(frozen=True, slots=True)
class _Nothing:
    """The first artifact of a rollout that was given none yet."""

    version: str = ""
    build: str = ""
    library_version: str = ""
    fw_type: str = ""
    board: str = ""
    component: str = ""


_NOTHING = _Nothing()


@dataclass(frozen=True, slots=True)
class _Context:
    """The rollout that the deliveries are of, and the first of its artifacts."""

    rollout: Any
    artifact: Any


def search(
    call: Call, rollout_id: int, *, state: State | None, reason: Reason | None, after: int, limit: int
) -> list[Standing]:
    """Deliveries of a rollout, by id. Raises NOT_FOUND."""
    context = _context(call, rollout_id)
    rows = standings.listed(
        call.connection, call.organization_id, rollout_id, state=state, reason=reason, after=after, limit=limit
    )
    return _told(call, context, rows)


def walk(call: Call, database: Database, rollout_id: int) -> Iterator[list[Standing]]:
    """All deliveries of a rollout by device id, a page at a time. Raises NOT_FOUND at once, not at the first page.

    Each page shows one moment; between two pages devices go on. No connection is held while a page is used.
    """
    context = _context(call, rollout_id)
    return _pages(call, database, context)


def _pages(call: Call, database: Database, context: _Context) -> Iterator[list[Standing]]:
    after, size = 0, _PAGE
    while size == _PAGE:
        with database.read() as connection:
            rows = standings.by_device(connection, call.organization_id, context.rollout.id, after=after, limit=_PAGE)
            told = _told(replace(call, connection=connection), context, rows)
        size = len(rows)
        if told:
            after = rows[-1].device_id
            yield told


def _context(call: Call, rollout_id: int) -> _Context:
    call.need(Permission.OTA_VIEW)
    rollout = rollouts.get(call.connection, call.organization_id, rollout_id)
    if rollout is None:
        raise not_found("Rollout")
    carried = rollouts.artifacts_of(call.connection, [rollout_id]).get(rollout_id)
    return _Context(rollout, carried[0] if carried else _NOTHING)


def _told(call: Call, context: _Context, rows: Sequence[Any]) -> list[Standing]:
    waiting = [row.device_id for row in rows if row.state in OPEN]
    answers = deliveries.look(call.connection, waiting, call.now) if waiting else {}
    expected = Facts(context.artifact.version, context.artifact.build, context.artifact.library_version)
    failed = [row.id for row in rows if row.state == State.FAILED]
    said = standings.last_words(call.connection, failed) if failed else {}
    return [
        Standing(row, expected, _words(context, row, answers.get(row.device_id)) + _said(said.get(row.id, "")))
        for row in rows
    ]


def _said(message: str) -> str:
    return f" It said: {message[:_LONGEST_WORDS]}" if message else ""


def _words(context: _Context, row: Any, answer: Answer | None) -> str:  # noqa: ANN401 - a row
    state = State(row.state)
    reason = Reason(row.reason) if row.reason else None
    if state is State.QUEUED:
        return _queued(row, reason, answer)
    if state is State.SUCCEEDED:
        return _succeeded(context, row)
    if state in _ENDED:
        return _ended(context, row, state, reason)
    words = f"{_UNDER_WAY[state]} (try {row.tries} of {row.attempts_limit})"
    if row.cancel_requested:
        words += "; asked to cancel, and has not answered"
    elif answer and answer.decision.do is Do.WAIT:
        words += f"; waits, {answer.decision.trace[-1].detail}"
    return f"{words}."


def _queued(row: Any, reason: Reason | None, answer: Answer | None) -> str:  # noqa: ANN401 - a row
    words = f"Try {row.tries - 1} of {row.attempts_limit} failed: {WHY[reason]}. Waits" if reason else "Waits"
    if answer is None or answer.row is None or answer.row.id != row.id:
        return f"{words} until the device is through with another rollout."
    decision = answer.decision
    why = decision.trace[-1]
    if isinstance(decision.event, Offer):
        return f"{words} for the device: {_heard(row)}."
    if isinstance(decision.event, Skip):
        return f"{words} for the device, and is skipped then ({why.name}: {why.detail}): {_heard(row)}."
    until = f", until {moment(decision.recheck_at)}" if decision.recheck_at else ""
    return f"{words}{until} ({why.name}: {why.detail})."


def _heard(row: Any) -> str:  # noqa: ANN401 - a row
    return f"last heard of {moment(row.device_seen_at)}" if row.device_seen_at else "it was never heard of"


def _succeeded(context: _Context, row: Any) -> str:  # noqa: ANN401 - a row
    running = row.device_version or row.device_build
    if context.rollout.finish_on == FinishOn.DOWNLOAD:
        return "Downloaded, as the device says; nothing more was wanted."
    if running:
        return f"Updated; the device reports {running}."
    was_served = context.rollout.finish_on == FinishOn.SERVED
    return "Updated: all of the file went out to the device." if was_served else "Updated, as the device says."


def _ended(context: _Context, row: Any, state: State, reason: Reason | None) -> str:  # noqa: ANN401 - a row
    words = _ENDED[state] + (f": {WHY[reason]}" if reason else "")
    if state is State.FAILED:
        words += f" (try {row.tries} of {row.attempts_limit})"
    return f"{words}.{_compared(context, row, reason)}"


def _compared(context: _Context, row: Any, reason: Reason | None) -> str:  # noqa: ANN401 - a row
    """What was compared and how it differs, by what the device reports now."""
    rollout, artifact = context.rollout, context.artifact
    running = Facts(row.device_version, row.device_build, row.device_library_version)
    if reason is Reason.CONDITION_NOT_MET:
        wanted = Facts(artifact.version, artifact.build, artifact.library_version)
        return f" By its latest report: {meets(Condition(rollout.condition), running, wanted)[1]}."
    has_type = bool(artifact.fw_type or artifact.board or artifact.component)
    if reason is Reason.TYPE_MISMATCH or (reason is Reason.INCOMPATIBLE and has_type):
        device = decide.Device(
            row.device_id, fw_type=row.device_fw_type, board=row.device_board, component=row.device_component
        )
        plan = decide.Plan(
            RolloutState.RUNNING, fw_type=artifact.fw_type, board=artifact.board, component=artifact.component
        )
        return f" By its latest report: {decide.fits_type(device, plan)[1]}."
    if reason in _VERSION_JUDGED and rollout.finish_on == FinishOn.VERSION:
        pairs = [("version", artifact.version, running.version), ("build", artifact.build, running.build)]
        told = [f"expected {name} {wanted!r}, device {name} {now!r}" for name, wanted, now in pairs if wanted]
        return f" By its latest report: {'; '.join(told)}." if told else ""
    return ""


def moment(at: int | Millis) -> str:
    """A time for people and spreadsheets: ISO 8601, UTC, milliseconds."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

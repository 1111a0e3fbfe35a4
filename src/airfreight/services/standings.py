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
from airfreight.domain.decide import Decision, Do, Mark
from airfreight.domain.delivery import OPEN, Offer, Reason, Skip, State
from airfreight.domain.errors import not_found
from airfreight.domain.finish import FinishOn, same
from airfreight.domain.handling import Urgency
from airfreight.domain.ids import Millis
from airfreight.domain.rollout import RolloutState
from airfreight.services import deliveries
from airfreight.services.call import Call
from airfreight.services.deliveries import Answer
from airfreight.store import rollouts, standings
from airfreight.store.database import Database

_PAGE = 1000
_LONGEST_WORDS = 200
_DAY_MS = 86_400_000

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
    Reason.INCOMPATIBLE: "the file, or the offer of it, does not fit the device",
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
_TO_FETCH = frozenset({State.OFFERED, State.DOWNLOADING})
_COMPARING = frozenset({"type matches", "condition met"})
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
    """The rollout that the deliveries are of, the first of its artifacts, and which of them the server has lost."""

    rollout: Any
    artifact: Any
    lost: str


def search(
    call: Call, rollout_id: int, *, state: State | None, reason: Reason | None, after: int, limit: int
) -> list[Standing]:
    """Deliveries of a rollout, by id. Raises NOT_FOUND."""
    call.need(Permission.OTA_VIEW)
    context = _context(call, call.organization_id, rollout_id)
    rows = standings.listed(
        call.connection, call.organization_id, rollout_id, state=state, reason=reason, after=after, limit=limit
    )
    return _told(call, context, rows)


def walk(call: Call, database: Database, rollout_id: int) -> Iterator[list[Standing]]:
    """All deliveries of a rollout by device id, a page at a time. Raises NOT_FOUND at once, not at the first page.

    Each page shows one moment; between two pages devices go on. No connection is held while a page is used.
    """
    call.need(Permission.OTA_VIEW)
    context = _context(call, call.organization_id, rollout_id)
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


def one(call: Call, delivery: Any) -> str:  # noqa: ANN401 - a row
    """The sentence on a delivery of a device that the caller may see. Raises NOT_FOUND when its rollout is deleted."""
    call.need(Permission.DEVICE_VIEW)
    organization_id, rollout_id = delivery.organization_id, delivery.rollout_id
    context = _context(call, organization_id, rollout_id)
    rows = standings.listed(
        call.connection, organization_id, rollout_id, state=None, reason=None, after=delivery.id - 1, limit=1
    )
    return _told(call, context, rows)[0].words


def _context(call: Call, organization_id: int, rollout_id: int) -> _Context:
    rollout = rollouts.get(call.connection, organization_id, rollout_id)
    if rollout is None:
        raise not_found("Rollout")
    carried = rollouts.artifacts_of(call.connection, [rollout_id]).get(rollout_id, [])
    lost = [one.filename for one in carried if not call.blobs.path(one.sha256).is_file()]
    return _Context(rollout, carried[0] if carried else _NOTHING, ", ".join(repr(name) for name in lost))


def _told(call: Call, context: _Context, rows: Sequence[Any]) -> list[Standing]:
    waiting = [row.device_id for row in rows if row.state in OPEN]
    answers = deliveries.look(call.connection, waiting, call.now) if waiting else {}
    expected = Facts(context.artifact.version, context.artifact.build, context.artifact.library_version)
    failed = [row.id for row in rows if row.reason and row.state in {State.FAILED, State.QUEUED}]
    said = standings.last_words(call.connection, failed) if failed else {}
    return [
        Standing(row, expected, _words(context, row, answers.get(row.device_id), call.now) + _said(said.get(row.id)))
        for row in rows
    ]


def _said(one: tuple[str, str] | None) -> str:
    if one is None:
        return ""
    who, message = one[0], one[1][:_LONGEST_WORDS]
    return f" It said: {message}" if who == "device" else f" {sentence(message)}."


def _words(context: _Context, row: Any, answer: Answer | None, now: Millis) -> str:  # noqa: ANN401 - a row
    state = State(row.state)
    reason = Reason(row.reason) if row.reason else None
    if state is State.QUEUED:
        return _queued(context, row, reason, answer, now)
    if state is State.SUCCEEDED:
        return _succeeded(context, row)
    if state in _ENDED:
        return _ended(context, row, state, reason)
    return _under_way(context, row, state, answer, now)


def _under_way(context: _Context, row: Any, state: State, answer: Answer | None, now: Millis) -> str:  # noqa: ANN401
    """Where it is and what holds it, when the device was last heard of, and until when it may be silent."""
    words = f"{_UNDER_WAY[state]} (try {row.tries} of {row.attempts_limit})"
    decision = answer.decision if answer else decide.IDLE
    waits = decision.do is Do.WAIT
    if row.cancel_requested:
        words += "; asked to cancel, and has not answered"
    if decision.do is Do.NOTHING and decision.trace[-1].mark is Mark.FAIL:
        words += f"; {_clause(decision)}"
    elif waits:
        words += f"; waits{_until(decision)}: {_clause(decision)}"
    elif context.rollout.state != RolloutState.RUNNING and not row.cancel_requested:
        words += f"; the rollout is {context.rollout.state}, but what is under way goes on"
    words += f". {sentence(_heard(row, now))}."
    if decision.do is Do.DOWNLOAD:
        words += _again(context, row)
    if row.deadline_at and not waits:
        silent = "is not heard of" if _may_choose(context, state, now) else "reports nothing more"
        words += f" If it {silent} until {moment(row.deadline_at)}, this try has failed."
    return words + (_lost(context, row) if state in _TO_FETCH else "")


def _may_choose(context: _Context, state: State, now: Millis) -> bool:
    """Whether the device may take its time, as long as it comes by."""
    soft_until = context.rollout.forced_at
    is_soft = context.rollout.urgency == Urgency.SOFT and (soft_until is None or now < soft_until)
    return is_soft and state in {State.OFFERED, State.DOWNLOADED}


def _queued(context: _Context, row: Any, reason: Reason | None, answer: Answer | None, now: Millis) -> str:  # noqa: ANN401
    words = f"Try {row.tries - 1} of {row.attempts_limit} failed: {WHY[reason]}. Waits" if reason else "Waits"
    if answer is None or answer.row is None or answer.row.id != row.id:
        return f"{words} {_turn(context, answer)}."
    decision = answer.decision
    if isinstance(decision.event, Offer):
        return f"{words} for the device: {_heard(row, now)}.{_again(context, row)}{_lost(context, row)}"
    if isinstance(decision.event, Skip):
        return f"{words} for the device, and is skipped then: {_clause(decision)}. {sentence(_heard(row, now))}."
    return f"{words}{_until(decision)}: {_clause(decision)}."


def _turn(context: _Context, answer: Answer | None) -> str:
    """Whose turn it is instead."""
    other = answer.row if answer else None
    if other is None:
        return "for its turn"
    if (
        context.rollout.on_conflict == "supersede"
        and other.state == State.QUEUED
        and other.rollout_id > context.rollout.id
    ):
        return f"no more: rollout {other.rollout_id} is newer and takes its place; it is skipped in a moment"
    return f"until the device is through with rollout {other.rollout_id}, which is {other.state}"


def _until(decision: Decision) -> str:
    return f" until {moment(decision.recheck_at)}" if decision.recheck_at else ""


def _clause(decision: Decision) -> str:
    """The check that decided, for people: what it found, said so that it needs no name."""
    check = decision.trace[-1]
    if isinstance(decision.event, Skip) and check.name in _COMPARING:
        return f"{WHY[decision.event.reason]} ({check.detail})"
    return check.detail


def _again(context: _Context, row: Any) -> str:  # noqa: ANN401 - a row
    """Why a device gets what it has."""
    carried = Facts(context.artifact.version, context.artifact.build)
    if row.own_artifacts or not same(Facts(row.device_version, row.device_build), carried):
        return ""
    return f" It runs {carried.version or carried.build} already; no condition of the rollout keeps that from it."


def _lost(context: _Context, row: Any) -> str:  # noqa: ANN401 - a row
    if not context.lost or row.own_artifacts:
        return ""
    return f" But it cannot be downloaded: the server has lost the bytes of {context.lost}; `airfreight doctor` tells."


def heard(at: int | None, now: Millis) -> str:
    """When a device was last heard of."""
    if not at:
        return "it was never heard of"
    days = (now - at) // _DAY_MS
    return f"last heard of {moment(at)}" + (f", {days} {'day' if days == 1 else 'days'} ago" if days > 0 else "")


def _heard(row: Any, now: Millis) -> str:  # noqa: ANN401 - a row
    # when it was there is written behind; what it said, and the offer that it came for, are not
    return heard(max(row.device_seen_at or 0, row.device_reported_at or 0, row.offered_at or 0), now)


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
    if reason is Reason.TYPE_MISMATCH or (reason is Reason.INCOMPATIBLE and has_type and row.device_fw_type):
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


def sentence(words: str) -> str:
    """Words with a capital at the beginning, and the rest as it is."""
    return words[:1].upper() + words[1:]

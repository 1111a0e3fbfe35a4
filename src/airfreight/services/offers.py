"""What one attempt holds for its device: how to handle it, the files, and what the device has said of it.

Source: the DDI reference, 6.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from airfreight.domain.delivery import ENDS, State
from airfreight.domain.finish import FinishOn
from airfreight.domain.handling import Handled, Handling, Urgency
from airfreight.domain.ids import Millis
from airfreight.services import deliveries
from airfreight.services.visits import Errand, change_of, errand_of, handled
from airfreight.store import direct_access, rollouts
from airfreight.store.direct_access import Visitor

MOST_LINES = 100
CLOSED = "closed"
"""The event in the history by which a device says how an attempt ended."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An attempt of a device: `row` has its delivery and its rollout's policy, `state` how far the attempt has come.

    `errand`: what the device is sent to do under it; `is_open`: words of the device count.
    """

    row: Any
    state: State
    errand: Errand
    handled: Handled
    is_open: bool

    @property
    def has_words(self) -> bool:
        """Whether the device has said anything of it."""
        return bool(self.row.has_words)

    @property
    def is_canceling(self) -> bool:
        """Whether the device is asked to cancel it, and has not answered yet."""
        return self.is_open and bool(self.row.cancel_requested)

    @property
    def attempt_id(self) -> int:
        return int(self.row.id)

    @property
    def stamp(self) -> tuple[object, ...]:
        """Differs whenever what there is to tell of the attempt does."""
        row = self.row
        product = (row.product_name, row.part, row.one_part)
        return (self.attempt_id, row.version, row.cancel_requested, self.errand, self.handled, product)


def find(connection: Connection, visitor: Visitor, attempt_id: int, now: Millis) -> Offer | None:
    """An attempt of this device; None when it has no such one."""
    device_id = visitor.device_id
    row = direct_access.attempt(connection, device_id, attempt_id)
    if row is None:
        return None
    is_current = row.attempt_id == attempt_id
    answer = None
    if is_current and State(row.state) not in ENDS:
        answer = deliveries.look(connection, [device_id], now).get(device_id)
    if answer is None or answer.attempt_id != attempt_id:
        # a device that is switched off has no answer about it, but may go on with what it has begun
        is_open = is_current and State(row.state) not in ENDS
        state = State(row.state) if is_current else State.FAILED
        return Offer(row, state, Errand.NOTHING, _as_it_was(row), is_open)
    return Offer(row, State(row.state), errand_of(answer), handled(answer, now), is_open=True)


def _as_it_was(row: Any) -> Handled:  # noqa: ANN401 - a row of direct_access.attempt
    pace = Handling.FORCED if row.urgency == Urgency.FORCED else Handling.ATTEMPT
    if row.finish_on == FinishOn.DOWNLOAD:
        return Handled(Handling.FORCED, Handling.SKIP)
    return Handled(pace, pace)


def artifacts_of(connection: Connection, offer: Offer) -> list[Any]:
    """The files of the attempt, in order."""
    row = offer.row
    return rollouts.carried_by(connection, row.delivery_id, row.rollout_id, has_own=bool(row.own_artifacts))


def artifacts_in_reach(connection: Connection, visitor: Visitor, artifact_id: int, now: Millis) -> list[Any]:
    """The module of this file, of the device's active attempt or of the one that brought what it runs; or none."""
    _, found = module_now(connection, visitor, artifact_id, now)
    if not found and visitor.last_attempt_id:
        installed = find(connection, visitor, visitor.last_attempt_id, now)
        found = _module_of(connection, visitor, artifacts_of(connection, installed), artifact_id) if installed else []
    return found


def module_now(connection: Connection, visitor: Visitor, artifact_id: int, now: Millis) -> tuple[int, list[Any]]:
    """The attempt whose files the device may fetch now, and those of the module of this one; or none."""
    attempt_id, carried = _carried_now(connection, visitor, now)
    return attempt_id, _module_of(connection, visitor, carried, artifact_id)


def _module_of(connection: Connection, visitor: Visitor, carried: list[Any], artifact_id: int) -> list[Any]:
    """What comes together with this file: all of an attempt where its product's files come as one, else it alone."""
    chosen = [one for one in carried if one.id == artifact_id]
    if chosen and len(carried) > 1 and direct_access.has_one_part(connection, visitor.device_id):
        return carried
    return chosen


def _carried_now(connection: Connection, visitor: Visitor, now: Millis) -> tuple[int, list[Any]]:
    """The attempt whose files the device may fetch now, and the files; 0 and none when it is not to begin any."""
    answer = deliveries.look(connection, [visitor.device_id], now).get(visitor.device_id)
    if answer is None or answer.row is None or answer.attempt_id is None or answer.row.cancel_requested:
        return 0, []
    row = answer.row
    if errand_of(answer) is not Errand.UPDATE and row.state != State.ACTIVATING:
        return 0, []
    carried = rollouts.carried_by(connection, row.id or 0, row.rollout_id, has_own=row.own_artifacts)
    return answer.attempt_id, carried


def to_confirm(connection: Connection, visitor: Visitor, now: Millis) -> tuple[str, int | None, int]:
    """The standing consent of the device's user as it is kept; the attempt that waits for a word, and its change_of."""
    device_id = visitor.device_id
    consent = direct_access.consent_of(connection, device_id)
    answer = deliveries.look(connection, [device_id], now).get(device_id)
    if answer is None or answer.row is None or errand_of(answer) is not Errand.CONFIRM:
        return consent, None, 0
    return consent, answer.attempt_id, change_of(answer.row.state, handled(answer, now))


def is_proven(connection: Connection, offer: Offer) -> bool:
    """Whether the version that came back has ended the attempt well before the device's own word for it came."""
    if offer.state is not State.SUCCEEDED or offer.row.finish_on == FinishOn.DOWNLOAD:
        return False
    return not direct_access.has_event(connection, offer.row.delivery_id, offer.attempt_id, CLOSED)


def lines_of(connection: Connection, offer: Offer, most: int) -> list[str]:
    """What the device has said of the attempt, newest first; -1 or too many: MOST_LINES of it."""
    limit = MOST_LINES if most < 0 or most > MOST_LINES else most
    if not limit:
        return []
    row = offer.row
    return direct_access.lines_of(connection, row.delivery_id, offer.attempt_id, row.offered_at, limit)

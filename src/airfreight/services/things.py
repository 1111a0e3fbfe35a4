"""Things: devices behind another one, which asks, downloads and reports for them.

Rule: a device speaks for a thing by naming its uid, and only for those that are behind it.
"""

from dataclasses import dataclass

from sqlalchemy import Connection

from airfreight.domain.decide import Do
from airfreight.domain.errors import not_found
from airfreight.domain.ids import Millis
from airfreight.services import deliveries
from airfreight.services.deliveries import Answer
from airfreight.store import devices, products

_TO_DO = frozenset({Do.DOWNLOAD, Do.INSTALL, Do.ACTIVATE, Do.CANCEL})
_MOST_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Thing:
    """`product` is the name of its product: what kind of thing it is."""

    uid: str
    product: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """The things behind one device that have something to do; `recheck_at`: when the next of the others may have.

    `open_ids`: all for which anything is open; whoever asks for them is there for them.
    """

    device_id: int
    things: tuple[Thing, ...]
    open_ids: tuple[int, ...]
    recheck_at: Millis | None

    @property
    def is_ready(self) -> bool:
        return bool(self.things)


def find(connection: Connection, digest: bytes, uid: str) -> int | None:
    """The id of a thing behind the device with this token; None for a token nobody has. Raises NOT_FOUND."""
    parent_id = devices.ids_by_digest(connection, [digest]).get(digest)
    if parent_id is None:
        return None
    thing_id = devices.id_behind(connection, parent_id, uid)
    if thing_id is None:
        raise not_found("Thing")
    return thing_id


def waiting(connection: Connection, digest: bytes, now: Millis) -> Waiting | None:
    """The things that have something to do, the oldest first, a hundred at most; None for a token nobody has.

    Nothing is offered by it: that happens when one of them is asked for.
    """
    found = deliveries.behind(connection, digest, now)
    if found is None:
        return None
    parent_id, answers = found
    ready = [answer for answer in answers if _is_ready(answer)][:_MOST_AT_ONCE]
    names = products.names(connection, {answer.row.product_id for answer in ready if answer.row})
    things = tuple(Thing(one.row.device_uid, names.get(one.row.product_id, "")) for one in ready if one.row)
    later = [answer.recheck_at for answer in answers if answer.recheck_at is not None]
    open_ids = tuple(answer.device_id for answer in answers)
    return Waiting(parent_id, things, open_ids, min(later, default=None))


def _is_ready(answer: Answer) -> bool:
    return answer.decision.do in _TO_DO or answer.decision.event is not None

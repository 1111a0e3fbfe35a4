"""Numbers about the whole server, for monitoring and for `airfreight doctor`."""

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from airfreight.ports import Blobs
from airfreight.services import deliveries
from airfreight.services.ledger import LostRace
from airfreight.store import database, migrate, outbox, overview
from airfreight.store.database import Database

Numbers = dict[str, tuple[str, str, dict[str, int]]]
"""name -> (what it is, label name or empty, value by label)."""


def numbers(connection: Connection) -> Numbers:
    """A handful of small queries; safe to scrape often."""
    return {
        "devices": ("Devices that are not removed.", "", {"": overview.device_count(connection)}),
        "rollouts": ("Rollouts by state.", "state", overview.rollouts_by_state(connection)),
        "deliveries": (
            "Deliveries by state, from the exact counters.",
            "state",
            overview.deliveries_by_state(connection),
        ),
        "outbox_waiting": ("Outbox rows not yet delivered.", "", {"": outbox.waiting(connection)}),
    }


def ready(db: Database) -> str:
    """Empty when requests can be served, else what is missing."""
    try:
        with db.read() as connection:
            return "" if is_current(connection) else "the database is not migrated; run `airfreight migrate`"
    except SQLAlchemyError:
        return "the database cannot be reached"


def is_outage(error: Exception) -> bool:
    """Whether a failure is the database's being away or full."""
    return database.is_outage(error)


def is_passing(error: Exception) -> bool:
    """Whether the same may succeed later: the database is away or full, or others were in the way."""
    return is_outage(error) or database.is_contention(error) or isinstance(error, LostRace)


def rung(db: Database) -> int | None:
    """How often something happened that polls may care about; None when the database cannot be reached."""
    try:
        with db.read() as connection:
            return outbox.rung(connection)
    except SQLAlchemyError:
        return None


def is_current(connection: Connection) -> bool:
    """Whether the database has the shape that this code expects."""
    return migrate.current(connection) == migrate.head()


def lost_files(connection: Connection, blobs: Blobs) -> list[str]:
    """The names of artifacts whose bytes are missing or have another size."""
    lost = []
    for filename, sha256, size in overview.stored_files(connection):
        path = blobs.path(sha256)
        if not path.is_file() or path.stat().st_size != size:
            lost.append(filename)
    return lost


def drift(connection: Connection) -> dict[int, int]:
    """Rollout id -> how many of its counters differ from a recount; empty when all is well."""
    found = {
        rollout_id: len(deliveries.drift(connection, rollout_id)) for rollout_id in overview.rollout_ids(connection)
    }
    return {rollout_id: wrong for rollout_id, wrong in found.items() if wrong}

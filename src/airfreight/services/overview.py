"""Numbers about the whole server, for monitoring and for `airfreight doctor`."""

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from airfreight.ports import Blobs
from airfreight.services.ledger import LostRace
from airfreight.store import counters, database, migrate, outbox, overview, webhooks
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
        "webhook_messages": ("Messages to webhooks that wait, or are dead.", "state", webhooks.counts(connection)),
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
    found = {rollout_id: len(drift_of(connection, rollout_id)) for rollout_id in overview.rollout_ids(connection)}
    return {rollout_id: wrong for rollout_id, wrong in found.items() if wrong}


def drift_of(connection: Connection, rollout_id: int) -> dict[tuple[str, int, str], tuple[int, int]]:
    """Counters that differ from a recount, as (counted, should be): empty when all is well."""
    counted = {
        (c.state, c.reached, c.reason): c.n for c in counters.totals(connection, [rollout_id]).get(rollout_id, [])
    }
    true = counters.recount(connection, rollout_id)
    both = counted.keys() | true.keys()
    return {key: (counted.get(key, 0), true.get(key, 0)) for key in both if counted.get(key, 0) != true.get(key, 0)}

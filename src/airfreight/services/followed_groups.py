"""Rollouts that follow a group: its devices are added as they match, again and again while the rollout is started.

Rule: a device that was once in the rollout is never added by itself again, whoever took it out or closed it.
"""

from typing import Any

from sqlalchemy import Connection

from airfreight.domain.access import Permission
from airfreight.domain.errors import invalid
from airfreight.domain.ids import Millis
from airfreight.domain.rollout import Stage
from airfreight.services import deliveries, groups, rollout_steps
from airfreight.services.call import Call
from airfreight.services.rollout_steps import Kind
from airfreight.settings import Settings
from airfreight.store import groups as group_rows
from airfreight.store import outbox
from airfreight.store import rollout_steps as store
from airfreight.store.database import Database

LONGEST_SECONDS = 31_536_000


def follow(call: Call, kind: Kind, uid: str, group_uid: str, seconds: int) -> None:
    """Add the devices of a group when the rollout starts, and every `seconds` from then on; 0: once.

    Without a group nothing is followed any more. Raises NOT_FOUND for the rollout, INVALID for the group.
    """
    call.need(Permission.OTA_START)
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise invalid(f"The interval must be from 0 to {LONGEST_SECONDS} seconds.", "bad_interval")
    rollout = rollout_steps.locked(call, kind, uid)
    group = groups.of_uid(call, group_uid) if group_uid else None
    if group_uid and group is None:
        raise invalid("There is no such group in the organization.", "unknown_group")
    is_started = rollout_steps.stage_of(rollout) is Stage.STARTED
    values = {
        "follows_group_id": group.id if group else None,
        "reevaluate_seconds": seconds if group else 0,
        "evaluate_at": call.now if group and is_started else None,
        "changed_at": call.now,
    }
    store.change(call.connection, rollout.id, values)


def followed(call: Call, kind: Kind, uid: str) -> tuple[str, int]:
    """The uid of the group that is followed ("" for none), and every how many seconds. Raises NOT_FOUND."""
    call.need(Permission.OTA_VIEW)
    rollout = rollout_steps.find(call, kind, uid)
    group = group_rows.get(call.connection, rollout.organization_id, rollout.follows_group_id or 0)
    return (group.uid, rollout.reevaluate_seconds) if group else ("", 0)


def evaluate(database: Database, settings: Settings, now: Millis) -> int:
    """Look at every group that is due, and add who matches; how many were added. Safe in many processes."""
    added = 0
    while True:
        with database.read() as connection:
            rollout = store.due(connection, now)
            if rollout is None:
                return added
            new = _newly(connection, settings, rollout, now)
        with database.write() as connection:
            if new:
                added += deliveries.enqueue(connection, rollout, new, now)
                store.change(connection, rollout.id, {"finished_at": None})
                outbox.ring(connection)
            pause = rollout.reevaluate_seconds * 1000
            store.evaluated(connection, rollout.id, rollout.evaluate_at, now + pause if pause else None)


def _newly(connection: Connection, settings: Settings, rollout: Any, now: Millis) -> list[int]:  # noqa: ANN401 - a row
    group = group_rows.get(connection, rollout.organization_id, rollout.follows_group_id or 0)
    if group is None:
        return []
    return store.newly(connection, rollout, groups.condition(connection, settings, group, now))

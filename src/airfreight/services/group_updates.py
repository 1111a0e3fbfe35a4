"""One file for the devices of a group: a rollout of those that are in it then, and what a group's addresses answer.

Rule: a group's address cannot tell which device asks, so it changes no delivery; a device's own address does.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from airfreight.domain.access import Permission
from airfreight.domain.conditions import Condition
from airfreight.domain.delivery import Reason
from airfreight.domain.errors import invalid, not_found
from airfreight.domain.finish import FinishOn
from airfreight.ports import Blob
from airfreight.services import artifacts, credentials, deliveries, rollouts, single_updates, triggers
from airfreight.services.call import Call
from airfreight.services.credentials import Keyring
from airfreight.services.rollouts import Cargo, Policy
from airfreight.services.single_updates import HELD, NOBODY, ORIGIN, Content, Wish, is_uid
from airfreight.store import groups as store

_AT_ONCE = 1000


def check(call: Call, wish: Wish, path: Path | None) -> tuple[Any, list[Any]]:
    """The group and its devices, when the update may be made; `path`: the file as received, not kept yet.

    Raises FORBIDDEN, NOT_FOUND (also for a wrong token), INVALID for a group that has no devices or devices of several
    products, and for a file that their chip cannot start.
    """
    call.need(Permission.OTA_START)
    group = store.find(call.connection, call.organization_id, wish.uid, lock=path is None) if is_uid(wish.uid) else None
    stored = bytes(group.token_hash) if group else NOBODY
    if not credentials.same(stored, call.keyring.digest(wish.token)) or group is None:
        raise not_found("Group")
    members = store.members(call.connection, group.id)
    if not members:
        raise invalid("The group has no devices. Put some into it first.", "empty_group")
    if len({one.product_id for one in members}) > 1:
        raise invalid("The devices of the group are of several products; one file is for one.", "mixed_group")
    if path is not None:
        single_updates.check_image(path, msgspec.json.decode(members[0].product_details).get("boardType", ""))
    return group, members


def upload(call: Call, wish: Wish, blob: Blob, filename: str) -> int:
    """Send a stored file to the devices that are in the group now; the rollout's id. Raises as `check`.

    What was sent to the group, or by this door to its devices, gives way at once. A device that was brought this very
    version is skipped: it compares versions, and would not come.
    """
    group, members = check(call, wish, None)
    home = call.at(group.organization_id, "Group")
    has_it = store.brought(home.connection, group.id, ORIGIN, wish.version)
    while before := store.open_before(home.connection, group.id, ORIGIN, _AT_ONCE):
        deliveries.give_way(home, before, "a newer file was uploaded for the group")
    artifact = artifacts.register(home, blob, filename)
    facts = artifacts.confirm(artifact, artifacts.Claims())
    rollout_id = rollouts.create(
        home,
        origin=ORIGIN,
        title=f"{wish.version} for the group {group.name or group.uid}"[:200],
        product_id=members[0].product_id,
        device_ids=[one.id for one in members],
        cargo=[Cargo(artifact.id, artifact.filename, single_updates.confirmed(facts, wish.version))],
        policy=Policy(
            finish_on=FinishOn.VERSION if any(one.version for one in members) else FinishOn.SERVED,
            condition=Condition.VERSION_DIFFERS,
        ),
    )
    store.sent(home.connection, rollout_id, group.id)
    _skip(home, rollout_id, has_it)
    triggers.add(home.connection, home.settings, home.organization_id, rollout_id, home.now)
    return rollout_id


def _skip(call: Call, rollout_id: int, device_ids: set[int]) -> None:
    made = store.deliveries_of(call.connection, rollout_id) if device_ids else {}
    ids = [made[device_id] for device_id in sorted(device_ids) if device_id in made]
    words = "an upload before had this version, and the device has fetched it"
    for start in range(0, len(ids), _AT_ONCE):
        deliveries.give_way(call, ids[start : start + _AT_ONCE], words, Reason.ALREADY_RUNNING)


def listed(call: Call, *, search: str, skip: int, limit: int, newest_first: bool) -> tuple[list[Any], int, int]:
    """One page of what was last sent to each group; how many there are, and how many have `search` in their path."""
    call.need(Permission.OTA_VIEW)
    return store.last_of_each(
        call.connection, call.organization_id, search=search, skip=skip, limit=limit, newest_first=newest_first
    )


def latest(connection: Connection, uid: str) -> str | None:
    """The version that the devices of the group should run; None when there is no such group, or nothing for it."""
    return latest_of(connection, [uid])[0]


def latest_of(connection: Connection, uids: Sequence[str]) -> list[str | None]:
    """`latest` for each of these uids, in one statement."""
    rows = store.latest(connection, list({uid for uid in uids if is_uid(uid)}))
    found = {row.uid: row.version for row in rows if _is_offered(row)}
    return [found.get(uid) for uid in uids]


def find(connection: Connection, keyring: Keyring, uid: str, token: str) -> Content | None:
    """The last file that was uploaded for the group; None when it is not offered, or something is wrong.

    The same statement and the same comparison are done whether the uid, the token or both are wrong. Reads only.
    """
    group = store.by_token(connection, keyring.digest(token))
    theirs = group.uid if group else "nobody"
    if not credentials.same(theirs.encode(), uid.encode("utf-8", "replace")) or group is None:
        return None
    row = store.last(connection, group.id)
    if row is None or not _is_offered(row):
        return None
    return Content(row.version, row.sha256, row.md5, row.size)


def _is_offered(row: Any) -> bool:  # noqa: ANN401 - a row
    """Whether the devices may hear of it: nobody has paused, stopped or deleted it."""
    return row.deleted_at is None and row.state not in HELD

"""Uploads that can be gone on with: a row says whose and how long the file is, its partial file how much is there.

The bytes are the truth. Whoever adds to them, or makes an artifact of them, holds the partial file, and looks at the
row again once it does.
"""

import uuid
from dataclasses import dataclass
from typing import Any

from airfreight.domain.access import Permission
from airfreight.domain.errors import Kind, Refusal, conflict, invalid, not_found
from airfreight.domain.ids import Millis, is_uid
from airfreight.formats.facts import Facts
from airfreight.ports import Blob, Blobs, HeldError, Partial
from airfreight.services import artifacts
from airfreight.services.call import Call
from airfreight.settings import Settings
from airfreight.store import artifacts as artifact_rows
from airfreight.store import organizations
from airfreight.store import uploads as store
from airfreight.store.database import Database

MOST = 100
LONGEST_DESCRIPTION = 128
_HOUR_MS = 3_600_000
_BUSY_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """An upload as it is now. `offset`: how many bytes are there; `artifact`: the row of what was made of them."""

    row: Any
    offset: int
    artifact: Any = None

    @property
    def is_ripe(self) -> bool:
        """Whether all bytes are there and nothing has been made of them: its maker was interrupted, or is at it."""
        return self.artifact is None and self.offset == self.row.size


def create(call: Call, *, filename: str, size: int, description: str = "", told: str = "") -> Any:  # noqa: ANN401 - a row
    """Begin an upload of `size` bytes; `told`: what its sender wants to be told of it again.

    Raises INVALID, TOO_LARGE, CONFLICT when there is no room for it or there are too many.
    """
    call.need(Permission.OTA_START)
    name = artifacts.check_filename(filename)
    if len(description) > LONGEST_DESCRIPTION or not description.isprintable():
        raise invalid(f"description must be one line of at most {LONGEST_DESCRIPTION} characters.", "bad_metadata")
    if size == 0:
        raise invalid("The file is empty.", "empty_file")
    if size > call.settings.stream_limit:
        raise artifacts.too_large(call.settings.stream_limit)
    artifacts.check_room(call.settings, call.blobs.free_bytes(), size)
    organizations.lock(call.connection, call.organization_id)
    if store.count_open(call.connection, call.organization_id, call.now) >= MOST:
        raise conflict(f"There are {MOST} unfinished uploads already. Finish or remove some.", "too_many_uploads")
    uid = str(uuid.uuid4())
    call.blobs.partials.create(uid)
    return store.add(
        call.connection,
        {
            "organization_id": call.organization_id,
            "uid": uid,
            "filename": name,
            "description": description,
            "told": told,
            "size": size,
            "made_by": call.actor,
            "created_at": call.now,
            "expires_at": _end(call.settings, call.now),
        },
    )


def look(call: Call, uid: str) -> Seen | None:
    """How far it is; what is said to be there is there after a power cut, too. Raises NOT_FOUND.

    None when its bytes are gone, as they are when it was finished a moment ago: look again, with another call.
    """
    call.need(Permission.OTA_START)
    row = _find(call, uid)
    if row.artifact_id is not None:
        return _finished(call, row)
    size = call.blobs.partials.size(uid, durable=True)
    return None if size is None else Seen(row, size)


def search(call: Call, *, after: int, limit: int) -> list[Seen]:
    """Those that are not over, finished or not, the oldest first."""
    call.need(Permission.OTA_START)
    rows = store.listed(call.connection, call.organization_id, call.now, after=after, limit=limit)
    return [
        Seen(row, call.blobs.partials.size(row.uid) or 0) if row.artifact_id is None else _finished(call, row)
        for row in rows
    ]


def hold(blobs: Blobs, uid: str) -> Partial | None:
    """The bytes, to add to them or to finish; None: they are gone, so that the row is to be looked at again.

    For an upload that `look` has found. Raises CONFLICT while somebody else has them.
    """
    try:
        return blobs.partials.hold(uid)
    except HeldError:
        words = "Another request sends bytes of this upload, or finishes it. Ask for the offset again in a moment."
        raise Refusal(Kind.CONFLICT, words, "upload_busy", _BUSY_SECONDS) from None


def check_next(settings: Settings, blobs: Blobs, seen: Seen, offset: int, coming: int) -> None:
    """Whether `coming` bytes may be added at `offset`. Raises CONFLICT, TOO_LARGE."""
    if offset != seen.offset:
        raise conflict("Upload-Offset is not the offset of this upload. Ask for it with HEAD.", "wrong_offset")
    if offset + coming > seen.row.size:
        raise more_than_announced()
    artifacts.check_room(settings, blobs.free_bytes(), coming)


def more_than_announced() -> Refusal:
    return Refusal(Kind.TOO_LARGE, "More bytes came than Upload-Length has announced. None of them were kept.")


def move_on(call: Call, row: Any) -> int:  # noqa: ANN401 - a row
    """Bytes came: until when it is kept now. Raises NOT_FOUND when somebody has removed it."""
    call.need(Permission.OTA_START)
    expires_at = _end(call.settings, call.now)
    if not store.move_on(call.connection, row.id, expires_at):
        raise gone()
    return expires_at


def finish(call: Call, row: Any, blob: Blob, facts: Facts) -> Any:  # noqa: ANN401 - rows
    """The artifact, made in the name of whoever began the upload; never a second one.

    Raises NOT_FOUND when somebody has removed the upload meanwhile.
    """
    call.need(Permission.OTA_START)
    made = artifacts.register(call, blob, row.filename, facts, description=row.description, made_by=row.made_by)
    if not store.finish(call.connection, row.id, made.id, _end(call.settings, call.now)):
        raise gone()
    return made


def remove(call: Call, uid: str) -> None:
    """Forget it, unfinished or not; an artifact that was made of it stays. Raises NOT_FOUND."""
    call.need(Permission.OTA_START)
    drop(call, _find(call, uid))


def drop(call: Call, row: Any) -> None:  # noqa: ANN401 - a row
    """The same for one at hand, also one that is gone: what is refused leaves nothing."""
    call.need(Permission.OTA_START)
    store.remove(call.connection, row.id)
    call.blobs.partials.remove(row.uid)


def sweep(database: Database, blobs: Blobs, old_seconds: float, now: Millis) -> int:
    """Remove uploads that are over, and bytes that belong to none; how many. What is being sent to stays."""
    with database.read() as connection:
        over = store.over(connection, now)
    removed = sum(_remove_over(database, blobs, row, now) for row in over)
    for uid in blobs.partials.older_than(old_seconds, now / 1000):
        with database.read() as connection:
            is_wanted = store.is_wanted(connection, uid)
        if not is_wanted:
            blobs.partials.remove(uid)
            removed += 1
    return removed


def _remove_over(database: Database, blobs: Blobs, row: Any, now: Millis) -> bool:  # noqa: ANN401 - a row
    try:
        partial = blobs.partials.hold(row.uid)
    except HeldError:
        return False
    try:
        with database.write() as connection:
            is_removed = store.remove_over(connection, row.id, now)
        if is_removed:
            blobs.partials.remove(row.uid)
        return is_removed
    finally:
        if partial is not None:
            partial.close()


def _find(call: Call, uid: str) -> Any:  # noqa: ANN401 - a row
    row = store.get(call.connection, call.organization_id, uid, call.now) if is_uid(uid) else None
    if row is None:
        raise gone()
    return row


def _finished(call: Call, row: Any) -> Seen:  # noqa: ANN401 - a row
    return Seen(row, row.size, artifact_rows.get(call.connection, call.organization_id, row.artifact_id))


def gone() -> Refusal:
    return not_found("Upload")


def _end(settings: Settings, now: Millis) -> int:
    return now + settings.upload_hours * _HOUR_MS

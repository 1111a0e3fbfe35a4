"""A device that comes for the last file that was uploaded for it: what it may have, and whether what it says is news.

Rule: it changes nothing until it has shown its token, and what it fetches goes by `decide`, as everywhere. Reads only.
"""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from airfreight.domain.decide import DISABLED, Do
from airfreight.domain.delivery import OPEN, RANK, THE_SIX, Skip, State
from airfreight.domain.ids import Millis
from airfreight.services import credentials, deliveries
from airfreight.services.credentials import Keyring
from airfreight.services.deliveries import Answer
from airfreight.services.single_updates import ORIGIN, Content, is_offered
from airfreight.store import single_updates

_BEGUN = RANK[State.DOWNLOADING]
_GOING = frozenset({Do.DOWNLOAD, Do.INSTALL, Do.ACTIVATE})


@dataclass(frozen=True, slots=True)
class File:
    """What the device may fetch now. `needs_offer`: it has to be offered first; else `attempt_id` is the attempt, none
    when its delivery is over. `is_begun`: it has been sent this very file, from the first byte or what it asked for.
    `is_first`: it was never sent anything before, so whatever bytes it says it has are of no other file.
    """

    content: Content
    rollout_id: int
    needs_offer: bool
    is_begun: bool
    is_first: bool
    attempt_id: int | None


@dataclass(frozen=True, slots=True)
class Visit:
    """A device that has shown its token.

    `content`: what was last uploaded for it, whether or not it may have it now, which is `file`. `running`: the version
    that it is known to run, or "". `state`: where the delivery of that upload stands. `is_to_settle`: the server has to
    write something about it (a skip) before the device can be told.
    """

    device_id: int
    digest: bytes = field(repr=False)
    running: str
    content: Content | None = None
    state: State | None = None
    file: File | None = None
    is_to_settle: bool = False

    def is_news(self, version: str) -> bool:
        """Whether it tells something when the device says, as it asks for the file, that it runs `version`.

        That it runs what it was sent; that it came back without; or another one than it is known for. A device that is
        known for none may have a version compiled in that it compares by itself: of such a one only the first counts.
        """
        if self.content is not None and version == self.content.version:
            return self.running != version or self.state in OPEN
        has_all = self.state in THE_SIX and RANK[self.state] >= RANK[State.DOWNLOADED]
        return has_all or (bool(self.running) and self.running != version)


def find(connection: Connection, keyring: Keyring, uid: str, token: str, now: Millis) -> Visit | None:
    """The device with this uid and token, and what it may fetch; None when there is none, whatever is wrong.

    The same statement and the same comparison are done whether the uid, the token or both are wrong.
    """
    digest = keyring.digest(token)
    rows = deliveries.devices_by_token(connection, [digest]).get(digest, [])
    theirs = rows[0].device_uid if rows else "nobody"
    if not credentials.same(theirs.encode(), uid.encode("utf-8", "replace")) or not rows:
        return None
    answer = deliveries.answer_for(deliveries.choose(rows), now)
    if answer.decision is DISABLED:
        return None
    upload = single_updates.last(connection, ORIGIN, answer.device_id)
    if upload is None or upload.deleted_at is not None:
        return Visit(answer.device_id, digest, rows[0].device_version)
    is_turn = answer.row is not None and answer.row.rollout_id == upload.id
    return Visit(
        device_id=answer.device_id,
        digest=digest,
        running=rows[0].device_version,
        content=Content(upload.version, upload.sha256, upload.md5, upload.size),
        state=State(upload.delivery_state),
        file=_file(connection, upload, answer) if is_offered(upload) else None,
        is_to_settle=is_turn and isinstance(answer.decision.event, Skip),
    )


def _file(connection: Connection, upload: Any, answer: Answer) -> File | None:  # noqa: ANN401 - a row
    """The file, if its delivery is over, or the one whose turn it is, and told to go on.

    What was offered counts as begun: the offer is written before the first byte goes, that it went a moment later.
    """
    state, row = State(upload.delivery_state), answer.row
    content = Content(upload.version, upload.sha256, upload.md5, upload.size)
    if state not in OPEN:
        is_begun = upload.reached >= _BEGUN
        return File(content, upload.id, needs_offer=False, is_begun=is_begun, is_first=False, attempt_id=None)
    if row is None or row.rollout_id != upload.id or answer.decision.do not in _GOING:
        return None
    if row.state in THE_SIX:
        return File(content, upload.id, needs_offer=False, is_begun=True, is_first=False, attempt_id=row.attempt_id)
    is_first = not single_updates.was_offered_anything(connection, answer.device_id)
    return File(content, upload.id, needs_offer=True, is_begun=False, is_first=is_first, attempt_id=None)

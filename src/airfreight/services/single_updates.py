"""One file for one device, fetched by the device itself: a rollout of one, and what such a device is answered.

Rule: a device that asks changes nothing until it has shown its token; what it fetches goes by `decide`, as everywhere.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from airfreight.domain.access import Permission
from airfreight.domain.conditions import Condition
from airfreight.domain.decide import DISABLED, Do
from airfreight.domain.delivery import OPEN, RANK, THE_SIX, Reason, State
from airfreight.domain.errors import invalid, not_found
from airfreight.domain.finish import FinishOn
from airfreight.domain.ids import Millis
from airfreight.domain.rollout import RolloutState
from airfreight.formats import FileSource, identify
from airfreight.formats.facts import Facts, Format
from airfreight.ports import Blob
from airfreight.services import artifacts, credentials, deliveries, rollouts
from airfreight.services.artifacts import Confirmed
from airfreight.services.call import Call
from airfreight.services.credentials import Keyring
from airfreight.services.deliveries import Answer
from airfreight.services.rollouts import Cargo, Policy
from airfreight.store import single_updates

ORIGIN = "device_ota"

_UID = re.compile(r"[0-9a-f]{24}")
_CHIP = re.compile(r"esp(8266|32([a-z]\d{1,2})?)")
NOBODY = b"\0" * 32
_GOING = frozenset({Do.DOWNLOAD, Do.INSTALL, Do.ACTIVATE})
HELD = frozenset({RolloutState.PAUSED, RolloutState.STOPPED, RolloutState.PENDING_APPROVAL, RolloutState.READY})


def is_uid(text: str) -> bool:
    """Whether a device of this kind could have it: 24 hex digits in lower case."""
    return _UID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Wish:
    """What a maker of an update says beside the file."""

    uid: str
    token: str
    version: str


def check(call: Call, wish: Wish, path: Path | None) -> Any:  # noqa: ANN401 - a row
    """The device, when the update may be made; `path`: the file as received, not kept yet.

    Raises FORBIDDEN, NOT_FOUND (also for a wrong token: who knows no token learns nothing of the device), INVALID for a
    file that the device's chip cannot start.
    """
    call.need(Permission.OTA_START)
    found = single_updates.with_uid(call.connection, call.organization_id, wish.uid) if is_uid(wish.uid) else []
    digest = call.keyring.digest(wish.token)
    hashes = [bytes(row.token_hash or NOBODY) for row in found] or [NOBODY]  # the same work for one that is unknown
    mine = [credentials.same(stored, digest) for stored in hashes]
    if not any(mine):
        raise not_found("Device")
    device = found[mine.index(True)]
    if path is not None:
        check_image(path, msgspec.json.decode(device.product_details).get("boardType", ""))
    return device


def check_image(path: Path, board: str) -> None:
    """Raises INVALID unless the file is an app image, whole, and for the chip that the product declares (if any)."""
    with FileSource(path) as source:
        facts = identify(source)
    if facts.format not in {Format.ESP32, Format.ESP8266} or facts.details.get("kind") == "bootloader":
        raise invalid(_what_is_wrong(facts), "bad_image")
    chip, wanted = _chip(facts.board), _chip(board)
    if chip and wanted and chip != wanted:
        raise invalid(f"The firmware is for {facts.board}; the product of this device is another chip.", "wrong_chip")


def _what_is_wrong(facts: Facts) -> str:
    if facts.format is Format.ESP_MERGED_FLASH:
        return "The file is a whole flash image; an update takes the app alone (firmware.bin)."
    if facts.format is Format.ESP_DAMAGED:
        return "The firmware is damaged: " + "; ".join(facts.warnings)[:200]
    if facts.details.get("kind") == "bootloader":
        return "The file is a bootloader; an update takes the app (firmware.bin)."
    return "The file is not an ESP app image: it must begin with the byte 0xE9 and be whole."


def _chip(board: str) -> str:
    """The chip that a board's name is; empty when it names none (a module, or nothing)."""
    plain = board.lower().replace("-", "").replace(" ", "")
    return plain if _CHIP.fullmatch(plain) else ""


def upload(call: Call, wish: Wish, blob: Blob, filename: str) -> int:
    """Send a stored file to one device; the rollout's id. Raises as `check`.

    What was sent to the device before gives way at once: it cannot be asked to cancel, and fetches the last file only.
    A version that the last upload brought to the device already is stored, and replaces what the device fetches, but
    its delivery is skipped: the device compares versions, and would not come.
    """
    device = check(call, wish, None)
    home = call.at(device.organization_id, "Device")
    before = single_updates.last(home.connection, ORIGIN, device.id)
    has_it = before is not None and _is_offered(before) and before.version == wish.version and _was_brought(before)
    if before is not None and before.delivery_state in OPEN:
        deliveries.give_way(home, [before.delivery_id], "a newer file was uploaded for this device")
    artifact = artifacts.register(home, blob, filename)
    facts = artifacts.confirm(artifact, artifacts.Claims())
    rollout_id = rollouts.create(
        home,
        origin=ORIGIN,
        title=f"{wish.version} for {device.name or device.uid}"[:200],
        product_id=device.product_id,
        device_ids=[device.id],
        cargo=[Cargo(artifact.id, artifact.filename, confirmed(facts, wish.version))],
        policy=Policy(
            finish_on=FinishOn.VERSION if device.version else FinishOn.SERVED,
            condition=Condition.VERSION_DIFFERS,
            on_conflict="queue" if has_it else "supersede",
        ),
    )
    if has_it:
        made = single_updates.last(home.connection, ORIGIN, device.id)
        words = "the last upload had this version, and the device has fetched it"
        deliveries.give_way(home, [made.delivery_id], words, Reason.ALREADY_RUNNING)
    return rollout_id


def confirmed(facts: Confirmed, version: str) -> Confirmed:
    """The file's own facts under the version that its maker gives: it is what the device's program compares."""
    return Confirmed(version, facts.build, facts.fw_type, facts.board, facts.library_version, facts.component)


def _was_brought(row: Any) -> bool:  # noqa: ANN401 - a row
    """Whether the device has had all of the file, or the version from an upload before it."""
    is_skipped = (row.delivery_state, row.delivery_reason) == (State.SKIPPED, Reason.ALREADY_RUNNING)
    return is_skipped or row.delivery_state == State.SUCCEEDED


def _is_offered(row: Any) -> bool:  # noqa: ANN401 - a row
    """Whether a device may hear of it: nobody has paused, stopped or deleted it, and nothing newer has come."""
    if row.deleted_at is not None or row.state in HELD:
        return False
    return row.delivery_state in {*OPEN, State.SUCCEEDED, State.FAILED} or _was_brought(row)


def listed(call: Call, *, search: str, skip: int, limit: int, newest_first: bool) -> tuple[list[Any], int, int]:
    """One page of what was last sent to each device; how many there are, and how many have `search` in their path."""
    call.need(Permission.OTA_VIEW)
    return single_updates.listed(
        call.connection,
        call.organization_id,
        ORIGIN,
        search=search,
        skip=skip,
        limit=limit,
        newest_first=newest_first,
    )


def latest(connection: Connection, uid: str) -> str | None:
    """The version that the device with this uid should run; None when there is no such device, or nothing for it.

    Whoever asks has shown nothing, so nothing changes. A uid is unique in an organization only: of several devices on
    the server the one that was there first is meant, so that nobody takes over an address by making a device later.
    """
    device = single_updates.first_with_uid(connection, uid if is_uid(uid) else "")
    row = single_updates.last(connection, ORIGIN, device.id if device else 0)
    if device is None or row is None or not device.enabled or not _is_offered(row):
        return None
    return str(row.version)


@dataclass(frozen=True, slots=True)
class Content:
    """What is served, and the version that its maker gave."""

    version: str
    sha256: str
    md5: str
    size: int


@dataclass(frozen=True, slots=True)
class File:
    """What a device may fetch. `needs_offer`: it has to be offered first; else `attempt_id` is the attempt. `is_begun`:
    it has had bytes of this very file, so that it may ask for the rest of them. `has_all`: all of them, and its
    delivery is open still. `running`: the version that it is known to run, or "".
    """

    device_id: int
    digest: bytes
    rollout_id: int
    content: Content
    running: str = ""
    needs_offer: bool = False
    is_begun: bool = True
    has_all: bool = False
    attempt_id: int | None = None

    def is_news(self, version: str) -> bool:
        """Whether it tells something when the device says, as it asks for the file, that it runs `version`.

        That it runs what it was sent; that it came back without; or another one than it is known for. A device that is
        known for none may have a version compiled in that it compares by itself: of such a one only the first counts.
        """
        if version == self.content.version:
            return self.running != version or self.attempt_id is not None or self.needs_offer
        return self.has_all or (bool(self.running) and self.running != version)


def find(connection: Connection, keyring: Keyring, uid: str, token: str, now: Millis) -> File | None:
    """The last file that was uploaded for the device, if it may have it now; None otherwise, whatever is wrong.

    The same statement and the same comparison are done whether the uid, the token or both are wrong. Reads only.
    """
    digest = keyring.digest(token)
    answer, running = _told(connection, digest, uid, now)
    if answer is None or answer.decision is DISABLED:
        return None
    row = single_updates.last(connection, ORIGIN, answer.device_id)
    if row is None or not _is_offered(row):
        return None
    content = Content(row.version, row.sha256, row.md5, row.size)
    file = File(answer.device_id, digest, row.id, content, running)
    if row.delivery_state not in OPEN:
        return file
    return _open(file, answer)


def _told(connection: Connection, digest: bytes, uid: str, now: Millis) -> tuple[Answer | None, str]:
    """What the device with this token and uid is told, and the version that it is known to run."""
    rows = deliveries.devices_by_token(connection, [digest]).get(digest, [])
    theirs = rows[0].device_uid if rows else "nobody"
    if not credentials.same(theirs.encode(), uid.encode("utf-8", "replace")) or not rows:
        return None, ""
    return deliveries.answer_for(deliveries.choose(rows), now), rows[0].device_version


def _open(file: File, answer: Answer) -> File | None:
    """The file, if the delivery whose turn it is carries it and is told to go on."""
    row = answer.row
    if row is None or row.rollout_id != file.rollout_id or answer.decision.do not in _GOING:
        return None
    return replace(
        file,
        needs_offer=row.state not in THE_SIX,
        is_begun=row.state not in {State.QUEUED, State.OFFERED},
        has_all=RANK.get(State(row.state), 0) >= RANK[State.DOWNLOADED],
        attempt_id=row.attempt_id,
    )

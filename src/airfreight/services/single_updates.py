"""One file for one device, fetched by the device itself: a rollout of one, and what such a device is answered.

Rule: a device that asks changes nothing until it has shown its token; what it fetches goes by `decide`, as everywhere.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from airfreight.domain.access import Permission
from airfreight.domain.conditions import Condition
from airfreight.domain.delivery import OPEN, Reason, State
from airfreight.domain.errors import invalid, not_found
from airfreight.domain.finish import FinishOn
from airfreight.domain.rollout import RolloutState
from airfreight.formats import FileSource, esp, identify
from airfreight.formats.facts import Facts, Format
from airfreight.ports import Blob
from airfreight.services import artifacts, credentials, deliveries, rollouts, triggers
from airfreight.services.artifacts import Confirmed
from airfreight.services.call import Call
from airfreight.services.rollouts import Cargo, Policy
from airfreight.store import single_updates

ORIGIN = "device_ota"

_UID = re.compile(r"[0-9a-f]{24}")
_START = b"\xe9"
_SMALLEST = 16
"""Bytes of the smallest image there is: a header and a checksum."""
_WITHOUT_CHIP_ID = "esp8266"
_CHIP = re.compile(r"esp(8266|32([a-z]\d{1,2})?)")
NOBODY = b"\0" * 32
_DID_NOT_TAKE = frozenset(
    {Reason.INSTALL_FAILED, Reason.ACTIVATE_FAILED, Reason.WRONG_VERSION, Reason.ROLLED_BACK, Reason.INCOMPATIBLE}
)
"""A device that has had the file whole and does not run it."""
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
    """Raises INVALID unless the file begins as an app image for a chip of this family, and for the one that the product
    declares (if any). What is surely such an image has to be whole, too.
    """
    with FileSource(path) as source:
        facts, start = identify(source), source.read_at(0, _SMALLEST)
        is_other = facts.format is Format.ESP_DAMAGED and not esp.is_likely(source)
    if fault := "" if is_other else _what_is_wrong(facts):
        raise invalid(fault, "bad_image")
    if len(start) < _SMALLEST or start[:1] != _START:
        words = f"The file is not an ESP app image: that has {_SMALLEST} bytes or more, and begins with the byte 0xE9."
        raise invalid(words, "bad_image")
    claimed, wanted = str(facts.details.get("chip", "")), _chip(board)
    chip = "" if is_other and wanted == _WITHOUT_CHIP_ID else _chip(claimed)
    if chip and wanted and chip != wanted:
        raise invalid(f"The firmware is for {claimed}; the product of this device is another chip.", "wrong_chip")


def _what_is_wrong(facts: Facts) -> str:
    """With what is an image, or several; empty for a whole app."""
    if facts.format is Format.ESP_MERGED_FLASH:
        return "The file is a whole flash image; an update takes the app alone (firmware.bin)."
    if facts.format is Format.ESP_DAMAGED:
        return "The firmware is damaged: " + "; ".join(facts.warnings).removeprefix("damaged ESP image: ")[:200]
    if facts.details.get("kind") == "bootloader":
        return "The file is a bootloader; an update takes the app (firmware.bin)."
    return ""


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
    has_it = before is not None and is_offered(before) and before.version == wish.version and _was_brought(before)
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
    triggers.add(home.connection, home.settings, home.organization_id, rollout_id, home.now)
    return rollout_id


def confirmed(facts: Confirmed, version: str) -> Confirmed:
    """The file's own facts under the version that its maker gives: it is what the device's program compares."""
    return Confirmed(version, facts.build, facts.fw_type, facts.board, facts.library_version, facts.component)


def _was_brought(row: Any) -> bool:  # noqa: ANN401 - a row
    """Whether the device has had all of the file, or the version from an upload before it."""
    is_skipped = (row.delivery_state, row.delivery_reason) == (State.SKIPPED, Reason.ALREADY_RUNNING)
    return is_skipped or row.delivery_state == State.SUCCEEDED


def is_offered(row: Any) -> bool:  # noqa: ANN401 - a row
    """Whether a device may hear of it: nobody has paused, stopped or deleted it, nothing newer has come, and the device
    has not shown that it cannot run it: else it would write its flash at every look, for ever.
    """
    if row.deleted_at is not None or row.state in HELD:
        return False
    if row.delivery_state == State.FAILED:
        return row.delivery_reason not in _DID_NOT_TAKE
    return row.delivery_state in {*OPEN, State.SUCCEEDED} or _was_brought(row)


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
    """The version that the device with this uid should run; None when there is no such device, or nothing for it."""
    return latest_of(connection, [uid])[0]


def latest_of(connection: Connection, uids: Sequence[str]) -> list[str | None]:
    """`latest` for each of these uids, in one statement.

    Whoever asks has shown nothing, so nothing changes. A uid is unique in an organization only: of several devices on
    the server the one that was there first is meant, so that nobody takes over an address by making a device later.
    """
    asked = list({uid for uid in uids if is_uid(uid)})
    rows = single_updates.latest(connection, ORIGIN, asked)
    found = {row.uid: row.version for row in rows if row.enabled and is_offered(row)}
    return [found.get(uid) for uid in uids]


@dataclass(frozen=True, slots=True)
class Content:
    """What is served, and the version that its maker gave."""

    version: str
    sha256: str
    md5: str
    size: int

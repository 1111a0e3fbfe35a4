"""Devices as operators see them. Rule: `add` is the only way a device comes to be, whoever asks for it."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import IntegrityError

from airfreight.domain.access import Permission
from airfreight.domain.errors import conflict, invalid, not_found
from airfreight.services import credentials, deliveries
from airfreight.services.call import Call
from airfreight.services.ledger import LostRace
from airfreight.store import devices, outbox, products

MOST_AT_ONCE = 10_000

_UID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A device to make; without a uid it gets a random one."""

    uid: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """A new device with its token, which cannot be had again."""

    id: int
    uid: str
    name: str
    token: str = field(repr=False)


def create(call: Call, *, product_id: int, wanted: Wanted) -> tuple[Any, Made]:
    """A new device. Raises NOT_FOUND for the product, INVALID for the uid, CONFLICT for one that is in use."""
    call.need(Permission.DEVICE_EDIT)
    made = add(call, product_id, [wanted])[0]
    return _find(call, made.id), made


def create_many(call: Call, *, product_id: int, wanted: Sequence[Wanted]) -> list[Made]:
    """All of them or, when one cannot be made, none. Raises as `create`, INVALID also for a uid given twice."""
    call.need(Permission.DEVICE_EDIT)
    if not 1 <= len(wanted) <= MOST_AT_ONCE:
        raise invalid(f"Make 1 to {MOST_AT_ONCE} devices at once.")
    return add(call, product_id, wanted)


def add(
    call: Call, product_id: int, wanted: Sequence[Wanted], *, columns: Mapping[str, object] | None = None
) -> list[Made]:
    """Make devices for a caller who may, and queue the running rollouts of the whole product for them.

    `columns` are further values, the same for each. Raises NOT_FOUND, INVALID, CONFLICT.
    """
    if products.get(call.connection, call.organization_id, product_id) is None:
        raise not_found("Product")
    _check_uids(call, wanted)
    made = [Made(0, one.uid or secrets.token_hex(12), one.name, credentials.new_device_token()) for one in wanted]
    common = {
        "organization_id": call.organization_id,
        "product_id": product_id,
        "created_at": call.now,
        **(columns or {}),
    }
    rows = [
        common
        | {
            "uid": one.uid,
            "name": one.name,
            "token_hash": call.keyring.digest(one.token),
            "broker_hash": credentials.broker_hash(one.token),
        }
        for one in made
    ]
    try:
        ids = devices.add(call.connection, rows)
    except IntegrityError:
        raise conflict(
            "Somebody else added a device with this uid, or removed the product, just now.", "race"
        ) from None
    deliveries.enlist(call, product_id, sorted(ids.values()))
    outbox.ring(call.connection, "devices")
    return [Made(ids[one.uid], one.uid, one.name, one.token) for one in made]


def get(call: Call, device_id: int) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND."""
    call.need(Permission.DEVICE_VIEW)
    return _find(call, device_id)


def search(call: Call, *, product_id: int | None, query: str, after: int, limit: int) -> list[Any]:
    """Devices of a product (or all) that have `query` in their uid or name."""
    call.need(Permission.DEVICE_VIEW)
    return devices.listed(
        call.connection, call.organization_id, product_id=product_id, query=query, after=after, limit=limit
    )


def rotate_token(call: Call, device_id: int) -> Made:
    """A new token; the old one ends now. Raises NOT_FOUND."""
    call.need(Permission.DEVICE_EDIT)
    device = _find(call, device_id)
    token = credentials.new_device_token()
    hashes = {"token_hash": call.keyring.digest(token), "broker_hash": credentials.broker_hash(token)}
    devices.change(call.connection, call.organization_id, device_id, hashes)
    outbox.ring(call.connection, "devices")
    return Made(device.id, device.uid, device.name, token)


def delete(call: Call, device_id: int) -> None:
    """Remove a device: its token ends, its open deliveries close, its uid is free; its history stays.

    Raises NOT_FOUND, CONFLICT when the device reports at the same moment.
    """
    call.need(Permission.DEVICE_EDIT)
    _find(call, device_id)
    try:
        deliveries.release(call, device_id)
    except LostRace:
        raise conflict("The device reported something just now. Look again, then retry.", "race") from None
    devices.change(
        call.connection,
        call.organization_id,
        device_id,
        {"token_hash": None, "broker_hash": "", "deleted_at": call.now},
    )
    outbox.ring(call.connection, "devices")


def is_online(call: Call, row: Any) -> bool:  # noqa: ANN401 - a row
    """Whether the device was heard from lately."""
    return row.seen_at is not None and call.now - row.seen_at <= call.settings.online_seconds * 1000


def _find(call: Call, device_id: int) -> Any:  # noqa: ANN401 - a row
    device = devices.get(call.connection, call.organization_id, device_id)
    if device is None:
        raise not_found("Device")
    return device


def _check_uids(call: Call, wanted: Sequence[Wanted]) -> None:
    """The messages name positions, counted from 0, and never repeat a uid."""
    seen: set[str] = set()
    for position, one in enumerate(wanted):
        if one.uid is None:
            continue
        if not _UID.fullmatch(one.uid):
            raise invalid(f"A uid is 1 to 64 of A-Z a-z 0-9 . _ : -{_where(wanted, position)}", "bad_uid")
        if one.uid in seen:
            raise invalid(f"A uid is given twice.{_where(wanted, position)}", "bad_uid")
        seen.add(one.uid)
    taken = devices.taken(call.connection, call.organization_id, sorted(seen))
    for position, one in enumerate(wanted):
        if one.uid in taken:
            raise conflict(f"A device with this uid exists already.{_where(wanted, position)}", "uid_taken")


def _where(wanted: Sequence[Wanted], position: int) -> str:
    return f" (devices[{position}])" if len(wanted) > 1 else ""

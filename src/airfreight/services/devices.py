"""Devices as operators see them. Rule: `add` is the only way a device comes to be, whoever asks for it.

A device belongs to the organization of its product; who acts for the organization above it finds it there.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import IntegrityError

from airfreight.domain.access import Permission
from airfreight.domain.errors import conflict, invalid, not_found
from airfreight.services import attributes, credentials, deliveries
from airfreight.services.call import Call
from airfreight.services.ledger import LostRace
from airfreight.store import access, devices, outbox, products

MOST_AT_ONCE = 10_000

SAID_BY_ITSELF = frozenset({"version", "build"})
"""Attributes that only the device tells: they are the judge of its updates."""

_UID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A device to make; without a uid it gets a random one. `token`: one that it has already."""

    uid: str | None = None
    name: str = ""
    token: str | None = field(default=None, repr=False)


MOST_BEHIND = 1000
"""Devices behind one gateway."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new device with its token, which cannot be had again; "" for one behind a gateway, which speaks for it."""

    id: int
    uid: str
    name: str
    token: str = field(repr=False)


def create(
    call: Call,
    *,
    product_id: int,
    wanted: Wanted,
    owner_user_id: int | None = None,
    parent_id: int | None = None,
    what: str = "Product",
) -> tuple[Any, Made]:
    """A new device, in the organization of its product. `what` is a product's name at the caller's.

    Raises NOT_FOUND for the product, the owner or the parent, INVALID for the uid, CONFLICT for one that is in use.
    """
    call.need(Permission.DEVICE_EDIT)
    call = call.at(products.home(call.connection, product_id), what)
    if owner_user_id is not None:
        _check_owner(call, owner_user_id)
    made = add(call, product_id, [wanted], columns={"owner_user_id": owner_user_id, "parent_id": parent_id})[0]
    return _find(call, made.id)[1], made


def create_many(call: Call, *, product_id: int, wanted: Sequence[Wanted], parent_id: int | None = None) -> list[Made]:
    """All of them or, when one cannot be made, none. Raises as `create`, INVALID also for a uid given twice."""
    call.need(Permission.DEVICE_EDIT)
    if not 1 <= len(wanted) <= MOST_AT_ONCE:
        raise invalid(f"Make 1 to {MOST_AT_ONCE} devices at once.")
    home = call.at(products.home(call.connection, product_id), "Product")
    return add(home, product_id, wanted, columns={"parent_id": parent_id})


def add(
    call: Call,
    product_id: int,
    wanted: Sequence[Wanted],
    *,
    columns: Mapping[str, object] | None = None,
    is_foreign: bool = False,
) -> list[Made]:
    """Make devices for a caller who may, and queue the running rollouts of the whole product for them.

    `columns` are further values, the same for each; a `parent_id` among them is checked. `is_foreign`: uids of another
    form, which the caller has checked; such a device gets no token here. Raises NOT_FOUND, INVALID, CONFLICT.
    """
    if products.get(call.connection, call.organization_id, product_id) is None:
        raise not_found("Product")
    _check_uids(call, wanted, any_form=is_foreign)
    parent_id = (columns or {}).get("parent_id")
    _check_tokens(call, wanted, has_parent=parent_id is not None)
    if isinstance(parent_id, int):
        _check_parent(call, parent_id, len(wanted))
    made = [
        Made(
            0,
            one.uid or secrets.token_hex(12),
            one.name,
            "" if parent_id or is_foreign else one.token or credentials.new_device_token(),
        )
        for one in wanted
    ]
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
            "token_hash": call.keyring.digest(one.token) if one.token else None,
            "broker_hash": credentials.broker_hash(one.token) if one.token else "",
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
    """A device of the organization acted on or one below it. Raises NOT_FOUND."""
    call.need(Permission.DEVICE_VIEW)
    return _find(call, device_id)[1]


def search(
    call: Call, *, product_id: int | None, query: str, parent_id: int | None = None, after: int, limit: int
) -> list[Any]:
    """Devices of a product (or all) that have `query` in their uid or name; of those behind `parent_id`, if given."""
    call.need(Permission.DEVICE_VIEW)
    return devices.listed(
        call.connection,
        call.organization_id,
        product_id=product_id,
        query=query,
        parent_id=parent_id,
        after=after,
        limit=limit,
    )


def paged(call: Call, *, below: bool, query: str = "", skip: int, limit: int) -> tuple[list[Any], int]:
    """One page of those that have `query` in their uid or name, oldest first, and how many there are in all.

    `below`: also of the organizations below the one acted on.
    """
    call.need(Permission.DEVICE_VIEW)
    return devices.paged(call.connection, call.organization_id, below=below, query=query, skip=skip, limit=limit)


def updated_at(call: Call, row: Any) -> int | None:  # noqa: ANN401 - a row
    """When an update last succeeded on a device that the caller was given."""
    return devices.succeeded_at(call.connection, row.organization_id, row.id)


def timeline(call: Call, device_id: int, *, skip: int, limit: int) -> tuple[list[Any], int]:
    """One page of what happened to the device in all rollouts, newest first, and how much there is. NOT_FOUND."""
    call.need(Permission.DEVICE_VIEW)
    home, _ = _find(call, device_id)
    return devices.events(call.connection, home.organization_id, device_id, skip=skip, limit=limit)


def rename(call: Call, device_id: int, name: str) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND."""
    return _change(call, device_id, {"name": name})


def give(call: Call, device_id: int, owner_user_id: int | None) -> Any:  # noqa: ANN401 - a row
    """Make a user of its organization the owner, or nobody. Raises NOT_FOUND for either."""
    call.need(Permission.DEVICE_EDIT)
    home, _ = _find(call, device_id)
    if owner_user_id is not None:
        _check_owner(home, owner_user_id)
    return _change(call, device_id, {"owner_user_id": owner_user_id})


def set_group(call: Call, device_id: int, group_id: int | None) -> None:
    """Put a device into a group of its organization, whose row is locked, or into none. Raises NOT_FOUND."""
    _change(call, device_id, {"group_id": group_id})


def switch(call: Call, device_id: int, *, on: bool) -> Any:  # noqa: ANN401 - a row
    """Whether the device gets anything: one that is off is told nothing, downloads nothing and cannot log in at the
    broker; what it reports is taken. Raises NOT_FOUND.
    """
    row = _change(call, device_id, {"enabled": on})
    outbox.ring(call.connection, "devices")
    outbox.ring(call.connection)
    return row


def describe(call: Call, device_id: int, given: Mapping[str, object]) -> Any:  # noqa: ANN401 - a row
    """Lay attributes over those that the device has; null removes. One that decides something is decided for again.

    Raises NOT_FOUND, INVALID as attributes.merge does, and for what only the device can know.
    """
    call.need(Permission.DEVICE_EDIT)
    home, device = _find(call, device_id)
    if not given:
        return device
    if SAID_BY_ITSELF & given.keys():
        raise invalid("version and build are what the device says that it runs: nobody else can.", "bad_attributes")
    locked = devices.lock(call.connection, [device_id])
    if not locked:
        raise not_found("Device")
    merged = attributes.merge(locked[0].attributes, given)
    values = {**merged.columns, "attributes": merged.json}
    devices.change(call.connection, home.organization_id, device_id, values)
    if merged.columns:
        outbox.ring(call.connection)
    return _find(home, device_id)[1]


def rotate_token(call: Call, device_id: int) -> Made:
    """A new token; the old one ends now. Raises NOT_FOUND, CONFLICT for one behind a gateway: it has none."""
    call.need(Permission.DEVICE_EDIT)
    home, device = _find(call, device_id)
    if device.parent_id is not None:
        raise conflict("This device is behind another one, which speaks for it: it has no token.", "no_token")
    token = credentials.new_device_token()
    at_broker = credentials.broker_hash(token) if _UID.fullmatch(device.uid) else ""
    hashes = {"token_hash": call.keyring.digest(token), "broker_hash": at_broker}
    devices.change(call.connection, home.organization_id, device_id, hashes)
    outbox.ring(call.connection, "devices")
    return Made(device.id, device.uid, device.name, token)


def delete(call: Call, device_id: int) -> None:
    """Remove a device: its token ends, its open deliveries close, its uid is free; its history stays.

    Raises NOT_FOUND, CONFLICT when the device reports at the same moment, or has others behind it.
    """
    call.need(Permission.DEVICE_EDIT)
    home, _ = _find(call, device_id)
    devices.lock(call.connection, [device_id])
    if behind := devices.count_behind(call.connection, device_id):
        raise conflict(f"{behind} devices are behind this one. Delete them first.", "has_things")
    try:
        deliveries.release(home, device_id)
    except LostRace:
        raise conflict("The device reported something just now. Look again, then retry.", "race") from None
    devices.change(
        call.connection,
        home.organization_id,
        device_id,
        {"token_hash": None, "broker_hash": "", "deleted_at": call.now},
    )
    outbox.ring(call.connection, "devices")


def is_online(call: Call, row: Any) -> bool:  # noqa: ANN401 - a row
    """Whether the device listens at the broker, or was heard from lately."""
    lately = row.seen_at is not None and call.now - row.seen_at <= call.settings.online_seconds * 1000
    return lately or row.connected_at is not None


def _find(call: Call, device_id: int) -> tuple[Call, Any]:
    """The device, and the call on its organization."""
    home = call.at(devices.home(call.connection, device_id), "Device")
    device = devices.get(call.connection, home.organization_id, device_id)
    if device is None:
        raise not_found("Device")
    return home, device


def _change(call: Call, device_id: int, values: Mapping[str, object]) -> Any:  # noqa: ANN401 - a row
    call.need(Permission.DEVICE_EDIT)
    home, _ = _find(call, device_id)
    devices.change(call.connection, home.organization_id, device_id, values)
    return _find(home, device_id)[1]


def _check_owner(call: Call, user_id: int) -> None:
    """Who is a user there now stays one until this transaction ends. Raises NOT_FOUND."""
    user = access.lock_user(call.connection, user_id)
    if user is None or user.organization_id != call.organization_id:
        raise not_found("User")


def _check_parent(call: Call, parent_id: int, more: int) -> None:
    """Who is a gateway there now stays one until this transaction ends. Raises NOT_FOUND, INVALID."""
    parent = next(iter(devices.lock(call.connection, [parent_id])), None)
    if parent is None or parent.organization_id != call.organization_id:
        raise not_found("Parent")
    if parent.parent_id is not None:
        raise invalid("The parent is itself behind another device: only one level is possible.", "behind_another")
    if devices.count_behind(call.connection, parent_id) + more > MOST_BEHIND:
        raise invalid(f"At most {MOST_BEHIND} devices can be behind one.", "too_many")


def _check_uids(call: Call, wanted: Sequence[Wanted], *, any_form: bool) -> None:
    """The messages name positions, counted from 0, and never repeat a uid."""
    seen: set[str] = set()
    for position, one in enumerate(wanted):
        if one.uid is None:
            continue
        if not (any_form or _UID.fullmatch(one.uid)):
            raise invalid(f"A uid is 1 to 64 of A-Z a-z 0-9 . _ : -{_where(wanted, position)}", "bad_uid")
        if one.uid in seen:
            raise invalid(f"A uid is given twice.{_where(wanted, position)}", "bad_uid")
        seen.add(one.uid)
    taken = devices.taken(call.connection, call.organization_id, sorted(seen))
    for position, one in enumerate(wanted):
        if one.uid in taken:
            raise conflict(f"A device with this uid exists already.{_where(wanted, position)}", "uid_taken")


def _check_tokens(call: Call, wanted: Sequence[Wanted], *, has_parent: bool) -> None:
    """Of the tokens that devices bring along. The messages never repeat one."""
    places: dict[bytes, int] = {}
    for position, one in enumerate(wanted):
        if one.token is None:
            continue
        if has_parent or not credentials.is_token(one.token):
            words = "A token has 16 to 128 visible characters; a device behind another one has none"
            raise invalid(f"{words}.{_where(wanted, position)}", "bad_token")
        if places.setdefault(call.keyring.digest(one.token), position) != position:
            raise invalid(f"A token is given twice.{_where(wanted, position)}", "bad_token")
    taken = devices.ids_by_digest(call.connection, list(places))
    if taken:
        position = min(places[digest] for digest in taken)
        raise conflict(f"A device with this token exists already.{_where(wanted, position)}", "token_taken")


def _where(wanted: Sequence[Wanted], position: int) -> str:
    return f" (devices[{position}])" if len(wanted) > 1 else ""

"""How devices of an organization come in by its name: the settings, the key that opens for all, and words about one.

Rule: the name is unique among all organizations and kept in upper case; the key is shown once.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy.exc import IntegrityError

from airfreight.domain import polling
from airfreight.domain.access import Permission
from airfreight.domain.errors import conflict, invalid, not_found
from airfreight.services import credentials, deliveries
from airfreight.services.call import Call
from airfreight.services.ledger import Ledger
from airfreight.store import devices, organizations, outbox, products
from airfreight.store import direct_access as store

FIRST_NAME = "DEFAULT"
"""Of the first organization of a database."""

MOST_AUTHORITIES = 20
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_WORDS = 500


@dataclass(frozen=True, slots=True)
class Access:
    """How devices come in. `name` None: not at all. `product_id`: what unknown ones become; `polling`: how often."""

    name: str | None
    has_key: bool
    product_id: int | None
    authorities: tuple[str, ...]
    polling: str
    confirmation_needed: bool


def get(call: Call) -> Access:
    """Of the organization acted on."""
    call.need(Permission.ORG_VIEW)
    return _read(call)


def _read(call: Call) -> Access:
    row = store.of_organization(call.connection, call.organization_id)
    if row is None or row.name is None:
        needed = bool(row and row.confirmation_needed)
        return Access(None, has_key=False, product_id=None, authorities=(), polling="", confirmation_needed=needed)
    authorities: list[str] = msgspec.json.decode(row.authorities)
    return Access(
        row.name, bool(row.key_hash), row.product_id, tuple(authorities), row.polling, bool(row.confirmation_needed)
    )


def change(
    call: Call,
    *,
    name: str | None = None,
    product_id: int | None = None,
    no_product: bool = False,
    authorities: Sequence[str] | None = None,
    how_often: str | None = None,
    confirmation_needed: bool | None = None,
) -> Access:
    """Change what is given; `no_product`: unknown devices become nothing any more.

    Raises INVALID, NOT_FOUND for the product, CONFLICT for a name that is taken or missing.
    """
    call.need(Permission.ORG_EDIT)
    values: dict[str, object] = {}
    if name is not None:
        values["name"] = _checked_name(name)
    if product_id is not None:
        values["product_id"] = _checked_product(call, product_id)
    elif no_product:
        values["product_id"] = None
    if authorities is not None:
        values["authorities"] = _checked_authorities(authorities)
    if how_often is not None:
        if how_often:
            polling.read(how_often)
        values["polling"] = how_often
    if values:
        _put(call, values)
    if confirmation_needed is not None:
        organizations.change(call.connection, call.organization_id, {"confirmation_needed": confirmation_needed})
        if not confirmation_needed:
            _date(call, call.organization_id)
    outbox.ring(call.connection)
    return _read(call)


def new_key(call: Call, product_id: int | None = None, key: str | None = None) -> str:
    """A new key that speaks for every device of the organization and makes new ones; the old one ends now.

    `product_id`: what unknown devices become from now on; needed the first time. `key`: one that devices have already.
    Raises NOT_FOUND, INVALID, CONFLICT.
    """
    call.need(Permission.ORG_EDIT)
    if key is not None and not credentials.is_token(key):
        raise invalid("A token has 16 to 128 visible characters.", "bad_token")
    values: dict[str, object] = {}
    if product_id is not None:
        values["product_id"] = _checked_product(call, product_id)
    elif _read(call).product_id is None:
        raise invalid("Say of which product unknown devices become: productId (--product).", "product_needed")
    key = key or credentials.new_device_token()
    _put(call, {**values, "key_hash": call.keyring.digest(key)})
    return key


def end_key(call: Call) -> None:
    """Nobody comes in by the key any more, until there is a new one."""
    call.need(Permission.ORG_EDIT)
    if _read(call).name is not None:
        _put(call, {"key_hash": None})


def _put(call: Call, values: dict[str, object]) -> None:
    if "name" not in values and _read(call).name is None:
        raise conflict("Give the organization a name for its devices first: tenant (--tenant).", "no_name")
    try:
        store.put(call.connection, call.organization_id, values)
    except IntegrityError:
        if "name" not in values:
            raise not_found("Product") from None  # it was removed just now
        words = "Another organization has this name for its devices. Choose another one."
        raise conflict(words, "name_taken") from None


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise invalid("A name for devices to come in by is 1 to 64 of A-Z 0-9 _ -", "bad_name")
    return name.upper()


def _checked_product(call: Call, product_id: int) -> int:
    if products.get(call.connection, call.organization_id, product_id) is None:
        raise not_found("Product")
    return product_id


def _checked_authorities(authorities: Sequence[str]) -> str:
    if len(authorities) > MOST_AUTHORITIES:
        raise invalid(f"At most {MOST_AUTHORITIES} authorities.", "too_many")
    if any(not one.strip() or len(one) > 128 or not one.isprintable() or set(";,") & set(one) for one in authorities):
        raise invalid("An authority has 1 to 128 printable characters, without commas and semicolons.", "bad_authority")
    return json.dumps([one.strip().lower() for one in authorities])


# words about one device


def ask_attributes(call: Call, device_id: int) -> None:
    """Have the device tell its attributes when it comes next. Raises NOT_FOUND."""
    call.need(Permission.DEVICE_EDIT)
    _change(call, device_id, {"asked_at": call.now})


def consent_to_all(call: Call, device_id: int, words: str | None) -> None:
    """The device's user agrees to whatever comes, in these words; None: is asked again each time. Raises NOT_FOUND."""
    call.need(Permission.DEVICE_EDIT)
    said = "" if words is None else consent_words(call.actor, words, call.now)
    home = _change(call, device_id, {"standing_consent": said})
    if said:
        _date(call, home, device_id)
    outbox.ring(call.connection)


def consent_words(who: str, remark: str, now: int) -> str:
    """As a device's row keeps them."""
    return json.dumps({"initiator": who[:_LONGEST_WORDS], "remark": remark[:_LONGEST_WORDS], "at": now})


def read_consent(stored: str) -> dict[str, Any] | None:
    """What `consent_words` wrote; None for nothing."""
    found: dict[str, Any] | None = json.loads(stored) if stored else None
    return found


def _change(call: Call, device_id: int, values: dict[str, object]) -> int:
    """The organization of the device. Raises NOT_FOUND."""
    home = call.at(devices.home(call.connection, device_id), "Device")
    devices.change(call.connection, home.organization_id, device_id, values)
    return home.organization_id


def _date(call: Call, organization_id: int, device_id: int | None = None) -> None:
    ledger = Ledger(call.connection, call.settings, call.now)
    deliveries.date(ledger, organization_id, device_id)
    ledger.flush()

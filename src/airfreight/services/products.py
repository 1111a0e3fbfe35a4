"""Products: the models of device that artifacts are made for.

A product belongs to one organization; who acts for the organization above it finds it there.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from airfreight.domain import windows
from airfreight.domain.access import Permission
from airfreight.domain.errors import conflict, invalid, not_found
from airfreight.services import credentials
from airfreight.services.call import Call
from airfreight.store import outbox, products

KEY = r"^TMPL[A-Za-z0-9_-]{1,28}(?![\s\S])"
"""What a product's key looks like: firmware in the field carries it as its type."""

PART = r"^[A-Za-z0-9_.-]{1,32}(?![\s\S])"
"""What the part of a device is called that its files are for."""

DEFAULT_PART = "application"


def create(
    call: Call,
    *,
    name: str,
    description: str = "",
    time_zone: str = "",
    key: str = "",
    auto_update: bool = True,
    part: str = DEFAULT_PART,
    one_part: bool = False,
    details: Mapping[str, str] | None = None,
) -> Any:  # noqa: ANN401 - a row
    """A new product; without a `key` it gets a random one. `details` are what doors show and nothing decides on.

    `part`: what devices are told that a file is for; `one_part`: all files of a rollout are one part, not each its own.

    Raises CONFLICT when the organization has one of this name or any product has this key, INVALID for a key or part of
    another form or an unknown time zone.
    """
    call.need(Permission.PRODUCT_EDIT)
    check_time_zone(time_zone)
    _check_part(part)
    _check_name(call, name)
    if key:
        _check_key(call, key)
    values: dict[str, object] = {
        "name": name,
        "description": description,
        "time_zone": time_zone,
        "key": key or credentials.new_product_key(),
        "auto_update": auto_update,
        "part": part,
        "one_part": one_part,
        "details": _written(details or {}),
        "created_at": call.now,
        "changed_at": call.now,
    }
    product_id = products.add(call.connection, call.organization_id, values)
    return products.get(call.connection, call.organization_id, product_id)


def get(call: Call, product_id: int, *, what: str = "Product") -> Any:  # noqa: ANN401 - a row
    """A product of the organization acted on or one below it; `what` is its name at the caller's. Raises NOT_FOUND."""
    call.need(Permission.PRODUCT_VIEW)
    return _find(call, product_id, what)[1]


def id_of_key(call: Call, key: str) -> int:
    """The id of a product with this key; 0 when there is none, which is nobody's id. Who asks may not see it."""
    return products.with_key(call.connection, key) or 0


def search(call: Call, *, after: int, limit: int) -> list[Any]:
    call.need(Permission.PRODUCT_VIEW)
    return products.listed(call.connection, call.organization_id, after=after, limit=limit)


def paged(call: Call, *, skip: int, limit: int) -> tuple[list[Any], int]:
    """One page, oldest first, and how many there are in all."""
    call.need(Permission.PRODUCT_VIEW)
    return products.paged(call.connection, call.organization_id, skip=skip, limit=limit)


def change(
    call: Call,
    product_id: int,
    *,
    name: str | None = None,
    description: str | None = None,
    time_zone: str | None = None,
    auto_update: bool | None = None,
    part: str | None = None,
    one_part: bool | None = None,
    details: Mapping[str, str] | None = None,
    what: str = "Product",
) -> Any:  # noqa: ANN401 - a row
    """Change what is given; an empty one of the `details` is removed. Waiting devices are decided for again.

    Raises NOT_FOUND, CONFLICT when another product of the organization has this name, INVALID for the time zone and the
    part.
    """
    call.need(Permission.PRODUCT_EDIT)
    call, product = _find(call, product_id, what)
    check_time_zone(time_zone or "")
    if part is not None:
        _check_part(part)
    if name is not None and name != product.name:
        _check_name(call, name)
    given = {
        "name": name,
        "description": description,
        "time_zone": time_zone,
        "auto_update": auto_update,
        "part": part,
        "one_part": one_part,
    }
    values = {column: value for column, value in given.items() if value is not None}
    if details:
        values["details"] = _written({**shown_details(product), **details})
    if not values:
        return product
    products.change(call.connection, call.organization_id, product_id, {**values, "changed_at": call.now})
    if {"time_zone", "auto_update"} & values.keys():
        outbox.ring(call.connection)
    return products.get(call.connection, call.organization_id, product_id)


def delete(call: Call, product_id: int, *, what: str = "Product") -> None:
    """Raises NOT_FOUND, or CONFLICT while devices or rollouts (also old ones) belong to it."""
    call.need(Permission.PRODUCT_EDIT)
    call, _ = _find(call, product_id, what)
    if products.is_used(call.connection, product_id):
        words = "has devices or rollouts, or is what unknown devices become; one with a history is kept"
        raise conflict(f"The {what.lower()} {words}.", "in_use")
    products.remove(call.connection, call.organization_id, product_id)


def check_time_zone(name: str, field: str = "timeZone") -> None:
    """Raises INVALID, naming the field, unless `name` is empty or an IANA time zone."""
    if name and not windows.is_zone(name):
        raise invalid(f"{field} must be an IANA time zone such as Europe/Berlin.", "unknown_time_zone")


def shown_details(row: Any) -> dict[str, str]:  # noqa: ANN401 - a row of products
    """What was put into its `details`."""
    details: dict[str, str] = json.loads(row.details)
    return details


def _find(call: Call, product_id: int, what: str) -> tuple[Call, Any]:
    """The product, and the call on its organization."""
    home = call.at(products.home(call.connection, product_id), what)
    product = products.get(call.connection, home.organization_id, product_id)
    if product is None:
        raise not_found(what)
    return home, product


def _check_name(call: Call, name: str) -> None:
    if products.named(call.connection, call.organization_id, name):
        raise conflict("A product with this name exists already. Choose another name.", "name_taken")


def _check_key(call: Call, key: str) -> None:
    if not re.fullmatch(KEY, key):
        raise invalid("A product's key is TMPL and 1 to 28 of A-Z a-z 0-9 _ -")
    if products.with_key(call.connection, key) is not None:
        raise conflict("A product with this key exists already. Choose another, or leave it out.", "key_taken")


def _check_part(part: str) -> None:
    if not re.fullmatch(PART, part):
        raise invalid("A product's part is 1 to 32 of A-Z a-z 0-9 . _ -")


def _written(details: Mapping[str, str]) -> str:
    return json.dumps({name: value for name, value in sorted(details.items()) if value})

"""Products: the models of device that artifacts are made for."""

from typing import Any

from airfreight.domain import windows
from airfreight.domain.access import Permission
from airfreight.domain.errors import conflict, invalid, not_found
from airfreight.services import credentials
from airfreight.services.call import Call
from airfreight.store import products


def create(call: Call, *, name: str, description: str = "", time_zone: str = "") -> Any:  # noqa: ANN401 - a row
    """A new product. Raises CONFLICT when the organization has one of this name, INVALID for an unknown time zone."""
    call.need(Permission.PRODUCT_EDIT)
    check_time_zone(time_zone)
    if products.named(call.connection, call.organization_id, name):
        raise conflict("A product with this name exists already. Choose another name.", "name_taken")
    values: dict[str, object] = {
        "name": name,
        "description": description,
        "time_zone": time_zone,
        "key": credentials.new_product_key(),
        "created_at": call.now,
        "changed_at": call.now,
    }
    product_id = products.add(call.connection, call.organization_id, values)
    return get(call, product_id)


def get(call: Call, product_id: int) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND."""
    call.need(Permission.PRODUCT_VIEW)
    product = products.get(call.connection, call.organization_id, product_id)
    if product is None:
        raise not_found("Product")
    return product


def search(call: Call, *, after: int, limit: int) -> list[Any]:
    call.need(Permission.PRODUCT_VIEW)
    return products.listed(call.connection, call.organization_id, after=after, limit=limit)


def delete(call: Call, product_id: int) -> None:
    """Raises NOT_FOUND, or CONFLICT while devices or rollouts (also old ones) belong to it."""
    call.need(Permission.PRODUCT_EDIT)
    get(call, product_id)
    if products.is_used(call.connection, product_id):
        raise conflict("The product has devices or rollouts; a product with a history is kept.", "in_use")
    products.remove(call.connection, call.organization_id, product_id)


def check_time_zone(name: str) -> None:
    """Raises INVALID unless `name` is empty or an IANA time zone."""
    if name and not windows.is_zone(name):
        raise invalid("timeZone must be an IANA time zone such as Europe/Berlin.", "unknown_time_zone")

"""`/api/v1/products`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import Line, Name, ZoneName
from airfreight.apis.common.paging import After, Limit, Page, RowId, page
from airfreight.services import products

TAGS = ["Products"]


class ProductIn(In):
    name: Name
    description: Annotated[Line, msgspec.Meta(max_length=1000)] = ""
    time_zone: ZoneName = ""


class Product(Out):
    id: int
    name: str
    description: str
    time_zone: str
    created_at: Annotated[int, msgspec.Meta(description="Milliseconds since the epoch.")]


def shape(row: Any) -> Product:  # noqa: ANN401 - a row
    return Product(
        id=row.id, name=row.name, description=row.description, time_zone=row.time_zone, created_at=row.created_at
    )


@post("/", tags=TAGS, sync_to_thread=True)
def create_product(request: Request[Any, Any, Any], desk: NamedDependency[Desk], data: JSONBody[ProductIn]) -> Product:
    """Create a product. Needs `PRODUCT_EDIT`."""
    with desk.write(request) as call:
        return shape(products.create(call, name=data.name, description=data.description, time_zone=data.time_zone))


@get("/", tags=TAGS, sync_to_thread=True)
def list_products(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], limit: Limit = 50, after: After = 0
) -> Page[Product]:
    """List products, oldest first. Needs `PRODUCT_VIEW`."""
    with desk.read(request) as call:
        return page(products.search(call, after=after, limit=limit + 1), limit, shape)


@get("/{product_id:int}", tags=TAGS, sync_to_thread=True)
def get_product(request: Request[Any, Any, Any], desk: NamedDependency[Desk], product_id: RowId) -> Product:
    """Get a product. Needs `PRODUCT_VIEW`."""
    with desk.read(request) as call:
        return shape(products.get(call, product_id))


@delete("/{product_id:int}", tags=TAGS, sync_to_thread=True)
def delete_product(request: Request[Any, Any, Any], desk: NamedDependency[Desk], product_id: RowId) -> None:
    """Delete a product that has neither devices nor rollouts. Needs `PRODUCT_EDIT`."""
    with desk.write(request) as call:
        products.delete(call, product_id)


router = Router("/api/v1/products", route_handlers=[create_product, list_products, get_product, delete_product])

"""`/api/v1/products`."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import At, Line, Name, ZoneName
from airfreight.apis.common.paging import After, Limit, Page, RowId, page
from airfreight.domain.access import Permission
from airfreight.services import products

TAGS = ["Products"]


Words = Annotated[Line, msgspec.Meta(max_length=1000)]
Key = Annotated[str, msgspec.Meta(pattern=products.KEY, description="What firmware carries as its type.")]
AutoUpdate = Annotated[
    bool, msgspec.Meta(description="Whether its devices take updates by themselves, or wait for a person to say so.")
]
OrgIn = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1, description="Yours, or one below it.")]
OrgId = Annotated[int | None, QueryParameter(name="orgId", ge=1, le=2**31 - 1, description="Yours, or one below it.")]
Part = Annotated[
    str,
    msgspec.Meta(
        pattern=products.PART, description="What DDI devices are told that a file is for: `os`, `runtime`, ..."
    ),
]


class Chunks(StrEnum):
    """What DDI devices get of a rollout with several files: a chunk for each, or one with all of them."""

    EACH = "each"
    ONE = "one"


class ProductIn(In):
    name: Name
    description: Words = ""
    time_zone: ZoneName = ""
    key: Key | None = None
    auto_update: AutoUpdate = True
    part: Part = products.DEFAULT_PART
    chunks: Chunks = Chunks.EACH
    org_id: OrgIn | None = None


class ProductChange(In):
    """What is absent (or null) stays as it is."""

    name: Name | None = None
    description: Words | None = None
    time_zone: ZoneName | None = None
    auto_update: AutoUpdate | None = None
    part: Part | None = None
    chunks: Chunks | None = None


class Product(Out):
    id: int
    organization_id: int
    name: str
    description: str
    time_zone: str
    key: Key
    auto_update: AutoUpdate
    part: Part
    chunks: Chunks
    created_at: At
    changed_at: At


def shape(row: Any) -> Product:  # noqa: ANN401 - a row
    same = [name for name in Product.__struct_fields__ if name != "chunks"]
    return Product(**{name: getattr(row, name) for name in same}, chunks=Chunks.ONE if row.one_part else Chunks.EACH)


@post("/", need=Permission.PRODUCT_EDIT, tags=TAGS, sync_to_thread=True)
def create_product(request: Request[Any, Any, Any], desk: NamedDependency[Desk], data: JSONBody[ProductIn]) -> Product:
    """Create a product. Needs `PRODUCT_EDIT`."""
    with desk.write(request, data.org_id) as call:
        row = products.create(
            call,
            name=data.name,
            description=data.description,
            time_zone=data.time_zone,
            key=data.key or "",
            auto_update=data.auto_update,
            part=data.part,
            one_part=data.chunks is Chunks.ONE,
        )
        return shape(row)


@get("/", need=Permission.PRODUCT_VIEW, tags=TAGS, sync_to_thread=True)
def list_products(
    request: Request[Any, Any, Any],
    desk: NamedDependency[Desk],
    org_id: OrgId = None,
    limit: Limit = 50,
    after: After = 0,
) -> Page[Product]:
    """List the products of an organization, oldest first. Needs `PRODUCT_VIEW`."""
    with desk.read(request, org_id) as call:
        return page(products.search(call, after=after, limit=limit + 1), limit, shape)


@get("/{product_id:int}", need=Permission.PRODUCT_VIEW, tags=TAGS, sync_to_thread=True)
def get_product(request: Request[Any, Any, Any], desk: NamedDependency[Desk], product_id: RowId) -> Product:
    """Get a product. Needs `PRODUCT_VIEW`."""
    with desk.read(request) as call:
        return shape(products.get(call, product_id))


@patch("/{product_id:int}", need=Permission.PRODUCT_EDIT, tags=TAGS, sync_to_thread=True)
def change_product(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], product_id: RowId, data: JSONBody[ProductChange]
) -> Product:
    """Change a product. Needs `PRODUCT_EDIT`. Waiting devices are decided for again."""
    given = msgspec.structs.asdict(data)
    chunks = given.pop("chunks")
    with desk.write(request) as call:
        row = products.change(call, product_id, **given, one_part=None if chunks is None else chunks is Chunks.ONE)
        return shape(row)


@delete("/{product_id:int}", need=Permission.PRODUCT_EDIT, tags=TAGS, sync_to_thread=True)
def delete_product(request: Request[Any, Any, Any], desk: NamedDependency[Desk], product_id: RowId) -> None:
    """Delete a product that has neither devices nor rollouts. Needs `PRODUCT_EDIT`."""
    with desk.write(request) as call:
        products.delete(call, product_id)


router = Router(
    "/api/v1/products",
    route_handlers=[create_product, list_products, get_product, change_product, delete_product],
)

"""Templates: what this door calls a product. A template is named by its number or by its `TMPL...`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import At, Line, Name, ZoneName
from airfreight.apis.shipments.platform.metafields import MetaField, template_fields
from airfreight.apis.shipments.platform.paging import DEFAULT_SIZE, Content, PageNumber, PageSize, content
from airfreight.apis.shipments.routes import OrgId
from airfreight.domain.access import Permission
from airfreight.services import products
from airfreight.services.call import Call

TAGS = ["Templates"]
WHAT = "Template"
Asked = Request[Any, Any, Any]

Key = Annotated[str, msgspec.Meta(pattern=products.KEY, description="The `TMPL...` that firmware carries.")]
OrgIn = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1, description="Yours, or one below it.")]
Words = Annotated[Line, msgspec.Meta(max_length=1000)]
Short = Annotated[Line, msgspec.Meta(max_length=64)]
Logo = Annotated[
    str, msgspec.Meta(max_length=500, pattern=r"^(https?://[!-~]+)?(?![\s\S])", description="A web address.")
]
Control = Annotated[
    bool, msgspec.Meta(description="Whether its devices take updates by themselves, or wait for a person to say so.")
]
TemplateRef = Annotated[
    str,
    QueryParameter(
        name="templateId",
        pattern=r"^(0|[1-9][0-9]{0,9}|TMPL[A-Za-z0-9_-]{1,28})(?![\s\S])",
        description="The number, or the `TMPL...`, of a template.",
    ),
]


class TemplateCreate(In):
    name: Name
    org_id: OrgIn | msgspec.UnsetType = msgspec.UNSET
    template_id: Key | msgspec.UnsetType = msgspec.UNSET
    description: Words = ""
    tz: ZoneName = ""
    firmware_update_control: Control = True
    board_type: Short = ""
    connection_type: Short = ""
    logo_url: Logo = ""


class TemplateChange(In):
    """What is absent stays as it is; empty text removes."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    description: Words | msgspec.UnsetType = msgspec.UNSET
    tz: ZoneName | msgspec.UnsetType = msgspec.UNSET
    firmware_update_control: Control | msgspec.UnsetType = msgspec.UNSET
    board_type: Short | msgspec.UnsetType = msgspec.UNSET
    connection_type: Short | msgspec.UnsetType = msgspec.UNSET
    logo_url: Logo | msgspec.UnsetType = msgspec.UNSET


class Template(Out):
    """`parentId` is always null: a template belongs to one organization and is not handed down."""

    id: int
    template_ids: list[str]
    parent_id: int | None
    org_id: int
    name: str


class TemplateDetails(Template):
    description: str
    tz: str
    firmware_update_control: Control
    board_type: str
    connection_type: str
    logo_url: str
    created_at: At
    last_modified_ts: At


_DETAILS = {"board_type": "boardType", "connection_type": "connectionType", "logo_url": "logoUrl"}
"""The shown-only ones: name in the Struct, name on the wire and in the row."""


def brief(row: Any) -> Template:  # noqa: ANN401 - a row
    return Template(**_common(row))


def details(row: Any) -> TemplateDetails:  # noqa: ANN401 - a row
    stored = products.shown_details(row)
    shown: dict[str, Any] = {name: stored.get(key, "") for name, key in _DETAILS.items()}
    return TemplateDetails(
        **_common(row),
        description=row.description,
        tz=row.time_zone,
        firmware_update_control=bool(row.auto_update),
        created_at=row.created_at,
        last_modified_ts=row.changed_at,
        **shown,
    )


def _common(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row
    return {
        "id": row.id,
        "template_ids": [row.key],
        "parent_id": None,
        "org_id": row.organization_id,
        "name": row.name,
    }


def number(call: Call, reference: str) -> int:
    """The id of the template that a number or a `TMPL...` means; 0, which no template has, when there is none."""
    return int(reference) if reference.isdigit() else products.id_of_key(call, reference)


def _shown_only(given: dict[str, Any]) -> dict[str, str]:
    return {stored: given[name] for name, stored in _DETAILS.items() if name in given}


@get("/templates", operation_id="getTemplates", need=Permission.PRODUCT_VIEW, tags=TAGS, sync_to_thread=True)
def get_templates(
    request: Asked,
    desk: NamedDependency[Desk],
    org_id: OrgId = None,
    page: PageNumber = 0,
    size: PageSize = DEFAULT_SIZE,
) -> Content[Template]:
    """List the templates of an organization, oldest first. Needs `PRODUCT_VIEW`."""
    with desk.read(request, org_id) as call:
        return content(*products.paged(call, skip=page * size, limit=size), brief)


@get("/template", operation_id="getTemplate", need=Permission.PRODUCT_VIEW, tags=TAGS, sync_to_thread=True)
def get_template(
    request: Asked, desk: NamedDependency[Desk], template_id: TemplateRef, org_id: OrgId = None
) -> TemplateDetails:
    """Get a template. Needs `PRODUCT_VIEW`."""
    with desk.read(request, org_id) as call:
        return details(products.get(call, number(call, template_id), what=WHAT))


@post("/template/create", operation_id="createTemplate", need=Permission.PRODUCT_EDIT, tags=TAGS, sync_to_thread=True)
def create_template(request: Asked, desk: NamedDependency[Desk], data: JSONBody[TemplateCreate]) -> TemplateDetails:
    """Create a template. Needs `PRODUCT_EDIT`. Give it the `templateId` that firmware in the field has, if any."""
    with desk.write(request, data.org_id or None) as call:
        products.check_time_zone(data.tz, "tz")
        row = products.create(
            call,
            name=data.name,
            description=data.description,
            time_zone=data.tz,
            key=data.template_id or "",
            auto_update=data.firmware_update_control,
            details=_shown_only(msgspec.structs.asdict(data)),
        )
        return details(row)


@put("/template", operation_id="updateTemplate", need=Permission.PRODUCT_EDIT, tags=TAGS, sync_to_thread=True)
def update_template(
    request: Asked,
    desk: NamedDependency[Desk],
    template_id: TemplateRef,
    data: JSONBody[TemplateChange],
    org_id: OrgId = None,
) -> TemplateDetails:
    """Change a template. Needs `PRODUCT_EDIT`. Waiting devices are decided for again."""
    given = {name: value for name, value in msgspec.structs.asdict(data).items() if value is not msgspec.UNSET}
    with desk.write(request, org_id) as call:
        products.check_time_zone(given.get("tz", ""), "tz")
        row = products.change(
            call,
            number(call, template_id),
            name=given.get("name"),
            description=given.get("description"),
            time_zone=given.get("tz"),
            auto_update=given.get("firmware_update_control"),
            details=_shown_only(given),
            what=WHAT,
        )
        return details(row)


@delete("/template", operation_id="deleteTemplate", need=Permission.PRODUCT_EDIT, tags=TAGS, sync_to_thread=True)
def delete_template(
    request: Asked, desk: NamedDependency[Desk], template_id: TemplateRef, org_id: OrgId = None
) -> None:
    """Delete a template that never had a device or a shipment. Needs `PRODUCT_EDIT`."""
    with desk.write(request, org_id) as call:
        products.delete(call, number(call, template_id), what=WHAT)


@get(
    "/template/metafields",
    operation_id="getTemplateMetafields",
    need=Permission.PRODUCT_VIEW,
    tags=TAGS,
    sync_to_thread=True,
)
def get_template_metafields(
    request: Asked, desk: NamedDependency[Desk], template_id: TemplateRef, org_id: OrgId = None
) -> list[MetaField]:
    """Get what the devices of a template have by default. Needs `PRODUCT_VIEW`."""
    with desk.read(request, org_id) as call:
        return template_fields(products.get(call, number(call, template_id), what=WHAT))


HANDLERS = [get_templates, get_template, create_template, update_template, delete_template, get_template_metafields]

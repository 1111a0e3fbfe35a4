"""The five Shipments operations. Each parses, calls one verb and answers; no rule lives here."""

from typing import Annotated, Any

from litestar import Request, Router, delete, get, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody, QueryParameter

from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.errors import ErrorResponse
from airfreight.apis.shipments import translate
from airfreight.apis.shipments.shapes import ORG_ID_WORDS, Shipment, ShipmentCreate
from airfreight.domain.access import Permission
from airfreight.domain.errors import Kind
from airfreight.services import artifacts, rollouts
from airfreight.services.rollouts import Cargo

ORIGIN = "shipments"
TAGS = ["Shipments"]
_WHAT = "Shipment"

OrgId = Annotated[
    int | None,
    QueryParameter(name="orgId", ge=1, le=2**31 - 1, description=ORG_ID_WORDS, schema_extra={"format": "int32"}),
]
ShipmentId = Annotated[
    int,
    QueryParameter(name="shipmentId", ge=1, le=2**63 - 1, description="Shipment ID", schema_extra={"format": "int64"}),
]

_NOT_FOUND = "Shipment not found or access denied"


def _errors(not_found: str = _NOT_FOUND) -> dict[int, ResponseSpec]:
    return {
        400: ResponseSpec(ErrorResponse, description="Bad request", generate_examples=False),
        401: ResponseSpec(ErrorResponse, description="The bearer token is missing or expired", generate_examples=False),
        403: ResponseSpec(ErrorResponse, description="Forbidden", generate_examples=False),
        404: ResponseSpec(ErrorResponse, description=not_found, generate_examples=False),
        429: ResponseSpec(ErrorResponse, description="Too many requests", generate_examples=False),
        500: ResponseSpec(ErrorResponse, description="Internal server error", generate_examples=False),
    }


Asked = Request[Any, Any, Any]


@get(
    "/shipments",
    operation_id="getShipments",
    need=Permission.OTA_VIEW,
    tags=TAGS,
    response_description="List of shipments",
    responses=_errors("Organization not found or access denied"),
    sync_to_thread=True,
)
def get_shipments(request: Asked, desk: NamedDependency[Desk], org_id: OrgId = None) -> list[Shipment]:
    """Get shipments.

    Retrieve all OTA shipments in the organization.

    Required permissions, when user-scoped authentication is used: `OTA_VIEW`.
    """
    with desk.read(request, org_id) as call:
        return [translate.shipment(view) for view in rollouts.search(call, origin=ORIGIN)]


@get(
    "/shipment",
    operation_id="getShipment",
    need=Permission.OTA_VIEW,
    tags=TAGS,
    response_description="Shipment details",
    responses=_errors(),
    sync_to_thread=True,
)
def get_shipment(
    request: Asked, desk: NamedDependency[Desk], shipment_id: ShipmentId, org_id: OrgId = None
) -> Shipment:
    """Get shipment.

    Retrieve a single shipment by ID.

    Required permissions, when user-scoped authentication is used: `OTA_VIEW`.
    """
    with desk.read(request, org_id) as call:
        return translate.shipment(rollouts.get(call, shipment_id, origin=ORIGIN, what=_WHAT))


@post(
    "/shipment/create",
    operation_id="createShipment",
    need=Permission.OTA_START,
    tags=TAGS,
    response_description="Shipment created successfully",
    responses=_errors("Organization or product not found"),
    sync_to_thread=True,
)
def create_shipment(request: Asked, desk: NamedDependency[Desk], data: JSONBody[ShipmentCreate]) -> Shipment:
    """Create shipment.

    Create a new OTA firmware update shipment.

    Required permissions, when user-scoped authentication is used: `OTA_START`.

    Note: `sendPush` is not supported via the Platform API and is always set to `false`.
    """
    with desk.write(request, data.orgId or None) as call:
        artifact = artifacts.by_path(call, data.pathToFirmware)
        cargo = Cargo(
            artifact.id,
            artifacts.check_filename(data.firmwareOriginalFileName, "firmwareOriginalFileName"),
            artifacts.confirm(artifact, translate.claims(data.firmwareInfo)),
        )
        shipment_id = rollouts.create(
            call,
            origin=ORIGIN,
            title=data.title,
            product_id=data.productId or None,
            device_ids=data.deviceIds or [],
            cargo=[cargo],
            policy=translate.policy(data),
        )
        return translate.shipment(rollouts.get(call, shipment_id, need=Permission.OTA_START))


@put(
    "/shipment/stop",
    operation_id="stopShipment",
    need=Permission.OTA_CANCEL,
    tags=TAGS,
    response_description="Shipment stopped successfully",
    responses=_errors(),
    sync_to_thread=True,
)
def stop_shipment(
    request: Asked, desk: NamedDependency[Desk], shipment_id: ShipmentId, org_id: OrgId = None
) -> Shipment:
    """Stop shipment.

    Stop (cancel) a running or paused shipment. Only shipments with status `RUN` or `PAUSE` can be stopped.

    Required permissions, when user-scoped authentication is used: `OTA_CANCEL`.
    """
    with desk.write(request, org_id) as call:
        rollouts.stop(call, shipment_id, what=_WHAT, origin=ORIGIN)
    rollouts.carry_out_now(desk.database, desk.settings, "rollout.wind_down", shipment_id, clock())
    with desk.read(request, org_id) as call:
        return translate.shipment(rollouts.get(call, shipment_id, what=_WHAT, need=Permission.OTA_CANCEL))


@delete(
    "/shipment",
    operation_id="deleteShipment",
    need=Permission.OTA_CANCEL,
    tags=TAGS,
    response_description="Shipment deleted successfully",
    responses=_errors(),
    sync_to_thread=True,
)
def delete_shipment(request: Asked, desk: NamedDependency[Desk], shipment_id: ShipmentId, org_id: OrgId = None) -> None:
    """Delete shipment.

    Delete a finished or cancelled shipment by ID. Only shipments with status `FINISH` or `CANCEL` can be deleted.

    Required permissions, when user-scoped authentication is used: `OTA_CANCEL`.
    """
    with desk.write(request, org_id) as call:
        rollouts.delete(call, shipment_id, what=_WHAT, origin=ORIGIN)


router = Router(
    "/api/v1/organization",
    route_handlers=[get_shipments, get_shipment, create_shipment, stop_shipment, delete_shipment],
    opt={"statuses": {Kind.CONFLICT: 400}},
)

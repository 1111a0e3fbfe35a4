"""Notification destinations: the core's webhooks, by the names of this door. Each route calls one verb.

Trying one out, its log and sending again are the native API's, and the command's (docs/webhooks.md).
"""

from typing import Annotated, Any

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter
from msgspec import UNSET

from airfreight.apis.campaigns import translate
from airfreight.apis.campaigns.errors import Asked
from airfreight.apis.campaigns.routes_campaigns import EACH
from airfreight.apis.campaigns.shapes import (
    UUID,
    Destination,
    DestinationChange,
    DestinationDraft,
    DestinationPage,
    Done,
    MadeDestination,
)
from airfreight.apis.campaigns.wire import DEFAULT_SIZE, Number, Size, page_info, paged, reading, writing
from airfreight.apis.common.desk import Desk
from airfreight.domain.access import Permission
from airfreight.domain.errors import invalid
from airfreight.domain.webhooks import Place
from airfreight.services import webhooks

DestinationId = Annotated[str, PathParameter(description="The destination's id.", schema_extra={"pattern": UUID})]
_ONE = "/notification-destinations/{destination_id:str}"
_PLAIN, _SECURE = "http", "https"


def _said(value: Any) -> Any:  # noqa: ANN401 - of whatever type it has
    return None if value is UNSET else value


def _place(data: DestinationDraft | DestinationChange, old: Place | None = None) -> Place:
    """NO_CERT is plain http; with TLS the connection is https, and checked."""
    scheme = old.scheme if old else _PLAIN
    if data.ssl_tls_version is not UNSET:
        scheme = _PLAIN if data.ssl_tls_version == "NO_CERT" else _SECURE
    host = data.host if data.host is not UNSET else old.host if old else ""
    port = data.port if data.port is not UNSET else old.port if old else 0
    return webhooks.place_of_parts(scheme, host, port, old.path if old else "/")


def _login(data: DestinationDraft | DestinationChange, old: str = "") -> tuple[str | None, str | None]:
    """User name and password as the authentication has them, None for what stays. Raises INVALID for BASIC without."""
    if data.authentication_type == "NO_AUTH":
        return "", None
    if data.authentication_type == "BASIC" and not (old if data.username is UNSET else data.username):
        raise invalid("BASIC needs username and password.", "bad_login")
    return _said(data.username), _said(data.password)


def _shown(row: Any) -> Destination:  # noqa: ANN401 - a row
    return Destination(
        id=row.uid,
        name=row.name,
        description=row.description,
        protocol="HTTP",
        host=row.host,
        port=row.port,
        ssl_tls_version="TLS1_2" if row.scheme == _SECURE else "NO_CERT",
        certificate=row.certificate,
        authentication_type="BASIC" if row.username else "NO_AUTH",
        username=row.username,
        org_id=str(row.organization_id),
        created_by=row.created_by,
        created_time=str(row.created_at),
        last_updated_by=row.changed_by,
        last_updated_time=str(row.changed_at or row.created_at),
        update_version=row.version,
    )


@post("/notification-destinations", operation_id="createNotificationDestination", need=Permission.WEBHOOK_EDIT, **EACH)
def create_destination(
    request: Asked, desk: NamedDependency[Desk], data: JSONBody[DestinationDraft]
) -> MadeDestination:
    """Make a destination of callbacks. Needs `WEBHOOK_EDIT` (Create Notification Destination)."""
    username, password = _login(data)
    with writing(desk, request) as call:
        row, _ = webhooks.create(
            call,
            name=data.name,
            place=_place(data),
            description=data.description,
            username=username or "",
            password=password or "",
            certificate=data.certificate,
            signed=False,
        )
    return MadeDestination(id=row.uid)


@get("/notification-destinations", operation_id="listNotificationDestinations", need=Permission.WEBHOOK_VIEW, **EACH)
def list_destinations(
    request: Asked, desk: NamedDependency[Desk], number: Number = 1, size: Size = DEFAULT_SIZE
) -> DestinationPage:
    """All of them. Needs `WEBHOOK_VIEW` (View Notification Destination)."""
    number, size = paged(request, number, size)
    with reading(desk, request) as call:
        rows, total = webhooks.paged(call, skip=(number - 1) * size, limit=size)
    return DestinationPage(
        page_info=page_info(number, size, total), notification_destinations=[_shown(row) for row in rows]
    )


@get(_ONE, operation_id="getNotificationDestination", need=Permission.WEBHOOK_VIEW, **EACH)
def get_destination(request: Asked, desk: NamedDependency[Desk], destination_id: DestinationId) -> Destination:
    """One of them; its password is never shown. Needs `WEBHOOK_VIEW` (View Notification Destination)."""
    with reading(desk, request) as call:
        return _shown(webhooks.destination_of(call, destination_id, Permission.WEBHOOK_VIEW))


@put(_ONE, operation_id="changeNotificationDestination", need=Permission.WEBHOOK_EDIT, **EACH)
def change_destination(
    request: Asked, desk: NamedDependency[Desk], destination_id: DestinationId, data: JSONBody[DestinationChange]
) -> MadeDestination:
    """Change it. Needs `WEBHOOK_EDIT` (Edit Notification Destination).

    A kept password is not told to another server: with another host or port send it again.
    """
    translate.same(destination_id, data.id, "id")
    with writing(desk, request) as call:
        row = webhooks.destination_of(call, destination_id, Permission.WEBHOOK_EDIT)
        username, password = _login(data, row.username)
        webhooks.change(
            call,
            row.id,
            name=_said(data.name),
            description=_said(data.description),
            place=_place(data, webhooks.place_of_row(row)),
            username=username,
            password=password,
            certificate=_said(data.certificate),
        )
    return MadeDestination(id=row.uid)


@delete(_ONE, operation_id="deleteNotificationDestination", need=Permission.WEBHOOK_EDIT, **EACH)
def delete_destination(request: Asked, desk: NamedDependency[Desk], destination_id: DestinationId) -> Done:
    """Remove it, with what waits for it. Needs `WEBHOOK_EDIT` (Delete Notification Destination)."""
    with writing(desk, request) as call:
        webhooks.delete(call, webhooks.destination_of(call, destination_id, Permission.WEBHOOK_EDIT).id)
    return Done()


HANDLERS = [create_destination, list_destinations, get_destination, change_destination, delete_destination]

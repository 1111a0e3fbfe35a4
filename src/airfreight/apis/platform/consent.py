"""`POST /api/v1/devices/{id}/consent`: the device's user wants the update that waits, now."""

from typing import Any

from litestar import Request, Router, post
from litestar.di import NamedDependency

from airfreight.apis.common.body import Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.paging import RowId
from airfreight.domain.access import Permission
from airfreight.services import deliveries


class Consented(Out):
    """The delivery that need not wait for opt-out and window any more."""

    delivery_id: int


@post("/{device_id:int}/consent", need=Permission.DEVICE_EDIT, tags=["Devices"], status_code=200, sync_to_thread=True)
def consent(request: Request[Any, Any, Any], desk: NamedDependency[Desk], device_id: RowId) -> Consented:
    """Say that the device's user wants the waiting update now. Needs `DEVICE_EDIT`.

    Neither switched-off automatic updates nor the window hold it any more.
    """
    with desk.write(request) as call:
        return Consented(delivery_id=deliveries.consent(call, device_id))


router = Router("/api/v1/devices", route_handlers=[consent])

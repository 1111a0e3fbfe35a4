"""The routes of this door for people, for app.py."""

from litestar import Router
from litestar.exceptions import HTTPException

from airfreight.apis.common.asgi import Disconnected
from airfreight.apis.device_ota import devices, groups, operators, sign_in
from airfreight.apis.device_ota.errors import on_crash, on_gone, on_http, on_refusal
from airfreight.domain.errors import Refusal

ROUTERS = [
    Router(
        "/v1",
        route_handlers=[
            sign_in.sign_in,
            operators.get_otas,
            operators.make_ota,
            devices.get_devices,
            devices.make_device,
            devices.get_device,
            devices.change_device,
            devices.remove_device,
            groups.get_group_otas,
            groups.make_group_ota,
            groups.get_groups,
            groups.make_group,
            groups.get_group,
            groups.change_group,
            groups.remove_group,
            groups.get_group_devices,
        ],
        exception_handlers={Refusal: on_refusal, Disconnected: on_gone, HTTPException: on_http, Exception: on_crash},
    )
]

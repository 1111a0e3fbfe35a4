"""The routes of this door, for app.py."""

from typing import Any

from litestar import Router
from litestar.exceptions import HTTPException

from airfreight.apis.campaigns import (
    routes_callbacks,
    routes_campaigns,
    routes_destinations,
    routes_gateways,
    routes_packages,
    routes_settings,
    routes_things,
    routes_tokens,
)
from airfreight.apis.campaigns.errors import (
    UnknownVersion,
    on_crash,
    on_gone,
    on_http,
    on_refusal,
    on_version,
)
from airfreight.apis.campaigns.wire import EitherCase, check_version
from airfreight.apis.common.asgi import Disconnected
from airfreight.domain.errors import Refusal

_EACH: dict[str, Any] = {
    "dto": EitherCase,
    "guards": [check_version],
    "exception_handlers": {
        Refusal: on_refusal,
        Disconnected: on_gone,
        UnknownVersion: on_version,
        HTTPException: on_http,
        Exception: on_crash,
    },
}

ROUTERS = [
    Router(
        "/api",
        route_handlers=[
            *routes_campaigns.HANDLERS,
            *routes_gateways.HANDLERS,
            *routes_callbacks.HANDLERS,
            *routes_destinations.HANDLERS,
            *routes_packages.HANDLERS,
            *routes_settings.HANDLERS,
            *routes_tokens.HANDLERS,
            *routes_things.HANDLERS,
        ],
        **_EACH,
    ),
    Router("/", route_handlers=routes_things.AT_THE_ROOT, **_EACH),
]

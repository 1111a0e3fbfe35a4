"""The operator plane: one Litestar app that carries every door for people and their scripts."""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar
from litestar.datastructures import ResponseHeader
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Server
from litestar.routes import HTTPRoute

from airfreight.apis.common.asgi import Disconnected
from airfreight.apis.common.body import Body
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.errors import on_crash, on_gone, on_http, on_refusal
from airfreight.apis.common.query import QueryCheck
from airfreight.domain.errors import Refusal

HIDDEN = "/schema"
"""Where Litestar puts its own OpenAPI pages."""

_DESCRIPTION = "Over-the-air updates: organizations, products, devices, artifacts, rollouts, and the Shipments API."


def operator_app(desk: Desk, routes: Sequence[Any], version: str, on_stray: Any = on_http) -> Litestar:  # noqa: ANN401
    """All operator routes with strict bodies, one error shape and one OpenAPI document.

    `on_stray` answers where no route is; doors with a shape of their own bring handlers for their routes.
    """
    app = Litestar(
        route_handlers=list(routes),
        guards=[desk.let_in, QueryCheck()],
        dto=Body,
        return_dto=None,
        dependencies={"desk": Provide(lambda: desk, sync_to_thread=False, use_cache=True)},
        exception_handlers={Refusal: on_refusal, Disconnected: on_gone, HTTPException: on_stray, Exception: on_crash},
        request_max_body_size=desk.settings.max_body_bytes,
        response_headers=[ResponseHeader(name="Cache-Control", value="no-store")],
        openapi_config=OpenAPIConfig(
            title="Airfreight",
            version=version,
            description=_DESCRIPTION,
            servers=[Server(url="/")],
            components=Components(security_schemes={"bearerAuth": SecurityScheme(type="http", scheme="bearer")}),
            security=[{"bearerAuth": []}],
            # hidden by app.py, which serves a better document; without a plugin there would be seven more to hide
            path=HIDDEN,
            render_plugins=(JsonRenderPlugin(path="/openapi.json"),),
        ),
        logging_config=None,
        debug=False,
    )
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            _tell_all_methods(app, route)
    return app


def _tell_all_methods(app: Litestar, route: HTTPRoute) -> None:
    """Litestar's answer to OPTIONS knows only the methods of the first handler that an address was given.

    An address that has an answer of its own keeps it.
    """
    if route.route_handler_map["OPTIONS"][0].opt.get("answers_options"):
        return
    handler = route.create_options_handler(route.path)
    handler.owner = app
    handler.on_registration(app)
    route.route_handler_map["OPTIONS"] = handler, handler.create_kwargs_model(path_parameters=route.path_parameters)

"""The routes of this folder, for app.py. Their contract has no 409, as that of the shipments: a conflict is a 400."""

from litestar import Router

from airfreight.apis.shipments.platform import clients, devices, metafields, organization, templates, users
from airfreight.domain.errors import Kind

ROUTERS = [
    Router(
        "/api/v1/organization",
        route_handlers=[
            *organization.HANDLERS,
            *users.HANDLERS,
            *clients.HANDLERS,
            *templates.HANDLERS,
            *devices.HANDLERS,
            *metafields.HANDLERS,
        ],
        opt={"statuses": {Kind.CONFLICT: 400}},
    ),
    Router("/api/v2/organization", route_handlers=devices.HANDLERS_V2),
]

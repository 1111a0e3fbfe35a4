"""Walks every route of the operator app that has an id in its path, as a stranger and as nobody.

New routes are walked without a change here; a new kind of id needs a line in `World.make`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from litestar import Litestar
from litestar.routes import HTTPRoute
from tests.platform.conftest import PASSWORD, World

CAMPAIGN = "/api/campaigns/{campaign_id:str}"
THINGS = {"gateway_things": [{"gateway_id": "x", "thing_ids": ["y"]}]}
BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/api/v1/users/{user_id:int}"): {"name": "x"},
    ("PATCH", "/api/v1/products/{product_id:int}"): {"name": "x"},
    ("PATCH", "/api/v1/devices/{device_id:int}"): {"name": "x", "attributes": {"floor": 1}, "ownerUserId": None},
    ("PATCH", "/api/v1/organizations/{organization_id:int}"): {"name": "x"},
    ("PATCH", "/api/v1/groups/{group_id:int}"): {"name": "x", "filter": "online"},
    ("POST", "/api/v1/users/{user_id:int}/transfer"): {"orgId": 1},
    ("POST", "/api/v1/rollouts/{rollout_id:int}/clone"): {},
    ("PUT", "/api/v1/devices/{device_id:int}/auto-confirm"): {"active": True},
    ("PATCH", "/api/v1/webhooks/{webhook_id:int}"): {"name": "x"},
    ("PUT", f"{CAMPAIGN}"): {"updateSpec": {"name": "x"}},
    ("PUT", f"{CAMPAIGN}/devices"): {"gatewayIds": ["x"]},
    ("POST", f"{CAMPAIGN}/devices"): {"gatewayIds": ["x"]},
    ("POST", f"{CAMPAIGN}/devices/things"): THINGS,
    ("POST", "/{campaign_id:str}/devices/things"): THINGS,
    ("PUT", f"{CAMPAIGN}/devices/{{gateway_id:str}}/packages"): {"packages": []},
    ("PUT", f"{CAMPAIGN}/distribution-list"): {"distributionListId": ""},
    ("PUT", "/api/organizations/{organization_id:str}/settings"): [{"category": "campaign", "settings": {}}],
    ("PUT", "/api/notification-destinations/{destination_id:str}"): {"name": "x"},
} | {
    ("PUT", f"{CAMPAIGN}/callbacks/{kind}"): {"notificationDestinationId": ""}
    for kind in ("completed", "wake-up", "state-change", "execution-progress", "download-progress")
}
MISSING = 2**31 - 1


def routes(app: Litestar) -> Iterator[tuple[str, str]]:
    """(method, path) of every route, but not of those that the framework adds to serve the OpenAPI document."""
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if not handler.fn.__module__.startswith(("litestar._openapi", "litestar.routes")):
                yield from ((method, route.path) for method in sorted(handler.http_methods))


def routes_with_ids(app: Litestar) -> Iterator[tuple[str, str, list[str]]]:
    """(method, path, kinds of the ids in it)."""
    return ((method, path, kinds_of(path)) for method, path in routes(app) if kinds_of(path))


def kinds_of(path: str) -> list[str]:
    return [name.removesuffix("_id") for name in re.findall(r"{(\w+):\w+}", path)]


def fill(path: str, ids: Sequence[int | str]) -> str:
    numbers = iter(ids)
    return re.sub(r"{\w+:\w+}", lambda _: str(next(numbers)), path)


def test_an_id_of_another_organization_is_answered_exactly_like_a_missing_one(app: Litestar, world: World) -> None:
    walked = 0
    for method, path, kinds in routes_with_ids(app):
        body: dict[str, Any] = {"json": BODIES[method, path]} if (method, path) in BODIES else {}
        yours = fill(path, world.make_all(kinds))
        missing = fill(path, [MISSING] * len(kinds))
        for who in ("client", "admin"):
            stranger = world.call(method, yours, who, world.other, **body)
            nobody = world.call(method, missing, who, world.other, **body)
            assert stranger.status_code == 404, (method, path, who, stranger.text)
            assert stranger.content == nobody.content, (method, path)
            assert stranger.headers["x-error-code"] == "not_found"
        walked += 1
    assert walked >= 21


def test_a_stranger_changes_nothing(app: Litestar, world: World) -> None:
    ids = {kind: world.make(kind) for kind in ("organization", "user", "client", "key", "product", "device")}
    for method, path, kinds in routes_with_ids(app):
        if set(kinds) <= set(ids):
            world.call(method, fill(path, [ids[kind] for kind in kinds]), "client", world.other, json={})
    for kind, plural in (
        ("organization", "organizations"),
        ("user", "users"),
        ("product", "products"),
        ("device", "devices"),
    ):
        assert world.get(f"/api/v1/{plural}/{ids[kind]}")["id"] == ids[kind]
    for kind, plural in (("client", "clients"), ("key", "enrollment-keys")):
        assert ids[kind] in [item["id"] for item in world.get(f"/api/v1/{plural}")["items"]]


def test_without_a_token_every_route_with_an_id_is_closed(app: Litestar, world: World) -> None:
    for method, path, kinds in routes_with_ids(app):
        body: dict[str, Any] = {"json": BODIES[method, path]} if (method, path) in BODIES else {}
        yours = fill(path, world.make_all(kinds))
        refresh = world.token("client_credentials").json()["refresh_token"]
        for header in (
            None,
            "Bearer",
            "Bearer  ",
            "Bearer x",
            f"Basic {world.home.tokens['admin']}",
            "Bearer \u00fc",
            f"Bearer {'x' * 5000}",
            f"Bearer {refresh}",
        ):
            headers = {} if header is None else {"Authorization": header.encode()}
            answer = world.call(method, yours, None, headers=headers, **body)
            assert answer.status_code == 401, (method, path, header, answer.text)
            assert answer.headers["www-authenticate"] == "Bearer"


def test_lists_show_nothing_of_another_organization(world: World) -> None:
    for kind in ("organization", "user", "client", "key", "product", "device"):
        world.make(kind)
    lists = ("organizations", "users", "clients", "enrollment-keys", "products", "devices")
    own = {"organizations": 1, "users": 3, "clients": 1}
    for name in lists:
        items = world.get(f"/api/v1/{name}?limit=500", "client", world.other)["items"]
        assert len(items) == own.get(name, 0), (name, items)


def test_another_organizations_ids_in_a_body_or_a_query_are_missing_ones(world: World) -> None:
    product = world.make("product")
    organization = world.make("organization")
    uses: list[tuple[str, str, dict[str, object]]] = [
        ("POST", "/api/v1/devices", {"productId": product}),
        ("POST", "/api/v1/devices/bulk", {"productId": product, "count": 1}),
        ("POST", "/api/v1/organizations", {"name": "x", "parentId": organization}),
        ("POST", "/api/v1/organizations", {"name": "x", "parentId": world.home.organization_id}),
        ("POST", "/api/v1/users", {"email": "x@y.z", "password": PASSWORD, "role": "user", "orgId": organization}),
        ("POST", "/api/v1/users/invite", {"email": "x@y.z", "role": "user", "orgId": world.home.organization_id}),
        ("POST", f"/api/v1/users/{world.other.users['user']}/transfer", {"orgId": organization}),
        ("POST", "/api/v1/clients", {"name": "x", "orgId": organization}),
    ]
    for method, path, body in uses:
        stranger = world.call(method, path, "client", world.other, json=body)
        missing = world.call(
            method, path, "client", world.other, json={k: MISSING if k.endswith("Id") else v for k, v in body.items()}
        )
        assert stranger.status_code == 404, (path, stranger.text)
        assert stranger.content == missing.content
    world.make("device")
    assert world.get(f"/api/v1/devices?productId={product}", "client", world.other) == {"items": [], "next": None}

"""Every operator route x every role: who may. A route that is not in the table fails the test."""

import uuid
from typing import Any

from litestar import Litestar
from tests.platform.conftest import PASSWORD, World
from tests.platform.test_strangers import fill, kinds_of, routes

ROLES = ("client", "admin", "staff", "user")
ALL, STAFF, ADMIN = set(ROLES), {"client", "admin", "staff"}, {"client", "admin"}

API = "/api/v1"


class Headers(dict[str, str]):
    """What a request says that has no JSON."""


TABLE: dict[tuple[str, str], tuple[set[str], Any]] = {
    ("GET", f"{API}/me"): (ALL, None),
    ("GET", f"{API}/organizations"): (ALL, None),
    ("POST", f"{API}/organizations"): (ADMIN, {"name": "x"}),
    ("GET", f"{API}/organizations/{{organization_id:int}}"): (ALL, None),
    ("PATCH", f"{API}/organizations/{{organization_id:int}}"): (ADMIN, {"name": "x"}),
    ("DELETE", f"{API}/organizations/{{organization_id:int}}"): (ADMIN, None),
    ("GET", f"{API}/users"): (STAFF, None),
    ("POST", f"{API}/users"): (ADMIN, {"email": "EMAIL", "password": PASSWORD, "role": "user"}),
    ("POST", f"{API}/users/invite"): (ADMIN, {"email": "EMAIL", "role": "user"}),
    ("POST", f"{API}/users/{{user_id:int}}/transfer"): (ADMIN, {"orgId": "ORGANIZATION"}),
    ("GET", f"{API}/users/{{user_id:int}}"): (STAFF, None),
    ("PATCH", f"{API}/users/{{user_id:int}}"): (ADMIN, {"name": "x"}),
    ("DELETE", f"{API}/users/{{user_id:int}}"): (ADMIN, None),
    ("GET", f"{API}/clients"): (ADMIN, None),
    ("POST", f"{API}/clients"): (ADMIN, {"name": "x"}),
    ("DELETE", f"{API}/clients/{{client_id:int}}"): (ADMIN, None),
    ("GET", f"{API}/enrollment-keys"): (STAFF, None),
    ("POST", f"{API}/enrollment-keys"): (STAFF, {"name": "x"}),
    ("DELETE", f"{API}/enrollment-keys/{{key_id:int}}"): (STAFF, None),
    ("GET", f"{API}/products"): (ALL, None),
    ("POST", f"{API}/products"): (STAFF, {"name": "UNIQUE"}),
    ("GET", f"{API}/products/{{product_id:int}}"): (ALL, None),
    ("PATCH", f"{API}/products/{{product_id:int}}"): (STAFF, {"description": "x"}),
    ("DELETE", f"{API}/products/{{product_id:int}}"): (STAFF, None),
    ("GET", f"{API}/devices"): (ALL, None),
    ("POST", f"{API}/devices"): (STAFF, {"productId": "PRODUCT"}),
    ("POST", f"{API}/devices/bulk"): (STAFF, {"productId": "PRODUCT", "count": 1}),
    ("GET", f"{API}/devices/{{device_id:int}}"): (ALL, None),
    ("POST", f"{API}/devices/{{device_id:int}}/rotate-token"): (STAFF, None),
    ("PATCH", f"{API}/devices/{{device_id:int}}"): (STAFF, {"name": "x"}),
    ("DELETE", f"{API}/devices/{{device_id:int}}"): (STAFF, None),
    ("GET", f"{API}/devices/{{device_id:int}}/explain"): (ALL, None),
    ("POST", f"{API}/devices/{{device_id:int}}/consent"): (STAFF, None),
    ("GET", f"{API}/groups"): (ALL, None),
    ("POST", f"{API}/groups"): (STAFF, {"name": "x", "filter": "online"}),
    ("POST", f"{API}/groups/preview"): (ALL, {"filter": "online"}),
    ("GET", f"{API}/groups/{{group_id:int}}"): (ALL, None),
    ("PATCH", f"{API}/groups/{{group_id:int}}"): (STAFF, {"filter": "online"}),
    ("DELETE", f"{API}/groups/{{group_id:int}}"): (STAFF, None),
    ("GET", f"{API}/groups/{{group_id:int}}/devices"): (ALL, None),
    ("GET", f"{API}/artifacts"): (ALL, None),
    ("PUT", f"{API}/artifacts"): (STAFF, b"the bytes of a file"),
    ("GET", f"{API}/artifacts/{{artifact_id:int}}"): (ALL, None),
    ("DELETE", f"{API}/artifacts/{{artifact_id:int}}"): (STAFF, None),
    ("GET", f"{API}/uploads"): (STAFF, None),
    ("POST", f"{API}/uploads"): (STAFF, Headers({"Upload-Length": "5", "Upload-Metadata": "filename YQ=="})),
    ("GET", f"{API}/uploads/{{upload_id:str}}"): (STAFF, None),
    ("HEAD", f"{API}/uploads/{{upload_id:str}}"): (STAFF, None),
    ("PATCH", f"{API}/uploads/{{upload_id:str}}"): (
        STAFF,
        Headers({"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}),
    ),
    ("DELETE", f"{API}/uploads/{{upload_id:str}}"): (STAFF, None),
    ("POST", f"{API}/devices/{{device_id:int}}/ask-attributes"): (STAFF, None),
    ("PUT", f"{API}/devices/{{device_id:int}}/auto-confirm"): (STAFF, {"active": True}),
    ("GET", f"{API}/ddi"): (ALL, None),
    ("PATCH", f"{API}/ddi"): (ADMIN, {"confirmation": True}),
    ("POST", f"{API}/ddi/gateway-token"): (ADMIN, {"productId": "PRODUCT"}),
    ("DELETE", f"{API}/ddi/gateway-token"): (ADMIN, None),
    ("GET", f"{API}/rollouts"): (ALL, None),
    ("POST", f"{API}/rollouts"): (STAFF, {"title": "x", "productId": "PRODUCT", "artifacts": "ARTIFACTS"}),
    ("GET", f"{API}/rollouts/{{rollout_id:int}}"): (ALL, None),
    ("GET", f"{API}/rollouts/{{rollout_id:int}}/deliveries"): (ALL, None),
    ("GET", f"{API}/rollouts/{{rollout_id:int}}/deliveries/{{delivery_id:int}}/history"): (ALL, None),
    ("POST", f"{API}/rollouts/{{rollout_id:int}}/pause"): (STAFF, None),
    ("POST", f"{API}/rollouts/{{rollout_id:int}}/resume"): (STAFF, None),
    ("POST", f"{API}/rollouts/{{rollout_id:int}}/stop"): (STAFF, None),
    ("DELETE", f"{API}/rollouts/{{rollout_id:int}}"): (STAFF, None),
    ("POST", f"{API}/rollouts/{{rollout_id:int}}/clone"): (STAFF, {"devices": "all"}),
    ("GET", f"{API}/rollouts/{{rollout_id:int}}/export"): (ALL, None),
    ("GET", f"{API}/webhooks"): (ADMIN, None),
    ("POST", f"{API}/webhooks"): (ADMIN, {"name": "x", "url": "https://receiver.example.invalid/"}),
    ("GET", f"{API}/webhooks/{{webhook_id:int}}"): (ADMIN, None),
    ("PATCH", f"{API}/webhooks/{{webhook_id:int}}"): (ADMIN, {"name": "x"}),
    ("DELETE", f"{API}/webhooks/{{webhook_id:int}}"): (ADMIN, None),
    ("POST", f"{API}/webhooks/{{webhook_id:int}}/rotate-secret"): (ADMIN, None),
    ("POST", f"{API}/webhooks/{{webhook_id:int}}/test"): (ADMIN, None),
    ("GET", f"{API}/webhooks/{{webhook_id:int}}/messages"): (ADMIN, None),
    ("POST", f"{API}/webhooks/{{webhook_id:int}}/messages/{{message_id:int}}/replay"): (ADMIN, None),
    ("POST", f"{API}/webhooks/{{webhook_id:int}}/replay"): (ADMIN, None),
}
OPEN = {("POST", "/oauth2/token"), ("POST", f"{API}/users/accept-invite"), ("OPTIONS", f"{API}/uploads")}
"""Routes that take no bearer token."""


def filled(world: World, who: str, path: str, body: Any) -> tuple[str, dict[str, Any]]:
    """The path with the id of something new, and the body with values of this moment."""
    kinds = kinds_of(path)
    path = fill(path, world.make_all(kinds))
    if path.endswith("/resume"):
        world.post(path.replace("/resume", "/pause"), None)
    if "/rollouts/" in path and path.rpartition("/")[2].isdigit():
        world.end(int(path.rpartition("/")[2]))
    if path.endswith("/consent"):
        world.wait_for(int(path.split("/")[-2]))
    if path.endswith("/clone"):
        world.end_with_a_device(int(path.split("/")[-2]))
    if path.endswith("/gateway-token"):
        world.call("PATCH", f"{API}/ddi", json={"tenant": "home"})
    if body is None:
        return path, {}
    if isinstance(body, Headers):
        return path, {"headers": body}
    if isinstance(body, bytes):
        return path, {"content": body, "params": {"filename": "a.bin"}}
    unique = uuid.uuid4().hex[:12]
    values = {"EMAIL": f"new-{unique}@example.com", "UNIQUE": f"new-{unique}"}
    made = {"PRODUCT": "product", "ORGANIZATION": "organization"}
    said = {k: world.make(made[v]) if v in made else values.get(v, v) for k, v in body.items()}
    if said.get("artifacts") == "ARTIFACTS":
        said["artifacts"] = [{"id": world.make("artifact")}]
    return path, {"json": said}


def test_each_route_takes_exactly_these_roles(world: World) -> None:
    for (method, route), (allowed, body) in TABLE.items():
        for who in ROLES:
            path, how = filled(world, who, route, body)
            answer = world.call(method, path, who, **how)
            if who in allowed:
                assert answer.status_code in {200, 201, 204}, (method, route, who, answer.text)
            else:
                assert answer.status_code == 403, (method, route, who, answer.text)
                assert answer.headers["x-error-code"] == "forbidden"


def test_a_forbidden_request_changes_nothing_and_says_nothing_about_ids(world: World) -> None:
    for (method, route), (allowed, body) in TABLE.items():
        if "{" not in route or "user" in allowed:
            continue
        path, how = filled(world, "user", route, body)
        parts = path.split("/")
        missing = "/".join([*parts[:4], "2147483647", *parts[5:]])
        assert world.call(method, path, "user", **how).content == world.call(method, missing, "user", **how).content
        ids = [str(item["id"]) for item in world.get("/".join(parts[:4]) + "?limit=500")["items"]]
        assert parts[4] in ids, (method, route)


def test_no_route_works_without_a_token(world: World) -> None:
    for (method, route), (_, body) in TABLE.items():
        path, how = filled(world, "nobody", route, body)
        answer = world.call(method, path, None, **how)
        assert answer.status_code == 401, (method, route, answer.text)
        assert method == "HEAD" or answer.json()["error"]["message"]


def test_every_route_of_the_app_stands_in_the_table(app: Litestar) -> None:
    """Of this door: those of campaigns have a table of their own."""
    here = {(method, path) for method, path in routes(app) if path.startswith(("/api/v1/", "/oauth2/"))}
    assert here - OPEN == set(TABLE)

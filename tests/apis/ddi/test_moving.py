"""Devices that come from another server with what they have: their own tokens, and the organization's."""

import secrets
from typing import Any

import pytest
from tests.apis.ddi.door import Tenant
from tests.make import Board


def make(tenant: Tenant, *devices: dict[str, Any]) -> Any:
    body = {"productId": tenant.site.product_id, "devices": list(devices)}
    return tenant.site.ask("POST", "/api/v1/devices/bulk", json=body)


def comes_in(tenant: Tenant, uid: str, token: str) -> int:
    return tenant.status("GET", board=Board(0, uid, token, b""))


@pytest.mark.parametrize("length", [16, 32, 128])
def test_a_device_keeps_the_token_that_it_has(tenant: Tenant, length: int) -> None:
    one, other = secrets.token_hex(64)[:length], secrets.token_hex(64)[:length]
    body = {"productId": tenant.site.product_id, "uid": "single", "token": one}
    made = tenant.site.ask("POST", "/api/v1/devices", json=body)
    assert (made.status_code, made.json()["token"]) == (201, one)
    listed = make(tenant, {"uid": "of-many", "token": other}, {"uid": "without"})
    assert [item["token"] == other for item in listed.json()["items"]] == [True, False]
    assert comes_in(tenant, "single", one) == comes_in(tenant, "of-many", other) == 200
    assert comes_in(tenant, "without", listed.json()["items"][1]["token"]) == 200
    assert comes_in(tenant, "single", other) == 401


def test_a_token_is_one_devices(tenant: Tenant, neighbour: Tenant) -> None:
    token = secrets.token_hex(16)
    assert make(tenant, {"uid": "first", "token": token}).status_code == 201
    for where in (tenant, neighbour):
        answer = make(where, {"uid": "second", "token": token})
        assert (answer.status_code, answer.headers["x-error-code"]) == (409, "token_taken")
        assert token not in answer.text
    twice = secrets.token_hex(16)
    answer = make(tenant, {"uid": "a", "token": twice}, {"uid": "b", "token": twice})
    assert (answer.status_code, answer.headers["x-error-code"]) == (400, "bad_token")
    assert tenant.device("a") is None


@pytest.mark.parametrize("token", ["", "x" * 15, "x" * 129, "with a blank in it", "\u00e9" * 20, "line\nline" * 4])
def test_what_is_no_token_is_refused(tenant: Tenant, token: str) -> None:
    assert make(tenant, {"uid": "a", "token": token}).status_code == 400
    body = {"productId": tenant.site.product_id, "gatewayToken": token}
    assert tenant.site.ask("POST", "/api/v1/ddi/gateway-token", json=body).status_code == 400


def test_a_device_behind_another_has_no_token_to_bring(tenant: Tenant) -> None:
    body = {
        "productId": tenant.site.product_id,
        "parentId": tenant.board.id,
        "devices": [{"uid": "behind", "token": secrets.token_hex(16)}],
    }
    assert tenant.site.ask("POST", "/api/v1/devices/bulk", json=body).status_code == 400


def test_an_organization_keeps_the_gateway_token_that_it_has(tenant: Tenant) -> None:
    token = secrets.token_hex(16)
    body = {"productId": tenant.site.product_id, "gatewayToken": token}
    made = tenant.site.ask("POST", "/api/v1/ddi/gateway-token", json=body)
    assert made.json() == {"gatewayToken": token}
    key = {"Authorization": f"GatewayToken {token}"}
    assert tenant.status("GET", board=Board(0, "newcomer", "", b""), headers=key) == 200
    assert tenant.device("newcomer") is not None

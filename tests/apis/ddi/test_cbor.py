"""Every address in CBOR, both ways: the same tree as in JSON."""

from typing import Any

import cbor2
from tests.apis.ddi.door import CBOR, JSON, Tenant, feedback
from tests.make import Board


def same(tenant: Tenant, rest: str, board: Board | None = None) -> Any:
    """What is there, after both media have said the same."""
    plain = tenant.ask("GET", rest, board, headers={"Accept": JSON})
    packed = tenant.ask("GET", rest, board, headers={"Accept": CBOR})
    assert (plain.status_code, packed.status_code) == (200, 200), rest
    assert (plain.headers["content-type"], packed.headers["content-type"]) == (JSON, CBOR)
    assert packed.headers["content-length"] == str(len(packed.content))
    assert plain.headers["etag"] != packed.headers["etag"]
    found = cbor2.loads(packed.content)
    assert found == plain.json()
    return found


def send(tenant: Tenant, method: str, rest: str, body: Any) -> int:
    return tenant.status(method, rest, headers={"Content-Type": CBOR, "Accept": CBOR}, content=cbor2.dumps(body))


def test_a_poll_and_an_update(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    tenant.ship(artifact)
    assert set(same(tenant, "")["_links"]) == {"deploymentBase"}
    action = tenant.next_action()
    assert (
        send(tenant, "POST", f"/deploymentBase/{action}/feedback", feedback("proceeding", "none", "a \U0001f680"))
        == 200
    )
    found = same(tenant, f"/deploymentBase/{action}?actionHistory=5")
    assert (found["id"], found["actionHistory"]["messages"]) == (str(action), ["a \U0001f680"])
    assert isinstance(found["deployment"]["chunks"][0]["artifacts"][0]["size"], int)
    assert len(same(tenant, f"/softwaremodules/{artifact.id}/artifacts")) == 1
    assert send(tenant, "POST", f"/deploymentBase/{action}/feedback", feedback()) == 200
    assert tenant.stand() == ("succeeded", "")
    assert same(tenant, f"/installedBase/{action}")["id"] == str(action)


def test_a_cancellation(tenant: Tenant) -> None:
    action = tenant.canceling()
    assert same(tenant, f"/cancelAction/{action}") == {"id": str(action), "cancelAction": {"stopId": str(action)}}
    assert send(tenant, "POST", f"/cancelAction/{action}/feedback", feedback()) == 200
    assert tenant.stand() == ("canceled", "stopped")


def test_attributes(tenant: Tenant) -> None:
    assert send(tenant, "PUT", "/configData", {"mode": "merge", "data": {"VIN": "1", "n": 5, "x": None}}) == 200
    assert tenant.site.ask("GET", f"/api/v1/devices/{tenant.board.id}").json()["attributes"] == {"VIN": "1", "n": "5"}


def test_what_is_installed(tenant: Tenant) -> None:
    tenant.ship(tenant.site.artifact("5.0.0"))
    name = tenant.site.ask("GET", f"/api/v1/products/{tenant.site.product_id}").json()["name"]
    assert send(tenant, "PUT", "/installedBase", {"name": name, "version": "5.0.0"}) == 201
    assert send(tenant, "PUT", "/installedBase", {"name": name, "version": "5.0.0"}) == 200


def test_a_confirmation(tenant: Tenant) -> None:
    tenant.change(confirmation=True)
    action = tenant.offered_to_confirm()
    assert set(same(tenant, "/confirmationBase")["_links"]) == {"activateAutoConfirm", "confirmationBase"}
    assert same(tenant, f"/confirmationBase/{action}")["id"] == str(action)
    assert send(tenant, "POST", f"/confirmationBase/{action}/feedback", {"confirmation": "confirmed"}) == 200
    assert tenant.next_action() == action
    assert send(tenant, "POST", "/confirmationBase/activateAutoConfirm", {"initiator": "a", "remark": "b"}) == 200
    assert same(tenant, "/confirmationBase")["autoConfirm"]["remark"] == "b"
    assert send(tenant, "POST", "/confirmationBase/deactivateAutoConfirm", {}) == 200


def test_an_error(tenant: Tenant) -> None:
    answer = tenant.ask("PUT", "/configData", headers={"Accept": CBOR}, json={"data": {"": "x"}})
    assert (answer.status_code, answer.headers["content-type"]) == (400, CBOR)
    assert cbor2.loads(answer.content)["errorCode"] == "hawkbit.server.error.repo.invalidTargetAttributes"


def test_what_only_looks_like_it_is_400(tenant: Tenant) -> None:
    action = tenant.offered()
    for content in (
        b"",
        b"{}",
        b"\xff",
        b"\xa1",
        cbor2.dumps(feedback()) + b"x",
        cbor2.dumps({1: 2}),
        b"\xc0\x01",
        b"\x9f" * 9,
    ):
        answer = tenant.ask(
            "POST", f"/deploymentBase/{action}/feedback", headers={"Content-Type": CBOR}, content=content
        )
        assert (content, answer.status_code) == (content, 400)
    assert tenant.stand() == ("offered", "")

"""Connections, methods, names of organizations, ids of devices, and those that come for the first time."""

import http.client
import json
import threading
import time
from contextlib import ExitStack

import httpx
from sqlalchemy import func, select
from tests.apis.conftest import Serve
from tests.apis.ddi.door import Tenant, error_code, feedback, raw
from tests.apis.site import Site
from tests.make import Board

from airfreight.store import tables


def test_one_connection_carries_every_kind_of_answer(tenant: Tenant) -> None:
    """Small clients have one for the whole run: none of these may end it, read their body or not."""
    action = tenant.offered()
    note = json.dumps(feedback("proceeding", "none")).encode()
    etag = tenant.ask("GET", headers={"Host": "a"}).headers["etag"]
    told = "Content-Type: application/json"
    key = f"Authorization: TargetToken {tenant.board.token}"
    exchanges = [
        ("GET", "", [key], b"", 200),
        ("GET", "", [key, f"If-None-Match: {etag}"], b"", 304),
        ("HEAD", "", [key], b"", 200),
        ("GET", "", [], b"", 401),
        ("PUT", "/configData", [told], b'{"data":{"a":"b"}}', 401),
        ("GET", "/deploymentBase/1", [key], b"", 404),
        ("POST", "/nowhere", [key, told], note, 404),
        ("PUT", "/confirmationBase", [key, told], note, 405),
        ("POST", f"/deploymentBase/{action}/feedback", [key, "Content-Type: text/plain"], note, 415),
        ("POST", f"/deploymentBase/{action}/feedback", [key, told], b"{", 400),
        ("POST", "/confirmationBase/deactivateAutoConfirm", [key, told], note, 200),
        ("GET", "", [key, "Accept: text/html"], b"", 406),
        ("POST", f"/deploymentBase/{action}/feedback", [key, told], note, 200),
    ]
    with tenant.site.server.connect() as connection:
        for method, rest, headers, body, status in exchanges:
            lines = [f"{method} {tenant.path(tenant.board.uid, rest)} HTTP/1.1", "Host: a", *headers]
            head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
            connection.sendall(head.encode() + body)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            content = answer.read()
            assert (rest, answer.status, answer.will_close) == (rest, status, False)
            if method != "HEAD" and status != 304:
                assert answer.headers["content-length"] == str(len(content))


def test_a_head_is_a_get_without_its_body(tenant: Tenant) -> None:
    tenant.offered()
    got, headed = tenant.ask("GET"), tenant.ask("HEAD")
    assert (headed.status_code, headed.content) == (200, b"")
    for name in ("etag", "content-length", "content-type"):
        assert headed.headers[name] == got.headers[name]


def test_another_method_is_405(tenant: Tenant) -> None:
    allowed = {
        "": "GET, HEAD",
        "/configData": "PUT",
        "/deploymentBase/1": "GET, HEAD",
        "/deploymentBase/1/feedback": "POST",
        "/cancelAction/1/feedback": "POST",
        "/installedBase": "PUT",
        "/confirmationBase": "GET, HEAD",
        "/confirmationBase/activateAutoConfirm": "POST",
        "/softwaremodules/1/artifacts": "GET, HEAD",
        "/softwaremodules/1/artifacts/x": "GET, HEAD",
    }
    for rest, methods in allowed.items():
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"} - set(methods.split(", ")):
            answer = tenant.ask(method, rest)
            assert (rest, answer.status_code, answer.headers["allow"]) == (rest, 405, methods)


def test_there_is_nothing_else(tenant: Tenant) -> None:
    for rest in ("/", "/configdata", "/deploymentBase", "/deploymentBase/1/feedback/2", "/x", "/softwaremodules/1"):
        assert (rest, tenant.status("GET", rest)) == (rest, 404)


def test_the_name_of_an_organization_is_taken_in_any_case_and_shown_in_upper_case(tenant: Tenant) -> None:
    board = tenant.new_board(is_told=False)
    for name in (tenant.name.lower(), tenant.name.title(), f"%{ord(tenant.name[0]):x}{tenant.name[1:].lower()}"):
        status, body = raw(tenant, tenant.path(board.uid, tenant=name), f"Authorization: TargetToken {board.token}")
        assert (status, f'/{tenant.name}/controller/v1/{board.uid}/configData"'.encode() in body) == (200, True)


def test_an_id_is_any_text_of_1_to_256_characters(tenant: Tenant) -> None:
    key = f"Authorization: GatewayToken {tenant.gateway_token()}"
    shown = {
        "x": "x",
        "y" * 256: "y" * 256,
        "%79%2D1": "y-1",
        "a%20b": "a%20b",
        "a%2Fb": "a%2Fb",
        "a%3Fb%23c%25": "a%3Fb%23c%25",
        "gate:way+1@x": "gate%3Away%2B1%40x",
        "%C3%A9%F0%9F%9A%80": "%C3%A9%F0%9F%9A%80",
        "...": "...",
    }
    for uid, quoted in shown.items():
        status, body = raw(tenant, tenant.path(uid), key)
        link = f"/{tenant.name}/controller/v1/{quoted}/configData"
        assert (status, f"http://a{link}".encode() in body) == (200, True), body
        told = (key, "Content-Type: application/json")
        assert raw(tenant, link, *told, method="PUT", body=b'{"data":{"a":"b"}}')[0] == 200
        assert b"configData" not in raw(tenant, tenant.path(uid), key)[1]


def test_an_id_of_256_characters_of_four_bytes_each_is_one(tenant: Tenant) -> None:
    key = f"Authorization: GatewayToken {tenant.gateway_token()}"
    assert raw(tenant, tenant.path("%F0%9F%9A%80" * 256), key)[0] == 200
    assert tenant.device("\U0001f680" * 256) is not None


def test_what_can_be_no_id_is_400_and_makes_nothing(tenant: Tenant) -> None:
    key = f"Authorization: GatewayToken {tenant.gateway_token()}"
    for uid in ("x" * 257, "x" * 5000, "a%00b", "a%0Ab", "a%7Fb", "%1B[2J", "%E2%80%AE", ".", "..", "%2e%2E"):
        status, body = raw(tenant, tenant.path(uid), key)
        assert (uid, status) == (uid, 400)
        assert error_code(httpx.Response(400, content=body)) == "repo.constraintViolation"
        assert raw(tenant, tenant.path(uid))[0] == 400
        assert raw(tenant, tenant.path(uid, "/deploymentBase/1001"), key)[0] == 400
    assert _count(tenant.site) == 1
    for uid in ("%ff", "a%ED%A0%80b", ""):
        assert (uid, raw(tenant, tenant.path(uid), key)[0]) == (uid, 404)


def _count(site: Site) -> int:
    table = tables.devices
    [row] = site.rows(select(func.count()).select_from(table).where(table.c.organization_id == site.organization_id))
    return int(row[0])


# plug and play


def test_an_unknown_device_that_shows_the_gateway_token_becomes_one_of_the_product(tenant: Tenant) -> None:
    rollout = {
        "title": "for all",
        "productId": tenant.site.product_id,
        "artifacts": [{"id": tenant.site.artifact().id}],
    }
    assert tenant.site.ask("POST", "/api/v1/rollouts", json=rollout).status_code == 201
    key = {"Authorization": f"GatewayToken {tenant.gateway_token()}"}
    stranger = Board(0, "never-seen", "", b"")
    assert set(tenant.links(stranger, headers=key)) == {"configData", "deploymentBase"}
    row = tenant.device("never-seen")
    assert (row.product_id, row.token_hash, bool(row.enabled)) == (tenant.site.product_id, None, True)


def test_only_a_poll_makes_a_device(tenant: Tenant) -> None:
    key = {"Authorization": f"GatewayToken {tenant.gateway_token()}"}
    stranger = Board(0, "never-seen", "", b"")
    assert tenant.status("PUT", "/configData", stranger, headers=key, json={"data": {"a": "b"}}) == 404
    for rest in ("/deploymentBase/1001", "/installedBase/1001", "/cancelAction/1001", "/confirmationBase"):
        assert tenant.status("GET", rest, stranger, headers=key) == 404
    assert _count(tenant.site) == 1


def test_twenty_first_polls_at_once_make_one_device(tenant: Tenant) -> None:
    key = f"Authorization: GatewayToken {tenant.gateway_token()}"
    found: list[int] = []
    start = threading.Barrier(20)

    def poll() -> None:
        start.wait()
        found.append(raw(tenant, tenant.path("twin"), key)[0])

    threads = [threading.Thread(target=poll) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [200] * 20
    assert _count(tenant.site) == 2


def test_newcomers_have_a_limit_and_known_devices_have_none(serve: Serve) -> None:
    """Who has found the gateway token in an image cannot fill the database."""
    with serve(newcomers_limit=3) as served, ExitStack() as stack:
        tenant, neighbour = Tenant(Site(served, stack)), Tenant(Site(served, stack))
        key, other = ({"Authorization": f"GatewayToken {one.gateway_token()}"} for one in (tenant, neighbour))
        come = [tenant.status("GET", board=Board(0, uid, "", b""), headers=key) for uid in ("a", "b", "c")]
        assert come == [200, 200, 429], "with the one that is there, three"
        answer = tenant.ask("GET", board=Board(0, "c", "", b""), headers=key)
        assert (error_code(answer), int(answer.headers["retry-after"]) > 0) == ("quota.tooManyEntries", True)
        assert _count(tenant.site) == 3
        assert (
            tenant.status("GET", headers=key) == tenant.status("GET", board=Board(0, "a", "", b""), headers=key) == 200
        )
        assert neighbour.status("GET", board=Board(0, "c", "", b""), headers=other) == 200
        made = tenant.new_board("c")
        assert tenant.status("GET", board=made) == 200, "operators make as many as they like"
        for board in (made, tenant.board):
            tenant.site.remove_device(board)
        assert tenant.status("GET", board=Board(0, "d", "", b""), headers=key) == 200
        assert tenant.status("GET", board=Board(0, "e", "", b""), headers={"Authorization": "GatewayToken x"}) == 401


def test_a_removed_device_comes_back_as_a_new_one_by_the_gateway_token_only(tenant: Tenant) -> None:
    key = {"Authorization": f"GatewayToken {tenant.gateway_token()}"}
    tenant.site.remove_device(tenant.board)
    assert tenant.status("GET") == 401
    assert set(tenant.links(headers=key)) == {"configData"}
    assert tenant.device(tenant.board.uid).id != tenant.board.id
    assert tenant.status("GET") == 401


def test_the_time_of_a_poll_is_kept(tenant: Tenant) -> None:
    began = int(time.time() * 1000)
    tenant.get()
    shown = tenant.site.ask("GET", f"/api/v1/devices/{tenant.board.id}").json()
    end = time.monotonic() + 30
    while (shown["lastSeenAt"] or 0) < began and time.monotonic() < end:
        time.sleep(0.1)
        shown = tenant.site.ask("GET", f"/api/v1/devices/{tenant.board.id}").json()
    assert (shown["lastSeenAt"] >= began, shown["online"]) == (True, True)

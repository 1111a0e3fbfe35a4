"""Who is let in: by the device's token, by the organization's, by a proxy's word; and what strangers learn, which is nothing."""

import time
from contextlib import ExitStack
from typing import Any

import pytest
from tests.apis.conftest import Serve
from tests.apis.ddi.door import Tenant, line, raw
from tests.apis.site import Site
from tests.make import Board

CONFIG: dict[str, Any] = {"json": {"data": {"a": "b"}}}
SUCCESS: dict[str, Any] = {"json": {"status": {"execution": "closed", "result": {"finished": "success"}}}}


def with_(authorization: str) -> dict[str, str]:
    return {"Authorization": authorization}


def addresses(action: int, artifact: int) -> list[tuple[str, str, dict[str, Any]]]:
    """Everything that a device can ask: method, path, body."""
    file = f"/softwaremodules/{artifact}/artifacts"
    return [
        ("GET", "", {}),
        ("PUT", "/configData", CONFIG),
        ("GET", f"/deploymentBase/{action}", {}),
        ("POST", f"/deploymentBase/{action}/feedback", SUCCESS),
        ("GET", f"/cancelAction/{action}", {}),
        ("POST", f"/cancelAction/{action}/feedback", SUCCESS),
        ("GET", f"/installedBase/{action}", {}),
        ("PUT", "/installedBase", {"json": {"name": "x", "version": "2.0.0"}}),
        ("GET", "/confirmationBase", {}),
        ("GET", f"/confirmationBase/{action}", {}),
        ("POST", f"/confirmationBase/{action}/feedback", {"json": {"confirmation": "confirmed"}}),
        ("POST", "/confirmationBase/activateAutoConfirm", {"json": {}}),
        ("POST", "/confirmationBase/deactivateAutoConfirm", {}),
        ("GET", file, {}),
        ("GET", f"{file}/file-{artifact}.swu", {}),
        ("GET", f"{file}/file-{artifact}.swu.MD5SUM", {}),
    ]


def test_a_device_is_let_in_by_its_own_token(tenant: Tenant) -> None:
    assert tenant.status("GET") == 200


def test_the_gateway_token_speaks_for_every_device(tenant: Tenant) -> None:
    key = with_(f"GatewayToken {tenant.gateway_token()}")
    other = tenant.new_board()
    assert tenant.status("GET", headers=key) == 200
    assert tenant.status("GET", board=other, headers=key) == 200
    assert tenant.status("PUT", "/configData", other, headers=key, **CONFIG) == 200


def test_a_gateway_token_is_short_enough_for_small_clients(tenant: Tenant) -> None:
    assert len(tenant.gateway_token()) <= 32
    assert len(tenant.board.token) <= 32


def test_a_scheme_is_taken_to_the_letter_with_one_space(tenant: Tenant) -> None:
    key, own = tenant.gateway_token(), tenant.board.token
    for shown in (
        f"targettoken {own}", f"TARGETTOKEN {own}", f"TargetToken  {own}", f"TargetToken\t{own}", f"TargetToken{own}",
        "TargetToken", f"Bearer {own}", own, f"GatewayToken {own}", f"TargetToken {key}", f"gatewaytoken {key}",
        f"GatewayToken  {key}", f"Basic {own}", f"TargetToken {own}x", f"TargetToken {own[:-1]}", f"TargetToken {own},x",
        f"TargetToken {own.swapcase()}", f"TargetToken {'x' * 5000}", "TargetToken \xe9", "GatewayToken ",
    ):  # fmt: skip
        status, body = raw(tenant, tenant.path(tenant.board.uid), f"Authorization: {shown}")
        assert (shown, status, body) == (shown, 401, b"")
    assert raw(tenant, tenant.path(tenant.board.uid)) == (401, b"")


def test_of_two_authorizations_only_the_first_counts(tenant: Tenant) -> None:
    good, bad = f"Authorization: TargetToken {tenant.board.token}", "Authorization: TargetToken x"
    assert raw(tenant, tenant.path(tenant.board.uid), good, bad)[0] == 200
    assert raw(tenant, tenant.path(tenant.board.uid), bad, good)[0] == 401


def test_an_unknown_device_hears_the_same_as_one_with_a_wrong_token(tenant: Tenant) -> None:
    tenant.gateway_token()
    stranger = Board(0, "nobody", "wrong", b"")
    known = Board(0, tenant.board.uid, "wrong", b"")
    for method, rest, body in addresses(1001, 1):
        answers = [tenant.ask(method, rest, board, **body) for board in (stranger, known)]
        heard = [(one.status_code, one.content, {**one.headers, "date": ""}) for one in answers]
        assert heard[0] == heard[1]
        assert (rest, answers[0].status_code, answers[0].content) == (rest, 401, b"")


def test_an_organization_without_a_name_for_devices_lets_nobody_in(tenant: Tenant) -> None:
    for name in ("NOBODY", "%20", tenant.name + "X", tenant.name[:-1]):
        status, _ = raw(
            tenant, tenant.path(tenant.board.uid, tenant=name), f"Authorization: TargetToken {tenant.board.token}"
        )
        assert status in {401, 404}


def test_letters_that_only_look_like_the_name_are_another_name(tenant: Tenant) -> None:
    tenant.change(tenant="SKI")
    key = f"Authorization: TargetToken {tenant.board.token}"
    assert raw(tenant, tenant.path(tenant.board.uid, tenant="ski"), key)[0] == 200
    for name in ("%C5%BFki", "s%E2%84%AAi", "sk%C4%B1", "sk%00i", "ski%20", "ski%2F", "%EF%BC%B3ki", "ski;x"):
        status, body = raw(tenant, tenant.path(tenant.board.uid, tenant=name), key)
        assert (name, status in {401, 404}, body) == (name, True, b"")
    tenant.change(tenant=tenant.name)


def test_a_name_belongs_to_one_organization(tenant: Tenant, neighbour: Tenant) -> None:
    answer = neighbour.site.ask("PATCH", "/api/v1/ddi", json={"tenant": tenant.name.lower()})
    assert (answer.status_code, answer.headers["x-error-code"]) == (409, "name_taken")


def test_a_renamed_organization_is_found_by_its_new_name_only(tenant: Tenant) -> None:
    assert tenant.change(tenant=tenant.name.lower() + "-2")["tenant"] == tenant.name + "-2"
    assert tenant.status("GET") == 401
    tenant.name += "-2"
    assert tenant.status("GET") == 200


def test_nothing_of_a_device_is_open_to_another_one(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    action = tenant.offered(artifact)
    other = tenant.new_board()
    for method, rest, body in addresses(action, artifact.id):
        # by its own token at the other's address, and at its own address for the other's action
        answer = tenant.ask(method, rest, headers=with_(f"TargetToken {other.token}"), **body)
        assert (method, rest, answer.status_code, answer.content) == (method, rest, 401, b"")
        if rest and any(part.isdigit() for part in rest.split("/")):
            answer = tenant.ask(method, rest, other, **body)
            assert (method, rest, answer.status_code, answer.content) == (method, rest, 404, b"")
    assert tenant.stand() == ("offered", "")


def test_nothing_of_a_device_is_open_to_another_organization(tenant: Tenant, neighbour: Tenant) -> None:
    """Even where that one has a device of the same id, and the same file."""
    artifact = tenant.site.artifact()
    action = tenant.offered(artifact)
    twin = neighbour.new_board(tenant.board.uid)
    key = neighbour.gateway_token()
    for method, rest, body in addresses(action, artifact.id):
        for shown in (f"GatewayToken {key}", f"TargetToken {twin.token}"):
            answer = tenant.ask(method, rest, headers=with_(shown), **body)
            assert (method, rest, answer.status_code, answer.content) == (method, rest, 401, b"")
            if rest and any(part.isdigit() for part in rest.split("/")):
                answer = neighbour.ask(method, rest, twin, headers=with_(shown), **body)
                assert (method, rest, answer.status_code, answer.content) == (method, rest, 404, b"")
    assert tenant.stand() == ("offered", "")
    assert neighbour.links(twin) == {}


def test_ids_that_nothing_has_are_404_whatever_they_look_like(tenant: Tenant) -> None:
    action = tenant.offered()
    key = f"Authorization: TargetToken {tenant.board.token}"
    for odd in (
        "0", "-1", "+1", f"0{action}", f"{action}.0", f"{action}e0", f"%20{action}", f"{action}%20", f"{action}%00", "1_0",
        "2147483648", "9" * 30, "9" * 5000, "%D9%A1", "None", "null", "x", "%2e%2e", f"{action}%2Ffeedback", f"{action};a",
        "999999999",
    ):  # fmt: skip
        for rest in ("/deploymentBase/", "/cancelAction/", "/installedBase/", "/confirmationBase/"):
            assert (odd, raw(tenant, tenant.path(tenant.board.uid, rest + odd), key)[0]) == (odd, 404)
        file = tenant.path(tenant.board.uid, f"/softwaremodules/{odd}/artifacts")
        assert (odd, raw(tenant, file, key)[0], raw(tenant, file + "/x", key)[0]) == (odd, 404, 404)


def test_tricks_with_the_path_lead_nowhere(tenant: Tenant, neighbour: Tenant) -> None:
    """Nothing is made of a path but its parts: a proxy in front that cleans it up sees the same device or none."""
    mine, key = tenant.path(tenant.board.uid), f"Authorization: TargetToken {tenant.board.token}"
    theirs = neighbour.path(neighbour.board.uid)
    for target in (
        f"/{mine}", mine.replace("/controller", "//controller"), mine.replace("/controller", "/./controller"),
        f"/x/..{mine}", f"{theirs}/..{mine}", f"{theirs}/../{tenant.board.uid}", f"{mine}/../{neighbour.board.uid}",
        mine.replace("/controller", "%2Fcontroller"), mine.replace("/v1/", "/v1%2F"), mine + "/", mine + "//",
        mine.replace("controller", "Controller"), mine.replace("v1", "V1"), f"/api/v1/ddi{mine}", f"/static{mine}",
        mine + "/softwaremodules/1/artifacts/..%2F..%2F..%2Fsecret.key", mine + "/softwaremodules/1/artifacts/..",
        mine + "\\..\\x", mine + "%5C..", "/controller/v1/", "/controller/v1/x", "//controller/v1/x", "///controller/v1/",
    ):  # fmt: skip
        status, body = raw(tenant, target, key)
        assert (target, status in {400, 401, 404}) == (target, True), (status, body)
        assert tenant.board.uid.encode() not in body
        assert neighbour.board.uid.encode() not in body


def test_an_address_of_operators_is_none_of_devices(tenant: Tenant) -> None:
    """A part of a path that only looks like this door's never takes a request from where it belongs."""
    for path in ("/api/v1/devices?x=/controller/v1/", "/healthz?/controller/v1/x", "/api/v1/groups#/controller/v1/x"):
        assert tenant.site.ask("GET", path).status_code == 200


# what ends


def test_a_token_that_was_replaced_opens_nothing(tenant: Tenant) -> None:
    answer = tenant.site.ask("POST", f"/api/v1/devices/{tenant.board.id}/rotate-token")
    assert tenant.status("GET") == 401
    assert tenant.status("GET", headers=with_(f"TargetToken {answer.json()['token']}")) == 200


def test_a_gateway_token_ends_when_there_is_a_new_one_or_none(tenant: Tenant) -> None:
    first, second = tenant.gateway_token(), tenant.gateway_token()
    assert tenant.status("GET", headers=with_(f"GatewayToken {first}")) == 401
    assert tenant.status("GET", headers=with_(f"GatewayToken {second}")) == 200
    assert tenant.site.ask("DELETE", "/api/v1/ddi/gateway-token").status_code == 204
    assert tenant.status("GET", headers=with_(f"GatewayToken {second}")) == 401
    assert tenant.status("GET") == 200


def test_a_gateway_token_is_not_kept_in_the_clear(tenant: Tenant) -> None:
    token = tenant.gateway_token()
    assert token not in str(tenant.change())
    shown = tenant.site.ask("GET", "/api/v1/ddi").text
    assert token not in shown
    assert '"hasGatewayToken":true' in shown


def test_who_may_not_edit_the_organization_sees_but_changes_nothing(tenant: Tenant) -> None:
    for method, path, body in (
        ("PATCH", "/api/v1/ddi", {"polling": "1"}),
        ("POST", "/api/v1/ddi/gateway-token", {"productId": tenant.site.product_id}),
        ("DELETE", "/api/v1/ddi/gateway-token", None),
    ):
        assert tenant.site.ask(method, path, "user", json=body).status_code == 403
        assert tenant.site.ask(method, path, None, json=body).status_code == 401


def test_a_switched_off_device_is_offered_nothing(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    action = tenant.offered(artifact)
    tenant.change_device(tenant.board, enabled=False)
    assert tenant.links() == {}
    assert tenant.status("GET", f"/deploymentBase/{action}") == 404
    assert tenant.status("GET", f"/softwaremodules/{artifact.id}/artifacts/file-{artifact.id}.swu") == 404
    tenant.change_device(tenant.board, enabled=True)
    assert tenant.next_action() == action


def test_a_switched_off_device_may_say_how_it_went(tenant: Tenant) -> None:
    action = tenant.offered()
    tenant.change_device(tenant.board, enabled=False)
    assert tenant.say(action, "proceeding", "none") == 200
    assert tenant.say(action) == 200
    assert tenant.stand() == ("succeeded", "")


def test_a_removed_device_is_nobody(tenant: Tenant) -> None:
    artifact = tenant.site.artifact()
    action = tenant.offered(artifact)
    tenant.site.remove_device(tenant.board)
    for method, rest, body in addresses(action, artifact.id):
        assert (rest, tenant.status(method, rest, **body)) == (rest, 401)
    key = with_(f"GatewayToken {tenant.gateway_token()}")
    assert tenant.status("PUT", "/configData", headers=key, **CONFIG) == 404
    assert tenant.status("POST", f"/deploymentBase/{action}/feedback", headers=key, **SUCCESS) == 404


def test_a_product_that_newcomers_become_cannot_be_removed(tenant: Tenant) -> None:
    key = with_(f"GatewayToken {tenant.gateway_token()}")
    tenant.site.remove_device(tenant.board)
    answer = tenant.site.ask("DELETE", f"/api/v1/products/{tenant.site.product_id}")
    assert answer.status_code == 409, answer.text
    assert tenant.status("GET", board=Board(0, "new", "", b""), headers=key) == 200


# a proxy that has checked a certificate


def word(uid: str, *authorities: str, number: bool = False) -> dict[str, str]:
    names = {f"X-Authority-{i}": one for i, one in enumerate(authorities)}
    return {"Authorization": "", "X-Controller-Id": uid, **(names if number else {"X-Authority": authorities[0]})}


def test_a_trusted_proxy_vouches_for_a_device(proxied: Tenant) -> None:
    proxied.change(authorities=["AB:CD:EF", "other"])
    uid = proxied.board.uid
    for shown in (
        word(uid, "ab:cd:ef"), word(uid, "AB:CD:ef"), word(uid, "x, Ab:cd:ef ,y"), word(uid, "x;OTHER"), word(uid, ";;,other"),
        word(uid, "x", "ab:cd:ef", number=True), word(uid, "x", "y,other", number=True),
    ):  # fmt: skip
        assert (shown, proxied.status("GET", headers=shown)) == (shown, 200)


def test_a_proxys_word_counts_for_that_device_and_the_agreed_authorities_only(proxied: Tenant) -> None:
    proxied.board = proxied.new_board("unit")  # a random uid may be all digits, the same in upper case
    uid = proxied.board.uid
    assert proxied.status("GET", headers=word(uid, "ab")) == 401  # none is agreed upon
    proxied.change(authorities=["ab"])
    for shown in (
        word("other", "ab"), word(uid.upper(), "ab"), word("", "ab"), word(uid + " x", "ab"), word(uid, "a"), word(uid, "abc"),
        word(uid, ""), word(uid, "a b"), word(uid, "ab|x"), {"Authorization": "", "X-Authority": "ab"},
        {"Authorization": "", "X-Controller-Id": uid, "X-Authority-x": "ab"},
        {"Authorization": "", "X-Controller-Id": uid, "X-Authority-": "ab"},
        {"Authorization": "", "X-Controller-Id": uid, "X-Authorities": "ab"},
        {"Authorization": "", "X-Controller-Id": uid},
    ):  # fmt: skip
        assert (shown, proxied.status("GET", headers=shown)) == (shown, 401)
    assert proxied.status("GET", headers=word(uid, "ab")) == 200


def test_a_proxys_word_makes_a_newcomer_where_there_is_a_product_for_it(proxied: Tenant) -> None:
    proxied.change(authorities=["ab"])
    newcomer = Board(0, "newcomer", "", b"")
    assert proxied.status("GET", board=newcomer, headers=word("newcomer", "ab")) == 401
    proxied.change(productId=proxied.site.product_id)
    assert proxied.status("GET", board=newcomer, headers=word("newcomer", "x")) == 401
    assert proxied.status("GET", board=newcomer, headers=word("newcomer", "ab")) == 200
    assert proxied.device("newcomer") is not None


def test_a_proxys_word_counts_in_its_own_organization_only(proxied: Tenant) -> None:
    proxied.change(authorities=["ab"])
    headers = [f"{name}: {value}" for name, value in word(proxied.board.uid, "ab").items() if value]
    assert raw(proxied, proxied.path(proxied.board.uid), *headers)[0] == 200
    assert raw(proxied, proxied.path(proxied.board.uid, tenant="OTHER"), *headers)[0] == 401


def test_of_two_ids_that_a_request_names_none_is_believed(proxied: Tenant) -> None:
    """A proxy that adds its header to the client's own must not open the door by it."""
    proxied.change(authorities=["ab"])
    uid = proxied.board.uid
    path, its = proxied.path(uid), f"X-Controller-Id: {uid}"
    assert raw(proxied, path, its, "X-Authority: ab")[0] == 200
    for first, second in ((its, "X-Controller-Id: mine"), ("X-Controller-Id: mine", its)):
        assert raw(proxied, path, first, second, "X-Authority: ab")[0] == 401


def test_nobody_but_a_trusted_proxy_is_believed(tenant: Tenant) -> None:
    tenant.change(authorities=["ab"], productId=tenant.site.product_id)
    uid = tenant.board.uid
    for shown in (
        word(uid, "ab"),
        word(uid, "ab", "ab", number=True),
        {**word(uid, "ab"), "X-Forwarded-For": "127.0.0.1"},
    ):
        assert tenant.status("GET", headers=shown) == 401
        assert tenant.status("GET", board=Board(0, "new", "", b""), headers={**shown, "X-Controller-Id": "new"}) == 401
    assert tenant.device("new") is None


@pytest.mark.parametrize("is_proxied", [True, False])
def test_links_follow_what_a_trusted_proxy_says(tenant: Tenant, proxied: Tenant, is_proxied: bool) -> None:
    door = proxied if is_proxied else tenant
    door.offered()
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "ota.example.com", "X-Forwarded-Port": "8443"}
    start = "https://ota.example.com:8443" if is_proxied else door.site.server.url
    home = f"{start}/{door.name}/controller/v1/{door.board.uid}"
    link = door.links(headers=said)["deploymentBase"]
    assert link.startswith(f"{home}/deploymentBase/")
    [chunk] = door.get(link.removeprefix(home), headers=said)["deployment"]["chunks"]
    assert chunk["artifacts"][0]["_links"]["download-http"]["href"].startswith(f"{home}/softwaremodules/")
    etags = {door.ask("GET", headers=headers).headers["etag"] for headers in (said, {})}
    assert len(etags) == (2 if is_proxied else 1)


def test_a_host_that_is_none_is_in_no_link(proxied: Tenant) -> None:
    proxied.offered()
    key = f"Authorization: TargetToken {proxied.board.token}"
    for odd in ('"},{', "a/b", "a@b", "a:99999999", "a b", "-" * 300, ""):
        status, body = raw(proxied, proxied.path(proxied.board.uid), key, f"X-Forwarded-Host: {odd}")
        assert (odd, status, f'"href":"http://a{proxied.path("")}'.encode() in body) == (odd, 200, True)


def test_links_are_below_the_public_url_where_there_is_one(serve: Serve) -> None:
    with serve(public_url="https://ota.example.com/base/") as served, ExitStack() as stack:
        tenant = Tenant(Site(served, stack))
        tenant.ship()
        for host in ("a", "b.example"):
            link = tenant.links(headers={"Host": host, "X-Forwarded-Host": "c.example"})["deploymentBase"]
            assert link.startswith(f"https://ota.example.com/base{tenant.path(tenant.board.uid)}/deploymentBase/")
        assert tenant.ask("GET", headers={"Host": "a"}).headers["etag"] == tenant.ask("GET").headers["etag"]


def test_a_stranger_is_turned_away_while_somebody_writes(tenant: Tenant) -> None:
    """Whoever makes up ids must not stand in line with those who have something to write."""
    tenant.gateway_token()
    with tenant.site.call():  # a transaction that writes, not over yet
        began = time.monotonic()
        for shown in ("GatewayToken wrong", "TargetToken wrong"):
            assert raw(tenant, tenant.path("nobody"), f"Authorization: {shown}")[0] == 401
        assert time.monotonic() - began < 8, "a writer would wait for ten seconds and more"


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("PUT", "/configData"),
        ("PUT", "/installedBase"),
        ("POST", "/deploymentBase/1001/feedback"),
        ("POST", "/cancelAction/1001/feedback"),
        ("POST", "/confirmationBase/1001/feedback"),
        ("POST", "/confirmationBase/activateAutoConfirm"),
    ],
)
def test_a_stranger_is_told_so_whatever_its_body_is(tenant: Tenant, method: str, rest: str) -> None:
    answer = tenant.http.request(method, tenant.path(tenant.board.uid, rest), content=b"{", headers={})
    assert (answer.status_code, answer.content) == (401, b"")


def test_a_stranger_is_turned_away_before_its_body_is_read(tenant: Tenant) -> None:
    action = tenant.offered()
    for method, rest, _ in addresses(action, 1):
        if method in {"PUT", "POST"}:
            with line(tenant) as connection:  # the body never comes: who waits for it is told so, with 400
                head = (
                    f"{method} {tenant.path(tenant.board.uid, rest)} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n"
                )
                connection.sendall((head + "Authorization: TargetToken wrong\r\n\r\n").encode())
                assert (rest, connection.recv(100)[:12]) == (rest, b"HTTP/1.1 401")

"""`/api/v1/ddi` and what an operator says of one device: who may, whose name is whose, keys that are shown once."""

import re
import threading
from typing import Any

import pytest
from sqlalchemy import func, select
from tests.platform.conftest import World

from airfreight.domain.access import Permission
from airfreight.services import visits
from airfreight.services.direct_access import read_consent
from airfreight.services.visits import Knock
from airfreight.store import tables

API = "/api/v1/ddi"
TOKEN = f"{API}/gateway-token"
NOTHING: dict[str, Any] = {
    "tenant": None,
    "hasGatewayToken": False,
    "productId": None,
    "authorities": [],
    "polling": "",
    "confirmation": False,
}

OF_ONE_DEVICE: list[tuple[str, str, Any]] = [
    ("POST", "ask-attributes", None),
    ("PUT", "auto-confirm", {"active": True}),
]


def change(world: World, **fields: Any) -> dict[str, Any]:
    answer = world.call("PATCH", API, json=fields)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def refused(world: World, method: str, path: str, body: object, side: Any = None) -> tuple[int, str]:
    answer = world.call(method, path, "admin", side, json=body)
    assert set(answer.json()) == {"error"}
    return answer.status_code, answer.headers["x-error-code"]


def with_scopes(world: World, *scopes: Permission) -> str:
    """The name of a token with these."""
    name = " ".join(scopes)
    client = world.post("/api/v1/clients", {"name": "c", "scopes": list(scopes)})
    how = {"grant_type": "client_credentials"}
    grant = world.http.post("/oauth2/token", auth=(client["clientId"], client["secret"]), params=how)
    world.home.tokens[name] = grant.json()["access_token"]
    return name


def opens(world: World, token: str, name: str = "ACME", uid: str = "nobody knows") -> bool:
    with world.desk.database.read() as connection:
        return visits.opens_for_all(connection, Knock(name, uid, key=world.desk.keyring.digest(token)))


def rows(world: World, organization_id: int | None = None) -> list[Any]:
    table = tables.direct_access
    query = select(table).where(table.c.organization_id == (organization_id or world.home.organization_id))
    with world.desk.database.read() as connection:
        return list(connection.execute(query))


def test_what_is_said_is_shown_and_the_rest_stays(world: World) -> None:
    assert world.get(API, "user") == NOTHING
    assert change(world, tenant="acme_1-x") == {**NOTHING, "tenant": "ACME_1-X"}
    product = world.make("product")
    polling = '00:05:00~10%, attributes.site = "roof" -> 00:10:00'
    whole = {
        "productId": product,
        "authorities": [" AB:cd ", "é"],
        "polling": polling,
        "confirmation": True,
    }
    shown = change(world, **whole)
    assert shown == {**NOTHING, **whole, "tenant": "ACME_1-X", "authorities": ["ab:cd", "é"]}
    assert change(world) == shown
    assert change(world, tenant=None, polling=None) == shown
    assert world.get(API, "user") == shown
    assert change(world, authorities=[], polling="", confirmation=False) == {
        **NOTHING,
        "tenant": "ACME_1-X",
        "productId": product,
    }


def test_a_change_needs_one_permission_and_a_look_another(world: World) -> None:
    for who in ("staff", "user"):
        assert world.call("GET", API, who).status_code == 200
        for method, path, body in (("PATCH", API, {"tenant": "A"}), ("POST", TOKEN, {}), ("DELETE", TOKEN, None)):
            answer = world.call(method, path, who, json=body)
            assert (answer.status_code, answer.headers["x-error-code"]) == (403, "forbidden"), (who, method, path)
    viewer, editor = with_scopes(world, Permission.ORG_VIEW), with_scopes(world, Permission.ORG_EDIT)
    assert world.call("GET", API, editor).status_code == 403
    assert world.call("PATCH", API, viewer, json={"tenant": "A"}).status_code == 403
    assert world.call("PATCH", API, editor, json={"tenant": "A"}).status_code == 200
    device = world.make("device")
    for method, verb, said in OF_ONE_DEVICE:
        address = f"/api/v1/devices/{device}/{verb}"
        assert world.call(method, address, "user", json=said).status_code == 403
        assert world.call(method, address, with_scopes(world, Permission.DEVICE_VIEW), json=said).status_code == 403
        assert world.call(method, address, "staff", json=said).status_code == 204
    assert world.get(API)["tenant"] == "A"


def test_a_name_is_one_organizations_in_any_case(world: World) -> None:
    change(world, tenant="Acme")
    for name in ("ACME", "acme", "aCmE"):
        assert refused(world, "PATCH", API, {"tenant": name}, world.other) == (409, "name_taken")
    assert world.get(API, side=world.other) == NOTHING
    assert change(world, tenant="acme")["tenant"] == "ACME"
    assert change(world, tenant="other")["tenant"] == "OTHER"
    answer = world.call("PATCH", API, "admin", world.other, json={"tenant": "acme"})
    assert answer.json()["tenant"] == "ACME"


def test_of_two_that_want_a_name_at_once_one_has_it(world: World) -> None:
    found: list[int] = []
    both = threading.Barrier(2)

    def want(side: Any) -> None:
        both.wait(60)
        found.append(world.call("PATCH", API, "admin", side, json={"tenant": "ACME"}).status_code)

    threads = [threading.Thread(target=want, args=(side,)) for side in (world.home, world.other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == [200, 409]
    names = [world.get(API, side=side)["tenant"] for side in (world.home, world.other)]
    assert sorted(map(str, names)) == ["ACME", "None"]


def test_a_gateway_token_is_shown_once_kept_as_a_digest_and_ended_by_the_next(world: World) -> None:
    change(world, tenant="ACME")
    product = world.make("product")
    first = world.post(TOKEN, {"productId": product})["gatewayToken"]
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", first)
    assert {**NOTHING, "tenant": "ACME", "hasGatewayToken": True, "productId": product} == world.get(API)
    [row] = rows(world)
    assert bytes(row.key_hash) == world.desk.keyring.digest(first)
    assert first not in repr(tuple(row))
    assert opens(world, first)
    assert not opens(world, first, "OTHER")
    second = world.post(TOKEN, {})["gatewayToken"]
    assert (opens(world, first), opens(world, second)) == (False, True)
    assert world.call("DELETE", TOKEN).status_code == 204
    assert not opens(world, second)
    assert world.get(API)["hasGatewayToken"] is False
    assert world.call("DELETE", TOKEN).status_code == 204
    assert opens(world, world.post(TOKEN, {})["gatewayToken"])


def test_a_token_needs_a_name_and_the_first_one_a_product(world: World) -> None:
    product = world.make("product")
    assert refused(world, "POST", TOKEN, {"productId": product}) == (409, "no_name")
    assert refused(world, "PATCH", API, {"polling": "60"}) == (409, "no_name")
    assert rows(world) == []
    change(world, tenant="ACME")
    assert refused(world, "POST", TOKEN, {}) == (400, "product_needed")
    assert refused(world, "POST", TOKEN, {"productId": 2**31 - 1}) == (404, "not_found")
    assert world.get(API)["hasGatewayToken"] is False
    assert world.call("DELETE", TOKEN, side=world.other).status_code == 204


def test_confirmation_can_be_asked_for_without_a_name(world: World) -> None:
    assert change(world, confirmation=True) == {**NOTHING, "confirmation": True}
    assert world.get(API) == {**NOTHING, "confirmation": True}
    assert change(world, tenant="ACME")["confirmation"] is True


def test_nothing_of_another_organization_can_be_seen_changed_or_named(world: World) -> None:
    change(world, tenant="ACME")
    theirs = world.post("/api/v1/products", {"name": "p"}, side=world.other)["id"]
    missing = world.call("PATCH", API, json={"productId": 2**31 - 1})
    stranger = world.call("PATCH", API, json={"productId": theirs})
    assert (stranger.status_code, stranger.content) == (404, missing.content)
    assert world.call("POST", TOKEN, json={"productId": theirs}).status_code == 404
    home = world.home.organization_id
    for method, path, body in (
        ("GET", API, None),
        ("PATCH", API, {"tenant": "X"}),
        ("POST", TOKEN, {}),
        ("DELETE", TOKEN, None),
    ):
        yours = world.call(method, f"{path}?orgId={home}", "admin", world.other, json=body)
        nobody = world.call(method, f"{path}?orgId={2**31 - 1}", "admin", world.other, json=body)
        assert (yours.status_code, yours.content) == (404, nobody.content), (method, path)
    device = world.make("device")
    for method, verb, said in OF_ONE_DEVICE:
        answer = world.call(method, f"/api/v1/devices/{device}/{verb}", "admin", world.other, json=said)
        assert (answer.status_code, answer.headers["x-error-code"]) == (404, "not_found")
    assert world.get(API) == {**NOTHING, "tenant": "ACME"}


def test_an_organization_below_has_a_name_of_its_own(world: World) -> None:
    below = world.make("organization")
    change(world, tenant="ACME")
    there = world.call("PATCH", f"{API}?orgId={below}", json={"tenant": "north"})
    assert (there.status_code, there.json()["tenant"]) == (200, "NORTH")
    product = world.post("/api/v1/products", {"name": "p", "orgId": below})["id"]
    assert world.call("POST", TOKEN, json={"productId": product}).status_code == 404
    token = world.post(f"{TOKEN}?orgId={below}", {"productId": product})["gatewayToken"]
    assert (opens(world, token, "NORTH"), opens(world, token)) == (True, False)
    assert world.get(API)["tenant"] == "ACME"


def test_a_product_stays_while_unknown_devices_become_it(world: World) -> None:
    change(world, tenant="ACME")
    product, other = world.make("product"), world.make("product")
    change(world, productId=product)
    refusal = world.call("DELETE", f"/api/v1/products/{product}")
    assert (refusal.status_code, refusal.headers["x-error-code"]) == (409, "in_use")
    change(world, productId=other)
    assert world.call("DELETE", f"/api/v1/products/{product}").status_code == 204


def test_with_an_organization_its_row_goes(world: World) -> None:
    below = world.make("organization")
    assert world.call("PATCH", f"{API}?orgId={below}", json={"tenant": "gone"}).status_code == 200
    assert len(rows(world, below)) == 1
    assert world.call("DELETE", f"/api/v1/organizations/{below}").status_code == 204
    assert rows(world, below) == []
    assert change(world, tenant="gone")["tenant"] == "GONE"


BAD: dict[tuple[str, str], list[Any]] = {
    ("tenant", "bad_name"): ["a b", "a/b", "ä", "a.b", "%41", "a\n", "ſ"],
    ("tenant", "invalid"): ["", "x" * 65, 1, True, []],
    ("productId", "invalid"): [0, -1, 2**31, "1", 1.5, True],
    ("polling", "bad_polling"): [" ", "00:00:00", "24:00:00", "soon", "60~200%", "60, 30", "60,"],
    ("polling", "bad_filter"): ["60, nonsense -> 30", '60, uid = "x -> 30'],
    ("polling", "invalid"): [60, "6" * 1001, True],
    ("authorities", "bad_authority"): [["a,b"], ["a;b"], [" "]],
    ("authorities", "invalid"): ["a", [""], ["x" * 129], ["a\nb"], [1], ["a"] * 21, {}],
    ("confirmation", "invalid"): [0, "true", []],
    ("name", "invalid"): ["A"],
}


def test_bad_input_is_refused_and_changes_nothing(world: World) -> None:
    before = change(world, tenant="ACME", polling="60", authorities=["a"])
    for (field, code), values in BAD.items():
        for value in values:
            answer = world.call("PATCH", API, json={"confirmation": True, field: value})
            assert (answer.status_code, answer.headers["x-error-code"]) == (400, code), (field, value, answer.text)
            assert world.get(API) == before, (field, value)
    bodies: list[Any] = [[], {"productId": "1"}, {"productId": 0}, {"x": 1}, None]
    for body in bodies:
        assert world.call("POST", TOKEN, json=body).status_code == 400, body
    device = world.make("device")
    for wrong in (
        {},
        {"active": 1},
        {"active": None},
        {"active": True, "remark": "x" * 129},
        {"active": True, "remark": "a\n"},
    ):
        assert world.call("PUT", f"/api/v1/devices/{device}/auto-confirm", json=wrong).status_code == 400, wrong


def device_row(world: World, device: int) -> Any:
    with world.desk.database.read() as connection:
        return connection.execute(select(tables.devices).where(tables.devices.c.id == device)).one()


def test_a_device_is_asked_for_its_attributes_and_confirmed_for(world: World) -> None:
    device = world.make("device")
    path = f"/api/v1/devices/{device}"
    assert device_row(world, device).asked_at is None
    assert world.call("POST", f"{path}/ask-attributes").status_code == 204
    assert device_row(world, device).asked_at > 0
    answer = world.call("PUT", f"{path}/auto-confirm", json={"active": True, "remark": 'in the "lab"'})
    assert (answer.status_code, answer.content) == (204, b"")
    said = read_consent(device_row(world, device).standing_consent)
    assert said is not None
    assert (said["initiator"], said["remark"]) == (f"user:{world.home.users['admin']}", 'in the "lab"')
    assert world.call("PUT", f"{path}/auto-confirm", json={"active": False}).status_code == 204
    assert read_consent(device_row(world, device).standing_consent) is None


@pytest.mark.parametrize("organizations", [3])
def test_there_is_one_row_for_an_organization_however_often_it_is_changed(world: World, organizations: int) -> None:
    below = [world.make("organization") for _ in range(organizations)]
    for number in below:
        for name in ("x", "y"):
            assert world.call("PATCH", f"{API}?orgId={number}", json={"tenant": f"{name}{number}"}).status_code == 200
    with world.desk.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.direct_access)) == organizations

"""A device that comes with the organization's enrollment key becomes a device of its own."""

from functools import partial
from typing import Any

import pytest
from tests.apis.device.test_protocol import ENROLL, NEXT
from tests.apis.shipments.test_bad_input import EVIL, refusal
from tests.apis.site import Site
from tests.interrupt import Meanwhile

from airfreight.services import products


@pytest.fixture
def key(site: Site) -> str:
    return str(site.ask("POST", "/api/v1/enrollment-keys", json={"name": "line 1"}).json()["key"])


def test_a_device_enrolls_by_the_products_id_or_name(site: Site, key: str) -> None:
    product_id = site.product("valve")  # not a random name: of digits only, it would be an id
    for number, which in enumerate((product_id, str(product_id), "valve")):
        body = {"uid": f"unit-{number}", "product": which, "attributes": {"version": "1.0.0", "x": 1}}
        answer = site.http(key).post(ENROLL, json=body)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert made.keys() == {"id", "uid", "token"}
        assert len(made["token"]) <= 32
        assert site.http(made["token"]).get(NEXT).status_code == 204
        shown = site.ask("GET", f"/api/v1/devices/{made['id']}").json()
        assert (shown["uid"], shown["productId"]) == (f"unit-{number}", product_id)
        assert shown["attributes"] == {"version": "1.0.0", "x": 1}


def test_a_uid_enrolls_once(site: Site, key: str) -> None:
    body = {"uid": "unit-1", "product": site.product_id}
    assert site.http(key).post(ENROLL, json=body).status_code == 201
    answer = site.http(key).post(ENROLL, json=body)
    refusal(answer, 409)
    assert "token" not in answer.json()


def test_a_uid_that_enrolls_twice_at_once_enrolls_once(site: Site, key: str) -> None:
    """Two sockets of one device, or a retry that overtakes its first try."""
    for number in range(5):
        body = {"uid": f"unit-{number}", "product": site.product_id}
        tries = [Meanwhile(partial(site.http(key).post, ENROLL, json=body)) for _ in range(6)]
        statuses = sorted(one.outcome().status_code for one in tries)
        assert statuses == [201, 409, 409, 409, 409, 409]


def test_an_enrolled_device_gets_the_running_rollouts_of_its_product(site: Site, key: str) -> None:
    site.create(site.artifact(""))
    token = site.http(key).post(ENROLL, json={"uid": "late", "product": site.product_id}).json()["token"]
    assert site.http(token).get(NEXT).json()["do"] == "download"


WRONG: list[tuple[int, dict[str, Any]]] = [
    *((400, {"uid": uid}) for uid in (None, 1, "", "x" * 65, "a b", "a/b", "ü", EVIL + "\n", True)),
    *((400, {"product": product}) for product in (None, 1.5, True)),
    *((404, {"product": product}) for product in (0, -1, 2**31, 2**62, "no such product", "", "\x00", "9" * 100)),
    *((400, {"attributes": attributes}) for attributes in (1, "x", {"version": 1}, {"timeZone": "x"})),
    (400, {"token": "mine"}),
]


def test_wrong_requests_make_no_device(site: Site, key: str) -> None:
    wrong = []
    for status, changed in WRONG:
        answer = site.http(key).post(ENROLL, json={"uid": "unit", "product": site.product_id, **changed})
        try:
            refusal(answer, status)
        except AssertionError as error:
            wrong.append((changed, str(error)[:200]))
    assert wrong == []
    assert site.ask("GET", "/api/v1/devices").json()["items"] == []


def test_only_an_enrollment_key_enrolls(site: Site, key: str) -> None:
    [board] = site.devices(site.product_id)
    body = {"uid": "unit", "product": site.product_id}
    for token in (None, "x", board.token, site.tokens["client"], key + "x"):
        refusal(site.http(token).post(ENROLL, json=body), 401)
    [shown] = site.ask("GET", "/api/v1/enrollment-keys").json()["items"]
    site.ask("DELETE", f"/api/v1/enrollment-keys/{shown['id']}")
    refusal(site.http(key).post(ENROLL, json=body), 401)


def test_a_key_enrolls_into_its_own_organization_only(site: Site, key: str) -> None:
    with site.call(site.organization("below")) as call:
        product = products.create(call, name="theirs").id
    for which in (product, "theirs"):
        refusal(site.http(key).post(ENROLL, json={"uid": "unit", "product": which}), 404)

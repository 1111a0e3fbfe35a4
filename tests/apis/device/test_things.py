"""Things: a gateway asks, downloads and reports for the devices behind it, and for no others."""

import threading
import time
from typing import Any

import httpx
import pytest
from tests.apis.shipments.test_bad_input import refusal
from tests.apis.site import Json, Site
from tests.make import Board

from airfreight.services import devices, products
from airfreight.services.devices import Wanted

NEXT = "/device/v1/next"
THINGS = "/device/v1/things"


@pytest.fixture
def gateway(site: Site) -> Board:
    return site.devices(site.product_id)[0]


def things(site: Site, gateway: Board, *uids: str, product: str = "lamp") -> int:
    """Make them; their product."""
    product_id = site.product(product)
    with site.call() as call:
        devices.create_many(call, product_id=product_id, wanted=[Wanted(uid) for uid in uids], parent_id=gateway.id)
    return product_id


def waiting(site: Site, gateway: Board, **query: Any) -> list[Json]:
    answer = site.as_device(gateway).get(THINGS, params=query)
    assert answer.status_code == 200, answer.text
    found: list[Json] = answer.json()["things"]
    return found


def ask(site: Site, gateway: Board, uid: str) -> httpx.Response:
    return site.as_device(gateway).get(NEXT, params={"thing": uid})


def verdicts(site: Site, gateway: Board, *reports: Json) -> list[str]:
    answer = site.as_device(gateway).post("/device/v1/reports", json={"reports": list(reports)})
    assert answer.status_code == 200, answer.text
    return [one["verdict"] for one in answer.json()["results"]]


def test_a_gateway_updates_a_thing_from_the_first_question_to_the_version(site: Site, gateway: Board) -> None:
    product_id = things(site, gateway, "t1", "t2")
    artifact = site.artifact("2.0.0")
    site.ship(artifact, product_id)
    assert waiting(site, gateway) == [{"uid": "t1", "product": "lamp"}, {"uid": "t2", "product": "lamp"}]
    assert site.as_device(gateway).get(NEXT).status_code == 204, "what is a thing's is not its gateway's"

    told = ask(site, gateway, "t1").json()
    assert told["do"] == "download"
    [file] = told["artifacts"]
    assert file["url"].endswith(f"/device/v1/artifacts/{artifact.id}?thing=t1")
    got = site.as_device(gateway).get(file["url"])
    assert got.content == artifact.content
    own = site.as_device(gateway).get(f"/device/v1/artifacts/{artifact.id}")
    refusal(own, 404)

    attempt = told["attempt"]
    events = ("downloading", "downloaded", "installing", "installed", "activating", "succeeded")
    said = [{"attempt": attempt, "seq": seq, "event": event, "thing": "t1"} for seq, event in enumerate(events, 1)]
    answered = verdicts(site, gateway, *said)
    assert set(answered) <= {"moved", "noted"}
    assert [row["state"] for row in deliveries(site) if row["deviceUid"] == "t1"] == ["activating"], "no version yet"
    put = site.as_device(gateway).put("/device/v1/attributes", params={"thing": "t1"}, json={"version": "2.0.0"})
    assert put.json()["attributes"]["version"] == "2.0.0"
    assert [one["uid"] for one in waiting(site, gateway)] == ["t2"]
    states = {row["deviceUid"]: row["state"] for row in deliveries(site)}
    assert states == {"t1": "succeeded", "t2": "queued"}


def deliveries(site: Site) -> list[Json]:
    [rollout] = site.ask("GET", "/api/v1/rollouts").json()["items"]
    items: list[Json] = site.ask("GET", f"/api/v1/rollouts/{rollout['id']}/deliveries").json()["items"]
    return items


def test_one_call_reports_for_the_gateway_and_its_things_and_for_nobody_else(site: Site, gateway: Board) -> None:
    product_id = things(site, gateway, "t1", "t2")
    [other] = site.devices(site.product_id)
    stranger_product = things(site, other, "s1", product="heater")
    artifact = site.artifact()
    for rollout_product in (product_id, stranger_product):
        site.ship(artifact, rollout_product)
    site.ship(artifact, site.product_id, [gateway])
    attempts = {uid: ask(site, gateway, uid).json()["attempt"] for uid in ("t1", "t2")}
    attempts["s1"] = ask(site, other, "s1").json()["attempt"]
    attempts[""] = site.as_device(gateway).get(NEXT).json()["attempt"]

    def said(uid: str, attempt: str, seq: int = 1) -> Json:
        return {"attempt": attempts[attempt], "seq": seq, "event": "downloading"} | ({"thing": uid} if uid else {})

    mixed = [said("t1", "t1"), said("", ""), said("t2", "t2")]
    assert verdicts(site, gateway, *mixed) == ["moved", "moved", "moved"]
    assert verdicts(site, gateway, *mixed) == ["moved", "moved", "moved"], "a repeat is answered like the first time"
    wrong = [
        said("s1", "s1", 2),  # behind another gateway
        said("", "t1", 2),  # a thing's attempt in the gateway's name
        said("t1", "t2", 2),  # in another thing's name
        said("t1", "", 2),
        said("nobody", "t1", 2),
        said("../t1", "t1", 2),
    ]
    assert verdicts(site, gateway, *wrong) == ["refused"] * len(wrong)
    assert verdicts(site, other, said("t1", "t1", 3)) == ["refused"]


@pytest.mark.parametrize("uid", ["s1", "nobody", "own"])
def test_a_gateway_speaks_for_nobody_but_its_things(site: Site, gateway: Board, uid: str) -> None:
    [other] = site.devices(site.product_id)
    product_id = things(site, other, "s1")
    artifact = site.artifact()
    site.ship(artifact, product_id)
    assert ask(site, other, "s1").status_code == 200
    name = gateway.uid if uid == "own" else uid
    refusal(ask(site, gateway, name), 404)
    device = site.as_device(gateway)
    refusal(device.put("/device/v1/attributes", params={"thing": name}, json={"version": "9"}), 404)
    refusal(device.get(f"/device/v1/artifacts/{artifact.id}", params={"thing": name}), 404)
    unknown = site.http("no-such-token")
    for path in (NEXT, f"/device/v1/artifacts/{artifact.id}"):
        refusal(unknown.get(path, params={"thing": "s1"}), 401)
    refusal(unknown.get(THINGS), 401)


@pytest.mark.parametrize(
    "query", ["thing=", "thing=a%20b", "thing=%00", "thing=a&thing=b", "thing=" + "x" * 65, "thing=%D9%A1"]
)
def test_a_thing_is_named_by_a_uid_once(site: Site, gateway: Board, query: str) -> None:
    device = site.as_device(gateway)
    for method, path in (("GET", NEXT), ("PUT", "/device/v1/attributes"), ("GET", "/device/v1/artifacts/1")):
        refusal(device.request(method, f"{path}?{query}", json={} if method == "PUT" else None), 400)
    refusal(device.get(f"{THINGS}?thing=t1"), 400)


def test_a_name_is_a_name_however_it_is_written(site: Site, gateway: Board) -> None:
    things(site, gateway, "t1")
    device = site.as_device(gateway)
    device.put("/device/v1/attributes?th%69ng=t1", json={"version": "7"})
    assert device.put("/device/v1/attributes?thing=t%31", json={}).json()["attributes"]["version"] == "7"
    assert "version" not in device.put("/device/v1/attributes", json={}).json()["attributes"]


def test_a_question_for_things_is_held_until_one_has_something_to_do(site: Site, gateway: Board) -> None:
    product_id = things(site, gateway, "t1")
    empty = site.as_device(gateway).get(THINGS)
    assert empty.json() == {"things": []}
    assert int(empty.headers["retry-after"]) > 0
    artifact = site.artifact()
    later = threading.Timer(0.7, lambda: site.ship(artifact, product_id))
    began = time.monotonic()
    later.start()
    assert [one["uid"] for one in waiting(site, gateway, wait=40)] == ["t1"]
    assert 0.5 < time.monotonic() - began < 20
    later.join()


def test_what_waits_for_its_window_is_not_something_to_do(site: Site, gateway: Board) -> None:
    product_id = things(site, gateway, "t1", "t2")
    site.ship(site.artifact(), product_id)
    attempt = ask(site, gateway, "t1").json()["attempt"]
    assert verdicts(site, gateway, {"attempt": attempt, "seq": 1, "event": "failed", "thing": "t1"}) == ["moved"]
    assert [one["uid"] for one in waiting(site, gateway)] == ["t2"], "t1 is to try again in a minute"


# how operators make them


def made(site: Site, status: int = 201, path: str = "", **body: Any) -> Any:
    answer = site.ask("POST", f"/api/v1/devices{path}", json={"productId": site.product_id, **body})
    assert answer.status_code == status, answer.text
    return answer.json() if status == 201 else answer.headers["x-error-code"]


def test_a_device_behind_another_has_no_token_and_shows_its_parent(site: Site, gateway: Board) -> None:
    thing = made(site, uid="t1", parentId=gateway.id)
    assert (thing["token"], thing["parentId"]) == ("", gateway.id)
    many = made(site, path="/bulk", parentId=gateway.id, count=3)["items"]
    assert {one["token"] for one in many} == {""}
    listed = site.ask("GET", "/api/v1/devices", params={"parentId": gateway.id}).json()["items"]
    assert [one["id"] for one in listed] == [thing["id"], *(one["id"] for one in many)]
    assert site.ask("GET", f"/api/v1/devices/{gateway.id}").json()["parentId"] is None
    rotated = site.ask("POST", f"/api/v1/devices/{thing['id']}/rotate-token")
    assert (rotated.status_code, rotated.headers["x-error-code"]) == (409, "no_token")


def test_a_parent_is_a_gateway_of_the_same_organization_with_room(site: Site, gateway: Board) -> None:
    thing = made(site, parentId=gateway.id)
    assert made(site, 400, parentId=thing["id"]) == "behind_another"
    assert made(site, 404, parentId=2**31 - 1) == "not_found"
    below = site.organization()
    with site.call(below) as call:
        foreign = products.create(call, name="p").id
        [theirs] = devices.create_many(call, product_id=foreign, wanted=[Wanted()])
    assert made(site, 404, parentId=theirs.id) == "not_found"
    assert made(site, 404, productId=foreign, parentId=gateway.id) == "not_found"
    assert made(site, 400, path="/bulk", parentId=gateway.id, count=1000) == "too_many"
    made(site, path="/bulk", parentId=gateway.id, count=999)
    assert made(site, 400, parentId=gateway.id) == "too_many"


def test_a_gateway_with_things_is_not_deleted(site: Site, gateway: Board) -> None:
    thing = made(site, parentId=gateway.id)
    refused = site.ask("DELETE", f"/api/v1/devices/{gateway.id}")
    assert (refused.status_code, refused.headers["x-error-code"]) == (409, "has_things")
    assert site.ask("DELETE", f"/api/v1/devices/{thing['id']}").status_code == 204
    assert site.ask("DELETE", f"/api/v1/devices/{gateway.id}").status_code == 204


def test_a_thing_is_enrolled_with_the_key_behind_its_gateway(site: Site, gateway: Board) -> None:
    key = site.ask("POST", "/api/v1/enrollment-keys", json={"name": "k"}).json()["key"]

    def enroll(**body: Any) -> httpx.Response:
        return site.http(key).post("/device/v1/enroll", json={"uid": "t9", "product": site.product_id, **body})

    refusal(enroll(parent="nobody"), 404)
    refusal(enroll(parent=""), 400)
    refusal(enroll(parent=7), 400)
    answer = enroll(parent=gateway.uid)
    assert (answer.status_code, answer.json()["token"]) == (201, "")
    refusal(enroll(parent=gateway.uid), 409)
    assert site.as_device(gateway).put("/device/v1/attributes", params={"thing": "t9"}, json={}).status_code == 200

"""Devices beside the shipments: made, found, seen online, given away and removed."""

from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update
from tests.apis.shipments.platform.door import MISSING, ask, rung, stranger
from tests.apis.site import Site

from airfreight.apis.common.desk import clock
from airfreight.apis.shipments.platform import devices, metafields
from airfreight.store import tables

LISTED = {
    "id",
    "name",
    "templateId",
    "originalTemplateId",
    "orgId",
    "token",
    "activatedAt",
    "ownerUserId",
    "hardwareInfo",
}
SINGLE = LISTED | {
    "uid",
    "connected",
    "isLocked",
    "connectTime",
    "disconnectTime",
    "firmwareUpdatedAt",
    "lastReceivedEventAt",
}
HARDWARE = {"version", "fwType", "blynkVersion", "boardType", "build", "templateId"}


def key_of(site: Site, product_id: int) -> str:
    return str(ask(site, "GET", "template", templateId=product_id)["templateIds"][0])


def made(site: Site, product_id: int = 0, **fields: Any) -> Any:
    body = {"templateId": key_of(site, product_id or site.product_id), "name": "Kitchen", **fields}
    return ask(site, "POST", "device/create", status=201, json=body)


def names(answer: Any) -> list[str]:
    return [one["name"] for one in answer["content"]]


def test_a_new_device_is_answered_with_its_token_this_once(site: Site) -> None:
    device = made(site, ownerId=site.admin_id)
    assert set(device) == SINGLE
    assert set(device["hardwareInfo"]) == HARDWARE
    assert device["hardwareInfo"]["templateId"] == key_of(site, site.product_id)
    assert (device["templateId"], device["orgId"]) == (site.product_id, site.organization_id)
    assert device["ownerUserId"] == site.admin_id
    token = device["token"]
    assert len(token) == 32
    assert site.http(token).get("/device/v1/next").status_code == 204
    shown = ask(site, "GET", "device", deviceId=device["id"])
    assert shown["token"] is None
    for where, params in (
        ("devices", {}),
        ("search/devices", {"query": "kit"}),
        ("device/baseInfo", {"deviceId": device["id"]}),
    ):
        answer = site.ask("GET", f"/api/v1/organization/{where}", params=params)
        assert answer.status_code == 200
        assert token not in answer.text


def test_the_misspelt_owner_is_understood_and_two_owners_are_not(site: Site) -> None:
    assert made(site, onwerId=site.admin_id)["ownerUserId"] == site.admin_id
    body = {
        "templateId": key_of(site, site.product_id),
        "name": "x",
        "ownerId": site.admin_id,
        "onwerId": site.admin_id,
    }
    ask(site, "POST", "device/create", status=400, json=body)
    assert made(site)["ownerUserId"] is None


def test_a_new_device_joins_the_running_shipment_of_its_template(site: Site) -> None:
    shipment = site.create()
    device = made(site)
    assert site.get(shipment["id"])["shipmentProgress"]["started"] == 1
    assert site.get(shipment["id"])["deviceIds"] in ([], [device["id"]])


def test_hardware_info_is_what_the_device_reported(site: Site) -> None:
    [board] = site.devices(site.product_id)
    site.tell(board, version="1.2", build="b", board="ESP32", fwType="TMPLx", blynkVersion="1.3.2")
    hardware = ask(site, "GET", "device/baseInfo", deviceId=board.id)["hardwareInfo"]
    assert hardware == {
        "version": "1.2",
        "build": "b",
        "boardType": "ESP32",
        "fwType": "TMPLx",
        "blynkVersion": "1.3.2",
        "templateId": key_of(site, site.product_id),
    }


def test_devices_are_listed_page_by_page_with_their_number(site: Site) -> None:
    ids = [board.id for board in site.devices(site.product_id, 5)]
    pages = [ask(site, "GET", "devices", page=page, size=2) for page in range(4)]
    assert [[one["id"] for one in page["content"]] for page in pages] == [ids[:2], ids[2:4], ids[4:], []]
    assert {page["totalElements"] for page in pages} == {5}
    assert set(pages[0]["content"][0]) == LISTED
    assert ask(site, "GET", "devices")["totalElements"] == 5
    again = site.ask("GET", "/api/v2/organization/devices?include=hardwareInfo&size=2").json()
    assert again == pages[0]
    ask(site, "DELETE", "device", status=204, deviceId=ids[0])
    left = ask(site, "GET", "devices")
    assert ([one["id"] for one in left["content"]], left["totalElements"]) == (ids[1:], 4)
    for size in (1, 3, 4, 5):
        assert ask(site, "GET", "devices", size=size)["totalElements"] == 4
        assert ask(site, "GET", "devices", size=size, page=9)["totalElements"] == 4


def test_devices_of_organizations_below_are_listed_when_asked_for(site: Site) -> None:
    [mine] = site.devices(site.product_id)
    below = site.organization()
    template = ask(site, "POST", "template/create", status=201, json={"name": "t", "orgId": below})["id"]
    there = made(site, template, orgId=below)
    assert [one["id"] for one in ask(site, "GET", "devices")["content"]] == [mine.id]
    assert [one["id"] for one in ask(site, "GET", "devices", orgId=below)["content"]] == [there["id"]]
    both = ask(site, "GET", "devices", includeSubOrgDevices="true")
    assert ([one["id"] for one in both["content"]], both["totalElements"]) == ([mine.id, there["id"]], 2)
    assert names(ask(site, "GET", "search/devices", query="KITCHEN")) == []
    assert names(ask(site, "GET", "search/devices", query="KITCHEN", includeSubOrgDevices="true")) == ["Kitchen"]
    assert ask(site, "GET", "device", deviceId=there["id"])["orgId"] == below
    ask(site, "GET", "device", status=404, deviceId=mine.id, orgId=below)


def test_devices_are_found_by_a_part_of_name_or_uid_whatever_the_case(site: Site) -> None:
    for name in ("100% warm", "Cellar_1", "KITCHEN", "kitchenette"):
        made(site, name=name)
    uid = ask(site, "GET", "device", deviceId=made(site, name="plain")["id"])["uid"]
    for query, found in (
        ("kitchen", ["KITCHEN", "kitchenette"]),
        ("%", ["100% warm"]),
        ("_", ["Cellar_1"]),
        ("\\", []),
        (uid[2:20].upper(), ["plain"]),
    ):
        answer = ask(site, "GET", "search/devices", query=query)
        assert (names(answer), answer["totalElements"]) == (found, len(found)), query
    page = ask(site, "GET", "search/devices", query="kitchen", page=1, size=1)
    assert (names(page), page["totalElements"]) == (["kitchenette"], 2)


def test_a_device_is_connected_when_heard_from_lately_or_listening_at_the_broker(site: Site) -> None:
    device = made(site)["id"]

    def online() -> Any:
        return ask(site, "GET", "device/online", deviceId=device)

    assert online() == {"connected": False}
    seen, listening = tables.device_seen, tables.connections
    now = clock()
    long_ago = now - site.server.app.settings.online_seconds * 1000 - 1000
    with site.database.write() as connection:
        connection.execute(insert(seen).values(device_id=device, seen_at=now))
    assert online() == {"connected": True}
    with site.database.write() as connection:
        connection.execute(update(seen).where(seen.c.device_id == device).values(seen_at=long_ago))
    assert online() == {"connected": False}
    gone = ask(site, "GET", "device", deviceId=device)
    assert (gone["connected"], gone["connectTime"], gone["disconnectTime"]) == (False, None, long_ago)
    with site.database.write() as connection:
        connection.execute(insert(listening).values(device_id=device, since_at=now))
    assert online() == {"connected": True}
    there = ask(site, "GET", "device", deviceId=device)
    assert (there["connectTime"], there["disconnectTime"], there["lastReceivedEventAt"]) == (now, None, long_ago)
    native = site.ask("GET", f"/api/v1/devices/{device}").json()
    assert native["online"] is True
    with site.database.write() as connection:
        connection.execute(delete(listening).where(listening.c.device_id == device))
    assert online() == {"connected": False}


def test_a_device_is_renamed(site: Site) -> None:
    device = made(site)
    renamed = ask(site, "PUT", "device", deviceId=device["id"], json={"name": "Cellar"})
    assert renamed == {**device, "name": "Cellar", "token": None}
    assert ask(site, "GET", "device", deviceId=device["id"]) == renamed


def test_a_removed_device_is_gone_and_its_token_ends(site: Site) -> None:
    device = made(site)
    assert ask(site, "DELETE", "device", status=204, deviceId=device["id"]) is None
    for method, path in (("GET", "device"), ("DELETE", "device"), ("GET", "device/online"), ("GET", "device/timeline")):
        ask(site, method, path, status=404, deviceId=device["id"])
    assert site.http(device["token"]).get("/device/v1/next").status_code == 401


def test_a_device_changes_hands_and_loses_its_owner(site: Site) -> None:
    device = made(site)["id"]
    given = ask(site, "POST", "device/transfer/to-owner", deviceId=device, json={"ownerId": site.admin_id})
    assert given["ownerUserId"] == site.admin_id
    assert site.ask("GET", f"/api/v1/devices/{device}").json()["ownerUserId"] == site.admin_id
    for nobody in (MISSING, foreign_user(site)):
        ask(site, "POST", "device/transfer/to-owner", status=404, deviceId=device, json={"ownerId": nobody})
    body = {"templateId": key_of(site, site.product_id), "name": "x", "ownerId": foreign_user(site)}
    ask(site, "POST", "device/create", status=404, json=body)
    assert ask(site, "GET", "device", deviceId=device)["ownerUserId"] == site.admin_id
    assert ask(site, "DELETE", "device/owner", status=204, deviceId=device) is None
    assert ask(site, "GET", "device", deviceId=device)["ownerUserId"] is None
    assert ask(site, "GET", "devices")["totalElements"] == 1


def foreign_user(site: Site) -> int:
    stranger(site)
    [row] = site.rows(select(tables.users.c.id).where(tables.users.c.organization_id != site.organization_id).limit(1))
    return int(row.id)


def test_the_timeline_tells_what_happened_newest_first(site: Site) -> None:
    [board, other] = site.devices(site.product_id, 2)
    assert ask(site, "GET", "device/timeline", deviceId=board.id) == {"content": [], "totalElements": 0}
    first = site.create(to=[board, other], title="The first", attemptsLimit=1)
    attempt = site.poll(board).attempt_id
    site.report(board, attempt, 1, "downloading")
    site.report(board, attempt, 2, "failed", "no_space", message="2 MB short")
    second = site.create(to=[board], title="The second")
    site.poll(board)
    site.poll(other)
    answer = ask(site, "GET", "device/timeline", deviceId=board.id)
    events = answer["content"]
    assert answer["totalElements"] == len(events) >= 4
    assert [one["ts"] for one in events] == sorted((one["ts"] for one in events), reverse=True)
    assert [one["id"] for one in events] == sorted((one["id"] for one in events), reverse=True)
    assert {one["orgId"] for one in events} == {site.organization_id}
    assert events[0]["shipmentId"] == second["id"]
    [failed] = [one for one in events if one["name"] == "fail"]
    assert (failed["shipmentId"], failed["eventType"]) == (first["id"], "WARNING")
    assert failed["description"] == "The first: fail -> failed (no_space): 2 MB short"
    pages = [ask(site, "GET", "device/timeline", deviceId=board.id, page=page, size=2) for page in range(2)]
    assert pages[0]["content"] + pages[1]["content"] == events[:4]


def test_when_the_firmware_was_updated_is_when_an_update_succeeded(site: Site) -> None:
    [board] = site.devices(site.product_id)
    assert ask(site, "GET", "device", deviceId=board.id)["firmwareUpdatedAt"] is None
    site.create(to=[board])
    site.update(board, site.poll(board).attempt_id)
    assert site.stand_of(board) == "succeeded"
    assert ask(site, "GET", "device", deviceId=board.id)["firmwareUpdatedAt"] == site.now


ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "device", None),
    ("PUT", "device", {"name": "mine now"}),
    ("DELETE", "device", None),
    ("GET", "device/baseInfo", None),
    ("GET", "device/online", None),
    ("GET", "device/timeline", None),
    ("GET", "device/metafield", None),
    ("POST", "device/metafield", {"name": "floor", "value": 1}),
    ("POST", "device/transfer/to-owner", {"ownerId": 1}),
    ("DELETE", "device/owner", None),
]


def test_every_endpoint_of_one_device_stands_in_the_list() -> None:
    handlers = [*devices.HANDLERS, *metafields.HANDLERS]
    found = {(method, path.strip("/")) for one in handlers for path in one.paths for method in one.http_methods}
    of_many = {("GET", "devices"), ("GET", "search/devices"), ("POST", "device/create")}
    assert {(method, path) for method, path, _ in ROUTES} == found - of_many - {("OPTIONS", path) for _, path in found}


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_a_stranger_finds_nothing_and_changes_nothing(site: Site, method: str, path: str, body: Any) -> None:
    device = ask(site, "GET", "device", deviceId=made(site, ownerId=site.admin_id)["id"])
    who = stranger(site)
    how = {"json": body} if body else {}
    missing = ask(site, method, path, who, 404, deviceId=MISSING, **how)
    assert ask(site, method, path, who, 404, deviceId=device["id"], **how) == missing
    ask(site, method, path, who, 404, deviceId=device["id"], orgId=site.organization_id, **how)
    ask(site, method, path, None, 401, deviceId=device["id"], **how)
    assert ask(site, "GET", "device", deviceId=device["id"]) == device
    assert ask(site, "GET", "devices", who) == {"content": [], "totalElements": 0}
    assert ask(site, "GET", "search/devices", who, query="Kitchen") == {"content": [], "totalElements": 0}
    ask(site, "GET", "devices", who, 404, orgId=site.organization_id)
    create = {"templateId": key_of(site, site.product_id), "name": "x"}
    unknown = {"templateId": "TMPLnobody", "name": "x"}
    assert ask(site, "POST", "device/create", who, 404, json=create) == ask(
        site, "POST", "device/create", who, 404, json=unknown
    )


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_a_user_may_look_but_not_touch(site: Site, method: str, path: str, body: Any) -> None:
    device = made(site)["id"]
    how = {"json": body} if body else {}
    status = 200 if method == "GET" else 403
    answers = [ask(site, method, path, "user", status, deviceId=device, **how)]
    if method != "GET":
        answers.append(ask(site, method, path, "user", 403, deviceId=MISSING, **how))
        assert answers[0] == answers[1]
    ask(site, "POST", "device/create", "user", 403, json={"templateId": "TMPLx", "name": "x"})
    assert ask(site, "GET", "devices")["totalElements"] == 1


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
def test_a_bad_device_id_is_refused_by_name(site: Site, method: str, path: str, body: Any) -> None:
    how = {"json": body} if body else {}
    for value in ("", "0", "-1", "x", "1.5", str(2**31), str(2**63), "9" * 400, "%00", "TMPLx"):
        answer = site.ask(method, f"/api/v1/organization/{path}", params={"deviceId": value}, **how)
        assert (answer.status_code, "deviceId" in answer.text) == (400, True), (value, answer.text)
    answer = site.ask(method, f"/api/v1/organization/{path}", **how)
    assert (answer.status_code, "deviceId" in answer.text) == (400, True)


BAD_CREATE: list[tuple[str, Any]] = [
    ("templateId", 1), ("templateId", ""), ("templateId", "x"), ("templateId", None), ("name", ""), ("name", " "), ("name", 1),
    ("name", "a\0b"), ("name", "x" * 101), ("ownerId", 0), ("ownerId", "1"), ("ownerId", None), ("onwerId", True),
    ("orgId", -1), ("orgId", None), ("token", "x"), ("uid", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), BAD_CREATE)
def test_bad_input_is_refused_by_name_and_makes_no_device(site: Site, field: str, value: Any) -> None:
    body = {"templateId": key_of(site, site.product_id), "name": "x", field: value}
    answer = site.ask("POST", "/api/v1/organization/device/create", json=body)
    assert (answer.status_code, field in answer.text) == (400, True), answer.text
    assert ask(site, "GET", "devices")["totalElements"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "page=-1",
        "page=x",
        f"page={2**31}",
        "size=0",
        "size=1001",
        "size=",
        "includeSubOrgDevices=perhaps",
        "orgId=0",
        "orgId=x",
    ],
)
def test_bad_paging_is_refused_by_name(site: Site, query: str) -> None:
    for path in ("devices?", "search/devices?query=a&"):
        answer = site.ask("GET", f"/api/v1/organization/{path}{query}")
        assert (answer.status_code, query.partition("=")[0] in answer.text) == (400, True), answer.text


def test_a_search_needs_something_to_look_for(site: Site) -> None:
    for query in ("", "?query=", "?query=%00", f"?query={'x' * 256}", "?query=a%0Ab"):
        answer = site.ask("GET", f"/api/v1/organization/search/devices{query}")
        assert (answer.status_code, "query" in answer.text) == (400, True), query


def test_a_template_of_another_organization_is_no_place_for_a_device(site: Site) -> None:
    below = site.organization()
    key = key_of(site, site.product_id)
    ask(site, "POST", "device/create", status=404, json={"templateId": key, "name": "x", "orgId": below})
    ask(site, "POST", "device/create", status=404, json={"templateId": "TMPLnobody", "name": "x"})
    there = ask(site, "POST", "template/create", status=201, json={"name": "t", "orgId": below})["templateIds"][0]
    own = site.organization_id
    ask(site, "POST", "device/create", status=404, json={"templateId": there, "name": "x", "orgId": own})
    assert ask(site, "GET", "devices", includeSubOrgDevices="true")["totalElements"] == 0
    assert ask(site, "POST", "device/create", status=201, json={"templateId": there, "name": "x"})["orgId"] == below


def test_a_rename_decides_nothing_anew(site: Site) -> None:
    device = made(site)["id"]
    before = rung(site)
    ask(site, "PUT", "device", deviceId=device, json={"name": "x"})
    assert rung(site) == before

"""Groups: made, shown, filled and removed; uploads for them, and what is refused."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from sqlalchemy import select
from tests.apis.device_ota.conftest import END, FORM_TYPE, GROUP_UPLOAD, Door, Group, make_group, part
from tests.apis.device_ota.test_door import HEX, TIME, problem
from tests.apis.device_ota.test_refusals import IMAGES, VERSIONS
from tests.apis.site import Site
from tests.make import image

from airfreight.services import products
from airfreight.store.tables import devices, rollouts
from airfreight_agent.sample_image import build_sample_image

CONTENT = image("1.0.1", size=1600)
NO_SUCH_GROUP = (404, "not_found", {"message": "No such group"})
BAD_ID = (400, "bad_group_id", {"message": "Group ID is not valid"})
MALFORMED = ["A" * 24, "0" * 23, "0" * 25, "g" * 24, "hall", "null", "Undefined"]


@pytest.fixture
def group(door: Door) -> Group:
    return make_group(door, door.board)


@pytest.fixture
def stranger(door: Door) -> Iterator[Door]:
    with ExitStack() as stack:
        yield Door(Site(door.site.server, stack))


@pytest.fixture
def nothing_is_kept(door: Door, group: Group) -> Iterator[None]:
    yield
    assert door.kept() == 0
    assert door.stands() == []
    assert group.latest().status == 404


def test_groups_are_made_shown_renamed_and_removed(door: Door) -> None:
    ask = door.site.ask
    made = ask("POST", "/v1/groups", json={"name": "hall"})
    assert made.status_code == 201, made.text
    found = made.json()
    wanted = rf'{{"_id":"{HEX}","name":"hall","token":"[\w-]{{32}}","created_at":"{TIME}","owner":"{HEX}","__v":0}}'
    assert re.fullmatch(wanted, made.text), made.text
    shown = {**found, "token": ""}
    path = f"/v1/groups/{found['_id']}"
    assert ask("GET", path).json() == shown
    other = ask("POST", "/v1/groups").json()
    assert len(other["name"]) == 10
    page = ask("GET", "/v1/groups", params={"search_value": "HAL", "draw": "1"}).json()
    assert page == {"groups": [shown], "recordsTotal": 2, "recordsFiltered": 1, "draw": "1"}
    newest = ask("GET", "/v1/groups", params={"order_dir": "desc", "limit": 1}).json()["groups"]
    assert [one["_id"] for one in newest] == [other["_id"]]
    assert ask("PUT", path, json={"name": "cellar"}).json() == {**shown, "name": "cellar"}
    assert ask("PUT", path, json={}).json() == {**shown, "name": "cellar"}
    assert ask("DELETE", path).json() == {"message": "Group successfully removed"}
    for method in ("GET", "PUT", "DELETE"):
        assert problem(ask(method, path, json={} if method == "PUT" else None)) == NO_SUCH_GROUP
    assert problem(ask("GET", f"/v1/groups/devices/{found['_id']}")) == NO_SUCH_GROUP


@pytest.mark.parametrize("uid", [*MALFORMED, "0" * 24, "%00", "é" * 24])
def test_whatever_is_no_groups_id_is_the_same_404(door: Door, uid: str) -> None:
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "devices/")):
        answer = door.site.ask(method, f"/v1/groups/{path}{uid}", json={} if method == "PUT" else None)
        assert problem(answer) == NO_SUCH_GROUP, (method, path)


def test_a_device_is_in_the_group_that_it_was_put_into_last(door: Door, group: Group) -> None:
    ask, path = door.site.ask, f"/v1/devices/{door.board.uid}"
    other = make_group(door, name="other")
    assert list(ask("GET", path).json())[-2:] == ["__v", "group"]

    def inside(which: Group) -> list[str]:
        page = ask("GET", f"/v1/groups/devices/{which.uid}").json()
        assert page["recordsTotal"] == page["recordsFiltered"] == len(page["devices"])
        return [one["_id"] for one in page["devices"]]

    assert (inside(group), inside(other)) == ([door.board.uid], [])
    other.put(door.board)
    assert (inside(group), inside(other)) == ([], [door.board.uid])
    assert "group" not in ask("PUT", path, json={"group": "undefined"}).json()
    assert (inside(group), inside(other)) == ([], [])


def test_a_group_that_is_not_there_or_not_yours_is_left_unsaid(door: Door, group: Group, stranger: Door) -> None:
    path = f"/v1/devices/{door.board.uid}"
    for uid in ("0" * 24, make_group(stranger).uid):
        answer = door.site.ask("PUT", path, json={"name": f"lamp {uid}", "group": uid})
        assert (answer.status_code, answer.json()["name"], answer.json()["group"]) == (200, f"lamp {uid}", group.uid)


@pytest.mark.parametrize("uid", [*MALFORMED, ""])
def test_a_device_cannot_be_put_into_what_is_no_id(door: Door, uid: str) -> None:
    path = f"/v1/devices/{door.board.uid}"
    before = door.site.ask("GET", path).json()
    assert problem(door.site.ask("PUT", path, json={"name": "lamp", "group": uid})) == BAD_ID
    assert door.site.ask("GET", path).json() == before


def test_a_removed_group_leaves_its_devices_and_what_was_sent_to_them(door: Door, group: Group) -> None:
    assert group.upload().status_code == 201
    rollout = group.last()
    assert door.site.ask("DELETE", f"/v1/groups/{group.uid}").status_code == 200
    assert "group" not in door.site.ask("GET", f"/v1/devices/{door.board.uid}").json()
    assert (group.latest().status, group.download().status) == (404, 404)
    assert group.otas()["recordsTotal"] == 0
    again = make_group(door, door.board)
    assert (again.latest().status, again.otas()["recordsTotal"]) == (404, 0)
    assert door.site.rollout_state(rollout.id) == "running"
    assert door.download().body == CONTENT


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", ""), ("GET", "/{}"), ("PUT", "/{}"), ("DELETE", "/{}"), ("GET", "/devices/{}")],
)
def test_strangers_see_and_change_no_group(door: Door, group: Group, stranger: Door, method: str, path: str) -> None:
    address = f"/v1/groups{path}".format(group.uid)
    body = {"name": "mine"} if method in {"PUT", "POST"} else None
    answer = door.site.http(None).request(method, address, json=body)
    assert (answer.status_code, answer.text) == (401, "Unauthorized")
    if path:
        assert problem(stranger.site.ask(method, address, json=body)) == NO_SUCH_GROUP
    elif method == "GET":
        assert stranger.site.ask(method, address).json()["groups"] == []
    if method != "GET":
        assert problem(door.site.ask(method, address, "user", json=body))[:2] == (403, "forbidden")
    assert door.site.ask("GET", f"/v1/groups/{group.uid}").json()["name"] == "hall"
    assert door.site.ask("GET", "/v1/groups").json()["recordsTotal"] == 1


def test_nothing_but_a_name_makes_a_group(door: Door) -> None:
    bodies: list[Any] = [{"name": ""}, {"name": 1}, {"name": "x" * 101}, {"name": "a\nb"}, {"token": "x"}, []]
    assert problem(door.site.ask("POST", "/v1/groups", content=b"null"))[:2] == (400, "invalid")
    for body in bodies:
        assert problem(door.site.ask("POST", "/v1/groups", json=body))[:2] == (400, "invalid")
    assert door.site.ask("GET", "/v1/groups").json()["recordsTotal"] == 0


def test_an_upload_for_a_group_and_the_list_are_answered_as_in_the_contract(door: Door, group: Group) -> None:
    answer = group.upload("1.2.7")
    assert (answer.status_code, answer.content) == (201, b'{"message":"Firmware successfully deployed"}')
    text = door.site.ask("GET", GROUP_UPLOAD, params={"draw": "warp"}).text
    wanted = (
        rf'{{"otas":\[{{"_id":"{HEX}","group":"{group.uid}","__v":0,"last_updated":"{TIME}","owner":"{HEX}",'
        rf'"path":"ota/group/{group.uid}[0-9a-f]{{12}}/firmware.bin","version":"1.2.7"}}\],'
        r'"recordsTotal":1,"recordsFiltered":1,"draw":"warp"}'
    )
    assert re.fullmatch(wanted, text), text
    assert group.token not in text
    assert door.otas()["recordsTotal"] == 0


def test_of_each_group_the_list_has_the_last_upload(door: Door, group: Group) -> None:
    [board] = door.site.devices(door.site.product_id)
    other = make_group(door, board)
    for number, one in enumerate([group, other, group]):
        assert one.upload(f"1.0.{number}").status_code == 201
    found = group.otas()
    assert [(one["group"], one["version"]) for one in found["otas"]] == [(group.uid, "1.0.2"), (other.uid, "1.0.1")]
    assert group.otas(order_dir="asc")["otas"] == found["otas"][::-1]
    some = group.otas(search_value=other.uid.upper(), limit=5)
    assert ([one["group"] for one in some["otas"]], some["recordsTotal"], some["recordsFiltered"]) == (
        [other.uid],
        2,
        1,
    )
    for params in ({"limit": 0}, {"offset": -1}, {"order_dir": "up"}, {"draw": "\n"}):
        assert problem(door.site.ask("GET", GROUP_UPLOAD, params=params))[:2] == (400, "invalid")


@pytest.mark.parametrize("name", ["group", "token", "version", "firmware"])
def test_a_missing_part_is_named(door: Door, group: Group, nothing_is_kept: None, name: str) -> None:
    parts = {
        "firmware": part("firmware", CONTENT, "firmware.bin"),
        "group": part("group", group.uid.encode()),
        "token": part("token", group.token.encode()),
        "version": part("version", b"1.0.1"),
    }
    for empty in (b"", part(name, b"", "firmware.bin" if name == "firmware" else None)):
        body = b"".join({**parts, name: empty}.values()) + END
        answer = door.site.ask("POST", GROUP_UPLOAD, content=body, headers=FORM_TYPE)
        words = "No file uploaded" if name == "firmware" else f"{name} is a mandatory field"
        assert (answer.status_code, answer.json()) == (400, {"message": words})


@pytest.mark.parametrize("uid", MALFORMED)
def test_an_id_that_is_none_is_named(door: Door, group: Group, nothing_is_kept: None, uid: str) -> None:
    assert problem(group.upload(group=uid)) == BAD_ID


def test_an_unknown_group_and_a_wrong_token_are_the_same(
    door: Door, group: Group, stranger: Door, nothing_is_kept: None
) -> None:
    other = make_group(door, door.board)
    group.put(door.board)
    wrong: tuple[dict[str, Any], ...] = (
        {"group": "0" * 24},
        {"token": "wrong"},
        {"token": group.token + "x"},
        {"token": other.token},
        {"token": door.board.token},
        {"group": door.board.uid, "token": door.board.token},
    )
    for changed in wrong:
        assert problem(group.upload(**changed)) == NO_SUCH_GROUP, changed
    theirs = Group(stranger, group.uid, group.token)
    assert problem(theirs.upload()) == NO_SUCH_GROUP
    assert theirs.otas()["otas"] == []
    assert problem(group.upload(who="user"))[:2] == (403, "forbidden")


def test_what_is_wrong_with_version_form_or_file_is_400(door: Door, group: Group, nothing_is_kept: None) -> None:
    for version in VERSIONS:
        assert problem(group.upload(version, CONTENT))[:2] == (400, "bad_version")
    for content in IMAGES.values():
        assert problem(group.upload(content=content))[:2] == (400, "bad_image")
    assert problem(group.upload(device=door.board.uid))[:2] == (400, "bad_form")


def test_an_empty_group_takes_no_upload(door: Door, group: Group, nothing_is_kept: None) -> None:
    assert door.site.ask("PUT", f"/v1/devices/{door.board.uid}", json={"group": "undefined"}).status_code == 200
    assert problem(group.upload())[:2] == (400, "empty_group")
    [board] = door.site.devices(door.site.product_id)
    group.put(board)
    door.site.remove_device(board)
    assert problem(group.upload())[:2] == (400, "empty_group")


def test_a_group_of_several_products_takes_no_upload(door: Door, group: Group, nothing_is_kept: None) -> None:
    group.put(*door.site.devices(door.site.product("another")))
    assert problem(group.upload())[:2] == (400, "mixed_group")


def test_an_image_for_another_chip_than_the_products_is_refused(door: Door, group: Group) -> None:
    with door.site.call() as call:
        products.change(call, door.site.product_id, details={"boardType": "ESP32-C3"})
    assert problem(group.upload(content=build_sample_image("1.0.1", size=1600, chip_id=9)))[:2] == (400, "wrong_chip")
    assert door.kept() == 0
    assert group.upload(content=build_sample_image("1.0.1", size=1600, chip_id=5)).status_code == 201


def test_an_upload_for_a_group_is_a_rollout_of_who_is_in_it_then(door: Door, group: Group) -> None:
    outside, later = door.site.devices(door.site.product_id, 2)
    group.upload()
    group.put(later)
    shown: dict[str, Any] = door.site.ask("GET", f"/api/v1/rollouts/{group.last().id}").json()
    assert (shown["origin"], shown["state"], shown["total"]) == ("device_ota", "running", 1)
    assert shown["title"] == "1.0.1 for the group hall"
    assert [len(door.stands(board)) for board in (door.board, outside, later)] == [1, 0, 0]
    told = door.site.ask("GET", f"/api/v1/devices/{door.board.id}/explain").json()
    assert told["do"] == "download", told
    assert door.site.drift() == {}


def test_a_group_below_is_found_and_takes_the_devices_of_its_own_organization_only(door: Door) -> None:
    below = door.site.organization()
    token = door.site.people(below)["client"]
    http = door.site.http(token)
    made = http.post("/v1/groups", json={}).json()
    board = http.post("/v1/devices", json={}).json()
    path = f"/v1/devices/{board['_id']}"
    assert door.site.ask("PUT", path, json={"group": make_group(door).uid}).json().get("group") is None
    above = door.site.ask("PUT", f"/v1/devices/{door.board.uid}", json={"group": made["_id"]})
    assert (above.status_code, above.json().get("group")) == (200, None)
    assert door.site.ask("PUT", path, json={"group": made["_id"]}).json()["group"] == made["_id"]
    group = Group(door, made["_id"], made["token"])
    assert group.upload().status_code == 201
    assert group.last().organization_id == below
    assert group.otas()["recordsTotal"] == 1
    ids = door.site.rows(select(rollouts.c.group_id).where(rollouts.c.id == group.last().id))
    assert ids == door.site.rows(select(devices.c.group_id).where(devices.c.uid == board["_id"]))

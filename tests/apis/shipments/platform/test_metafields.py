"""Metafields: the attributes of a device, set by operators and by the device itself."""

from typing import Any

import pytest
from tests.apis.shipments.platform.door import ask, rung
from tests.apis.site import Site
from tests.make import Board

TIME_ZONE, CONTROL = "Timezone", "Firmware Update Control"


def fields(site: Site, board: Board) -> dict[str, Any]:
    return {one["name"]: one["value"] for one in ask(site, "GET", "device/metafield", deviceId=board.id)}


def put(site: Site, board: Board, name: str, value: Any, status: int = 200) -> Any:
    return ask(site, "POST", "device/metafield", status=status, deviceId=board.id, json={"name": name, "value": value})


@pytest.fixture
def board(site: Site) -> Board:
    return site.devices(site.product_id)[0]


def test_the_two_well_known_ones_are_there_from_the_start(site: Site, board: Board) -> None:
    assert ask(site, "GET", "device/metafield", deviceId=board.id) == [
        {"name": TIME_ZONE, "type": "Timezone", "value": None},
        {"name": CONTROL, "type": "Boolean", "value": None},
    ]


def test_what_the_device_reports_and_what_operators_set_stand_side_by_side(site: Site, board: Board) -> None:
    site.tell(board, version="1.0", floor=2, hot=True, timeZone="Asia/Tokyo", autoUpdate=False, component="NCP")
    answer = put(site, board, "Serial Number", "A-17")
    assert answer == ask(site, "GET", "device/metafield", deviceId=board.id)
    assert answer == [
        {"name": TIME_ZONE, "type": "Timezone", "value": "Asia/Tokyo"},
        {"name": CONTROL, "type": "Boolean", "value": False},
        {"name": "Serial Number", "type": "Text", "value": "A-17"},
        {"name": "component", "type": "Text", "value": "NCP"},
        {"name": "floor", "type": "Number", "value": 2},
        {"name": "hot", "type": "Boolean", "value": True},
        {"name": "version", "type": "Text", "value": "1.0"},
    ]
    put(site, board, "floor", None)
    assert "floor" not in fields(site, board)


def test_the_last_word_counts_and_the_device_can_have_it(site: Site, board: Board) -> None:
    put(site, board, "floor", 3)
    put(site, board, TIME_ZONE, "Europe/Oslo")
    put(site, board, CONTROL, True)
    site.tell(board, floor=2, timeZone="Asia/Tokyo", autoUpdate=False)
    assert fields(site, board) == {TIME_ZONE: "Asia/Tokyo", CONTROL: False, "floor": 2}


def test_the_well_known_ones_are_the_attributes_of_the_native_api(site: Site, board: Board) -> None:
    put(site, board, TIME_ZONE, "Europe/Oslo")
    put(site, board, CONTROL, False)
    device = site.ask("GET", f"/api/v1/devices/{board.id}").json()
    assert (device["attributes"], device["autoUpdate"]) == ({"timeZone": "Europe/Oslo", "autoUpdate": False}, False)
    changed = site.ask(
        "PATCH", f"/api/v1/devices/{board.id}", json={"autoUpdate": None, "attributes": {"timeZone": None}}
    )
    assert (changed.status_code, changed.json()["autoUpdate"]) == (200, None)
    assert fields(site, board) == {TIME_ZONE: None, CONTROL: None}


def test_removing_the_control_gives_it_back_to_the_template(site: Site, board: Board) -> None:
    for value in (False, True, None):
        before = rung(site)
        put(site, board, CONTROL, value)
        assert fields(site, board)[CONTROL] is value
        assert rung(site) > before


def test_a_device_that_switches_by_itself_is_decided_for_again(site: Site, board: Board) -> None:
    before = rung(site)
    site.tell(board, autoUpdate=False)
    assert rung(site) == before + 1
    site.tell(board, autoUpdate=False, floor=1)
    assert rung(site) == before + 1
    site.tell(board, autoUpdate=None)
    assert rung(site) == before + 2


def test_what_runs_on_the_device_only_the_device_says(site: Site, board: Board) -> None:
    site.tell(board, version="1.0", build="b")
    for name in ("version", "build"):
        for value in ("2.0", None):
            put(site, board, name, value, status=400)
            answer = site.ask("PATCH", f"/api/v1/devices/{board.id}", json={"attributes": {name: value}})
            assert (answer.status_code, answer.headers["x-error-code"]) == (400, "bad_attributes")
    assert fields(site, board) == {TIME_ZONE: None, CONTROL: None, "version": "1.0", "build": "b"}


BAD: list[tuple[Any, Any]] = [
    ("", 1), ("x" * 65, 1), ("a\nb", 1), (1, 1), (None, 1), ("k", []), ("k", {}), ("k", "x" * 257), ("k", 2**53 + 1), ("k", 1e400),
    (TIME_ZONE, "Mars/Olympus"), (TIME_ZONE, 1), (TIME_ZONE, True), (CONTROL, "true"), (CONTROL, 1), (CONTROL, 0),
    ("component", "GPU"), ("component", "mcu"), ("board", "x" * 65), ("fwType", 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_ones_are_refused_by_field_and_kept_out(site: Site, board: Board, name: Any, value: Any) -> None:
    import json

    body = json.dumps({"name": name, "value": value}).replace("Infinity", "1e400")
    answer = site.ask(
        "POST",
        f"/api/v1/organization/device/metafield?deviceId={board.id}",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400, answer.text
    assert "name" in answer.text or "value" in answer.text
    assert fields(site, board) == {TIME_ZONE: None, CONTROL: None}


def test_a_body_has_both_fields_and_no_more(site: Site, board: Board) -> None:
    bodies: list[Any] = [{}, {"name": "k"}, {"value": 1}, {"name": "k", "value": 1, "id": 1}, []]
    for body in bodies:
        ask(site, "POST", "device/metafield", status=400, deviceId=board.id, json=body)


def test_a_device_has_a_limited_number_of_metafields(site: Site, board: Board) -> None:
    site.tell(board, **{f"k{i}": i for i in range(100)})
    put(site, board, "one more", 1, status=400)
    put(site, board, "k0", "changed")
    put(site, board, TIME_ZONE, "Europe/Oslo")
    put(site, board, "k1", None)
    put(site, board, "one more", 1)


def test_an_update_waits_while_the_control_is_off_and_comes_when_it_is_on(site: Site, board: Board) -> None:
    ask(site, "PUT", "template", templateId=site.product_id, json={"firmwareUpdateControl": False})
    site.create(to=[board])
    site.tell(board, version="1.0.0")
    device = site.as_device(board)
    assert device.get("/device/v1/next").status_code == 204
    put(site, board, CONTROL, True)
    assert device.get("/device/v1/next").json()["do"] == "download"


def test_the_device_can_refuse_updates_where_its_template_takes_them(site: Site, board: Board) -> None:
    site.tell(board, version="1.0.0", autoUpdate=False)
    site.create(to=[board])
    device = site.as_device(board)
    assert device.get("/device/v1/next").status_code == 204
    site.tell(board, autoUpdate=None)
    assert device.get("/device/v1/next").json()["do"] == "download"

"""The contract's examples, byte for byte, and this door's errors."""

import re
from typing import Any

import pytest
from tests.apis.device_ota.conftest import UPLOAD, Door
from tests.make import image
from tests.platform.conftest import PASSWORD, PASSWORD_HASH

from airfreight.store import access as people
from airfreight.store.tables import clients

HEX = r"[0-9a-f]{24}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def problem(answer: Any) -> tuple[int, str, dict[str, Any]]:
    return answer.status_code, answer.headers["X-Error-Code"], answer.json()


def test_an_upload_is_answered_as_in_the_contract(door: Door) -> None:
    answer = door.upload("1.2.7")
    assert (answer.status_code, answer.content) == (201, b'{"message":"Firmware successfully deployed"}')


def test_the_list_is_answered_as_in_the_contract(door: Door) -> None:
    door.upload("1.2.7")
    text = door.site.ask("GET", UPLOAD, params={"draw": "warp"}).text
    wanted = (
        rf'{{"otas":\[{{"_id":"{HEX}","device":"{door.board.uid}","__v":0,"last_updated":"{TIME}","owner":"{HEX}",'
        rf'"path":"ota/device/{door.board.uid}[0-9a-f]{{12}}/firmware.bin","version":"1.2.7"}}\],'
        r'"recordsTotal":1,"recordsFiltered":1,"draw":"warp"}'
    )
    assert re.fullmatch(wanted, text), text
    assert door.board.token not in text


def test_the_latest_version_is_16_bytes(door: Door) -> None:
    door.upload("1.0.1")
    answer = door.latest()
    assert (answer.status, answer.body) == (200, b'{"ver":"1.0.1"}')
    assert answer.headers["content-length"] == "15"


def test_without_an_upload_the_latest_version_is_404(door: Door) -> None:
    answer = door.latest()
    assert answer.status == 404
    assert answer.body == b'{"message":"No such device","error":"There is no such device, or nothing for it now."}'


@pytest.mark.parametrize("token", [None, "wrong"])
def test_nobody_is_let_in_without_a_token(door: Door, token: str | None) -> None:
    for method, path in (("GET", UPLOAD), ("POST", UPLOAD), ("GET", "/v1/devices"), ("DELETE", "/v1/devices/x")):
        answer = door.site.http(token).request(method, path)
        assert (answer.status_code, answer.text) == (401, "Unauthorized")
        assert answer.headers["content-type"].startswith("text/plain")


def signed_in(door: Door, **body: Any) -> Any:
    return door.site.ask("POST", "/v1/auth/login", None, json=body)


def test_somebody_signs_in_and_may_do_what_their_role_allows(door: Door) -> None:
    site = door.site
    email = f"ota@{site.organization_id}.example"
    with site.database.write() as connection:
        user_id = people.add_user(
            connection, site.organization_id, email=email, name="x", role="staff", password_hash=PASSWORD_HASH, now=1
        )
    for _ in range(2):
        answer = signed_in(door, email=email, password=PASSWORD, rememberMe="false")
        assert answer.status_code == 200, answer.text
        assert list(answer.json()) == ["user", "token"]
        assert answer.json()["user"] == {"id": f"{user_id:024x}", "role": "staff"}
    assert site.http(answer.json()["token"]).get(UPLOAD).status_code == 200
    assert len([one for one in site.rows(clients_of(site.organization_id)) if "Device OTA" in one.name]) == 1


def clients_of(organization_id: int) -> Any:
    return clients.select().where(clients.c.organization_id == organization_id)


def test_a_wrong_password_and_a_wrong_email_are_the_same_401(door: Door) -> None:
    for email in (f"admin@{door.site.organization_id}.example", "nobody@nowhere.example"):
        answer = signed_in(door, email=email, password="not the password")
        assert (answer.status_code, answer.content) == (401, b'{"error":"Login or password is wrong"}')


def test_devices_are_made_shown_renamed_and_removed(door: Door) -> None:
    ask = door.site.ask
    made = ask("POST", "/v1/devices", json={"name": "lamp"})
    assert made.status_code == 201, made.text
    device = made.json()
    assert list(device) == ["_id", "type", "name", "token", "last_contact", "created_at", "owner", "__v"]
    assert re.fullmatch(HEX, device["_id"])
    assert len(device["token"]) == 32
    shown = {**device, "token": ""}
    path = f"/v1/devices/{device['_id']}"
    assert ask("GET", path).json() == shown
    page = ask("GET", "/v1/devices", params={"search_value": "LAM", "draw": "1"}).json()
    assert page == {"devices": [shown], "recordsTotal": 2, "recordsFiltered": 1, "draw": "1"}
    assert ask("PUT", path, json={"name": "torch", "group": "undefined"}).json() == {**shown, "name": "torch"}
    for nothing in (ask("POST", "/v1/devices", json={}), ask("POST", "/v1/devices")):
        assert len(nothing.json()["name"]) == 10
    assert ask("DELETE", path).json() == {"message": "Device successfully removed"}
    for method in ("GET", "PUT", "DELETE"):
        gone = ask(method, path, json={} if method == "PUT" else None)
        assert problem(gone) == (404, "not_found", {"message": "No such device"})


def test_what_one_device_is_sent_it_can_fetch_with_the_token_it_was_made_with(door: Door) -> None:
    device = door.site.ask("POST", "/v1/devices", json={}).json()
    fields = {"device": device["_id"], "token": device["token"]}
    assert door.upload("3.0.0", **fields).status_code == 201
    esp32 = door.esp32()
    esp32.uid, esp32.token = device["_id"], device["token"]
    assert esp32.check()
    assert esp32.running == image("3.0.0", size=1600)


def test_of_each_device_the_list_has_the_last_upload(door: Door) -> None:
    boards = [door.board, *door.site.devices(door.site.product_id, 2)]
    for number, board in enumerate([*boards, boards[0]]):
        assert door.upload(f"1.0.{number}", board=board).status_code == 201
    found = door.otas()
    assert [(one["device"], one["version"]) for one in found["otas"]] == [
        (boards[0].uid, "1.0.3"),
        (boards[2].uid, "1.0.2"),
        (boards[1].uid, "1.0.1"),
    ]
    oldest = door.otas(order_dir="asc")["otas"]
    assert oldest == found["otas"][::-1]
    assert door.otas(order_dir="asc", offset=1, limit=1)["otas"] == [oldest[1]]
    some = door.otas(search_value=boards[1].uid[:20].upper())
    assert ([one["device"] for one in some["otas"]], some["recordsTotal"], some["recordsFiltered"]) == (
        [boards[1].uid],
        3,
        1,
    )
    assert door.otas(search_value="100%")["recordsFiltered"] == 0


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": "x"}, {"offset": -1}, {"order_dir": "up"}, {"draw": "x" * 65}, {"draw": "\n"}]
)
def test_a_wrong_parameter_of_the_list_is_400_in_this_doors_shape(door: Door, params: Any) -> None:
    status, code, body = problem(door.site.ask("GET", UPLOAD, params=params))
    assert (status, code, list(body)) == (400, "invalid", ["message"])
    assert next(iter(params)) in body["message"]

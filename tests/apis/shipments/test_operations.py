"""What the five operations do, for whom, and when they will not."""

from typing import Any

import pytest
from sqlalchemy import update
from tests.apis.shipments.test_bad_input import CREATE, PATH, refusal
from tests.apis.site import Site

from airfreight.services import products
from airfreight.store.tables import organizations

OVER = ["FINISH", "CANCEL"]


def in_status(site: Site, status: str) -> int:
    """A shipment in this status."""
    [board] = site.devices(site.product_id)
    shipment = int(site.create(site.artifact(""), [board])["id"])
    if status == "FINISH":
        site.report(board, site.poll(board).attempt_id, 1, "succeeded")
    elif status == "CANCEL":
        site.ask("PUT", PATH + "/stop", params={"shipmentId": shipment})
    elif status == "PAUSE":
        site.ask("POST", f"/api/v1/rollouts/{shipment}/pause")
    assert site.get(shipment)["status"] == status
    return shipment


def test_a_created_shipment_is_shown_as_it_was_asked_for(site: Site) -> None:
    boards = site.devices(site.product_id, 2)
    asked: dict[str, Any] = {
        "title": "v2 für alle",
        "shipmentTime": "NIGHT",
        "host": "https://Files.Example.com:8443/",
        "attemptsLimit": 7,
        "attemptResetPeriodMs": 5000,
        "isSecure": True,
        "isCritical": True,
        "skipFwTypeCheck": True,
        "compareField": "LATEST_FIRMWARE_VERSION",
        "firmwareOriginalFileName": "fürm.bin",
    }
    shown = site.create(site.artifact("2.0.0"), boards, **asked)
    assert {**asked, "host": "files.example.com:8443"}.items() <= shown.items()
    assert shown["deviceIds"] == [board.id for board in boards]
    assert (shown["status"], shown["sendPush"], shown["finishedAt"]) == ("RUN", False, 0)
    assert shown["startedByUserId"] == site.admin_id
    assert shown["productId"] == site.product_id
    assert shown["shipmentProgress"]["started"] == 2
    assert site.get(shown["id"]) == shown


def test_the_defaults_are_the_contracts(site: Site) -> None:
    artifact = site.artifact("2.0.0", fw_type="T")
    body = site.create_body(artifact)
    for name in ("skipFwTypeCheck", "compareField", "deviceIds"):
        del body[name]
    shown = site.ask("POST", CREATE, json=body).json()
    wanted = {"shipmentTime": "ANY", "attemptsLimit": 3, "attemptResetPeriodMs": 86_400_000, "isSecure": False}
    wanted |= {"skipFwTypeCheck": False, "isCritical": False, "compareField": "BUILD_DATE_DIFFERS", "host": ""}
    assert wanted.items() <= shown.items()
    assert shown["deviceIds"] == []


@pytest.mark.parametrize("status", ["RUN", "PAUSE", "FINISH", "CANCEL"])
def test_stop_is_for_running_and_paused_ones(site: Site, status: str) -> None:
    shipment = in_status(site, status)
    answer = site.ask("PUT", PATH + "/stop", params={"shipmentId": shipment})
    if status in OVER:
        refusal(answer)
        assert site.get(shipment)["status"] == status
    else:
        assert answer.status_code == 200
        assert answer.json() == site.get(shipment)
        assert answer.json()["status"] == "CANCEL"
        assert answer.json()["finishedAt"] >= answer.json()["startedAt"] > 0


@pytest.mark.parametrize("status", ["RUN", "PAUSE", "FINISH", "CANCEL"])
def test_delete_is_for_those_that_are_over(site: Site, status: str) -> None:
    shipment = in_status(site, status)
    answer = site.ask("DELETE", PATH, params={"shipmentId": shipment})
    if status in OVER:
        assert (answer.status_code, answer.content) == (204, b"")
        refusal(site.ask("GET", PATH, params={"shipmentId": shipment}), 404)
        refusal(site.ask("DELETE", PATH, params={"shipmentId": shipment}), 404)
        assert site.ask("GET", PATH + "s").json() == []
    else:
        refusal(answer)
        assert site.get(shipment)["status"] == status


def test_the_list_is_a_bare_array_of_the_shipments_of_the_organization(site: Site) -> None:
    assert site.ask("GET", PATH + "s").json() == []
    made = [site.create()["id"] for _ in range(3)]
    site.ship(site.artifact(), site.product_id)
    assert [one["id"] for one in site.ask("GET", PATH + "s").json()] == made


def test_a_rollout_of_another_door_is_not_a_shipment(site: Site) -> None:
    native = site.ship(site.artifact(), site.product_id)
    for method, path in (("GET", PATH), ("PUT", PATH + "/stop"), ("DELETE", PATH)):
        refusal(site.ask(method, path, params={"shipmentId": native}), 404)
    assert site.rollout_state(native) == "running"


def test_a_shipment_is_a_rollout_for_the_native_door(site: Site) -> None:
    shipment = site.create()["id"]
    shown = site.ask("GET", f"/api/v1/rollouts/{shipment}").json()
    assert (shown["origin"], shown["state"], shown["wholeProduct"]) == ("shipments", "running", True)


CALLS: list[tuple[str, str, bool]] = [
    ("GET", PATH + "s", True),
    ("GET", PATH, True),
    ("POST", CREATE, False),
    ("PUT", PATH + "/stop", False),
    ("DELETE", PATH, False),
]


@pytest.mark.parametrize(("method", "path", "viewer"), CALLS)
@pytest.mark.parametrize("who", ["client", "admin", "staff", "user"])
def test_who_may_do_what(site: Site, method: str, path: str, viewer: bool, who: str) -> None:
    shipment = in_status(site, "FINISH" if method == "DELETE" else "RUN")
    how: dict[str, Any] = {"params": {"shipmentId": shipment}}
    if path == CREATE:
        how = {"json": site.create_body(site.artifact())}
    answer = site.ask(method, path, who, **how)
    if who == "user" and not viewer:
        assert "permission OTA_" in refusal(answer, 403)
    else:
        assert answer.status_code in {200, 201, 204}, answer.text


@pytest.mark.parametrize(("method", "path", "viewer"), CALLS)
def test_nobody_without_a_good_token(site: Site, method: str, path: str, viewer: bool) -> None:
    [board] = site.devices(site.product_id)
    key = site.ask("POST", "/api/v1/enrollment-keys", json={"name": "k"}).json()["key"]
    body = {"json": site.create_body(site.artifact())} if path == CREATE else {}
    for header in ("", "Bearer", "Bearer x", "Bearer x y", "Basic eDp5", f"Bearer {board.token}", f"Bearer {key}"):
        answer = site.ask(method, path + "?shipmentId=1", None, headers={"Authorization": header}, **body)
        refusal(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_another_organization_does_not_exist(site: Site) -> None:
    elsewhere = site.organization("the root of another tree")
    stranger = site.people(elsewhere)["client"]
    with site.database.write() as connection:
        connection.execute(update(organizations).where(organizations.c.id == elsewhere).values(parent_id=None))
    shipment = site.create()["id"]
    body = {"json": site.create_body(site.artifact(), orgId=site.organization_id)}
    for method, path, _ in CALLS:
        how: dict[str, Any] = body if path == CREATE else {}
        query = {"shipmentId": shipment, "orgId": site.organization_id}
        refusal(site.http(stranger).request(method, path, params=query, **how), 404)
    refusal(site.http(stranger).get(PATH, params={"shipmentId": shipment}), 404)
    assert site.http(stranger).get(PATH + "s").json() == []
    assert site.get(shipment)["status"] == "RUN"


def test_an_organization_below_is_ones_own_when_it_is_named(site: Site) -> None:
    below = site.organization("below")
    with site.call(below) as call:
        product = products.create(call, name="below").id
    artifact = site.artifact()
    made = site.ask("POST", CREATE, json=site.create_body(artifact, orgId=below, productId=product))
    assert made.status_code == 201, made.text
    query = {"shipmentId": made.json()["id"], "orgId": below}
    assert site.ask("GET", PATH, params=query).json() == made.json()
    assert [one["id"] for one in site.ask("GET", PATH + "s", params={"orgId": below}).json()] == [made.json()["id"]]
    assert site.ask("GET", PATH + "s").json() == []
    refusal(site.ask("GET", PATH, params={"shipmentId": query["shipmentId"]}), 404)
    assert site.ask("PUT", PATH + "/stop", params=query).json()["status"] == "CANCEL"
    assert site.ask("DELETE", PATH, params=query).status_code == 204


def test_from_below_the_organization_above_does_not_exist(site: Site) -> None:
    child = site.people(site.organization("child"))["client"]
    shipment = site.create()["id"]
    refusal(site.http(child).get(PATH, params={"shipmentId": shipment, "orgId": site.organization_id}), 404)
    refusal(site.http(child).get(PATH + "s", params={"orgId": site.organization_id}), 404)


def test_stopping_asks_devices_and_the_progress_tells_where_they_stood(site: Site) -> None:
    boards = site.devices(site.product_id, 3)
    shipment = site.create(site.artifact(""), boards)["id"]
    site.poll(boards[0])
    site.report(boards[1], site.poll(boards[1]).attempt_id, 1, "downloading")
    stopped = site.ask("PUT", PATH + "/stop", params={"shipmentId": shipment}).json()["shipmentProgress"]
    assert {name: n for name, n in stopped.items() if n and name != "updatedAt"} == {
        "requestSent": 1,
        "firmwareRequested": 1,
        "started": 1,
    }
    for board in boards[:2]:
        assert site.as_device(board).get("/device/v1/next").json()["do"] == "cancel"
    assert site.as_device(boards[2]).get("/device/v1/next").status_code == 204

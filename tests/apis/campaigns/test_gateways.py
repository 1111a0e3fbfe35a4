"""Gateways of a campaign: in and out in one call or not at all, pages, packages of their own, times that are refused."""

import time
from typing import Any

import pytest
from sqlalchemy import insert, select
from tests.apis.campaigns.conftest import Campaigns, refused

from airfreight.store import tables

MANY = 100_000
PATIENCE = 600
"""Seconds: how long so many take is the machine's affair, and shown."""


def ids(door: Campaigns, campaign: str, **query: Any) -> list[str]:
    told = door.ok("GET", f"/api/campaigns/{campaign}/devices", params=query)
    return [one["gatewayId"] for one in told["gateways"]]


def test_gateways_are_added_listed_in_order_and_removed(door: Campaigns) -> None:
    boards = door.gateways(5)
    campaign = door.create(door.upload())
    door.add(campaign, boards[:3])
    door.add(campaign, boards)
    assert ids(door, campaign) == [one.uid for one in boards]
    body = {"gateway_ids": [boards[0].uid, boards[3].uid]}
    assert door.ok("PUT", f"/api/campaigns/{campaign}/devices", json=body) == {}
    left = [boards[number].uid for number in (1, 2, 4)]
    assert ids(door, campaign) == left
    assert ids(door, campaign, **{"page.number": 2, "page.size": 2}) == left[2:]
    told = door.ok("GET", f"/api/campaigns/{campaign}/devices", params={"page.number": 2, "page.size": 2})
    assert told["pageResponse"] == {"totalPages": "2", "totalElements": "3", "page": 2, "pageSize": 2}
    assert door.ok("GET", f"/api/campaigns/{campaign}/status")["totalNumberOfGateways"] == "3"
    refused(door.ask("GET", f"/api/campaigns/{campaign}/devices/{boards[0].uid}/state"), 404, "not_found", 5)
    door.add(campaign, boards[:1])
    assert door.state(campaign, boards[0]) == "INSTANTIATED"


def test_a_call_that_is_partly_wrong_says_where_and_does_nothing(door: Campaigns) -> None:
    boards = door.gateways(3)
    [thing] = door.gateways()
    door.behind(thing, boards[0])
    below = door.site.organization()
    with door.site.call(below) as call:
        call.connection.execute(
            insert(tables.devices).values(
                organization_id=below, product_id=door.site.product_id, uid="not-yours", created_at=1
            )
        )
    campaign = door.create(door.upload())
    path = f"/api/campaigns/{campaign}/devices"
    wrong: list[tuple[str, list[Any], str, str]] = [
        ("POST", [boards[0].uid, "nobody", boards[1].uid, "not-yours"], "unknown_devices", "2, 4"),
        ("POST", [boards[0].uid, boards[1].uid, boards[0].uid], "repeated", "at: 3"),
        ("POST", [boards[0].uid, thing.uid], "behind_another", "at: 2"),
        ("POST", [], "nobody", "gatewayIds"),
        ("POST", [boards[0].uid, 7], "invalid", "$.gatewayIds[1]"),
        ("POST", [boards[0].uid, "a b"], "invalid", "$.gatewayIds[1]"),
        ("PUT", [boards[2].uid], "no_member", "at: 1"),
    ]
    for method, named, code, place in wrong:
        words = refused(door.ask(method, path, json={"gatewayIds": named}), 400, code, 3)
        assert place in words
        assert not any(uid in words for uid in named if isinstance(uid, str))
    assert ids(door, campaign) == []
    assert door.site.drift() == {}


def test_a_body_may_repeat_the_ids_of_its_path_and_nothing_else(door: Campaigns) -> None:
    [board] = door.gateways()
    campaign = door.create(door.upload())
    door.add(campaign, [board])
    one = f"/api/campaigns/{campaign}/devices/{board.uid}"
    for body, field in (({"campaignId": "x"}, "campaignId"), ({"gateway_id": "x"}, "gatewayId")):
        for verb in ("close", "scheduled-download", "scheduled-execution", "scheduled-activation"):
            answer = door.ask("PUT", f"{one}/{verb}", json=body)
            assert field in refused(answer, 400, "path_mismatch", 3)
        answer = door.ask("PUT", f"{one}/packages", json={**body, "packages": []})
        assert field in refused(answer, 400, "path_mismatch", 3)
    for verb in ("start", "stop", "approve"):
        refused(
            door.ask("PUT", f"/api/campaigns/{campaign}/{verb}", json={"campaign_id": "x"}), 400, "path_mismatch", 3
        )
    for method in ("POST", "PUT"):
        body_of_list = {"gatewayIds": [board.uid], "campaignId": "x"}
        refused(door.ask(method, f"/api/campaigns/{campaign}/devices", json=body_of_list), 400, "path_mismatch", 3)
    assert door.status(campaign) == "CREATED"
    assert ids(door, campaign) == [board.uid]


def test_a_gateway_may_get_packages_of_its_own_until_its_download_begins(door: Campaigns) -> None:
    board, other = door.gateways(2)
    common, own = door.upload(), door.upload("own.iotcp", headless=False)
    campaign = door.started(common, boards=[board, other])
    path = f"/api/campaigns/{campaign}/devices/{board.uid}/packages"
    assert door.ok("GET", path) == {"packages": [common]}
    assert door.ok("PUT", path, json={"packages": [own, common]}) == {}
    assert door.ok("GET", path) == {"packages": [own, common]}
    assert door.ok("GET", f"/api/campaigns/{campaign}/devices/{other.uid}/packages") == {"packages": [common]}
    door.heard(board)
    assert door.state(campaign, board) == "WAITING_FOR_DOWNLOAD_APPROVAL", "one of them is not headless"
    assert door.next(board) is None
    assert "other artifacts" in door.history(board)
    assert door.ok("PUT", path, json={"packages": []}) == {}
    assert door.ok("GET", path) == {"packages": [common]}
    door.ok("PUT", path, json={"packages": [own]})
    door.schedule(campaign, board, "download")
    told = door.next(board)
    assert told is not None
    assert [one["name"] for one in told["artifacts"]] == ["own.iotcp"]
    assert [one["id"] for one in door.ok("GET", path.replace("packages", "progress/download"))["packagesProgress"]] == [
        own
    ]
    body = door.site.as_device(board).get(told["artifacts"][0]["url"])
    assert (body.status_code, len(body.content)) == (200, told["artifacts"][0]["size"])
    door.tell(board, told["attempt"], "downloading")
    answer = door.ask("PUT", path, json={"packages": [common]})
    assert "has begun" in refused(answer, 400, "begun", 9)
    refused(door.ask("DELETE", f"/api/programs/{own}"), 400, "in_use", 9)


def test_who_was_removed_comes_back_without_packages_of_its_own(door: Campaigns) -> None:
    [board] = door.gateways()
    common, own = door.upload(), door.upload("own.iotcp", headless=False)
    campaign = door.started(common, boards=[board])
    path = f"/api/campaigns/{campaign}/devices/{board.uid}/packages"
    door.ok("PUT", path, json={"packages": [own]})
    door.ok("PUT", f"/api/campaigns/{campaign}/devices", json={"gatewayIds": [board.uid]})
    door.add(campaign, [board])
    assert door.ok("GET", path) == {"packages": [common]}
    assert (door.next(board) or {})["do"] == "download"
    door.ok("DELETE", f"/api/programs/{own}")


@pytest.mark.parametrize(
    ("begin", "end", "code"),
    [
        ("2", "1", "bad_time"),
        ("99999999999", "99999999998", "bad_time"),
        ("0", "1", "bad_time"),
        ("10000000000000", "0", "bad_time"),
        ("soon", "0", "invalid"),
        ("1.5", "0", "invalid"),
        ("", "0", "invalid"),
        (-1, 0, "invalid"),
        (1.5, 0, "invalid"),
        (True, 0, "invalid"),
        (None, 0, "invalid"),
        ("9" * 40, "0", "invalid"),
    ],
)
def test_a_time_that_is_none_is_refused(door: Campaigns, begin: Any, end: Any, code: str) -> None:
    [board] = door.gateways()
    campaign = door.create(door.upload())
    door.add(campaign, [board])
    path = f"/api/campaigns/{campaign}/devices/{board.uid}/scheduled-download"
    refused(door.ask("PUT", path, json={"begin": begin, "end": end}), 400, code, 3)


def test_a_phase_that_has_begun_is_given_no_time(door: Campaigns) -> None:
    [board] = door.gateways()
    campaign = door.started(door.upload(), boards=[board])
    door.tell(board, (door.next(board) or {})["attempt"], "installing")
    for phase in ("download", "execution"):
        path = f"/api/campaigns/{campaign}/devices/{board.uid}/scheduled-{phase}"
        refused(door.ask("PUT", path, json={"begin": 0, "end": 0}), 400, "begun", 9)
    door.schedule(campaign, board, "activation")


def test_ids_that_are_none_are_answered_like_those_that_do_not_exist(door: Campaigns) -> None:
    [board] = door.gateways()
    campaign = door.create(door.upload())
    for wrong in ("x", "%00", "%ff", "'", "a" * 3000, "%F0%9F%98%80", "00000000-0000-4000-8000-000000000000"):
        refused(door.ask("GET", f"/api/campaigns/{wrong}"), 404, "not_found", 5)
        refused(door.ask("GET", f"/api/campaigns/{campaign}/devices/{wrong}/state"), 404, "not_found", 5)
        refused(door.ask("GET", f"/api/devices/{wrong}/active-campaigns"), 404, "not_found", 5)
        refused(door.ask("GET", f"/api/programs/{wrong}/file-info"), 404, "not_found", 5)
        refused(door.ask("DELETE", f"/api/programs/{wrong}"), 404, "not_found", 5)
        refused(door.ask("GET", f"/api/notification-destinations/{wrong}"), 404, "not_found", 5)
        for name, field in (("completed", "notificationDestinationId"),):
            answer = door.ask("PUT", f"/api/campaigns/{campaign}/callbacks/{name}", json={field: wrong[:36]})
            refused(answer, 404, "not_found", 5)
    answer = door.ask("GET", f"/api/campaigns/{campaign}/devices/{board.uid}/state")
    refused(answer, 404, "not_found", 5)


@pytest.mark.parametrize("uid", ["007", "0", "0_1", "1_0", "000012345", "-1.2:x", "A.b-c_d:9"])
def test_a_gateway_whose_id_looks_like_a_number_is_reached(door: Campaigns, uid: str) -> None:
    product = {"productId": door.site.product_id, "uid": uid}
    assert door.ask("POST", "/api/v1/devices", json=product).status_code == 201
    campaign = door.create(door.upload())
    door.ok("POST", f"/api/campaigns/{campaign}/devices", json={"gatewayIds": [uid]})
    assert door.ok("GET", f"/api/campaigns/{campaign}/devices/{uid}/state") == {"state": "INSTANTIATED"}
    assert door.ok("GET", f"/api/devices/{uid}/active-campaigns") == {"campaignId": [campaign]}
    assert door.ok("PUT", f"/api/campaigns/{campaign}/devices/{uid}/close") == {}


@pytest.mark.timeout(2 * PATIENCE)
def test_a_hundred_thousand_in_one_call(door: Campaigns) -> None:
    uids = [f"gateway-{number:06}-with-a-name-of-usual-length" for number in range(MANY)]
    rows = [
        {"organization_id": door.site.organization_id, "product_id": door.site.product_id, "uid": uid, "created_at": 1}
        for uid in uids
    ]
    with door.site.database.write() as connection:
        connection.execute(insert(tables.devices), rows)
    campaign = door.started(door.upload())
    path = f"/api/campaigns/{campaign}/devices"
    took = {}
    for name, method, field in (("added", "POST", "gatewayIds"), ("removed", "PUT", "gateway_ids")):
        began = time.monotonic()
        assert door.ok(method, path, json={field: uids}, timeout=PATIENCE) == {}
        took[name] = time.monotonic() - began
        total = MANY if name == "added" else 0
        began = time.monotonic()
        assert door.ok("GET", f"/api/campaigns/{campaign}/status")["totalNumberOfGateways"] == str(total)
        took[f"status, {total}"] = time.monotonic() - began
        began = time.monotonic()
        page = door.ok("GET", path, params={"page.number": 1000, "page.size": 100})
        took[f"last page, {total}"] = time.monotonic() - began
        assert [one["gatewayId"] for one in page["gateways"]] == (uids[-100:] if total else [])
    print({name: f"{seconds:.3f} s" for name, seconds in took.items()})  # noqa: T201 - to be looked at
    too_many = door.ask("POST", path, json={"gatewayIds": [*uids, "one-more"]})
    refused(too_many, 400, "too_many", 3)
    counted = select(tables.deliveries.c.id).where(tables.deliveries.c.state == "canceled").limit(1)
    assert door.site.rows(counted)

"""Things in a campaign: let in as far as they can be, each with a delivery of its own, driven through their gateway."""

from typing import Any

import pytest
from tests.apis.campaigns.conftest import Campaigns, Json, refused
from tests.apis.serving import eventually
from tests.make import Board

from airfreight.services import devices
from airfreight.services.devices import Wanted


def behind(door: Campaigns, gateway: Board, *uids: str) -> list[Board]:
    with door.site.call() as call:
        wanted = [Wanted(uid) for uid in uids]
        made = devices.create_many(call, product_id=door.site.product_id, wanted=wanted, parent_id=gateway.id)
    return [Board(one.id, one.uid, "", b"") for one in made]


def run(door: Campaigns, campaign: str, *pairs: tuple[str, list[str]], path: str = "/api/campaigns/{}") -> Json:
    wanted = [{"gateway_id": gateway, "thing_ids": things} for gateway, things in pairs]
    body = {"gateway_things": wanted}
    told: Json = door.ok("POST", path.format(campaign) + "/devices/things", json=body)
    return told


def next_of(door: Campaigns, gateway: Board, uid: str) -> Json | None:
    answer = door.site.as_device(gateway).get("/device/v1/next", params={"thing": uid})
    return answer.json() if answer.status_code == 200 else None


@pytest.mark.parametrize("path", ["/api/campaigns/{}", "/{}"])
def test_things_take_part_and_their_gateway_is_not_given_what_is_theirs(door: Campaigns, path: str) -> None:
    [gateway] = door.gateways()
    behind(door, gateway, "t1", "t2")
    campaign = door.started(door.upload())
    told = run(door, campaign, (gateway.uid, ["t1", "t2"]), path=path)
    [one] = told["gateway_things"]
    assert list(told) == ["gateway_things", "not_processed_thing_ids"]
    assert set(one) == {
        *("gateway_id", "thing_ids", "not_processed_thing_ids", "state", "closed", "causedBy"),
        *("download_progress", "execution_progress", "timestamp"),
    }
    assert (one["gateway_id"], one["thing_ids"], one["not_processed_thing_ids"]) == (gateway.uid, ["t1", "t2"], [])
    assert (one["state"], one["closed"], one["causedBy"]) == ("INSTANTIATED", False, "")
    assert (one["download_progress"], one["execution_progress"]) == ([], [])
    assert one["timestamp"].isdecimal()
    assert told["not_processed_thing_ids"] == []
    assert door.next(gateway) is None
    assert [thing["uid"] for thing in door.site.as_device(gateway).get("/device/v1/things").json()["things"]] == [
        "t1",
        "t2",
    ]
    first = next_of(door, gateway, "t1")
    assert first is not None
    assert first["do"] == "download"


def test_what_cannot_be_let_in_is_named_with_the_reason_and_the_rest_goes_on(door: Campaigns) -> None:
    one, two, lone = door.gateways(3)
    behind(door, one, "t1", "t2", "t3")
    behind(door, two, "u1")
    campaign = door.create(door.upload())
    run(door, campaign, (one.uid, ["t3"]))
    told = run(
        door,
        campaign,
        (one.uid, ["t1", "nobody", "u1", "t3", lone.uid, "t1", "t2"]),
        ("no-gateway", ["t1"]),
        ("t1", ["t2"]),
        (two.uid, ["u1"]),
    )
    first, unknown, thing, second = told["gateway_things"]
    assert first["thing_ids"] == ["t1", "t2"]
    assert first["not_processed_thing_ids"] == ["nobody", "u1", "t3", lone.uid, "t1"]
    assert first["causedBy"] == (
        "no such thing, at: 2; not behind this gateway, at: 3; takes part already, at: 4; not a thing, at: 5; repeated, at: 6"
    )
    assert (unknown["thing_ids"], unknown["not_processed_thing_ids"], unknown["state"]) == ([], ["t1"], "")
    assert unknown["causedBy"] == "There is no such gateway."
    assert thing["causedBy"] == "That is not a gateway but a thing behind one."
    assert second["thing_ids"] == ["u1"]
    assert told["not_processed_thing_ids"] == [*first["not_processed_thing_ids"], "t1", "t2"]
    listed = door.ok("GET", f"/api/campaigns/{campaign}/devices")
    assert sorted(row["gatewayId"] for row in listed["gateways"]) == ["t1", "t2", "t3", "u1"]
    assert door.ok("GET", f"/api/campaigns/{campaign}/status")["totalNumberOfGateways"] == "4"


def test_bad_bodies_change_nothing(door: Campaigns) -> None:
    [gateway] = door.gateways()
    behind(door, gateway, "t1")
    campaign = door.create(door.upload())
    path = f"/api/campaigns/{campaign}/devices/things"
    bodies: list[tuple[Any, str]] = [
        ({}, "invalid"),
        ([], "invalid"),
        ({"gateway_things": []}, "nobody"),
        ({"gateway_things": [{"gateway_id": gateway.uid, "thing_ids": []}]}, "nobody"),
        ({"gateway_things": [{"gateway_id": gateway.uid}]}, "invalid"),
        ({"gateway_things": [{"gateway_id": gateway.uid, "thing_ids": ["a b"]}]}, "invalid"),
        ({"gateway_things": [{"gateway_id": gateway.uid, "thing_ids": [1]}]}, "invalid"),
        ({"gateway_things": [{"gateway_id": gateway.uid, "thing_ids": ["t1"], "more": 1}]}, "invalid"),
        ({"gateway_things": [], "gatewayThings": []}, "invalid"),
    ]
    for body, code in bodies:
        refused(door.ask("POST", path, json=body), 400, code, 3)
    many = {"gateway_things": [{"gateway_id": gateway.uid, "thing_ids": ["t1"] * 100_000}]}
    refused(door.ask("POST", path, json=many), 400, "too_many", 3)
    refused(door.ask("POST", path, "user", json={"gateway_things": []}), 403, "forbidden", 7)
    refused(door.ask("POST", path, None, json={"gateway_things": []}), 401, "unauthenticated", 16)
    refused(door.ask("POST", "/no-campaign/devices/things", json=bodies[3][0]), 404, "not_found", 5)
    assert door.ok("GET", f"/api/campaigns/{campaign}/devices")["gateways"] == []
    camel = {"gatewayThings": [{"gatewayId": gateway.uid, "thingIds": ["t1"]}]}
    assert door.ok("POST", path, json=camel)["gateway_things"][0]["thing_ids"] == ["t1"]


def test_a_gateway_shows_its_slowest_thing_and_what_is_done_to_it_is_done_to_its_things(door: Campaigns) -> None:
    [gateway] = door.gateways()
    one, two = behind(door, gateway, "t1", "t2")
    campaign = door.started(door.upload(headless=False))
    run(door, campaign, (gateway.uid, ["t1", "t2"]))
    assert {door.state(campaign, who) for who in (gateway, one, two)} == {"INSTANTIATED"}
    door.schedule(campaign, one, "download")
    first = next_of(door, gateway, "t1")
    assert first is not None
    for seq, event in enumerate(("downloading", "downloaded"), 1):
        report = {"attempt": first["attempt"], "seq": seq, "event": event, "thing": "t1"}
        door.site.as_device(gateway).post("/device/v1/reports", json={"reports": [report]})
    assert next_of(door, gateway, "t2") is None
    assert door.state(campaign, one) != door.state(campaign, gateway) == door.state(campaign, two)
    status = door.ok("GET", f"/api/campaigns/{campaign}/devices/{gateway.uid}/status")
    assert status["gatewayId"] == gateway.uid
    door.schedule(campaign, gateway, "download")
    assert next_of(door, gateway, "t2") is not None, "the other thing's download had not begun"
    refused(
        door.ask("PUT", f"/api/campaigns/{campaign}/devices/t1/scheduled-download", json={"begin": "0", "end": "0"}),
        *(400, "begun", 9),
    )
    active = door.ok("GET", f"/api/devices/{gateway.uid}/active-campaigns")
    assert active == {"campaignId": [campaign]} == door.ok("GET", "/api/devices/t2/active-campaigns")
    assert door.ok("PUT", f"/api/campaigns/{campaign}/devices/{gateway.uid}/close", json={}) == {}
    listed = door.ok("GET", f"/api/campaigns/{campaign}/devices")["gateways"]
    assert [row["closed"] for row in listed] == [True, True]
    body = {"gatewayIds": [gateway.uid]}
    assert door.ok("PUT", f"/api/campaigns/{campaign}/devices", json=body) == {}
    assert door.ok("GET", f"/api/campaigns/{campaign}/devices")["gateways"] == []
    refused(door.ask("GET", f"/api/campaigns/{campaign}/devices/{gateway.uid}/state"), 404, "not_found", 5)
    again = run(door, campaign, (gateway.uid, ["t1"]))
    assert again["gateway_things"][0]["thing_ids"] == ["t1"]
    assert next_of(door, gateway, "t1") is None, "it was closed, and waits for its approval again"


def test_a_gateway_may_take_part_itself_too(door: Campaigns) -> None:
    [gateway] = door.gateways()
    behind(door, gateway, "t1")
    campaign = door.started(door.upload(), boards=[gateway])
    run(door, campaign, (gateway.uid, ["t1"]))
    own = door.next(gateway)
    theirs = next_of(door, gateway, "t1")
    assert own is not None
    assert theirs is not None
    assert own["attempt"] != theirs["attempt"]
    assert door.tell(gateway, own["attempt"], "downloading") == "moved"
    assert door.state(campaign, gateway) == "WAITING_FOR_DOWNLOAD"


def test_one_thing_is_removed_by_itself_and_begins_anew(door: Campaigns) -> None:
    [gateway] = door.gateways()
    behind(door, gateway, "t1", "t2")
    campaign = door.started(door.upload())
    run(door, campaign, (gateway.uid, ["t1", "t2"]))
    first = next_of(door, gateway, "t1")
    assert first is not None
    report = {"attempt": first["attempt"], "seq": 1, "event": "failed", "lines": ["no"], "thing": "t1"}
    door.site.as_device(gateway).post("/device/v1/reports", json={"reports": [report]})
    path = f"/api/campaigns/{campaign}/devices"
    assert door.ok("GET", f"{path}/t1/status")["executionProgress"] == ["no"]
    assert door.ok("PUT", path, json={"gatewayIds": ["t1"]}) == {}
    assert [row["gatewayId"] for row in door.ok("GET", path)["gateways"]] == ["t2"]
    assert run(door, campaign, (gateway.uid, ["t1"]))["gateway_things"][0]["thing_ids"] == ["t1"]
    assert door.ok("GET", f"{path}/t1/status")["executionProgress"] == [], "what it told before was of another try"
    assert next_of(door, gateway, "t1") is not None
    assert door.ok("PUT", path, json={"gatewayIds": [gateway.uid, "t1"]}) == {}, "named beside its gateway"
    assert door.ok("GET", path)["gateways"] == []


def test_a_gateway_named_a_thousand_times_costs_no_more_than_once(door: Campaigns) -> None:
    [gateway] = door.gateways()
    behind(door, gateway, *(f"t{number}" for number in range(500)))
    campaign = door.started(door.upload())
    run(door, campaign, (gateway.uid, [f"t{number}" for number in range(500)]))
    told = run(door, campaign, *[(gateway.uid, [])] * 5000, (gateway.uid, ["t1"]))
    assert len(told["gateway_things"]) == 5001
    assert told["not_processed_thing_ids"] == ["t1"]


def test_a_thing_that_waits_for_approval_is_seen_to_wait(door: Campaigns) -> None:
    """Nobody asks for it by name while there is nothing to do; but its gateway is there."""
    [gateway] = door.gateways()
    behind(door, gateway, "t1")
    campaign = door.started(door.upload(headless=False))
    run(door, campaign, (gateway.uid, ["t1"]))
    assert door.site.as_device(gateway).get("/device/v1/things").json() == {"things": []}
    path = f"/api/campaigns/{campaign}/devices"
    assert eventually(lambda: door.ok("GET", f"{path}/t1/state")["state"] == "WAITING_FOR_DOWNLOAD_APPROVAL")

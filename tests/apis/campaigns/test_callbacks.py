"""Callbacks of a campaign, from the registration to a real receiver; and the group that a campaign follows."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest
from tests.apis.campaigns.conftest import Campaigns, refused
from tests.apis.serving import Served, eventually
from tests.apis.site import Site
from tests.webhooks.receiver import Receiver

from airfreight.apis.campaigns.shapes import GatewayState
from airfreight.apis.campaigns.told import _changes as changes_of
from airfreight.domain.delivery import State
from airfreight.domain.phases import Point, Standing
from airfreight.services.callbacks import Change

KINDS = ["completed", "wake-up", "state-change", "execution-progress", "download-progress"]
ENVELOPE = [
    "event",
    "entityType",
    "entityId",
    "entityName",
    "entityState",
    "campaignId",
    "gatewayId",
    "timestamp",
    "additionalDetails",
]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture
def open_door(serve: Callable[..., AbstractContextManager[Served]]) -> Iterator[Campaigns]:
    """A door of a server that may send to loopback."""
    with ExitStack() as stack:
        yield Campaigns(Site(stack.enter_context(serve(webhook_allow="127.0.0.0/8")), stack))


def destination(door: Campaigns, port: int, **changed: Any) -> str:
    body = {
        "name": "here",
        "protocol": "HTTP",
        "host": "127.0.0.1",
        "port": port,
        "sslTlsVersion": "NO_CERT",
        **changed,
    }
    return str(door.ok("POST", "/api/notification-destinations", json=body)["id"])


def register(door: Campaigns, campaign: str, kind: str, to: str, **more: Any) -> None:
    body = {"notificationDestinationId": to, "campaignId": campaign, **more}
    assert door.ok("PUT", f"/api/campaigns/{campaign}/callbacks/{kind}", json=body) == {}


def test_a_campaign_is_told_from_its_start_to_its_end(open_door: Campaigns, receiver: Receiver) -> None:
    door = open_door
    package = door.upload(headless=False)
    [board] = door.gateways()
    campaign = door.create(package)
    door.add(campaign, [board])
    to = destination(door, receiver.port, authenticationType="BASIC", username="u", password="p")
    for kind in KINDS:
        register(door, campaign, kind, to)
    door.steer(campaign, "start")
    for phase in ("download", "execution", "activation"):
        door.schedule(campaign, board, phase)
    told = door.next(board)
    assert told is not None
    door.tell(
        board, told["attempt"], "downloading", artifacts=[{"id": told["artifacts"][0]["id"], "done": 5, "total": 9}]
    )
    door.tell(board, told["attempt"], "downloaded")
    door.tell(board, told["attempt"], "installing", lines=["execute: ok"])
    door.tell(board, told["attempt"], "installed")
    door.tell(board, told["attempt"], "activating")
    door.tell(board, told["attempt"], "succeeded")
    assert eventually(lambda: receiver.heard and b"COMPLETED" in receiver.heard[-1].body, 15)
    bodies = [json.loads(one.body) for one in receiver.heard]
    assert {one.headers["authorization"] for one in receiver.heard} == {"Basic dTpw"}
    assert [(one["additionalDetails"][0]["valueString"], one["entityState"]) for one in bodies if one["event"] == "STATE_CHANGE"] == [
        ("WAITING_FOR_DOWNLOAD_APPROVAL", "WAITING_FOR_DOWNLOAD"),
        ("WAITING_FOR_DOWNLOAD", "DOWNLOAD_COMPLETE"),
        ("DOWNLOAD_COMPLETE", "WAITING_FOR_EXECUTION"),
        ("WAITING_FOR_EXECUTION", "EXECUTION_COMPLETE"),
        ("EXECUTION_COMPLETE", "WAITING_FOR_ACTIVATION"),
        ("WAITING_FOR_ACTIVATION", "ACTIVATION_COMPLETE"),
    ]  # fmt: skip
    first = bodies[0]
    assert list(first) == ENVELOPE
    assert (first["campaignId"], first["gatewayId"], first["entityType"]) == (campaign, board.uid, "CAMPAIGN_GATEWAY")
    [progress] = [one["downloadProgress"] for one in bodies if one["event"] == "DOWNLOAD_PROGRESS"]
    assert [one["id"] for one in progress["packagesProgress"]] == [package]
    [lines] = [one["executionProgress"] for one in bodies if one["event"] == "EXECUTION_PROGRESS"]
    assert lines == ["execute: ok"]
    assert bodies[-1]["entityType"] == "CAMPAIGN"
    assert bodies[-1]["additionalDetails"][0] == {
        "key": "numberOfGatewaysInActivationCompleteState",
        "valueString": "1",
    }
    assert {one["event"] for one in bodies} == {
        "STATE_CHANGE", "WAKE_UP", "DOWNLOAD_PROGRESS", "EXECUTION_PROGRESS", "COMPLETED",
    }  # fmt: skip


def test_only_the_states_that_are_tracked_are_told(open_door: Campaigns, receiver: Receiver) -> None:
    door = open_door
    [board] = door.gateways()
    campaign = door.create(door.upload())
    door.add(campaign, [board])
    to = destination(door, receiver.port)
    register(door, campaign, "state-change", to, trackedStates=["DOWNLOAD_COMPLETE", "FAILED"])
    door.steer(campaign, "start")
    told = door.next(board)
    assert told is not None
    door.tell(board, told["attempt"], "downloaded")
    door.tell(board, told["attempt"], "failed", reason="install_failed", message="no room")
    assert eventually(lambda: len(receiver.heard) == 2, 15)
    bodies = [json.loads(one.body) for one in receiver.heard]
    assert [one["entityState"] for one in bodies] == ["DOWNLOAD_COMPLETE", "FAILED"]
    assert {"key": "causedBy", "valueString": "install_failed"} in bodies[1]["additionalDetails"]


def test_a_gateway_is_notified_by_hand(open_door: Campaigns, receiver: Receiver) -> None:
    door = open_door
    board, stranger = door.gateways(2)
    campaign = door.started(door.upload(), boards=[board])
    register(door, campaign, "wake-up", destination(door, receiver.port))
    path = f"/api/campaigns/{campaign}/devices"
    body = {"gatewayId": board.uid, "campaignId": campaign}
    assert door.ok("PUT", f"{path}/{board.uid}/notify", json=body) == {}
    assert eventually(lambda: len(receiver.heard) == 1, 15)
    assert json.loads(receiver.heard[0].body)["event"] == "WAKE_UP"
    refused(door.ask("PUT", f"{path}/{stranger.uid}/notify", json={}), 404, "not_found", 5)


POINTS = [
    ([Point(State.QUEUED, 0, Standing.UNAPPROVED), Point(State.QUEUED, 0, Standing.SCHEDULED, has_slot=True)],
     ["SCHEDULED_DOWNLOAD"]),
    ([Point(State.DOWNLOADING, 2), Point(State.DOWNLOADED, 3, Standing.UNAPPROVED)],
     ["DOWNLOAD_COMPLETE", "WAITING_FOR_EXECUTION_APPROVAL"]),
    ([Point(State.DOWNLOADING, 2), Point(State.DOWNLOADED, 3, Standing.OPEN)], ["DOWNLOAD_COMPLETE"]),
    ([Point(State.DOWNLOADED, 3, Standing.UNAPPROVED), Point(State.DOWNLOADED, 3, Standing.OPEN, has_slot=True)],
     ["WAITING_FOR_EXECUTION"]),
    ([Point(State.OFFERED, 1, Standing.OPEN), Point(State.DOWNLOADING, 2)], []),
    ([Point(State.INSTALLED, 5, Standing.SCHEDULED, has_slot=True), Point(State.CANCELED, 5)],
     ["EXECUTION_COMPLETE"]),
    ([Point(State.ACTIVATING, 6), Point(State.SUCCEEDED, 6)], ["ACTIVATION_COMPLETE"]),
    ([Point(State.QUEUED, 0, Standing.OPEN), Point(State.OFFERED, 1, Standing.OPEN)], ["WAITING_FOR_DOWNLOAD"]),
    ([Point(State.QUEUED, 0, Standing.OPEN, has_slot=True), Point(State.OFFERED, 1, Standing.OPEN, has_slot=True)], []),
    ([Point(State.QUEUED, 0, Standing.OPEN), Point(State.CANCELED, 0)], []),
    ([Point(State.CANCELED, 3), Point(State.QUEUED, 0, Standing.OPEN)], ["INSTANTIATED"]),
]  # fmt: skip


@pytest.mark.parametrize(("points", "names"), POINTS)
def test_what_a_change_is_called(points: list[Point], names: list[str]) -> None:
    assert [name for _, name in changes_of(Change(1, tuple(points)))] == [GatewayState(one) for one in names]


def test_that_a_gateway_waits_for_approval_is_told_once_when_it_comes(open_door: Campaigns, receiver: Receiver) -> None:
    """Nothing moves by that: it is told as the server writes down that it was heard of."""
    door = open_door
    quiet, board = door.gateways(2)
    campaign = door.create(door.upload(headless=False))
    door.add(campaign, [quiet, board])
    register(door, campaign, "state-change", destination(door, receiver.port))
    assert door.next(quiet) is None, "before the start it is nothing to it"
    door.steer(campaign, "start")
    assert door.next(board) is None
    assert eventually(lambda: receiver.heard, 15)
    assert door.next(board) is None
    door.schedule(campaign, board, "download")
    assert door.next(board) is not None
    assert eventually(lambda: len(receiver.heard) == 2, 15)
    told = [json.loads(one.body) for one in receiver.heard]
    assert [(one["gatewayId"], one["additionalDetails"][0]["valueString"], one["entityState"]) for one in told] == [
        (board.uid, "INSTANTIATED", "WAITING_FOR_DOWNLOAD_APPROVAL"),
        (board.uid, "WAITING_FOR_DOWNLOAD_APPROVAL", "WAITING_FOR_DOWNLOAD"),
    ]


def test_a_destination_is_made_shown_changed_and_removed(door: Campaigns) -> None:
    body = {
        "name": "ops",
        "description": "d",
        "protocol": "HTTP",
        "host": "hooks.example.com",
        "port": 443,
        "sslTlsVersion": "TLS1_2",
        "authenticationType": "BASIC",
        "username": "ada",
        "password": "secret",
    }
    made = door.ok("POST", "/api/notification-destinations", json=body)["id"]
    path = f"/api/notification-destinations/{made}"
    shown = door.ok("GET", path)
    assert {name: shown[name] for name in body if name != "password"} == {
        k: v for k, v in body.items() if k != "password"
    }
    assert "password" not in shown
    assert door.ok("PUT", path, json={"name": "on call"}) == {"id": made}
    page = door.ok("GET", "/api/notification-destinations")
    assert [one["name"] for one in page["notificationDestinations"]] == ["on call"]
    assert page["pageInfo"]["totalElements"] == "1"
    assert door.ok("DELETE", path) == {}
    refused(door.ask("GET", path), 404, "not_found", 5)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"host": "127.0.0.1", "port": 80}, "address_not_allowed"),
        ({"host": "169.254.169.254"}, "address_not_allowed"),
        ({"port": 22}, "bad_url"),
        ({"host": "a b"}, "bad_url"),
        ({"username": "u"}, "bad_login"),
        ({"protocol": "SMS"}, "invalid"),
        ({"port": "80"}, "invalid"),
    ],
)
def test_a_destination_that_cannot_be_is_refused(door: Campaigns, changed: dict[str, Any], code: str) -> None:
    body = {"name": "ops", "host": "hooks.example.com", "port": 80, **changed}
    refused(door.ask("POST", "/api/notification-destinations", json=body), 400, code, 3)
    assert door.ok("GET", "/api/notification-destinations")["notificationDestinations"] == []


def test_what_cannot_be_registered_is_refused(door: Campaigns) -> None:
    campaign = door.create()
    path = f"/api/campaigns/{campaign}/callbacks"
    nobody = "00000000-0000-4000-8000-000000000000"
    refused(door.ask("PUT", f"{path}/completed", json={"notificationDestinationId": nobody}), 404, "not_found", 5)
    wrong = {"notificationDestinationId": "", "trackedStates": ["FLYING"]}
    refused(door.ask("PUT", f"{path}/state-change", json=wrong), 400, "invalid", 3)
    other = {"notificationDestinationId": "", "campaignId": nobody}
    refused(door.ask("PUT", f"{path}/wake-up", json=other), 400, "path_mismatch", 3)


def test_a_campaign_follows_a_group(door: Campaigns) -> None:
    old, new = door.gateways(2)
    door.site.tell(old, version="1.0.0")
    door.site.tell(new, version="2.0.0")
    group = door.ask("POST", "/api/v1/groups", json={"name": "old", "filter": 'version < "2.0.0"'}).json()
    campaign = door.create(door.upload())
    path = f"/api/campaigns/{campaign}/distribution-list"
    assert door.ok("GET", path) == {
        "distributionListId": "",
        "reevaluationIntervalSeconds": "0",
        "campaignId": campaign,
    }
    wanted = {"distributionListId": group["uid"], "reevaluationIntervalSeconds": "60", "campaignId": campaign}
    assert door.ok("PUT", path, json=wanted) == {}
    assert door.ok("GET", path) == wanted
    door.steer(campaign, "start")
    listed = f"/api/campaigns/{campaign}/devices"
    assert eventually(lambda: [one["gatewayId"] for one in door.ok("GET", listed)["gateways"]] == [old.uid], 10)
    for seconds in ("-1", "soon", "1e3"):
        bad = {**wanted, "reevaluationIntervalSeconds": seconds}
        refused(door.ask("PUT", path, json=bad), 400, "invalid", 3)
    refused(door.ask("PUT", path, json={**wanted, "distributionListId": "x"}), 400, "unknown_group", 3)

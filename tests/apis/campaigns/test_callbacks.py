"""Callbacks of a campaign, from the registration to a real receiver; and the group that a campaign follows."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.apis.campaigns.conftest import Campaigns, refused
from tests.apis.serving import Served, eventually
from tests.apis.site import Site
from tests.make import Bench
from tests.services.steps import KIND, WORDS, Steps
from tests.services.test_callbacks import Watched
from tests.webhooks.receiver import Receiver

from airfreight.apis.campaigns.shapes import GatewayState
from airfreight.apis.campaigns.told import _changes as changes_of
from airfreight.apis.campaigns.told import tell
from airfreight.apis.campaigns.translate import state_of
from airfreight.apis.common.desk import clock
from airfreight.domain.delivery import State
from airfreight.domain.phases import Phase, Point, Standing
from airfreight.services import members
from airfreight.services.callbacks import Change, News
from airfreight.services.device_work import remember_seen
from airfreight.store.database import Database
from airfreight.worker import Worker

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
def bench(database: Database, data_dir: Path) -> Bench:
    return Bench(database, data_dir)


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
    assert eventually(lambda: receiver.heard and b"COMPLETED" in receiver.heard[-1].body, 45)
    bodies = [json.loads(one.body) for one in receiver.heard]
    assert {one.headers["authorization"] for one in receiver.heard} == {"Basic dTpw"}
    assert [(one["additionalDetails"][0]["valueString"], one["entityState"]) for one in bodies if one["event"] == "STATE_CHANGE"] == [
        ("INSTANTIATED", "WAITING_FOR_DOWNLOAD"),
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
    assert eventually(lambda: len(receiver.heard) == 2, 45)
    bodies = [json.loads(one.body) for one in receiver.heard]
    assert [one["entityState"] for one in bodies] == ["DOWNLOAD_COMPLETE", "FAILED"]
    assert {"key": "causedBy", "valueString": "install_failed"} in bodies[1]["additionalDetails"]


@pytest.mark.parametrize("letter", ["a", '"', "\N{CYRILLIC SMALL LETTER ZHE}", "\N{ROCKET}"])
def test_a_gateway_that_prints_a_lot_silences_nobody(open_door: Campaigns, receiver: Receiver, letter: str) -> None:
    """A message has 64 KiB at most, a report 100 lines of 500 characters, each of up to twelve bytes in JSON."""
    door = open_door
    [board] = door.gateways()
    campaign = door.create(door.upload())
    door.add(campaign, [board])
    to = destination(door, receiver.port)
    register(door, campaign, "execution-progress", to)
    register(door, campaign, "state-change", to, trackedStates=["EXECUTION_COMPLETE"])
    door.steer(campaign, "start")
    told = door.next(board)
    assert told is not None
    for event in ("downloaded", "installing"):
        lines = [letter * 497 + f"{number:03}" for number in range(100)] if event == "installing" else []
        door.tell(board, told["attempt"], event, lines=lines)
    door.tell(board, told["attempt"], "installed")
    assert eventually(lambda: len(receiver.heard) == 2, 45)
    printed, done = [json.loads(one.body) for one in receiver.heard]
    kept = printed["executionProgress"]
    assert kept == lines[-len(kept) :], "the latest are told"
    assert kept == lines or len(receiver.heard[0].body) > 51_000, "as many as there is room for"
    assert done["entityState"] == "EXECUTION_COMPLETE"


def test_a_gateway_is_notified_by_hand(open_door: Campaigns, receiver: Receiver) -> None:
    door = open_door
    board, stranger = door.gateways(2)
    campaign = door.started(door.upload(), boards=[board])
    register(door, campaign, "wake-up", destination(door, receiver.port))
    path = f"/api/campaigns/{campaign}/devices"
    body = {"gatewayId": board.uid, "campaignId": campaign}
    assert door.ok("PUT", f"{path}/{board.uid}/notify", json=body) == {}
    assert eventually(lambda: len(receiver.heard) == 1, 45)
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


class Chain(Watched):
    """What this door says of one gateway: each state from the one that was told before."""

    def __init__(self, bench: Bench, *, headless: bool) -> None:
        super().__init__(bench, headless=headless, kinds=[News.STATE_CHANGE, News.COMPLETED])
        [self.board] = bench.devices(self.product)
        self.add([self.board])
        self.start()

    def worker(self) -> Worker:
        bench = self.bench
        return Worker(bench.database, bench.settings, bench.blobs, bench.ears, lambda: bench.now, tell)

    def comes(self) -> None:
        assert remember_seen(self.bench.database, {self.board.id: self.bench.now})

    def carries(self, *artifacts: str) -> None:
        with self.bench.call() as call:
            members.own_artifacts(call, KIND, self.uid, self.board.uid, WORDS, artifacts)

    def later(self, seconds: int) -> None:
        self.bench.later(seconds=seconds)
        self.worker().open_slots()

    def shown(self) -> str:
        with self.bench.call() as call:
            return state_of(members.standing(call, KIND, self.uid, self.board.uid, WORDS), self.bench.now)

    def told(self) -> list[str]:
        """`before > after` since the last look."""
        details = [
            ({one["key"]: one["valueString"] for one in body["additionalDetails"]}, body["entityState"])
            for body in self.heard()
            if body["event"] == "STATE_CHANGE"
        ]
        return [f"{known.get('previousState', '')} > {state}" for known, state in details]


def test_a_time_that_is_given_before_a_gateway_was_heard_of_follows_what_was_shown(bench: Bench) -> None:
    chain = Chain(bench, headless=False)
    assert chain.shown() == "INSTANTIATED"
    chain.schedule(chain.board, Phase.DOWNLOAD, bench.now + 1000)
    assert chain.shown() == "SCHEDULED_DOWNLOAD"
    chain.later(1)
    chain.comes()
    bench.poll(chain.board)
    assert chain.told() == ["INSTANTIATED > SCHEDULED_DOWNLOAD", "SCHEDULED_DOWNLOAD > WAITING_FOR_DOWNLOAD"]
    assert chain.shown() == "WAITING_FOR_DOWNLOAD"


def test_a_time_that_passes_unused_and_another_one_are_told_in_one_chain(bench: Bench) -> None:
    chain = Chain(bench, headless=False)
    bench.later(seconds=100)
    chain.comes()
    chain.schedule(chain.board, Phase.DOWNLOAD, end=bench.now + 1000)
    chain.later(1)
    assert chain.shown() == "WAITING_FOR_DOWNLOAD_APPROVAL"
    chain.schedule(chain.board, Phase.DOWNLOAD)
    assert chain.told() == [
        "INSTANTIATED > WAITING_FOR_DOWNLOAD_APPROVAL",
        "WAITING_FOR_DOWNLOAD_APPROVAL > WAITING_FOR_DOWNLOAD",
        "WAITING_FOR_DOWNLOAD > WAITING_FOR_DOWNLOAD_APPROVAL",
        "WAITING_FOR_DOWNLOAD_APPROVAL > WAITING_FOR_DOWNLOAD",
    ]
    chain.close(chain.board)
    assert chain.told() == ["WAITING_FOR_DOWNLOAD > INSTANTIATED"]
    assert chain.shown() == "INSTANTIATED"


@pytest.mark.parametrize("headless", [True, False])
def test_a_gateway_that_was_heard_of_stays_so_whatever_is_said_of_its_later_phases(
    bench: Bench, *, headless: bool
) -> None:
    chain = Chain(bench, headless=headless)
    here = "WAITING_FOR_DOWNLOAD" if headless else "WAITING_FOR_DOWNLOAD_APPROVAL"
    chain.schedule(chain.board, Phase.INSTALL)
    bench.later(seconds=100)
    chain.comes()
    assert chain.told() == [f"INSTANTIATED > {here}"]
    bench.later(seconds=100)
    chain.schedule(chain.board, Phase.ACTIVATE)
    assert chain.shown() == here
    bench.later(seconds=100)
    chain.comes()
    assert chain.told() == []
    chain.schedule(chain.board, Phase.DOWNLOAD)
    bench.poll(chain.board)
    assert chain.told() == ([] if headless else [f"{here} > WAITING_FOR_DOWNLOAD"])


@pytest.mark.parametrize("is_known", [True, False])
def test_other_packages_and_back_are_told_as_they_are_shown(bench: Bench, *, is_known: bool) -> None:
    """Those that need a word, where the campaign's need none."""
    chain = Chain(bench, headless=True)
    with_word = Steps(bench, headless=False).artifact_uid
    bench.later(seconds=100)
    if is_known:
        chain.comes()
    chain.carries(with_word)
    assert chain.shown() == ("WAITING_FOR_DOWNLOAD_APPROVAL" if is_known else "INSTANTIATED")
    chain.carries()
    bench.poll(chain.board)
    there_and_back = [
        "WAITING_FOR_DOWNLOAD > WAITING_FOR_DOWNLOAD_APPROVAL",
        "WAITING_FOR_DOWNLOAD_APPROVAL > WAITING_FOR_DOWNLOAD",
    ]
    assert chain.told() == ["INSTANTIATED > WAITING_FOR_DOWNLOAD", *(there_and_back if is_known else [])]


def test_one_that_is_added_again_begins_a_new_chain_after_all_of_the_old_one(bench: Bench) -> None:
    chain = Chain(bench, headless=True)
    attempt = bench.poll(chain.board).attempt_id
    bench.report(chain.board, attempt, 1, "downloaded")
    bench.report(chain.board, attempt, 2, "failed", "install_failed")
    chain.take_out([chain.board])
    chain.add([chain.board])
    bodies = chain.heard()
    assert [body["entityState"] for body in bodies] == [
        "WAITING_FOR_DOWNLOAD", "DOWNLOAD_COMPLETE", "FAILED", "INSTANTIATED",
    ]  # fmt: skip
    assert bodies[2]["additionalDetails"][1] == {"key": "causedBy", "valueString": "install_failed"}
    assert bodies[3]["additionalDetails"] == []
    assert chain.shown() == "INSTANTIATED"


def test_the_end_of_a_campaign_that_was_never_started_says_so(bench: Bench) -> None:
    chain = Chain(bench, headless=True)
    chain.uid = chain.draft(chain.artifact_uid)
    chain.register(News.COMPLETED)
    chain.add([chain.board])
    chain.close(chain.board)
    assert [body["entityState"] for body in chain.heard()] == ["CREATED"]


def test_that_a_gateway_waits_for_approval_is_told_once_when_it_comes(open_door: Campaigns, receiver: Receiver) -> None:
    """Nothing moves by that: it is told as the server writes down that it was heard of."""
    door = open_door
    quiet, board = door.gateways(2)
    campaign = door.create(door.upload(headless=False))
    door.add(campaign, [quiet, board])
    register(door, campaign, "state-change", destination(door, receiver.port))
    assert door.next(quiet) is None, "before the start it is nothing to it"
    then = clock()
    assert eventually(lambda: clock() > then), "before is in an earlier millisecond"
    door.steer(campaign, "start")
    assert door.next(board) is None
    assert eventually(lambda: receiver.heard, 45)
    assert door.next(board) is None
    door.schedule(campaign, board, "download")
    assert door.next(board) is not None
    assert eventually(lambda: len(receiver.heard) == 2, 45)
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
    assert door.ok("PUT", path, json={"name": "on call", "id": made}) == {"id": made}
    refused(door.ask("PUT", path, json={"name": "another", "id": door.destination()}), 400, "path_mismatch", 3)
    page = door.ok("GET", "/api/notification-destinations")
    assert [one["name"] for one in page["notificationDestinations"]] == ["on call", "d"]
    assert page["pageInfo"]["totalElements"] == "2"
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


BASIC = {"authenticationType": "BASIC", "username": "ada", "password": "secret"}
NO_AUTH = {"authenticationType": "NO_AUTH"}


@pytest.mark.parametrize(
    ("first", "then", "shown"),
    [
        (BASIC, {}, ("BASIC", "ada")),
        ({"username": "ada", "password": "secret"}, {}, ("BASIC", "ada")),
        ({}, {}, ("NO_AUTH", "")),
        ({**BASIC, **NO_AUTH}, {}, ("NO_AUTH", "")),
        (BASIC, NO_AUTH, ("NO_AUTH", "")),
        (BASIC, {**BASIC, **NO_AUTH}, ("NO_AUTH", "")),
        (BASIC, {"authenticationType": "BASIC"}, ("BASIC", "ada")),
        (NO_AUTH, BASIC, ("BASIC", "ada")),
    ],
)
def test_who_signs_in_at_a_destination_is_what_was_said(
    door: Campaigns, first: dict[str, str], then: dict[str, str], shown: tuple[str, str]
) -> None:
    path = "/api/notification-destinations"
    made = door.ok("POST", path, json={"name": "ops", "host": "hooks.example.com", "port": 80, **first})["id"]
    door.ok("PUT", f"{path}/{made}", json=then)
    told = door.ok("GET", f"{path}/{made}")
    assert (told["authenticationType"], told["username"]) == shown


def test_basic_without_a_name_and_a_password_is_not_taken_for_no_authentication(door: Campaigns) -> None:
    path = "/api/notification-destinations"
    body = {"name": "ops", "host": "hooks.example.com", "port": 80}
    basic = {"authenticationType": "BASIC"}
    refused(door.ask("POST", path, json={**body, **basic}), 400, "bad_login", 3)
    made = door.ok("POST", path, json=body)["id"]
    refused(door.ask("PUT", f"{path}/{made}", json=basic), 400, "bad_login", 3)
    assert door.ok("GET", f"{path}/{made}")["authenticationType"] == "NO_AUTH"


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
    assert eventually(lambda: [one["gatewayId"] for one in door.ok("GET", listed)["gateways"]] == [old.uid])
    for seconds in ("-1", "soon", "1e3"):
        bad = {**wanted, "reevaluationIntervalSeconds": seconds}
        refused(door.ask("PUT", path, json=bad), 400, "invalid", 3)
    refused(door.ask("PUT", path, json={**wanted, "distributionListId": "x"}), 400, "unknown_group", 3)

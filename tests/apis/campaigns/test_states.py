"""The states that a gateway passes, as it speaks /device/v1 and people give its phases their time."""

import time
from typing import Any

from sqlalchemy import update
from tests.apis.campaigns.conftest import Campaigns
from tests.apis.serving import eventually
from tests.make import Board

from airfreight.store import tables

HOUR = 3_600_000


def slot(door: Campaigns, board: Board, text: str) -> None:
    """Move the time that a gateway's phases were given, as if the clock had moved."""
    table = tables.deliveries
    with door.site.database.write() as connection:
        connection.execute(update(table).where(table.c.device_id == board.id).values(slots=text))


def test_a_gateway_with_somebody_who_says_yes_passes_every_state(door: Campaigns) -> None:
    [board] = door.gateways()
    campaign = door.create(door.upload(headless=False))
    door.add(campaign, [board])
    seen = [door.state(campaign, board)]
    door.steer(campaign, "start")
    seen.append(door.state(campaign, board))
    door.heard(board)
    assert door.next(board) is None
    seen.append(door.state(campaign, board))
    soon = int(time.time() * 1000) + HOUR
    door.schedule(campaign, board, "download", str(soon), str(soon + HOUR))
    seen.append(door.state(campaign, board))
    assert door.next(board) is None
    slot(door, board, '{"download":[1,0]}')
    seen.append(door.state(campaign, board))
    told = door.next(board)
    assert told is not None
    assert told["do"] == "download"
    for word, phase in (("downloaded", "execution"), ("installed", "activation")):
        door.tell(board, told["attempt"], word)
        seen.append(door.state(campaign, board))
        waits = door.next(board)
        assert waits is not None
        assert waits["do"] == "wait"
        door.schedule(campaign, board, phase, soon, 0)
        seen.append(door.state(campaign, board))
        door.schedule(campaign, board, phase)
        seen.append(door.state(campaign, board))
    assert (door.next(board) or {})["do"] == "activate"
    door.tell(board, told["attempt"], "succeeded")
    seen.append(door.state(campaign, board))
    assert seen == [
        "INSTANTIATED",
        "INSTANTIATED",
        "WAITING_FOR_DOWNLOAD_APPROVAL",
        "SCHEDULED_DOWNLOAD",
        "WAITING_FOR_DOWNLOAD",
        "WAITING_FOR_EXECUTION_APPROVAL",
        "SCHEDULED_EXECUTION",
        "WAITING_FOR_EXECUTION",
        "WAITING_FOR_ACTIVATION_APPROVAL",
        "SCHEDULED_ACTIVATION",
        "WAITING_FOR_ACTIVATION",
        "ACTIVATION_COMPLETE",
    ]


def test_a_headless_one_goes_its_way_alone_and_the_counters_count_the_complete_states(door: Campaigns) -> None:
    [board] = door.gateways()
    campaign = door.started(door.upload(), boards=[board])
    attempt = (door.next(board) or {})["attempt"]
    seen = [(door.state(campaign, board), complete(door, campaign))]
    for word in ("downloading", "downloaded", "installing", "installed", "activating", "succeeded"):
        assert door.tell(board, attempt, word) == "moved"
        seen.append((door.state(campaign, board), complete(door, campaign)))
    assert seen == [
        ("WAITING_FOR_DOWNLOAD", "0 0 0"),
        ("WAITING_FOR_DOWNLOAD", "0 0 0"),
        ("DOWNLOAD_COMPLETE", "1 0 0"),
        ("WAITING_FOR_EXECUTION", "0 0 0"),
        ("EXECUTION_COMPLETE", "0 1 0"),
        ("WAITING_FOR_ACTIVATION", "0 0 0"),
        ("ACTIVATION_COMPLETE", "0 0 1"),
    ]
    assert door.ok("GET", f"/api/devices/{board.uid}/active-campaigns") == {"campaignId": []}
    assert door.site.drift() == {}


def complete(door: Campaigns, campaign: str) -> str:
    """How many gateways are in DOWNLOAD_COMPLETE, EXECUTION_COMPLETE, ACTIVATION_COMPLETE."""
    told = door.ok("GET", f"/api/campaigns/{campaign}/status")
    names = ("Download", "Execution", "Activation")
    return " ".join(told[f"numberOfGatewaysIn{name}CompleteState"] for name in names)


def test_a_slot_that_passed_unused_needs_approval_again(door: Campaigns) -> None:
    [board] = door.gateways()
    campaign = door.started(door.upload(headless=False), boards=[board])
    door.heard(board)
    slot(door, board, '{"download":[1,2]}')
    assert door.state(campaign, board) == "WAITING_FOR_DOWNLOAD_APPROVAL"


def test_who_really_asks_is_known_a_few_seconds_later(door: Campaigns) -> None:
    [board] = door.gateways()
    campaign = door.started(door.upload(headless=False), boards=[board])
    assert door.state(campaign, board) == "INSTANTIATED"
    assert door.next(board) is None
    assert eventually(lambda: door.state(campaign, board) == "WAITING_FOR_DOWNLOAD_APPROVAL")


def test_of_two_campaigns_the_later_one_waits_with_its_inventory(door: Campaigns) -> None:
    [board] = door.gateways()
    package = door.upload()
    not_started = door.create(package)
    door.add(not_started, [board])
    first, second = (door.started(package, boards=[board]) for _ in range(2))
    door.heard(board)
    assert door.state(first, board) == "WAITING_FOR_DOWNLOAD", "one that is not started is not before it"
    assert door.state(second, board) == "INVENTORY_UP_TO_DATE"
    active = door.ok("GET", f"/api/devices/{board.uid}/active-campaigns")["campaignId"]
    assert active == [first, second, not_started]
    attempt = (door.next(board) or {})["attempt"]
    door.tell(board, attempt, "succeeded")
    assert door.state(second, board) == "WAITING_FOR_DOWNLOAD"


def test_a_failure_is_an_end_and_a_closed_gateway_keeps_its_state(door: Campaigns) -> None:
    failed, closed, early = door.gateways(3)
    campaign = door.started(door.upload(), boards=[failed, closed, early])
    door.tell(failed, (door.next(failed) or {})["attempt"], "failed", reason="install_failed", message="exit status 3")
    door.tell(closed, (door.next(closed) or {})["attempt"], "downloaded")
    for board in (closed, closed, early):
        assert door.ok("PUT", f"/api/campaigns/{campaign}/devices/{board.uid}/close") == {}
    told = door.ok("GET", f"/api/campaigns/{campaign}/devices")["gateways"]
    assert told == [
        {"gatewayId": failed.uid, "state": "FAILED", "closed": True},
        {"gatewayId": closed.uid, "state": "DOWNLOAD_COMPLETE", "closed": True},
        {"gatewayId": early.uid, "state": "INSTANTIATED", "closed": True},
    ]
    assert door.next(closed) is None


def test_stop_withholds_keeps_the_states_and_start_goes_on(door: Campaigns) -> None:
    [board] = door.gateways()
    campaign = door.started(door.upload(), boards=[board])
    attempt = (door.next(board) or {})["attempt"]
    door.tell(board, attempt, "downloaded")
    door.steer(campaign, "stop")
    assert (door.state(campaign, board), (door.next(board) or {})["do"]) == ("DOWNLOAD_COMPLETE", "wait")
    door.steer(campaign, "stop")
    door.steer(campaign, "start")
    door.steer(campaign, "start")
    assert (door.next(board) or {})["do"] == "install"


def progress(door: Campaigns, campaign: str, board: Board, of: str) -> Any:
    return door.ok("GET", f"/api/campaigns/{campaign}/devices/{board.uid}/progress/{of}")


def test_progress_is_shown_in_bytes_and_lines(door: Campaigns) -> None:
    [board] = door.gateways()
    packages = [door.upload(name) for name in ("b.iotcp", "a.iotcp")]
    campaign = door.started(*packages, boards=[board])
    shown = progress(door, campaign, board, "download")["packagesProgress"]
    assert [one["id"] for one in shown] == packages
    assert {one["progress"] for one in shown} == {"0"}
    told = door.next(board)
    assert told is not None
    sizes = [str(one["size"]) for one in told["artifacts"]]
    assert [one["total"] for one in shown] == sizes
    second = {"id": told["artifacts"][1]["id"], "done": 7, "total": int(sizes[1])}
    door.tell(board, told["attempt"], "downloading", artifacts=[second])
    shown = progress(door, campaign, board, "download")["packagesProgress"]
    assert [one["progress"] for one in shown] == ["0", "7"]
    door.tell(board, told["attempt"], "downloaded")
    shown = progress(door, campaign, board, "download")["packagesProgress"]
    assert [one["progress"] for one in shown] == sizes
    assert progress(door, campaign, board, "execution") == {"progress": []}
    door.tell(board, told["attempt"], "installing", lines=["one", "two"])
    door.tell(board, told["attempt"], "installing", lines=["three"])
    assert progress(door, campaign, board, "execution") == {"progress": ["one", "two", "three"]}
    status = door.ok("GET", f"/api/campaigns/{campaign}/devices/{board.uid}/status")
    assert status["executionProgress"] == ["one", "two", "three"]
    assert status["downloadProgress"] == progress(door, campaign, board, "download")
    assert status["campaignState"] == {"state": "WAITING_FOR_EXECUTION"}
    assert (status["gatewayId"], status["campaignId"]) == (board.uid, campaign)
    assert abs(int(status["timestamp"]) - time.time() * 1000) < 60_000

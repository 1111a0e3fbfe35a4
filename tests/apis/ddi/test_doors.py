"""Rollouts made at other doors reach devices that speak DDI, and end by what these say."""

import time
from typing import Any

import pytest
from sqlalchemy import select
from tests.apis.ddi.door import Tenant
from tests.apis.site import Site
from tests.make import image
from tests.services.steps import Steps

from airfreight.domain.phases import Phase
from airfreight.store import tables


@pytest.fixture
def tenant(site: Site) -> Tenant:
    return Tenant(site)


def handling(tenant: Tenant, action: int) -> tuple[Any, ...]:
    found = tenant.get(f"/deploymentBase/{action}")["deployment"]
    return found["download"], found["update"], found.get("maintenanceWindow")


def test_a_shipment(tenant: Tenant) -> None:
    made = tenant.site.create(to=[tenant.board])
    action = tenant.next_action()
    assert handling(tenant, action) == ("forced", "forced", None)
    assert tenant.say(action) == 200
    [progress] = [tenant.site.get(made["id"])["shipmentProgress"]]
    assert progress["success"] == 1


def test_a_campaign_gives_the_download_first_and_the_update_when_both_of_its_phases_may_begin(tenant: Tenant) -> None:
    site = tenant.site
    steps = Steps(site)
    steps.add([tenant.board])
    steps.start()
    assert tenant.links() == {}, "nobody has approved the download"
    steps.schedule(tenant.board, Phase.DOWNLOAD, site.now)
    action = tenant.next_action()
    assert handling(tenant, action) == ("forced", "skip", "unavailable")
    assert tenant.say(action, "downloaded", "success") == 200
    assert handling(tenant, tenant.next_action()) == ("forced", "skip", "unavailable")
    steps.schedule(tenant.board, Phase.INSTALL, site.now)
    assert handling(tenant, tenant.next_action()) == ("forced", "skip", "unavailable")
    steps.schedule(tenant.board, Phase.ACTIVATE, site.now)
    assert handling(tenant, tenant.next_action()) == ("forced", "forced", "available")
    assert tenant.say(action) == 200
    assert site.stand(steps.id, tenant.board) == ("succeeded", "")


def test_that_a_device_of_a_campaign_has_come_is_known_once_its_poll_is_answered(tenant: Tenant) -> None:
    """It begins nothing before it is told to, so nothing else would show that it is there."""
    steps = Steps(tenant.site)
    steps.add([tenant.board])
    steps.start()
    seen = select(tables.device_seen.c.device_id).where(tables.device_seen.c.device_id == tenant.board.id)
    assert tenant.site.rows(seen) == []
    assert tenant.links() == {}, "nobody has approved the download"
    assert len(tenant.site.rows(seen)) == 1


def test_the_sleep_of_a_device_that_waits_for_its_phase_ends_when_that_begins(tenant: Tenant) -> None:
    steps = Steps(tenant.site)
    steps.add([tenant.board])
    steps.start()
    steps.schedule(tenant.board, Phase.DOWNLOAD, tenant.site.now)
    for phase in (Phase.INSTALL, Phase.ACTIVATE):
        steps.schedule(tenant.board, phase, int(time.time() * 1000) + 60_000)
    assert tenant.next_action()
    assert "00:00:20" < tenant.sleep() <= "00:01:01"


def test_an_upload_for_one_device_that_never_told_its_version_ends_by_its_word_and_not_with_the_last_byte(
    tenant: Tenant,
) -> None:
    site = tenant.site
    board = tenant.new_board(uid="a1" * 12)
    data = {"device": board.uid, "token": board.token, "version": "1.0.1"}
    made = site.ask("POST", "/v1/ota/device", data=data, files={"firmware": ("x.swu", image("1.0.1", size=1600))})
    assert made.is_success, made.text
    action = tenant.next_action(board)
    [chunk] = tenant.get(f"/deploymentBase/{action}", board)["deployment"]["chunks"]
    assert tenant.ask("GET", chunk["artifacts"][0]["_links"]["download-http"]["href"], board).status_code == 200
    assert tenant.say(action, "closed", "failure", board=board) == 200
    assert tenant.say(action, "closed", "success", board=board) == 410


def test_what_a_device_was_sent_here_is_steered_at_the_native_door(tenant: Tenant) -> None:
    rollout = tenant.ship()
    action = tenant.next_action()
    assert tenant.site.ask("POST", f"/api/v1/rollouts/{rollout}/pause").is_success
    assert tenant.links() == {}
    assert handling(tenant, action)[:2] == ("skip", "skip")
    assert tenant.site.ask("POST", f"/api/v1/rollouts/{rollout}/resume").is_success
    assert tenant.next_action() == action
    why = tenant.site.ask("GET", f"/api/v1/devices/{tenant.board.id}/explain").json()
    assert why["do"] == "download"

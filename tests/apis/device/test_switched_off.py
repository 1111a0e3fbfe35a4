"""A device that is switched off is told nothing and downloads nothing; what it reports is taken."""

import pytest
from tests.apis.shipments.test_bad_input import refusal
from tests.apis.site import Site
from tests.make import Board

NEXT = "/device/v1/next"


def switch(site: Site, board: Board, *, on: bool) -> None:
    answer = site.ask("PATCH", f"/api/v1/devices/{board.id}", json={"enabled": on})
    assert (answer.status_code, answer.json()["enabled"]) == (200, on)


def test_a_device_that_is_switched_off_waits_and_goes_on_when_it_is_switched_on(site: Site) -> None:
    [board] = site.devices(site.product_id)
    artifact = site.artifact()
    site.ship(artifact, site.product_id, [board])
    device = site.as_device(board)
    switch(site, board, on=False)
    assert device.get(NEXT).status_code == 204
    explained = site.ask("GET", f"/api/v1/devices/{board.id}/explain").json()
    assert explained["checks"][0]["detail"] == "the device is disabled, until somebody enables it"
    switch(site, board, on=True)
    told = device.get(NEXT).json()
    path = f"/device/v1/artifacts/{artifact.id}"
    assert device.get(path).content == artifact.content
    switch(site, board, on=False)
    refusal(device.get(path), 404)
    assert device.get(NEXT).status_code == 204
    report = {"attempt": told["attempt"], "seq": 1, "event": "installing"}
    answer = device.post("/device/v1/reports", json={"reports": [report]}).json()
    assert answer["results"][0]["verdict"] == "moved"
    switch(site, board, on=True)
    assert device.get(NEXT).json()["do"] == "install"


@pytest.mark.parametrize("value", [None, 1, "true", []])
def test_on_or_off_is_said_plainly(site: Site, value: object) -> None:
    [board] = site.devices(site.product_id)
    refusal(site.ask("PATCH", f"/api/v1/devices/{board.id}", json={"enabled": value}), 400)

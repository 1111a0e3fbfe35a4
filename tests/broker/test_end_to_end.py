"""The server, a real mosquitto with the documented configuration, and simulated devices that speak real MQTT to it."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.broker.rig import NEW, OLD, Rig, listening, living, running, until

from airfreight_agent.mqtt_behaviours import MQTT_BEHAVIOURS
from airfreight_agent.mqtt_fleet import MqttFleet

BREAK_OFF = ["breaks_off", "breaks_off_once"]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path) as made:
        yield made


def _all_succeed(rig: Rig, shipment: int, count: int, seconds: float = 120) -> None:
    try:
        until(lambda: rig.shipment(shipment)["status"] == "FINISH", "the shipment is over", seconds)
    except AssertionError:
        raise AssertionError((rig.progress(shipment), rig.process.log[-3000:])) from None
    assert rig.progress(shipment) == {"success": count}


def _is_clean(fleet: MqttFleet) -> None:
    assert not fleet.traffic.contradictions, fleet.traffic.contradictions
    assert not fleet.traffic.refusals, fleet.traffic.refusals


@pytest.mark.timeout(400)
def test_a_thousand_devices_half_of_them_offline_at_first(rig: Rig) -> None:
    product, made = rig.devices(1000)
    first, second = made[:500], made[500:]
    with ExitStack() as fleets:
        online = fleets.enter_context(living(rig.broker, first, ["good"], scale=0.1))
        until(lambda: listening(online, 500), "half of them listen")
        shipment = rig.ship(product, made, size=16384)
        until(lambda: rig.progress(shipment).get("success") == 500, "those that are there are updated")
        # nothing was sent to devices that are not there, and nothing of theirs has failed
        assert rig.progress(shipment) == {"success": 500, "started": 500}
        offline = fleets.enter_context(living(rig.broker, second, ["good"], scale=0.1))
        _all_succeed(rig, shipment, 1000)
        assert online.traffic.offers + offline.traffic.offers == 1000
        assert online.traffic.downloads + offline.traffic.downloads == 1000
        for fleet in (online, offline):
            _is_clean(fleet)
            assert fleet.progress().versions == Counter({NEW: 500})
    rig.is_sound()


@pytest.mark.timeout(400)
def test_every_behaviour_ends_where_its_row_says(rig: Rig) -> None:
    names = [name for name, row in MQTT_BEHAVIOURS.items() if not row.ignores_offers and name not in BREAK_OFF]
    product, made = rig.devices(2 * len(names))
    with living(rig.broker, made, names, scale=0.1) as fleet:
        until(lambda: listening(fleet, len(names)), "most of them listen")
        shipment = rig.ship(product, made)
        until(lambda: rig.shipment(shipment)["status"] == "FINISH", "the shipment is over")
        wanted = {one["id"]: MQTT_BEHAVIOURS[names[i % len(names)]] for i, one in enumerate(made)}

        def strange() -> dict[str, tuple[str, str]]:
            ends = rig.ends(shipment)
            return {
                wanted[device].name: end
                for device, end in ends.items()
                if end not in {(str(e.state), str(e.reason)) for e in wanted[device].ends}
            }

        until(lambda: not strange(), "everybody is where the row says; falling back takes its time")
        _is_clean(fleet)
    progress = rig.progress(shipment)
    failing = {name for name in names if {end.state for end in MQTT_BEHAVIOURS[name].ends} == {"failed"}}
    worn_out = failing - {"falls_back", "boots_another"}
    assert progress == {
        "success": len(made) - 2 * len(failing),
        "rollback": 2,
        "firmwareVersionMismatch": 2,
        "downloadLimitReached": 2 * len(worn_out),
    }
    rig.is_sound()


def test_a_download_that_breaks_off_is_tried_again_up_to_the_limit(rig: Rig) -> None:
    product, made = rig.devices(4)
    with living(rig.broker, made, BREAK_OFF, scale=0.1):
        # far more than the sockets between them hold: what is in there looks as if the device had it
        shipment = rig.ship(product, made, size=24 * 1024**2, attemptsLimit=2)
        until(lambda: rig.shipment(shipment)["status"] == "FINISH", "the shipment is over")
    assert rig.progress(shipment) == {"success": 2, "downloadLimitReached": 2}
    assert Counter(rig.ends(shipment).values()) == {("succeeded", ""): 2, ("failed", "no_report"): 2}
    rig.is_sound()


def test_who_takes_an_offer_and_does_nothing_has_one_offer_and_no_failure(rig: Rig) -> None:
    product, made = rig.devices(2)
    with living(rig.broker, made, ["never_reacts"], scale=0.1) as fleet:
        until(lambda: listening(fleet, 2), "they listen")
        shipment = rig.ship(product, made)
        until(lambda: rig.progress(shipment) == {"requestSent": 2}, "both have it")
        until(lambda: fleet.traffic.offers >= 2, "both have heard it")
        rig.client.put("/api/v1/organization/shipment/stop", params={"shipmentId": shipment}).raise_for_status()
        until(lambda: {end for end, _ in rig.ends(shipment).values()} == {"canceled"}, "what nobody took is withdrawn")
        assert fleet.traffic.offers == 2
        assert fleet.traffic.downloads == 0


@pytest.mark.timeout(400)
@pytest.mark.parametrize("fault", ["restart", "kill", "pause", "server killed"])
def test_nothing_is_lost_when_something_breaks_in_the_middle(rig: Rig, fault: str) -> None:
    product, made = rig.devices(120)
    with living(rig.broker, made, ["good", "slow", "resumes", "hangs_up"], scale=0.3) as fleet:
        until(lambda: listening(fleet, 120), "all listen")
        shipment = rig.ship(product, made, size=65536)
        until(lambda: rig.progress(shipment).get("started", 0) < 100, "some have begun")
        if fault == "restart":
            rig.broker.restart()
        elif fault == "kill":
            rig.broker.kill()
            rig.broker.start()
        elif fault == "pause":
            rig.broker.pause()
            until(lambda: "broker is away" in rig.process.log, "the server gives this line up")
            rig.broker.resume()
        else:
            rig.process.kill()
            rig.process.start()
        _all_succeed(rig, shipment, 120, seconds=200)
        assert not fleet.traffic.contradictions, fleet.traffic.contradictions
        assert fleet.progress().versions == Counter({NEW: 120})
    rig.is_sound()


def test_a_device_that_is_removed_or_gets_a_new_token_is_cut_off_by_itself(rig: Rig) -> None:
    product, made = rig.devices(3)
    with living(rig.broker, made, ["good"], scale=0.1) as fleet:
        until(lambda: listening(fleet, 3), "all listen")
        rig.client.delete(f"/api/v1/devices/{made[0]['id']}").raise_for_status()
        rig.client.post(f"/api/v1/devices/{made[1]['id']}/rotate-token").raise_for_status()
        until(lambda: not listening(fleet, 2), "two are cut off")
        shipment = rig.ship(product, made[1:])
        until(lambda: rig.progress(shipment) == {"success": 1, "started": 1}, "only the third is updated")
        assert sorted(device.version for device in fleet.devices) == [OLD, OLD, NEW]
    rig.is_sound()


def test_two_server_processes_share_the_work_and_one_holds_the_line(tmp_path: Path) -> None:
    with running(tmp_path, workers="2") as rig:
        product, made = rig.devices(60)
        with living(rig.broker, made, ["good"], scale=0.1) as fleet:
            until(lambda: listening(fleet, 60), "all listen")
            shipment = rig.ship(product, made)
            _all_succeed(rig, shipment, 60)
            assert fleet.traffic.offers == 60
            _is_clean(fleet)
        assert rig.process.log.count("connected to the broker") == 1
        rig.is_sound()

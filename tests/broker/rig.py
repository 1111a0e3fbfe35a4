"""A served server, a real broker and a fleet of simulated devices at it, as docs/devices/mqtt.md sets them up."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from tests.broker.broker import Broker, running_broker
from tests.faults.process import Process

from airfreight_agent.mqtt_device import MqttMember
from airfreight_agent.mqtt_fleet import MqttFleet
from airfreight_agent.sample_image import build_sample_image

OLD, OLD_BUILD = "1.0.0", "Jan  8 2024 12:25:30"
NEW, NEW_BUILD = "1.1.0", "Jan  9 2024 12:25:30"
TYPE = "TMPL0001"
Json = dict[str, Any]


class Rig:
    """The server process, the broker, and what tests do with both."""

    def __init__(self, process: Process, broker: Broker, client: httpx.Client) -> None:
        self.process, self.broker, self.client = process, broker, client

    def devices(self, count: int) -> tuple[int, list[Json]]:
        """A product and its new devices, `{id, token}` each; back when the broker knows them."""
        name = f"product {time.monotonic_ns()}"
        product = int(self.client.post("/api/v1/products", json={"name": name}).json()["id"])
        made = self.client.post("/api/v1/devices/bulk", json={"productId": product, "count": count}).json()["items"]
        last = f"{made[-1]['id']}:"
        until(lambda: f"\n{last}" in "\n" + self.broker.password_file.read_text(), "the broker knows the devices")
        self.broker.reload()  # the server has told it, too, but it may not have got to it yet
        return product, made

    def ship(self, product: int, made: Sequence[Json], size: int = 65536, **fields: Any) -> int:
        """A shipment of a tagged image to these devices; its id."""
        image = build_sample_image(NEW, build=NEW_BUILD, fw_type=TYPE, size=size)
        stored = self.client.put("/api/v1/artifacts", params={"filename": "a.bin"}, content=image).json()
        body = {
            "title": "t",
            "productId": product,
            "pathToFirmware": stored["path"],
            "firmwareOriginalFileName": "a.bin",
            "firmwareInfo": stored["firmwareInfo"],
            "deviceIds": [device["id"] for device in made],
            **fields,
        }
        answer = self.client.post("/api/v1/organization/shipment/create", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def shipment(self, shipment_id: int) -> Json:
        answer = self.client.get("/api/v1/organization/shipment", params={"shipmentId": shipment_id})
        assert answer.status_code == 200, answer.text
        shipment: Json = answer.json()
        return shipment

    def progress(self, shipment_id: int) -> dict[str, int]:
        """The buckets that are not empty."""
        found = self.shipment(shipment_id)["shipmentProgress"]
        return {name: count for name, count in found.items() if count and name != "updatedAt"}

    def ends(self, shipment_id: int) -> dict[int, tuple[str, str]]:
        """Device id -> state and reason of its delivery."""
        found: dict[int, tuple[str, str]] = {}
        after = 0
        while True:
            path = f"/api/v1/rollouts/{shipment_id}/deliveries"
            page = self.client.get(path, params={"limit": 500, "after": after}).json()
            found |= {one["deviceId"]: (one["state"], one["reason"]) for one in page["items"]}
            if page["next"] is None:
                return found
            after = page["next"]

    def is_sound(self) -> None:
        """Counters as a recount has them, and no traceback in the log."""
        doctor = self.process.doctor()
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr
        assert "Traceback" not in self.process.log, self.process.log


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Rig]:
    with running_broker(folder / "broker") as broker:
        process = Process(
            folder / "data",
            mqtt_url=broker.server_url,
            mqtt_password_file=str(broker.password_file),
            mqtt_pid_file=str(broker.pid_file),
            **{"retry_seconds": "1", "resume_seconds": "2", "push_per_second": "400", **settings},
        )
        process.set("public_url", process.url)
        process.start()
        try:
            with process.operator() as client:
                yield Rig(process, broker, client)
        finally:
            process.kill()


@contextmanager
def living(broker: Broker, made: Sequence[Json], behaviours: Sequence[str], scale: float) -> Iterator[MqttFleet]:
    """The devices, in a thread and an event loop of their own; `behaviours` in turn."""
    members = [
        MqttMember(str(one["id"]), one["token"], behaviours[i % len(behaviours)], OLD, OLD_BUILD, TYPE)
        for i, one in enumerate(made)
    ]
    fleet = MqttFleet(broker.url, members, time_scale=scale)
    loop = asyncio.new_event_loop()
    over = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(fleet.run(over)), name="fleet")
    thread.start()
    try:
        yield fleet
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(60)
        loop.close()


def until(condition: Callable[[], bool], what: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def listening(fleet: MqttFleet, count: int) -> bool:
    """Whether so many devices have said what they run."""
    phases: Counter[str] = fleet.progress().phases
    return phases["listening"] >= count

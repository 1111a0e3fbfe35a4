"""Devices of the Device OTA API at a real mosquitto: told to look, they fetch over HTTP and say what they run."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.apis.device_ota.esp32 import Esp32
from tests.broker.rig import Rig, running, until
from tests.broker.test_isolation import Peer, wait

from airfreight_agent.sample_image import build_sample_image

Json = dict[str, Any]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with running(tmp_path) as made:
        yield made


class Lamp:
    """A device as its firmware is: it speaks, hears a trigger, leaves the broker, looks, fetches, restarts and speaks."""

    def __init__(self, rig: Rig, made: Json, version: str = "1.0.0") -> None:
        self.rig, self.id, self.uid, self.token = rig, made["id"], made["uid"], made["token"]
        self.program = Esp32(rig.process.port, self.uid, self.token, version)
        self.began = time.monotonic()
        self.peer = Peer()

    def listen(self) -> None:
        self.peer = Peer().connect(self.rig.broker.port, str(self.id), self.token)
        assert self.peer.let_in
        self.peer.subscribe(f"/{self.id}/devices/{self.uid}/update-trigger")

    def connect(self) -> None:
        self.listen()
        self.speak()

    def speak(self) -> bool:
        """Whether it could; it does so every five seconds, and nobody has to have heard it before."""
        body = {"battery": 100, "uptime": time.monotonic() - self.began, "core_version": "5.2.2"}
        if not self.peer.is_gone:
            self.say("status", {**body, "fw_version": self.program.version})
        return not self.peer.is_gone

    def say(self, kind: str, body: Json) -> None:
        self.peer.publish(f"/{self.id}/devices/{self.uid}/{kind}", json.dumps(body).encode())

    def lives(self, seconds: float = 60) -> bool:
        """Speaks until a trigger has come, and does what it says; whether there was one.

        Its restart takes longer than the server needs to write down that it has fetched the file.
        """
        end = time.monotonic() + seconds
        while not self.peer.heard:
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
            self.speak()
        self.say("update-response", {"code": 200})
        self.peer.close()
        if self.program.check():
            self.has_fetched()
            self.began = time.monotonic()
        self.connect()
        if self.program.log[-1].startswith("202"):
            self.say("update-response", {"code": 202})
        return True

    def has_fetched(self) -> None:
        """Until the server has written that what was last sent to it has gone out."""
        path = f"/api/v1/devices/{self.id}/explain"
        states = {"downloaded", "succeeded"}
        until(lambda: self.rig.client.get(path).json()["deliveries"][0]["state"] in states, "it has fetched it")

    def leaves(self) -> None:
        self.peer.close()


def upload(rig: Rig, made: Json, version: str = "1.0.1") -> int:
    """An upload for the device; the rollout that it is."""
    answer = rig.client.post(
        "/v1/ota/device",
        data={"device": made["uid"], "token": made["token"], "version": version},
        files={"firmware": ("firmware.bin", build_sample_image(version))},
    )
    assert answer.status_code == 201, answer.text
    return max(int(one["id"]) for one in rig.client.get("/api/v1/rollouts").json()["items"])


def version_of(rig: Rig, made: Json) -> str:
    return str(rig.client.get(f"/api/v1/devices/{made['id']}").json()["version"])


@pytest.fixture
def lamp(rig: Rig) -> Iterator[Lamp]:
    _, [made] = rig.devices(1)
    lamp = Lamp(rig, made)
    yield lamp
    lamp.leaves()


def made_of(lamp: Lamp) -> Json:
    return {"id": lamp.id, "uid": lamp.uid, "token": lamp.token}


def test_from_the_upload_to_the_success(rig: Rig, lamp: Lamp) -> None:
    lamp.connect()
    until(lambda: lamp.speak() and version_of(rig, made_of(lamp)) == "1.0.0", "it is known")
    rollout = upload(rig, made_of(lamp))
    assert lamp.lives()
    assert lamp.program.version == "1.0.1"
    until(lambda: rig.ends(rollout) == {lamp.id: ("succeeded", "")}, "the version that came back is the success")
    again = upload(rig, made_of(lamp), "1.0.2")
    assert lamp.lives()
    until(lambda: rig.ends(again) == {lamp.id: ("succeeded", "")}, "and once more")
    assert [payload for _, payload, _ in lamp.peer.heard] == []
    rig.is_sound()


def test_the_first_word_of_a_device_counts(rig: Rig, lamp: Lamp) -> None:
    until(lambda: "connected to the broker" in rig.process.log, "somebody listens")
    lamp.connect()
    lamp.speak()
    until(lambda: version_of(rig, made_of(lamp)) == "1.0.0", "it is known")


def test_the_trigger_is_one_small_message_that_the_broker_does_not_keep(rig: Rig, lamp: Lamp) -> None:
    lamp.listen()  # and says nothing: who speaks is looked at, and told again
    upload(rig, made_of(lamp))
    wait(lambda: lamp.peer.heard)
    assert lamp.peer.heard == [(f"/{lamp.id}/devices/{lamp.uid}/update-trigger", b'{"ver":"1.0.1"}', False)]
    late = Peer().connect(rig.broker.port, str(lamp.id), lamp.token)
    late.subscribe("/#")
    time.sleep(0.5)
    assert late.heard == []
    late.close()


@pytest.mark.parametrize("also", ["nothing else", "the server too"])
def test_a_broker_that_goes_down_between_upload_and_trigger_loses_nothing(rig: Rig, lamp: Lamp, also: str) -> None:
    lamp.connect()
    until(lambda: lamp.speak() and version_of(rig, made_of(lamp)) == "1.0.0", "it is known")
    lamp.leaves()
    rig.broker.stop()
    rollout = upload(rig, made_of(lamp))
    time.sleep(0.5)
    if also == "the server too":
        rig.process.kill()
        rig.process.start()
    rig.broker.start()
    lamp.connect()
    assert lamp.lives(seconds=90)
    until(lambda: lamp.speak() and rig.ends(rollout) == {lamp.id: ("succeeded", "")}, "it has it")
    rig.is_sound()


def test_one_that_comes_to_the_broker_after_the_upload_is_told_when_it_speaks(rig: Rig, lamp: Lamp) -> None:
    rollout = upload(rig, made_of(lamp))
    time.sleep(1)
    lamp.connect()
    assert lamp.lives()
    until(lambda: rig.ends(rollout) == {lamp.id: ("succeeded", "")}, "it has it")


def test_without_a_trigger_it_is_updated_all_the_same(rig: Rig, lamp: Lamp) -> None:
    rig.broker.stop()
    rollout = upload(rig, made_of(lamp))
    assert lamp.program.check()
    until(lambda: rig.ends(rollout) == {lamp.id: ("succeeded", "")}, "it has it")


def test_one_that_restarts_with_its_old_program_is_not_taken_for_updated(rig: Rig, lamp: Lamp) -> None:
    lamp.began -= 3600
    lamp.connect()
    until(lambda: lamp.speak() and version_of(rig, made_of(lamp)) == "1.0.0", "it is known")
    rollout = upload(rig, made_of(lamp))
    wait(lambda: lamp.peer.heard)
    lamp.leaves()
    assert lamp.program.check()
    lamp.has_fetched()
    lamp.program.version, lamp.began = "1.0.0", time.monotonic()
    lamp.connect()
    lamp.speak()
    until(lambda: rig.ends(rollout)[lamp.id] == ("queued", "install_failed"), "it is not")
    rig.is_sound()


def test_an_access_list_of_before_lets_the_other_devices_go_on(rig: Rig, lamp: Lamp) -> None:
    text = (rig.broker.folder / "acl").read_text()
    old = [line for line in text.splitlines() if " /" not in line]
    (rig.broker.folder / "acl").write_text("\n".join(old) + "\n")
    rig.broker.reload()
    upload(rig, made_of(lamp))
    until(lambda: "does not let us send update triggers" in rig.process.log, "the log says it")
    time.sleep(2)
    assert rig.process.log.count("connected to the broker") == 1
    assert rig.process.log.count("does not let us send update triggers") == 1

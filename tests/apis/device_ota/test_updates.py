"""Whole updates of a device as it is in the field, and what they look like to the operator."""

from tests.apis.device_ota.conftest import Door
from tests.apis.serving import eventually
from tests.make import image


def test_a_device_is_updated_and_asks_no_more(door: Door) -> None:
    device = door.esp32("1.0.0")
    assert not device.check()
    assert door.upload("1.0.1").json() == {"message": "Firmware successfully deployed"}
    assert device.check()
    assert device.running == image("1.0.1", size=1600)
    assert not device.check()
    assert device.log == ["203 no firmware", "201 started", "202 same version"]
    assert eventually(lambda: door.stands() == [("succeeded", "")])

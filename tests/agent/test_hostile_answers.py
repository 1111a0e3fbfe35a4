"""An agent and a lying server: tags, addresses, cookies, numbers and waits that only an attacker sends. None of it may
end the agent, for what it keeps in its state would end it again at each start.
"""

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.agent.behind import Agent, plug_in
from tests.agent.faulty_server import TOKEN, Plane, serving, status, truncated
from tests.agent.gateway import Disk
from tests.agent.rig import Slot, device_at, drive

from airfreight_agent import things
from airfreight_agent.fleet import Fleet
from airfreight_agent.mqtt_download import DownloadError, get
from airfreight_agent.mqtt_offer import Head, UnreadableError, offer_complaints, read_offer
from airfreight_agent.protocol import Event
from airfreight_agent.simulated import Member

NO_TAGS = ['"\xe9"', '"a b"', '"a', '"a"b"', '"a\x7f"', '"' + "x" * 1000 + '"']
LONG_NUMBER = "1" + "0" * 30
NO_PLACES = ["http://" + "a" * 64 + "/", "http://a..b/", "http://xn--a/", f"http://127.0.0.1:{LONG_NUMBER}/"]
PAST = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.fixture
def plane() -> Iterator[Plane]:
    with serving(Plane()) as made:
        yield made


def updated(plane: Plane, directory: Path) -> bool:
    """Whether the device came to its end with the right bytes."""
    slot = Slot()
    with device_at(plane.url, directory, slot, token=TOKEN) as device:
        drive(device)
    return slot.content == plane.content and plane.events[-1] == "succeeded"


def ranges(plane: Plane) -> list[str]:
    return [seen.headers["range"] for seen in plane.of("artifacts") if "range" in seen.headers]


@pytest.mark.parametrize("tag", NO_TAGS)
def test_a_tag_that_is_none_cannot_be_sent_back_and_nothing_is_resumed(plane: Plane, tmp_path: Path, tag: str) -> None:
    plane.etag = tag
    plane.break_next("artifacts", truncated(70_000))
    assert updated(plane, tmp_path)
    assert ranges(plane) == []


def test_a_state_file_with_a_tag_that_is_none_is_lived_with(plane: Plane, tmp_path: Path) -> None:
    """Agents of before kept whatever began with a quotation mark."""
    plane.break_next("artifacts", truncated(70_000))
    with device_at(plane.url, tmp_path, Slot(), token=TOKEN) as device:
        drive(device, is_done=lambda _: bool(plane.of("artifacts")))
    state = json.loads((tmp_path / "state.json").read_bytes())
    del state["sum"]
    assert state["etag"]
    (tmp_path / "state.json").write_text(json.dumps(state | {"etag": '"\xe9"'}))
    assert updated(plane, tmp_path)
    assert ranges(plane) == []


@pytest.mark.parametrize("place", [*NO_PLACES, "http://\ud800/"])
def test_an_address_that_no_request_can_go_to_is_a_failed_download(plane: Plane, tmp_path: Path, place: str) -> None:
    plane.other_url = place
    assert not updated(plane, tmp_path)
    assert plane.last["reason"] == "download_failed"


@pytest.mark.parametrize("kind", ["next", "artifacts"])
@pytest.mark.parametrize("place", [*NO_PLACES, "x:y", "http://[", "http://\xe9\xff:a/"])
def test_a_redirect_that_leads_nowhere_is_asked_for_again(plane: Plane, tmp_path: Path, kind: str, place: str) -> None:
    plane.break_next(kind, status(302, {"Location": place}))
    assert updated(plane, tmp_path)


@pytest.mark.parametrize("kind", ["next", "reports", "artifacts"])
@pytest.mark.parametrize("cookie", ["a=b", "a=\xe9"])
def test_no_cookie_is_kept(plane: Plane, tmp_path: Path, kind: str, cookie: str) -> None:
    plane.break_next(kind, status(503, {"Set-Cookie": f"{cookie}; Path=/"}))
    assert updated(plane, tmp_path)
    assert not [seen for seen in plane.seen if "cookie" in seen.headers]


@pytest.mark.parametrize("digits", [400, 5000])
@pytest.mark.parametrize("field", ["poll_after", "attempt", "size"])
def test_a_number_without_end_is_lived_with(plane: Plane, tmp_path: Path, field: str, digits: int) -> None:
    word = plane.instruction() | {"do": "wait"}
    (word["artifacts"][0] if field == "size" else word)[field] = "HERE"  # type: ignore[index]
    content = json.dumps(word).replace('"HERE"', "1" + "0" * digits).encode()
    plane.break_next("next", status(200, content=content))
    assert updated(plane, tmp_path)


@pytest.mark.parametrize("wait", ["0", "nan", "-5", PAST])
def test_a_server_that_wants_to_be_asked_without_a_pause_gets_one(plane: Plane, tmp_path: Path, wait: str) -> None:
    plane.is_open = False
    plane.break_next("next", status(204, {"Retry-After": wait}, b""))
    with device_at(plane.url, tmp_path, Slot(), token=TOKEN) as device:
        assert drive(device, is_done=lambda device: device.is_idle)[-1] == 1.0


@pytest.fixture
def agent(plane: Plane, tmp_path: Path) -> Iterator[Agent]:
    """A gateway with a plug-in for lamps."""
    disk = Disk(tmp_path)
    made = Agent(plane.url, TOKEN, disk, {"lamp": plug_in(disk, "lamp")})
    with closing(made.http):
        yield made


@pytest.mark.parametrize("wait", ["0", "nan", "-5", PAST])
def test_things_are_asked_for_with_a_pause_too(
    plane: Plane, agent: Agent, wait: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(things, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    plane.break_next("things", status(200, {"Retry-After": wait}, b'{"things": []}'))
    assert agent.things.step() == 0.0
    assert agent.things.step() == 1.0
    assert len(plane.of("things")) == 1


def test_a_thing_that_ends_in_an_unknown_error_keeps_no_other_waiting(
    plane: Plane, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that answers what nothing expects is a way to one."""
    plane.thing = "bad"
    named = [{"uid": uid, "product": "lamp"} for uid in ("bad", "good")]
    plane.break_next("things", status(200, content=json.dumps({"things": named}).encode()))

    def odd(path: Path) -> None:
        raise ZeroDivisionError(path)

    monkeypatch.setattr(shutil, "disk_usage", odd)

    class EnoughError(Exception):
        pass

    rests: list[float] = []

    def sleep(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 10:
            raise EnoughError

    with pytest.raises(EnoughError):
        agent.things.run(sleep)
    assert plane.events[-1] == "downloading"
    assert any("thing=good" in seen.path for seen in plane.of("next"))
    assert agent.things.has_failed


@pytest.mark.parametrize("token", ["\xe9", "a\nb", "\ud800"])
def test_a_token_that_no_header_can_hold_is_refused_at_once(plane: Plane, tmp_path: Path, token: str) -> None:
    with pytest.raises(ValueError, match="ASCII"), device_at(plane.url, tmp_path, Slot(), token=token):
        pass


def simulated(plane: Plane) -> Fleet:
    """A fleet of one, until it has had an end or met an error often, or for two minutes."""

    async def run() -> Fleet:
        fleet = Fleet(plane.url, [Member("d1", "token")], time_scale=0.001, haste=100)
        over = asyncio.Event()

        async def watch() -> None:
            for _ in range(6000):
                await asyncio.sleep(0.02)
                if fleet.devices[0].ends or sum(fleet.traffic.errors.values()) > 5:
                    break
            over.set()

        watcher = asyncio.create_task(watch())
        try:
            await fleet.run(over)
        finally:
            watcher.cancel()
        return fleet

    return asyncio.run(run())


@pytest.mark.parametrize("tag", NO_TAGS)
def test_the_simulator_sends_no_such_tag_back_either(plane: Plane, tag: str) -> None:
    plane.etag = tag
    plane.break_next("artifacts", truncated(70_000))
    assert simulated(plane).devices[0].ends == [Event.SUCCEEDED]
    assert ranges(plane) == []


@pytest.mark.parametrize("place", ["http://[", "/\ud800"])
def test_an_address_that_is_none_ends_no_simulated_device(plane: Plane, place: str) -> None:
    plane.other_url = place
    fleet = simulated(plane)
    assert set(fleet.traffic.errors) == {"an address that is none"}


@pytest.mark.parametrize("url", ["http://[x/y", "http://a:99999/", "http://a/\ud800"])
def test_an_offer_over_mqtt_whose_address_is_none_is_unreadable(url: str) -> None:
    with pytest.raises(UnreadableError, match="url"):
        read_offer(json.dumps({"url": url}).encode())


def test_half_a_character_in_an_offer_over_mqtt_is_complained_about() -> None:
    payload = json.dumps({"url": "http://a/b&s=0", "size": 1, "type": "", "ver": "\ud800", "build": ""}).encode()
    assert offer_complaints(payload, 1024, "t") == ["an offer that is not compact JSON"]


def test_a_length_without_end_is_no_length() -> None:
    assert Head(200, (), {"content-length": "9" * 5000}).length is None


@pytest.mark.parametrize("url", ["http://[x/y", "http://a..b/", "http://127.0.0.1:99999/"])
def test_a_download_over_mqtt_from_nowhere_is_no_connection(url: str) -> None:
    async def scenario() -> None:
        with pytest.raises(DownloadError, match="connection"):
            async with get(url, tls=None):
                pass

    asyncio.run(scenario())

"""Simulated MQTT devices against a real broker; offers and the file come from a station in this process."""

import asyncio
import json
import signal
import subprocess
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.agent.gateway import PATIENCE
from tests.agent.station import BUILD, TYPE, VERSION, Station
from tests.agent.test_command import AT_A_TERMINAL
from tests.broker.broker import Broker, make_certificates, running_broker

from airfreight_agent.mqtt_behaviours import MQTT_BEHAVIOURS
from airfreight_agent.mqtt_device import MqttDevice, MqttMember, Phase
from airfreight_agent.mqtt_fleet import MqttFleet, load_mqtt_members
from airfreight_agent.mqtt_link import parse_address

OLD = "1.0.0"
FAST = 0.01
UNHURRIED = 0.1
"""For a device that leaves by the clock: what it waits for comes before, also on a slow machine."""
SUCCEEDING = [name for name, row in MQTT_BEHAVIOURS.items() if {end.state for end in row.ends} == {"succeeded"}]
DEMANDING = [name for name, row in MQTT_BEHAVIOURS.items() if row.demands]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path / "broker") as made:
        yield made


def members(broker: Broker, behaviours: Sequence[str], **fields: str) -> list[MqttMember]:
    """Devices that the broker lets in, one for each behaviour."""
    made = [
        MqttMember(str(n), f"token-of-{n}", name, type=TYPE, **fields) for n, name in enumerate(behaviours, start=1)
    ]
    broker.write_passwords({member.id: member.token for member in made})
    broker.reload()
    return made


async def until(condition: Callable[[], Any], otherwise: Callable[[], str]) -> None:
    give_up = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        assert asyncio.get_running_loop().time() < give_up, otherwise()
        await asyncio.sleep(0.01)


class Lab:
    """Devices that live, and the station they talk to."""

    def __init__(self, station: Station, fleet: MqttFleet) -> None:
        self.station = station
        self.fleet = fleet
        self.traffic = fleet.traffic

    @property
    def device(self) -> MqttDevice:
        return self.fleet.devices[0]

    async def until(self, condition: Callable[[], Any]) -> None:
        await until(condition, lambda: f"it did not happen: {self.fleet.progress()}")

    async def all_listen(self) -> None:
        await self.until(lambda: all(device.phase is Phase.LISTENING for device in self.fleet.devices))


@asynccontextmanager
async def lab(broker: Broker, *behaviours: str, time_scale: float = FAST, **station: Any) -> Any:
    async with Station(broker, **station) as made:
        fleet = MqttFleet(broker.url, members(broker, behaviours), time_scale=time_scale)
        over = asyncio.Event()
        living = asyncio.create_task(fleet.run(over))
        try:
            yield Lab(made, fleet)
        finally:
            over.set()
            await living


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


@pytest.mark.parametrize("name", [name for name in SUCCEEDING if name != "breaks_off_once"])
def test_a_device_that_is_to_succeed_comes_back_with_the_new_version(broker: Broker, name: str) -> None:
    async def scenario() -> None:
        has_clock = MQTT_BEHAVIOURS[name].stays_seconds is not None
        # One that reconnects may be away whenever an offer comes: then it tells what it runs, and is offered it again.
        async with lab(
            broker, name, time_scale=UNHURRIED if has_clock else FAST, most_offers=1000 if has_clock else 3
        ) as there:
            await there.until(lambda: there.station.versions("1")[-1:] == [VERSION])

            assert there.device.build == BUILD
            assert set(there.station.versions("1")) == {OLD, VERSION}
            assert there.device.contradictions == []

    run(scenario())


def test_what_a_device_tells_is_what_the_contract_says(broker: Broker) -> None:
    async def scenario() -> None:
        async with lab(broker, "good", most_offers=0) as there:
            await there.until(lambda: there.station.told["1"])

            assert there.station.told["1"] == [{"tmpl": "", "ver": OLD, "build": "", "type": TYPE, "rxbuff": 1024}]

    run(scenario())


def test_a_device_offline_at_first_is_told_when_it_comes(broker: Broker) -> None:
    async def scenario() -> None:
        async with lab(broker, "good", "offline_at_first") as there:
            late, come = there.fleet.devices[1], asyncio.Event()
            waits: list[float] = []
            work = late._work

            async def wait(seconds: float) -> None:
                waits.append(seconds)
                await (come.wait() if seconds == late.row.offline_seconds else work(seconds))

            late._work = wait
            await there.until(lambda: there.station.told["1"] and waits)
            assert waits == [late.row.offline_seconds]
            assert late.phase is Phase.OFFLINE
            assert not there.station.told["2"]
            come.set()
            await there.until(lambda: there.station.versions("2")[-1:] == [VERSION])

    run(scenario())


def test_a_device_that_breaks_off_stays_what_it_was_and_takes_a_second_offer_only_if_it_does_so_once(
    broker: Broker,
) -> None:
    async def scenario() -> None:
        async with lab(broker, "breaks_off", "breaks_off_once") as there:
            await there.until(lambda: len(there.station.requests) == 2)
            await there.all_listen()
            assert there.traffic.installations == 0
            for device in "12":
                there.station.offer(device)
            await there.until(lambda: there.station.versions("2")[-1:] == [VERSION])
            await there.until(lambda: len(there.station.requests) == 4)

            assert set(there.station.versions("1")) == {OLD}

    run(scenario())


def test_a_device_that_resumes_asks_for_the_rest_and_checks_the_whole(broker: Broker) -> None:
    async def scenario() -> None:
        async with lab(broker, "resumes", content=b"0123456789" * 20_000) as there:
            await there.until(lambda: there.station.versions("1")[-1:] == [VERSION])
            first, second = there.station.requests

            assert "range" not in first.headers
            assert second.headers["range"].startswith("bytes=1")
            assert there.device.contradictions == []
            assert there.traffic.downloaded_bytes == 200_000

    run(scenario())


def test_a_download_shows_no_credentials_and_follows_what_the_url_says(broker: Broker) -> None:
    async def scenario() -> None:
        async with lab(broker, "good", "asks_as_in_1996") as there:
            await there.until(lambda: len(there.station.requests) == 2)

            lines = {request.line for request in there.station.requests}
            assert lines == {f"GET /static/fw_1_2.bin?token=abc&s=0 HTTP/1.{minor}" for minor in (0, 1)}
            assert all("authorization" not in request.headers for request in there.station.requests)

    run(scenario())


@pytest.mark.parametrize(
    ("name", "versions"),
    [
        ("install_fails", [OLD, OLD]),
        ("crashes", [OLD, OLD]),
        ("boots_another", [OLD, "0.0.0-other"]),
        ("falls_back", [OLD, VERSION, OLD]),
    ],
)
def test_a_device_that_fails_comes_back_as_its_row_says(broker: Broker, name: str, versions: list[str]) -> None:
    async def scenario() -> None:
        async with lab(broker, name, most_offers=1) as there:
            await there.until(lambda: there.station.versions("1") == versions)

    run(scenario())


def test_a_device_that_never_reacts_takes_offers_and_downloads_nothing(broker: Broker) -> None:
    async def scenario() -> None:
        async with lab(broker, "never_reacts") as there:
            await there.until(lambda: there.traffic.offers == 1)
            there.station.send("1", "ping")
            await there.until(lambda: there.traffic.pings == 1)

            assert there.station.requests == []

    run(scenario())


def test_a_device_that_is_told_to_reboot_comes_again(broker: Broker) -> None:
    async def scenario() -> None:
        async with lab(broker, "good", most_offers=0) as there:
            await there.all_listen()
            there.station.send("1", "diag", b"how are you")
            there.station.send("1", "reboot")
            await there.until(lambda: there.station.versions("1") == [OLD, OLD])

            assert there.traffic.diagnostics == 1
            assert there.device.contradictions == []

    run(scenario())


def test_a_device_takes_no_file_that_is_not_the_announced_one(broker: Broker) -> None:
    async def scenario() -> None:
        content = b"firmware" * 1000
        async with lab(broker, "good", content=content, bytes_sent=b"firmwarE" * 1000, most_offers=1) as there:
            await there.until(lambda: there.device.contradictions)
            await there.all_listen()

            assert there.device.contradictions == ["a file that is not its x-md5", "a file that is not its x-sha256"]
            assert there.traffic.installations == 0

    run(scenario())


def without(*names: str) -> Callable[[int, dict[str, Any]], tuple[int, dict[str, Any]]]:
    return lambda status, headers: (status, {name: value for name, value in headers.items() if name not in names})


@pytest.mark.parametrize(
    ("name", "refusal", "answered"),
    [
        ("wants_status_200", "not 200", lambda _, headers: (203, headers)),
        ("wants_status_200", "no x-md5", without("x-md5")),
        ("wants_status_200", "no length", without("content-length")),
        ("wants_sha256", "no x-sha256", without("x-sha256")),
        ("wants_sha256", "no x-sha256", lambda status, headers: (status, {**headers, "x-sha256": "A" * 44})),
        ("wants_both_hashes", "a hash is missing", without("x-md5")),
        ("good", "HTTP 404", lambda _, headers: (404, {"content-length": 0})),
    ],
)
def test_a_device_with_demands_refuses_an_answer_that_does_not_meet_them(
    broker: Broker, name: str, refusal: str, answered: Callable[[int, Any], tuple[int, Any]]
) -> None:
    async def scenario() -> None:
        async with lab(broker, name, answered=answered, most_offers=1) as there:
            await there.until(lambda: there.traffic.refusals[refusal])

            assert there.traffic.installations == 0

    run(scenario())


def test_a_device_that_wants_1024_bytes_refuses_a_smaller_file(broker: Broker) -> None:
    async def scenario() -> None:
        async with lab(broker, "wants_sha256", content=b"x" * 1023, most_offers=1) as there:
            await there.until(lambda: there.traffic.refusals["too small"])

    run(scenario())


@pytest.mark.parametrize(
    ("name", "refusal", "offered"),
    [
        ("wants_url_literal", "no literal url", lambda offer: json.dumps(offer).encode()),
        ("wants_all_fields", "a field is missing", lambda offer: json.dumps({"url": offer["url"], "size": 1}).encode()),
    ],
)
def test_a_device_with_demands_refuses_an_offer_that_does_not_meet_them(
    broker: Broker, name: str, refusal: str, offered: Callable[[Any], bytes]
) -> None:
    async def scenario() -> None:
        async with lab(broker, name, offered=offered, most_offers=1) as there:
            await there.until(lambda: there.traffic.refusals[refusal])

            assert there.station.requests == []

    run(scenario())


def compact(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("complaint", "offered"),
    [
        ("an offer that is not compact JSON", lambda offer: json.dumps(offer).encode()),
        ("an offer without exactly its five fields", lambda offer: compact({**offer, "more": 1})),
        ("an offer without exactly its five fields", lambda offer: compact({**offer, "size": str(offer["size"])})),
        ("a url whose end does not say its scheme", lambda offer: compact({**offer, "url": offer["url"][:-4]})),
        ("a url of 240 characters or more", lambda offer: compact({**offer, "url": offer["url"] + "&s=0" * 60})),
        ("an offer larger than rxbuff", lambda offer: compact({**offer, "build": "x" * 900})),
        ("offered another type", lambda offer: compact({**offer, "type": "TMPLother"})),
        ("offered what it runs", lambda offer: compact({**offer, "ver": OLD, "build": ""})),
        ("the offer is not JSON", lambda offer: b"{"),
        ("the offer has no url", lambda offer: b"{}"),
        ("the offer's url is none", lambda offer: compact({**offer, "url": "ftp://x/y"})),
        ("a Content-Length that differs from the offer", lambda offer: compact({**offer, "size": 7})),
        ("x-fw-ver differs from the offer", lambda offer: compact({**offer, "ver": "3"})),
    ],
)
def test_a_device_notes_an_offer_that_contradicts_the_contract(
    broker: Broker, complaint: str, offered: Callable[[Any], bytes]
) -> None:
    async def scenario() -> None:
        async with lab(broker, "good", offered=offered, most_offers=1) as there:
            await there.until(lambda: complaint in there.device.contradictions)

    run(scenario())


def test_a_device_notes_headers_whose_names_are_not_in_lower_case(broker: Broker) -> None:
    def answered(status: int, headers: Any) -> tuple[int, Any]:
        return status, {name.title() if name == "x-md5" else name: value for name, value in headers.items()}

    async def scenario() -> None:
        async with lab(broker, "good", answered=answered) as there:
            await there.until(lambda: there.station.versions("1")[-1:] == [VERSION])

            assert there.device.contradictions == ["no header x-md5"]

    run(scenario())


def test_a_device_notes_an_offer_of_what_it_runs_after_it_succeeded(broker: Broker) -> None:
    async def scenario() -> None:
        async with lab(broker, "good") as there:
            await there.until(lambda: there.station.versions("1")[-1:] == [VERSION])
            await there.all_listen()
            there.station.offer("1")
            await there.until(lambda: there.device.contradictions == ["offered what it runs"])

            assert there.traffic.installations == 1

    run(scenario())


def test_a_device_notes_what_it_should_never_be_sent(broker: Broker) -> None:
    async def scenario() -> None:
        async with lab(broker, "good", most_offers=0) as there:
            await there.all_listen()
            there.station.send("1", "lottery")
            there.station.send("1", "ping", b"kept", retain=True)
            there.station.send("1", "reboot")
            await there.until(lambda: len(there.device.contradictions) == 2)

            noted = ["a message under a topic that is not in the contract", "a retained message"]
            assert there.device.contradictions == noted

    run(scenario())


def test_devices_come_back_when_the_broker_does(broker: Broker) -> None:
    async def scenario() -> None:
        async with Station(broker, most_offers=0) as station:
            fleet = MqttFleet(broker.url, members(broker, ["good"] * 20), time_scale=FAST)
            over = asyncio.Event()
            living = asyncio.create_task(fleet.run(over))
            there = Lab(station, fleet)
            await there.all_listen()
            broker.kill()
            await there.until(lambda: not any(device.phase is Phase.LISTENING for device in fleet.devices))
            broker.start()
            await there.all_listen()
            over.set()
            await living

    run(scenario())


def test_a_device_with_a_wrong_token_is_refused_and_tries_later(broker: Broker) -> None:
    refused = "refused: Not authorized"

    async def scenario() -> None:
        fleet = MqttFleet(broker.url, [MqttMember("1", "wrong")])
        over, now = asyncio.Event(), asyncio.get_running_loop().time
        began = now()
        living = asyncio.create_task(fleet.run(over))
        await until(lambda: fleet.traffic.errors[refused] >= 2, lambda: str(fleet.traffic))
        assert now() - began >= 0.5, "the first wait is half a second or more"
        over.set()
        await living

        assert fleet.traffic.connections == 0
        assert set(fleet.traffic.errors) == {refused}

    run(scenario())


def test_a_hundred_devices_over_tls_update_at_once(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path / "certificates")

    async def scenario(broker: Broker) -> None:
        async with Station(broker) as station:
            made = members(broker, ["good"] * 100)
            fleet = MqttFleet(broker.tls_url, made, ca_file=str(certificates.ca), time_scale=FAST)
            over = asyncio.Event()
            living = asyncio.create_task(fleet.run(over))
            there = Lab(station, fleet)
            await there.until(lambda: all(station.versions(member.id)[-1:] == [VERSION] for member in made))
            over.set()
            await living

            assert fleet.traffic.offers == fleet.traffic.installations == 100
            assert not fleet.traffic.contradictions
            assert not fleet.traffic.errors

    with running_broker(tmp_path / "broker", certificates) as broker:
        run(scenario(broker))


def test_the_command_runs_a_fleet_from_a_members_file(broker: Broker, tmp_path: Path) -> None:
    path = tmp_path / "members.json"
    [member] = members(broker, ["good"])
    path.write_text(json.dumps([{"id": 1, "token": member.token, "type": TYPE}]))
    command = [*AT_A_TERMINAL, "fleet", "--mqtt", broker.url]
    process = subprocess.Popen(
        [*command, "--members", str(path), "--time-scale", "0.01"], stdout=subprocess.PIPE, text=True
    )

    async def scenario() -> None:
        async with Station(broker) as station:
            await until(lambda: station.versions("1")[-1:] == [VERSION], lambda: str(station.told))

    try:
        run(scenario())
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE)

    summary = json.loads(said)
    assert process.returncode == 0
    assert summary["installations"] == 1
    assert summary["behaviours"] == {"good": {VERSION: 1}}


@pytest.mark.parametrize(
    "rows", ['{"id":1}', '["x"]', '[{"id":1}]', '[{"id":1,"token":2}]', '[{"id":1,"token":"t","more":"x"}]']
)
def test_a_members_file_that_holds_something_else_is_refused(tmp_path: Path, rows: str) -> None:
    path = tmp_path / "members.json"
    path.write_text(rows)

    with pytest.raises(ValueError, match="member"):
        load_mqtt_members(path)


@pytest.mark.parametrize("url", ["http://broker", "broker:1883", "mqtt://", "mqtt://user:password@broker"])
def test_a_brokers_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="broker's address"):
        parse_address(url)


def test_an_unknown_behaviour_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown behaviours: dances"):
        MqttFleet("mqtt://127.0.0.1", [MqttMember("1", "token", "dances")])


def test_every_demand_belongs_to_a_behaviour() -> None:
    assert len(DEMANDING) == 5

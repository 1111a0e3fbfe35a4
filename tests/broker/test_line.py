"""The server's line to a real broker: receipts, acknowledgements, what comes again, and every way it can break."""

import os
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.broker.broker import SERVER_PASSWORD, SERVER_USER, Broker, Certificates, make_certificates
from tests.broker.test_isolation import TOKENS, Peer, wait
from tests.ports import free_port

from airfreight.adapters.broker import PahoBroker, PahoLine
from airfreight.ports import Arrived, BrokerAwayError, Message, Receipt
from airfreight.settings import load

TOPICS = ["airfreight/+/info/mcu"]
INFO = "airfreight/1/info/mcu"


class Ear:
    """What came in on a line."""

    def __init__(self) -> None:
        self.heard: list[Arrived] = []

    def take(self, one: Arrived) -> None:
        self.heard.append(one)

    @property
    def words(self) -> list[tuple[bytes, bool]]:
        return [(one.message.payload, one.is_live) for one in self.heard]


Open = Callable[..., tuple[PahoLine, Ear]]


@pytest.fixture
def opened() -> Iterator[list[PahoLine]]:
    made: list[PahoLine] = []
    yield made
    for line in made:
        line.close()


@pytest.fixture
def open_line(broker: Broker, tmp_path: Path, opened: list[PahoLine]) -> Open:
    broker.write_passwords(TOKENS)
    broker.reload()

    def make(url: str = "", **settings: Any) -> tuple[PahoLine, Ear]:
        given = load({}, data=tmp_path, public_url="http://x", mqtt_url=url or broker.server_url, **settings)
        ear = Ear()
        line = PahoBroker(given).open(TOPICS, ear.take)
        opened.append(line)
        return line, ear

    return make


@pytest.fixture
def device(broker: Broker) -> Iterator[Callable[..., Peer]]:
    peers: list[Peer] = []

    def make(name: str = "1") -> Peer:
        peers.append(Peer())
        return peers[-1].connect(broker.port, name, TOKENS[name])

    yield make
    for peer in peers:
        peer.close()


Device = Callable[..., Peer]


def ping(device_id: int, payload: bytes = b"") -> Message:
    return Message(f"airfreight/{device_id}/downlink/ping", payload)


RECEIPTS = 30
"""Seconds for receipts that do come."""


def threads_since(before: set[threading.Thread]) -> list[threading.Thread]:
    """Those that are new, but for the pool of a server that other tests of this process have running."""
    return [one for one in threading.enumerate() if one not in before and not one.name.startswith("asyncio_")]


def arrived(line: PahoLine) -> None:
    """What was acknowledged on the line has come to the broker: it takes everything in turn."""
    assert line.publish([ping(3)], RECEIPTS) == [Receipt.NOBODY]


# receipts


def test_a_receipt_tells_whether_anybody_listens(open_line: Open, device: Device) -> None:
    line, _ = open_line()
    here = device("1")
    assert here.subscribe("airfreight/1/downlink/#")
    assert line.publish([ping(1), ping(2), ping(1, b"x"), ping(3)], RECEIPTS) == [
        Receipt.TAKEN,
        Receipt.NOBODY,
        Receipt.TAKEN,
        Receipt.NOBODY,
    ]
    wait(lambda: len(here.heard) == 2)
    assert [payload for _, payload, _ in here.heard] == [b"", b"x"]
    here.close()
    wait(lambda: line.publish([ping(1)], RECEIPTS) == [Receipt.NOBODY])


def test_thousands_at_once_each_have_their_own_receipt_in_order(open_line: Open, device: Device) -> None:
    line, _ = open_line()
    here = device("1")
    here.subscribe("airfreight/1/downlink/#")
    messages = [ping(1 + number % 3, str(number).encode()) for number in range(3000)]
    receipts = line.publish(messages, RECEIPTS)
    assert receipts == [Receipt.NOBODY if number % 3 else Receipt.TAKEN for number in range(3000)]
    wait(lambda: len(here.heard) == 1000)
    assert [int(payload) for _, payload, _ in here.heard] == list(range(0, 3000, 3))


def test_nothing_to_publish_is_nothing(open_line: Open) -> None:
    line, _ = open_line()
    assert line.publish([], 1) == []


def test_a_broker_that_stands_still_gives_no_receipts_and_is_not_waited_for_longer(
    broker: Broker, open_line: Open
) -> None:
    line, _ = open_line()
    broker.pause()
    try:
        began = time.monotonic()
        assert line.publish([ping(1), ping(2)], 1) == [Receipt.LOST, Receipt.LOST]
        assert 0.9 < time.monotonic() - began < 10
    finally:
        broker.resume()


def test_receipts_that_come_too_late_are_nobodys(broker: Broker, open_line: Open) -> None:
    """A line that has missed one is over: message numbers come round, and a late receipt would fit another message."""
    line, _ = open_line()
    broker.pause()
    line.publish([ping(1)], 0.2)
    broker.resume()
    assert not line.is_open
    assert line.publish([ping(2)], 1) == [Receipt.LOST]


def test_a_broker_that_dies_is_noticed_at_once(broker: Broker, open_line: Open) -> None:
    line, _ = open_line()
    assert line.is_open
    broker.kill()
    wait(lambda: not line.is_open)
    began = time.monotonic()
    assert line.publish([ping(1)], 10) == [Receipt.LOST]
    assert time.monotonic() - began < 5


def test_a_line_that_breaks_while_receipts_are_waited_for(broker: Broker, open_line: Open) -> None:
    line, _ = open_line()
    broker.pause()  # and killed as it is: it must not come to answer first
    killer = threading.Timer(0.5, os.kill, [int(broker.pid_file.read_text()), signal.SIGKILL])
    killer.start()
    began = time.monotonic()
    assert line.publish([ping(1)], 20) == [Receipt.LOST]
    assert time.monotonic() - began < 10
    killer.join()


# what comes in


def test_what_is_acknowledged_does_not_come_again_and_what_is_not_does(open_line: Open, device: Device) -> None:
    line, ear = open_line()
    sender = device("1")
    for number in range(4):
        sender.publish(INFO, str(number).encode())
    wait(lambda: len(ear.heard) == 4)
    assert ear.words == [(str(number).encode(), True) for number in range(4)]
    for one in ear.heard[:2]:
        one.keep()
    arrived(line)
    line.close()
    second, again = open_line()
    wait(lambda: len(again.heard) == 2)
    assert again.words == [(b"2", False), (b"3", False)], "copies"
    for one in again.heard:
        one.keep()
    arrived(second)
    line, third = open_line()
    time.sleep(0.3)
    assert third.words == []


def test_what_a_small_client_sends_at_qos_0_is_kept_until_it_is_acknowledged(open_line: Open, device: Device) -> None:
    line, ear = open_line()
    here = device("1")
    here.client.publish(INFO, b"of a small client", qos=0)
    wait(lambda: len(ear.heard) == 1)
    line.close()
    _, again = open_line()
    wait(lambda: [payload for payload, _ in again.words] == [b"of a small client"])


def test_more_than_may_be_unacknowledged_come_when_the_first_are(open_line: Open, device: Device) -> None:
    _, ear = open_line()
    sender = device("1")
    for number in range(700):
        sender.client.publish(INFO, str(number).encode(), qos=1)
    wait(lambda: len(ear.heard) == 500)
    time.sleep(0.3)
    assert len(ear.heard) == 500
    for one in list(ear.heard):
        one.keep()
    wait(lambda: len(ear.heard) == 700)
    assert [int(one.message.payload) for one in ear.heard] == list(range(700))


def test_what_is_said_while_the_line_is_closed_comes_when_it_is_open_again(open_line: Open, device: Device) -> None:
    line, _ = open_line()
    line.close()
    sender = device("1")
    assert sender.publish(INFO, b"meanwhile") == "Success"
    _, ear = open_line()
    wait(lambda: ear.heard)
    assert ear.words == [(b"meanwhile", True)], "it is heard for the first time"


def test_what_a_broker_kept_of_devices_is_a_copy_and_comes_once(open_line: Open, device: Device) -> None:
    sender = device("1")
    sender.publish(INFO, b"kept", retain=True)
    line, ear = open_line()
    wait(lambda: ear.heard)
    assert ear.words == [(b"kept", False)]
    ear.heard[0].keep()
    sender.publish(INFO, b"now", retain=True)
    wait(lambda: len(ear.heard) == 2)
    assert ear.words[1] == (b"now", True), "whoever subscribed before hears it as it is said"
    ear.heard[1].keep()
    arrived(line)
    line.close()
    _, again = open_line()
    time.sleep(0.3)
    assert again.words == []


def test_a_broker_that_says_nothing_any_more_is_noticed_though_nothing_is_sent(broker: Broker, open_line: Open) -> None:
    line, _ = open_line()
    broker.pause()
    try:
        wait(lambda: not line.is_open, 60)
    finally:
        broker.resume()
    assert line.trouble == "the connection broke: Keep alive timeout"


def test_an_acknowledgement_after_the_line_is_gone_does_no_harm(
    broker: Broker, open_line: Open, device: Device
) -> None:
    line, ear = open_line()
    device("1").publish(INFO, b"x")
    wait(lambda: ear.heard)
    broker.kill()
    wait(lambda: not line.is_open)
    ear.heard[0].keep()
    line.close()
    ear.heard[0].keep()


def test_what_is_sent_without_asking_for_a_receipt_is_heard_too(open_line: Open, device: Device) -> None:
    line, ear = open_line()
    device("1").client.publish(INFO, b"qos 0", qos=0)
    wait(lambda: ear.heard)
    assert ear.words == [(b"qos 0", True)]
    ear.heard[0].keep()
    arrived(line)
    assert line.is_open


def _packet(kind: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([kind, len(body)]) + body


def _text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


@pytest.mark.parametrize("name", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x00", b"\xf4\x90\x80\x80", "é".encode()])
def test_no_topic_breaks_the_line(broker: Broker, open_line: Open, device: Device, name: bytes) -> None:
    """Whoever knows the server's own password may publish anywhere."""
    line, ear = open_line()
    with socket.create_connection(("127.0.0.1", broker.port), timeout=30) as raw:
        login = _text(b"other") + _text(SERVER_USER.encode()) + _text(SERVER_PASSWORD.encode())
        raw.sendall(_packet(0x10, _text(b"MQTT") + b"\x04\xc2\x00\x3c" + login))
        assert raw.recv(4) == b"\x20\x02\x00\x00"
        raw.sendall(_packet(0x30, _text(b"airfreight/" + name + b"/info/mcu") + b"{}"))
        time.sleep(0.2)
    device("1").publish(INFO, b"after")
    wait(lambda: (b"after", True) in ear.words)
    assert line.is_open


# what is worth something now or never

STATUS = "/1/devices/5e1b57808711f904f5df4bad/status"


def _passing(broker: Broker, folder: Path, opened: list[PahoLine]) -> tuple[PahoLine, Ear]:
    given = load({}, data=folder, public_url="http://x", mqtt_url=broker.server_url)
    ear = Ear()
    opened.append(PahoBroker(given).open(TOPICS, ear.take, ["/+/devices/+/status"]))
    return opened[-1], ear


def test_what_passes_is_heard_while_the_line_is_open_and_not_kept_meanwhile(
    broker: Broker, open_line: Open, device: Device, tmp_path: Path, opened: list[PahoLine]
) -> None:
    open_line()[0].close()
    line, ear = _passing(broker, tmp_path, opened)
    sender = device("1")
    sender.publish(STATUS, b"now")
    wait(lambda: ear.heard)
    assert (ear.words, ear.heard[0].is_passing) == ([(b"now", True)], True)
    line.close()
    sender.publish(STATUS, b"meanwhile")
    sender.publish(INFO, b"kept")
    _, again = _passing(broker, tmp_path, opened)
    wait(lambda: again.heard)
    sender.publish(STATUS, b"again")
    wait(lambda: len(again.heard) == 2)
    assert again.words == [(b"kept", True), (b"again", True)]
    assert [one.is_passing for one in again.heard] == [False, True]


def test_what_the_access_list_forbids_is_refused_and_the_line_stays(open_line: Open) -> None:
    line, _ = open_line()
    assert line.publish([Message("/1/devices/x/params", b""), ping(1)], RECEIPTS) == [
        Receipt.REFUSED,
        Receipt.NOBODY,
    ]
    assert line.is_open


# how it opens and closes


def test_a_wrong_password_is_said(broker: Broker, open_line: Open) -> None:
    with pytest.raises(BrokerAwayError, match="does not let us in"):
        open_line(f"mqtt://{SERVER_USER}:wrong@127.0.0.1:{broker.port}")


def test_no_password_is_said(broker: Broker, open_line: Open) -> None:
    with pytest.raises(BrokerAwayError, match="does not let us in"):
        open_line(f"mqtt://127.0.0.1:{broker.port}")


def test_a_broker_that_is_not_there_is_said(open_line: Open) -> None:
    with pytest.raises(BrokerAwayError, match="cannot be reached"):
        open_line(f"mqtt://{SERVER_USER}:x@127.0.0.1:{free_port()}")
    with pytest.raises(BrokerAwayError, match="cannot be reached"):
        open_line("mqtt://a:b@does-not-exist.invalid")


def test_a_broker_that_does_not_answer_is_said(
    broker: Broker, open_line: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airfreight.adapters.broker._CONNECT_SECONDS", 1.0)
    broker.pause()
    try:
        began = time.monotonic()
        with pytest.raises(BrokerAwayError, match="does not answer"):
            open_line()
        assert time.monotonic() - began < 8
    finally:
        broker.resume()


def test_something_else_that_listens_there_is_no_broker(open_line: Open) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        def answer() -> None:
            with listener.accept()[0] as connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        other = threading.Thread(target=answer, daemon=True)
        other.start()
        with pytest.raises(BrokerAwayError):
            open_line(f"mqtt://a:b@127.0.0.1:{port}")
        other.join(5)


def test_a_second_line_of_the_same_name_ends_the_first(open_line: Open) -> None:
    first, _ = open_line()
    second, _ = open_line()
    wait(lambda: not first.is_open)
    time.sleep(1.5)
    assert second.is_open, "the first does not come back by itself"


def test_closing_is_final_and_leaves_no_thread(open_line: Open) -> None:
    before = set(threading.enumerate())
    for _ in range(3):
        line, _ = open_line()
        assert line.is_open
        line.close()
        line.close()
        assert not line.is_open
        assert line.publish([ping(1)], 5) == [Receipt.LOST]
    wait(lambda: not threads_since(before))


def test_failures_to_open_leave_no_thread_either(broker: Broker, open_line: Open) -> None:
    before = set(threading.enumerate())
    for _ in range(3):
        with pytest.raises(BrokerAwayError):
            open_line(f"mqtt://{SERVER_USER}:wrong@127.0.0.1:{broker.port}")
    wait(lambda: not threads_since(before))


# TLS


def _tls(broker: Broker, tmp_path: Path, ca_file: str) -> PahoLine:
    url = f"mqtts://{SERVER_USER}:{SERVER_PASSWORD}@127.0.0.1:{broker.tls_port}"
    return PahoBroker(load({}, data=tmp_path, public_url="http://x", mqtt_url=url, mqtt_ca_file=ca_file)).open(
        TOPICS, Ear().take
    )


def test_over_tls_it_is_the_same(tls_broker: Broker, certificates: Certificates, tmp_path: Path) -> None:
    line = _tls(tls_broker, tmp_path, str(certificates.ca))
    try:
        assert line.publish([ping(1)], RECEIPTS) == [Receipt.NOBODY]
    finally:
        line.close()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # paho leaves the socket to the collector
def test_a_broker_that_cannot_prove_itself_is_not_spoken_to(tls_broker: Broker, tmp_path: Path) -> None:
    other = make_certificates(tmp_path / "other")
    for ca_file, words in ((str(other.ca), "reached"), ("", "reached"), (str(tmp_path / "missing"), "authority")):
        with pytest.raises(BrokerAwayError, match=words):
            _tls(tls_broker, tmp_path, ca_file)

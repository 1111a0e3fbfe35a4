"""What mosquitto lets whom do with the documented configuration and access list, seen with a plain MQTT client."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from tests.broker.broker import SERVER_PASSWORD, SERVER_USER, Broker, Certificates, make_certificates

PATIENCE = 30.0
UID = "5e1b57808711f904f5df4bad"
TOKENS = {"1": "the-token-of-the-first-device-01", "2": "the-token-of-the-second-device-2"}
MQTT_311, MQTT_5 = MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5
BOTH = pytest.mark.parametrize("protocol", [MQTT_311, MQTT_5], ids=["3.1.1", "5"])


class Peer:
    """A client, and everything that happened to it."""

    def __init__(self, protocol: MQTTProtocolVersion = MQTT_311, name: str = "") -> None:
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=protocol, reconnect_on_failure=False)
        self.let_in: bool | None = None
        self.is_gone = False
        self.granted: list[bool] = []
        self.answers: dict[int, str] = {}
        self.heard: list[tuple[str, bytes, bool]] = []
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_publish = self._on_publish
        self.client.on_message = self._on_message

    def connect(self, port: int, user: str | None = None, password: str | None = None) -> "Peer":
        """Returns when the broker has said yes or no."""
        if user is not None:
            self.client.username_pw_set(user, password)
        self.client.connect("127.0.0.1", port, 45)
        self.client.loop_start()
        wait(lambda: self.let_in is not None or self.is_gone)
        return self

    def subscribe(self, topics: str) -> bool:
        """Whether the broker has granted it."""
        before = len(self.granted)
        self.client.subscribe(topics, qos=1)
        wait(lambda: len(self.granted) > before)
        return self.granted[-1]

    def publish(self, topic: str, payload: bytes = b"{}", *, retain: bool = False) -> str:
        """What the broker answered; with 3.1.1 that is always Success."""
        sent = self.client.publish(topic, payload, qos=1, retain=retain)
        wait(lambda: sent.mid in self.answers)
        return self.answers[sent.mid]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    @property
    def topics(self) -> list[str]:
        return [topic for topic, _, _ in self.heard]

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        self.let_in = not code.is_failure

    def _on_disconnect(self, *_: Any) -> None:
        self.is_gone = True

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, codes: Any, _more: Any) -> None:
        self.granted.append(not codes[0].is_failure)

    def _on_publish(self, _client: Any, _data: Any, mid: int, code: Any, _more: Any) -> None:
        self.answers[mid] = str(code)

    def _on_message(self, _client: Any, _data: Any, message: Any) -> None:
        self.heard.append((message.topic, message.payload, message.retain))


def wait(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.005)


Connect = Callable[..., Peer]


@pytest.fixture
def peers() -> Iterator[list[Peer]]:
    made: list[Peer] = []
    yield made
    for peer in made:
        peer.close()


@pytest.fixture
def connect(broker: Broker, peers: list[Peer]) -> Connect:
    """Log in at a broker that knows both devices."""
    broker.write_passwords(TOKENS)
    broker.reload()

    def make(
        user: str | None, password: str | None = None, protocol: MQTTProtocolVersion = MQTT_311, name: str = ""
    ) -> Peer:
        peers.append(Peer(protocol, name))
        known = {SERVER_USER: SERVER_PASSWORD, **TOKENS}
        return peers[-1].connect(broker.port, user, known.get(user or "") if password is None else password)

    return make


@BOTH
def test_nobody_gets_in_without_the_right_password(connect: Connect, protocol: MQTTProtocolVersion) -> None:
    assert connect("1", protocol=protocol).let_in
    assert connect(SERVER_USER, protocol=protocol).let_in
    assert not connect(None, protocol=protocol).let_in
    assert not connect("1", "", protocol=protocol).let_in
    assert not connect("1", TOKENS["2"], protocol=protocol).let_in
    assert not connect("3", TOKENS["1"], protocol=protocol).let_in
    assert not connect("device", TOKENS["1"], protocol=protocol).let_in


@BOTH
def test_a_device_can_tell_only_what_it_runs_itself(connect: Connect, protocol: MQTTProtocolVersion) -> None:
    server = connect(SERVER_USER)
    server.subscribe("airfreight/#")
    server.subscribe("/#")
    device = connect("1", protocol=protocol)
    forbidden = [
        "airfreight/2/info/mcu",
        "airfreight/1/downlink/ota/json",
        "airfreight/2/downlink/ota/json",
        "airfreight/1/info",
        "airfreight/1/info/other",
        "airfreight/airfreight/info/mcu",
        "airfreight/1/info/mcu/deeper",
        "airfreight/info/mcu",
        "1/info/mcu",
        f"/2/devices/{UID}/status",
        f"/2/devices/{UID}/update-response",
        f"/1/devices/{UID}/update-trigger",
        f"/2/devices/{UID}/update-trigger",
        f"/1/groups/{UID}/update-trigger",
        f"/1/devices/{UID}/params",
        f"/1/devices/{UID}/status/deeper",
        f"1/devices/{UID}/status",
        f"//devices/{UID}/status",
        "anything",
        "$SYS/broker/version",
    ]
    answers = {device.publish(topic) for topic in forbidden}
    own = ["airfreight/1/info/mcu", f"/1/devices/{UID}/status", f"/1/devices/{UID}/update-response"]
    assert {device.publish(topic, b"mine") for topic in own} == {"Success"}
    wait(lambda: len(server.heard) == len(own))

    assert server.heard == [(topic, b"mine", False) for topic in own]
    assert answers == {"Success" if protocol == MQTT_311 else "Not authorized"}


@BOTH
def test_a_device_hears_only_what_is_for_it_whatever_it_subscribes_to(
    connect: Connect, protocol: MQTTProtocolVersion
) -> None:
    server, other = connect(SERVER_USER), connect("2")
    device = connect("1", protocol=protocol)
    for topics in (
        "#", "+/+/#", "airfreight/#", "airfreight/2/downlink/#", "airfreight/+/info/mcu", "$SYS/#", "/#", "/+/devices/#",
        f"/2/devices/{UID}/update-trigger", f"/2/groups/{UID}/update-trigger", f"/+/devices/{UID}/status",
    ):  # fmt: skip
        device.subscribe(topics)  # mosquitto grants it and keeps the messages back
    server.publish("airfreight/2/downlink/ota/json", b"for the other")
    server.publish("airfreight/2/downlink/ping", b"kept", retain=True)
    server.publish("airfreight/1/other", b"not for devices")
    server.publish(f"/2/devices/{UID}/update-trigger", b"for the other")
    server.publish(f"/2/groups/{UID}/update-trigger", b"for the other", retain=True)
    other.publish(f"/2/devices/{UID}/status")
    other.publish("airfreight/2/info/mcu")
    device.subscribe("airfreight/2/#")
    for_it = ["airfreight/1/downlink/ping", f"/1/devices/{UID}/update-trigger", f"/1/groups/{UID}/update-trigger"]
    for topic in for_it:
        server.publish(topic, b"for it")
    wait(lambda: set(device.topics) >= set(for_it))
    server.publish("airfreight/1/downlink/diag", b"the last")
    wait(lambda: device.topics[-1] == "airfreight/1/downlink/diag")

    assert set(device.topics) == {*for_it, "airfreight/1/downlink/diag"}


@BOTH
def test_a_revoked_device_is_cut_off_at_the_next_reload_and_others_are_not(
    broker: Broker, connect: Connect, protocol: MQTTProtocolVersion
) -> None:
    server, device, other = connect(SERVER_USER), connect("1", protocol=protocol), connect("2", protocol=protocol)
    device.subscribe("airfreight/1/downlink/#")
    broker.write_passwords({"2": TOKENS["2"]})
    server.publish("airfreight/1/downlink/ping")
    wait(lambda: device.heard)  # the file alone changes nothing
    broker.reload()
    wait(lambda: device.is_gone)

    assert not connect("1", protocol=protocol).let_in
    other.publish("airfreight/2/info/mcu")

    assert not other.is_gone
    assert not server.is_gone


def test_a_device_whose_token_is_rotated_is_cut_off_and_comes_back_with_the_new_one(
    broker: Broker, connect: Connect
) -> None:
    device = connect("1")
    broker.write_passwords({**TOKENS, "1": "another-token-of-the-first-devic"})
    broker.reload()
    wait(lambda: device.is_gone)

    assert not connect("1").let_in
    assert connect("1", "another-token-of-the-first-devic").let_in


def test_without_its_password_file_the_broker_lets_nobody_in_and_recovers(broker: Broker, connect: Connect) -> None:
    device = connect("1")
    broker.password_file.unlink()
    broker.reload()
    wait(lambda: device.is_gone)
    assert not connect("1").let_in
    assert not connect(None).let_in

    broker.write_passwords(TOKENS)
    broker.reload()

    assert connect("1").let_in


def test_a_message_larger_than_the_limit_ends_the_connection(connect: Connect) -> None:
    server, device = connect(SERVER_USER), connect("1")
    server.subscribe("airfreight/#")
    device.publish("airfreight/1/info/mcu", b"x" * 1900)
    wait(lambda: server.heard)
    device.client.publish("airfreight/1/info/mcu", b"x" * 2100, qos=1)
    wait(lambda: device.is_gone)

    assert [len(payload) for _, payload, _ in server.heard] == [1900]


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_the_server_hears_after_a_restart_what_came_while_it_was_away(
    broker: Broker, connect: Connect, end: str
) -> None:
    def server() -> Peer:
        peer = Peer(MQTT_311, name="the-server")
        peer.client._clean_session = False
        return peer.connect(broker.port, SERVER_USER, SERVER_PASSWORD)

    first = server()
    first.subscribe("airfreight/+/info/#")
    first.close()
    broker.save()
    device = connect("1")
    if end == "stop":
        device.publish("airfreight/1/info/mcu", b"before the restart")
        broker.stop()
    else:
        wait((broker.folder / "mosquitto.db").exists)
        broker.kill()
    broker.start()
    back = connect("1")
    back.client.publish("airfreight/1/info/mcu", b"after it, at QoS 0", qos=0)
    back.publish("airfreight/1/info/mcu", b"after it")
    second = server()
    wait(lambda: second.heard and second.heard[-1][1] == b"after it")
    second.close()

    heard = [payload for _, payload, _ in second.heard]
    assert heard == [*([b"before the restart"] if end == "stop" else []), b"after it, at QoS 0", b"after it"]


def test_what_devices_say_all_the_time_is_not_kept_for_the_server_and_pushes_nothing_out(
    broker: Broker, connect: Connect
) -> None:
    def server() -> Peer:
        peer = Peer(MQTT_311, name="the-server")
        peer.client._clean_session = False
        peer.connect(broker.port, SERVER_USER, SERVER_PASSWORD)
        peer.client.subscribe([("airfreight/+/info/mcu", 1), ("/+/devices/+/status", 0)])
        wait(lambda: peer.granted)
        return peer

    server().close()
    device = connect("1")
    for qos in (0, 1):
        device.client.publish(f"/1/devices/{UID}/status", b"while it is away", qos=qos)
    device.publish("airfreight/1/info/mcu", b"while it is away")
    back = server()
    wait(lambda: back.heard)
    device.publish(f"/1/devices/{UID}/status", b"now")
    wait(lambda: len(back.heard) > 1)
    back.close()

    assert back.heard == [
        ("airfreight/1/info/mcu", b"while it is away", False),
        (f"/1/devices/{UID}/status", b"now", False),
    ]


@pytest.fixture
def secure(tls_broker: Broker, certificates: Certificates, peers: list[Peer]) -> Connect:
    """Log in at the TLS listener."""
    tls_broker.write_passwords(TOKENS)
    tls_broker.reload()

    def make(user: str, name: str = "", protocol: MQTTProtocolVersion = MQTT_311) -> Peer:
        peers.append(Peer(protocol, name))
        peers[-1].client.tls_set(ca_certs=str(certificates.ca))
        return peers[-1].connect(tls_broker.tls_port, user, TOKENS[user])

    return make


@BOTH
def test_a_device_gets_in_over_tls_and_is_as_alone_there(secure: Connect, protocol: MQTTProtocolVersion) -> None:
    first, second = secure("1", protocol=protocol), secure("2", protocol=protocol)
    first.subscribe("#")
    second.publish("airfreight/2/info/mcu")
    second.publish("airfreight/1/downlink/ping")
    second.publish("airfreight/2/info/mcu")

    assert first.let_in
    assert first.heard == []


def test_a_device_that_trusts_another_authority_or_expects_another_host_does_not_connect(
    tls_broker: Broker, certificates: Certificates, tmp_path: Path
) -> None:
    def greet(ca: Path, name: str) -> str | None:
        context = ssl.create_default_context(cafile=str(ca))
        with (
            socket.create_connection(("127.0.0.1", tls_broker.tls_port)) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            return secure.version()

    assert greet(certificates.ca, "localhost") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
        greet(make_certificates(tmp_path / "other").ca, "localhost")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        greet(certificates.ca, "broker.example")


def test_a_device_that_takes_the_name_of_another_does_not_push_it_out(secure: Connect) -> None:
    victim = secure("1", name="sensor")
    for name in ("sensor", "1", ""):
        assert secure("2", name=name).let_in
    victim.publish("airfreight/1/info/mcu")

    assert not victim.is_gone


def test_a_token_has_one_connection_the_newest(secure: Connect) -> None:
    first = secure("1", name="one")
    secure("1", name="another")

    wait(lambda: first.is_gone)


def test_the_tls_listener_speaks_no_plain_mqtt(tls_broker: Broker) -> None:
    plain = Peer().connect(tls_broker.tls_port, "1", TOKENS["1"])

    assert not plain.let_in
    plain.close()

"""One message to one receiver, over real sockets: what counts as taken, what does not, and that nothing lasts for ever."""

import base64
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ports import Port
from tests.webhooks.authority import Authority
from tests.webhooks.receiver import OK, Heard, Receiver, answer

from airfreight.adapters import webhooks
from airfreight.adapters.webhooks import HttpLine, HttpPoster
from airfreight.domain.addresses import read_networks
from airfreight.domain.webhooks import Endpoint, Trouble, read_url
from airfreight.ports import Posted

HERE = read_networks("127.0.0.0/8")
BODY = b'{"n":1}'


def line_to(url: str, allowed: Any = HERE, **more: str) -> HttpLine:
    place = read_url(url)
    assert place is not None
    return HttpPoster(allowed, "Airfreight/0").open(Endpoint(place, **more))


def post(url: str, allowed: Any = HERE, **more: str) -> Posted:
    line = line_to(url, allowed, **more)
    posted = line.post({"webhook-id": "msg_1"}, BODY)
    line.close()
    return posted


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less patience than ten seconds, for tests that wait for its end."""
    monkeypatch.setattr(webhooks, "TOTAL_SECONDS", 1.0)
    monkeypatch.setattr(webhooks, "BODY_SECONDS", 0.3)


def test_a_message_arrives_as_it_was_given(receiver: Receiver) -> None:
    url = receiver.url + "/a%20b?c=d&e"
    assert post(url, authorization="Basic dTpw") == Posted(200, None, "ok")
    [heard] = receiver.heard
    assert heard.line == "POST /hook/a%20b?c=d&e HTTP/1.1"
    assert heard.body == BODY
    assert heard.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "user-agent": "Airfreight/0",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "authorization": "Basic dTpw",
        "webhook-id": "msg_1",
        "content-length": str(len(BODY)),
    }


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (answer(201, b"made"), Posted(201, None, "made")),
        (answer(204), Posted(204, None)),
        (b"HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK, Posted(200, None, "ok")),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", Posted(200, None, "abc")),
        (answer(302, Location="http://127.0.0.1/"), Posted(302, Trouble.REDIRECT)),
        (answer(307, Location="http://127.0.0.1/"), Posted(307, Trouble.REDIRECT)),
        (answer(304), Posted(304, Trouble.REDIRECT)),
        (answer(400, b"no"), Posted(400, Trouble.STATUS, "no")),
        (answer(401), Posted(401, Trouble.STATUS)),
        (answer(410), Posted(410, Trouble.STATUS)),
        (answer(503, Retry_After="7"), Posted(503, Trouble.STATUS, "", "7")),
        (answer(503, Retry_After="7" * 100), Posted(503, Trouble.STATUS, "", "7" * 64)),
        (b"HTTP/1.1 103 Early\r\nRetry-After: 7\r\n\r\n" + answer(429), Posted(429, Trouble.STATUS)),
        (answer(200, Retry_After="7"), Posted(200, None)),
        (answer(500, b"\xff\x00\x1b[31m\xc3\xa9"), Posted(500, Trouble.STATUS, "\ufffd\ufffd\ufffd[31m\u00e9")),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", Posted(0, Trouble.NOT_HTTP)),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Posted(0, Trouble.NOT_HTTP)),
        (b"HTTP/1.1 200 OK\r\nA: " + b"a" * 20_000, Posted(0, Trouble.NOT_HTTP)),
        (b"HTTP/1.1 103 Early\r\n\r\n" * 2000, Posted(0, Trouble.NOT_HTTP)),
        (b"HTTP/1.1 999999 OK\r\n\r\n", Posted(0, Trouble.NOT_HTTP)),
        (None, Posted(0, Trouble.CLOSED)),
    ],
    ids=[
        "created", "no content", "interim", "chunked", "found", "temporary", "not modified", "bad request", "unauthorized", "gone", "busy", "busy for long", "early", "not busy", "broken", "upgrade", "ssh",
        "long head", "for ever interim", "odd status", "hung up",
    ],
)  # fmt: skip
def test_only_a_2xx_is_taken(receiver: Receiver, said: bytes | None, wanted: Posted) -> None:
    receiver.script = lambda _heard, _connection: said
    assert post(receiver.url) == wanted
    assert len(receiver.heard) == 1, "nothing is followed and nothing is sent twice"


def test_a_huge_answer_is_read_to_4_kb_and_500_characters_are_kept(receiver: Receiver) -> None:
    sent = []

    def flood(_heard: Heard, connection: socket.socket) -> bytes | None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + b"x" * 100_000)
        try:
            for _ in range(1000):
                connection.sendall(b"x" * 100_000)
                sent.append(1)
        except OSError:
            return None
        return None

    receiver.script = flood
    posted = post(receiver.url)
    assert posted == Posted(200, None, "x" * 500)
    time.sleep(0.2)
    assert len(sent) < 1000, "the connection was closed, not drained"


class Drip:
    """An answer that goes on byte by byte for ten seconds; without its first bytes a silence as long.

    `said`: for how many of its 200 steps, which is told from outside: a machine that stands still does not go on.
    """

    def __init__(self, first: bytes) -> None:
        self.first, self.said = first, 0

    def __call__(self, _heard: Heard, connection: socket.socket) -> bytes | None:
        connection.sendall(self.first)
        for _ in range(200):
            time.sleep(0.05)
            if self.first:
                connection.sendall(b"a")
            self.said += 1
        return None


@pytest.mark.usefixtures("hasty")
def test_an_answer_that_never_ends_is_not_waited_for(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for first, wanted in (
        (b"", Posted(0, Trouble.TIMEOUT)),
        (b"HTTP/1.1 200 OK\r\nX: ", Posted(0, Trouble.TIMEOUT)),
    ):
        receiver.script = drip = Drip(first)
        before = time.monotonic()
        assert post(receiver.url) == wanted
        assert time.monotonic() - before > 0.9
        assert drip.said < 100, "the time is for all of it, not for each byte"
    monkeypatch.setattr(webhooks, "TOTAL_SECONDS", 10.0)
    monkeypatch.setattr(webhooks, "BODY_SECONDS", 1.0)
    receiver.script = drip = Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nba")
    posted = post(receiver.url)
    assert (posted.status, posted.trouble, posted.response[:2]) == (200, None, "ba")
    assert drip.said < 100, "the head of the answer is what counts"


@pytest.mark.usefixtures("hasty")
def test_a_receiver_that_reads_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = time.monotonic()
        line = line_to(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert line.post({}, b"x" * 30_000_000) == Posted(0, Trouble.TIMEOUT)
        assert time.monotonic() - before < 10
        line.close()


def test_nobody_there_is_no_connection() -> None:
    nobodys = Port()
    assert post(f"http://127.0.0.1:{nobodys.number}/") == Posted(0, Trouble.NO_CONNECTION)


# connections


def test_messages_of_a_line_share_a_connection(receiver: Receiver) -> None:
    line = line_to(receiver.url)
    for _ in range(20):
        assert line.post({}, BODY).trouble is None
    line.close()
    assert (len(receiver.heard), receiver.connections) == (20, 1)


@pytest.mark.parametrize(
    "said",
    [
        answer(200, Connection="close"),
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmore",
        OK + b"garbage",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["close", "1.0", "two answers", "garbage", "bad chunk"],
)
def test_a_connection_that_cannot_be_trusted_is_not_used_again(receiver: Receiver, said: bytes) -> None:
    receiver.script = lambda _heard, _connection: said
    line = line_to(receiver.url)
    for _ in range(3):
        assert line.post({}, BODY).status == 200
    line.close()
    assert (len(receiver.heard), receiver.connections) == (3, 3)


def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one(receiver: Receiver) -> None:
    praised = threading.Event()

    def praise(connection: socket.socket) -> None:
        connection.sendall(answer(200, b"early praise"))
        praised.set()

    def late(_heard: Heard, connection: socket.socket) -> bytes:
        if len(receiver.heard) == 1:
            threading.Timer(0.1, praise, [connection]).start()
            return OK
        return answer(500)

    receiver.script = late
    line = line_to(receiver.url)
    assert line.post({}, BODY).status == 200
    assert praised.wait(20)
    time.sleep(0.1)
    assert line.post({}, BODY).status == 500
    line.close()


def test_a_connection_that_was_closed_between_messages_is_opened_again(receiver: Receiver) -> None:
    line = line_to(receiver.url)
    assert line.post({}, BODY).trouble is None
    receiver.stop()
    assert line.post({}, BODY) == Posted(0, Trouble.NO_CONNECTION)
    receiver.start()
    assert line.post({}, BODY).trouble is None
    line.close()


def test_under_tls_too(tmp_path: Path) -> None:
    authority = Authority()
    receiver = Receiver(context=authority.server(tmp_path))
    line = line_to(receiver.url, certificate=authority.pem)
    for _ in range(3):
        assert line.post({}, BODY) == Posted(200, None, "ok")
    assert receiver.connections == 1
    receiver.stop()
    receiver.start()
    assert line.post({}, BODY) == Posted(200, None, "ok")
    line.close()
    receiver.stop()


# TLS


def test_a_pinned_authority_is_the_only_one(tmp_path: Path) -> None:
    good, other = Authority(), Authority("another")
    receiver = Receiver(context=good.server(tmp_path))
    assert post(receiver.url, certificate=good.pem).trouble is None
    assert post(receiver.url, certificate=other.pem) == Posted(0, Trouble.TLS)
    assert post(receiver.url) == Posted(0, Trouble.TLS), "the system does not know it"
    assert len(receiver.heard) == 1, "not a byte of the others was said"
    receiver.stop()


def test_a_certificate_of_another_name_or_time_is_refused(tmp_path: Path) -> None:
    authority = Authority()
    for context in (authority.server(tmp_path, "127.0.0.2"), authority.server(tmp_path, days=-1)):
        receiver = Receiver(context=context)
        assert post(receiver.url, certificate=authority.pem) == Posted(0, Trouble.TLS)
        receiver.stop()


def test_a_receiver_without_tls_is_no_receiver_with_tls(receiver: Receiver) -> None:
    assert post(receiver.url.replace("http://", "https://")) == Posted(0, Trouble.TLS)
    assert receiver.heard == []


def test_old_tls_is_refused(tmp_path: Path) -> None:
    authority = Authority()
    context = authority.server(tmp_path)
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    receiver = Receiver(context=context)
    assert post(receiver.url, certificate=authority.pem) == Posted(0, Trouble.TLS)
    receiver.stop()


# addresses


class Names:
    """A name server for tests, in place of the system's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **names: list[str]) -> None:
        self.asked: list[str] = []
        self.names = {name.replace("_", "."): found for name, found in names.items()}
        monkeypatch.setattr(socket, "getaddrinfo", self.look_up)

    def look_up(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [
            (socket.AF_INET6 if ":" in one else socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port))
            for one in self.names[host]
        ]


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"], ["10.0.0.1"], ["169.254.169.254"], ["::1"], ["fd00::1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["2002:7f00:1::"],
        ["0.0.0.0"], ["224.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["2606:4700::1111", "10.0.0.1"], ["fe80::1%lo"],
    ],
    ids="+".join,
)  # fmt: skip
def test_a_name_that_leads_inside_is_not_called(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver, addresses: list[str]
) -> None:
    Names(monkeypatch, hook_example=addresses)
    assert post(f"http://hook.example:{receiver.port}/", ()) == Posted(0, Trouble.ADDRESS_NOT_ALLOWED)
    assert receiver.heard == []


def test_an_address_that_is_not_allowed_is_not_called(receiver: Receiver) -> None:
    assert post(receiver.url, ()) == Posted(0, Trouble.ADDRESS_NOT_ALLOWED)
    assert post(receiver.url, read_networks("127.0.0.2")) == Posted(0, Trouble.ADDRESS_NOT_ALLOWED)
    assert receiver.heard == []


def test_the_name_is_looked_up_once_and_the_address_that_was_checked_is_called(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """A name server that says something else the second time (DNS rebinding) is not asked a second time."""
    names = Names(monkeypatch, hook_example=["127.0.0.1"])
    called: list[Any] = []
    plain = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        called.append(address)
        names.names["hook.example"] = ["127.0.0.2"]
        plain(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)
    assert post(f"http://hook.example:{receiver.port}/x").trouble is None
    assert names.asked == ["hook.example"]
    assert called == [("127.0.0.1", receiver.port)]
    assert receiver.heard[0].headers["host"] == f"hook.example:{receiver.port}"


def test_each_new_connection_is_checked_again(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    names = Names(monkeypatch, hook_example=["127.0.0.1"])
    receiver.script = lambda _heard, _connection: answer(200, Connection="close")
    line = line_to(f"http://hook.example:{receiver.port}/")
    assert line.post({}, BODY).trouble is None
    names.names["hook.example"] = ["10.0.0.1"]
    assert line.post({}, BODY) == Posted(0, Trouble.ADDRESS_NOT_ALLOWED)
    line.close()


def test_the_name_is_what_the_certificate_is_checked_against(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Names(monkeypatch, hook_example=["127.0.0.1"], other_example=["127.0.0.1"])
    authority, shown = Authority(), []
    context = authority.server(tmp_path, "hook.example")
    context.sni_callback = lambda _socket, name, _context: shown.append(name)
    receiver = Receiver(context=context)
    assert post(f"https://hook.example:{receiver.port}/", certificate=authority.pem).trouble is None
    assert post(f"https://other.example:{receiver.port}/", certificate=authority.pem) == Posted(0, Trouble.TLS)
    assert shown == ["hook.example", "other.example"]
    receiver.stop()


def test_a_name_that_nobody_knows_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    Names(monkeypatch)
    assert post("http://hook.example/") == Posted(0, Trouble.NO_SUCH_HOST)


def test_a_name_server_that_does_not_answer_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    names, awake = Names(monkeypatch, hook_example=["127.0.0.1"]), threading.Event()

    def asleep(host: str, port: int, **_: Any) -> list[Any]:
        if host == "slow.example":
            awake.wait(60)
        return names.look_up(host, port)

    monkeypatch.setattr(socket, "getaddrinfo", asleep)
    monkeypatch.setattr(webhooks, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(webhooks, "_looking_up", threading.Semaphore(2))
    before = time.monotonic()
    for _ in range(2):
        assert post(f"http://slow.example:{receiver.port}/") == Posted(0, Trouble.TIMEOUT)
    assert 0.5 < time.monotonic() - before < 10
    assert post(f"http://hook.example:{receiver.port}/") == Posted(0, Trouble.TIMEOUT), "those left behind are few"
    awake.set()
    until = time.monotonic() + 30
    while (posted := post(f"http://hook.example:{receiver.port}/")).trouble and time.monotonic() < until:
        pass
    assert posted.trouble is None, "and make room when they end"
    assert len(receiver.heard) == 1


def test_the_next_address_is_tried_when_one_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    Names(monkeypatch, hook_example=["127.0.0.9", "127.0.0.1"])
    assert post(f"http://hook.example:{receiver.port}/").trouble is None


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    proxy = Receiver()
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert post(receiver.url).trouble is None
    assert (len(proxy.heard), len(receiver.heard)) == (0, 1)
    proxy.stop()


def test_a_password_in_any_language_is_one_header(receiver: Receiver) -> None:
    login = base64.b64encode("\u00fc\r\nX: y:p\u00e4ss".encode()).decode()
    assert post(receiver.url, authorization=f"Basic {login}").trouble is None
    assert receiver.heard[0].headers["authorization"] == f"Basic {login}"
    assert "x" not in receiver.heard[0].headers

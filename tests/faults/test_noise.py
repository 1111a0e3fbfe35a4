"""Malformed requests, hundreds of them, straight into the socket: answered or dropped, never a mistake of the server."""

import json
import random
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from tests.faults.process import Process

SEED = 20_260_101
MUTATIONS = 1400
OPERATOR, DEVICE = "TokenOfAnOperatorWhichHasFortyCharacters", "TokenOfDeviceWithThirtyTwoOfThem"
"""What is made of these two is the same in every run; where they are left whole, the real tokens come in their place."""

ODD_VALUES = [
    "", "0", "-1", "1e3", "NaN", "null", "true", "9" * 25, "9" * 5000, "\x00", "%00", "%ff", "../..", "ü", "\u202e", "a" * 10_000,
    "' OR 1=1 --", "{{7*7}}", "${jndi:x}", "2147483648", "9223372036854775807", "9223372036854775808", "٣", "1_000", " 1", "+1",
]  # fmt: skip


def request(method: str, path: str, token: str, body: bytes = b"", kind: str = "application/json") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def good_requests(operator: str, device: str) -> list[bytes]:
    """One for every kind of address."""
    reports = json.dumps({"reports": [{"attempt": 1001, "seq": 1, "event": "downloading", "progress": 3}]}).encode()
    create = json.dumps(
        {
            "title": "t",
            "productId": 1,
            "pathToFirmware": "/static/x",
            "firmwareOriginalFileName": "x",
            "firmwareInfo": {},
        }
    ).encode()
    form = b'--b\r\nContent-Disposition: form-data; name="upfile"; filename="f"\r\n\r\nDATA\r\n--b\r\nContent-Disposition: form-data; name="type"\r\n\r\nFIRMWARE\r\n--b--\r\n'
    api = "/api/v1/organization/shipment"
    return [
        request("GET", "/device/v1/next?wait=0", device),
        request("POST", "/device/v1/reports", device, reports),
        request("PUT", "/device/v1/attributes", device, b'{"version": "1.0.0", "x": 1}'),
        request("POST", "/device/v1/enroll", operator, b'{"uid": "u", "product": 1}'),
        request("GET", "/device/v1/artifacts/1", device),
        request("GET", api + "s?orgId=1", operator),
        request("GET", api + "?shipmentId=1&orgId=1", operator),
        request("PUT", api + "/stop?shipmentId=1", operator),
        request("POST", api + "/create", operator, create),
        request("POST", "/api/upload", operator, form, "multipart/form-data; boundary=b"),
        request("PUT", "/api/v1/artifacts?filename=x.bin", operator, b"some bytes"),
        request("GET", "/api/v1/devices?query=x&limit=5&after=0", operator),
        request("POST", "/api/v1/devices", operator, b'{"productId": 1, "name": "n"}'),
        request("GET", "/api/v1/rollouts/1/deliveries?state=queued&limit=1", operator),
        request("POST", "/oauth2/token?grant_type=client_credentials", operator, b"", "application/x-www-form-urlencoded"),
        request("GET", "/healthz", operator),
    ]  # fmt: skip


Mutation = Callable[[random.Random, bytes], bytes]


def flip(rng: random.Random, one: bytes) -> bytes:
    made = bytearray(one)
    for _ in range(rng.randint(1, 8)):
        made[rng.randrange(len(made))] = rng.randrange(256)
    return bytes(made)


def cut(rng: random.Random, one: bytes) -> bytes:
    return one[: rng.randrange(len(one))]


def stutter(rng: random.Random, one: bytes) -> bytes:
    start, end = sorted(rng.randrange(len(one)) for _ in range(2))
    return one[:end] + one[start:end] * rng.randint(1, 20) + one[end:]


def insert(rng: random.Random, one: bytes) -> bytes:
    at = rng.randrange(len(one))
    return (
        one[:at]
        + rng.choice([b"\x00", b"\r\n", b"\n", b"\xff" * 9, rng.randbytes(40), b"%s%n", b"\r\n\r\n"])
        + one[at:]
    )


def odd_value(rng: random.Random, one: bytes) -> bytes:
    """Another value for a parameter, a part of the path or a value in the body."""
    spots = list(re.finditer(rb"(?<==)[^&\s;]+|(?<=/)\w+|(?<=: )[\w\"./]+|\d+", one))
    spot = rng.choice(spots)
    return one[: spot.start()] + rng.choice(ODD_VALUES).encode() + one[spot.end() :]


def odd_header(rng: random.Random, one: bytes) -> bytes:
    line, _, rest = one.partition(b"\r\n")
    name = rng.choice(
        [b"Content-Length", b"Transfer-Encoding", b"Range", b"If-Range", b"Accept", b"Cookie", b"Content-Type", b"Expect",
         b"Host", b"Upgrade", b"Connection", b"Content-Encoding", b"X-Forwarded-For", b"Accept-Encoding", b"A" * 9000, b"", b":"]
    )  # fmt: skip
    value = rng.choice(
        [b"", b"-1", b"99999999999999999999", b"chunked", b"gzip, chunked", b"bytes=" + b"0-," * 3000, b"\x00", b"\xff\xfe", b"100-continue",
         b"websocket", b"close", b"*/*;q=x", b"a=b; c", b'multipart/form-data; boundary="', b"x" * 20_000, b"application/json; charset=utf-7"]
    )  # fmt: skip
    return line + b"\r\n" + name + b": " + value + b"\r\n" + rest


def body_noise(rng: random.Random, one: bytes) -> bytes:
    head, _, body = one.partition(b"\r\n\r\n")
    noise = rng.choice(
        [b"[" * 50_000, b'{"a":' * 30_000, b"\xff" * 100, b"null", b"[]", b'"' + b"\\u0000" * 100 + b'"', rng.randbytes(500), b"{" + body]
    )  # fmt: skip
    head = re.sub(rb"Content-Length: \d+", b"Content-Length: %d" % len(noise), head)
    return head + b"\r\n\r\n" + noise


def odd_line(rng: random.Random, one: bytes) -> bytes:
    _, _, rest = one.partition(b"\r\n")
    lines = [
        b"GET / HTTP/9.9", b"GET", b"", b" ", b"GET  / HTTP/1.1", b"get / HTTP/1.1", b"GET http://x/ HTTP/1.1", b"GET * HTTP/1.1",
        b"OPTIONS * HTTP/1.1", b"CONNECT x:1 HTTP/1.1", b"TRACE / HTTP/1.1", b"GET /\xff\xfe HTTP/1.1", b"GET /" + b"a" * 70_000 + b" HTTP/1.1",
        b"GET /%zz HTTP/1.1", b"GET //device/v1/next HTTP/1.1", b"GET /device/v1/../../etc HTTP/1.1", b"BREW /pot HTTP/1.1", b"GET / HTTP/1.0",
        b"PRI * HTTP/2.0", b"\x16\x03\x01\x02\x00\x01", b"POST /api/upload HTTP/1.1", b"PUT /metrics HTTP/1.1", b"DELETE /docs HTTP/1.1",
        b"GET /api/v1/devices/" + b"9" * 5000 + b" HTTP/1.1", b"GET /api/v1/devices/%D9%A3 HTTP/1.1", b"GET /?" + b"&=" * 5000 + b" HTTP/1.1",
    ]  # fmt: skip
    return rng.choice(lines) + b"\r\n" + rest


KINDS: list[Mutation] = [flip, cut, stutter, insert, odd_value, odd_value, odd_header, odd_header, body_noise, odd_line]


def noise(seeds: list[bytes]) -> Iterator[bytes]:
    rng = random.Random(SEED)
    for number in range(MUTATIONS):
        one = rng.choice(seeds)
        for _ in range(rng.choice([1, 1, 1, 2])):
            one = KINDS[number % len(KINDS)](rng, one) if one else one
        yield one


def with_tokens(content: bytes, tokens: Mapping[bytes, bytes]) -> bytes:
    for ours, real in tokens.items():
        content = content.replace(ours, real)
    return content


def send(port: int, content: bytes) -> bytes:
    """What comes back, at most the beginning of it."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        # a request that is refused before its end was sent: the answer is here all the same
        with suppress(ConnectionError):
            connection.sendall(content)
        with suppress(OSError):  # that there is no connection any more is another error than that it broke
            connection.shutdown(socket.SHUT_WR)
        try:
            return connection.recv(4096)
        except ConnectionError:
            return b""


def test_noise_is_answered_or_dropped_and_the_server_goes_on(process: Process) -> None:
    with process.operator() as client:
        rollout, devices = process.shipment(client, 3)
        operator = str(client.headers["Authorization"]).removeprefix("Bearer ")
        client.get("/device/v1/next", headers={"Authorization": f"Bearer {devices[0]['token']}"})
    tokens = {OPERATOR.encode(): operator.encode(), DEVICE.encode(): devices[0]["token"].encode()}
    assert [len(token) for token in tokens] == [len(token) for token in tokens.values()]
    sent = [with_tokens(content, tokens) for content in noise(good_requests(OPERATOR, DEVICE))]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda content: send(process.port, content), sent))
    statuses = Counter(answer[9:12].decode() for answer in answers if answer.startswith(b"HTTP/1."))
    wrong = [
        (answer[:12], content[:300])
        for answer, content in zip(answers, sent, strict=True)
        if answer[9:10] == b"5" and answer[9:12] not in {b"501", b"505"}
    ]
    assert wrong == []
    assert statuses.total() > MUTATIONS // 2, statuses
    assert statuses["400"] > 50
    assert statuses["200"] + statuses["204"] > 20, "some of it was good by chance: the noise is near the truth"
    log = process.log
    assert [line for line in log.splitlines() if "Traceback" in line or "request failed" in line] == []
    assert process.is_alive
    assert process.is_ready()
    with process.operator() as client:
        assert client.get(f"/api/v1/rollouts/{rollout}").status_code == 200
    process.stop()
    assert process.doctor().returncode == 0

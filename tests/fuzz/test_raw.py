"""4,000 wrong requests straight into the socket of a served process, for every address of every door.

Each is refused in the one way that fits, or fits after all. Nothing is learnt from a refusal, and nothing is left of it.
"""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import func, select, update
from tests.apis.serving import eventually
from tests.faults.process import Process
from tests.fuzz.asks import (
    END,
    FILE,
    MARKER,
    METHODS,
    ODD_BODIES,
    ODD_KINDS,
    ODD_NUMBERS,
    ODD_PATHS,
    ODD_VALUES,
    TYPE,
    Ask,
    fields,
    good,
    pick,
    put,
    without_ddi,
)
from tests.fuzz.wire import Answer, send
from tests.make import sqlalchemy_url

from airfreight.store import tables
from airfreight.store.database import Database

SEED = 20_260_101
EACH_DATABASE = 2000
TOO_LARGE = 300_000
TOO_LARGE_LIST = 8 * 1024**2
LISTS = ("{campaign_id}/devices", "{campaign_id}/devices/things")
"""They take a hundred thousand ids."""
UPLOADS = "/api/v1/uploads/"
LIMITS = {
    "max_body_bytes": "65536",
    "max_form_bytes": "100000",
    "max_upload_bytes": "200000",
    "requests_per_minute": "1000000",
    "latest_per_minute": "1000000",
    "chunk_seconds": "5",
}
ADDRESS = "/static/fw_17446744073709551615_2147483647.bin"
"""Of the file that requests name. The server's own are random and not all of one length, on which hangs what is made up."""

HOUSEKEEPING = {"device_seen", "leases", "outbox", "signals"}
"""Tables that the server itself writes to at any time."""


@dataclass(frozen=True, slots=True)
class Shot:
    """What is sent; `statuses`: what may come back besides success; `must`: no success, exactly these."""

    kind: str
    label: str
    content: bytes
    must: frozenset[int] = frozenset()
    word: str = ""
    """What the message has to name."""
    least: int = 1
    most: int = 1
    """How many answers may come: none when the frame is odd, so that the server may wait for more of it.

    With one at least the server hangs up by itself, however long it takes.
    """


Make = Callable[[random.Random, Ask], Shot | None]


def _shot(kind: str, ask: Ask, *must: int, word: str = "") -> Shot:
    return Shot(kind, ask.label, ask.raw(), frozenset(must), word)


def _odd(kind: str, ask: Ask, content: bytes, *must: int, least: int = 0, most: int = 1) -> Shot:
    """One whose frame is odd: where it ends is not sure."""
    return Shot(kind, ask.label, content, frozenset(must), least=least, most=most)


def odd_number(rng: random.Random, ask: Ask) -> Shot | None:
    if not ask.numbers:
        return None
    name = pick(rng, ask.numbers)
    query = tuple((one, pick(rng, ODD_NUMBERS) if one == name else value) for one, value in ask.query)
    return _shot("a query number", replace(ask, query=query), 400, word=name)


def twice(rng: random.Random, ask: Ask) -> Shot | None:
    if not ask.numbers:
        return None
    name = pick(rng, ask.numbers)
    again = next(value for one, value in ask.query if one == name)
    return _shot(
        "a query number twice", replace(ask, query=(*ask.query, (name, again))), *([] if ask.is_device else [400])
    )


def odd_text(rng: random.Random, ask: Ask) -> Shot | None:
    texts = [name for name, _ in ask.query if name not in ask.numbers]
    name = pick(rng, texts) if texts else MARKER
    value = quote(str(pick(rng, ODD_VALUES)), safe="", errors="surrogatepass")
    query = (*((one, old) for one, old in ask.query if one != name), (name, value))
    return _shot("a query text", replace(ask, query=query))


def odd_path(rng: random.Random, ask: Ask) -> Shot | None:
    if "{" not in ask.template:
        return None
    start = ask.template.index("{")
    end = ask.path.find("/", start)
    path = ask.path[:start] + pick(rng, ODD_PATHS) + (ask.path[end:] if end > 0 else "")
    return _shot("a path", replace(ask, path=path), 400, 404, 405)


def nowhere(rng: random.Random, ask: Ask) -> Shot | None:
    path = pick(
        rng,
        [f"{ask.path}/{MARKER}", f"{ask.path}{MARKER}", f"/{MARKER}{ask.path}", f"{ask.path}//{MARKER}", f"/{MARKER}"],
    )
    return _shot("an address", replace(ask, path=path), 404, 405) if "{" not in ask.template else None


def other_method(rng: random.Random, ask: Ask) -> Shot | None:
    others = [one for one in METHODS if one not in ask.methods]
    if not others:
        return None
    return _shot("a method", replace(ask, method=pick(rng, others), body=b""), 405)


def odd_field(rng: random.Random, ask: Ask) -> Shot | None:
    places = fields(ask.value) if ask.is_json else []
    if not places:
        return None
    value = ask.value
    for _ in range(pick(rng, [1, 1, 1, 2, 3])):
        places = fields(value)
        if places:
            value = put(value, pick(rng, places), pick(rng, ODD_VALUES))
    return _shot("a field", ask.with_json(value))


def odd_object(rng: random.Random, ask: Ask) -> Shot | None:
    """A field too many, too few, or twice."""
    if not isinstance(ask.value, dict) or not ask.value:
        return None
    name = pick(rng, list(ask.value))
    without = {one: value for one, value in ask.value.items() if one != name}
    again = ask.body[:-1] + b', "' + name.encode() + b'": {"' + MARKER.encode() + b'": []}}'
    made = [
        ask.with_json({**ask.value, "shoeSize": 1, "title": MARKER}),
        ask.with_json({**ask.value, "<script>" + MARKER: None}),
        ask.with_json(without),
        ask.with_json({f"{MARKER} of": ask.value}),
        replace(ask, body=again),
    ]
    return _shot("an object", pick(rng, made))


def odd_body(rng: random.Random, ask: Ask) -> Shot | None:
    if not ask.kind:
        return None
    body = pick(rng, [*ODD_BODIES, ask.body[: rng.randrange(len(ask.body) + 1)], ask.body[:-1], ask.body + ask.body])
    if ask.is_json and body not in {ask.body, b"{}"}:
        return _shot("a body", replace(ask, body=body), 400, 413)
    return _shot("a body", replace(ask, body=body))


def odd_form(rng: random.Random, ask: Ask) -> Shot | None:
    """A whole form with a good file, that is not the form that is wanted."""
    if not ask.kind.startswith("multipart/"):
        return None
    name = MARKER.encode()
    made = [
        FILE + END, TYPE + END, FILE + TYPE.replace(b"FIRMWARE", name) + END, FILE + TYPE.replace(b"FIRMWARE", b"firmware") + END, FILE + TYPE,
        FILE + TYPE.replace(b"FIRMWARE", b"") + END, FILE + TYPE + TYPE.replace(b"type", name) + END, FILE + FILE + TYPE + END, TYPE * 9 + FILE + END,
        FILE.replace(b"upfile", name) + TYPE + END, FILE.replace(b"DATA", b"") + TYPE + END, FILE.replace(b"f.bin", b"") + TYPE + END,
        FILE.replace(b"f.bin", b"..") + TYPE + END, FILE.replace(b"f.bin", b"\xff\x00" + name) + TYPE + END,
        FILE + TYPE.replace(b"FIRMWARE", b"x" * 300) + END, FILE.replace(b"\r\n\r\n", b"\r\n" + b"a: b\r\n" * 3000 + b"\r\n") + TYPE + END,
    ]  # fmt: skip
    return _shot("a form", replace(ask, body=pick(rng, made)), 400)


def too_large(rng: random.Random, ask: Ask) -> Shot | None:
    if not ask.kind:
        return None
    if ask.template.startswith(UPLOADS):
        return None  # a piece may be as large as its upload: tests/apis/uploads
    body = b'{"a": "' + b"x" * (TOO_LARGE_LIST if ask.template.endswith(LISTS) else TOO_LARGE) + b'"}'
    if rng.random() < 0.5:
        return _shot("a large body", replace(ask, body=body), 413, word="limit")
    chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:100_000], body[100_000:])) + b"0\r\n\r\n"
    head = replace(ask, extra=(("Transfer-Encoding", "chunked"),)).head(length=False)
    return Shot("a large body", ask.label, head + chunked, frozenset({413} if ask.kind[0] == "a" else {400, 413}))


def odd_kind(rng: random.Random, ask: Ask) -> Shot | None:
    if not ask.is_json:
        return None
    return _shot("a content type", replace(ask, kind=pick(rng, ODD_KINDS)), *([] if ask.is_device else [415]))


def stranger(rng: random.Random, ask: Ask) -> Shot | None:
    if not ask.scheme:
        return None
    token = pick(
        rng, ["", MARKER, f"{ask.token}{MARKER}", "x" * 5000, "\x7f", ask.token[:-1], f"{ask.token} x", "'--", "é"]
    )
    body = ask.body if ask.is_device else pick(rng, [ask.body, b"{" + MARKER.encode()])
    return _shot("a token", replace(ask, token=token, body=body), 401, 400 if token == "\x7f" else 401)


def other_scheme(rng: random.Random, ask: Ask) -> Shot | None:
    if not ask.scheme:
        return None
    value = pick(
        rng, [f"Basic {ask.token}", ask.token, f"Bearer{ask.token}", f"Token {ask.token}", "Bearer", "Bearer ", MARKER]
    )
    return _shot("a scheme", replace(ask, token="", extra=(("Authorization", value),)), 401)


def odd_header(rng: random.Random, ask: Ask) -> Shot | None:
    name, value = pick(
        rng,
        [("Content-Length", "-1"), ("Content-Length", "9" * 30), ("Content-Length", "1, 2"), ("Content-Length", "0x10"), ("Content-Length", "+5"),
         ("Transfer-Encoding", MARKER), ("Transfer-Encoding", "chunked, gzip"), ("Transfer-Encoding", "xchunked"), ("Expect", MARKER),
         ("Content-Encoding", "gzip"), ("Range", "bytes=" + "0-," * 5000), ("If-Range", MARKER), ("Cookie", MARKER * 500), ("Accept", "text/html;q=x"),
         ("Host", MARKER), ("Host", ""), ("X-HTTP-Method-Override", "DELETE"), ("Upgrade", "h2c"), ("Connection", "Upgrade, HTTP2-Settings"),
         ("X-Forwarded-For", MARKER), ("X-" + "a" * 5000, "1"), ("If-None-Match", "*"), ("Accept-Encoding", "\x00"), ("X-Long", "y" * 70_000)],
    )  # fmt: skip
    return _odd("a header", ask, replace(ask, extra=(*ask.extra, (name, value))).raw(), most=2)


def odd_head(rng: random.Random, ask: Ask) -> Shot | None:
    line, _, rest = ask.raw().partition(b"\r\n")
    method, path, _ = line.split(b" ", 2)
    made = [
        b"%s %s HTTP/9.9" % (method, path), b"%s %s" % (method, path), b"%s  %s HTTP/1.1" % (method, path), b"", b"\x00" * 20,
        b"BREW %s HTTP/1.1" % path, method.lower() + b" %s HTTP/1.1" % path, b"%s %s HTTP/1.1 x" % (method, path), b"\x16\x03\x01\x02\x00\x01",
        b"%s /%s\x00 HTTP/1.1" % (method, MARKER.encode()), b"%s /\xff\xfe HTTP/1.1" % method, b"PRI * HTTP/2.0", b"%s http:// HTTP/1.1" % method,
        b"CONNECT localhost:80 HTTP/1.1", b"%s /%s HTTP/1.1" % (method, b"a" * 80_000), b"%s * HTTP/1.1" % method, b"%s ?a HTTP/1.1" % method,
    ]  # fmt: skip
    return _odd("a head", ask, pick(rng, made) + b"\r\n" + rest, most=3)


def odd_chunks(rng: random.Random, ask: Ask) -> Shot | None:
    head = replace(ask, method="POST", extra=(("Transfer-Encoding", "chunked"),)).head(length=False)
    made = [
        b"zz\r\n%s\r\n" % MARKER.encode(), b"-1\r\nx\r\n0\r\n\r\n", b"5\r\nabc\r\n0\r\n\r\n", b"%s\r\n" % (b"f" * 40), b"5;%s\r\nab" % MARKER.encode(),
        b"1\r\nab\r\n0\r\n\r\n", b"\r\n\r\n", b"1\nx\n0\n\n", b"5\r\n", b"0\r\n%s: x\r\n\r\n" % MARKER.encode(), b"3\r\n{}\x00\r\n0\r\n\r\n",
    ]  # fmt: skip
    return _odd("chunks", ask, head + pick(rng, made), most=2)


def smuggled(rng: random.Random, ask: Ask) -> Shot | None:
    """A second request inside the body of a first whose length can be read in two ways: never two answers."""
    hidden = f"GET /healthz?{MARKER} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    inner = b"0\r\n\r\n" + hidden
    first = f"POST {ask.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ask.token}\r\n".encode()
    both = [
        b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(inner),
        b"Transfer-Encoding: chunked\r\nContent-Length: %d\r\n\r\n" % len(inner),
        b"Content-Length: %d\r\nContent-Length: 0\r\n\r\n" % len(inner),
        b"Content-Length: 0\r\nContent-Length: %d\r\n\r\n" % len(inner),
        b"Content-Length: %d\r\nTransfer-Encoding : chunked\r\n\r\n" % len(inner),
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        b"Content-Length: %d\r\nTransfer-Encoding:\x0bchunked\r\n\r\n" % len(inner),
        b"Content-Length : %d\r\n\r\n" % len(inner),
        b"Content-Length: 0, %d\r\n\r\n" % len(inner),
    ]
    return _odd("smuggling", ask, first + pick(rng, both) + inner, 400)


def pipelined(rng: random.Random, ask: Ask) -> Shot | None:
    """Several at once, the last one cut off: answered in their order, what is cut off is not."""
    lost = replace(ask, method="GET", path=f"/{MARKER}", kind="", body=b"", extra=(("Connection", "keep-alive"),)).raw()
    return _odd("a pipeline", ask, lost * 3 + ask.raw() + lost[: rng.randrange(len(lost))], 404, least=4, most=4)


MAKERS: list[Make] = [
    odd_number, odd_number, twice, odd_text, odd_path, nowhere, other_method, odd_field, odd_field, odd_field, odd_field, odd_object, odd_object,
    odd_body, odd_body, *[odd_form] * 40, too_large, odd_kind, stranger, other_scheme, odd_header, odd_header, odd_head, odd_chunks, smuggled, pipelined,
]  # fmt: skip


def shots(asks: list[Ask], number: int, seed: str) -> list[Shot]:
    """Each way to be wrong for each address in turn, until there are enough."""
    rng = random.Random(seed)
    made: list[Shot] = []
    while len(made) < number:
        order = [(make, ask) for make in MAKERS for ask in asks]
        rng.shuffle(order)
        made += [shot for make, ask in order if (shot := make(rng, ask)) is not None]
    return made[:number]


@dataclass(slots=True)
class Stage:
    """A served process with something in it."""

    process: Process
    database_url: str

    def asks(self, client: httpx.Client) -> list[Ask]:
        _, [device, *_] = self.process.shipment(client, 4)
        for number in range(4):
            client.post("/api/v1/clients", json={"name": f"client {number}"})
            client.post("/api/v1/organizations", json={"name": f"below {number}"})
            client.post("/api/v1/products", json={"name": f"product {number}"})
        tokens = {
            "bearerAuth": str(client.headers["Authorization"]).removeprefix("Bearer "),
            "deviceToken": device["token"],
            "enrollmentKey": client.post("/api/v1/enrollment-keys", json={"name": "key"}).json()["key"],
        }
        told = client.get("/device/v1/next", headers={"Authorization": f"Bearer {device['token']}"}).json()
        self._give_the_file_its_address()
        known = {
            "id": 2, "deviceId": 2, "productId": 1, "parentId": 1, "orgId": 1, "shipmentId": 1, "product": 1, "count": 2, "devices": None, "deviceIds": [],
            "pathToFirmware": ADDRESS, "firmwareInfo": {}, "skipFwTypeCheck": True, "attempt": told["attempt"], "wait": 0, "host": "",
            "Upload-Length": "10", "Upload-Metadata": "filename YQ==", "Upload-Offset": "0", "email": "x@made.example", "password": "long enough, this one", "timeZone": "", "tz": "UTC", "templateId": "1", "file": "fw.bin", "filename": "x.bin", "name": "a name",
        }  # fmt: skip
        document = without_ddi(client.get("/openapi.json").json())
        # signing out would end the token that all others are asked with
        return [ask for ask in good(document, tokens, known) if not ask.path.endswith("/logout")]

    def _give_the_file_its_address(self) -> None:
        """There is one."""
        with closing(Database(self.database_url)) as database, database.write() as connection:
            assert connection.execute(update(tables.artifacts).values(path=ADDRESS)).rowcount == 1

    def rows(self) -> dict[str, list[Any]]:
        """Everything in the database but what the server writes by itself."""
        with closing(Database(self.database_url)) as database, database.read() as connection:
            return {
                table.name: sorted(map(repr, connection.execute(select(table))))
                for table in tables.metadata.sorted_tables
                if table.name not in HOUSEKEEPING
            }

    def waits(self) -> int:
        with closing(Database(self.database_url)) as database, database.read() as connection:
            return int(connection.execute(select(func.count()).select_from(tables.outbox)).scalar_one())


@pytest.fixture(params=["sqlite", "postgresql"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    process = Process(tmp_path / "data", **LIMITS, **({"database_url": url} if url else {}))
    process.start()
    yield Stage(process, sqlalchemy_url(url) if url else f"sqlite:///{tmp_path / 'data' / 'airfreight.db'}")
    process.kill()


def wrong(shot: Shot, answers: list[Answer]) -> str:
    """What is wrong with the answers; empty when nothing is."""
    if not shot.least <= len(answers) <= shot.most:
        return f"{len(answers)} answers"
    for answer in answers:
        if words := answer.wrong():
            return words
    if shot.must and answers and answers[0].status not in shot.must:
        return f"status {answers[0].status}"
    if shot.word and shot.word.encode() not in answers[0].body:
        return f"does not name {shot.word}"
    return ""


def fire(port: int, some: list[Shot]) -> list[list[Answer]]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda shot: send(port, shot.content, is_whole=shot.least > 0), some))


def eventually_still(stage: Stage) -> dict[str, list[Any]]:
    """What is in the database when the worker has done all that accepted requests have left to it."""
    assert eventually(lambda: stage.waits() == 0, 60)
    seen = [stage.rows()]

    def is_still() -> bool:
        seen.append(stage.rows())
        return seen[-1] == seen[-2]

    assert eventually(is_still, 60)
    return seen[-1]


def code(got: list[Answer]) -> str:
    """Why the last one was refused; empty when any was accepted."""
    refused = all(answer.status >= 400 for answer in got)
    return got[-1].headers.get("x-error-code", "oauth") if got and refused else ""


def leaves_nothing(stage: Stage, first: list[tuple[Shot, list[Answer]]]) -> int:
    """Sends again what was refused, until all of it is refused again: then nothing may have changed.

    What is accepted later clashed with something that is gone now (a name, a state): all that is refused with its code
    is left out then, else one would make way for the next. How many are refused for good.
    """
    sent = [(shot, code(got)) for shot, got in first if code(got)]
    for _ in range(10):
        before = eventually_still(stage)
        answers = fire(stage.process.port, [shot for shot, _ in sent])
        clashes = {was for (_, was), got in zip(sent, answers, strict=True) if got and not code(got)} - {"not_found"}
        again = [(shot, code(got)) for (shot, _), got in zip(sent, answers, strict=True)]
        again = [(shot, now) for shot, now in again if now and now not in clashes]
        if len(again) == len(sent):
            assert stage.rows() == before
            return len(sent)
        sent = again
    raise AssertionError("what is refused is accepted the next time, again and again")


def test_wrong_requests_are_refused_and_leave_nothing(stage: Stage) -> None:
    process = stage.process
    with process.operator() as client:
        asks = stage.asks(client)
    sent = shots(asks, EACH_DATABASE, f"{SEED} {stage.database_url[:6]}")
    answers = list(zip(sent, fire(process.port, sent), strict=True))
    found = {
        f"{shot.kind}, {shot.label}: {words}": (shot.content[:400], [answer.body[:200] for answer in got])
        for shot, got in answers
        if (words := wrong(shot, got))
    }
    assert found == {}
    assert {shot.label for shot in sent} == {ask.label for ask in asks}
    assert len(sent) == EACH_DATABASE

    assert leaves_nothing(stage, answers) > EACH_DATABASE // 2

    assert [line for line in process.log.splitlines() if "Traceback" in line or "request failed" in line] == []
    assert MARKER not in process.log
    with process.operator() as client:
        assert client.get("/api/v1/organization/shipments").status_code == 200
        process.shipment(client, 1)
    process.stop()
    assert process.doctor().returncode == 0

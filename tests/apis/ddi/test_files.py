"""Artifacts as DDI clients get them: whole, one range, many; conditions by SHA-1 and date; the `.MD5SUM`."""

import asyncio
import hashlib
import http.client
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.apis.common.test_files import running
from tests.apis.common.test_ranges import NAMED

from airfreight.apis.common.asgi import Disconnected, Message, Receive, Scope, Send
from airfreight.apis.common.files import Outcome
from airfreight.apis.ddi.files import FileOfArtifact, serve_artifact, serve_md5sum
from airfreight.domain.ids import Millis

SIZE = 1_000_000
CONTENT = random.Random(6).randbytes(SIZE)
SHA1, MD5 = hashlib.sha1(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest()
UPLOADED = 1_767_268_800
"""2026-01-01 12:00:00 UTC, in seconds."""
BOUNDARY = b"THIS_STRING_SEPARATES_MULTIPART"
HEADERS = {
    "content-type": "application/octet-stream",
    "content-length": str(SIZE),
    "accept-ranges": "bytes",
    "etag": f'"{SHA1}"',
    "last-modified": "Thu, 01 Jan 2026 12:00:00 GMT",
    "content-disposition": "attachment;filename=image-1.0.swu",
    "x-content-type-options": "nosniff",
}


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> FileOfArtifact:
    path = tmp_path_factory.mktemp("blobs") / "content"
    path.write_bytes(CONTENT)
    return FileOfArtifact(path, "image-1.0.swu", SIZE, SHA1, MD5, Millis(UPLOADED * 1000 + 789))


async def staying() -> Message:
    """A client that stays and says nothing more."""
    return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]


@dataclass
class Served:
    """An answer, what `started` saw of it, and the outcome."""

    outcome: Outcome | None = None
    starts: list[int] = field(default_factory=list)
    messages: list[Message] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        pairs = [(name.decode(), value.decode("latin-1")) for name, value in self.messages[0]["headers"]]
        assert len(dict(pairs)) == len(pairs), "a header twice"
        return dict(pairs)

    @property
    def body(self) -> bytes:
        bodies = self.messages[1:]
        assert [bool(message.get("more_body")) for message in bodies] == [True] * (len(bodies) - 1) + [False]
        return b"".join(message["body"] for message in bodies)


def scope_of(method: str, headers: dict[str, str]) -> Scope:
    named = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http", "method": method, "headers": named}


def get(artifact: FileOfArtifact, *, method: str = "GET", receive: Receive = staying, **headers: str) -> Served:
    made = Served()

    async def send(message: Message) -> None:
        made.messages.append({**message, "body": bytes(message.get("body", b""))})

    async def main() -> None:
        made.outcome = await serve_artifact(
            scope_of(method, headers),
            receive,
            send,
            artifact,
            seconds=5,
            started=lambda: made.starts.append(len(made.messages)),
        )

    asyncio.run(main())
    return made


# whole files


def test_the_whole_file_has_the_headers_of_the_reference_and_no_other(artifact: FileOfArtifact) -> None:
    served = get(artifact)
    assert (served.status, served.headers) == (200, HEADERS)
    assert served.body == CONTENT
    assert served.outcome is Outcome.WHOLE
    assert served.starts == [1], "once, after the head and before the first byte"


@pytest.mark.parametrize(
    "headers", [{}, {"range": "bytes=5-9"}, {"range": "bytes=1-2,5-9"}, {"range": "x"}, {"if_match": "x"}]
)
def test_head_has_the_headers_of_get_and_starts_nothing(artifact: FileOfArtifact, headers: dict[str, Any]) -> None:
    got, headed = get(artifact, **headers), get(artifact, method="HEAD", **headers)
    assert (headed.status, headed.headers, headed.body) == (got.status, got.headers, b"")
    assert (headed.outcome, headed.starts) == (Outcome.ANSWERED, [])


@pytest.mark.parametrize(
    ("filename", "shown"),
    [
        ("a.swu", "a.swu"),
        ("a b;c.swu", '"a b;c.swu"'),
        ('a"b\\c.swu', '"a\\"b\\\\c.swu"'),
        ("näme\u2028ü.swu", "n_me__.swu"),
        ("x" * 100 + ".swu", "x" * 78),
    ],
)
def test_the_name_is_quoted_where_it_must_be_and_cut(artifact: FileOfArtifact, filename: str, shown: str) -> None:
    served = get(replace(artifact, filename=filename), method="HEAD")
    assert served.headers["content-disposition"] == f"attachment;filename={shown}"


def test_a_file_that_is_missing_or_cut_off_is_not_begun(artifact: FileOfArtifact, tmp_path: Path) -> None:
    for wrong in (replace(artifact, path=tmp_path / "none"), replace(artifact, size=SIZE + 1)):
        made: list[Message] = []

        async def send(message: Message, made: list[Message] = made) -> None:
            made.append(message)

        with pytest.raises(FileNotFoundError):
            asyncio.run(serve_artifact(scope_of("GET", {}), staying, send, wrong, seconds=5, started=lambda: None))
        assert made == []


def test_if_none_match_is_not_looked_at(artifact: FileOfArtifact) -> None:
    assert get(artifact, if_none_match=f'"{SHA1}"').body == CONTENT


def test_a_client_that_leaves_has_not_got_it_all(artifact: FileOfArtifact) -> None:
    async def gone() -> Message:
        return {"type": "http.disconnect"}

    requests: list[dict[str, Any]] = [{}, {"range": "bytes=0-199999,300000-999999"}]
    for headers in requests:
        served = get(artifact, receive=gone, **headers)
        assert served.outcome is Outcome.BROKEN
        assert sum(len(message["body"]) for message in served.messages) < SIZE / 2


def test_a_client_that_takes_nothing_is_given_up(artifact: FileOfArtifact) -> None:
    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(10)

    async def main() -> None:
        scope = scope_of("GET", {"range": "bytes=0-9,20-29"})
        await serve_artifact(scope, staying, send, artifact, seconds=0.05, started=lambda: None)

    with pytest.raises(Disconnected):
        asyncio.run(main())


def test_where_the_server_can_tell_the_last_byte_waits_for_all_before_it(artifact: FileOfArtifact) -> None:
    left, sizes = iter([7, 3, 0]), []

    async def send(message: Message) -> None:
        if "body" in message:
            sizes.append(len(message["body"]))

    async def main() -> Outcome:
        scope = {**scope_of("GET", {}), "extensions": {"airfreight.unsent": lambda: next(left)}}
        return await serve_artifact(scope, staying, send, artifact, seconds=5, started=lambda: None, proves=True)

    assert asyncio.run(main()) is Outcome.WHOLE
    assert (sizes[-1], sum(sizes), list(left)) == (1, SIZE, [])


# ranges


@pytest.mark.parametrize(
    ("value", "start", "end", "outcome"),
    [
        ("bytes=0-0", 0, 1, Outcome.ANSWERED),
        ("bytes=131072-262143", 131072, 262144, Outcome.ANSWERED),
        ("bytes=0-299999", 0, 300_000, Outcome.ANSWERED),
        ("bytes=999999-", 999_999, SIZE, Outcome.TAIL),
        ("bytes=500000-", 500_000, SIZE, Outcome.TAIL),
        ("bytes=-1", 999_999, SIZE, Outcome.TAIL),
        ("bytes=999000-2000000", 999_000, SIZE, Outcome.TAIL),
        ("Bytes = 7-8", 7, 9, Outcome.ANSWERED),
        ("bytes=0-", 0, SIZE, Outcome.WHOLE),
        ("bytes=-5000000", 0, SIZE, Outcome.WHOLE),
        ("bytes=0-123456789012345678", 0, SIZE, Outcome.WHOLE),
    ],
)
def test_one_range(artifact: FileOfArtifact, value: str, start: int, end: int, outcome: Outcome) -> None:
    served = get(artifact, range=value)
    assert served.status == 206
    assert served.headers == {
        **HEADERS,
        "content-length": str(end - start),
        "content-range": f"bytes {start}-{end - 1}/{SIZE}",
    }
    assert served.body == CONTENT[start:end]
    assert served.outcome is outcome
    assert served.starts == [1]


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        ("bytes=0-9,10-19", [(0, 10), (10, 20)]),
        ("bytes=700000-,5-5, 100-300099", [(5, 6), (100, 300_100), (700_000, SIZE)]),
        ("bytes=-3,0-2", [(0, 3), (SIZE - 3, SIZE)]),
    ],
)
def test_several_ranges_are_one_answer_of_known_length_in_order(
    artifact: FileOfArtifact, value: str, spans: list[tuple[int, int]]
) -> None:
    expected = b""
    for start, end in spans:
        expected += b"\r\n--" + BOUNDARY + b"\r\nContent-Type: application/octet-stream\r\n"
        expected += f"Content-Range: bytes {start}-{end - 1}/{SIZE}\r\n\r\n".encode() + CONTENT[start:end]
    expected = expected.removeprefix(b"\r\n") + b"\r\n--" + BOUNDARY + b"--"

    served = get(artifact, range=value)

    assert served.status == 206
    assert served.headers == {
        **HEADERS,
        "content-type": "multipart/byteranges; boundary=THIS_STRING_SEPARATES_MULTIPART",
        "content-length": str(len(expected)),
    }
    assert served.body == expected
    assert served.outcome is Outcome.ANSWERED
    assert served.starts == [1]


@pytest.mark.parametrize(
    "value",
    [
        "bytes=9-8", f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0", "bytes=0-5,5-9", "bytes=0-9,3-4",
        "bytes=0-9,0-9", "bytes=-5,-6", f"bytes=0-1,{SIZE}-", "bytes=0-1,5-4", "bytes=", "bytes=-", "bytes=1", "bytes",
        "bytes=a-b", "bytes=0-1,", "bytes=,0-1", "bytes=0-1,,3-4", "bytes=0-10***", "bytes=--1", "bytes=1-2-3",
        "bytes=0x1-2", "bytes=\xb2-3", "bytes=1 2-3", "bytes=+1-2", "octets=0-1", "0-1", "", " ",
        "bytes=99999999999999999999-", "bytes=" + "9" * 50_000 + "-",
    ],
)  # fmt: skip
def test_what_is_no_range_of_the_file_is_416(artifact: FileOfArtifact, value: str) -> None:
    served = get(artifact, range=value)
    assert (served.status, served.body) == (416, b"")
    assert served.headers == {**HEADERS, "content-length": "0", "content-range": f"bytes */{SIZE}"}
    assert (served.outcome, served.starts) == (Outcome.ANSWERED, [])


def test_a_hundred_ranges_are_served_and_one_more_is_not(artifact: FileOfArtifact) -> None:
    value = "bytes=" + ",".join(f"{10 * n}-{10 * n + 4}" for n in range(100))
    assert get(artifact, range=value).body.count(b"Content-Range: ") == 100
    assert get(artifact, range=value + ",5000-5001").status == 416
    assert get(artifact, range="bytes=" + "0-0," * 10_000).status == 416


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> FileOfArtifact:
    path = tmp_path_factory.mktemp("blobs") / "small"
    path.write_bytes(CONTENT[:50])
    return FileOfArtifact(path, "small", 50, SHA1, MD5, Millis(UPLOADED * 1000))


ODD = st.one_of(
    st.lists(NAMED, max_size=6).map(lambda parts: "bytes=" + ",".join(parts)),
    st.text(st.sampled_from("bytes=0123456789-, \tx²"), max_size=30),
    st.text(st.characters(max_codepoint=255), max_size=40),
)


@settings(max_examples=150, deadline=None)
@given(ODD)
def test_whatever_range_is_asked_for_the_answer_has_the_length_it_says(small: FileOfArtifact, value: str) -> None:
    served = get(small, range=value)
    assert served.status in {206, 416}
    assert int(served.headers["content-length"]) == len(served.body)
    if served.status == 206 and "content-range" in served.headers:
        found = re.fullmatch(r"bytes (\d+)-(\d+)/50", served.headers["content-range"])
        assert found
        assert served.body == CONTENT[int(found[1]) : int(found[2]) + 1]


# conditions


def date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (f'"{SHA1}"', 206),
        (SHA1, 206),
        (date(UPLOADED), 206),
        (date(UPLOADED + 3600), 206),
        ("Thursday, 01-Jan-26 12:00:00 GMT", 206),
        (date(UPLOADED - 1), 200),
        (date(0), 200),
        (f'W/"{SHA1}"', 200),
        (f'"{"0" * 40}"', 200),
        ('"' + SHA1, 200),
        ("*", 200),
        ("", 200),
        ("soon", 200),
        ("Thu, 01 Jan 0000 12:00:00 GMT", 200),
        ("Thu, 99 Jan 2026 12:00:00 GMT", 200),
        ("Thu, 01 Jan 2026 12:00:99999999999999999999 GMT", 200),
        ("9" * 60_000, 200),
    ],
)
def test_if_range(artifact: FileOfArtifact, value: str, status: int) -> None:
    served = get(artifact, range="bytes=10-19", if_range=value)
    assert (served.status, served.body) == (status, CONTENT[10:20] if status == 206 else CONTENT)


def test_if_range_without_a_range_is_the_whole_file(artifact: FileOfArtifact) -> None:
    assert get(artifact, if_range=f'"{SHA1}"').status == 200


@pytest.mark.parametrize(
    ("value", "is_sent"),
    [
        (SHA1, True),
        (f'"{SHA1}"', True),
        (f'"x", "{SHA1}"', True),
        (f"x,y ,{SHA1}", True),
        ("*", True),
        (f'W/"{SHA1}"', False),
        (SHA1[:-1], False),
        ('"x"', False),
        ("", False),
        ("x," * 30_000, False),
    ],
)
def test_if_match(artifact: FileOfArtifact, value: str, is_sent: bool) -> None:
    requests: list[dict[str, Any]] = [{}, {"range": "bytes=10-19"}, {"range": "nonsense"}]
    for headers in requests:
        served = get(artifact, if_match=value, **headers)
        if is_sent:
            assert served.status in {200, 206, 416}
        else:
            assert (served.status, served.body) == (412, b"")
            assert served.headers == {"content-length": "0", "etag": f'"{SHA1}"'}
            assert (served.outcome, served.starts) == (Outcome.ANSWERED, [])


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(max_codepoint=255), max_size=80), st.sampled_from(["if_range", "if_match"]))
def test_no_condition_breaks_anything(small: FileOfArtifact, value: str, name: str) -> None:
    condition: dict[str, Any] = {name: value}
    assert get(small, range="bytes=1-2", **condition).status in {200, 206, 412}


DATES = st.lists(
    st.sampled_from(["Thu", ",", " ", "01", "Jan", "2026", "12", ":", "00", "GMT", "+9999", "-0000", "99999", "-", "0", "PST"]),
    max_size=14,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(DATES.map("".join))
def test_no_date_breaks_anything(small: FileOfArtifact, value: str) -> None:
    assert get(small, range="bytes=1-2", if_range=value).status in {200, 206}


# X-Accel-Redirect


def test_a_whole_file_can_be_left_to_nginx(artifact: FileOfArtifact) -> None:
    served = get(replace(artifact, accel="/blobs/ab/abc"))
    assert served.status == 200
    assert served.headers == {
        **{name: value for name, value in HEADERS.items() if name != "content-length"},
        "x-accel-redirect": "/blobs/ab/abc",
    }
    assert (served.body, served.outcome, served.starts) == (b"", Outcome.ANSWERED, [1])


@pytest.mark.parametrize("headers", [{"range": "bytes=0-9"}, {"range": "x"}, {"if_match": SHA1}, {"if_match": "x"}])
def test_what_speaks_of_ranges_or_hashes_is_not(artifact: FileOfArtifact, headers: dict[str, Any]) -> None:
    for method in ("GET", "HEAD"):
        served = get(replace(artifact, accel="/blobs/ab/abc"), method=method, **headers)
        same = get(artifact, method=method, **headers)
        assert (served.status, served.headers, served.body) == (same.status, same.headers, same.body)


def test_nor_is_head(artifact: FileOfArtifact) -> None:
    assert get(replace(artifact, accel="/blobs/ab/abc"), method="HEAD").headers == HEADERS


# the .MD5SUM


@pytest.mark.parametrize(("filename", "shown"), [("a.swu", "a.swu.MD5SUM"), ("ä b.swu", '"_ b.swu.MD5SUM"')])
def test_the_md5sum_is_what_the_program_of_that_name_reads(artifact: FileOfArtifact, filename: str, shown: str) -> None:
    made = {method: Served() for method in ("GET", "HEAD")}
    for method, served in made.items():

        async def send(message: Message, served: Served = served) -> None:
            served.messages.append(message)

        asyncio.run(serve_md5sum(scope_of(method, {}), send, replace(artifact, filename=filename)))
    line = f"{MD5}  {filename}".encode()
    assert (made["GET"].status, made["GET"].body) == (200, line)
    assert made["GET"].headers == {
        "content-type": "text/plain",
        "content-length": str(len(line)),
        "content-disposition": f"attachment;filename={shown}",
    }
    assert (made["HEAD"].status, made["HEAD"].headers, made["HEAD"].body) == (200, made["GET"].headers, b"")


# over the server's own HTTP protocol


@pytest.fixture
def connection(artifact: FileOfArtifact) -> Iterator[http.client.HTTPConnection]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith(".MD5SUM"):
            await serve_md5sum(scope, send, artifact)
        else:
            await serve_artifact(scope, receive, send, artifact, seconds=10, started=lambda: None)

    protocol = "airfreight.adapters.http_protocol:BoundedHttp"
    config = uvicorn.Config(app, loop="uvloop", http=protocol, lifespan="off", log_config=None)
    with running(config) as port:
        made = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        yield made
        made.close()


def test_every_answer_ends_where_it_says_on_one_connection(connection: http.client.HTTPConnection) -> None:
    def ask(method: str, path: str = "/a.swu", **headers: str) -> tuple[Any, bytes]:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        assert "transfer-encoding" not in answer.headers
        assert "content-length" in answer.headers
        return answer, answer.read()

    ask("HEAD")
    own = connection.sock
    for method, headers, status in (
        ("GET", {}, 200),
        ("HEAD", {"Range": "bytes=0-9,20-29"}, 206),
        ("GET", {"Range": "bytes=0-9,20-400000"}, 206),
        ("GET", {"Range": "bytes=9-8"}, 416),
        ("HEAD", {"Range": "bytes=9-8"}, 416),
        ("GET", {"If-Match": "x"}, 412),
        ("GET", {"Range": "bytes=999999-"}, 206),
    ):
        answer, body = ask(method, **headers)
        assert answer.status == status
        assert len(body) == (0 if method == "HEAD" else int(answer.headers["content-length"]))
    assert ask("GET", "/a.swu.MD5SUM")[1] == f"{MD5}  image-1.0.swu".encode()
    assert connection.sock is own

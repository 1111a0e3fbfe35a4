"""`GET /device/v1/artifacts/{id}`: the bytes, all of them or a range, for the device that is being updated with them."""

import base64
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs
from tests.apis.conftest import Serve
from tests.apis.device.test_protocol import NEXT
from tests.apis.serving import eventually
from tests.apis.shipments.test_bad_input import refusal
from tests.apis.site import Site
from tests.formats.packages import package
from tests.make import Board, Stored, image

from airfreight.apis.common import files
from airfreight.domain.delivery import Verdict

CONTENT = image("2.0.0", size=1600)
SIZE = len(CONTENT)
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'


@pytest.fixture
def artifact(site: Site) -> Stored:
    return site.artifact("", content=CONTENT)


@pytest.fixture
def board(site: Site, artifact: Stored) -> Board:
    """A device with an open attempt that carries the artifact."""
    [made] = site.devices(site.product_id)
    site.ship(artifact, site.product_id, [made])
    site.poll(made)
    return made


def fetch(site: Site, board: Board, artifact: Stored, method: str = "GET", **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return site.as_device(board).request(method, f"/device/v1/artifacts/{artifact.id}", headers=sent)


def test_the_whole_file_with_everything_to_check_it_by(site: Site, board: Board, artifact: Stored) -> None:
    answer = fetch(site, board, artifact)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["content-length"] == str(SIZE)
    assert answer.headers["etag"] == ETAG
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "application/octet-stream"
    digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"
    assert "transfer-encoding" not in answer.headers
    assert "content-encoding" not in answer.headers


def test_a_head_is_a_get_without_the_bytes_and_moves_nothing(site: Site, board: Board, artifact: Stored) -> None:
    head = fetch(site, board, artifact, "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert site.stand_of(board) == "offered"
    get = fetch(site, board, artifact)
    kept = [name for name in get.headers if name != "date"]
    assert [head.headers.get(name) for name in kept] == [get.headers[name] for name in kept]
    part = fetch(site, board, artifact, "HEAD", Range="bytes=0-9")
    assert (part.status_code, part.content, part.headers["content-length"]) == (206, b"", "10")


ONE = ",".join(f"{n}-{n}" for n in range(8))
PARTS: list[tuple[str, int, int]] = [
    ("bytes=0-0", 0, 1),
    ("bytes=10-19", 10, 20),
    ("bytes=10-", 10, SIZE),
    ("bytes=-10", SIZE - 10, SIZE),
    ("bytes=0-", 0, SIZE),
    (f"bytes=-{SIZE + 5}", 0, SIZE),
    (f"bytes=10-{SIZE + 1000}", 10, SIZE),
    (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
    ("bytes=0-9,10-19", 0, 20),
    ("bytes=10-19,0-9", 0, 20),
    ("bytes=0-99, 50-149", 0, 150),
    (f"bytes=0-9,{SIZE}-", 0, 10),
    ("BYTES = 0-9", 0, 10),
    (f"bytes={ONE}", 0, 8),
    ("bytes=" + ",".join(["0-"] * 8), 0, SIZE),
    ("bytes=0-" + "9" * 29, 0, SIZE),
]
WHOLE = [
    "bytes=", "bytes", "bytes=-", "bytes=a-b", "bytes=5-1", "bytes=1-2-3", "bytes=--1", "bytes=1.5-2", "bytes=0x1-0x2",
    "items=0-9", "bytes=0-9,20-29", "bytes=0-9;10-19", "bytes=0-9,", "bytes=,0-9", "bytes= x", "garbage", "",
    "bytes=٠-٩", "bytes=+1-2",
    f"bytes={ONE},8-8", "bytes=" + ",".join(f"{n}-{n}" for n in range(100)), "bytes=" + ",".join(["0-"] * 1000),
]  # fmt: skip
NOTHING = [
    f"bytes={SIZE}-", f"bytes={SIZE + 7}-{SIZE + 9}", "bytes=-0", f"bytes={SIZE}-,-0", f"bytes={10**17}-",
    "bytes=" + "9" * 19 + "-",
]  # fmt: skip


@pytest.mark.parametrize(("header", "start", "end"), PARTS)
def test_a_range_is_answered_with_it(
    site: Site, board: Board, artifact: Stored, header: str, start: int, end: int
) -> None:
    answer = fetch(site, board, artifact, Range=header)
    assert (answer.status_code, answer.content) == (206, CONTENT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers["etag"] == ETAG


def test_anything_else_is_answered_with_the_whole_file(site: Site, board: Board, artifact: Stored) -> None:
    for header in WHOLE:
        answer = site.as_device(board).get(
            f"/device/v1/artifacts/{artifact.id}", headers=[(b"range", header.encode("utf-8"))]
        )
        assert (answer.status_code, answer.content == CONTENT) == (200, True), header
        assert "content-range" not in answer.headers


@pytest.mark.parametrize("header", NOTHING)
def test_a_range_without_a_byte_of_the_file_is_told_the_size(
    site: Site, board: Board, artifact: Stored, header: str
) -> None:
    answer = fetch(site, board, artifact, Range=header)
    refusal(answer, 416)
    assert answer.headers["content-range"] == f"bytes */{SIZE}"
    assert site.stand_of(board) == "offered"


@pytest.mark.parametrize(
    ("if_range", "status"),
    [(ETAG, 206), ('"other"', 200), ("W/" + ETAG, 200), (ETAG.strip('"'), 200), ("Sat, 01 Jan 2028 00:00:00 GMT", 200)],
)
def test_a_range_of_something_else_is_the_whole_file(
    site: Site, board: Board, artifact: Stored, if_range: str, status: int
) -> None:
    answer = fetch(site, board, artifact, Range="bytes=10-19", If_Range=if_range)
    assert answer.status_code == status
    assert answer.content == (CONTENT[10:20] if status == 206 else CONTENT)


def test_who_has_it_already_is_told_so(site: Site, board: Board, artifact: Stored) -> None:
    answer = fetch(site, board, artifact, If_None_Match=ETAG)
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", ETAG)
    assert site.stand_of(board) == "offered"
    assert fetch(site, board, artifact, If_None_Match='"other"').status_code == 200


def test_the_server_sees_the_bytes_go(site: Site, board: Board, artifact: Stored) -> None:
    fetch(site, board, artifact, Range="bytes=0-999")
    assert eventually(lambda: site.stand_of(board) == "downloading")
    fetch(site, board, artifact, Range="bytes=-1")
    assert written(site, board) == "downloading", "the last byte alone is not the file"
    etag = f'"{hashlib.sha256(artifact.content).hexdigest()}"'
    fetch(site, board, artifact, **{"Range": "bytes=1000-", "If-Range": etag})
    assert eventually(lambda: site.stand_of(board) == "downloaded")
    fetch(site, board, artifact, Range="bytes=0-99")
    assert written(site, board) == "downloaded"


def written(site: Site, board: Board) -> str:
    """The delivery's state when all that the server has seen so far is on disk: what devices say is written in order."""
    assert site.as_device(board).put("/device/v1/attributes", json={"a": 1}).status_code == 200
    return site.stand_of(board)


def test_of_several_files_only_the_device_knows_when_it_has_all(site: Site, artifact: Stored) -> None:
    other = site.artifact("", content=b"the second file")
    [board] = site.devices(site.product_id)
    site.ship_files([artifact, other], site.product_id, [board])
    attempt = site.poll(board).attempt_id
    for one in (artifact, other):
        assert fetch(site, board, one).content == one.content
        assert written(site, board) == "downloading"
    assert site.report(board, attempt, 1, "downloaded") is Verdict.MOVED
    assert site.stand_of(board) == "downloaded"


def test_a_package_that_the_device_has_to_check_is_downloaded_when_it_says_so(site: Site) -> None:
    stored = site.artifact("", content=package())
    [board] = site.devices(site.product_id)
    site.ship(stored, site.product_id, [board])
    site.poll(board)
    assert fetch(site, board, stored).content == stored.content
    assert written(site, board) == "downloading"


def test_only_while_an_attempt_of_the_device_carries_it(site: Site, artifact: Stored) -> None:
    board, stranger, queued = site.devices(site.product_id, 3)
    other = site.artifact("", content=b"something else")
    rollout = site.ship(artifact, site.product_id, [board, queued])
    site.ship(other, site.product_id, [stranger])
    assert fetch(site, board, artifact).status_code == 404, "not offered yet"
    attempt = site.poll(board).attempt_id
    site.poll(stranger)
    assert fetch(site, board, artifact).status_code == 200
    for one, wanted in ((stranger, artifact), (board, other), (queued, artifact)):
        refusal(fetch(site, one, wanted), 404)
        refusal(fetch(site, one, wanted, Range="bytes=0-0"), 404)
        assert fetch(site, one, wanted, "HEAD").status_code == 404
    site.stop(rollout)
    assert fetch(site, board, artifact).status_code == 200, "asked to cancel, but not yet done"
    assert site.report(board, attempt, 1, "canceled") is Verdict.MOVED
    refusal(fetch(site, board, artifact), 404)


@pytest.mark.parametrize(
    "which", ["0", "-1", "x", "1.5", "", "9" * 9, "9" * 10, "9" * 5000, "1/2", "%00", "١", "..%2f1"]
)
def test_what_is_no_artifact_is_not_found(site: Site, board: Board, which: str) -> None:
    refusal(site.as_device(board).get(f"/device/v1/artifacts/{which}"), 404)


@pytest.mark.parametrize("harm", ["gone", "cut short"])
def test_bytes_that_are_missing_are_not_found_and_one_line_in_the_log(
    site: Site, board: Board, artifact: Stored, harm: str
) -> None:
    path = site.blobs.path(hashlib.sha256(CONTENT).hexdigest())
    if harm == "gone":
        path.unlink()
    else:
        os.truncate(path, SIZE - 1)
    with capture_logs() as logs:
        refusal(fetch(site, board, artifact), 404)
    # the worker may have something to say meanwhile
    said = [(log["log_level"], "exc_info" in log) for log in logs if log.get("artifact") == artifact.id]
    assert said == [("error", False)]
    assert "request failed" not in {log["event"] for log in logs}
    path.unlink(missing_ok=True)


def test_behind_nginx_the_file_leaves_by_its_own_way(serve: Serve) -> None:
    with serve(accel_prefix="/blobs") as served, ExitStack() as stack:
        site = Site(served, stack)
        [board] = site.devices(site.product_id)
        stored = site.artifact("", content=CONTENT)
        site.ship(stored, site.product_id, [board])
        site.poll(board)
        answer = fetch(site, board, stored)
        digest = hashlib.sha256(CONTENT).hexdigest()
        assert (answer.content, answer.headers["x-accel-redirect"]) == (b"", f"/blobs/{digest[:2]}/{digest}")
        assert answer.headers["etag"] == ETAG
        assert eventually(lambda: site.stand_of(board) == "downloading")


def test_the_addresses_in_instructions_begin_with_the_public_one(serve: Serve) -> None:
    with serve(public_url="https://ota.example.com/") as served, ExitStack() as stack:
        site = Site(served, stack)
        [board] = site.devices(site.product_id)
        site.create(site.artifact(""), [board])
        [file] = site.as_device(board).get(NEXT).json()["artifacts"]
        assert file["url"] == f"https://ota.example.com/device/v1/artifacts/{file['id']}"


def large(site: Site) -> tuple[Board, Stored]:
    """A device with an open attempt of a file that no socket takes at once."""
    [board] = site.devices(site.product_id)
    stored = site.artifact("", content=os.urandom(16 * 1024 * 1024))
    site.ship(stored, site.product_id, [board])
    site.poll(board)
    return board, stored


def begin(site: Site, board: Board, stored: Stored) -> socket.socket:
    """A download of which a little was read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", site.server.port))
    request = f"GET /device/v1/artifacts/{stored.id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {board.token}\r\n\r\n"
    connection.sendall(request.encode())
    assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    return connection


def open_files(site: Site, stored: Stored) -> int:
    """How often this process has the stored file open."""
    path = site.blobs.path(hashlib.sha256(stored.content).hexdigest())
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += descriptor.readlink() == path
    return found


def test_devices_that_leave_in_the_middle_leave_nothing_behind(site: Site) -> None:
    board, stored = large(site)
    tasks = site.server.tasks()
    connections = [begin(site, board, stored) for _ in range(5)]
    assert open_files(site, stored) == 5
    for connection in connections:
        connection.close()
    assert eventually(lambda: open_files(site, stored) == 0)
    assert site.server.settles_at(tasks)
    assert eventually(lambda: site.stand_of(board) == "downloading")


def test_devices_that_read_slowly_do_not_hold_up_the_others(site: Site) -> None:
    board, stored = large(site)
    tasks = site.server.tasks()
    connections = [begin(site, board, stored) for _ in range(20)]
    for _ in range(5):
        assert site.ask("GET", "/healthz", None).status_code == 200
        assert site.as_device(board).get(NEXT).json()["do"] == "download"
    assert open_files(site, stored) == 20, "none of them had to end first"
    for connection in connections:
        connection.close()
    assert site.server.settles_at(tasks)


def test_a_device_that_takes_nothing_for_too_long_is_dropped(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    found, opened = list[int](), files.opened
    with serve(chunk_seconds=1) as served, ExitStack() as stack:
        site = Site(served, stack)
        board, stored = large(site)

        @contextmanager
        def seen(path: Path, size: int) -> Iterator[int]:
            """Its file is counted as it is opened: a second later it may be closed."""
            with opened(path, size) as descriptor:
                found.append(open_files(site, stored))
                yield descriptor

        monkeypatch.setattr(files, "opened", seen)
        tasks = served.tasks()
        with begin(site, board, stored) as connection:
            assert found == [1]
            assert eventually(lambda: open_files(site, stored) == 0)
            assert served.settles_at(tasks)
            assert received(connection) < len(stored.content)


def received(connection: socket.socket) -> int:
    """How many bytes still come before it ends, one way or the other."""
    size = 0
    with suppress(ConnectionResetError):
        while chunk := connection.recv(65_536):
            size += len(chunk)
    return size

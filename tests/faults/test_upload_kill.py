"""The server is killed while a file comes in pieces: what it says afterwards is true, and nothing is made twice."""

import hashlib
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.apis.uploads.sender import UPLOADS, metadata
from tests.faults.process import PATIENCE, Process
from tests.make import copy_of_postgresql

KIND = {"Content-Type": "application/offset+octet-stream", "Tus-Resumable": "1.0.0"}


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Process]:
    """Not started yet."""
    made = Process(tmp_path / "data")
    with ExitStack() as stack:
        if request.param == "postgresql":
            template = request.getfixturevalue("postgresql_template")
            url = copy_of_postgresql(request.getfixturevalue("postgresql_server"), template)
            made.set("database_url", stack.enter_context(url))
        stack.callback(made.stop)
        yield made


def begin(client: httpx.Client, size: int) -> str:
    headers = {"Upload-Length": str(size), "Upload-Metadata": metadata(filename="a.bin")}
    answer = client.post(UPLOADS, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def offset(client: httpx.Client, at: str) -> int:
    answer = client.head(at)
    assert answer.status_code == 200
    assert answer.headers["upload-length"]
    return int(answer.headers["upload-offset"])


def send(client: httpx.Client, at: str, start: int, content: Any) -> httpx.Response:
    return client.patch(at, headers={**KIND, "Upload-Offset": str(start)}, content=content)


def sending(server: Process, at: str, start: int, content: Any) -> threading.Thread:
    """The same on a thread, which does not mind that the server dies."""
    with server.operator() as client:
        token = client.headers["Authorization"]

    def work() -> None:
        with suppress(httpx.TransportError), httpx.Client(base_url=server.url, timeout=PATIENCE) as line:
            line.headers["Authorization"] = token
            send(line, at, start, content)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def partial(server: Process, at: str) -> Path:
    return server.folder / "blobs" / "uploads" / at.rpartition("/")[2]


def is_whole(server: Process, at: str, size: int) -> bool:
    """Whether all bytes have come; in the end they are moved to another place."""
    try:
        return partial(server, at).stat().st_size == size
    except FileNotFoundError:
        return True


def never_ending(content: bytes, over: threading.Event) -> Iterator[bytes]:
    """All of it, slowly; and then nothing more until it is over."""
    for start in range(0, len(content), 100_000):
        yield content[start : start + 100_000]
        time.sleep(0.002)
    over.wait(PATIENCE)


def until(is_so: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.timeout(600)
def test_in_the_middle_of_a_piece(server: Process) -> None:
    server.start()
    content = random.Random(12).randbytes(12_000_000)
    with server.operator() as client:
        at = begin(client, len(content))
    known = 0
    for killed_at in (1_500_000, 5_000_000, 9_000_000):
        over = threading.Event()
        thread = sending(server, at, known, never_ending(content[known : killed_at + 1_500_000], over))
        until(lambda least=killed_at: partial(server, at).stat().st_size > least)
        with server.operator() as client:
            promised = offset(client, at)
        server.kill()
        over.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()
        server.start()
        with server.operator() as client:
            known = offset(client, at)
            assert promised <= known == partial(server, at).stat().st_size < len(content)
            assert partial(server, at).read_bytes() == content[:known]
            assert client.get(at).json()["artifact"] is None
    with server.operator() as client:
        assert send(client, at, known, content[known:]).headers["artifact-id"]
        [made] = client.get("/api/v1/artifacts").json()["items"]
    assert made["sha256"] == hashlib.sha256(content).hexdigest()
    assert not partial(server, at).exists()
    assert "Traceback" not in server.log


@pytest.mark.timeout(600)
@pytest.mark.parametrize("pause", [0, 0.1, 0.3])
def test_between_the_last_byte_and_the_answer(server: Process, pause: float) -> None:
    server.start()
    content = random.Random(60).randbytes(60_000_000)
    with server.operator() as client:
        at = begin(client, len(content))
        assert send(client, at, 0, content[:-100]).status_code == 204
        identity = at.rpartition("/")[2]
    thread = sending(server, at, len(content) - 100, content[-100:])
    until(lambda: is_whole(server, at, len(content)))
    time.sleep(pause)
    server.kill()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    server.start()
    with server.operator() as client:
        head = client.head(at)
        assert head.headers["upload-offset"] == str(len(content))
        made = client.get(at).json()["artifact"]
        again = send(client, at, len(content), b"")
        assert again.status_code == 204
        assert again.headers["artifact-id"] == head.headers["artifact-id"] == str(made["id"])
        assert client.get("/api/v1/artifacts").json()["items"] == [made]
        assert [one["id"] for one in client.get(UPLOADS).json()["items"]] == [identity]
    assert made["sha256"] == hashlib.sha256(content).hexdigest()
    [blob] = (server.folder / "blobs").glob("??/*")
    assert blob.read_bytes() == content


@pytest.mark.timeout(600)
def test_two_processes_take_one_piece_of_many(server: Process) -> None:
    server.set("workers", "2")
    server.start()
    with server.operator() as client:
        headers = dict(client.headers)
        for _ in range(5):
            at = begin(client, 300_000)
            pieces = [bytes([number]) * 200_000 for number in range(8)]
            barrier = threading.Barrier(8)

            def one(piece: bytes, at: str = at, barrier: threading.Barrier = barrier) -> int:
                with httpx.Client(base_url=server.url, headers=headers, timeout=PATIENCE) as line:
                    barrier.wait(PATIENCE)
                    return send(line, at, 0, piece).status_code

            with ThreadPoolExecutor(8) as many:
                assert sorted(many.map(one, pieces)) == [204] + [409] * 7
            assert partial(server, at).read_bytes() in pieces
            assert offset(client, at) == 200_000

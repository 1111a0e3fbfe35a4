"""Uploads, raw and as a form: limits on the bytes that really came, and nothing left of what was refused or broken."""

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.apis.conftest import Serve
from tests.apis.serving import eventually
from tests.apis.shipments.test_bad_input import refusal
from tests.apis.site import Site
from tests.make import BUILD, image

from airfreight.store.tables import artifacts

RAW, FORM = "/api/v1/artifacts", "/api/upload"
LIMIT = 100_000
CONTENT = image("2.0.0", BUILD, "T")
B = "bOuNdArY"
FORM_TYPE = {"Content-Type": f"multipart/form-data; boundary={B}"}


@pytest.fixture
def small(serve: Serve) -> Iterator[Site]:
    """A server that takes little."""
    with serve(max_upload_bytes=LIMIT, max_form_bytes=LIMIT) as served, ExitStack() as stack:
        yield Site(served, stack)


@pytest.fixture
def hasty(serve: Serve) -> Iterator[Site]:
    """A server that does not wait long for the next bytes."""
    with serve(chunk_seconds=2) as served, ExitStack() as stack:
        yield Site(served, stack)


def hashing() -> int:
    """How many threads write and hash what is being received."""
    return sum("_drain" in thread.name for thread in threading.enumerate())


def incoming(site: Site) -> list[Path]:
    """Files that are being received."""
    return list((site.server.app.settings.data / "blobs" / "incoming").iterdir())


def stored(site: Site) -> list[Path]:
    return [path for path in (site.server.app.settings.data / "blobs").glob("??/*") if path.is_file()]


def nothing_is_left(site: Site) -> bool:
    """Neither a file nor a row."""
    return not incoming(site) and not [
        row for row in site.rows(artifacts.select()) if row.organization_id == site.organization_id
    ]


def part(name: str, value: bytes, filename: str | None = None, extra: str = "") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"' + (
        f'; filename="{filename}"' if filename is not None else ""
    )
    return f"--{B}\r\n{head}\r\n{extra}\r\n".encode() + value + b"\r\n"


FILE, TYPE, END = part("upfile", CONTENT, "fw.bin"), part("type", b"FIRMWARE"), f"--{B}--\r\n".encode()


def send_form(site: Site, body: bytes | Iterator[bytes], headers: dict[str, str] | None = None) -> httpx.Response:
    return site.ask("POST", FORM, content=body, headers=headers or FORM_TYPE)


def send_raw(site: Site, body: bytes | Iterator[bytes], filename: str = "fw.bin") -> httpx.Response:
    return site.ask("PUT", RAW, params={"filename": filename}, content=body)


def test_a_raw_upload_is_stored_hashed_and_read(site: Site) -> None:
    answer = send_raw(site, CONTENT)
    assert answer.status_code == 201
    made = answer.json()
    assert (made["size"], made["filename"]) == (len(CONTENT), "fw.bin")
    assert made["sha256"] == hashlib.sha256(CONTENT).hexdigest()
    assert made["md5"] == hashlib.md5(CONTENT).hexdigest()
    assert (made["facts"]["version"], made["facts"]["fwType"]) == ("2.0.0", "T")
    assert site.blobs.path(made["sha256"]).read_bytes() == CONTENT
    assert incoming(site) == []


@pytest.mark.parametrize("pieces", [1, 7, 1000, 70_000])
def test_a_form_is_read_however_it_is_cut_into_pieces(site: Site, pieces: int) -> None:
    body = FILE + TYPE + END
    answer = send_form(site, (body[start : start + pieces] for start in range(0, len(body), pieces)))
    assert answer.status_code == 200, answer.text
    assert answer.json()["firmwareInfo"]["md5Hash"] == hashlib.md5(CONTENT).hexdigest().upper()
    assert incoming(site) == []


@pytest.mark.parametrize("body", [TYPE + FILE + END, FILE + TYPE + END + b"epilogue", b"\r\n" + FILE + TYPE + END])
def test_parts_come_in_any_order_and_what_follows_them_means_nothing(site: Site, body: bytes) -> None:
    assert send_form(site, body).status_code == 200


SAME_BOUNDARY_INSIDE = part("upfile", b"--bOuNdAr\r\n--" + b"\r\n--x" * 50 + CONTENT, "fw.bin")


def test_a_file_may_have_something_like_a_boundary_in_it(site: Site) -> None:
    answer = send_form(site, SAME_BOUNDARY_INSIDE + TYPE + END)
    assert answer.status_code == 200
    wanted = b"--bOuNdAr\r\n--" + b"\r\n--x" * 50 + CONTENT
    assert answer.json()["firmwareInfo"]["fileSize"] == len(wanted)


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "only the end": END,
    "cut off in the file": FILE[:-100],
    "cut off after the file": FILE,
    "cut off before the last dashes": FILE + TYPE + END[:-4],
    "no file": TYPE + END,
    "no type": FILE + END,
    "another type": FILE + part("type", b"SOFTWARE") + END,
    "an empty type": FILE + part("type", b"") + END,
    "two files": FILE + FILE + TYPE + END,
    "a field too many": FILE + TYPE + part("extra", b"1") + END,
    "a field without a name": FILE + TYPE + f"--{B}\r\nContent-Disposition: form-data\r\n\r\nx\r\n".encode() + END,
    "a part without a head": FILE + TYPE + f"--{B}\r\n\r\nx\r\n".encode() + END,
    "a field that is too long": FILE + part("type", b"F" * 300) + END,
    "a field that never ends": part("type", b"F" * 60_000) + FILE + END,
    "more parts than anybody needs": FILE + TYPE * 9 + END,
    "a head that never ends": f"--{B}\r\nX: {'x' * 60_000}\r\n\r\n".encode() + FILE + END,
    "heads without end": f"--{B}\r\n".encode() + b"X: y\r\n" * 9000 + b"\r\n" + FILE + END,
    "a broken head": f"--{B}\r\nContent Disposition\x00\r\n\r\nx\r\n".encode() + END,
    "another boundary": (FILE + TYPE + END).replace(B.encode(), b"other"),
    "an empty file": part("upfile", b"", "fw.bin") + TYPE + END,
    "json": b'{"upfile": "x", "type": "FIRMWARE"}',
    "noise": bytes(range(256)) * 40,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_form_is_refused_and_nothing_is_left(site: Site, name: str) -> None:
    refusal(send_form(site, BROKEN[name]))
    assert nothing_is_left(site)


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=x",
        "application/x-www-form-urlencoded", "application/json", "", 'multipart/form-data; boundary="', "x" * 5000, ";;;=",
    ],
    ids=lambda kind: kind[:40],
)  # fmt: skip
def test_what_is_not_announced_as_a_form_is_refused(site: Site, kind: str) -> None:
    answer = send_form(site, FILE + TYPE + END, {"Content-Type": kind})
    assert answer.status_code in {400, 415}
    refusal(answer, answer.status_code)
    assert nothing_is_left(site)


def test_a_boundary_that_is_too_long_is_refused_and_nothing_is_left(serve: Serve) -> None:
    with serve() as served, ExitStack() as stack:
        site = Site(served, stack)
        for length in (256, 257, 5000):
            boundary = "x" * length
            body = (FILE + TYPE + END).replace(B.encode(), boundary.encode())
            answer = send_form(site, body, {"Content-Type": f"multipart/form-data; boundary={boundary}"})
            assert answer.status_code == 200 or refusal(answer, answer.status_code)
            assert answer.status_code < 500
        assert incoming(site) == []
        assert hashing() == 0


NAMES = [
    ("../../../etc/passwd", "passwd"), ("..\\..\\boot.ini", "boot.ini"), ("/abs/fw.bin", "fw.bin"), ("C:\\dir\\fw.bin", "fw.bin"),
    ("fürm wäre.bin", "fürm wäre.bin"), ("a" * 255, "a" * 255), ("x.tar.gz", "x.tar.gz"), ("$(reboot).bin", "$(reboot).bin"),
]  # fmt: skip


@pytest.mark.parametrize(("filename", "kept"), NAMES)
def test_a_file_name_is_a_label_and_never_a_path(site: Site, filename: str, kept: str) -> None:
    contents = [head + filename.encode() + site.organization_id.to_bytes(4, "big") for head in (b"raw", b"form")]
    before = {path for path in site.server.app.settings.data.rglob("*") if path.is_file()}
    raw = send_raw(site, contents[0], filename).json()
    assert raw["filename"] == kept
    form = {"upfile": (filename, contents[1])}
    uploaded = site.ask("POST", FORM, data={"type": "FIRMWARE"}, files=form).json()
    for path in (raw["path"], uploaded["path"]):
        assert path.startswith("/static/fw_")
        assert ".." not in path
        assert path.count("/") == 2
    made = {path for path in site.server.app.settings.data.rglob("*") if path.is_file()} - before
    assert {path.name for path in made if "blobs" in path.parts} == {
        hashlib.sha256(one).hexdigest() for one in contents
    }


@pytest.mark.parametrize("filename", ["", " ", ".", "..", "a/", "a\x00b", "a\nb", "\x1b[31m", "\u202e", "x" * 256])
def test_a_file_name_that_is_none_is_refused(site: Site, filename: str) -> None:
    refusal(send_raw(site, CONTENT, filename))
    assert nothing_is_left(site)


def test_an_empty_file_is_refused(site: Site) -> None:
    refusal(send_raw(site, b""))
    assert nothing_is_left(site)


def test_the_same_bytes_twice_are_two_artifacts_and_one_file(site: Site) -> None:
    content = CONTENT + site.organization_id.to_bytes(4, "big")
    before = len(stored(site))
    first, second = (send_raw(site, content).json() for _ in range(2))
    assert first["sha256"] == second["sha256"]
    assert len({first["id"], second["id"]}) == len({first["path"], second["path"]}) == 2
    assert len(stored(site)) == before + 1
    site.ask("DELETE", f"/api/v1/artifacts/{first['id']}")
    assert site.blobs.path(second["sha256"]).read_bytes() == content


def many(total: int, piece: int = 10_000) -> Iterator[bytes]:
    """A body of which nobody says how long it is."""
    yield from (b"x" * min(piece, total - start) for start in range(0, total, piece))


def form_of(total: int) -> Iterator[bytes]:
    yield f'--{B}\r\nContent-Disposition: form-data; name="upfile"; filename="f"\r\n\r\n'.encode()
    yield from many(total)
    yield b"\r\n" + TYPE + END


Send = Callable[[Site, int], httpx.Response]
SENDERS: dict[str, Send] = {
    "raw, announced": lambda site, size: send_raw(site, b"x" * size),
    "raw, chunked": lambda site, size: send_raw(site, many(size)),
    "form, announced": lambda site, size: send_form(site, b"".join(form_of(size))),
    "form, chunked": lambda site, size: send_form(site, form_of(size)),
}


@pytest.mark.parametrize("how", SENDERS)
def test_the_limit_is_on_the_bytes_that_come(small: Site, how: str) -> None:
    """The last size is one that the server must not read to its end before it says no."""
    assert SENDERS[how](small, LIMIT).status_code in {200, 201}
    for size in (LIMIT + 1, 30 * LIMIT):
        try:
            refusal(SENDERS[how](small, size), 413)
        except httpx.TransportError:
            assert size == 30 * LIMIT, "a client that goes on sending may find the connection closed"
        assert eventually(lambda: not incoming(small))
    assert len(small.rows(artifacts.select())) == 1


@pytest.mark.parametrize("path", [RAW + "?filename=x", FORM])
def test_a_body_announced_too_large_is_refused_before_it_is_sent(small: Site, path: str) -> None:
    with small.server.connect() as connection:
        method = "PUT" if path != FORM else "POST"
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {small.tokens['client']}\r\n"
        connection.sendall(
            (head + f"Content-Type: {FORM_TYPE['Content-Type']}\r\nContent-Length: {10**12}\r\n\r\n").encode()
        )
        assert connection.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize("who", [None, "user"])
@pytest.mark.parametrize("path", [RAW + "?filename=x", FORM])
def test_who_may_not_upload_is_refused_before_anything_is_stored(site: Site, path: str, who: str | None) -> None:
    method = "PUT" if path != FORM else "POST"
    answer = site.ask(method, path, who, content=FILE + TYPE + END, headers=FORM_TYPE)
    refusal(answer, 403 if who else 401)
    assert nothing_is_left(site)


def test_a_disk_that_is_almost_full_is_left_some_room(serve: Serve) -> None:
    with serve(min_free_bytes=2**62) as served, ExitStack() as stack:
        site = Site(served, stack)
        for answer in (send_raw(site, CONTENT), send_form(site, FILE + TYPE + END)):
            assert answer.headers["x-error-code"] == "disk_full"
            refusal(answer, 409)
        assert nothing_is_left(site)


@pytest.mark.parametrize("path", [RAW + "?filename=x", FORM])
@pytest.mark.parametrize("length", ["Content-Length: 50000", "Transfer-Encoding: chunked"])
def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(site: Site, path: str, length: str) -> None:
    tasks = site.server.tasks()
    method = "PUT" if path != FORM else "POST"
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {site.tokens['client']}\r\n"
    head += f"Content-Type: {FORM_TYPE['Content-Type']}\r\n{length}\r\n\r\n"
    some = FILE[:900]
    body = some if length.startswith("Content") else b"%x\r\n" % len(some) + some + b"\r\n"
    for _ in range(3):
        with site.server.connect() as connection:
            connection.sendall(head.encode() + body)
            assert eventually(lambda: (len(incoming(site)), hashing()) == (1, 2))
        assert eventually(lambda: nothing_is_left(site))
        assert hashing() == 0, "the threads that hash have ended"
    assert site.server.settles_at(tasks)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", RAW + "?filename=x"),
        ("POST", FORM),
        ("POST", "/api/v1/organization/shipment/create"),
        ("POST", "/device/v1/reports"),
    ],
)
def test_a_client_that_stops_sending_is_not_waited_for_for_ever(hasty: Site, method: str, path: str) -> None:
    [board] = hasty.devices(hasty.product_id)
    token = board.token if path.startswith("/device") else hasty.tokens["client"]
    kind = FORM_TYPE["Content-Type"] if path == FORM else "application/json"
    tasks = hasty.server.tasks()
    with hasty.server.connect() as connection:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\n"
        connection.sendall((head + "Content-Length: 5000\r\n\r\n").encode() + FILE[:20])
        began = time.monotonic()
        first = connection.recv(100)
        assert time.monotonic() - began < 15
    assert first == b"" or first.startswith(b"HTTP/1.1 4")
    assert hasty.server.settles_at(tasks)
    assert eventually(lambda: not incoming(hasty))


def test_many_uploads_at_once_do_not_get_mixed_up(site: Site) -> None:
    contents = [os.urandom(300_000) for _ in range(6)]
    answers: dict[int, Any] = {}

    def one(number: int) -> None:
        with httpx.Client(base_url=site.server.url, timeout=30) as client:
            headers = {"Authorization": f"Bearer {site.tokens['client']}"}
            answers[number] = client.put(
                RAW, params={"filename": "f"}, content=contents[number], headers=headers
            ).json()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number, content in enumerate(contents):
        assert answers[number]["sha256"] == hashlib.sha256(content).hexdigest()
        assert site.blobs.path(answers[number]["sha256"]).read_bytes() == content
    assert incoming(site) == []

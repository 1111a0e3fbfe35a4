"""Uploads that are refused: the documented answer, nothing stored, nothing begun, nothing left of the file."""

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tests.apis.conftest import Serve
from tests.apis.device_ota.conftest import END, UPLOAD, B, Door, part
from tests.apis.device_ota.test_door import problem
from tests.apis.serving import eventually
from tests.apis.site import Site
from tests.make import image

from airfreight.services import products
from airfreight.store.tables import artifacts
from airfreight_agent.sample_image import build_sample_image

CONTENT = image("1.0.1", size=1600)
NO_SUCH_DEVICE = (404, "not_found", {"message": "No such device"})
LIMIT = 200_000


def files(site: Site) -> set[str]:
    """All that is stored or being received."""
    return {str(path) for path in (site.server.app.settings.data / "blobs").glob("*/*") if path.is_file()}


@pytest.fixture
def nothing_is_kept(door: Door) -> Iterator[None]:
    before = files(door.site)
    yield
    assert eventually(lambda: files(door.site) <= before), "what was there may go meanwhile, nothing may come"
    assert door.kept() == 0
    assert door.stands() == []
    assert door.latest().status == 404


def parts(door: Door, **changed: bytes | None) -> dict[str, bytes]:
    """The parts of a good form; None leaves one out."""
    board = door.board
    good: dict[str, bytes | None] = {
        "firmware": part("firmware", CONTENT, "firmware.bin"),
        "device": part("device", board.uid.encode()),
        "token": part("token", board.token.encode()),
        "version": part("version", b"1.0.1"),
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def joined(some: dict[str, bytes]) -> bytes:
    return b"".join(some.values()) + END


MISSING = {
    name: (400, "mandatory_field", {"message": f"{name} is a mandatory field"})
    for name in ("device", "token", "version")
} | {"firmware": (400, "file_missing", {"message": "No file uploaded"})}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_part_is_named(door: Door, nothing_is_kept: None, name: str) -> None:
    for empty in (None, part(name, b"", "firmware.bin" if name == "firmware" else None)):
        assert problem(door.send(joined(parts(door, **{name: empty})))) == MISSING[name]


@pytest.mark.parametrize("name", MISSING)
def test_the_parts_come_in_any_order(door: Door, name: str) -> None:
    good = parts(door)
    first = {name: good.pop(name)}
    assert door.send(joined(first | good)).status_code == 201


@pytest.mark.parametrize("uid", ["0" * 24, "A" * 24, "0" * 23, "0" * 25, "g" * 24, "../../etc/passwd", "%00", "é" * 24])
def test_an_id_that_is_none_or_nobodys(door: Door, nothing_is_kept: None, uid: str) -> None:
    is_id = len(uid) == 24 and set(uid) <= set("0123456789abcdef")
    wanted = NO_SUCH_DEVICE if is_id else (400, "bad_device_id", {"message": "Device ID is not valid"})
    assert problem(door.upload(device=uid)) == wanted


def test_what_is_missing_comes_before_what_is_wrong(door: Door, nothing_is_kept: None) -> None:
    body = joined(parts(door, device=part("device", b"x"), version=None, firmware=None))
    assert problem(door.send(body)) == MISSING["version"]
    body = joined(parts(door, device=part("device", b"x"), firmware=None))
    assert problem(door.send(body))[1] == "bad_device_id"


VERSIONS = [
    "1.0",
    "1",
    "v1.0.0",
    "01.0.0",
    "1.0.0-",
    "1.0.0-01",
    "1.0.0+",
    "1.0.0\n",
    ' "1.0.0"',
    "1.0.0é",
    "1.0.0-" + "a" * 27,
]
GOOD_VERSIONS = ["0.0.0", "1.0.0-rc.1+build.5", "1.0.0-" + "a" * 26, "99999.99999.99999"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_that_is_not_a_semantic_one(door: Door, nothing_is_kept: None, version: str) -> None:
    status, code, body = problem(door.upload(version, CONTENT))
    assert (status, code) == (400, "bad_version")
    assert body["message"].startswith("version must be a semantic version such as 1.5.7")


@pytest.mark.parametrize("version", GOOD_VERSIONS)
def test_a_semantic_version_fits_into_what_devices_read(door: Door, version: str) -> None:
    assert door.upload(version, CONTENT).status_code == 201
    assert door.latest().body == f'{{"ver":"{version}"}}'.encode()
    assert len(door.latest().body) < 128


def test_a_wrong_token_is_as_if_there_were_no_such_device(door: Door, nothing_is_kept: None) -> None:
    [other] = door.site.devices(door.site.product_id)
    for token in ("wrong", door.board.token[:-1], door.board.token + "x", other.token):
        assert problem(door.upload(token=token)) == NO_SUCH_DEVICE


def test_another_organizations_device_is_as_if_it_were_not_there(door: Door, nothing_is_kept: None) -> None:
    with ExitStack() as stack:
        stranger = Door(Site(door.site.server, stack))
        assert problem(stranger.upload(board=door.board)) == NO_SUCH_DEVICE
        assert stranger.otas()["recordsTotal"] == 0


def test_who_may_only_look_uploads_nothing(door: Door, nothing_is_kept: None) -> None:
    assert problem(door.upload(who="user"))[:2] == (403, "forbidden")
    assert door.otas("user")["otas"] == []


IMAGES = {
    "1 byte": b"\xe9",
    "text": b"hello, I am a firmware",
    "its first byte gone": CONTENT[1:],
    "another first byte": b"\xe8" + CONTENT[1:],
    "cut off": CONTENT[:-100],
    "no segments": CONTENT[:1] + b"\0" + CONTENT[2:],
    "too many segments": CONTENT[:1] + b"\xff" + CONTENT[2:],
    "a bit turned over": CONTENT[:700] + bytes([CONTENT[700] ^ 1]) + CONTENT[701:],
    "zeros": bytes(4096),
    "a zip": b"PK\x05\x06" + bytes(18),
}


@pytest.mark.parametrize("what", IMAGES)
def test_what_no_chip_could_start_is_refused(door: Door, nothing_is_kept: None, what: str) -> None:
    status, code, body = problem(door.upload(content=IMAGES[what]))
    assert (status, code) == (400, "bad_image"), body
    assert "damaged ESP" not in body["message"], "that is said once, in words"


UNKNOWN = {
    "zeros": b"\xe9" + bytes(4095),
    "anything": b"\xe9" + random.Random(4).randbytes(9999),
    "a header and anything": CONTENT[:24] + random.Random(5).randbytes(9999),
    "the smallest": b"\xe9" + bytes(15),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_begins_as_an_image_and_is_surely_none_that_is_damaged_is_taken(door: Door, what: str) -> None:
    """The original takes any file, and devices check what they start."""
    assert door.upload(content=UNKNOWN[what]).status_code == 201
    assert door.otas()["recordsTotal"] == 1


def test_the_chip_that_a_header_names_counts_in_any_file(door: Door) -> None:
    head = bytes([0xE9, 1, 2, 0x20]) + bytes(8) + (9).to_bytes(2, "little") + bytes(10)
    with door.site.call() as call:
        products.change(call, door.site.product_id, details={"boardType": "ESP32-C3"})
    assert problem(door.upload(content=head + b"firmware"))[:2] == (400, "wrong_chip")
    with door.site.call() as call:
        products.change(call, door.site.product_id, details={"boardType": "ESP8266"})  # has no such field
    assert door.upload(content=head + b"firmware").status_code == 201


def test_an_image_for_another_chip_than_the_products_is_refused(door: Door) -> None:
    with door.site.call() as call:
        products.change(call, door.site.product_id, details={"boardType": "ESP32-C3"})
    wrong = problem(door.upload(content=build_sample_image("1.0.1", size=1600, chip_id=9)))
    assert wrong[:2] == (400, "wrong_chip")
    assert "ESP32-S3" in wrong[2]["message"]
    assert door.kept() == 0
    assert door.upload(content=build_sample_image("1.0.1", size=1600, chip_id=5)).status_code == 201


Change = Callable[[Door, dict[str, bytes]], bytes]
BROKEN: dict[str, Change] = {
    "nothing": lambda d, p: b"",
    "only the end": lambda d, p: END,
    "no end": lambda d, p: b"".join(p.values()),
    "half an end": lambda d, p: b"".join(p.values()) + END[:-4],
    "cut off in the file": lambda d, p: p["device"] + p["token"] + p["version"] + p["firmware"][:-900],
    "another boundary": lambda d, p: joined(p).replace(B.encode(), b"other"),
    "two files": lambda d, p: p["firmware"] + joined(p),
    "two devices": lambda d, p: p["device"] + joined(p),
    "two tokens": lambda d, p: p["token"] + joined(p),
    "two versions": lambda d, p: p["version"] + joined(p),
    "a part of another name": lambda d, p: part("extra", b"1") + joined(p),
    "a part without a name": lambda d, p: f"--{B}\r\nContent-Disposition: form-data\r\n\r\nx\r\n".encode() + joined(p),
    "a part without a head": lambda d, p: f"--{B}\r\n\r\nx\r\n".encode() + joined(p),
    "ten parts": lambda d, p: b"".join(part(f"p{n}", b"") for n in range(10)) + joined(p),
    "a text that is too long": lambda d, p: joined({**p, "version": part("version", b"1" * 300)}),
    "a head that is too long": lambda d, p: part("x" * 9000, b"") + joined(p),
    "a text that is no UTF-8": lambda d, p: joined({**p, "version": part("version", b"1.0.\xff")}),
    "a file as the version": lambda d, p: joined({**p, "version": part("version", CONTENT, "v.bin")}),
    "a file name of nothing but a folder": lambda d, p: joined({**p, "firmware": part("firmware", CONTENT, "a/")}),
    "JSON": lambda d, p: b'{"device":"x"}',
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_form_that_is_not_right_is_400(door: Door, nothing_is_kept: None, what: str) -> None:
    status, _, body = problem(door.send(BROKEN[what](door, parts(door))))
    assert (status, list(body)) == (400, ["message"])


URL_ENCODED = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize("left_out", MISSING)
@pytest.mark.parametrize("how", ["left out", "empty"])
def test_a_form_without_a_file_may_come_url_encoded_and_is_told_what_is_missing(
    door: Door, nothing_is_kept: None, left_out: str, how: str
) -> None:
    """So HTTP clients send a form that has no file in it."""
    fields = {"device": door.board.uid, "token": door.board.token, "version": "1.0.1", "firmware": "text"}
    fields = {name: "" if name == left_out else value for name, value in fields.items()}
    if how == "left out":
        del fields[left_out]
    assert problem(door.site.ask("POST", UPLOAD, data=fields)) == MISSING[left_out]


@pytest.mark.parametrize("body", [b"", b"&&=&", b"%ff=%00&device", b"device=&token=x"])
def test_an_url_encoded_form_that_is_odd(door: Door, nothing_is_kept: None, body: bytes) -> None:
    assert problem(door.send(body, URL_ENCODED)) == MISSING["device"]


def test_an_url_encoded_form_is_small(door: Door, nothing_is_kept: None) -> None:
    body = f"device={door.board.uid}&token={door.board.token}&version=1.0.1&firmware=".encode() + bytes(100_000)
    for sent in (body, iter([body])):
        status, _, words = problem(door.send(sent, URL_ENCODED))
        assert (status, words["message"]) == (400, "The body must be sent as multipart/form-data with a boundary.")
    assert problem(door.send(body[:60_000], URL_ENCODED)) == MISSING["firmware"]
    assert problem(door.send(b"device=a&device=b", URL_ENCODED))[:2] == (400, "bad_form")


def test_a_request_without_a_body_is_told_the_first_field(door: Door, nothing_is_kept: None) -> None:
    assert problem(door.site.ask("POST", UPLOAD)) == MISSING["device"]
    assert problem(door.send(b"", {})) == MISSING["device"]


def test_a_file_in_another_field_is_no_firmware(door: Door, nothing_is_kept: None) -> None:
    """Whatever its size: what is missing is named before what is too much."""
    for content in (b"x", CONTENT, CONTENT * 1000):
        body = joined(parts(door, firmware=part("file", content, "firmware.bin")))
        assert problem(door.send(body)) == MISSING["firmware"]
        body = joined(parts(door, version=None, firmware=part("file", content, "firmware.bin")))
        assert problem(door.send(body)) == MISSING["version"]
        body = part("file", content, "firmware.bin") + joined(parts(door))
        status, code, words = problem(door.send(body))
        assert (status, code) == (400, "bad_form")
        assert words["message"].endswith("and nothing else.")


def test_a_file_in_another_field_is_not_taken_for_ever(small: Door) -> None:
    body = joined(parts(small, firmware=part("file", bytes(LIMIT + 100_000), "f.bin")))
    assert problem(small.send(iter([body])))[:2] == (413, "too_large")


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data", "multipart/form-data; boundary=", "text/plain"]
)
def test_what_is_no_form_is_400(door: Door, nothing_is_kept: None, kind: str) -> None:
    assert problem(door.send(joined(parts(door)), {"Content-Type": kind}))[0] == 400


def test_folders_in_the_name_of_the_file_are_cut_off(door: Door) -> None:
    for name in ("../../etc/passwd", "C:\\\\temp\\\\fw.bin", "/abs/fw.bin"):
        body = joined(parts(door, firmware=part("firmware", CONTENT, name)))
        assert door.send(body).status_code == 201
    names = {row.filename for row in door.site.rows(_artifacts(door))}
    assert names == {"passwd", "fw.bin"}


def _artifacts(door: Door) -> Any:
    return artifacts.select().where(artifacts.c.organization_id == door.site.organization_id)


@pytest.fixture
def small(serve: Serve) -> Iterator[Door]:
    """A server that takes little."""
    with serve(max_upload_bytes=LIMIT) as served, ExitStack() as stack:
        yield Door(Site(served, stack))


@pytest.mark.parametrize("announced", [True, False])
def test_a_file_that_is_too_large_is_413(small: Door, announced: bool) -> None:
    good = joined(parts(small, firmware=part("firmware", b"\xe9" + bytes(LIMIT + 100_000), "f.bin")))
    answer = small.send(good if announced else iter([good]))
    assert problem(answer)[:2] == (413, "too_large")
    assert (small.kept(), files(small.site)) == (0, set())


@pytest.mark.parametrize(("how", "patience"), [("hangs up", 30), ("sends no more", 1)])
def test_a_body_that_breaks_off_leaves_nothing(serve: Serve, how: str, patience: int) -> None:
    with serve(chunk_seconds=patience) as served, ExitStack() as stack:
        door = Door(Site(served, stack))
        body = joined(parts(door))
        head = (
            f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {door.site.tokens['client']}\r\n"
            f"Content-Type: multipart/form-data; boundary={B}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        with served.connect() as connection:
            connection.sendall(head + body[:700])
            if how == "hangs up":
                assert eventually(lambda: files(door.site)), "it is being received"
                connection.shutdown(socket.SHUT_RDWR)
            else:
                assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
        assert eventually(lambda: files(door.site) == set())
        assert door.kept() == 0


def test_of_devices_with_the_same_id_the_token_says_which(door: Door) -> None:
    """A uid is unique in an organization only: that of one above hides none below."""
    site = door.site
    below = site.ask("POST", "/api/v1/organizations", json={"name": "below"}).json()["id"]
    product = site.ask("POST", "/api/v1/products", json={"name": "lamp", "orgId": below}).json()["id"]
    made = site.ask("POST", "/api/v1/devices", json={"productId": product, "uid": door.board.uid}).json()
    assert door.upload("1.0.1", token=made["token"]).status_code == 201
    assert door.stands() == []
    assert door.upload("1.0.1").status_code == 201
    assert door.stands() == [("queued", "")]

"""`GET /static/...?token=`: the bytes, for devices that send no headers and read few; one answer to whatever is wrong."""

import base64
import hashlib
import os
import random
import re
import socket
import string
import struct
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from structlog.testing import capture_logs
from tests.apis.conftest import Serve
from tests.apis.device.test_download import NOTHING, PARTS, WHOLE
from tests.apis.serving import Served, eventually
from tests.apis.shipments.test_bad_input import refusal
from tests.apis.site import Site
from tests.make import BUILD, Board, Stored, image

from airfreight.domain.delivery import State
from airfreight.services import file_urls
from airfreight.services.artifacts import Confirmed
from airfreight.store import artifacts as rows

CONTENT = image("2.0.0", size=1600)
SIZE = len(CONTENT)
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
LARGE = 16 * 1024 * 1024
ALPHABET = string.ascii_letters + string.digits + "-_"


@dataclass
class Offer:
    """A device that was offered a file, and the path and query it was sent."""

    site: Site
    board: Board
    artifact: Stored
    rollout: int
    attempt: int
    address: str

    @property
    def token(self) -> str:
        return self.address.partition("?token=")[2].partition("&")[0]

    def ask(self, method: str = "GET", address: str = "", **headers: str) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.site.http(None).request(method, address or self.address, headers=sent)

    def stand(self) -> str:
        return str(self.site.delivery(self.rollout, self.board).state)

    def stays(self, state: str) -> bool:
        """Whether it stands there, and still does when everything that is told has been written."""
        time.sleep(0.15)
        return self.stand() == state

    def progress(self) -> dict[str, int]:
        """The counters of the contract that are not 0."""
        shown = self.site.get(self.rollout)["shipmentProgress"]
        return {name: n for name, n in shown.items() if n and name != "updatedAt"}


def offer_of(site: Site, artifact: Stored, *, origin: str = "native", **changed: Any) -> Offer:
    [board] = site.devices(site.product_id)
    if origin == "native":
        rollout = site.ship(artifact, site.product_id, [board], **changed)
    else:
        rollout = site.create(artifact, [board], **changed)["id"]
    attempt = site.poll(board).attempt_id or 0
    return Offer(site, board, artifact, rollout, attempt, address_of(site, attempt))


def address_of(site: Site, attempt: int) -> str:
    with site.database.read() as connection:
        file = rows.carried_under(connection, attempt)
    settings = replace(site.settings, public_url="http://x")
    url = urlsplit(file_urls.for_device(file, settings, site.keyring, site.now))
    return f"{url.path}?{url.query}"


@pytest.fixture
def offer(site: Site) -> Offer:
    return offer_of(site, site.artifact("", content=CONTENT))


def raw(site: Site, text: str) -> tuple[bytes, bytes]:
    """Head and body of the answer to exactly this request, until the server closes."""
    with site.server.connect() as connection:
        connection.sendall(text.encode("latin-1"))
        got = b""
        while part := connection.recv(65536):
            got += part
    head, _, body = got.partition(b"\r\n\r\n")
    return head, body


# headers


def test_the_headers_of_the_contract(site: Site) -> None:
    plain = site.artifact("", content=os.urandom(3000))
    facts = Confirmed("2.0.0", BUILD, "TMPLabcd1234", "", "")
    offer = offer_of(site, Stored(plain.id, plain.path, plain.content, facts))
    answer = offer.ask()
    assert (answer.status_code, answer.content) == (200, plain.content)
    kept = {name: answer.headers[name] for name in answer.headers if name.startswith("x-")}
    assert kept == {
        "x-md5": hashlib.md5(plain.content).hexdigest(),
        "x-sha256": base64.b64encode(hashlib.sha256(plain.content).digest()).decode(),
        "x-fw-type": "TMPLabcd1234",
        "x-fw-ver": "2.0.0",
        "x-fw-build": BUILD,
    }
    assert len(kept["x-sha256"]) == 44
    assert answer.headers["content-length"] == "3000"
    assert answer.headers["etag"] == f'"{hashlib.sha256(plain.content).hexdigest()}"'
    assert answer.headers["accept-ranges"] == "bytes"
    assert "transfer-encoding" not in answer.headers
    assert "content-encoding" not in answer.headers


def test_what_is_not_known_is_an_empty_header(offer: Offer) -> None:
    answer = offer.ask()
    assert [answer.headers[f"x-fw-{name}"] for name in ("type", "ver", "build")] == ["", "", ""]


def test_every_name_is_in_lower_case_on_the_wire_and_nothing_is_chunked(offer: Offer) -> None:
    head, body = raw(offer.site, f"GET {offer.address} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
    assert names == [name.lower() for name in names]
    for wanted in (b"x-md5", b"x-sha256", b"content-length", b"x-fw-ver"):
        assert names.count(wanted) == 1
    assert b"x-md5: " in head, "some clients search for these letters"
    assert b"transfer-encoding" not in names
    assert body == CONTENT


def test_a_client_of_http_1_0_gets_length_bytes_and_the_end(offer: Offer) -> None:
    head, body = raw(offer.site, f"GET {offer.address} HTTP/1.0\r\nHost: x\r\n\r\n")
    assert re.match(rb"HTTP/1\.[01] 200 ", head)
    assert f"\r\ncontent-length: {SIZE}\r\n".encode() in head + b"\r\n"
    assert b"transfer-encoding" not in head.lower()
    assert body == CONTENT


def test_a_client_that_asks_for_compression_gets_the_bytes_as_they_are(offer: Offer) -> None:
    answer = offer.ask(Accept_Encoding="gzip, br, deflate", TE="trailers, chunked")
    assert answer.content == CONTENT
    assert "content-encoding" not in answer.headers


def test_facts_with_other_letters_do_no_harm(site: Site) -> None:
    plain = site.artifact("", content=os.urandom(100))
    offer = offer_of(site, Stored(plain.id, plain.path, plain.content, Confirmed("2.0-é\u4e2d", "", "Küche", "", "")))
    answer = offer.ask()
    assert (answer.status_code, answer.headers["x-fw-ver"], answer.headers["x-fw-type"]) == (200, "2.0-??", "K?che")


@pytest.mark.parametrize("field", ["version", "buildDate", "fwType"])
@pytest.mark.parametrize("bad", ["2.0\r\nx-evil: 1", "2.0\n", "2\x00", "\x7f"])
def test_facts_that_would_break_a_header_never_get_there(site: Site, field: str, bad: str) -> None:
    body = site.create_body(site.artifact("", content=os.urandom(50)), firmwareInfo={field: bad})
    refusal(site.ask("POST", "/api/v1/organization/shipment/create", json=body), 400)


# parts of it


@pytest.mark.parametrize(("header", "start", "end"), PARTS)
def test_a_range_is_answered_with_it(offer: Offer, header: str, start: int, end: int) -> None:
    answer = offer.ask(Range=header)
    assert (answer.status_code, answer.content) == (206, CONTENT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers["x-md5"] == hashlib.md5(CONTENT).hexdigest(), "of the whole file"


def test_anything_else_is_answered_with_the_whole_file(offer: Offer) -> None:
    for header in WHOLE:
        answer = offer.site.http(None).get(offer.address, headers=[(b"range", header.encode("utf-8"))])
        assert (answer.status_code, answer.content == CONTENT) == (200, True), header


@pytest.mark.parametrize("header", NOTHING)
def test_a_range_without_a_byte_of_the_file_is_told_the_size(offer: Offer, header: str) -> None:
    answer = offer.ask(Range=header)
    refusal(answer, 416)
    assert answer.headers["content-range"] == f"bytes */{SIZE}"
    assert offer.stays("offered")


@pytest.mark.parametrize(
    ("if_range", "status"),
    [(ETAG, 206), ('"other"', 200), ("W/" + ETAG, 200), (ETAG.strip('"'), 200), ("Sat, 01 Jan 2028 00:00:00 GMT", 200)],
)
def test_a_download_is_resumed_only_of_the_same_file(offer: Offer, if_range: str, status: int) -> None:
    answer = offer.ask(Range="bytes=1000-", If_Range=if_range)
    assert (answer.status_code, answer.content) == (status, CONTENT[1000:] if status == 206 else CONTENT)


@pytest.mark.parametrize(("none_match", "status"), [(ETAG, 304), ('"other"', 200), (ETAG.strip('"'), 200)])
def test_who_has_it_already_is_told_so(offer: Offer, none_match: str, status: int) -> None:
    answer = offer.ask(If_None_Match=none_match)
    assert answer.status_code == status
    if status == 304:
        assert (answer.content, answer.headers["etag"]) == (b"", ETAG)
        assert offer.stays("offered")


def test_a_head_is_a_get_without_the_bytes_and_moves_nothing(offer: Offer) -> None:
    head = offer.ask("HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert offer.stays("offered")
    get = offer.ask()
    kept = [name for name in get.headers if name != "date"]
    assert [head.headers.get(name) for name in kept] == [get.headers[name] for name in kept]


# what is wrong


def test_whatever_is_wrong_is_the_same_404(site: Site, offer: Offer) -> None:
    other = offer_of(site, site.artifact("", content=os.urandom(500)))
    path, token = offer.artifact.path, offer.token
    over = file_urls._token(site.keyring, offer.attempt, site.now // 1000 - 1, path)
    wrong = [
        path, path + "?", f"{path}?token=", f"{path}?s=0", f"{path}?Token={token}", f"{path}?token={token}&token={token}",
        f"{path}?token={token}x", f"{path}?token={token[:-1]}", f"{path}?token={over}&s=0", f"{path}?token={other.token}",
        f"{other.artifact.path}?token={token}", f"/static/?token={token}", f"/static/fw_1_1.bin?token={token}",
        f"{path}/?token={token}", f"{path}/x?token={token}", f"/static//{path[8:]}?token={token}", f"{path}%00?token={token}",
        f"/static/%2e%2e/secret.key?token={token}", f"{path.upper()}?token={token}",
        f"{path};?token={token}", f"{path}?token={token}%00", f"{path}?token=%ff%fe", f"{path}?token={'A' * 5000}",
        f"{path}?token={'%C3%A9' * 32}", f"{path}?{'&' * 3000}token=x", f"{path}?token={board_token(offer)}",
    ]  # fmt: skip
    answers = {one: offer.ask(address=one) for one in wrong}
    assert {one: answer.status_code for one, answer in answers.items() if answer.status_code != 404} == {}
    of_its_own = {one: answer.text for one, answer in answers.items() if "/static/" in one[:8]}
    assert len(set(of_its_own.values())) == 1
    assert offer.stays("offered")
    assert offer.ask().status_code == 200


def board_token(offer: Offer) -> str:
    return offer.board.token


def test_it_tells_a_404_by_the_code_and_the_body_of_everywhere(offer: Offer) -> None:
    answer = offer.ask(address=offer.artifact.path)
    refusal(answer, 404)
    assert answer.headers["x-error-code"] == "not_found"
    assert offer.token not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "QUERY"])
def test_other_methods_are_405_with_or_without_a_good_token(offer: Offer, method: str) -> None:
    for address in (offer.address, offer.artifact.path, "/static/anything"):
        answer = offer.ask(method, address)
        refusal(answer, 405)
        assert answer.headers["allow"] == "GET, HEAD"
    assert offer.stays("offered")


def test_s_and_other_parameters_do_not_matter(offer: Offer) -> None:
    path, token = offer.artifact.path, offer.token
    for query in (f"token={token}", f"s=1&token={token}", f"token={token}&s=0&x=y", f"token={quote(token)}&s"):
        assert offer.ask(address=f"{path}?{query}").status_code == 200


def test_an_operators_token_does_not_help_and_a_bad_one_does_not_hurt(offer: Offer) -> None:
    assert offer.site.ask("GET", offer.artifact.path).status_code == 404
    assert offer.ask(Authorization="Bearer nonsense").status_code == 200


def test_2000_random_addresses_and_tokens_are_404_and_nothing_is_in_the_log(offer: Offer) -> None:
    chance = random.Random(7)
    path, token = offer.artifact.path, offer.token
    good = 0

    def address() -> str:
        kind = chance.randrange(5)
        if kind == 0:
            return f"{path}?token={''.join(chance.choices(ALPHABET, k=32))}&s=0"
        if kind == 1:
            at = chance.randrange(32)
            return f"{path}?token={token[:at]}{chance.choice(ALPHABET)}{token[at + 1 :]}&s=0"
        if kind == 2:
            return f"{path}?token={quote(bytes(chance.randrange(256) for _ in range(chance.randrange(50))))}"
        if kind == 3:
            return "/static/" + quote(bytes(chance.randrange(256) for _ in range(20)), safe="/") + f"?token={token}"
        return f"{path}?" + quote(bytes(chance.randrange(256) for _ in range(40)), safe="&=;+%")

    with capture_logs() as logs:
        for _ in range(2000):
            one = address()
            answer = offer.ask(chance.choice(["GET", "HEAD"]), one)
            if f"token={token}&s=0" in one and one.startswith(path):
                good += answer.status_code == 200
                continue
            assert answer.status_code == 404, one
    assert [log for log in logs if log["log_level"] in {"error", "critical"}] == []
    assert good < 100


def test_hundreds_of_raw_request_lines_take_no_5xx(offer: Offer) -> None:
    chance = random.Random(9)
    for _ in range(300):
        rubbish = bytes(chance.randrange(256) for _ in range(chance.randrange(1, 60)))
        with offer.site.server.connect() as connection:
            connection.sendall(b"GET /static/" + rubbish + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            with suppress(ConnectionResetError):
                line = connection.recv(64)
                assert not line.startswith(b"HTTP/1.1 5"), rubbish
    assert offer.ask().status_code == 200


def test_it_dies_with_the_attempt(offer: Offer) -> None:
    assert offer.ask().status_code == 200
    offer.site.report(offer.board, offer.attempt, 1, "failed", "download_failed")
    refusal(offer.ask(), 404)


def test_after_a_stop_who_had_not_begun_does_not_and_who_had_goes_on(site: Site) -> None:
    artifact = site.artifact("", content=CONTENT)
    begun, waiting = offer_of(site, artifact), offer_of(site, artifact)
    begun.ask(Range="bytes=0-99")
    assert eventually(lambda: begun.stand() == "downloading")
    site.stop(begun.rollout)
    site.stop(waiting.rollout)
    refusal(waiting.ask(), 404)
    answer = begun.ask(Range="bytes=100-", If_Range=ETAG)
    assert (answer.status_code, answer.content) == (206, CONTENT[100:])
    assert eventually(lambda: begun.stand() == "downloaded")


def test_bytes_that_are_missing_are_not_found_and_one_line_in_the_log(offer: Offer) -> None:
    path = offer.site.blobs.path(hashlib.sha256(CONTENT).hexdigest())
    kept = path.read_bytes()
    path.unlink()
    try:
        with capture_logs() as logs:
            refusal(offer.ask(), 404)
        assert [log["artifact"] for log in logs if log["log_level"] == "error"] == [offer.artifact.id]
        assert offer.stays("offered")
    finally:
        path.write_bytes(kept)


# what the server sees of it


def test_progress_follows_the_bytes_that_were_really_served(site: Site) -> None:
    offer = offer_of(site, site.artifact("", content=CONTENT), origin="shipments")
    assert offer.progress() == {"requestSent": 1}
    offer.ask(Range="bytes=0-999")
    assert eventually(lambda: offer.progress() == {"firmwareRequested": 1})
    offer.ask(Range="bytes=-1")
    assert offer.stays("downloading"), "the last byte alone is not the file"
    offer.ask(Range="bytes=1000-", If_Range=ETAG)
    assert eventually(lambda: offer.progress() == {"firmwareUploaded": 1})
    offer.ask(Range="bytes=0-9")
    assert offer.stays("downloaded"), "it never goes back"
    site.back(offer.board, version="1.0.0")
    assert sum(offer.progress().values()) == 1
    assert site.drift() == {}


def test_one_get_of_everything_is_an_upload(site: Site) -> None:
    offer = offer_of(site, site.artifact("", content=CONTENT), origin="shipments")
    assert offer.ask().content == CONTENT
    assert eventually(lambda: offer.progress() == {"firmwareUploaded": 1})


def begin(offer: Offer, version: str = "1.1") -> socket.socket:
    """A download of which a little was read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(10)
    connection.connect(("127.0.0.1", offer.site.server.port))
    connection.sendall(f"GET {offer.address} HTTP/{version}\r\nHost: x\r\n\r\n".encode())
    assert b" 200 " in connection.recv(1000)[:15]
    return connection


@pytest.mark.parametrize("leaving", ["close", "reset"])
def test_downloads_that_break_off_in_the_middle_are_not_uploaded(site: Site, leaving: str) -> None:
    stored = site.artifact("", content=os.urandom(LARGE))
    tasks = site.server.tasks()
    offers = [offer_of(site, stored) for _ in range(6)]
    for offer in offers:
        connection = begin(offer)
        if leaving == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert eventually(lambda: all(events(offer)[-1] not in {"offer", "downloading"} for offer in offers))
    assert site.server.settles_at(tasks)
    assert [events(offer) for offer in offers] == [["offer", "downloading", "broken_off"]] * 6
    assert {offer.stand() for offer in offers} == {"downloading"}


def test_a_download_that_broke_off_is_shown_as_requested_and_can_be_done_again(site: Site) -> None:
    offer = offer_of(site, site.artifact("", content=os.urandom(LARGE)), origin="shipments")
    begin(offer).close()
    assert eventually(lambda: offer.progress() == {"firmwareRequested": 1})
    assert len(offer.ask().content) == LARGE, "by the same URL"
    assert eventually(lambda: offer.progress() == {"firmwareUploaded": 1})


def events(offer: Offer) -> list[str]:
    return [row.event for row in offer.site.history(offer.rollout, offer.board)]


def test_a_device_that_takes_nothing_for_too_long_is_dropped(serve: Serve) -> None:
    with serve(chunk_seconds=1) as served, ExitStack() as stack:
        offer = offer_of(*_large(served, stack))
        connection = begin(offer)
        assert eventually(lambda: "broken_off" in events(offer))
        assert offer.stand() == "downloading"
        connection.close()


def _large(served: Served, stack: ExitStack) -> tuple[Site, Stored]:
    site = Site(served, stack)
    return site, site.artifact("", content=os.urandom(LARGE))


def test_a_download_is_a_sign_of_life(site: Site, offer: Offer) -> None:
    assert not site.ask("GET", f"/api/v1/devices/{offer.board.id}").json()["online"]
    offer.ask()
    assert eventually(lambda: site.ask("GET", f"/api/v1/devices/{offer.board.id}").json()["online"])


def test_behind_nginx_the_file_leaves_by_its_own_way(serve: Serve) -> None:
    with serve(accel_prefix="/blobs") as served, ExitStack() as stack:
        site = Site(served, stack)
        offer = offer_of(site, site.artifact("", content=CONTENT))
        answer = offer.ask()
        digest = hashlib.sha256(CONTENT).hexdigest()
        assert (answer.content, answer.headers["x-accel-redirect"]) == (b"", f"/blobs/{digest[:2]}/{digest}")
        assert answer.headers["x-md5"] == hashlib.md5(CONTENT).hexdigest()
        assert eventually(lambda: offer.stand() == State.DOWNLOADING)


def test_two_devices_of_one_rollout_each_have_their_own_address(site: Site) -> None:
    artifact = site.artifact("", content=CONTENT)
    one, other = site.devices(site.product_id, 2)
    rollout = site.ship(artifact, site.product_id, [one, other])
    attempts = [site.poll(board).attempt_id or 0 for board in (one, other)]
    offer = Offer(site, one, artifact, rollout, attempts[0], address_of(site, attempts[0]))
    assert offer.address != address_of(site, attempts[1])
    offer.ask()
    assert eventually(lambda: offer.stand() == "downloaded")
    assert site.stand(rollout, other) == ("offered", "")

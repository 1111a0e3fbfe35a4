"""`download`: the file to who has shown id and token, one answer to everybody else; how it moves what the operator sees."""

import hashlib
import re
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from sqlalchemy import event
from tests.apis.conftest import Serve
from tests.apis.device_ota.conftest import Door
from tests.apis.device_ota.esp32 import ask
from tests.apis.serving import eventually
from tests.apis.site import Site
from tests.make import KEY, image

from airfreight.apis.common.desk import clock
from airfreight.apis.device_ota.plane import DOWNLOAD, LATEST
from airfreight.services import single_downloads
from airfreight.services.credentials import Keyring

CONTENT = image("1.0.1", size=1600)
SIZE = len(CONTENT)
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
NO_SUCH_DEVICE = b'{"message":"No such device","error":"There is no such device, or nothing for it now."}'


def stays(door: Door, state: str) -> bool:
    """Whether it comes to stand there, and still does when everything that is told has been written."""
    is_there = eventually(lambda: door.stands()[-1][0] == state)
    time.sleep(0.15)
    return is_there and door.stands()[-1][0] == state


def test_the_answer_is_what_old_clients_need(door: Door) -> None:
    door.upload("1.0.1")
    answer = door.download()
    assert (answer.status, answer.body) == (200, CONTENT)
    assert b"\r\nx-MD5: " + hashlib.md5(CONTENT).hexdigest().encode() + b"\r\n" in answer.raw_head
    assert answer.headers["content-length"] == str(SIZE)
    assert "transfer-encoding" not in answer.headers
    assert answer.headers["etag"] == ETAG
    assert answer.headers["connection"] == "close"


def test_a_look_with_head_changes_nothing(door: Door) -> None:
    door.upload("1.0.1")
    answer = door.download(method="HEAD")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", str(SIZE))
    assert stays(door, "queued")


def test_other_methods_are_405(door: Door) -> None:
    for path in (LATEST + door.board.uid, DOWNLOAD + door.board.uid + door.board.token):
        answer = ask(door.port, path, method="POST")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert answer.body.startswith(b'{"message":')


def wrong_addresses(door: Door) -> list[str]:
    board, [other] = door.board, door.site.devices(door.site.product_id)
    return [
        other.uid + board.token,
        "0" * 24 + board.token,
        board.uid + other.token,
        board.uid + "x" * len(board.token),
        board.uid + board.token[:-1],
        board.uid + board.token + "x",
        board.uid + "x" + board.token,
        board.uid[1:] + board.token,
        board.uid.upper() + board.token,
        "0" * 24 + "x" * 32,
        board.uid,
        board.token,
        "%00" * 24 + board.token,
        "%ff" * 24 + board.token,
        "x" * 5000,
        "",
    ]


def test_whatever_is_wrong_with_an_address_is_the_same_404(door: Door) -> None:
    door.upload("1.0.1")
    for address in wrong_addresses(door):
        answer = ask(door.port, DOWNLOAD + address)
        assert (answer.status, answer.body) == (404, NO_SUCH_DEVICE), address
        assert answer.headers["x-error-code"] == "not_found"
    assert stays(door, "queued")


class CountingKeyring(Keyring):
    digests = 0

    def digest(self, token: str) -> bytes:
        self.digests += 1
        return super().digest(token)


@contextmanager
def statements_of(connection: Any) -> Iterator[list[str]]:
    """The statements that are executed meanwhile, their values left out; SQLite only."""
    statements: list[str] = []
    driver = connection.connection.driver_connection
    driver.set_trace_callback(lambda text: statements.append(re.sub(r"X?'[^']*'", "?", text)))
    yield statements
    driver.set_trace_callback(None)


def work_for(connection: Any, uid: str, token: str, found: bool) -> tuple[list[str], int]:
    """The statements that an address costs, and how often something is hashed."""
    keyring = CountingKeyring(KEY)
    with statements_of(connection) as statements:
        file = single_downloads.find(connection, keyring, uid, token, clock())
    assert (file is not None) == found
    return statements, keyring.digests


def test_the_same_work_is_done_whether_id_token_or_both_are_wrong(limited: Door) -> None:
    limited.upload("1.0.1")
    board, nobody = limited.board, "0" * 24
    with limited.site.database.read() as connection:
        wrong_id = work_for(connection, nobody, board.token, found=False)
        assert work_for(connection, board.uid, "x" * 32, found=False) == wrong_id
        assert work_for(connection, nobody, "x" * 32, found=False) == wrong_id
        assert (len(wrong_id[0]), wrong_id[1]) == (1, 1)
        assert len(work_for(connection, board.uid, board.token, found=True)[0]) > 1


OFFSETS = {"0": 0, "1": 1, "the middle": SIZE // 2, "the last byte": SIZE - 1}


@pytest.mark.parametrize("where", OFFSETS)
@pytest.mark.parametrize("says_of_what", [True, False])
def test_a_download_that_broke_off_is_resumed(door: Door, where: str, says_of_what: bool) -> None:
    door.upload("1.0.1")
    offset = OFFSETS[where]
    first = CONTENT[:0]
    if offset:
        answer = door.download(f"Range: bytes=0-{offset - 1}")
        assert (answer.status, answer.headers["content-range"]) == (206, f"bytes 0-{offset - 1}/{SIZE}")
        assert eventually(lambda: door.stands() == [("downloading", "")])
        first = answer.body
        assert stays(door, "downloading")
    rest = door.download(f"Range: bytes={offset}-", *([f"If-Range: {ETAG}"] if says_of_what else []))
    assert (rest.status, rest.headers["content-length"]) == (206, str(SIZE - offset))
    assert first + rest.body == CONTENT
    assert eventually(lambda: door.stands() == [("succeeded", "")])


@pytest.mark.parametrize("offset", [SIZE, SIZE + 1, 10**12])
def test_beyond_the_end_there_is_nothing_to_resume(door: Door, offset: int) -> None:
    door.upload("1.0.1")
    assert door.download("Range: bytes=0-9").status == 206
    assert eventually(lambda: door.stands() == [("downloading", "")])
    answer = door.download(f"Range: bytes={offset}-")
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{SIZE}")
    assert answer.body.startswith(b'{"message":')
    assert stays(door, "downloading")


@pytest.mark.parametrize("asked", ["bytes=100-", "bytes=-1", f"bytes={SIZE}-", "bytes=1-1"])
@pytest.mark.parametrize("is_done", [True, False])
def test_who_has_bytes_of_another_file_gets_this_one_from_its_first_byte(door: Door, asked: str, is_done: bool) -> None:
    """These clients resume without saying what: their first bytes may be of the file that was uploaded before."""
    door.upload("1.0.0")
    assert door.download(*([] if is_done else ["Range: bytes=0-99"])).status == (200 if is_done else 206)
    door.upload("1.0.1")
    answer = door.download(f"Range: {asked}")
    assert (answer.status, answer.body) == (200, CONTENT)
    assert "content-range" not in answer.headers


PARTS = {
    "from the second byte": ("bytes=1-", CONTENT[1:]),
    "from the middle": (f"bytes={SIZE // 2}-", CONTENT[SIZE // 2 :]),
    "the last byte": (f"bytes={SIZE - 1}-", CONTENT[-1:]),
    "some at the end": ("bytes=-10", CONTENT[-10:]),
    "some in the middle": ("bytes=100-199", CONTENT[100:200]),
}


@pytest.mark.parametrize("which", PARTS)
def test_who_was_never_sent_anything_may_ask_for_a_part_and_has_not_got_all_by_that(door: Door, which: str) -> None:
    door.upload("1.0.1")
    asked, wanted = PARTS[which]
    answer = door.download(f"Range: {asked}")
    assert (answer.status, answer.body) == (206, wanted)
    assert stays(door, "downloading")
    assert door.download().body == CONTENT
    assert eventually(lambda: door.stands() == [("succeeded", "")])


def test_a_part_behind_the_end_is_none_for_who_was_never_sent_anything(door: Door) -> None:
    door.upload("1.0.1")
    answer = door.download(f"Range: bytes={SIZE}-")
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{SIZE}")


def test_a_resumption_that_comes_before_the_break_was_written_is_one(door: Door) -> None:
    """What a download tells is written a moment later; who comes back at once has the first bytes all the same."""
    for number in range(1, 11):
        content = image(f"1.0.{number}", size=1600)
        door.upload(f"1.0.{number}", content)
        first = door.download("Range: bytes=0-99")
        rest = door.download("Range: bytes=100-")
        assert (first.status, rest.status) == (206, 206), number
        assert first.body + rest.body == content


def test_the_rest_of_another_file_is_the_whole_new_one(door: Door) -> None:
    door.upload("1.0.1")
    answer = door.download("Range: bytes=100-", 'If-Range: "another"')
    assert (answer.status, answer.body) == (200, CONTENT)


def test_who_has_it_already_is_told_so(door: Door) -> None:
    door.upload("1.0.1")
    assert door.download("x-ESP32-mode: sketch", "x-ESP32-version: 1.0.1").status == 304
    assert door.esp32().download(compiled_version="1.0.1") is None
    assert door.download(f"If-None-Match: {ETAG}").status == 304


@pytest.mark.parametrize("named", [f'"other", {ETAG}', f"W/{ETAG}", "*", f"{ETAG},"])
def test_who_names_several_files_or_any_is_told_so_too(door: Door, named: str) -> None:
    door.upload("1.0.1")
    for more in ([], [f"Range: bytes={SIZE}-"]):
        answer = door.download(f"If-None-Match: {named}", *more)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", ETAG)
    assert stays(door, "queued")
    assert door.download('If-None-Match: "other", W/"more"').status == 200


def test_after_its_success_a_device_may_fetch_again_and_nothing_moves(door: Door) -> None:
    door.upload("1.0.1")
    assert door.download().status == 200
    assert eventually(lambda: door.stands() == [("succeeded", "")])
    before = door.site.history(door.last().id, door.board)
    assert door.download().body == CONTENT
    assert stays(door, "succeeded")
    assert door.site.history(door.last().id, door.board) == before


def test_a_device_that_says_its_version_has_succeeded_when_that_comes_back(door: Door) -> None:
    site, board = door.site, door.board
    site.tell(board, version="1.0.0")
    door.upload("1.0.1")
    assert door.download().status == 200
    assert eventually(lambda: door.stands() == [("downloaded", "")])
    site.tell(board, version="1.0.1")
    assert door.stands() == [("succeeded", "")]


def test_the_same_version_again_is_kept_and_triggers_nothing(door: Door) -> None:
    device = door.esp32()
    door.upload("1.0.1")
    assert device.check()
    assert eventually(lambda: door.stands() == [("succeeded", "")])
    other = image("1.0.1", size=3200)
    door.upload("1.0.1", other)
    assert door.stands() == [("succeeded", ""), ("skipped", "already_running")]
    assert not device.check()
    assert door.download().body == other
    assert "last upload had this version" in door.site.history(door.last().id, door.board)[-1].message
    assert door.site.rollout_state(door.last().id) == "finished"
    door.upload("1.0.2")
    assert device.check()


def test_the_same_version_before_the_device_came_takes_the_place_of_the_first(door: Door) -> None:
    door.upload("1.0.1")
    other = image("1.0.1", size=3200)
    door.upload("1.0.1", other)
    assert door.stands() == [("skipped", "superseded"), ("queued", "")]
    device = door.esp32()
    assert device.check()
    assert device.running == other


@pytest.mark.parametrize("begun", [False, True])
def test_a_newer_upload_takes_the_place_of_an_older_one(door: Door, begun: bool) -> None:
    door.upload("1.0.1")
    if begun:
        door.download("Range: bytes=0-99")
        assert stays(door, "downloading")
    door.upload("1.0.2")
    assert door.stands()[0] == (("canceled" if begun else "skipped"), "superseded")
    device = door.esp32()
    assert device.check()
    assert device.version == "1.0.2"
    assert eventually(lambda: door.stands()[1] == ("succeeded", ""))
    assert door.site.drift() == {}


def test_what_is_paused_is_not_there_until_it_goes_on(door: Door) -> None:
    door.upload("1.0.1")
    path = f"/api/v1/rollouts/{door.last().id}"
    for verb, status in (("pause", 404), ("resume", 200)):
        assert door.site.ask("POST", f"{path}/{verb}").status_code == 200
        assert door.latest().status == status
        assert door.download(method="HEAD").status == status
    assert door.download().status == 200


@pytest.mark.parametrize("begun", [False, True])
def test_what_is_stopped_is_gone_even_when_something_older_was_there(door: Door, begun: bool) -> None:
    door.upload("1.0.0")
    assert door.esp32("").check()
    door.upload("1.0.1")
    if begun:
        door.download("Range: bytes=0-99")
        assert stays(door, "downloading")
    path = f"/api/v1/rollouts/{door.last().id}"
    assert door.site.ask("POST", f"{path}/stop").status_code == 200
    assert (door.latest().status, door.download().status) == (404, 404)
    assert door.upload("1.0.1").status_code == 201
    assert door.esp32().check()


def test_a_device_whose_user_has_not_consented_waits(door: Door) -> None:
    site = door.site
    site.tell(door.board, autoUpdate=False)
    door.upload("1.0.1")
    assert (door.latest().status, door.download().status) == (200, 404)
    told = site.ask("GET", f"/api/v1/devices/{door.board.id}/explain").json()
    assert "automatic updates are off" in str(told["checks"])
    assert site.ask("POST", f"/api/v1/devices/{door.board.id}/consent").status_code < 300
    assert door.download().body == CONTENT


def test_an_upload_is_a_rollout_of_one_that_operators_see(door: Door) -> None:
    door.upload("1.0.1")
    row = door.last()
    shown = door.site.ask("GET", f"/api/v1/rollouts/{row.id}").json()
    assert (shown["origin"], shown["state"], shown["total"]) == ("device_ota", "running", 1)
    assert door.download().status == 200
    assert eventually(lambda: door.site.rollout_state(row.id) == "finished")
    told = door.site.ask("GET", f"/api/v1/devices/{door.board.id}/explain").json()
    assert told["deliveries"][0]["state"] == "succeeded"
    assert door.site.drift() == {}


def test_a_removed_device_is_gone(door: Door) -> None:
    door.upload("1.0.1")
    door.site.remove_device(door.board)
    assert (door.latest().status, door.download().status) == (404, 404)
    assert door.otas()["otas"] == []


def test_of_two_devices_with_one_uid_the_first_is_meant(door: Door) -> None:
    with ExitStack() as stack:
        stranger = Door(Site(door.site.server, stack))
        made = stranger.site.ask(
            "POST", "/api/v1/devices", json={"productId": stranger.site.product_id, "uid": door.board.uid}
        ).json()
        fields = {"device": door.board.uid, "token": made["token"]}
        assert stranger.upload("6.6.6", **fields).status_code == 201
        assert door.latest().status == 404
        assert door.upload("1.0.1").status_code == 201
        assert door.latest().body == b'{"ver":"1.0.1"}'
        assert door.download().body == CONTENT
        theirs = ask(door.port, DOWNLOAD + door.board.uid + made["token"])
        assert theirs.body == image("6.6.6", size=1600)


@pytest.fixture
def limited(serve: Serve) -> Iterator[Door]:
    with serve(latest_per_minute=60) as served, ExitStack() as stack:
        yield Door(Site(served, stack))


def test_ten_thousand_polls_for_unknown_ids_are_limited_and_cheap(limited: Door) -> None:
    http = limited.site.http(None)
    statements: list[str] = []
    event.listen(limited.site.database.engine, "before_cursor_execute", lambda *which: statements.append(which[2]))
    start = time.monotonic()
    answers = [http.get(f"{LATEST}{number:024x}") for number in range(10_000)]
    seconds = time.monotonic() - start
    assert len(statements) < 1000, "who is refused costs the database nothing"
    assert [one.status_code for one in answers[:60]] == [404] * 60
    assert {one.status_code for one in answers[60:]} <= {429, 404}
    assert sum(one.status_code == 404 for one in answers) <= 60 * (int(seconds // 60) + 1)
    refused = next(one for one in answers if one.status_code == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert (refused.headers["x-error-code"], list(refused.json())) == ("limited", ["message"])
    limited.upload("1.0.1")
    assert limited.download().status == 200


def large_image() -> bytes:
    """An app image of 100 MB: nine segments of zeros, whose checksum is its start value."""
    length = 100 * 1024 * 1024 // 9
    head = struct.pack("<BBBBIB3sHBHHIB", 0xE9, 9, 2, 0x2F, 0x40380000, 0xEE, b"", 5, 0, 0, 0xFFFF, 0, 0)
    data = head + b"".join(struct.pack("<II", 0x3C000020, length) + bytes(length) for _ in range(9))
    return data + bytes(15 - len(data) % 16) + b"\xef"


def test_a_firmware_of_100_megabytes(limited: Door) -> None:
    large = large_image()
    start = time.monotonic()
    assert limited.upload("1.0.1", large).status_code == 201
    device = limited.esp32()
    assert device.check()
    assert time.monotonic() - start < 60
    assert device.running == large
    assert eventually(lambda: limited.stands() == [("succeeded", "")])


def test_a_device_that_hangs_up_in_the_middle_goes_on_later(limited: Door) -> None:
    large = large_image()
    limited.upload("1.0.1", large)
    first = limited.download(take=1_000_000).body

    def words() -> list[str]:
        return [row.event for row in limited.site.history(limited.last().id, limited.board)]

    assert eventually(lambda: "broken_off" in words())
    assert limited.stands() == [("downloading", "")]
    rest = limited.download(f"Range: bytes={len(first)}-")
    assert first + rest.body == large
    assert eventually(lambda: limited.stands() == [("succeeded", "")])

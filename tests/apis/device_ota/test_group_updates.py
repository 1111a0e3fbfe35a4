"""`latest` and `download` of a group: for whoever has its token; they change no delivery, a device's own address does."""

import hashlib
import time

import pytest
from tests.apis.device_ota.conftest import Door, Group, make_group
from tests.apis.device_ota.esp32 import ask
from tests.apis.device_ota.test_download import ETAG, CountingKeyring, limited, statements_of
from tests.apis.serving import eventually
from tests.make import KEY, image

from airfreight.apis.device_ota.plane import GROUP_DOWNLOAD, GROUP_LATEST
from airfreight.services import group_updates

CONTENT = image("1.0.1", size=1600)
SIZE = len(CONTENT)
NO_SUCH_GROUP = b'{"message":"No such group","error":"There is no such group, or nothing for it now."}'

__all__ = ["limited"]


@pytest.fixture
def group(door: Door) -> Group:
    return make_group(door, door.board)


def settled(door: Door) -> list[tuple[str, str]]:
    """Where the device stands when everything that is told has been written."""
    time.sleep(0.15)
    return door.stands()


def test_before_an_upload_there_is_nothing(group: Group) -> None:
    for answer in (group.latest(), group.download()):
        assert (answer.status, answer.body) == (404, NO_SUCH_GROUP)


def test_devices_of_a_group_ask_its_address_and_no_delivery_moves(door: Door, group: Group) -> None:
    group.upload()
    assert (group.latest().status, group.latest().body) == (200, b'{"ver":"1.0.1"}')
    answer = group.download()
    assert (answer.status, answer.body) == (200, CONTENT)
    assert b"\r\nx-MD5: " + hashlib.md5(CONTENT).hexdigest().encode() + b"\r\n" in answer.raw_head
    assert (answer.headers["content-length"], answer.headers["etag"]) == (str(SIZE), ETAG)
    assert "transfer-encoding" not in answer.headers
    rest = group.download("Range: bytes=100-", f"If-Range: {ETAG}")
    assert (rest.status, rest.body) == (206, CONTENT[100:])
    whole = group.download("Range: bytes=100-")
    assert (whole.status, whole.body) == (200, CONTENT), "nobody knows which file the first bytes are of"
    assert group.download(f"Range: bytes={SIZE}-", f"If-Range: {ETAG}").status == 416
    head = group.download(method="HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(SIZE))
    assert group.download("x-ESP32-version: 1.0.1").status == 304
    assert group.download(f"If-None-Match: {ETAG}").status == 304
    assert settled(door) == [("queued", "")]
    assert door.site.rollout_state(group.last().id) == "running"


def test_a_member_that_asks_its_own_address_is_known_and_done(door: Door, group: Group) -> None:
    [other] = door.site.devices(door.site.product_id)
    group.put(other)
    group.upload()
    device = door.esp32()
    assert device.check()
    assert device.running == CONTENT
    assert eventually(lambda: door.stands() == [("succeeded", "")])
    assert door.site.rollout_state(group.last().id) == "running"
    assert door.esp32(board=other).check()
    assert eventually(lambda: door.site.rollout_state(group.last().id) == "finished")
    assert (group.latest().status, group.download().body) == (200, CONTENT)
    assert door.site.drift() == {}


def test_first_bytes_may_come_from_the_groups_address(door: Door, group: Group) -> None:
    group.upload("1.0.0", image("1.0.0", size=3200))
    assert group.download("Range: bytes=0-99", f"If-Range: {ETAG}").status == 200
    assert door.upload("1.0.1", CONTENT).status_code == 201
    answer = door.download("Range: bytes=100-")
    assert (answer.status, answer.body) == (200, CONTENT)


def test_in_a_group_that_tells_versions_the_version_is_the_judge(door: Door, group: Group) -> None:
    door.site.tell(door.board, version="1.0.0")
    group.upload()
    assert door.download().status == 200
    assert eventually(lambda: door.stands() == [("downloaded", "")])
    door.site.tell(door.board, version="1.0.1")
    assert door.stands() == [("succeeded", "")]


def test_other_methods_are_405(group: Group) -> None:
    for path in (GROUP_LATEST + group.uid, GROUP_DOWNLOAD + group.uid + group.token):
        answer = ask(group.door.port, path, method="POST")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_whatever_is_wrong_with_an_address_is_the_same_404(door: Door, group: Group) -> None:
    group.upload()
    other, board = make_group(door), door.board
    for address in (
        other.uid + group.token,
        group.uid + other.token,
        "0" * 24 + group.token,
        group.uid + board.token,
        board.uid + board.token,
        board.uid + group.token,
        group.uid + group.token[:-1],
        group.uid + group.token + "x",
        group.uid.upper() + group.token,
        group.uid,
        group.token,
        "%00" * 24 + group.token,
        "%ff" * 24 + group.token,
        "x" * 5000,
        "",
    ):
        answer = ask(door.port, GROUP_DOWNLOAD + address)
        assert (answer.status, answer.body) == (404, NO_SUCH_GROUP), address
        assert answer.headers["x-error-code"] == "not_found"
    for uid in (other.uid, board.uid, "0" * 24, group.uid.upper(), "%00", "x" * 5000, ""):
        answer = ask(door.port, GROUP_LATEST + uid)
        assert (answer.status, answer.body) == (404, NO_SUCH_GROUP), uid
    assert ask(door.port, "/v1/ota/device/latest/" + group.uid).status == 404
    assert ask(door.port, "/v1/ota/device/download/" + group.uid + group.token).status == 404


def test_the_same_work_is_done_whether_id_token_or_both_are_wrong(limited: Door) -> None:
    group = make_group(limited, limited.board)
    group.upload()

    def work(uid: str, token: str, *, found: bool) -> tuple[list[str], int]:
        keyring = CountingKeyring(KEY)
        with limited.site.database.read() as connection, statements_of(connection) as statements:
            content = group_updates.find(connection, keyring, uid, token)
        assert (content is not None) == found
        return [text for text in statements if text.startswith(("SELECT", "WITH"))], keyring.digests

    wrong_id = work("0" * 24, group.token, found=False)
    assert work(group.uid, "x" * 32, found=False) == wrong_id
    assert work("0" * 24, "x" * 32, found=False) == wrong_id
    assert (len(wrong_id[0]), wrong_id[1]) == (1, 1)
    assert len(work(group.uid, group.token, found=True)[0]) == 2


def test_asking_for_the_latest_version_is_limited_for_devices_and_groups_together(limited: Door) -> None:
    group = make_group(limited, limited.board)
    answers = [group.latest().status if n % 2 else limited.latest().status for n in range(130)]
    assert 60 <= answers.count(404) <= 120
    assert answers.count(429) == 130 - answers.count(404)


def test_what_is_paused_or_stopped_is_not_there(door: Door, group: Group) -> None:
    group.upload("1.0.0")
    group.upload("1.0.1")
    path = f"/api/v1/rollouts/{group.last().id}"
    for verb, status in (("pause", 404), ("resume", 200), ("stop", 404)):
        assert door.site.ask("POST", f"{path}/{verb}").status_code == 200
        assert (group.latest().status, group.download(method="HEAD").status) == (status, status)
    assert door.latest().status == 404
    assert group.upload("1.0.1").status_code == 201
    assert group.latest().status == 200


def test_what_is_deleted_is_not_there_and_not_listed(door: Door, group: Group) -> None:
    group.upload()
    rollout_id = group.last().id
    assert door.site.ask("POST", f"/api/v1/rollouts/{rollout_id}/stop").status_code == 200
    door.site.delete(rollout_id)
    assert (group.latest().status, group.download().status) == (404, 404)
    assert group.otas()["otas"] == []


@pytest.mark.parametrize("begun", [False, True])
def test_a_newer_upload_takes_the_place_of_an_older_one(door: Door, group: Group, begun: bool) -> None:
    [left] = door.site.devices(door.site.product_id)
    group.put(left)
    door.upload("0.9.0")
    group.upload("1.0.1")
    first = group.last().id
    assert door.stands() == [("skipped", "superseded"), ("queued", "")]
    assert door.site.ask("PUT", f"/v1/devices/{left.uid}", json={"group": "undefined"}).status_code == 200
    if begun:
        door.download("Range: bytes=0-99")
        assert eventually(lambda: door.stands()[-1] == ("downloading", ""))
    group.upload("1.0.2")
    assert door.stands()[1:] == [(("canceled" if begun else "skipped"), "superseded"), ("queued", "")]
    assert door.stands(left) == [("skipped", "superseded")]
    assert door.site.rollout_state(first) == "finished"
    device = door.esp32()
    assert device.check()
    assert device.version == "1.0.2"
    assert eventually(lambda: door.stands()[-1] == ("succeeded", ""))
    assert door.site.drift() == {}


def test_an_upload_for_one_device_takes_the_groups_place_for_it_alone(door: Door, group: Group) -> None:
    [other] = door.site.devices(door.site.product_id)
    group.put(other)
    group.upload("1.0.1")
    door.upload("1.0.2")
    assert door.stands() == [("skipped", "superseded"), ("queued", "")]
    assert door.stands(other) == [("queued", "")]
    assert (door.latest().body, group.latest().body) == (b'{"ver":"1.0.2"}', b'{"ver":"1.0.1"}')


def test_the_same_version_again_is_kept_and_skips_who_has_fetched_it(door: Door, group: Group) -> None:
    [other] = door.site.devices(door.site.product_id)
    group.put(other)
    group.upload("1.0.1")
    assert door.esp32().check()
    assert eventually(lambda: door.stands() == [("succeeded", "")])
    new = image("1.0.1", size=3200)
    group.upload("1.0.1", new)
    assert door.stands()[-1] == ("skipped", "already_running")
    assert door.stands(other) == [("skipped", "superseded"), ("queued", "")]
    assert group.download().body == new
    group.upload("1.0.1", new)
    assert door.stands()[-1] == ("skipped", "already_running")
    group.upload("1.0.2")
    assert door.stands()[-1] == ("queued", "")
    assert door.site.drift() == {}

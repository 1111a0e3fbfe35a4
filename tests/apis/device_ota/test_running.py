"""A device that says which version it runs as it asks for the file (`x-ESP32-version`), and what that tells."""

import pytest
from sqlalchemy import update
from tests.apis.device_ota.conftest import Door
from tests.apis.serving import eventually
from tests.make import image

from airfreight.store import tables

FIRST, SECOND = image("1.0.1", size=1600), image("1.0.2", size=1600)


def runs(version: str) -> str:
    return f"x-ESP32-version: {version}"


def version_of(door: Door) -> str:
    shown: str = door.site.ask("GET", f"/api/v1/devices/{door.board.id}").json()["version"]
    return shown


def proven(door: Door) -> None:
    """The device is one that says what it runs: it has fetched the first file, and come back with it."""
    door.upload("1.0.1")
    assert door.download(runs("1.0.0")).body == FIRST
    assert eventually(lambda: door.stands() == [("succeeded", "")])
    assert door.download(runs("1.0.1")).status == 304
    assert version_of(door) == "1.0.1"


def test_what_was_flashed_by_cable_is_not_sent(door: Door) -> None:
    door.upload("1.0.1")
    assert door.download(runs("1.0.1")).status == 304
    assert door.stands() == [("skipped", "already_running")]
    assert version_of(door) == "1.0.1"


def test_a_broken_download_of_what_it_runs_already_ends_well(door: Door) -> None:
    door.upload("1.0.1")
    assert door.download("Range: bytes=0-9").status == 206
    assert eventually(lambda: door.stands() == [("downloading", "")])
    assert door.download(runs("1.0.1")).status == 304
    assert door.stands() == [("succeeded", "")]


def test_the_version_that_comes_back_is_the_success_of_one_that_says_it(door: Door) -> None:
    proven(door)
    door.upload("1.0.2")
    assert door.download(runs("1.0.1")).body == SECOND
    assert eventually(lambda: door.stands()[1] == ("downloaded", ""))
    assert door.download(runs("1.0.2")).status == 304
    assert door.stands()[1] == ("succeeded", "")


def test_one_that_comes_back_without_it_has_used_up_a_try_and_is_not_sent_it_for_ever(door: Door) -> None:
    proven(door)
    door.upload("1.0.2")
    given = []
    for _ in range(8):
        given.append(door.download(runs("1.0.1")).status)
        if given[-1] == 200:
            assert eventually(lambda: door.stands()[1][0] == "downloaded")
        no_pause(door)
    assert given == [200, 404, 200, 404, 200, 404, 404, 404]
    assert door.stands()[1] == ("failed", "install_failed")
    assert door.latest().status == 404
    assert version_of(door) == "1.0.1"
    door.upload("1.0.3")
    assert door.download(runs("1.0.1")).status == 200


def no_pause(door: Door) -> None:
    """The pause after a failed try is over."""
    with door.site.database.write() as connection:
        table = tables.deliveries
        connection.execute(update(table).where(table.c.device_id == door.board.id).values(not_before=None))


def test_an_operator_who_takes_a_build_back_before_it_is_fetched_leaves_nothing_waiting(door: Door) -> None:
    proven(door)
    door.upload("1.0.2")
    door.upload("1.0.1")
    assert door.download(runs("1.0.1")).status == 304
    assert door.stands()[1:] == [("skipped", "superseded"), ("skipped", "already_running")]
    assert door.site.rollout_state(door.last().id) == "finished"


def test_what_waits_only_to_be_skipped_is_served_to_one_that_says_nothing(door: Door) -> None:
    """`latest` names the version: whoever does not run it any more has to be able to fetch it."""
    proven(door)
    door.upload("1.0.2")
    other = image("1.0.1", size=3200)
    door.upload("1.0.1", other)
    assert door.latest().body == b'{"ver":"1.0.1"}'
    assert door.download().body == other
    assert door.stands()[2] == ("skipped", "already_running")


@pytest.mark.parametrize("how", ["pause", "stop"])
def test_the_word_of_a_device_counts_while_its_upload_is_held(door: Door, how: str) -> None:
    proven(door)
    door.upload("1.0.2")
    assert door.download(runs("1.0.1")).body == SECOND
    assert eventually(lambda: door.stands()[1] == ("downloaded", ""))
    assert door.site.ask("POST", f"/api/v1/rollouts/{door.last().id}/{how}").status_code == 200
    assert door.download(runs("1.0.2")).status == 304
    assert door.stands()[1] == ("succeeded", "")
    assert version_of(door) == "1.0.2"


def test_in_the_pause_after_a_failed_try_the_version_that_comes_back_is_heard(door: Door) -> None:
    proven(door)
    door.upload("1.0.2")
    assert door.download(runs("1.0.1")).body == SECOND
    assert eventually(lambda: door.stands()[1] == ("downloaded", ""))
    assert door.download(runs("1.0.1")).status == 404
    assert door.stands()[1] == ("queued", "install_failed")
    assert door.download(runs("1.0.2")).status == 304
    assert version_of(door) == "1.0.2"
    no_pause(door)
    assert door.download(runs("1.0.2")).status == 304
    assert door.stands()[1] == ("skipped", "already_running")


def test_the_same_version_again_is_not_resumed_from_the_first_file(door: Door) -> None:
    door.upload("1.0.1")
    assert door.download().body == FIRST
    assert eventually(lambda: door.stands() == [("succeeded", "")])
    other = image("1.0.1", size=3200)
    door.upload("1.0.1", other)
    answer = door.download("Range: bytes=800-")
    assert (answer.status, answer.body) == (200, other)


def test_who_has_the_bytes_of_a_file_that_waits_is_not_offered_it(door: Door) -> None:
    door.upload("1.0.1")
    etag = door.download(method="HEAD").headers["etag"]
    assert door.download(f"If-None-Match: {etag}").status == 304
    assert door.stands() == [("queued", "")]


def test_one_that_returns_to_the_old_version_later_has_gone_back(door: Door) -> None:
    proven(door)
    door.upload("1.0.2")
    assert door.download(runs("1.0.1")).body == SECOND
    assert eventually(lambda: door.stands()[1] == ("downloaded", ""))
    assert door.download(runs("1.0.2")).status == 304
    assert door.download(runs("1.0.1")).status == 404
    assert door.stands()[1] == ("failed", "rolled_back")
    assert version_of(door) == "1.0.1"
    assert door.latest().status == 404, "what it cannot run it is not offered again"


def test_a_version_compiled_in_by_one_that_is_known_for_none_tells_nothing(door: Door) -> None:
    door.upload("1.0.1")
    assert door.download(runs("0.9")).body == FIRST
    assert eventually(lambda: door.stands() == [("succeeded", "")])
    assert version_of(door) == ""


@pytest.mark.parametrize("said", ["x" * 5000, "\xff\xfe", "1.0.1 ", '{"a":1}', "1.0.2\t"])
def test_what_is_no_version_does_no_harm(door: Door, said: str) -> None:
    proven(door)
    assert door.download(runs(said)).status in {200, 304}
    assert len(version_of(door)) <= 64


def test_a_head_request_tells_nothing(door: Door) -> None:
    door.upload("1.0.1")
    assert door.download(runs("1.0.1"), method="HEAD").status == 304
    assert door.stands() == [("queued", "")]

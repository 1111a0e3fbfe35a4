"""Boards with Zephyr's hawkBit client go all the way, in three editions of it."""

import json

import pytest
from tests.apis.serving import eventually
from tests.clients.place import Place
from tests.clients.zephyr import (
    FIRST_BUFFER,
    End,
    Mended,
    Newer,
    NotPermittedError,
    Older,
    Zephyr,
    path_of,
)
from tests.make import Board, image

Edition = type[Zephyr]
EDITIONS = [Newer, Mended, Older]
edition = pytest.mark.parametrize("edition", EDITIONS)


@pytest.fixture
def board(place: Place) -> Board:
    return place.board("nrf52840dk-0011aabb22cc")


def with_client(kind: Edition, place: Place, board: Board) -> Zephyr:
    return kind(place.server.port, board.uid, board.token)


def raw(content: bytes = b"x" * 3000) -> bytes:
    """An image that says nothing of itself."""
    return content


def links(client: Zephyr) -> dict[str, str]:
    """Those of its latest poll."""
    polled = [one for one in client.asked if one.path == client.home][-1]
    return {name: link["href"] for name, link in json.loads(polled.answer).get("_links", {}).items()}


# the whole way


@edition
def test_a_board_updates_and_says_so_after_its_reboot(place: Place, board: Board, edition: Edition) -> None:
    artifact = place.artifact("", content=raw())
    shipped = place.shipped(artifact, board)
    client = with_client(edition, place, board)

    assert client.run() is End.INSTALLED
    assert client.slot == artifact.content
    assert client.sent("POST", "feedback") == []
    assert place.stand(shipped, board)[0] not in {"succeeded", "failed"}

    client.reboot()
    assert client.run() is (End.REPORTED if edition is Older else End.NO_UPDATE)
    assert place.stand(shipped, board) == ("succeeded", "")
    assert client.running == artifact.content
    [report] = client.sent("POST", "feedback")
    assert report.path == f"{client.home}/deploymentBase/{client.action_id}/feedback"
    assert client.action_id >= 1001

    assert client.run() is End.NO_UPDATE
    assert len(client.sent("POST", "feedback")) == 1
    assert place.get(shipped)["shipmentProgress"]["success"] == 1


@edition
def test_what_it_is_sent_fits_the_first_buffer_and_is_not_padded(place: Place, board: Board, edition: Edition) -> None:
    place.shipped(place.artifact("", content=raw()), board)
    client = with_client(edition, place, board)
    assert client.run() is End.INSTALLED

    assert client.largest() < FIRST_BUFFER
    for one in client.asked:
        if one.answer[:1] == b"{":
            assert one.answer == json.dumps(json.loads(one.answer), separators=(",", ":"), ensure_ascii=False).encode()


@edition
def test_it_is_asked_for_its_attributes_once_and_again_after_an_update(
    place: Place, board: Board, edition: Edition
) -> None:
    client = with_client(edition, place, board)
    assert [client.run(), client.run()] == [End.NO_UPDATE] * 2
    [told] = client.sent("PUT", "configData")
    assert told.body is not None
    assert told.body["data"]["VIN"] == board.uid
    shown = place.ask("GET", f"/api/v1/devices/{board.id}").json()
    assert shown["attributes"]["VIN"] == board.uid

    place.shipped(place.artifact("", content=raw()), board)
    client.run()
    client.reboot()
    ends = [client.run(), client.run(), client.run()]
    assert ends[1:] == [End.NO_UPDATE] * 2
    assert len(client.sent("PUT", "configData")) == 2


@edition
def test_two_rollouts_after_one_another_have_ids_of_their_own(place: Place, board: Board, edition: Edition) -> None:
    client = with_client(edition, place, board)
    seen = []
    for content in (b"one" * 700, b"two" * 900):
        shipped = place.shipped(place.artifact("", content=content), board)
        assert client.run() is End.INSTALLED
        client.reboot()
        client.run()
        assert place.stand(shipped, board) == ("succeeded", "")
        assert client.running == content
        seen.append(client.action_id)
    assert len(set(seen)) == 2
    assert client.run() is End.NO_UPDATE


@edition
def test_a_rollout_that_was_made_at_another_door_reaches_it(place: Place, board: Board, edition: Edition) -> None:
    client = with_client(edition, place, board)
    rollout = place.rollout([place.artifact("", content=raw())], board)
    assert client.run() is End.INSTALLED
    client.reboot()
    client.run()
    assert place.stand(rollout, board) == ("succeeded", "")


# proof by the version that runs


@pytest.mark.parametrize("edition", [Newer, Mended])
def test_a_board_that_tells_its_version_has_updated_when_that_comes(
    place: Place, board: Board, edition: Edition
) -> None:
    client = with_client(edition, place, board)
    client.extra["version"] = "1.0.0"
    client.run()
    shipped = place.shipped(place.artifact("2.0.0"), board)
    assert client.run() is End.INSTALLED

    client.reboot()
    client.extra["version"] = "2.0.0"
    assert client.run() is End.NO_UPDATE
    assert place.stand(shipped, board) == ("succeeded", "")
    words = [one.method for one in client.asked[-5:]]
    assert words == ["GET", "POST", "GET", "PUT", "GET"], "polled again after what it did, and asked for its version"


@pytest.mark.parametrize("is_new", [False, True])
@pytest.mark.parametrize("edition", [Newer, Mended])
def test_a_board_that_fell_back_says_success_and_is_not_believed(
    place: Place, board: Board, edition: Edition, *, is_new: bool
) -> None:
    """It reports whatever id is in its flash, and that was written before the reboot. The deadline ends it."""
    client = with_client(edition, place, board)
    client.extra["version"] = "1.0.0"
    if not is_new:
        client.run()
    shipped = place.shipped(place.artifact("2.0.0"), board)
    client.run()

    client.reboot(falls_back=True)
    assert client.run() is End.NO_UPDATE
    assert client.sent("POST", "feedback")[-1].body == {
        "status": {"execution": "closed", "result": {"finished": "success"}}
    }
    assert place.stand(shipped, board) == ("activating", "")
    assert client.run() is End.NO_UPDATE, "the old version is no answer, and is asked for again, but not at once"


# cancel


@edition
def test_what_is_canceled_before_it_has_asked_does_not_bother_it(place: Place, board: Board, edition: Edition) -> None:
    client = with_client(edition, place, board)
    shipped = place.shipped(place.artifact("", content=raw()), board)
    place.cancel(shipped)
    assert client.run() is End.NO_UPDATE
    assert place.stand(shipped, board)[0] == "canceled"
    assert client.sent("POST", "cancelAction") == []


@edition
def test_what_is_canceled_before_it_has_looked_into_it_does_not_bother_it(
    place: Place, board: Board, edition: Edition
) -> None:
    client = with_client(edition, place, board)
    client.run()
    shipped = place.shipped(place.artifact("", content=raw()), board)
    home = place.http(None).get(client.home, headers={"Authorization": f"TargetToken {board.token}"})
    assert "deploymentBase" in home.json()["_links"]
    place.cancel(shipped)
    assert client.run() is End.NO_UPDATE
    assert place.stand(shipped, board)[0] == "canceled"
    assert client.sent("POST", "cancelAction") == []


@edition
def test_a_download_that_broke_off_can_be_canceled(place: Place, board: Board, edition: Edition) -> None:
    client = with_client(edition, place, board)
    shipped = place.shipped(place.artifact("", content=raw(bytes(3_000_000))), board)
    client.dies_at = 5000
    with pytest.raises(ConnectionError):
        client.run()
    place.cancel(shipped)
    assert place.stand(shipped, board)[0] not in {"canceled", "failed"}, "the device is asked first"

    assert client.run() is (End.CANCELED if edition is Older else End.NO_UPDATE)
    assert place.stand(shipped, board)[0] == "canceled"
    [answer] = client.sent("POST", "cancelAction")
    assert answer.body is not None
    assert answer.body["status"] == {"execution": "closed", "result": {"finished": "success"}}
    assert client.sent("GET", "cancelAction") == []
    assert client.run() is End.NO_UPDATE
    assert len(client.sent("POST", "cancelAction")) == 1


@edition
def test_a_download_that_broke_off_is_begun_again_under_the_same_id(
    place: Place, board: Board, edition: Edition
) -> None:
    client = with_client(edition, place, board)
    shipped = place.shipped(place.artifact("", content=raw(bytes(3_000_000))), board)
    client.dies_at = 5000
    with pytest.raises(ConnectionError):
        client.run()
    assert client.run() is End.INSTALLED
    assert place.attempts(board) == [client.action_id]
    client.reboot()
    client.run()
    assert place.stand(shipped, board) == ("succeeded", "")


def test_the_mended_edition_refuses_to_cancel_what_it_has_installed_and_ends_it_well(
    place: Place, board: Board
) -> None:
    client = with_client(Mended, place, board)
    shipped = place.shipped(place.artifact("", content=raw()), board)
    client.run()
    place.cancel(shipped)
    client.reboot()

    assert client.run() is End.NO_UPDATE
    [answer, report] = client.sent("POST", "feedback")
    assert answer.body == {"status": {"execution": "closed", "result": {"finished": "failure"}}}
    assert "cancelAction" in answer.path
    assert "deploymentBase" in report.path, "offered again, and reported in the same run"
    assert place.stand(shipped, board) == ("succeeded", "")


@pytest.mark.parametrize("edition", [Newer, Older])
def test_the_other_editions_agree_to_any_cancel(place: Place, board: Board, edition: Edition) -> None:
    client = with_client(edition, place, board)
    shipped = place.shipped(place.artifact("", content=raw()), board)
    client.run()
    place.cancel(shipped)
    client.run()
    assert place.stand(shipped, board)[0] == "canceled"
    assert client.run() is End.NO_UPDATE


@pytest.mark.parametrize("next_id", [2000, 3000, 10_000, 700_000])
def test_an_id_that_the_newer_edition_cannot_read_is_never_given(place: Place, board: Board, next_id: int) -> None:
    """It reads them from the second digit on, and nothing but zeros there ends every run of it for ever."""
    place.next_attempt_is(next_id)
    client = with_client(Newer, place, board)
    shipped = place.shipped(place.artifact("", content=raw(bytes(3_000_000))), board)
    client.dies_at = 5000
    with pytest.raises(ConnectionError):
        client.run()
    place.cancel(shipped)
    assert client.run() is End.NO_UPDATE
    assert place.stand(shipped, board)[0] == "canceled"


# who it is


def test_a_board_that_nobody_knows_comes_with_the_token_of_all(place: Place) -> None:
    client = Newer(place.server.port, "nucleo-77", place.gateway_token(), scheme="GatewayToken")
    assert client.run() is End.NO_UPDATE
    board = place.board_named("nucleo-77")
    shipped = place.shipped(place.artifact("", content=raw()), board)
    assert client.run() is End.INSTALLED
    client.reboot()
    client.run()
    assert place.stand(shipped, board) == ("succeeded", "")


@edition
def test_a_wrong_token_is_not_permitted(place: Place, board: Board, edition: Edition) -> None:
    for token in ("", "x" * 32, board.token[:-1], board.token.swapcase()):
        with pytest.raises(NotPermittedError):
            edition(place.server.port, board.uid, token).run()


@pytest.mark.parametrize("tenant", ["DEFAULT", "default", "Default"])
def test_the_tenant_may_be_asked_in_any_case_and_is_answered_in_upper(place: Place, board: Board, tenant: str) -> None:
    place.shipped(place.artifact("", content=raw()), board)
    client = Newer(place.server.port, board.uid, board.token, tenant=tenant)
    assert client.run() is End.INSTALLED
    for href in links(client).values():
        assert path_of(href).startswith("/DEFAULT/controller/v1/")
    download = client.asked[-1]
    assert download.path.startswith(f"/DEFAULT/controller/v1/{board.uid}/softwaremodules/")


# the line


def test_the_connection_is_one_for_the_whole_run(place: Place, board: Board) -> None:
    place.shipped(place.artifact("", content=raw()), board)
    client = with_client(Newer, place, board)
    assert client.run() is End.INSTALLED
    assert (client.lines, len(client.asked)) == (1, 5)


def test_it_waits_as_long_as_it_is_told(place: Place, board: Board) -> None:
    client = with_client(Newer, place, board)
    place.steer(polling="00:07:30")
    client.run()
    assert client.sleep == 450


@edition
def test_a_download_counts_only_whole(place: Place, board: Board, edition: Edition) -> None:
    shipped = place.shipped(place.artifact("", content=raw(image("9.9.9"))), board)
    client = with_client(edition, place, board)
    assert client.run() is End.INSTALLED
    assert eventually(lambda: place.stand(shipped, board)[0] == "downloaded", 60)

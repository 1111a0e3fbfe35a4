"""When rauc-hawkbit-updater asks and what it is to wait for; a thousand requests of it; the way through a proxy."""

import hashlib

import httpx
import pytest
from sqlalchemy import func, select
from tests.apis.serving import eventually
from tests.clients.conftest import Placed
from tests.clients.place import BUNDLE, Place, passing, seen_by
from tests.clients.rauc import BLOCK, STEPS, Rauc, State, with_client
from tests.make import Board, Stored

from airfreight.store import tables

PROXY = {"X-Forwarded-Proto": "http", "X-Forwarded-Host": "127.0.0.1", "X-Forwarded-Port": "{port}"}


@pytest.fixture
def board(place: Place) -> Board:
    return place.board()


@pytest.fixture
def bundle(place: Place) -> Stored:
    return place.artifact("", content=BUNDLE)


@pytest.fixture
def client(place: Place, board: Board) -> Rauc:
    return with_client(place.server.url, board)


# how, and when


def test_its_attributes_are_asked_for_once(place: Place, board: Board, client: Rauc) -> None:
    for _ in range(3):
        client.poll()
    assert client.count("PUT", "configData") == 1
    shown = place.ask("GET", f"/api/v1/devices/{board.id}").json()
    assert shown["attributes"]["product"] == "gateway"

    answer = place.ask("POST", f"/api/v1/devices/{board.id}/ask-attributes")
    assert answer.is_success, answer.text
    for _ in range(3):
        client.poll()
    assert client.count("PUT", "configData") == 2


def test_a_soft_update_may_wait_but_is_made(place: Place, board: Board, bundle: Stored, client: Rauc) -> None:
    rollout = place.rollout([bundle], board, urgency="soft")
    found = seen_by(place, board)["deployment"]
    assert (found["download"], found["update"]) == ("attempt", "attempt")
    assert "maintenanceWindow" not in found
    client.poll()
    assert client.finish() is State.SUCCESS
    assert place.stand(rollout, board) == ("succeeded", "")


def test_a_soft_update_becomes_a_forced_one_at_its_time(place: Place, board: Board, bundle: Stored) -> None:
    rollout = place.rollout([bundle], board, urgency="soft", forcedAt=place.now + 3_600_000)
    found = seen_by(place, board)["deployment"]
    assert (found["download"], found["update"]) == ("attempt", "attempt")
    place.is_to_be_forced_now(rollout)
    found = seen_by(place, board)["deployment"]
    assert (found["download"], found["update"]) == ("forced", "forced")


def test_what_is_only_to_be_downloaded_is_done_when_it_is_there(
    place: Place, board: Board, bundle: Stored, client: Rauc
) -> None:
    rollout = place.rollout([bundle], board, finishOn="download")
    found = seen_by(place, board)["deployment"]
    assert (found["download"], found["update"]) == ("forced", "skip")
    client.poll()
    assert client.finish() is State.SUCCESS
    assert client.told[-1] == ("downloaded", "success", "File checksum OK.")
    assert client.bundle == BUNDLE
    assert place.stand(rollout, board) == ("succeeded", "")
    client.poll()
    assert client.count("GET", "/artifacts/") == 1
    assert client.running != BUNDLE


def test_it_downloads_before_its_window_and_installs_in_it(
    place: Place, board: Board, bundle: Stored, client: Rauc
) -> None:
    place.steer(polling="20:00:00")
    client.poll()
    place.clock_shows(5)
    rollout = place.rollout([bundle], board, dayPart="morning", windowOn="install")
    place.began_yesterday(rollout)
    found = seen_by(place, board)["deployment"]
    assert (found["download"], found["update"], found["maintenanceWindow"]) == ("forced", "skip", "unavailable")

    client.poll()
    assert client.finish() is State.NONE
    assert client.bundle == BUNDLE
    assert client.told[-1] == ("proceeding", "none", "File checksum OK.")
    assert client.poll() < 3 * 3600, "it is back before the window is over"
    assert client.count("GET", "/artifacts/") == 1
    assert place.stand(rollout, board)[0] == "downloaded"

    place.clock_shows(8)
    found = seen_by(place, board)["deployment"]
    assert (found["update"], found["maintenanceWindow"]) == ("forced", "available")
    client.poll()
    assert client.finish() is State.SUCCESS
    assert [status for _, path, status in client.asked if "/artifacts/" in path] == [200, 416]
    assert place.stand(rollout, board) == ("succeeded", "")


def test_before_a_window_for_the_download_there_is_nothing(place: Place, board: Board, bundle: Stored) -> None:
    client = with_client(place.server.url, board)
    place.steer(polling="20:00:00")
    place.clock_shows(5)
    rollout = place.rollout([bundle], board, dayPart="morning")
    place.began_yesterday(rollout)
    assert client.poll() < 3 * 3600
    assert client.told == []
    place.clock_shows(8)
    client.poll()
    assert client.finish() is State.SUCCESS
    assert place.stand(rollout, board) == ("succeeded", "")


def test_a_device_that_nobody_knows_comes_with_the_token_of_all(place: Place, bundle: Stored) -> None:
    client = Rauc(place.server.url, "hall-7", place.gateway_token(), scheme="GatewayToken", tenant="default")
    client.poll()
    board = place.board_named("hall-7")
    shipped = place.shipped(bundle, board)
    client.poll()
    assert client.finish() is State.SUCCESS
    assert place.stand(shipped, board) == ("succeeded", "")


# many requests


def test_a_thousand_blocks_and_sixty_words_between_them_lose_nothing(placed: Placed) -> None:
    """The history keeps twenty; what does not fit is dropped without a word, and the last one counts."""
    with placed(history_limit=20) as place:
        board = place.board()
        content = hashlib.sha256(b"seed").digest() * (BLOCK // 32) * 32
        shipped = place.shipped(place.artifact("", content=content), board)
        client = with_client(place.server.url, board, streams=True, passes=31)

        def between(number: int) -> None:
            if number % 16 == 0:
                client.say(f"{number} blocks")

        client.between = between
        client.poll()
        assert client.finish() is State.SUCCESS
        assert client.count("GET", "/artifacts/") > 1000
        assert len(client.told) > 60 + len(STEPS)
        assert place.stand(shipped, board) == ("succeeded", "")
        delivery = place.delivery(shipped, board).id
        count = select(func.count()).where(tables.history.c.delivery_id == delivery)
        [(kept,)] = place.rows(count)
        assert kept <= 25
        assert place.history(shipped, board)[-1].message.endswith("installed successfully.")


# behind a proxy


def hosts(place: Place, board: Board, port: int, **added: str) -> set[str]:
    """Scheme, host and port of all links that a device is given, asking at this port."""
    headers = {"Authorization": f"TargetToken {board.token}", **added}
    at = f"http://127.0.0.1:{port}/DEFAULT"
    base = httpx.get(f"{at}/controller/v1/{board.uid}", headers=headers, timeout=60).json()
    links = {link["href"] for link in base["_links"].values()}
    action = base["_links"]["deploymentBase"]["href"].partition("/DEFAULT/")[2]
    offered = httpx.get(f"{at}/{action}", headers=headers, timeout=60).json()
    [chunk] = offered["deployment"]["chunks"]
    links |= {link["href"] for artifact in chunk["artifacts"] for link in artifact["_links"].values()}
    return {href.partition("/DEFAULT/")[0] for href in links}


@pytest.mark.parametrize("proxies", ["127.0.0.1", "10.0.0.0/8, 127.0.0.0/8"])
def test_behind_a_trusted_proxy_everything_goes_through_it(placed: Placed, proxies: str) -> None:
    with placed(trusted_proxies=proxies) as place:
        board = place.board()
        shipped = place.shipped(place.artifact("", content=BUNDLE), board)
        inner = {"Host": "inner.invalid"}
        with passing(place.server.port, {**PROXY, **inner}) as port:
            assert hosts(place, board, port) == {f"http://127.0.0.1:{port}"}
            client = Rauc(f"http://127.0.0.1:{port}", board.uid, board.token)
            client.poll()
            assert client.finish() is State.SUCCESS
        assert place.stand(shipped, board) == ("succeeded", "")

        https = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "ota.example.com", "Host": "inner.invalid"}
        again = place.board("gateway-2")
        place.shipped(place.artifact("", content=BUNDLE[1:]), again)
        for outer, host in (("443", "https://ota.example.com"), ("8443", "https://ota.example.com:8443")):
            with passing(place.server.port, {**https, "X-Forwarded-Port": outer}) as own:
                assert hosts(place, again, own) == {host}
        with passing(place.server.port, https) as own:
            assert hosts(place, again, own) == {"https://ota.example.com"}


@pytest.mark.parametrize("proxies", ["", "10.0.0.0/8", "127.0.0.2"])
def test_what_anybody_else_says_of_the_way_is_ignored(placed: Placed, proxies: str) -> None:
    with placed(trusted_proxies=proxies) as place:
        board = place.board()
        place.shipped(place.artifact("", content=BUNDLE), board)
        told = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.invalid", "X-Forwarded-Port": "666"}
        assert hosts(place, board, place.server.port, **told) == {place.server.url}


def test_the_address_that_is_configured_wins_over_what_a_request_says(placed: Placed) -> None:
    with placed(public_url="https://ota.example.com") as place:
        board = place.board()
        place.shipped(place.artifact("", content=BUNDLE), board)
        assert hosts(place, board, place.server.port) == {"https://ota.example.com"}


def test_what_is_downloaded_is_seen(place: Place, board: Board, client: Rauc) -> None:
    shipped = place.shipped(place.artifact("", content=bytes(16_000_000)), board)
    client.holds = True
    client.poll()
    client.wait_for_bytes()
    assert eventually(lambda: place.stand(shipped, board)[0] == "downloading", 60)
    client.let_go()
    assert client.finish() is State.SUCCESS

"""Waiting for an instruction: it ends when there is one, when the time is over, or when the device leaves."""

import socket
import struct
import time
from contextlib import ExitStack

import httpx
import pytest
from tests.apis.conftest import Serve
from tests.apis.device.test_protocol import NEXT, REPORTS
from tests.apis.serving import eventually
from tests.apis.site import Site
from tests.interrupt import Meanwhile
from tests.make import Board

from airfreight.store.database import Database


def waiting(site: Site, board: Board, seconds: int = 30) -> Meanwhile:
    """A long poll that has begun."""
    before = len(site.server.app.devices._bell._waiters)
    poll = Meanwhile(lambda: site.as_device(board).get(f"{NEXT}?wait={seconds}"))
    assert eventually(lambda: len(site.server.app.devices._bell._waiters) > before or not poll.is_alive())
    return poll


def test_it_ends_when_another_process_makes_a_rollout(site: Site) -> None:
    [board] = site.devices(site.product_id)
    artifact = site.artifact("")
    poll = waiting(site, board)
    elsewhere = Database(site.database.engine.url.render_as_string(hide_password=False))
    here, site.database = site.database, elsewhere
    began = time.monotonic()
    site.ship(artifact, site.product_id, [board])
    site.database = here
    elsewhere.close()
    answer: httpx.Response = poll.outcome()
    assert time.monotonic() - began < 15
    assert answer.json()["do"] == "download"


def test_it_ends_when_a_shipment_is_created_paused_ones_go_on_waiting(site: Site) -> None:
    first, second = site.devices(site.product_id, 2)
    polls = [waiting(site, board) for board in (first, second)]
    shipment = site.create(site.artifact(""), [first])["id"]
    assert polls[0].outcome().json()["do"] == "download"
    site.ask("POST", f"/api/v1/rollouts/{shipment}/pause")
    assert polls[1].is_alive()
    site.create(site.artifact(""), [second])
    assert polls[1].outcome().json()["do"] == "download"


def test_it_is_over_after_the_wait_and_the_next_may_follow_at_once(site: Site) -> None:
    [board] = site.devices(site.product_id)
    began = time.monotonic()
    answer = site.as_device(board).get(NEXT + "?wait=1")
    assert 0.9 < time.monotonic() - began < 8
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["retry-after"] == "1"


def test_it_ends_by_itself_when_a_pause_between_tries_is_over(serve: Serve) -> None:
    with serve(retry_seconds=1) as served, ExitStack() as stack:
        site = Site(served, stack)
        [board] = site.devices(site.product_id)
        site.create(site.artifact(""), [board])
        first = site.as_device(board).get(NEXT).json()["attempt"]
        failed = {"attempt": first, "seq": 1, "event": "failed", "reason": "download_failed"}
        began = time.monotonic()  # the pause begins with the report, however long its answer takes
        site.as_device(board).post(REPORTS, json={"reports": [failed]})
        again = site.as_device(board).get(NEXT + "?wait=20")
        assert 0.9 < time.monotonic() - began < 15
        assert (again.json()["do"], again.json()["attempt"]) == ("download", first + 1)


def test_a_device_with_something_to_do_does_not_wait(site: Site) -> None:
    [board] = site.devices(site.product_id)
    site.create(site.artifact(""), [board])
    began = time.monotonic()
    assert site.as_device(board).get(NEXT + "?wait=30").json()["do"] == "download"
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("way", ["close", "reset"])
def test_a_device_that_leaves_is_not_waited_for(site: Site, way: str) -> None:
    [board] = site.devices(site.product_id)
    tasks = site.server.tasks()
    waiters = site.server.app.devices._bell._waiters
    for _ in range(5):
        connection = site.server.connect()
        request = f"GET {NEXT}?wait=60 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {board.token}\r\n\r\n"
        connection.sendall(request.encode())
        assert eventually(lambda: len(waiters) == 1)
        if way == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        assert eventually(lambda: not waiters)
    assert site.server.settles_at(tasks)


def test_a_device_that_is_removed_while_it_waits_is_turned_away(site: Site) -> None:
    [board] = site.devices(site.product_id)
    poll = waiting(site, board, 20)
    site.remove_device(board)
    site.create(site.artifact(""))
    assert poll.outcome().status_code == 401


def test_many_wait_at_once_and_all_are_told(site: Site) -> None:
    boards = site.devices(site.product_id, 40)
    artifact = site.artifact("")
    with httpx.Client(base_url=site.server.url, timeout=30, limits=httpx.Limits(max_connections=50)) as client:

        def poll(board: Board) -> Meanwhile:
            headers = {"Authorization": f"Bearer {board.token}"}
            return Meanwhile(lambda: client.get(NEXT + "?wait=30", headers=headers))

        polls = [poll(board) for board in boards]
        waiters = site.server.app.devices._bell._waiters
        assert eventually(lambda: len(waiters) == 40)
        shipment = site.create(artifact)["id"]
        attempts = {poll.outcome().json()["attempt"] for poll in polls}
    assert len(attempts) == 40
    assert site.states(shipment) == {"offered": 40}
    assert not waiters


def test_a_server_that_is_told_to_stop_does_not_wait_for_those_who_wait(serve: Serve) -> None:
    with ExitStack() as stack:
        with serve() as served:
            site = Site(served, stack)
            [board] = site.devices(site.product_id)
            poll = waiting(site, board, 60)
            began = time.monotonic()
        assert time.monotonic() - began < 20
        poll.join(20)
        assert not poll.is_alive()


def test_the_bell_looks_only_while_somebody_waits(site: Site) -> None:
    looks = []
    bell = site.server.app.devices._bell
    look = bell._look
    bell._look = lambda: looks.append(1) or look()  # type: ignore[func-returns-value]
    try:
        time.sleep(0.6)
        idle = len(looks)
        [board] = site.devices(site.product_id)
        poll = waiting(site, board)
        assert eventually(lambda: len(looks) >= 2)
        site.create(site.artifact(""), [board])
        assert poll.outcome().json()["do"] == "download"
        assert idle == 0
    finally:
        bell._look = look


def test_it_is_held_while_the_device_is_only_to_wait(site: Site) -> None:
    """As a phase waits for its word, or the rollout is paused: it hears at once when it may go on."""
    [board] = site.devices(site.product_id)
    shipment = site.create(site.artifact(""), [board])["id"]
    attempt = site.as_device(board).get(NEXT).json()["attempt"]
    report = {"attempt": attempt, "seq": 1, "event": "downloaded"}
    site.as_device(board).post(REPORTS, json={"reports": [report]})
    site.ask("POST", f"/api/v1/rollouts/{shipment}/pause")
    told = site.as_device(board).get(NEXT).json()
    assert (told["do"], told["poll_after"] > 1) == ("wait", True)
    over = site.as_device(board).get(NEXT + "?wait=1").json()
    assert (over["do"], over["poll_after"]) == ("wait", 1), "it has waited already"
    poll = waiting(site, board)
    began = time.monotonic()
    site.ask("POST", f"/api/v1/rollouts/{shipment}/resume")
    answer: httpx.Response = poll.outcome()
    assert answer.json()["do"] == "install"
    assert time.monotonic() - began < 15

"""A device with a small window: what lies in the server's own buffers has not arrived."""

import socket
import struct
import time

import pytest
from tests.apis.device_ota.conftest import Door
from tests.apis.serving import eventually
from tests.make import image

from airfreight.apis.device_ota.plane import DOWNLOAD

SIZE = 512 * 1024


@pytest.fixture
def line(door: Door) -> socket.socket:
    """Like an ESP32's: segments of 1436 bytes, a window of four."""
    door.upload("1.0.1", image("1.0.1", size=SIZE))
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 5744)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1436)
    made.connect(("127.0.0.1", door.port))
    made.sendall(f"GET {DOWNLOAD}{door.board.uid}{door.board.token} HTTP/1.0\r\n\r\n".encode())
    return made


def take(line: socket.socket, count: int) -> int:
    taken = 0
    while taken < count and (some := line.recv(min(2872, count - taken))):
        taken += len(some)
    return taken


def test_it_is_done_when_the_bytes_have_arrived_and_not_when_they_were_sent(door: Door, line: socket.socket) -> None:
    take(line, 300_000)
    assert eventually(lambda: door.stands() == [("downloading", "")])
    time.sleep(0.3)
    assert door.stands() == [("downloading", "")]
    assert take(line, SIZE) > SIZE - 300_000
    assert eventually(lambda: door.stands() == [("succeeded", "")])
    line.close()


def test_one_that_leaves_before_they_have_arrived_is_not_done(door: Door, line: socket.socket) -> None:
    take(line, 300_000)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()
    assert eventually(lambda: "broken_off" in [row.event for row in door.site.history(door.last().id, door.board)])
    time.sleep(0.5)
    assert door.stands() == [("downloading", "")]

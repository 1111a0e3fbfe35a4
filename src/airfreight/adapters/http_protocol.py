"""uvicorn's HTTP protocol with limits it does not have: on the size of a request's head and on the time it may take.

Without them one client without a token can fill the memory with headers, or hold connections open with half a head.
"""

import asyncio
import fcntl
import sys
import termios
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LARGEST_HEAD = 64 * 1024
_HEAD_SECONDS = 20.0
_REASONS = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}


class BoundedHttp(HttpToolsProtocol):
    """Answers 431 to a head of more than 64 KiB, hangs up on one that takes longer than 20 seconds."""

    _in_head = True
    _head_size = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # a block of a file waits until the kernel has taken all of the one before: a slow client holds little memory
        transport.set_write_buffer_limits(high=0)
        self._extensions: dict[str, Any] = {
            "airfreight.unsent": self._unsent,
            "airfreight.waiting": transport.get_write_buffer_size,
        }
        self._timer = self.loop.call_later(_HEAD_SECONDS, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_size += len(data)
            # What stands behind the head in the same packet is at most one read; a head within the limit is one packet.
            if self._head_size > _LARGEST_HEAD and self._head_size > len(data):
                self._refuse(431, "The request's head is larger than 64 KiB.", "head_too_large")
                return
        super().data_received(data)
        if self._in_head and self._head_size and self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(_HEAD_SECONDS, self.transport.close)

    def on_headers_complete(self) -> None:
        self._in_head, self._head_size = False, 0
        self._stop_timer()
        self.scope["extensions"] = self._extensions
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        super().on_message_complete()

    def _unsent(self) -> int:
        """How many bytes of what was sent the client's side has not acknowledged yet; 0 where nobody can say."""
        waiting = self.transport.get_write_buffer_size()
        try:
            descriptor = self.transport.get_extra_info("socket").fileno()
            queued = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0")
        except (OSError, AttributeError, ValueError):
            return waiting
        return waiting + int.from_bytes(queued, sys.byteorder)

    def send_400_response(self, msg: str) -> None:
        """What httptools cannot read, answered in the one error shape."""
        self._refuse(400, msg, "bad_http")

    def _refuse(self, status: int, message: str, code: str) -> None:
        body = b'{"error":{"message":"' + message.encode("ascii") + b'"}}'
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\nx-error-code: %s\r\nconnection: close\r\n"
            b"content-length: %d\r\n\r\n%s" % (status, _REASONS[status], code.encode(), len(body), body)
        )
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

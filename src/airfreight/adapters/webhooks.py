"""Messages to webhooks over HTTP/1.1: one connection per line, nothing followed, nothing believed, everything bounded.

Rule: the addresses of a name are looked up once, all are checked, and the connection goes to one that was checked.
Plain blocking sockets: a request costs some microseconds here, and a tenth of a millisecond and more in a client for
everything.
"""

import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache

import httptools

from airfreight.domain.addresses import Address, Network, all_allowed, read_address
from airfreight.domain.webhooks import Endpoint, Place, Trouble
from airfreight.ports import Posted

TOTAL_SECONDS = 10.0
CONNECT_SECONDS = 5.0
"""With the look-up of the name."""
BODY_SECONDS = 2.0
"""A receiver has answered with the head of its answer; its body is a courtesy."""
_LONGEST_HEAD = 16_384
_LONGEST_BODY = 4_096
_KEPT_CHARACTERS = 500
_MOST_ADDRESSES = 4
_LONGEST_RETRY_AFTER = 64
_MOST_LOOK_UPS = 64
"""At the same time, in a process, those included that nobody waits for any more."""


class HttpPoster:
    """Opens lines to public addresses, and to those in the networks that are `allowed`."""

    def __init__(self, allowed: Sequence[Network], agent: str) -> None:
        self._allowed = tuple(allowed)
        self._agent = agent

    def open(self, endpoint: Endpoint) -> "HttpLine":
        """See ports.Poster."""
        return HttpLine(endpoint, self._allowed, self._agent)


class _NotTakenError(Exception):
    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble)
        self.trouble = trouble


class _StaleError(Exception):
    """A connection that was kept open had been closed by the receiver: it has not seen this message."""


class HttpLine:
    """See ports.PostLine."""

    def __init__(self, endpoint: Endpoint, allowed: Sequence[Network], agent: str) -> None:
        self._endpoint = endpoint
        self._allowed = allowed
        self._socket: socket.socket | None = None
        lines = [
            f"POST {endpoint.place.path} HTTP/1.1",
            f"Host: {endpoint.place.authority}",
            f"User-Agent: {agent}",
            "Accept-Encoding: identity",
            "Content-Type: application/json",
        ]
        if endpoint.authorization:
            lines.append(f"Authorization: {endpoint.authorization}")
        self._head = "\r\n".join(lines)

    def post(self, headers: Mapping[str, str], body: bytes) -> Posted:
        """See ports.PostLine."""
        more = "".join(f"\r\n{name}: {value}" for name, value in headers.items())
        request = f"{self._head}{more}\r\nContent-Length: {len(body)}\r\n\r\n".encode("ascii") + body
        deadline = time.monotonic() + TOTAL_SECONDS
        try:
            try:
                return self._exchange(request, deadline)
            except _StaleError:
                self.close()
                return self._exchange(request, deadline)
        except _NotTakenError as error:
            self.close()
            return Posted(0, error.trouble)

    def close(self) -> None:
        """See ports.PostLine."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, request: bytes, deadline: float) -> Posted:
        """One request and its answer. Raises _NotTakenError, _StaleError."""
        if self._socket is not None and _has_something_to_say(self._socket):
            self.close()  # closed meanwhile; or an answer that nobody asked for, which must not become the next one's
        is_new = self._socket is None
        connected = self._socket or self._connect(deadline)
        self._socket = connected
        answer = _Answer()
        try:
            connected.settimeout(_left(deadline))
            connected.sendall(request)
            answer.read(connected, deadline)
        except TimeoutError:
            raise _NotTakenError(Trouble.TIMEOUT) from None
        except httptools.HttpParserError:
            raise _NotTakenError(Trouble.NOT_HTTP) from None
        except OSError:
            if not is_new and not answer.has_begun:
                raise _StaleError from None
            raise _NotTakenError(Trouble.CLOSED) from None
        if not answer.can_go_on:
            self.close()
        return answer.judged()

    def _connect(self, deadline: float) -> socket.socket:
        """Raises _NotTakenError."""
        place = self._endpoint.place
        until = min(deadline, time.monotonic() + CONNECT_SECONDS)
        addresses = _looked_up(place, until)
        if not all_allowed(addresses, self._allowed):
            raise _NotTakenError(Trouble.ADDRESS_NOT_ALLOWED)
        trouble = Trouble.NO_CONNECTION
        for number, address in enumerate(addresses[:_MOST_ADDRESSES]):
            try:
                share = _left(until) / (min(len(addresses), _MOST_ADDRESSES) - number)
                plain = _connected(address, place.port, share)
            except TimeoutError:
                trouble = Trouble.TIMEOUT
            except OSError:
                trouble = Trouble.NO_CONNECTION
            else:
                return plain if place.scheme == "http" else self._secured(plain, until)
        raise _NotTakenError(trouble)

    def _secured(self, plain: socket.socket, until: float) -> ssl.SSLSocket:
        """Raises _NotTakenError."""
        try:
            plain.settimeout(_left(until))
            context = _context(self._endpoint.certificate)
            return context.wrap_socket(plain, server_hostname=self._endpoint.place.host.removesuffix("."))
        except TimeoutError:
            plain.close()
            raise _NotTakenError(Trouble.TIMEOUT) from None
        except (OSError, ValueError):  # an SSLError is an OSError
            plain.close()
            raise _NotTakenError(Trouble.TLS) from None


class _Answer:
    """What a receiver says to one request; the parser calls the `on_` methods."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._body = b""
        self._retry_after = ""
        self._is_done = False
        self._is_whole = True
        self._is_kept = False
        self.has_begun = False

    @property
    def can_go_on(self) -> bool:
        """Whether another request can follow on the same connection."""
        return self._is_done and self._is_whole and self._is_kept

    def judged(self) -> Posted:
        words = self._body.decode(errors="replace")[:_KEPT_CHARACTERS]
        shown = "".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in words)
        if 200 <= self._status < 300:
            return Posted(self._status, None, shown)
        trouble = Trouble.REDIRECT if 300 <= self._status < 400 else Trouble.STATUS
        return Posted(self._status, trouble, shown, self._retry_after)

    def read(self, connected: socket.socket, deadline: float) -> None:
        """Until it is whole, or more than anybody needs. Raises OSError, HttpParserError before there is a status."""
        head = 0
        while not self._status:
            connected.settimeout(_left(deadline))
            data = connected.recv(_LONGEST_HEAD)
            if not data:
                raise ConnectionError("closed without an answer")
            self.has_begun = True
            self._feed(data)
            head += len(data)
            if head > _LONGEST_HEAD and not self._status:
                raise httptools.HttpParserError("a head without an end")
        if not self._is_done:
            with suppress(OSError):
                self._read_body(connected, min(deadline, time.monotonic() + BODY_SECONDS))

    def _read_body(self, connected: socket.socket, deadline: float) -> None:
        """Raises OSError when it does not come to its end."""
        while not self._is_done and len(self._body) < _LONGEST_BODY:
            connected.settimeout(_left(deadline))
            data = connected.recv(_LONGEST_BODY)
            if not data:
                return
            self._feed(data)

    def _feed(self, data: bytes) -> None:
        """What is wrong behind the status spoils the connection, not the answer."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._status:
                raise httptools.HttpParserError("not an answer") from error
            self._is_done, self._is_whole = True, False

    def on_message_begin(self) -> None:
        if self._is_done:
            self._is_whole = False
        elif not self._status:
            self._retry_after = ""  # of an interim answer

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status and name.lower() == b"retry-after":
            self._retry_after = value[:_LONGEST_RETRY_AFTER].decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if not self._is_done and status >= 200:
            self._status = status

    def on_body(self, data: bytes) -> None:
        if not self._is_done:
            self._body += data[: _LONGEST_BODY - len(self._body)]

    def on_message_complete(self) -> None:
        if self._status and not self._is_done:
            self._is_done, self._is_kept = True, self._parser.should_keep_alive()


def _left(deadline: float) -> float:
    """Seconds. Raises TimeoutError when there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _has_something_to_say(connected: socket.socket) -> bool:
    """Whether a connection at rest has been closed or spoken on. Not known under TLS, which speaks by itself."""
    if isinstance(connected, ssl.SSLSocket):
        return False
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return bool(poll.poll(0))


def _looked_up(place: Place, until: float) -> list[Address]:
    """All addresses of the host, each once. Raises _NotTakenError."""
    literal = read_address(place.host)
    if literal is not None:
        return [literal]
    found = _told(place, until)
    if found is None:
        raise _NotTakenError(Trouble.NO_SUCH_HOST)
    addresses = [read_address(one) for one in found]
    if None in addresses:  # with a zone: of this machine's own link
        raise _NotTakenError(Trouble.ADDRESS_NOT_ALLOWED)
    return list(dict.fromkeys(one for one in addresses if one is not None))


_looking_up = threading.Semaphore(_MOST_LOOK_UPS)


def _told(place: Place, until: float) -> list[str] | None:
    """What the system's resolver says, None for a name that nobody has. Raises _NotTakenError when it says nothing.

    It cannot be told how long to try, nor to stop: a thread asks it, and is left behind when the time is over.
    """
    answers: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
            answers.put([str(one[4][0]) for one in found])
        except (OSError, UnicodeError):
            answers.put(None)
        finally:
            _looking_up.release()

    if not _looking_up.acquire(timeout=max(0.0, until - time.monotonic())):
        raise _NotTakenError(Trouble.TIMEOUT)
    try:
        threading.Thread(target=ask, name="webhook-name", daemon=True).start()
    except RuntimeError:  # no more threads for this process
        _looking_up.release()
        raise _NotTakenError(Trouble.TIMEOUT) from None
    try:
        return answers.get(timeout=max(0.0, until - time.monotonic()))
    except queue.Empty:
        raise _NotTakenError(Trouble.TIMEOUT) from None


def _connected(address: Address, port: int, seconds: float) -> socket.socket:
    """Raises OSError."""
    plain = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.settimeout(seconds)
        plain.connect((str(address), port))
    except OSError:
        plain.close()
        raise
    return plain


@lru_cache(maxsize=64)
def _context(certificate: str) -> ssl.SSLContext:
    """TLS 1.2 or newer, verified: against this certificate alone, or against the system's authorities."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if certificate:
        context.load_verify_locations(cadata=certificate)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    else:
        context.load_default_certs()
    return context

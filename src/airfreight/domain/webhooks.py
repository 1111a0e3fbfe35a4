"""Words of webhooks: where messages go, what becomes of one, and when it is tried again. Pure."""

import re
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum

from airfreight.domain.addresses import read_address
from airfreight.domain.ids import Millis

FIRST_PAUSE_MS = 5_000
LONGEST_PAUSE_MS = 3_600_000
GONE = 410
"""The status of a receiver that will never take this message: it is not tried again."""
BUSY = frozenset({429, 503})
"""Statuses with which a receiver may say when to come again."""
JITTER = 0.2
"""A pause is up to this share longer or shorter, so that lines that broke together do not come back together."""


class MessageState(StrEnum):
    """Of one message to one destination. Dead ones wait for somebody to send them again."""

    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"


class Trouble(StrEnum):
    """Why a message was not taken."""

    NO_SUCH_HOST = "no_such_host"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    NO_CONNECTION = "no_connection"
    TLS = "tls"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    NOT_HTTP = "not_http"
    REDIRECT = "redirect"
    STATUS = "status"
    UNREADABLE_SECRET = "unreadable_secret"  # noqa: S105 - the name of a trouble


@dataclass(frozen=True, slots=True)
class Place:
    """The parts of a destination's URL; `host` without brackets, `path` with its query."""

    scheme: str
    host: str
    port: int
    path: str = "/"

    @property
    def authority(self) -> str:
        """As it stands in a URL and in the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    def same_server(self, other: "Place") -> bool:
        """Whether what is known to that server may be told to this one."""
        return (self.scheme, self.host, self.port) == (other.scheme, other.host, other.port)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A place and how to speak there. No `certificate`: the system's authorities; no `authorization`: none is sent."""

    place: Place
    certificate: str = ""
    authorization: str = field(default="", repr=False)


PORTS = {"http": 80, "https": 443}
LONGEST_PATH = 1000

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>\[(?=[^\]]*:)[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?(?P<path>/[^\s]*)?",
    re.ASCII | re.IGNORECASE,
)
_PATH = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*", re.ASCII)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,20}", re.ASCII)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


def read_url(url: str) -> Place | None:
    """The parts of a URL, parsed once and strictly; None for what is none, or could be read in two ways.

    Refused: any other scheme, names and passwords, fragments, backslashes, spaces, hosts not in ASCII, hosts that only
    some programs take for numbers (0x7f.1, 2130706433). Source: the security reference, section 7.
    """
    found = _URL.fullmatch(url)
    if found is None:
        return None
    scheme = found["scheme"].lower()
    port = int(found["port"]) if found["port"] else PORTS[scheme]
    return place_of(scheme, found["host"].removeprefix("[").removesuffix("]"), port, found["path"] or "/")


def place_of(scheme: str, host: str, port: int, path: str) -> Place | None:
    """The same from parts; None when one of them is wrong."""
    host = host.lower()
    if scheme not in PORTS or not is_port(port) or not is_host(host):
        return None
    if len(path) > LONGEST_PATH or not _PATH.fullmatch(path):
        return None
    return Place(scheme, host, port, path)


def is_port(port: int) -> bool:
    """80, 443, or one that no well-known service of another kind listens at."""
    return port in PORTS.values() or 1024 <= port <= 65_535


def is_host(host: str) -> bool:
    """A name, or an address as it is usually written."""
    if ":" in host:
        return read_address(host) is not None
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return read_address(host) is not None
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)


def pause_ms(attempts: int, luck: float) -> int:
    """How long to wait after the try of this number (1..); `luck` is 0 to 1."""
    plain = min(FIRST_PAUSE_MS * 2 ** min(attempts - 1, 20), LONGEST_PAUSE_MS)
    return int(plain * (1 + JITTER * (2 * luck - 1)))


def asked_pause_ms(retry_after: str, now: Millis) -> int:
    """How long a receiver asks to be left alone, LONGEST_PAUSE_MS at most; 0 when it does not say, or says nonsense.

    `retry_after`: seconds, or a date of HTTP. Source: RFC 9110, section 10.2.3.
    """
    words = retry_after.strip()
    if _SECONDS.fullmatch(words):
        asked = int(words) * 1000
    else:
        try:
            at = parsedate_to_datetime(words)
            asked = int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000) - now
        except (ValueError, OverflowError):
            return 0
    return max(0, min(asked, LONGEST_PAUSE_MS))

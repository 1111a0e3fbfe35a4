"""Addresses of this door, and who knocks at them. Pure. Source: the DDI reference, 1 to 3."""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from airfreight.apis.common.asgi import Scope, header
from airfreight.apis.ddi.wire import Problem
from airfreight.services.credentials import Keyring
from airfreight.services.visits import Knock, check_uid

MARK = "/controller/v1/"
"""What every address of this door has after the name of the organization, and none of another door has."""

_LONGEST_TOKEN = 200
_MOST_AUTHORITIES = 100
_NAME = re.compile(r"[ -~]+")
"""Not other letters: some have one of these as their upper case."""
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")
"""What is the same when it is quoted: nearly every name and id."""

_NUMBER = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)
_NUMBERED = b"x-authority-"


@dataclass(frozen=True, slots=True)
class Address:
    """`name` of the organization, in upper case; `uid` of the device; `rest`: the parts behind it, decoded."""

    name: str
    uid: str
    rest: tuple[str, ...]

    @property
    def path(self) -> str:
        """The device's own."""
        return f"/{_quoted(self.name)}{MARK}{_quoted(self.uid)}"


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote(text, safe="")


def address_of(scope: Scope) -> Address:
    """Raises Problem(404) for one that nothing could be at, Refusal(INVALID) for an id that no device can have."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    path = raw.partition(b"?")[0]
    try:
        if b"%" in path:
            parts = [unquote_to_bytes(part).decode() for part in path.split(b"/")]
        else:
            parts = path.decode().split("/")
    except UnicodeDecodeError:
        raise Problem(404) from None
    if len(parts) < 5 or parts[2:4] != ["controller", "v1"] or not _NAME.fullmatch(parts[1]) or not parts[4]:
        raise Problem(404)
    check_uid(parts[4])
    return Address(parts[1].upper(), parts[4], tuple(parts[5:]))


def number_of(text: str) -> int:
    """The id of an action or a software module. Raises Problem(404) for what none has."""
    if not _NUMBER.fullmatch(text) or int(text) >= 2**31:
        raise Problem(404)
    return int(text)


def knock_of(scope: Scope, address: Address, keyring: Keyring, *, is_proxied: bool) -> Knock:
    """Who this is and how they prove it; `is_proxied`: a trusted proxy has passed the request on."""
    scheme, _, token = (header(scope, b"authorization") or "").partition(" ")
    digest = keyring.digest(token) if 0 < len(token) <= _LONGEST_TOKEN else b""
    return Knock(
        address.name,
        address.uid,
        token=digest if scheme == "TargetToken" else b"",
        key=digest if scheme == "GatewayToken" else b"",
        authorities=_authorities(scope, address.uid) if is_proxied else (),
    )


def _authorities(scope: Scope, uid: str) -> tuple[str, ...]:
    """What the proxy says of the certificate that it has checked, if it is of this device."""
    if [value for name, value in scope["headers"] if name == b"x-controller-id"] != [uid.encode()]:
        return ()  # also where the client has sent one of its own
    values = [
        str(value, "latin-1")
        for name, value in scope["headers"]
        if name == b"x-authority" or (name.startswith(_NUMBERED) and name.removeprefix(_NUMBERED).isdigit())
    ]
    words = [word.strip().lower() for value in values for word in re.split("[;,]", value, maxsplit=_MOST_AUTHORITIES)]
    return tuple(word for word in words if word)[:_MOST_AUTHORITIES]

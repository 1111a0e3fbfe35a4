"""Who a device is at which server: a token, got once with an enrollment key and kept in a file only its owner reads."""

import fcntl
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from airfreight_agent.client import enroll
from airfreight_agent.protocol import Attribute, ProtocolError, RefusedError
from airfreight_agent.state import write_durably


class IdentityError(Exception):
    """The device has no token and cannot get one by trying again; the message says what to do."""


class BusyError(Exception):
    """Another agent works in the folder."""


@dataclass(frozen=True, slots=True)
class Enrollment:
    """What a device without a token shows to get one. `product` is an id or a name."""

    key: str
    uid: str
    product: str


def claim(directory: Path) -> int:
    """Make `directory` this process's own until it ends, and return the lock. Raises BusyError, and OSError for
    a folder that cannot be used.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BusyError(f"another agent works in {directory}") from None
    return lock


def server_of(directory: Path) -> str | None:
    """The address of the server where this device was enrolled."""
    return _noted(directory / "server")


def uid_of(directory: Path) -> str | None:
    """Who this device was enrolled as, if that is known."""
    return _noted(directory / "uid")


def remember(directory: Path, server: str, uid: str) -> None:
    """Where it was enrolled, and as whom. Raises OSError."""
    write_durably(directory / "uid", uid.encode(errors="replace"))
    write_durably(directory / "server", server.encode())


def has_token(directory: Path) -> bool:
    return _noted(directory / "token") is not None


def _noted(path: Path) -> str | None:
    return path.read_text().strip() or None if path.exists() else None


def token_of(
    directory: Path, http: httpx.Client, enrollment: Enrollment | None, attributes: Mapping[str, Attribute]
) -> str:
    """The stored token, or a new one by enrolling. Raises IdentityError, and what `client.enroll` raises."""
    path = directory / "token"
    if token := _noted(path):
        return token
    if enrollment is None:
        raise IdentityError("this device has no token: give --token, or --enroll-key with --uid and --product")
    hint = "; have its token rotated and give the new one with --token"
    token = _enrolled(http, enrollment, attributes, hint)
    if not token.isascii() or not token.isprintable():
        raise ProtocolError("a token that cannot be sent back")
    write_durably(path, token.encode())
    return token


def enroll_thing(http: httpx.Client, enrollment: Enrollment, parent: str, attributes: Mapping[str, Attribute]) -> None:
    """Make a thing behind `parent` known, who speaks for it: there is no token to keep. Raises as `token_of`."""
    _enrolled(http, enrollment, attributes, "", parent)


def _enrolled(
    http: httpx.Client, enrollment: Enrollment, attributes: Mapping[str, Attribute], hint: str, parent: str = ""
) -> str:
    try:
        return enroll(http, enrollment.key, enrollment.uid, enrollment.product, attributes, parent)
    except RefusedError as error:
        if error.status == httpx.codes.CONFLICT and error.code in ("", "uid_taken"):
            raise IdentityError(f"{enrollment.uid} is enrolled already{hint}") from error
        raise IdentityError(f"the server does not enroll {enrollment.uid}: {error}") from error

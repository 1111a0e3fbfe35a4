"""URLs of files for devices that can send no headers: a token in the query, for one attempt and a limited time.

The token needs no row: 24 bytes (the attempt, the second it ends, half an HMAC over both and the path) in 32
characters. It is good as long as the attempt is. Source: the Shipments reference, 6.2 and 6.3.
"""

import base64
import binascii
import struct
from typing import Any

from sqlalchemy import Connection

from airfreight.domain.decide import Do
from airfreight.domain.delivery import THE_SIX, State
from airfreight.domain.ids import Millis
from airfreight.services import credentials, deliveries
from airfreight.services.credentials import Keyring
from airfreight.settings import Settings
from airfreight.store import artifacts

LONGEST = 239
"""Devices keep the URL in a buffer of 256 bytes, with what comes before it."""

_HEAD = struct.Struct(">II")
_MAC = 16


def for_device(file: Any, settings: Settings, keyring: Keyring, now: Millis) -> str:  # noqa: ANN401 - a row
    """The URL for the attempt that `file` (a row of artifacts.carried_under) was found by.

    `s` comes last and tells device libraries whether TLS is meant: some change the scheme to their liking without it.
    """
    scheme, _, host = settings.public_url.rstrip("/").partition("://")
    scheme = "https" if file.secure else scheme
    token = _token(keyring, file.attempt_id, now // 1000 + settings.download_seconds, file.path)
    return f"{scheme}://{file.host or host}{file.path}?token={token}&s={int(scheme == 'https')}"


def find(connection: Connection, keyring: Keyring, path: str, token: str, now: Millis) -> Any:  # noqa: ANN401 - a row or None
    """The file behind a URL while its device may have it: the token is good and not over, the attempt is under way.
    None otherwise, whatever is wrong. Whether one that has not begun may begin now, `may_begin` says.
    """
    try:
        raw = base64.b64decode(token.encode("ascii"), b"-_", validate=True)
        attempt_id, ends = _HEAD.unpack_from(raw)
    except (binascii.Error, ValueError, struct.error):
        return None
    if not credentials.same(_token(keyring, attempt_id, ends, path).encode(), token.encode()) or now >= ends * 1000:
        return None
    file = artifacts.carried_under(connection, attempt_id)
    if file is None or file.path != path or file.delivery_state not in THE_SIX:
        return None
    return file


def may_begin(connection: Connection, file: Any, now: Millis) -> bool:  # noqa: ANN401 - a row
    """Whether its device may begin, or go on: not while the rollout is paused or stopped, or the window closed."""
    if file.delivery_state != State.OFFERED:
        return True
    told = deliveries.look(connection, [file.device_id], now).get(file.device_id)
    if told is None or told.row is None or told.attempt_id != file.attempt_id:
        return False
    return told.decision.do is Do.DOWNLOAD or told.row.state != State.OFFERED  # or it has begun just now


def _token(keyring: Keyring, attempt_id: int, ends: int, path: str) -> str:
    mac = keyring.digest(f"file:{attempt_id}:{ends}:{path}")[:_MAC]
    return base64.urlsafe_b64encode(_HEAD.pack(attempt_id, ends) + mac).decode()

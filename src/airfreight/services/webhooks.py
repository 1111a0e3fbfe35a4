"""Webhooks: where an organization wants to be told things, and the messages to there.

Rule: secrets go in and never come out; only a new signing secret is shown, once. `say` is how other services tell.
"""

import base64
import json
import secrets
import ssl
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Connection

from airfreight.domain.access import Permission
from airfreight.domain.addresses import is_allowed, read_address
from airfreight.domain.errors import conflict, invalid, not_found
from airfreight.domain.ids import Millis, is_uid
from airfreight.domain.webhooks import MessageState, Place, place_of, read_url
from airfreight.services.call import Call
from airfreight.store import webhooks as store

MOST = 1000
"""Webhooks of one organization."""
MOST_BODY = 65_536
LONGEST_CERTIFICATE = 16_384
_OVERLAP_MS = 86_400_000
_AT_ONCE = 1000
_LOCAL = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


@dataclass(frozen=True, slots=True)
class Saying:
    """A message to be sent: `body` is sent as it is, as JSON; the ids are for the log."""

    kind: str
    body: Mapping[str, object]
    rollout_id: int | None = None
    device_id: int | None = None


def say(
    connection: Connection,
    destination_id: int,
    kind: str,
    body: Mapping[str, object],
    now: Millis,
    *,
    rollout_id: int | None = None,
    device_id: int | None = None,
) -> bool:
    """Put one message into the line to a destination, in the transaction of the fact that it tells; see `say_all`."""
    return say_all(connection, destination_id, [Saying(kind, body, rollout_id, device_id)], now)


def say_all(connection: Connection, destination_id: int, sayings: Sequence[Saying], now: Millis) -> bool:
    """Many at once, sent in this order; False (and nothing is said) when there is no such destination any more.

    Order among transactions: what is said after the row that it is about was written comes after all that was said
    about it before. Raises ValueError for a body of more than MOST_BODY bytes: callers bound what they put into it.
    """
    rows = []
    for one in sayings:
        body = json.dumps(one.body, separators=(",", ":"))
        if len(body) > MOST_BODY:
            raise ValueError(f"a message of kind {one.kind} has {len(body)} bytes, more than {MOST_BODY}")
        ids = {"rollout_id": one.rollout_id, "device_id": one.device_id}
        rows.append({"kind": one.kind, "body": body, "created_at": now, "due_at": now, **ids})
    return store.add_messages(connection, destination_id, rows)


def create(
    call: Call,
    *,
    name: str,
    place: Place,
    description: str = "",
    username: str = "",
    password: str = "",
    certificate: str = "",
    signed: bool = True,
) -> tuple[Any, str]:
    """A new destination, and its signing secret, which cannot be had again (empty unless `signed`).

    Raises INVALID, CONFLICT when there are too many.
    """
    call.need(Permission.WEBHOOK_EDIT)
    _check_place(call, place)
    if store.count(call.connection, call.organization_id) >= MOST:
        raise conflict(f"There are {MOST} webhooks already. Delete some that nobody needs.", "too_many_webhooks")
    uid = str(uuid.uuid4())
    secret = _new_secret() if signed else ""
    values = {
        "organization_id": call.organization_id,
        "uid": uid,
        "name": name,
        "description": description,
        **_located(place),
        **_signing_in(call, uid, username, password),
        "certificate": _read_certificate(certificate, place),
        "secret": call.keyring.seal(secret, secret_place(uid)) if signed else None,
        "created_by": call.principal.name[:254],
        "created_at": call.now,
        "changed_by": call.principal.name[:254],
        "changed_at": call.now,
    }
    return store.add(call.connection, values), secret


def search(call: Call, *, after: int, limit: int) -> list[Any]:
    call.need(Permission.WEBHOOK_VIEW)
    return store.listed(call.connection, call.organization_id, after=after, limit=limit)


def paged(call: Call, *, skip: int, limit: int) -> tuple[list[Any], int]:
    """One page of them, and how many there are."""
    call.need(Permission.WEBHOOK_VIEW)
    return store.paged(call.connection, call.organization_id, skip=skip, limit=limit)


def get(call: Call, destination_id: int, *, need: Permission = Permission.WEBHOOK_VIEW) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND."""
    call.need(need)
    return _find(call, destination_id)[1]


def destination_of(call: Call, uid: str, need: Permission) -> Any:  # noqa: ANN401 - a row
    """The destination with this uid, for another verb that has its own permission. Raises NOT_FOUND."""
    call.need(need)
    row = store.find_by_uid(call.connection, call.organization_id, uid) if is_uid(uid) else None
    if row is None:
        raise not_found("Webhook")
    return row


def change(
    call: Call,
    destination_id: int,
    *,
    name: str | None = None,
    description: str | None = None,
    place: Place | None = None,
    username: str | None = None,
    password: str | None = None,
    certificate: str | None = None,
) -> Any:  # noqa: ANN401 - a row
    """Change what is not None; an empty `username` or `certificate` takes it away. Raises NOT_FOUND, INVALID.

    A password that is kept is not told to another server: with another scheme, host or port it has to be sent again.
    """
    call.need(Permission.WEBHOOK_EDIT)
    home, row = _find(call, destination_id, lock=True)
    before = place_of_row(row)
    after = place or before
    values: dict[str, object] = {"changed_by": call.principal.name[:254], "changed_at": call.now}
    if name is not None:
        values["name"] = name
    if description is not None:
        values["description"] = description
    if place is not None:
        _check_place(call, place)
        values |= _located(place)
    user = row.username if username is None else username
    if user and password is None and row.password is not None and not after.same_server(before):
        raise invalid("password is needed again: it is not told to another server by itself.", "password_needed")
    if password is not None or user != row.username:
        values |= _changed_signing_in(home, row, user, password)
    if certificate is not None or place is not None:
        kept = row.certificate if certificate is None else certificate
        values["certificate"] = _read_certificate(kept, after)
    return store.change(call.connection, row.id, values)


def rotate_secret(call: Call, destination_id: int) -> tuple[Any, str]:
    """A new signing secret, shown this once; for a day the one before signs messages, too. Raises NOT_FOUND."""
    call.need(Permission.WEBHOOK_EDIT)
    _, row = _find(call, destination_id, lock=True)
    secret = _new_secret()
    values = {
        "secret": call.keyring.seal(secret, secret_place(row.uid)),
        "old_secret": row.secret,
        "old_secret_until": call.now + _OVERLAP_MS,
        "changed_by": call.principal.name[:254],
        "changed_at": call.now,
    }
    return store.change(call.connection, row.id, values), secret


def delete(call: Call, destination_id: int) -> None:
    """Its messages go with it, those that wait too. Raises NOT_FOUND."""
    call.need(Permission.WEBHOOK_EDIT)
    _, row = _find(call, destination_id, lock=True)
    store.bury(call.connection, row.id, call.now)
    store.purge(call.connection, row.id, _AT_ONCE)


def messages(call: Call, destination_id: int, *, state: MessageState | None, after: int, limit: int) -> list[Any]:
    """The log: what was and is to be sent there, the oldest first. Raises NOT_FOUND."""
    call.need(Permission.WEBHOOK_VIEW)
    _, row = _find(call, destination_id)
    return store.messages_listed(call.connection, row.id, state=state, after=after, limit=limit)


def replay(call: Call, destination_id: int, message_id: int) -> Any:  # noqa: ANN401 - a row
    """Send a message again, before all that is newer. Raises NOT_FOUND, CONFLICT for one that waits anyway."""
    call.need(Permission.WEBHOOK_EDIT)
    _, row = _find(call, destination_id)
    if store.message(call.connection, row.id, message_id) is None:
        raise not_found("Message")
    if not store.revive(call.connection, row.id, call.now, message_id):
        raise conflict("The message is waiting to be sent already.", "message_waiting")
    return store.message(call.connection, row.id, message_id)


def replay_all(call: Call, destination_id: int) -> int:
    """Send all dead messages again, in their order; how many. Raises NOT_FOUND."""
    call.need(Permission.WEBHOOK_EDIT)
    _, row = _find(call, destination_id)
    return store.revive(call.connection, row.id, call.now)


def place_of_row(row: Any) -> Place:  # noqa: ANN401 - a row
    return Place(row.scheme, row.host, row.port, row.path)


def place_of_url(url: str) -> Place:
    """Raises INVALID."""
    place = read_url(url)
    if place is None:
        raise invalid(
            "url must be https://host/path (or http://), in ASCII, without a user name, a password or a fragment; "
            "port 80, 443 or 1024 to 65535.",
            "bad_url",
        )
    return place


def place_of_parts(scheme: str, host: str, port: int, path: str) -> Place:
    """Raises INVALID."""
    place = place_of(scheme, host.removeprefix("[").removesuffix("]"), port, path)
    if place is None:
        raise invalid(
            "host must be a name in ASCII or an address, port 80, 443 or 1024 to 65535, and a path begins with /.",
            "bad_url",
        )
    return place


def password_place(uid: str) -> str:
    return f"webhook {uid} password"


def secret_place(uid: str) -> str:
    return f"webhook {uid} secret"


def _find(call: Call, destination_id: int, *, lock: bool = False) -> tuple[Call, Any]:
    """The destination, and the call at its organization: the caller's or one below it."""
    home = call.at(store.home(call.connection, destination_id), "Webhook")
    row = store.find(call.connection, destination_id, lock=lock)
    if row is None:
        raise not_found("Webhook")
    return home, row


def _check_place(call: Call, place: Place) -> None:
    """What can be known without asking a name server; every sending asks. Raises INVALID."""
    literal = read_address(place.host)
    name = place.host.removesuffix(".")
    meant = _LOCAL if name == "localhost" or name.endswith(".localhost") else (literal,) if literal else ()
    if meant and not any(is_allowed(one, call.settings.webhook_networks) for one in meant):
        raise invalid(
            "The address is private, local or reserved. An administrator of the server can allow its network "
            "(AIRFREIGHT_WEBHOOK_ALLOW).",
            "address_not_allowed",
        )


def _located(place: Place) -> dict[str, object]:
    return {"scheme": place.scheme, "host": place.host, "port": place.port, "path": place.path}


def _signing_in(call: Call, uid: str, username: str, password: str) -> dict[str, object]:
    """Raises INVALID unless both are given, or none."""
    if bool(username) != bool(password):
        raise invalid("username and password go together: send both or none.", "bad_login")
    if ":" in username:
        raise invalid("username cannot have a colon.", "bad_login")
    return {
        "username": username,
        "password": call.keyring.seal(password, password_place(uid)) if password else None,
    }


def _changed_signing_in(call: Call, row: Any, username: str, password: str | None) -> dict[str, object]:  # noqa: ANN401
    if not username and password is None:
        return {"username": "", "password": None}
    if password is None and row.password is not None and ":" not in username:
        return {"username": username}
    return _signing_in(call, row.uid, username, password or "")


def _read_certificate(text: str, place: Place) -> str:
    """The certificates in it and nothing else. Raises INVALID."""
    if not text:
        return ""
    if place.scheme != "https":
        raise invalid("certificate is for https only.", "bad_certificate")
    if "PRIVATE KEY" in text:
        raise invalid("certificate has a private key in it. Send the certificates alone.", "bad_certificate")
    try:
        found = x509.load_pem_x509_certificates(text.encode())
        clean = "".join(one.public_bytes(Encoding.PEM).decode() for one in found)
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=clean)
    except (ValueError, ssl.SSLError):
        raise invalid("certificate must be one or more certificates in PEM.", "bad_certificate") from None
    return clean


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()

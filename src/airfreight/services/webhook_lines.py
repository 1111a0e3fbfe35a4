"""Sending what webhooks are told: which line is next, what is in it, what became of it. The worker does the sending.

A line is worked at by one process at a time, its holder; who does not say again that it holds it loses it.
"""

import base64
import hashlib
import hmac
import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airfreight.domain.access import Permission
from airfreight.domain.ids import Millis
from airfreight.domain.webhooks import BUSY, GONE, Endpoint, MessageState, Trouble, asked_pause_ms, pause_ms
from airfreight.ports import Posted
from airfreight.services import webhooks
from airfreight.services.call import Call
from airfreight.services.credentials import Keyring, SealError
from airfreight.settings import Settings
from airfreight.store import webhooks as store
from airfreight.store.database import Database

HELD_MS = 15_000
RUN = 200
"""Messages that are read, sent and marked together."""
_PURGED, _FORGOTTEN = 1000, 1000
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message; `id` is the same each time it is sent, also when somebody sends it again."""

    row_id: int
    id: str
    body: bytes
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """The first messages of a line, and how to send them. With a `trouble` they cannot be sent."""

    uid: str
    endpoint: Endpoint
    keys: tuple[bytes, ...] = field(repr=False)
    messages: tuple[Outgoing, ...] = ()
    trouble: Trouble | None = None


def claim(database: Database, settings: Settings, holder: str, now: Millis, limit: int) -> list[int]:
    """Take up to `limit` lines in which something is due (the ids of their destinations), and hold the others longer.

    One organization has half of all senders at most, so that receivers of its that never answer delay no others.
    """
    most = max(1, settings.webhook_senders * settings.workers // 2)
    with database.read() as connection:
        found = store.due(connection, now, most=most, limit=10 * limit)
        busy = Counter(store.held(connection, now)) if found else Counter()
    chosen: list[int] = []
    for row in found:
        if busy[row.organization_id] < most and len(chosen) < limit:
            busy[row.organization_id] += 1
            chosen.append(row.id)
    if not chosen:
        return []
    with database.write() as connection:
        store.hold(connection, holder, now + HELD_MS)
        return store.take(connection, chosen, holder=holder, now=now, until=now + HELD_MS)


def hold(database: Database, holder: str, now: Millis) -> None:
    """This process is still at its lines."""
    with database.write() as connection:
        store.hold(connection, holder, now + HELD_MS)


def leave(database: Database, destination_id: int, holder: str) -> None:
    """Others may go on with this line."""
    with database.write() as connection:
        store.leave(connection, destination_id, holder)


def next_run(database: Database, keyring: Keyring, destination_id: int, now: Millis) -> Run | None:
    """What is to be sent next; None when nothing is due, or the destination is no more."""
    with database.read() as connection:
        row = store.find(connection, destination_id)
        line = store.line(connection, destination_id, RUN) if row else []
    if not line or line[0].due_at > now:
        return None
    messages = tuple(Outgoing(one.id, _id_of(row.uid, one.id), one.body.encode(), one.attempts) for one in line)
    return _prepared(keyring, row, now, messages)


def trial(call: Call, destination_id: int) -> Run:
    """A message that is in no line, to see whether a destination works; whoever asks sends it. Raises NOT_FOUND."""
    call.need(Permission.WEBHOOK_EDIT)
    row = webhooks.get(call, destination_id, need=Permission.WEBHOOK_EDIT)
    body = {"type": "webhook.test", "timestamp": int(call.now), "data": {"webhookId": row.uid}}
    message = Outgoing(0, f"msg_{uuid.uuid4().hex}", json.dumps(body, separators=(",", ":")).encode())
    return _prepared(call.keyring, row, call.now, (message,))


def headers(run: Run, message: Outgoing, now: Millis) -> Mapping[str, str]:
    """Who it is and, with a secret, that it is ours (Standard Webhooks: HMAC-SHA256 over id, second and body)."""
    second = str(now // 1000)
    signed = b".".join((message.id.encode(), second.encode(), message.body))
    words = [f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}" for key in run.keys]
    plain = {"webhook-id": message.id, "webhook-timestamp": second}
    return plain | {"webhook-signature": " ".join(words)} if words else plain


def record(
    database: Database, settings: Settings, run: Run, posted: Sequence[Posted], now: Millis, luck: float
) -> MessageState:
    """Write down what became of the first messages of a run; of these only the last may have failed.

    The state of that last one: SENT, WAITING (it is tried again), DEAD. `luck` (0 to 1) spreads the tries.
    """
    pairs = list(zip(run.messages, posted, strict=False))
    taken = [
        {"message_id": one.row_id, "status_is": answer.status, "response_is": answer.response, "now": now}
        for one, answer in pairs
        if answer.trouble is None
    ]
    last, answer = pairs[-1]
    with database.write() as connection:
        if taken:
            store.sent(connection, taken)
        if answer.trouble is None:
            return MessageState.SENT
        attempts = last.attempts + 1
        is_dead = attempts >= settings.webhook_tries or answer.status == GONE
        state = MessageState.DEAD if is_dead else MessageState.WAITING
        asked = asked_pause_ms(answer.retry_after, now) if answer.status in BUSY else 0
        values: dict[str, object] = {
            "state": state,
            "status": answer.status or None,
            "response": answer.response,
            "trouble": answer.trouble,
            "due_at": now if is_dead else now + max(pause_ms(attempts, luck), asked),
        }
        store.failed(connection, last.row_id, values)
    return state


def purge(database: Database) -> None:
    """Remove what is left of deleted destinations, some of it."""
    with database.read() as connection:
        found = store.buried(connection, 100)
    for destination_id in found:
        with database.write() as connection:
            store.purge(connection, destination_id, _PURGED)


def forget(database: Database, settings: Settings, now: Millis) -> int:
    """Remove messages that are older than `webhook_log_days`, in many small transactions; how many."""
    forgotten = 0
    while True:
        with database.write() as connection:
            some = store.forget(connection, now - settings.webhook_log_days * _DAY_MS, _FORGOTTEN)
        forgotten += some
        if some < _FORGOTTEN:
            return forgotten


def unreadable(database: Database, keyring: Keyring) -> list[str]:
    """The uids of destinations whose secrets were sealed under another key."""
    with database.read() as connection:
        rows = store.sealed(connection)
    return [row.uid for row in rows if not _can_read(keyring, row)]


def _can_read(keyring: Keyring, row: Any) -> bool:  # noqa: ANN401 - a row
    places = (
        (row.password, webhooks.password_place(row.uid)),
        (row.secret, webhooks.secret_place(row.uid)),
    )
    try:
        for sealed, place in places:
            if sealed is not None:
                keyring.unseal(bytes(sealed), place)
    except SealError:
        return False
    return True


def _prepared(keyring: Keyring, row: Any, now: Millis, messages: tuple[Outgoing, ...]) -> Run:  # noqa: ANN401
    place = webhooks.place_of_row(row)
    sealed = [row.secret] if row.secret is not None else []
    if row.old_secret is not None and row.old_secret_until > now:
        sealed.append(row.old_secret)
    try:
        keys = tuple(
            base64.b64decode(keyring.unseal(bytes(one), webhooks.secret_place(row.uid)).removeprefix("whsec_"))
            for one in sealed
        )
        login = ""
        if row.password is not None:
            password = keyring.unseal(bytes(row.password), webhooks.password_place(row.uid))
            login = "Basic " + base64.b64encode(f"{row.username}:{password}".encode()).decode()
    except SealError:
        return Run(row.uid, Endpoint(place), (), messages, Trouble.UNREADABLE_SECRET)
    return Run(row.uid, Endpoint(place, row.certificate, login), keys, messages)


def _id_of(uid: str, row_id: int) -> str:
    return f"msg_{uid.replace('-', '')}_{row_id}"

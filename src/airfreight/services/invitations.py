"""Invitations: somebody gets a token from an administrator, and with it chooses a password of their own.

Nothing is mailed: the answer carries the token, once, and whoever invited passes it on. It is stored as a digest.
"""

from typing import Any

from sqlalchemy import Connection

from airfreight.domain.access import Permission, Role, UserStatus
from airfreight.domain.errors import Kind, Refusal, invalid
from airfreight.domain.ids import Millis
from airfreight.services import credentials, passwords, users
from airfreight.services.call import Call
from airfreight.services.credentials import Keyring
from airfreight.services.passwords import Guard
from airfreight.services.users import Profile
from airfreight.store import access

LIFETIME_MS = 7 * 24 * 3600 * 1000
_NO_PASSWORD = ""
_ALL = "invitations"
"""Tries to accept are counted for each address, whatever the token."""


def invite(call: Call, *, email: str, role: Role, name: str = "", wanted: Profile | None = None) -> tuple[Any, str]:
    """A pending user and the token of their invitation; for one who is pending already, a new token in its place.

    Raises INVALID, FORBIDDEN for a role above the caller's own, CONFLICT for an email that is in use.
    """
    call.need(Permission.USER_EDIT)
    users.check_role(call, role)
    email = users.check_email(email)
    token = credentials.new_token()
    columns: dict[str, object] = {
        "status": UserStatus.PENDING.value,
        "invitation_hash": call.keyring.digest(token),
        "invitation_expires_at": call.now + LIFETIME_MS,
        "details": users.stored(wanted or Profile()),
    }
    known = access.user_by_email(call.connection, email)
    if known is None:
        user_id = access.add_user(
            call.connection,
            call.organization_id,
            email=email,
            name=name,
            role=role.value,
            password_hash=_NO_PASSWORD,
            now=call.now,
            columns=columns,
        )
    else:
        if known.status != UserStatus.PENDING or known.organization_id != call.organization_id:
            raise users.email_taken()
        users.check_role(call, Role(known.role))
        user_id = known.id
        changed = columns | {"name": name, "role": role.value, "changed_at": call.now}
        if not access.change_pending(call.connection, user_id, changed):
            raise users.email_taken()
    return access.user(call.connection, call.organization_id, user_id), token


def enter(guard: Guard, address: str, password: str, now: Millis) -> None:
    """Before a password is hashed for somebody unknown. Raises INVALID, LIMITED for too many tries in a minute."""
    passwords.check_length(password)
    wait = guard.enter(_ALL, address, now)
    if wait:
        message = f"There were too many tries with invitations. Go on in {wait} seconds."
        raise Refusal(Kind.LIMITED, message, retry_seconds=wait)


def check(connection: Connection, keyring: Keyring, token: str, now: Millis) -> None:
    """Whether `accept` is worth a transaction. Raises INVALID as it would."""
    user = access.invited(connection, keyring.digest(token))
    if user is None or user.invitation_expires_at <= now or user.status != UserStatus.PENDING:
        raise _useless()


def accept(connection: Connection, keyring: Keyring, token: str, password_hash: str, now: Millis) -> Any:  # noqa: ANN401 - a row
    """The user, now active and with this password; the invitation is used up.

    Raises INVALID, the same for a token that is unknown, used, or older than a week.
    """
    digest = keyring.digest(token)
    values = {
        "status": UserStatus.ACTIVE.value,
        "password_hash": password_hash,
        "invitation_hash": None,
        "invitation_expires_at": None,
        "changed_at": now,
    }
    user = access.take_invitation(connection, digest, now, values)
    if user is None:
        raise _useless()
    return user


def forgive(guard: Guard, address: str) -> None:
    """Take back the try that turned out right."""
    guard.forgive(_ALL, address)


def _useless() -> Refusal:
    return invalid("The invitation is unknown, used or expired. Ask for a new one.", "bad_invitation")

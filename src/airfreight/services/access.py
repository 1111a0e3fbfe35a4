"""Who is calling: bearer tokens to principals, and the three grants that hand out tokens."""

from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from airfreight.domain.access import ROLES, Permission, Principal, Role
from airfreight.domain.errors import unauthenticated
from airfreight.domain.ids import Millis
from airfreight.services import credentials, passwords
from airfreight.services.credentials import Keyring
from airfreight.services.passwords import Guard
from airfreight.store import access


class GrantError(Exception):
    """A token request that is refused; `error` is the OAuth 2 word, `words` the sentence beside it.

    `retry_seconds` is not 0 when the request came too soon after others.
    """

    def __init__(self, error: str, words: str, retry_seconds: int = 0) -> None:
        super().__init__(words)
        self.error = error
        self.words = words
        self.retry_seconds = retry_seconds


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who says that this email is theirs; no hash: there is no such user."""

    email: str
    user_id: int = 0
    password_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Grant:
    access_token: str
    refresh_token: str
    expires_in: int


def authenticate(connection: Connection, keyring: Keyring, token: str, now: Millis) -> Principal:
    """The principal behind a bearer token. Raises Refusal(UNAUTHENTICATED); unknown and expired look the same."""
    digest = keyring.digest(token)
    row = access.token(connection, "access", digest)
    if row is None or not credentials.same(row.hash, digest) or row.expires_at <= now:
        raise unauthenticated()
    if row.user_id is None:
        permissions = frozenset(Permission)
        return Principal(
            row.organization_id, permissions, row.owner_user_id, row.client_id, row.client_name, scoped=False
        )
    return Principal(row.organization_id, ROLES[Role(row.role)], row.user_id, row.client_id, row.email)


def authenticate_client(connection: Connection, keyring: Keyring, client_id: str, secret: str) -> int:
    """The row id of the API client. Raises GrantError(invalid_client)."""
    row = access.client_by_client_id(connection, client_id)
    digest = keyring.digest(secret)
    known = credentials.same(row.secret_hash if row else b"\0" * 32, digest)
    if row is None or not known:
        raise GrantError("invalid_client", "Client ID is not found or password is wrong.")
    return int(row.id)


def client_credentials(
    connection: Connection, keyring: Keyring, client_id: str, secret: str, now: Millis, seconds: int
) -> Grant:
    """A token of the client's organization. Raises GrantError."""
    authenticate_client(connection, keyring, client_id, secret)
    row = access.client_by_client_id(connection, client_id)
    return _issue(connection, keyring, row.organization_id, row.id, None, now, seconds)


def candidate(connection: Connection, email: str) -> Candidate:
    """Whose password to check for this email; somebody without one when there is no such user."""
    row = access.user_by_email(connection, email)
    return Candidate(email, row.id, row.password_hash) if row else Candidate(email)


def check_password(guard: Guard, who: Candidate, password: str, address: str, now: Millis) -> None:
    """Slow by design: call it without a connection. Raises GrantError, also for too many wrong ones in a minute."""
    wait = guard.enter(who.email, address, now)
    if wait:
        raise GrantError("invalid_request", "There were too many wrong passwords. Wait, then try again.", wait)
    if not passwords.matches(who.password_hash, password):
        raise _wrong_user()
    guard.forgive(who.email, address)


def user_credentials(
    connection: Connection, keyring: Keyring, client_id: str, who: Candidate, now: Millis, seconds: int
) -> Grant:
    """A token of a user whose password and whose client's secret were just checked. Raises GrantError."""
    client = access.client_by_client_id(connection, client_id)
    user = access.lock_user(connection, who.user_id)
    if client is None or user is None or user.password_hash != who.password_hash:
        raise _wrong_user()
    if user.organization_id != client.organization_id:
        raise GrantError("unauthorized_client", "This client may not sign in this user.")
    return _issue(connection, keyring, user.organization_id, client.id, user.id, now, seconds)


def _wrong_user() -> GrantError:
    return GrantError("invalid_grant", "The user name or the password is wrong.")


def refresh(
    connection: Connection, keyring: Keyring, client_id: str, secret: str, token: str, now: Millis, seconds: int
) -> Grant:
    """New tokens for a refresh token, which works once and only for the client it was given to. Raises GrantError."""
    client = authenticate_client(connection, keyring, client_id, secret)
    digest = keyring.digest(token)
    row = access.token(connection, "refresh", digest)
    known = row is not None and credentials.same(row.hash, digest) and row.expires_at > now
    if known and row.user_id is not None:
        access.lock_user(connection, row.user_id)
    if not known or row.client_id != client or not access.take_token(connection, row.id):
        raise GrantError("invalid_grant", "The refresh token is unknown, used or expired. Ask for a new token.")
    return _issue(connection, keyring, row.organization_id, client, row.user_id, now, seconds)


def _issue(
    connection: Connection,
    keyring: Keyring,
    organization_id: int,
    client: int,
    user_id: int | None,
    now: Millis,
    seconds: int,
) -> Grant:
    grant = Grant(credentials.new_token(), credentials.new_token(), seconds)
    try:
        for kind, token in (("access", grant.access_token), ("refresh", grant.refresh_token)):
            access.add_token(
                connection,
                organization_id=organization_id,
                kind=kind,
                digest=keyring.digest(token),
                client_id=client,
                user_id=user_id,
                expires_at=now + seconds * 1000,
            )
    except IntegrityError:
        raise GrantError("invalid_client", "The client or the user was removed just now.") from None
    return grant

"""Who is calling: bearer tokens to principals, and the three grants that hand out tokens."""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from airfreight.domain.access import ROLES, Principal, Role, UserStatus, read_scopes, scopes, stored_scopes
from airfreight.domain.errors import Kind, Refusal, unauthenticated
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
    scope: str = ""
    """The scopes of the access token, when fewer were asked for than there are."""


def authenticate(connection: Connection, keyring: Keyring, token: str, now: Millis) -> Principal:
    """The principal behind a bearer token.

    Raises Refusal(UNAUTHENTICATED), the same for an unknown and an expired one; FORBIDDEN when it has no scope at all.
    """
    digest = keyring.digest(token)
    row = access.token(connection, "access", digest)
    if row is None or not credentials.same(row.hash, digest) or row.expires_at <= now:
        raise unauthenticated()
    allowed = read_scopes(row.scopes)
    if not allowed:
        raise Refusal(Kind.FORBIDDEN, "Platform API scope is not enabled for this oauth client.", "no_scope")
    if row.user_id is None:
        return Principal(row.organization_id, allowed, row.owner_user_id, row.client_id, row.client_name, scoped=False)
    if row.status != UserStatus.ACTIVE:
        raise unauthenticated()
    return Principal(row.organization_id, ROLES[Role(row.role)] & allowed, row.user_id, row.client_id, row.email)


def authenticate_client(connection: Connection, keyring: Keyring, client_id: str, secret: str) -> int:
    """The row id of the API client. Raises GrantError(invalid_client)."""
    row = access.client_by_client_id(connection, client_id)
    digest = keyring.digest(secret)
    known = credentials.same(row.secret_hash if row else b"\0" * 32, digest)
    if row is None or not known:
        raise GrantError("invalid_client", "Client ID is not found or password is wrong.")
    return int(row.id)


def client_credentials(
    connection: Connection, keyring: Keyring, client_id: str, secret: str, now: Millis, seconds: int, scope: str = ""
) -> Grant:
    """A token of the client's organization. Raises GrantError."""
    authenticate_client(connection, keyring, client_id, secret)
    row = access.client_by_client_id(connection, client_id)
    narrowed = narrower(row.scopes, scope)
    holder = _Holder(row.organization_id, row.id, None, narrowed or row.scopes)
    return _issue(connection, keyring, holder, narrowed, now, seconds)


def candidate(connection: Connection, email: str) -> Candidate:
    """Whose password to check for this email; somebody without one when there is no such user that may sign in."""
    row = access.user_by_email(connection, email)
    is_active = row is not None and row.status == UserStatus.ACTIVE
    return Candidate(email, row.id, row.password_hash) if is_active else Candidate(email)


def check_password(guard: Guard, who: Candidate, password: str, address: str, now: Millis) -> None:
    """Slow by design: call it without a connection. Raises GrantError, also for too many wrong ones in a minute."""
    wait = guard.enter(who.email, address, now)
    if wait:
        raise GrantError("invalid_request", "There were too many wrong passwords. Wait, then try again.", wait)
    if not passwords.matches(who.password_hash, password):
        raise _wrong_user()
    guard.forgive(who.email, address)


def user_credentials(
    connection: Connection,
    keyring: Keyring,
    client_id: str,
    who: Candidate,
    now: Millis,
    seconds: int,
    scope: str = "",
) -> Grant:
    """A token of a user whose password and whose client's secret were just checked. Raises GrantError."""
    client = access.client_by_client_id(connection, client_id)
    user = access.lock_user(connection, who.user_id)
    unchanged = user is not None and user.password_hash == who.password_hash and user.status == UserStatus.ACTIVE
    if client is None or not unchanged:
        raise _wrong_user()
    if user.organization_id != client.organization_id:
        raise GrantError("unauthorized_client", "This client may not sign in this user.")
    narrowed = narrower(client.scopes, scope)
    holder = _Holder(user.organization_id, client.id, user.id, narrowed or client.scopes)
    return _issue(connection, keyring, holder, narrowed, now, seconds)


def sign_in(
    connection: Connection, keyring: Keyring, who: Candidate, client_name: str, now: Millis, seconds: int
) -> tuple[Grant, Any]:
    """Tokens for a user whose password was just checked, and the user; for a door that knows no API clients.

    They are given to a client of that name in the user's organization, made at the first sign-in, whose secret nobody
    has: deleting it ends all these tokens. Raises GrantError.
    """
    user = access.lock_user(connection, who.user_id)
    if user is None:
        raise _wrong_user()
    client_id = _own_client_id(client_name, user.organization_id)
    if access.client_by_client_id(connection, client_id) is None:
        _add_own_client(connection, keyring, user.organization_id, client_id, client_name, now)
    return user_credentials(connection, keyring, client_id, who, now, seconds), user


def refresh_sign_in(
    connection: Connection, keyring: Keyring, client_name: str, token: str, now: Millis, seconds: int
) -> Grant:
    """New tokens for the refresh token of a `sign_in` at the door of that name; it works once. Raises GrantError."""
    row = access.token(connection, "refresh", keyring.digest(token))
    client = row and access.client_by_client_id(connection, _own_client_id(client_name, row.organization_id))
    return _renewed(connection, keyring, client.id if client else 0, token, now, seconds)


def sign_out(connection: Connection, keyring: Keyring, token: str) -> None:
    """End an access token that was let in, and the refresh token that was given out with it."""
    row = access.token(connection, "access", keyring.digest(token))
    if row is not None:
        access.remove_pair(connection, row)


def _own_client_id(client_name: str, organization_id: int) -> str:
    return f"{client_name.lower().replace(' ', '-')}_{organization_id}"


def _add_own_client(
    connection: Connection, keyring: Keyring, organization_id: int, client_id: str, name: str, now: Millis
) -> None:
    """Of two who sign in for the first time at once, one makes it."""
    with suppress(IntegrityError), connection.begin_nested():
        access.add_client(
            connection,
            organization_id,
            name=name,
            client_id=client_id,
            secret_hash=keyring.digest(credentials.new_token()),
            owner_user_id=None,
            now=now,
        )


def _wrong_user() -> GrantError:
    return GrantError("invalid_grant", "The user name or the password is wrong.")


def refresh(
    connection: Connection,
    keyring: Keyring,
    client_id: str,
    secret: str,
    token: str,
    now: Millis,
    seconds: int,
    scope: str = "",
) -> Grant:
    """New tokens for a refresh token, which works once and only for the client it was given to. Raises GrantError.

    The new refresh token keeps all scopes of the old one, also when fewer are asked for the access token.
    """
    client = authenticate_client(connection, keyring, client_id, secret)
    return _renewed(connection, keyring, client, token, now, seconds, scope)


def _renewed(
    connection: Connection, keyring: Keyring, client: int, token: str, now: Millis, seconds: int, scope: str = ""
) -> Grant:
    """Tokens for a refresh token of this client, which is used up. Raises GrantError."""
    digest = keyring.digest(token)
    row = access.token(connection, "refresh", digest)
    known = row is not None and credentials.same(row.hash, digest) and row.expires_at > now
    if known and row.user_id is not None:
        access.lock_user(connection, row.user_id)
    if not known or row.client_id != client or not access.take_token(connection, row.id):
        raise GrantError("invalid_grant", "The refresh token is unknown, used or expired. Ask for a new token.")
    holder = _Holder(row.organization_id, client, row.user_id, row.scopes)
    return _issue(connection, keyring, holder, narrower(row.scopes, scope), now, seconds)


def narrower(held: str, asked: str) -> str:
    """The scopes of a request (RFC 6749 section 3.3) as stored; empty when it asks for none or for all that are held.

    Raises GrantError(invalid_scope) for one that is unknown or not held.
    """
    if not asked:
        return ""
    wanted, allowed = scopes(asked.split(" ")), read_scopes(held)
    if wanted is None or not wanted <= allowed:
        raise GrantError("invalid_scope", "scope must be names of permissions that the client has, spaces between.")
    return stored_scopes(wanted) if wanted < allowed else ""


@dataclass(frozen=True, slots=True)
class _Holder:
    """Who gets tokens, and the scopes they keep through refreshes."""

    organization_id: int
    client_id: int
    user_id: int | None
    scopes: str


def _issue(
    connection: Connection, keyring: Keyring, holder: _Holder, narrowed: str, now: Millis, seconds: int
) -> Grant:
    """`narrowed`: the access token's scopes, where it was asked for with fewer than there are."""
    grant = Grant(credentials.new_token(), credentials.new_token(), seconds, narrowed)
    pair = (("access", grant.access_token, narrowed or holder.scopes), ("refresh", grant.refresh_token, holder.scopes))
    try:
        for kind, token, held in pair:
            access.add_token(
                connection,
                organization_id=holder.organization_id,
                kind=kind,
                digest=keyring.digest(token),
                client_id=holder.client_id,
                user_id=holder.user_id,
                scopes=held,
                expires_at=now + seconds * 1000,
            )
    except IntegrityError:
        raise GrantError("invalid_client", "The client or the user was removed just now.") from None
    return grant

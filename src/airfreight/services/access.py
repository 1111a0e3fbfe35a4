"""Who is calling: bearer tokens to principals, and the three grants that hand out tokens (Shipments reference 1.2)."""

from dataclasses import dataclass

from sqlalchemy import Connection

from airfreight.domain.access import ROLES, Permission, Principal, Role
from airfreight.domain.errors import unauthenticated
from airfreight.domain.ids import Millis
from airfreight.services import credentials
from airfreight.services.credentials import Keyring
from airfreight.store import access


class GrantError(Exception):
    """A token request that is refused; `error` is the OAuth 2 word, `words` the sentence beside it."""

    def __init__(self, error: str, words: str) -> None:
        super().__init__(words)
        self.error = error
        self.words = words


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


def check_user(connection: Connection, email: str, password: str) -> int:
    """The id of the user with this password. Slow by design; call it outside a write transaction. Raises GrantError."""
    row = access.user_by_email(connection, email)
    if not credentials.check_password(row.password_hash if row else None, password):
        raise GrantError("invalid_grant", "The user name or the password is wrong.")
    return int(row.id)


def user_credentials(
    connection: Connection, keyring: Keyring, client_id: str, email: str, user_id: int, now: Millis, seconds: int
) -> Grant:
    """A token of a user whose password and whose client's secret were just checked. Raises GrantError."""
    client = access.client_by_client_id(connection, client_id)
    user = access.user_by_email(connection, email)
    if client is None or user is None or user.id != user_id:
        raise GrantError("invalid_grant", "The user name or the password is wrong.")
    if user.organization_id != client.organization_id:
        raise GrantError("unauthorized_client", "This client may not sign in this user.")
    return _issue(connection, keyring, user.organization_id, client.id, user.id, now, seconds)


def refresh(
    connection: Connection, keyring: Keyring, client_id: str, secret: str, token: str, now: Millis, seconds: int
) -> Grant:
    """New tokens for a refresh token, which works once and only for the client it was given to. Raises GrantError."""
    client = authenticate_client(connection, keyring, client_id, secret)
    row = access.token(connection, "refresh", keyring.digest(token))
    if row is None or row.expires_at <= now or row.client_id != client or not access.take_token(connection, row.id):
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
    return grant

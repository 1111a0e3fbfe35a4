"""The first start: an organization, an admin and an API client, so that somebody can log in."""

import secrets
from dataclasses import dataclass, field

from sqlalchemy import Connection

from airfreight.domain.access import Role
from airfreight.domain.errors import Refusal
from airfreight.domain.ids import Millis
from airfreight.services import credentials, passwords, users
from airfreight.services.credentials import Keyring
from airfreight.services.direct_access import FIRST_NAME
from airfreight.settings import SettingError, Settings, variable
from airfreight.store import access, direct_access, organizations

_EMAIL = "admin@airfreight.local"
_LONGEST_CLIENT_ID = 64


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What was made, with the secrets, to be shown once."""

    organization_id: int
    email: str
    password: str = field(repr=False)
    client_id: str
    client_secret: str = field(repr=False)


def has_started(connection: Connection) -> bool:
    """Whether there has been a first start: then there are users."""
    return access.any_user(connection)


def first_start(connection: Connection, keyring: Keyring, settings: Settings, now: Millis) -> FirstStart | None:
    """Make what is missing when there is no user at all; None when there is one. Call it in a write transaction.

    Of processes that start together, one makes it all and the others wait, then see it. Raises SettingError.
    """
    if access.any_user(connection):
        return None
    access.lock_users(connection)
    if access.any_user(connection):
        return None
    email, password = _admin(settings)
    client_id, secret = _client(settings)
    organization_id = organizations.add(connection, name="Airfreight", parent_id=None, time_zone="", now=now)
    direct_access.put(connection, organization_id, {"name": FIRST_NAME})
    user_id = access.add_user(
        connection,
        organization_id,
        email=email,
        name="Administrator",
        role=Role.ADMIN.value,
        password_hash=passwords.hashed(password),
        now=now,
    )
    access.add_client(
        connection,
        organization_id,
        name="First client",
        client_id=client_id,
        secret_hash=keyring.digest(secret),
        owner_user_id=user_id,
        now=now,
    )
    return FirstStart(organization_id, email, password, client_id, secret)


def _admin(settings: Settings) -> tuple[str, str]:
    try:
        email = users.check_email(settings.admin_email or _EMAIL)
    except Refusal as refusal:
        raise SettingError(f"{variable('admin_email')}: {refusal.message}") from None
    password = settings.admin_password or secrets.token_urlsafe(15)
    try:
        passwords.check_length(password)
    except Refusal as refusal:
        raise SettingError(f"{variable('admin_password')}: {refusal.message}") from None
    return email, password


def _client(settings: Settings) -> tuple[str, str]:
    client_id = settings.client_id or credentials.new_client_id()
    # HTTP Basic ends the id at the first colon.
    if not client_id.isprintable() or ":" in client_id or len(client_id) > _LONGEST_CLIENT_ID:
        raise SettingError(f"{variable('client_id')} must be at most 64 printable characters without a colon.")
    return client_id, settings.client_secret or credentials.new_token()

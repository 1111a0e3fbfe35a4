"""Rows of users, API clients and their tokens. Secrets come here already hashed."""

from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, text, update

from airfreight.store.tables import clients, tokens, users


def any_user(connection: Connection) -> bool:
    return connection.execute(select(users.c.id).limit(1)).first() is not None


def user_by_email(connection: Connection, email: str) -> Any:  # noqa: ANN401 - a row
    return connection.execute(select(users).where(users.c.email == email.lower())).one_or_none()


def user(connection: Connection, organization_id: int, user_id: int) -> Any:  # noqa: ANN401 - a row
    query = select(users).where(users.c.organization_id == organization_id, users.c.id == user_id)
    return connection.execute(query).one_or_none()


def lock_user(connection: Connection, user_id: int) -> Any:  # noqa: ANN401 - a row
    """The user, kept as they are until this transaction ends: no token outlives the password or role it is for."""
    return connection.execute(select(users).where(users.c.id == user_id).with_for_update(read=True)).one_or_none()


def lock_users(connection: Connection) -> None:
    """Nobody else adds a user until this transaction ends. (On SQLite a write transaction is alone anyway.)"""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))


def users_listed(connection: Connection, organization_id: int, *, after: int, limit: int) -> list[Any]:
    query = select(users).where(users.c.organization_id == organization_id, users.c.id > after)
    return list(connection.execute(query.order_by(users.c.id).limit(limit)))


def admins(connection: Connection, organization_id: int) -> int:
    """How many users can manage users there."""
    query = select(func.count()).where(users.c.organization_id == organization_id, users.c.role == "admin")
    return int(connection.execute(query).scalar_one())


def add_user(
    connection: Connection, organization_id: int, *, email: str, name: str, role: str, password_hash: str, now: int
) -> int:
    values = {
        "organization_id": organization_id,
        "email": email.lower(),
        "name": name,
        "role": role,
        "password_hash": password_hash,
        "created_at": now,
    }
    return int(connection.execute(insert(users).values(values).returning(users.c.id)).scalar_one())


def change_user(connection: Connection, organization_id: int, user_id: int, values: dict[str, str]) -> None:
    where = (users.c.organization_id == organization_id, users.c.id == user_id)
    connection.execute(update(users).where(*where).values(values))


def remove_user(connection: Connection, organization_id: int, user_id: int) -> None:
    connection.execute(delete(users).where(users.c.organization_id == organization_id, users.c.id == user_id))


def client_by_client_id(connection: Connection, client_id: str) -> Any:  # noqa: ANN401 - a row
    return connection.execute(select(clients).where(clients.c.client_id == client_id)).one_or_none()


def client(connection: Connection, organization_id: int, row_id: int) -> Any:  # noqa: ANN401 - a row
    query = select(clients).where(clients.c.organization_id == organization_id, clients.c.id == row_id)
    return connection.execute(query).one_or_none()


def clients_listed(connection: Connection, organization_id: int, *, after: int, limit: int) -> list[Any]:
    query = select(clients).where(clients.c.organization_id == organization_id, clients.c.id > after)
    return list(connection.execute(query.order_by(clients.c.id).limit(limit)))


def add_client(
    connection: Connection,
    organization_id: int,
    *,
    name: str,
    client_id: str,
    secret_hash: bytes,
    owner_user_id: int | None,
    now: int,
) -> int:
    values = {
        "organization_id": organization_id,
        "name": name,
        "client_id": client_id,
        "secret_hash": secret_hash,
        "owner_user_id": owner_user_id,
        "created_at": now,
    }
    return int(connection.execute(insert(clients).values(values).returning(clients.c.id)).scalar_one())


def remove_client(connection: Connection, organization_id: int, row_id: int) -> None:
    """Its tokens go with it."""
    connection.execute(delete(clients).where(clients.c.organization_id == organization_id, clients.c.id == row_id))


def add_token(
    connection: Connection,
    *,
    organization_id: int,
    kind: str,
    digest: bytes,
    client_id: int,
    user_id: int | None,
    expires_at: int,
) -> None:
    values = {
        "organization_id": organization_id,
        "kind": kind,
        "hash": digest,
        "client_id": client_id,
        "user_id": user_id,
        "expires_at": expires_at,
    }
    connection.execute(insert(tokens).values(values))


_found = (
    select(
        tokens,
        users.c.role,
        users.c.email,
        clients.c.owner_user_id,
        clients.c.name.label("client_name"),
    )
    .join(clients, clients.c.id == tokens.c.client_id)
    .outerjoin(users, users.c.id == tokens.c.user_id)
)


def token(connection: Connection, kind: str, digest: bytes) -> Any:  # noqa: ANN401 - a row
    return connection.execute(_found.where(tokens.c.hash == digest, tokens.c.kind == kind)).one_or_none()


def take_token(connection: Connection, token_id: int) -> bool:
    """Delete it; False when somebody else was faster: a refresh token works once."""
    return connection.execute(delete(tokens).where(tokens.c.id == token_id)).rowcount == 1


def remove_tokens_of_user(connection: Connection, user_id: int) -> None:
    connection.execute(delete(tokens).where(tokens.c.user_id == user_id))


def remove_expired_tokens(connection: Connection, now: int) -> int:
    return connection.execute(delete(tokens).where(tokens.c.expires_at <= now)).rowcount


def first_admin(connection: Connection) -> Any:  # noqa: ANN401 - a row
    """The oldest administrator: the one of the first start."""
    return connection.execute(select(users).where(users.c.role == "admin").order_by(users.c.id).limit(1)).one()

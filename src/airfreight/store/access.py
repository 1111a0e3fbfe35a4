"""Rows of users, API clients and their tokens. Secrets come here already hashed."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, or_, select, text, update

from airfreight.store import organizations
from airfreight.store.tables import clients, devices, tokens, users


def any_user(connection: Connection) -> bool:
    return connection.execute(select(users.c.id).limit(1)).first() is not None


def user_by_email(connection: Connection, email: str) -> Any:  # noqa: ANN401 - a row
    return connection.execute(select(users).where(users.c.email == email.lower())).one_or_none()


def user_below(connection: Connection, ancestor_id: int, user_id: int) -> Any:  # noqa: ANN401 - a row
    """The user, if their organization is `ancestor_id` or below it."""
    tree = organizations.below(ancestor_id)
    query = select(users).join(tree, users.c.organization_id == tree.c.id).where(users.c.id == user_id)
    return connection.execute(query).one_or_none()


def user(connection: Connection, organization_id: int, user_id: int) -> Any:  # noqa: ANN401 - a row
    query = select(users).where(users.c.organization_id == organization_id, users.c.id == user_id)
    return connection.execute(query).one_or_none()


def emails(connection: Connection, organization_ids: Collection[int], ids: Collection[int]) -> dict[int, str]:
    """The emails of those of these users that are of these organizations."""
    query = select(users.c.id, users.c.email).where(users.c.organization_id.in_(organization_ids), users.c.id.in_(ids))
    return {row.id: row.email for row in connection.execute(query)} if ids else {}


def client_names(connection: Connection, organization_ids: Collection[int], ids: Collection[int]) -> dict[int, str]:
    """The same with the names of API clients."""
    ours = clients.c.organization_id.in_(organization_ids)
    query = select(clients.c.id, clients.c.name).where(ours, clients.c.id.in_(ids))
    return {row.id: row.name for row in connection.execute(query)} if ids else {}


def lock_user(connection: Connection, user_id: int) -> Any:  # noqa: ANN401 - a row
    """The user, kept as they are until this transaction ends: no token outlives the password or role it is for."""
    return connection.execute(select(users).where(users.c.id == user_id).with_for_update(read=True)).one_or_none()


def lock_users(connection: Connection) -> None:
    """Nobody else adds a user until this transaction ends. (On SQLite a write transaction is alone anyway.)"""
    if connection.dialect.name == "postgresql":
        connection.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))


def users_listed(
    connection: Connection, organization_id: int, *, query: str, below: bool, after: int, limit: int
) -> list[Any]:
    found = _users(organization_id, query, below=below).where(users.c.id > after)
    return list(connection.execute(found.order_by(users.c.id).limit(limit)))


def users_paged(
    connection: Connection, organization_id: int, *, query: str, below: bool, skip: int, limit: int
) -> tuple[list[Any], int]:
    """In the order of ids; and how many there are."""
    found = _users(organization_id, query, below=below)
    rows = connection.execute(found.order_by(users.c.id).offset(skip).limit(limit))
    return list(rows), organizations.counted(connection, found)


def _users(organization_id: int, query: str, *, below: bool) -> Select[Any]:
    """Users of the organization (and, if wanted, of those below it) with `query` in their name or email."""
    if below:
        tree = organizations.below(organization_id)
        found = select(users).join(tree, users.c.organization_id == tree.c.id)
    else:
        found = select(users).where(users.c.organization_id == organization_id)
    if not query:
        return found
    parts = (users.c.name.icontains(query, autoescape=True), users.c.email.icontains(query, autoescape=True))
    return found.where(or_(*parts))


def admins(connection: Connection, organization_id: int) -> int:
    """How many users can manage users there."""
    query = select(func.count()).where(
        users.c.organization_id == organization_id, users.c.role == "admin", users.c.status == "active"
    )
    return int(connection.execute(query).scalar_one())


def add_user(
    connection: Connection,
    organization_id: int,
    *,
    email: str,
    name: str,
    role: str,
    password_hash: str,
    now: int,
    columns: Mapping[str, object] | None = None,
) -> int:
    """`columns` are further values."""
    values = {
        "organization_id": organization_id,
        "email": email.lower(),
        "name": name,
        "role": role,
        "password_hash": password_hash,
        "created_at": now,
        "changed_at": now,
        **(columns or {}),
    }
    return int(connection.execute(insert(users).values(values).returning(users.c.id)).scalar_one())


def change_user(connection: Connection, organization_id: int, user_id: int, values: Mapping[str, object]) -> None:
    where = (users.c.organization_id == organization_id, users.c.id == user_id)
    connection.execute(update(users).where(*where).values(**values))


def invited(connection: Connection, digest: bytes) -> Any:  # noqa: ANN401 - a row
    """The user that an invitation is for."""
    return connection.execute(select(users).where(users.c.invitation_hash == digest)).one_or_none()


def take_invitation(connection: Connection, digest: bytes, now: int, values: Mapping[str, object]) -> Any:  # noqa: ANN401 - a row
    """The user whose invitation it is, changed; None when it has expired, or somebody was faster."""
    where = (users.c.invitation_hash == digest, users.c.invitation_expires_at > now, users.c.status == "pending")
    return connection.execute(update(users).where(*where).values(**values).returning(users)).one_or_none()


def change_pending(connection: Connection, user_id: int, values: Mapping[str, object]) -> bool:
    """Change a user who is pending; False when they have accepted just now."""
    where = (users.c.id == user_id, users.c.status == "pending")
    return connection.execute(update(users).where(*where).values(**values)).rowcount == 1


def disown(connection: Connection, user_id: int) -> None:
    """What the user owned belongs to nobody: devices (their column is no foreign key) and API clients."""
    connection.execute(update(devices).where(devices.c.owner_user_id == user_id).values(owner_user_id=None))
    connection.execute(update(clients).where(clients.c.owner_user_id == user_id).values(owner_user_id=None))


def remove_user(connection: Connection, organization_id: int, user_id: int) -> None:
    """What they owned is disowned last: whoever gives them a device keeps the user locked until it is theirs."""
    connection.execute(delete(users).where(users.c.organization_id == organization_id, users.c.id == user_id))
    disown(connection, user_id)


def client_by_client_id(connection: Connection, client_id: str) -> Any:  # noqa: ANN401 - a row
    return connection.execute(select(clients).where(clients.c.client_id == client_id)).one_or_none()


def client(connection: Connection, organization_id: int, row_id: int) -> Any:  # noqa: ANN401 - a row
    query = select(clients).where(clients.c.organization_id == organization_id, clients.c.id == row_id)
    return connection.execute(query).one_or_none()


def client_below(connection: Connection, ancestor_id: int, row_id: int) -> Any:  # noqa: ANN401 - a row
    """The client, if its organization is `ancestor_id` or below it."""
    tree = organizations.below(ancestor_id)
    query = select(clients).join(tree, clients.c.organization_id == tree.c.id).where(clients.c.id == row_id)
    return connection.execute(query).one_or_none()


def clients_listed(connection: Connection, organization_id: int, *, after: int, limit: int) -> list[Any]:
    query = select(clients).where(clients.c.organization_id == organization_id, clients.c.id > after)
    return list(connection.execute(query.order_by(clients.c.id).limit(limit)))


def clients_paged(connection: Connection, organization_id: int, *, skip: int, limit: int) -> tuple[list[Any], int]:
    """In the order of ids; and how many there are."""
    found = select(clients).where(clients.c.organization_id == organization_id)
    rows = connection.execute(found.order_by(clients.c.id).offset(skip).limit(limit))
    return list(rows), organizations.counted(connection, found)


def add_client(
    connection: Connection,
    organization_id: int,
    *,
    name: str,
    client_id: str,
    secret_hash: bytes,
    owner_user_id: int | None,
    now: int,
    columns: Mapping[str, object] | None = None,
) -> int:
    """`columns` are further values."""
    values = {
        "organization_id": organization_id,
        "name": name,
        "client_id": client_id,
        "secret_hash": secret_hash,
        "owner_user_id": owner_user_id,
        "created_at": now,
        **(columns or {}),
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
    scopes: str,
    expires_at: int,
) -> None:
    values = {
        "organization_id": organization_id,
        "kind": kind,
        "hash": digest,
        "client_id": client_id,
        "user_id": user_id,
        "scopes": scopes,
        "expires_at": expires_at,
    }
    connection.execute(insert(tokens).values(values))


_found = (
    select(
        tokens,
        users.c.role,
        users.c.email,
        users.c.status,
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


def remove_pair(connection: Connection, token: Any) -> None:  # noqa: ANN401 - a row
    """Delete a token with the one that was given out in the same moment: they end at the same time."""
    where = (tokens.c.client_id == token.client_id, tokens.c.user_id.is_not_distinct_from(token.user_id))
    connection.execute(delete(tokens).where(*where, tokens.c.expires_at == token.expires_at))


def remove_tokens_of_user(connection: Connection, user_id: int) -> None:
    connection.execute(delete(tokens).where(tokens.c.user_id == user_id))


def remove_expired_tokens(connection: Connection, now: int) -> int:
    return connection.execute(delete(tokens).where(tokens.c.expires_at <= now)).rowcount


def first_admin(connection: Connection) -> Any:  # noqa: ANN401 - a row
    """The oldest administrator: the one of the first start."""
    return connection.execute(select(users).where(users.c.role == "admin").order_by(users.c.id).limit(1)).one()

"""Users: people with a password and a role. Rule: an organization always keeps an admin.

Hashing a password is slow, so the routes do it between `may_...` (a read) and the verb itself (a transaction).
"""

from typing import Any

from airfreight.domain.access import ROLES, Permission, Role
from airfreight.domain.errors import conflict, forbidden, invalid, not_found
from airfreight.services import passwords
from airfreight.services.call import Call
from airfreight.store import access, organizations

_LONGEST_EMAIL = 254


def may_create(call: Call, *, email: str, password: str, role: Role) -> None:
    """Whether `create` is worth hashing a password for. Raises FORBIDDEN, INVALID or CONFLICT as it would."""
    call.need(Permission.USER_EDIT)
    _check_role(call, role)
    passwords.check_length(password)
    if access.user_by_email(call.connection, check_email(email)):
        raise conflict("A user with this email exists already.", "email_taken")


def create(call: Call, *, email: str, password_hash: str, role: Role, name: str = "") -> Any:  # noqa: ANN401 - a row
    """A new user. Raises CONFLICT for an email that is in use, FORBIDDEN for a role above the caller's own."""
    call.need(Permission.USER_EDIT)
    _check_role(call, role)
    email = check_email(email)
    if access.user_by_email(call.connection, email):
        raise conflict("A user with this email exists already.", "email_taken")
    user_id = access.add_user(
        call.connection,
        call.organization_id,
        email=email,
        name=name,
        role=role.value,
        password_hash=password_hash,
        now=call.now,
    )
    return access.user(call.connection, call.organization_id, user_id)


def get(call: Call, user_id: int) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND."""
    call.need(Permission.USER_VIEW)
    return _find(call, user_id)


def search(call: Call, *, after: int, limit: int) -> list[Any]:
    call.need(Permission.USER_VIEW)
    return access.users_listed(call.connection, call.organization_id, after=after, limit=limit)


def may_change(call: Call, user_id: int, *, password: str | None) -> None:
    """Whether `change` is worth hashing a password for. Raises FORBIDDEN, NOT_FOUND or INVALID as it would."""
    call.need(Permission.USER_EDIT)
    _check_role(call, Role(_find(call, user_id).role))
    if password is not None:
        passwords.check_length(password)


def change(
    call: Call,
    user_id: int,
    *,
    name: str | None = None,
    role: Role | None = None,
    password_hash: str | None = None,
) -> Any:  # noqa: ANN401 - a row
    """Change what is given; a new role or password ends the user's tokens.

    Raises NOT_FOUND, FORBIDDEN for a role above the caller's own, CONFLICT when no admin would be left.
    """
    call.need(Permission.USER_EDIT)
    organizations.lock(call.connection, call.organization_id)
    user = _find(call, user_id)
    _check_role(call, Role(user.role), *([role] if role else []))
    if role and role != Role.ADMIN:
        _keep_an_admin(call, user)
    given = {"name": name, "role": role.value if role else None, "password_hash": password_hash}
    values = {column: value for column, value in given.items() if value is not None}
    if values:
        access.change_user(call.connection, call.organization_id, user_id, values)
    if password_hash is not None or (role and role != user.role):
        access.remove_tokens_of_user(call.connection, user_id)
    return _find(call, user_id)


def delete(call: Call, user_id: int) -> None:
    """Raises NOT_FOUND, FORBIDDEN for a user above the caller, CONFLICT for the last admin."""
    call.need(Permission.USER_EDIT)
    organizations.lock(call.connection, call.organization_id)
    user = _find(call, user_id)
    _check_role(call, Role(user.role))
    _keep_an_admin(call, user)
    access.remove_user(call.connection, call.organization_id, user_id)


def check_email(email: str) -> str:
    """The email as it is stored: in lower case. Raises INVALID."""
    lowered = email.lower()
    local, _, host = lowered.partition("@")
    plain = lowered.isprintable() and " " not in lowered
    if not local or not host or "@" in host or not plain or len(lowered) > _LONGEST_EMAIL:
        raise invalid("email must be an address such as ada@example.com.", "bad_email")
    return lowered


def _find(call: Call, user_id: int) -> Any:  # noqa: ANN401 - a row
    user = access.user(call.connection, call.organization_id, user_id)
    if user is None:
        raise not_found("User")
    return user


def _check_role(call: Call, *roles: Role) -> None:
    """Nobody gives, changes or takes more rights than they have themselves."""
    if any(not ROLES[role] <= call.principal.permissions for role in roles):
        raise forbidden("This role has permissions that you do not have. Ask an administrator of your organization.")


def _keep_an_admin(call: Call, user: Any) -> None:  # noqa: ANN401 - a row
    if user.role == Role.ADMIN and access.admins(call.connection, call.organization_id) == 1:
        raise conflict("This is the last admin of the organization. Make another user an admin first.", "last_admin")

"""Users: people with a password and a role. Rule: an organization that has an admin always keeps one.

A caller sees and changes the users of their own organization and of those below it. Hashing a password is slow, so the
routes do it between `may_...` (a read) and the verb itself (a transaction).
"""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import msgspec

from airfreight.domain.access import ROLES, Permission, Role, UserStatus
from airfreight.domain.errors import Refusal, conflict, forbidden, invalid, not_found
from airfreight.services import passwords
from airfreight.services.call import Call
from airfreight.services.products import check_time_zone
from airfreight.store import access, organizations

LOCALE = r"^([a-z]{2}_[A-Z]{2})?(?![\s\S])"
"""A language and a country, or nothing."""

_LONGEST_EMAIL = 254


class SettableStatus(StrEnum):
    """What an administrator can make a user; pending is only who was invited."""

    ACTIVE = UserStatus.ACTIVE.value
    INACTIVE = UserStatus.INACTIVE.value
    SUSPENDED = UserStatus.SUSPENDED.value


@dataclass(frozen=True, slots=True)
class Profile:
    """What is shown of a user and decides nothing."""

    title: str = ""
    nick_name: str = ""
    phone: str = ""
    time_zone: str = ""
    locale: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What to change; None: nothing."""

    name: str | None = None
    role: Role | None = None
    status: UserStatus | None = None
    password_hash: str | None = None


def profile(row: Any) -> Profile:  # noqa: ANN401 - a row
    return msgspec.json.decode(row.details, type=Profile)


def stored(profile: Profile) -> str:
    """The profile as a row keeps it. Raises INVALID for an unknown time zone."""
    check_time_zone(profile.time_zone)
    return msgspec.json.encode(profile).decode()


def may_create(call: Call, *, email: str, password: str, role: Role) -> None:
    """Whether `create` is worth hashing a password for. Raises FORBIDDEN, INVALID or CONFLICT as it would."""
    call.need(Permission.USER_EDIT)
    check_role(call, role)
    passwords.check_length(password)
    if access.user_by_email(call.connection, check_email(email)):
        raise email_taken()


def create(
    call: Call, *, email: str, password_hash: str, role: Role, name: str = "", wanted: Profile | None = None
) -> Any:  # noqa: ANN401 - a row
    """A new user. Raises CONFLICT for an email that is in use, FORBIDDEN for a role above the caller's own."""
    call.need(Permission.USER_EDIT)
    check_role(call, role)
    email = check_email(email)
    if access.user_by_email(call.connection, email):
        raise email_taken()
    user_id = access.add_user(
        call.connection,
        call.organization_id,
        email=email,
        name=name,
        role=role.value,
        password_hash=password_hash,
        now=call.now,
        columns={"details": stored(wanted or Profile())},
    )
    return access.user(call.connection, call.organization_id, user_id)


def get(call: Call, user_id: int) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND."""
    call.need(Permission.USER_VIEW)
    return _find(call, user_id)


def search(call: Call, *, query: str = "", below: bool = False, after: int, limit: int) -> list[Any]:
    """Those with `query` in their name or email; `below`: also of the organizations below."""
    call.need(Permission.USER_VIEW)
    return access.users_listed(
        call.connection, call.organization_id, query=query, below=below, after=after, limit=limit
    )


def paged(call: Call, *, query: str = "", below: bool = False, skip: int, limit: int) -> tuple[list[Any], int]:
    """As `search`, one page of them, and how many there are."""
    call.need(Permission.USER_VIEW)
    return access.users_paged(call.connection, call.organization_id, query=query, below=below, skip=skip, limit=limit)


def roles(call: Call) -> list[Role]:
    """Those that there are, the mightiest first."""
    call.need(Permission.USER_VIEW)
    return list(Role)


def may_change(call: Call, user_id: int, *, password: str | None) -> None:
    """Whether `change` is worth hashing a password for. Raises FORBIDDEN, NOT_FOUND or INVALID as it would."""
    call.need(Permission.USER_EDIT)
    check_role(call, Role(_find(call, user_id).role))
    if password is not None:
        passwords.check_length(password)


def change(call: Call, user_id: int, wanted: Change) -> Any:  # noqa: ANN401 - a row
    """Change what is given; a new role or password, or a status other than active, ends the user's tokens.

    Raises NOT_FOUND, FORBIDDEN for a role above the caller's own, CONFLICT when no admin would be left, and for a
    password or a status of a user who has not accepted the invitation yet.
    """
    call.need(Permission.USER_EDIT)
    user = _locked(call, user_id)
    check_role(call, Role(user.role), *([wanted.role] if wanted.role else []))
    if wanted.role not in {None, Role.ADMIN} or wanted.status not in {None, UserStatus.ACTIVE}:
        _keep_an_admin(call, user)
    if user.status == UserStatus.PENDING and (wanted.status or wanted.password_hash is not None):
        raise conflict("The user has not accepted the invitation yet. Invite them again, or delete them.", "pending")
    given = {name: value for name, value in asdict(wanted).items() if value is not None}
    if given:
        access.change_user(call.connection, user.organization_id, user_id, {**given, "changed_at": call.now})
    is_new = wanted.password_hash is not None or wanted.role not in {None, user.role}
    if is_new or wanted.status not in {None, UserStatus.ACTIVE}:
        access.remove_tokens_of_user(call.connection, user_id)
    return _find(call, user_id)


def transfer(call: Call, user_id: int, *, organization_id: int, role: Role | None = None) -> Any:  # noqa: ANN401 - a row
    """Move a user to another organization at or below the caller's; their tokens end, what they owned is nobody's.

    Raises NOT_FOUND, FORBIDDEN for a role above the caller's own, CONFLICT for the last admin.
    """
    call.need(Permission.USER_EDIT)
    user = _locked(call, user_id)
    goal = call.within(organization_id).organization_id
    check_role(call, Role(user.role), *([role] if role else []))
    if goal == user.organization_id:
        raise conflict("The user belongs to this organization already.", "already_there")
    _keep_an_admin(call, user)
    values = {"organization_id": goal, "role": role or user.role, "changed_at": call.now}
    # first the row, which waits for whoever is handing out a token or a device to this user; then what they have
    access.change_user(call.connection, user.organization_id, user_id, values)
    access.disown(call.connection, user_id)
    access.remove_tokens_of_user(call.connection, user_id)
    return _find(call, user_id)


def delete(call: Call, user_id: int) -> None:
    """Raises NOT_FOUND, FORBIDDEN for a user above the caller, CONFLICT for the last admin."""
    call.need(Permission.USER_EDIT)
    user = _locked(call, user_id)
    check_role(call, Role(user.role))
    _keep_an_admin(call, user)
    access.remove_user(call.connection, user.organization_id, user_id)


def check_email(email: str) -> str:
    """The email as it is stored: in lower case. Raises INVALID."""
    lowered = email.lower()
    local, _, host = lowered.partition("@")
    plain = lowered.isprintable() and " " not in lowered
    if not local or not host or "@" in host or not plain or len(lowered) > _LONGEST_EMAIL:
        raise invalid("email must be an address such as ada@example.com.", "bad_email")
    return lowered


def email_taken() -> Refusal:
    return conflict("A user with this email exists already.", "email_taken")


def check_role(call: Call, *roles: Role) -> None:
    """Nobody gives, changes or takes more rights than they have themselves. Raises FORBIDDEN."""
    if any(not ROLES[role] <= call.principal.permissions for role in roles):
        raise forbidden("This role has permissions that you do not have. Ask an administrator of your organization.")


def _find(call: Call, user_id: int) -> Any:  # noqa: ANN401 - a row
    user = access.user_below(call.connection, call.principal.organization_id, user_id)
    if user is None:
        raise not_found("User")
    return user


def _locked(call: Call, user_id: int) -> Any:  # noqa: ANN401 - a row
    """The user, while nobody else changes who the admins of their organization are. Raises NOT_FOUND, CONFLICT."""
    organization_id = _find(call, user_id).organization_id
    organizations.lock(call.connection, organization_id)
    user = _find(call, user_id)
    if user.organization_id != organization_id:
        raise conflict("Somebody else moved the user just now. Look again, then retry.", "race")
    return user


def _keep_an_admin(call: Call, user: Any) -> None:  # noqa: ANN401 - a row
    is_admin = user.role == Role.ADMIN and user.status == UserStatus.ACTIVE
    if is_admin and access.admins(call.connection, user.organization_id) == 1:
        raise conflict("This is the last admin of the organization. Make another user an admin first.", "last_admin")

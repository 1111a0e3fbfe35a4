"""`/api/v1/users`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import PHONE, At, Line, Part, ZoneName
from airfreight.apis.common.guard import PASSWORD_GUARD, accept_invitation
from airfreight.apis.common.paging import After, Limit, Page, RowId, page
from airfreight.apis.platform.products import OrgId, OrgIn
from airfreight.domain.access import Permission, Role, UserStatus
from airfreight.services import invitations, passwords, users
from airfreight.services.passwords import Guard

TAGS = ["Users"]

Email = Annotated[str, msgspec.Meta(min_length=3, max_length=254, description="Kept in lower case.")]
Password = Annotated[str, msgspec.Meta(min_length=passwords.SHORTEST, max_length=passwords.LONGEST)]
PersonName = Annotated[Line, msgspec.Meta(max_length=100)]


BelowToo = Annotated[
    bool | None, QueryParameter(name="includeBelow", description="Also the users of the organizations below it.")
]


class Person(In):
    """What is shown of a user; nothing depends on it."""

    title: PersonName = ""
    nick_name: PersonName = ""
    phone: Annotated[str, msgspec.Meta(max_length=32, pattern=PHONE, description="Begins with +.")] = ""
    time_zone: ZoneName = ""
    locale: Annotated[str, msgspec.Meta(pattern=users.LOCALE, description="Such as en_US.")] = ""


class InvitationIn(Person, kw_only=True):
    email: Email
    role: Role
    name: PersonName = ""
    org_id: OrgIn | None = None


class UserIn(InvitationIn, kw_only=True):
    password: Password


class UserChange(In):
    """What is absent (or null) stays as it is. A new role or password, or a status but active, ends their tokens."""

    name: PersonName | None = None
    role: Role | None = None
    status: users.SettableStatus | None = None
    password: Password | None = None


class TransferIn(In):
    org_id: OrgIn
    role: Role | None = None


class AcceptIn(In):
    token: Annotated[Line, msgspec.Meta(min_length=1, max_length=200)]
    password: Password


class User(Out):
    id: int
    organization_id: int
    email: str
    name: str
    role: Role
    status: UserStatus
    title: str
    nick_name: str
    phone: str
    time_zone: str
    locale: str
    created_at: At
    changed_at: At


class InvitedUser(User):
    invite_token: Annotated[str, msgspec.Meta(description="Shown this once; good for a week.")]


def shape(row: Any) -> User:  # noqa: ANN401 - a row
    shown = users.profile(row)
    return User(
        id=row.id,
        organization_id=row.organization_id,
        email=row.email,
        name=row.name,
        role=Role(row.role),
        status=UserStatus(row.status),
        title=shown.title,
        nick_name=shown.nick_name,
        phone=shown.phone,
        time_zone=shown.time_zone,
        locale=shown.locale,
        created_at=row.created_at,
        changed_at=max(row.changed_at, row.created_at),
    )


def _profile(data: Person) -> users.Profile:
    return users.Profile(data.title, data.nick_name, data.phone, data.time_zone, data.locale)


Asked = Request[Any, Any, Any]


@post("/", need=Permission.USER_EDIT, tags=TAGS, sync_to_thread=True)
def create_user(request: Asked, desk: NamedDependency[Desk], data: JSONBody[UserIn]) -> User:
    """Create a user in your organization or one below it. Needs `USER_EDIT` and all permissions of the role."""
    with desk.read(request, data.org_id) as call:
        users.may_create(call, email=data.email, password=data.password, role=data.role)
    password_hash = passwords.hashed(data.password)
    with desk.write(request, data.org_id) as call:
        made = users.create(
            call,
            email=data.email,
            name=data.name,
            role=data.role,
            password_hash=password_hash,
            wanted=_profile(data),
        )
        return shape(made)


@post("/invite", need=Permission.USER_EDIT, tags=TAGS, sync_to_thread=True)
def invite_user(request: Asked, desk: NamedDependency[Desk], data: JSONBody[InvitationIn]) -> InvitedUser:
    """Invite somebody, who chooses a password with the token. Needs `USER_EDIT` and all permissions of the role.

    No mail is sent: pass `inviteToken` on yourself. It works once, for a week; inviting again makes a new one.
    """
    with desk.write(request, data.org_id) as call:
        row, token = invitations.invite(call, email=data.email, name=data.name, role=data.role, wanted=_profile(data))
        return InvitedUser(**msgspec.structs.asdict(shape(row)), invite_token=token)


@post("/accept-invite", tags=TAGS, status_code=200, security=[{}], dependencies=PASSWORD_GUARD, sync_to_thread=True)
def accept_invite(
    request: Asked, desk: NamedDependency[Desk], guard: NamedDependency[Guard], data: JSONBody[AcceptIn]
) -> User:
    """Accept an invitation: the token, and the password to sign in with from now on. Takes no bearer token."""
    return shape(accept_invitation(request, desk, guard, data.token, data.password))


@get("/", need=Permission.USER_VIEW, tags=TAGS, sync_to_thread=True)
def list_users(
    request: Asked,
    desk: NamedDependency[Desk],
    org_id: OrgId = None,
    below: BelowToo = None,
    part: Part = "",
    limit: Limit = 50,
    after: After = 0,
) -> Page[User]:
    """List the users of your organization or of one below it, oldest first. Needs `USER_VIEW`."""
    with desk.read(request, org_id) as call:
        rows = users.search(call, query=part, below=bool(below), after=after, limit=limit + 1)
        return page(rows, limit, shape)


@get("/{user_id:int}", need=Permission.USER_VIEW, tags=TAGS, sync_to_thread=True)
def get_user(request: Asked, desk: NamedDependency[Desk], user_id: RowId) -> User:
    """Get a user. Needs `USER_VIEW`."""
    with desk.read(request) as call:
        return shape(users.get(call, user_id))


@patch("/{user_id:int}", need=Permission.USER_EDIT, tags=TAGS, sync_to_thread=True)
def change_user(request: Asked, desk: NamedDependency[Desk], user_id: RowId, data: JSONBody[UserChange]) -> User:
    """Change a user's name, role, status or password. Needs `USER_EDIT` and all permissions of both roles."""
    with desk.read(request) as call:
        users.may_change(call, user_id, password=data.password)
    password_hash = None if data.password is None else passwords.hashed(data.password)
    with desk.write(request) as call:
        status = None if data.status is None else UserStatus(data.status)
        return shape(users.change(call, user_id, users.Change(data.name, data.role, status, password_hash)))


@post("/{user_id:int}/transfer", need=Permission.USER_EDIT, tags=TAGS, status_code=200, sync_to_thread=True)
def transfer_user(request: Asked, desk: NamedDependency[Desk], user_id: RowId, data: JSONBody[TransferIn]) -> User:
    """Move a user to your organization or one below it. Needs `USER_EDIT` and all permissions of both roles.

    Their tokens end, and the devices and API clients they own are nobody's from then on.
    """
    with desk.write(request) as call:
        return shape(users.transfer(call, user_id, organization_id=data.org_id, role=data.role))


@delete("/{user_id:int}", need=Permission.USER_EDIT, tags=TAGS, sync_to_thread=True)
def delete_user(request: Asked, desk: NamedDependency[Desk], user_id: RowId) -> None:
    """Delete a user, but not the last admin. Needs `USER_EDIT`. Their tokens end; what they made stays."""
    with desk.write(request) as call:
        users.delete(call, user_id)


router = Router(
    "/api/v1/users",
    route_handlers=[
        create_user,
        invite_user,
        accept_invite,
        list_users,
        get_user,
        change_user,
        transfer_user,
        delete_user,
    ],
)

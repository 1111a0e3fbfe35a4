"""Users through this door. Roles are numbers: 1 Admin, 2 Staff, 3 User."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import PHONE, At, Line, Name, Part, ZoneName
from airfreight.apis.common.guard import PASSWORD_GUARD, accept_invitation
from airfreight.apis.shipments.platform.organization import OrgIn
from airfreight.apis.shipments.platform.paging import DEFAULT_SIZE, Content, PageNumber, PageSize, content
from airfreight.apis.shipments.platform.zones import check_tz
from airfreight.domain.access import ROLES, Permission, Role
from airfreight.services import invitations, me, passwords, users
from airfreight.services.call import Call
from airfreight.services.passwords import Guard

TAGS = ["Users"]
Asked = Request[Any, Any, Any]

ROLE_IDS = {1: Role.ADMIN, 2: Role.STAFF, 3: Role.USER}
_ID_OF = {role: number for number, role in ROLE_IDS.items()}

_INT32 = {"format": "int32"}
Id = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1, extra_json_schema=_INT32)]
RoleIn = Annotated[int, msgspec.Meta(ge=1, le=3, description="1 Admin, 2 Staff, 3 User.", extra_json_schema=_INT32)]
UserId = Annotated[int, QueryParameter(name="userId", ge=1, le=2**31 - 1, schema_extra=_INT32)]
RoleId = Annotated[
    int, QueryParameter(name="roleId", ge=1, le=3, description="1 Admin, 2 Staff, 3 User.", schema_extra=_INT32)
]
SubOrgUsers = Annotated[
    bool | None,
    QueryParameter(name="includeSubOrgUsers", description="Also the users of the organizations below yours."),
]
Email = Annotated[str, msgspec.Meta(min_length=3, max_length=254, description="Kept in lower case.")]
Password = Annotated[
    str,
    msgspec.Meta(
        min_length=passwords.SHORTEST, max_length=passwords.LONGEST, description="In place of `passwordHash`."
    ),
]
Short = Annotated[Line, msgspec.Meta(max_length=50)]


class UserState(StrEnum):
    PENDING = "Pending"
    ACTIVE = "Active"
    INACTIVE = "Inactive"
    SUSPENDED = "Suspended"


class UserCreate(In, kw_only=True):
    email: Email
    password: Password
    name: Name
    role_id: RoleIn
    title: Short = ""
    nick_name: Short = ""
    phone_number: Annotated[str, msgspec.Meta(max_length=32, pattern=PHONE, description="Begins with +.")] = ""
    tz: ZoneName = ""
    locale: Annotated[str, msgspec.Meta(pattern=users.LOCALE, description="Such as en_US.")] = ""


class UserCreateInOrg(UserCreate, kw_only=True):
    org_id: OrgIn


class UserInvite(In, kw_only=True):
    email: Email
    name: Name
    role_id: RoleIn
    org_id: OrgIn | None = None
    locale: Annotated[str, msgspec.Meta(pattern=users.LOCALE, description="Such as en_US.")] = ""


class UserTransfer(In):
    user_id: Id
    target_org_id: Id
    role_id: RoleIn | None = None


class InviteAccept(In):
    token: Annotated[Line, msgspec.Meta(min_length=1, max_length=200, description="The `inviteToken`.")]
    password: Password


class UserInList(Out):
    """`isDev`: whether the role may make OAuth clients."""

    id: int
    name: str
    email: str
    role_id: RoleIn
    org_id: int
    is_dev: bool


class UserInfo(UserInList):
    """One user, with what lists leave out."""

    title: str
    nick_name: str
    phone_number: str
    tz: str
    locale: str
    status: UserState
    last_modified_ts: At
    registered_at: At


class UserInvited(UserInfo):
    invite_token: Annotated[str, msgspec.Meta(description="Shown this once; good for a week.")]


class RoleInfo(Out):
    id: RoleIn
    name: str
    permissions: list[Permission]


class UserProfile(UserInfo):
    """`role.permissions` are what this token allows: those of the role, within the scopes of the OAuth client."""

    role: RoleInfo


def in_list(row: Any) -> UserInList:  # noqa: ANN401 - a row
    return UserInList(**_short(row))


def info(row: Any) -> UserInfo:  # noqa: ANN401 - a row
    return UserInfo(**_long(row))


def _short(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row
    role = Role(row.role)
    return {
        "id": row.id,
        "name": row.name,
        "email": row.email,
        "role_id": _ID_OF[role],
        "org_id": row.organization_id,
        "is_dev": Permission.CLIENT_EDIT in ROLES[role],
    }


def _long(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row
    shown = users.profile(row)
    return _short(row) | {
        "title": shown.title,
        "nick_name": shown.nick_name,
        "phone_number": shown.phone,
        "tz": shown.time_zone,
        "locale": shown.locale,
        "status": UserState[row.status.upper()],
        "last_modified_ts": max(row.changed_at, row.created_at),
        "registered_at": row.created_at,
    }


def _role(role: Role, permissions: frozenset[Permission]) -> RoleInfo:
    return RoleInfo(id=_ID_OF[role], name=role.value.capitalize(), permissions=sorted(permissions))


@get("/users", need=Permission.USER_VIEW, tags=TAGS, sync_to_thread=True)
def get_users(
    request: Asked,
    desk: NamedDependency[Desk],
    sub_org_users: SubOrgUsers = None,
    page: PageNumber = 0,
    size: PageSize = DEFAULT_SIZE,
) -> Content[UserInList]:
    """List the users of your organization, oldest first. Needs `USER_VIEW`."""
    with desk.read(request) as call:
        return content(*users.paged(call, below=bool(sub_org_users), skip=page * size, limit=size), in_list)


@get("/search/users", need=Permission.USER_VIEW, tags=TAGS, sync_to_thread=True)
def search_users(
    request: Asked,
    desk: NamedDependency[Desk],
    part: Part,
    page: PageNumber = 0,
    size: PageSize = DEFAULT_SIZE,
) -> Content[UserInList]:
    """Search your organization and those below it for a part of name or email, oldest first. Needs `USER_VIEW`."""
    with desk.read(request) as call:
        return content(*users.paged(call, query=part, below=True, skip=page * size, limit=size), in_list)


@get("/user", need=Permission.USER_VIEW, tags=TAGS, sync_to_thread=True)
def get_user_info(request: Asked, desk: NamedDependency[Desk], user_id: UserId) -> UserInfo:
    """Get a user of your organization or one below it. Needs `USER_VIEW`."""
    with desk.read(request) as call:
        return info(users.get(call, user_id))


@get("/user/profile", tags=TAGS, sync_to_thread=True)
def get_user_profile(request: Asked, desk: NamedDependency[Desk]) -> UserProfile:
    """Get the user whose token this is. Only with a user's token; needs no permission."""
    with desk.read(request) as call:
        row = me.user(call)
        return UserProfile(**_long(row), role=_role(Role(row.role), call.principal.permissions))


@get("/roles", need=Permission.USER_VIEW, tags=TAGS, sync_to_thread=True)
def get_roles(
    request: Asked, desk: NamedDependency[Desk], page: PageNumber = 0, size: PageSize = DEFAULT_SIZE
) -> Content[RoleInfo]:
    """List the roles and what they allow. Needs `USER_VIEW`."""
    with desk.read(request) as call:
        found = users.roles(call)
    return content(found[page * size :][:size], len(found), lambda role: _role(role, ROLES[role]))


@post("/users/create", need=Permission.USER_EDIT, tags=TAGS, sync_to_thread=True)
def create_organization_user(request: Asked, desk: NamedDependency[Desk], data: JSONBody[UserCreate]) -> UserInfo:
    """Create a user in your organization, active at once. Needs `USER_EDIT` and all permissions of the role."""
    with desk.read(request) as call:
        _may_create(call, data)
    password_hash = passwords.hashed(data.password)
    with desk.write(request) as call:
        return _created(call, data, password_hash)


@post("/users/create-in-org", need=Permission.USER_EDIT, tags=TAGS, sync_to_thread=True)
def create_user_in_org(request: Asked, desk: NamedDependency[Desk], data: JSONBody[UserCreateInOrg]) -> UserInfo:
    """Create a user in your organization or one below it. Needs `USER_EDIT` and all permissions of the role."""
    with desk.read(request, data.org_id) as call:
        _may_create(call, data)
    password_hash = passwords.hashed(data.password)
    with desk.write(request, data.org_id) as call:
        return _created(call, data, password_hash)


def _may_create(call: Call, data: UserCreate) -> None:
    check_tz(data.tz)
    users.may_create(call, email=data.email, password=data.password, role=ROLE_IDS[data.role_id])


def _created(call: Call, data: UserCreate, password_hash: str) -> UserInfo:
    made = users.create(
        call,
        email=data.email,
        name=data.name,
        role=ROLE_IDS[data.role_id],
        password_hash=password_hash,
        wanted=users.Profile(data.title, data.nick_name, data.phone_number, data.tz, data.locale),
    )
    return info(made)


@post("/users/invite", need=Permission.USER_EDIT, tags=TAGS, sync_to_thread=True)
def invite_organization_user(request: Asked, desk: NamedDependency[Desk], data: JSONBody[UserInvite]) -> UserInvited:
    """Invite somebody, who chooses a password with the token. Needs `USER_EDIT` and all permissions of the role.

    No mail is sent: pass `inviteToken` on yourself. It works once, for a week; inviting again makes a new one.
    """
    with desk.write(request, data.org_id) as call:
        row, token = invitations.invite(
            call,
            email=data.email,
            name=data.name,
            role=ROLE_IDS[data.role_id],
            wanted=users.Profile(locale=data.locale),
        )
        return UserInvited(**_long(row), invite_token=token)


@post(
    "/users/accept-invite",
    tags=TAGS,
    status_code=200,
    security=[{}],
    dependencies=PASSWORD_GUARD,
    sync_to_thread=True,
)
def accept_user_invite(
    request: Asked, desk: NamedDependency[Desk], guard: NamedDependency[Guard], data: JSONBody[InviteAccept]
) -> UserInfo:
    """Accept an invitation: the token, and the password to sign in with from now on. Takes no bearer token."""
    return info(accept_invitation(request, desk, guard, data.token, data.password))


@put("/users/role", need=Permission.USER_EDIT, tags=TAGS, sync_to_thread=True)
def set_user_role(request: Asked, desk: NamedDependency[Desk], user_id: UserId, role_id: RoleId) -> UserInfo:
    """Give a user another role; their tokens end. Needs `USER_EDIT` and all permissions of both roles."""
    with desk.write(request) as call:
        return info(users.change(call, user_id, users.Change(role=ROLE_IDS[role_id])))


@post("/users/transfer", need=Permission.USER_EDIT, tags=TAGS, sync_to_thread=True)
def transfer_organization_user(request: Asked, desk: NamedDependency[Desk], data: JSONBody[UserTransfer]) -> UserInfo:
    """Move a user to your organization or one below it. Needs `USER_EDIT` and all permissions of both roles.

    Their tokens end, and the devices and OAuth clients they own are nobody's from then on.
    """
    role = None if data.role_id is None else ROLE_IDS[data.role_id]
    with desk.write(request) as call:
        return info(users.transfer(call, data.user_id, organization_id=data.target_org_id, role=role))


HANDLERS = [
    get_users,
    search_users,
    get_user_info,
    get_user_profile,
    get_roles,
    create_organization_user,
    create_user_in_org,
    invite_organization_user,
    accept_user_invite,
    set_user_role,
    transfer_organization_user,
]

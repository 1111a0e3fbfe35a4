"""`/api/v1/users`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import At, Line
from airfreight.apis.common.paging import After, Limit, Page, RowId, page
from airfreight.domain.access import Role
from airfreight.services import passwords, users

TAGS = ["Users"]

Email = Annotated[str, msgspec.Meta(min_length=3, max_length=254, description="Kept in lower case.")]
Password = Annotated[str, msgspec.Meta(min_length=passwords.SHORTEST, max_length=passwords.LONGEST)]
PersonName = Annotated[Line, msgspec.Meta(max_length=100)]


class UserIn(In):
    email: Email
    password: Password
    role: Role
    name: PersonName = ""


class UserChange(In):
    """What is absent (or null) stays as it is. A new role or password ends the user's tokens."""

    name: PersonName | None = None
    role: Role | None = None
    password: Password | None = None


class User(Out):
    id: int
    email: str
    name: str
    role: Role
    created_at: At


def shape(row: Any) -> User:  # noqa: ANN401 - a row
    return User(id=row.id, email=row.email, name=row.name, role=Role(row.role), created_at=row.created_at)


@post("/", tags=TAGS, sync_to_thread=True)
def create_user(request: Request[Any, Any, Any], desk: NamedDependency[Desk], data: JSONBody[UserIn]) -> User:
    """Create a user in your organization. Needs `USER_EDIT` and all permissions of the role."""
    with desk.read(request) as call:
        users.may_create(call, email=data.email, password=data.password, role=data.role)
    password_hash = passwords.hashed(data.password)
    with desk.write(request) as call:
        return shape(users.create(call, email=data.email, name=data.name, role=data.role, password_hash=password_hash))


@get("/", tags=TAGS, sync_to_thread=True)
def list_users(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], limit: Limit = 50, after: After = 0
) -> Page[User]:
    """List the users of your organization, oldest first. Needs `USER_VIEW`."""
    with desk.read(request) as call:
        return page(users.search(call, after=after, limit=limit + 1), limit, shape)


@get("/{user_id:int}", tags=TAGS, sync_to_thread=True)
def get_user(request: Request[Any, Any, Any], desk: NamedDependency[Desk], user_id: RowId) -> User:
    """Get a user. Needs `USER_VIEW`."""
    with desk.read(request) as call:
        return shape(users.get(call, user_id))


@patch("/{user_id:int}", tags=TAGS, sync_to_thread=True)
def change_user(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], user_id: RowId, data: JSONBody[UserChange]
) -> User:
    """Change a user's name, role or password. Needs `USER_EDIT` and all permissions of both roles."""
    with desk.read(request) as call:
        users.may_change(call, user_id, password=data.password)
    password_hash = None if data.password is None else passwords.hashed(data.password)
    with desk.write(request) as call:
        return shape(users.change(call, user_id, name=data.name, role=data.role, password_hash=password_hash))


@delete("/{user_id:int}", tags=TAGS, sync_to_thread=True)
def delete_user(request: Request[Any, Any, Any], desk: NamedDependency[Desk], user_id: RowId) -> None:
    """Delete a user, but not the last admin. Needs `USER_EDIT`. Their tokens end; what they made stays."""
    with desk.write(request) as call:
        users.delete(call, user_id)


router = Router("/api/v1/users", route_handlers=[create_user, list_users, get_user, change_user, delete_user])

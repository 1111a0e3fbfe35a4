"""`/api/v1/enrollment-keys`."""

from typing import Annotated, Any

import msgspec
from litestar import Request, Router, delete, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from airfreight.apis.common.body import In, Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import At, ShortName
from airfreight.apis.common.paging import After, Limit, Page, RowId, page
from airfreight.domain.access import Permission
from airfreight.services import enrollment

TAGS = ["Enrollment keys"]


class EnrollmentKeyIn(In):
    name: ShortName


class NewEnrollmentKey(Out):
    id: int
    name: str
    key: Annotated[str, msgspec.Meta(description="Shown this once.")]


class EnrollmentKey(Out):
    id: int
    name: str
    created_at: At


def shape(row: Any) -> EnrollmentKey:  # noqa: ANN401 - a row
    return EnrollmentKey(id=row.id, name=row.name, created_at=row.created_at)


@post("/", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def create_enrollment_key(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], data: JSONBody[EnrollmentKeyIn]
) -> NewEnrollmentKey:
    """Create a key with which devices enroll themselves. Needs `DEVICE_EDIT`."""
    with desk.write(request) as call:
        key_id, key = enrollment.create(call, name=data.name)
        return NewEnrollmentKey(id=key_id, name=data.name, key=key)


@get("/", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def list_enrollment_keys(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], limit: Limit = 50, after: After = 0
) -> Page[EnrollmentKey]:
    """List the enrollment keys, without the keys themselves. Needs `DEVICE_EDIT`."""
    with desk.read(request) as call:
        return page(enrollment.search(call, after=after, limit=limit + 1), limit, shape)


@delete("/{key_id:int}", need=Permission.DEVICE_EDIT, tags=TAGS, sync_to_thread=True)
def delete_enrollment_key(request: Request[Any, Any, Any], desk: NamedDependency[Desk], key_id: RowId) -> None:
    """Delete an enrollment key; devices that used it stay. Needs `DEVICE_EDIT`."""
    with desk.write(request) as call:
        enrollment.delete(call, key_id)


router = Router(
    "/api/v1/enrollment-keys", route_handlers=[create_enrollment_key, list_enrollment_keys, delete_enrollment_key]
)

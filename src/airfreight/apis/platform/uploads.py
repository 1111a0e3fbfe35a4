"""`/api/v1/uploads`: files that come in pieces, as tus 1.0.0 has it; what is complete is an artifact."""

import asyncio
from contextlib import suppress
from typing import Annotated, Any

from litestar import MediaType, Response, Router, delete, get, head, patch, post, route
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter

from airfreight.apis.common.asgi import Receive, chunks
from airfreight.apis.common.body import Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.errors import ErrorResponse
from airfreight.apis.common.paging import After, Limit, Page
from airfreight.apis.platform import tus
from airfreight.apis.platform.artifacts import Artifact, shape
from airfreight.apis.platform.pieces import full_disks_refuse, take
from airfreight.apis.platform.tus import Appending, Asked, Asking, Creating
from airfreight.domain.access import Permission
from airfreight.domain.errors import Kind, Refusal, invalid
from airfreight.ports import Partial
from airfreight.services import artifacts, uploads
from airfreight.services.uploads import Seen

TAGS = ["Uploads"]
_PIECE = {tus.OFFSET_TYPE: {"schema": {"type": "string", "format": "binary"}}}
_ANOTHER_VERSION = {412: ResponseSpec(ErrorResponse, description="`Tus-Resumable` is not 1.0.0")}
_UUID = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"

UploadId = Annotated[str, PathParameter(description="The upload's id.", schema_extra={"pattern": _UUID})]


class Upload(Out):
    """`offset` of its `size` bytes are there; `metadata` is what its sender said; `artifact` what it has become."""

    id: str
    filename: str
    size: int
    offset: int
    metadata: dict[str, str]
    created_at: int
    expires_at: int
    artifact: Artifact | None


def _shape(seen: Seen) -> Upload:
    row = seen.row
    return Upload(
        id=row.uid,
        filename=row.filename,
        size=row.size,
        offset=seen.offset,
        metadata=tus.metadata(row.told),
        created_at=row.created_at,
        expires_at=row.expires_at,
        artifact=None if seen.artifact is None else shape(seen.artifact),
    )


@route(
    "/",
    http_method=["OPTIONS"],
    tags=TAGS,
    status_code=204,
    opt={"answers_options": True},
    include_in_schema=False,
    sync_to_thread=False,
)
def say_what_is_spoken(desk: NamedDependency[Desk]) -> Response[None]:
    """What tus clients ask first; needs no token, as everywhere."""
    longest = desk.settings.max_stream_bytes
    told = {"Tus-Version": tus.VERSION, "Tus-Extension": tus.EXTENSIONS, "Allow": "GET, OPTIONS, POST"}
    return Response(None, status_code=204, headers=told | ({"Tus-Max-Size": str(longest)} if longest else {}))


@post(
    "/",
    need=Permission.OTA_START,
    tags=TAGS,
    status_code=201,
    sync_to_thread=True,
    operation_class=Creating,
    responses=_ANOTHER_VERSION | {413: ResponseSpec(ErrorResponse, description="The file is larger than the limit")},
)
def create_upload(request: Asked, desk: NamedDependency[Desk]) -> Response[Upload]:
    """Begin an upload that can be gone on with after it broke off (tus 1.0.0). Needs `OTA_START`.

    The answer's `Location` is where its bytes go, by PATCH; `Upload-Expires` until when they are waited for.
    """
    with desk.write(request) as call:
        artifacts.may_upload(call)
        if tus.one(request, "Upload-Defer-Length"):
            raise invalid("Say how long the file is (Upload-Length): it cannot be said later.")
        size, told = tus.number(request, "Upload-Length"), tus.one(request, "Upload-Metadata")
        said = tus.metadata(told)
        row = uploads.create(
            call, filename=said.get("filename", ""), size=size, description=said.get("description", ""), told=told
        )
    headers = {"Location": f"{tus.PATH}/{row.uid}", "Upload-Expires": tus.expires(row.expires_at)}
    return Response(_shape(Seen(row, 0)), status_code=201, headers=headers)


@get("/", need=Permission.OTA_START, tags=TAGS, responses=_ANOTHER_VERSION, sync_to_thread=True)
def list_uploads(request: Asked, desk: NamedDependency[Desk], limit: Limit = 50, after: After = 0) -> Page[Upload]:
    """List the uploads that have not expired, finished or not, oldest first. Needs `OTA_START`."""
    with desk.read(request) as call:
        found = uploads.search(call, after=after, limit=limit + 1)
    shown = found[:limit]
    return Page([_shape(seen) for seen in shown], shown[-1].row.id if len(found) > limit else None)


@get("/{upload_id:str}", need=Permission.OTA_START, tags=TAGS, responses=_ANOTHER_VERSION, sync_to_thread=True)
def get_upload(request: Asked, desk: NamedDependency[Desk], upload_id: UploadId) -> Upload:
    """Get an upload: how far it is, and the artifact that it has become. Needs `OTA_START`.

    One that has all its bytes and was interrupted then is finished first.
    """
    return _shape(_settled(request, desk, upload_id))


@head(
    "/{upload_id:str}",
    need=Permission.OTA_START,
    tags=TAGS,
    responses=_ANOTHER_VERSION,
    sync_to_thread=True,
    operation_class=Asking,
)
def get_upload_offset(request: Asked, desk: NamedDependency[Desk], upload_id: UploadId) -> Response[None]:
    """How many bytes of an upload are there: `Upload-Offset`, of `Upload-Length`. Needs `OTA_START`."""
    seen = _settled(request, desk, upload_id)
    told = {"Upload-Metadata": seen.row.told, "Upload-Length": str(seen.row.size), "Cache-Control": "no-store"}
    return Response(
        None, status_code=200, media_type=MediaType.TEXT, headers=told | _progress(seen, seen.row.expires_at)
    )


@patch(
    "/{upload_id:str}",
    need=Permission.OTA_START,
    tags=TAGS,
    status_code=204,
    request_max_body_size=None,
    opt={"request_content": _PIECE},
    responses=_ANOTHER_VERSION,
    operation_class=Appending,
)
async def append_to_upload(request: Asked, desk: NamedDependency[Desk], upload_id: UploadId) -> Response[None]:
    """Send the next bytes of an upload; with its last one it is an artifact (`Artifact-Id`). Needs `OTA_START`.

    What came is kept when the body breaks off. A file that is refused then leaves nothing.
    """
    seen, partial = await asyncio.to_thread(_grasp, request, desk, upload_id)
    receive: Receive = request.receive  # type: ignore[assignment]  # Litestar's messages are TypedDicts
    if partial is None:
        async for _ in chunks(receive, desk.settings.chunk_seconds):
            raise uploads.more_than_announced()
        return Response(None, status_code=204, headers=_progress(seen, 0))
    try:
        await take(receive, desk, partial, seen.row.size)
    except BaseException:
        await asyncio.shield(asyncio.to_thread(_break_off, request, desk, seen.row, partial))
        raise
    seen, expires_at = await asyncio.shield(asyncio.to_thread(_end, request, desk, seen.row, partial))
    return Response(None, status_code=204, headers=_progress(seen, expires_at))


@delete("/{upload_id:str}", need=Permission.OTA_START, tags=TAGS, responses=_ANOTHER_VERSION, sync_to_thread=True)
def delete_upload(request: Asked, desk: NamedDependency[Desk], upload_id: UploadId) -> None:
    """Forget an upload and its bytes; an artifact that it has become stays. Needs `OTA_START`."""
    with desk.write(request) as call:
        uploads.remove(call, upload_id)


def _progress(seen: Seen, expires_at: int) -> dict[str, str]:
    """What a client goes by; an artifact does not expire."""
    if seen.artifact is not None:
        return {"Upload-Offset": str(seen.offset), "Artifact-Id": str(seen.artifact.id)}
    return {"Upload-Offset": str(seen.offset), "Upload-Expires": tus.expires(expires_at)}


def _look(request: Asked, desk: Desk, uid: str) -> Seen:
    """Raises NOT_FOUND."""
    for _ in range(2):
        with desk.read(request) as call:
            if (seen := uploads.look(call, uid)) is not None:
                return seen
    raise uploads.gone()


def _grasp(request: Asked, desk: Desk, uid: str) -> tuple[Seen, Partial | None]:
    """The bytes, to add the body to them; None when it is finished and the body may only be empty. Raises Refusal."""
    _look(request, desk, uid)
    tus.check_type(request)
    offset = tus.number(request, "Upload-Offset")
    partial = uploads.hold(desk.blobs, uid)
    try:
        seen = _look(request, desk, uid)  # again, now that nobody else can change it
        uploads.check_next(desk.settings, desk.blobs, seen, offset, tus.announced(request))
        if seen.artifact is None:
            if partial is None:
                raise uploads.gone()
            held, partial = partial, None
            return seen, held
        return seen, None
    finally:
        if partial is not None:
            partial.close()


def _break_off(request: Asked, desk: Desk, row: Any, partial: Partial) -> None:  # noqa: ANN401 - a row
    """What came is there, and waited for anew."""
    try:
        with suppress(Refusal), desk.write(request) as call:
            uploads.move_on(call, row)
    finally:
        partial.close()


def _end(request: Asked, desk: Desk, row: Any, partial: Partial) -> tuple[Seen, int]:  # noqa: ANN401 - a row
    """After the piece: how far it is now, and until when the next one is waited for. Raises Refusal."""
    try:
        with full_disks_refuse():
            partial.sync()
        if partial.size == row.size:
            return _finish(request, desk, row, partial), 0
        with desk.write(request) as call:
            return Seen(row, partial.size), uploads.move_on(call, row)
    finally:
        partial.close()


def _settled(request: Asked, desk: Desk, uid: str) -> Seen:
    """How far it is; finished, if a request that should have done so was interrupted. Raises Refusal."""
    seen = _look(request, desk, uid)
    if not seen.is_ripe:
        return seen
    try:
        partial = uploads.hold(desk.blobs, uid)
    except Refusal:
        return seen  # somebody is at it
    if partial is None:
        return _look(request, desk, uid)
    try:
        seen = _look(request, desk, uid)
        return _finish(request, desk, seen.row, partial) if seen.is_ripe else seen
    finally:
        partial.close()


def _finish(request: Asked, desk: Desk, row: Any, partial: Partial) -> Seen:  # noqa: ANN401 - a row
    """Make the artifact, as a whole upload does. What is refused leaves nothing. Raises Refusal."""
    try:
        facts = artifacts.read(partial.path, row.filename)
        with full_disks_refuse():
            blob = partial.store()
    except FileNotFoundError:
        raise uploads.gone() from None  # somebody has removed it meanwhile
    except Refusal as refusal:
        if refusal.kind is Kind.INVALID:
            with desk.write(request) as call:
                uploads.drop(call, row)
        raise
    with desk.write(request) as call:
        made = uploads.finish(call, row, blob, facts)
    desk.blobs.partials.remove(row.uid)
    return Seen(row, row.size, made)


router = Router(
    tus.PATH,
    route_handlers=[
        say_what_is_spoken,
        create_upload,
        list_uploads,
        get_upload,
        get_upload_offset,
        append_to_upload,
        delete_upload,
    ],
    middleware=[tus.resumable],
)

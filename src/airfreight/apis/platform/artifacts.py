"""`/api/v1/artifacts`: upload by raw body, look, delete."""

import asyncio
import json
from typing import Annotated, Any

from litestar import Request, Router, delete, get, put
from litestar.di import NamedDependency
from litestar.params import Parameter

from airfreight.apis.common import uploads
from airfreight.apis.common.body import Out
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.firmware_info import FirmwareInfo, info
from airfreight.apis.common.paging import After, Limit, Page, RowId, page
from airfreight.domain.access import Permission
from airfreight.formats.facts import Facts
from airfreight.ports import Blob
from airfreight.services import artifacts

TAGS = ["Artifacts"]
Asked = Request[Any, Any, Any]

_RAW = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


class ArtifactFacts(Out):
    """What was read from the file; empty where it says nothing."""

    format: str
    version: str
    build: str
    fw_type: str
    board: str
    library_version: str
    component: str
    tagged: bool
    identity: str
    details: dict[str, Any]
    warnings: list[str]


class Artifact(Out):
    """A stored file. `path` names it in the Shipments API; hashes in hex."""

    id: int
    uid: str
    path: str
    filename: str
    size: int
    sha256: str
    md5: str
    facts: ArtifactFacts
    firmware_info: FirmwareInfo
    created_at: int


def shape(row: Any) -> Artifact:  # noqa: ANN401 - a row
    details = json.loads(row.details)
    warnings = details.pop("warnings", [])
    return Artifact(
        id=row.id,
        uid=row.uid,
        path=row.path,
        filename=row.filename,
        size=row.size,
        sha256=row.sha256,
        md5=row.md5,
        facts=ArtifactFacts(
            format=row.format,
            version=row.version,
            build=row.build,
            fw_type=row.fw_type,
            board=row.board,
            library_version=row.library_version,
            component=row.component,
            tagged=bool(row.tagged),
            identity=row.identity,
            details=details,
            warnings=warnings,
        ),
        firmware_info=info(row),
        created_at=row.created_at,
    )


@put(
    "/",
    need=Permission.OTA_START,
    tags=TAGS,
    status_code=201,
    request_max_body_size=None,
    opt={"request_content": _RAW},
)
async def upload_artifact(
    request: Asked,
    desk: NamedDependency[Desk],
    filename: Annotated[str, Parameter(min_length=1, max_length=255, description="The file's name, for people.")],
) -> Artifact:
    """Upload a file as the raw body, whatever its content type. Needs `OTA_START`."""
    limit = desk.settings.max_upload_bytes
    artifacts.check_filename(filename)
    await asyncio.to_thread(uploads.check, request, desk, limit)
    blob, facts = await uploads.receive_raw(request, desk, limit, filename)
    return await asyncio.to_thread(_register, request, desk, blob, filename, facts)


def _register(request: Asked, desk: Desk, blob: Blob, filename: str, facts: Facts) -> Artifact:
    with desk.write(request) as call:
        return shape(artifacts.register(call, blob, filename, facts))


@get("/", need=Permission.OTA_VIEW, tags=TAGS, sync_to_thread=True)
def list_artifacts(request: Asked, desk: NamedDependency[Desk], limit: Limit = 50, after: After = 0) -> Page[Artifact]:
    """List artifacts, oldest first. Needs `OTA_VIEW`."""
    with desk.read(request) as call:
        return page(artifacts.search(call, after=after, limit=limit + 1), limit, shape)


@get("/{artifact_id:int}", need=Permission.OTA_VIEW, tags=TAGS, sync_to_thread=True)
def get_artifact(request: Asked, desk: NamedDependency[Desk], artifact_id: RowId) -> Artifact:
    """Get an artifact. Needs `OTA_VIEW`."""
    with desk.read(request) as call:
        return shape(artifacts.get(call, artifact_id))


@delete("/{artifact_id:int}", need=Permission.OTA_CANCEL, tags=TAGS, sync_to_thread=True)
def delete_artifact(request: Asked, desk: NamedDependency[Desk], artifact_id: RowId) -> None:
    """Delete an artifact that no rollout has used. Needs `OTA_CANCEL`."""
    with desk.write(request) as call:
        artifacts.delete(call, artifact_id)


router = Router("/api/v1/artifacts", route_handlers=[upload_artifact, list_artifacts, get_artifact, delete_artifact])

"""Packages: uploaded as a form or as they are, listed, deleted. A package is an artifact; so is every other file."""

import asyncio
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from litestar import delete, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter
from python_multipart.multipart import parse_options_header

from airfreight.apis.campaigns import translate
from airfreight.apis.campaigns.errors import Asked
from airfreight.apis.campaigns.routes_campaigns import EACH
from airfreight.apis.campaigns.shapes import UUID, Done, Made, Program, ProgramPage
from airfreight.apis.campaigns.wire import (
    DEFAULT_SIZE,
    Direction,
    Number,
    Size,
    Sort,
    page_info,
    paged,
    reading,
    writing,
)
from airfreight.apis.common import uploads
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import LINE
from airfreight.apis.common.uploads import Form
from airfreight.domain.access import Permission
from airfreight.domain.errors import invalid
from airfreight.formats.facts import Facts
from airfreight.ports import Blob
from airfreight.services import actors, artifacts

PACKAGES: dict[str, Any] = EACH | {"tags": ["Packages"]}
LONGEST_FORM = 1024**3
"""Of a file in a form; one that is sent as it is may be as large as the server takes any."""

LONGEST_DESCRIPTION = 128
_UNNAMED = "package"
_EXTENDED = re.compile(r";\s*filename\*\s*=\s*utf-8'[^';]*'([\w!#$&+.^`|~%-]+)\s*(?:;|$)", re.ASCII | re.IGNORECASE)
"""The name of a file that has other letters than ASCII. Source: RFC 6266, 4.3."""

_IN_USE = "A campaign has used this package; it is kept for the record."

ProgramId = Annotated[str, PathParameter(description="The package's id.", schema_extra={"pattern": UUID})]
_FILE = {"type": "string", "format": "binary", "description": "The file"}
_TEXT = {"type": "string", "maxLength": LONGEST_DESCRIPTION}
_CONTENT = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {"file": _FILE, "description": _TEXT},
            "required": ["file"],
            "additionalProperties": False,
        }
    },
    "application/octet-stream": {"schema": _FILE},
}


@post(
    "/programs",
    operation_id="uploadPackage",
    need=Permission.OTA_START,
    request_max_body_size=None,
    opt={"request_content": _CONTENT},
    **{name: value for name, value in PACKAGES.items() if name != "sync_to_thread"},
)
async def upload_package(
    request: Asked,
    desk: NamedDependency[Desk],
    name: Annotated[str, QueryParameter(max_length=255, description="The file's name, if it is not in a form.")] = "",
    description: Annotated[
        str, QueryParameter(max_length=LONGEST_DESCRIPTION, pattern=LINE, description="The same of its description.")
    ] = "",
) -> Made:
    """Upload a package: as multipart/form-data (`file`, `description`), or as the body itself. Needs `OTA_START`
    (Create Package).

    A form may bring up to 1 GiB. A body of any other content type is the file, as large as the server takes any; its
    name is that of `Content-Disposition`, or `name`. A package that contradicts itself is refused.
    """
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await _from_form(request, desk)
    limit = desk.settings.stream_limit
    filename = artifacts.check_filename(name or _disposed(request) or _UNNAMED, "name")
    await asyncio.to_thread(uploads.check, request, desk, limit)
    blob, facts = await uploads.receive_raw(request, desk, limit, filename)
    return await asyncio.to_thread(_register, request, desk, blob, filename, facts, description)


async def _from_form(request: Asked, desk: Desk) -> Made:
    limit = min(LONGEST_FORM, desk.settings.max_upload_bytes)
    await asyncio.to_thread(uploads.check, request, desk, limit, uploads.OVERHEAD)
    form = await uploads.receive_form(request, desk, limit, "file", _judge)
    described = form.fields.get("description", "")
    return await asyncio.to_thread(
        _register, request, desk, form.stored, form.filename or _UNNAMED, form.facts, described
    )


def _judge(form: Form, path: Path) -> None:
    if set(form.fields) - {"description"}:
        raise invalid("The form may have file and description, and nothing else.", "bad_form")
    described = form.fields.get("description", "")
    if len(described) > LONGEST_DESCRIPTION or not (described.isprintable()):
        raise invalid(f"description must be one line of at most {LONGEST_DESCRIPTION} characters.", "bad_form")
    name = artifacts.check_filename(form.filename or _UNNAMED, "The name of the file")
    if form.has_file:
        form.facts = artifacts.read(path, name)


def _disposed(request: Asked) -> str:
    """The file's name in the header `Content-Disposition`; of two the one that can have any letters."""
    header = request.headers.get("content-disposition", "")
    found = _EXTENDED.search(header)
    extended = unquote(found[1], errors="replace") if found else ""
    if extended and "\N{REPLACEMENT CHARACTER}" not in extended:
        return extended
    _, options = parse_options_header(header)
    return options.get(b"filename", b"").decode("utf-8", "replace")


def _register(request: Asked, desk: Desk, blob: Blob, filename: str, facts: Facts | None, description: str) -> Made:
    with writing(desk, request) as call:
        return Made(uuid=artifacts.register(call, blob, filename, facts, description=description).uid)


@get("/programs", operation_id="listPackages", need=Permission.OTA_VIEW, **PACKAGES)
def list_packages(
    request: Asked,
    desk: NamedDependency[Desk],
    name: Annotated[str, QueryParameter(max_length=255, pattern=LINE, description="A part of the name.")] = "",
    number: Number = 1,
    size: Size = DEFAULT_SIZE,
    sort: Direction = Sort.DESC,
) -> ProgramPage:
    """Packages, whatever door they came through. Needs `OTA_VIEW` (View Package)."""
    number, size = paged(request, number, size)
    with reading(desk, request) as call:
        rows, total = artifacts.paged(
            call, part=name, newest_first=sort is Sort.DESC, skip=(number - 1) * size, limit=size
        )
        names = actors.names(call, {row.made_by for row in rows})
        programs = [translate.program(row, names) for row in rows]
        return ProgramPage(programs=programs, page_info=page_info(number, size, total))


@get("/programs/{program_id:str}/file-info", operation_id="getPackageInfo", need=Permission.OTA_VIEW, **PACKAGES)
def get_package_info(request: Asked, desk: NamedDependency[Desk], program_id: ProgramId) -> Program:
    """One package. Needs `OTA_VIEW` (View Package)."""
    with reading(desk, request) as call:
        row = artifacts.by_uid(call, program_id, "Package")
        return translate.program(row, actors.names(call, {row.made_by}))


@delete("/programs/{program_id:str}", operation_id="deletePackage", need=Permission.OTA_CANCEL, **PACKAGES)
def delete_package(request: Asked, desk: NamedDependency[Desk], program_id: ProgramId) -> Done:
    """Delete a package that no campaign uses. Needs `OTA_CANCEL` (Delete Package)."""
    with writing(desk, request) as call:
        package = artifacts.by_uid(call, program_id, "Package", need=Permission.OTA_CANCEL)
        artifacts.delete(call, package.id, _IN_USE)
    return Done()


HANDLERS = [upload_package, list_packages, get_package_info, delete_package]

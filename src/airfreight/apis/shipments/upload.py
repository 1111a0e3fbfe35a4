"""`POST /api/upload`: the form that hands in a file for a shipment."""

import asyncio
from pathlib import Path
from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency

from airfreight.apis.common import uploads
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.firmware_info import info
from airfreight.apis.common.uploads import Form
from airfreight.apis.shipments.shapes import Uploaded
from airfreight.domain.access import Permission
from airfreight.domain.errors import invalid
from airfreight.services import artifacts

_FORM = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {
                "upfile": {"type": "string", "format": "binary", "description": "The file"},
                "type": {"type": "string", "enum": ["FIRMWARE"]},
            },
            "required": ["upfile", "type"],
            "additionalProperties": False,
        }
    }
}


@post(
    "/api/upload",
    operation_id="upload",
    need=Permission.OTA_START,
    tags=["Shipments"],
    status_code=200,
    request_max_body_size=None,
    opt={"request_content": _FORM},
)
async def upload(request: Request[Any, Any, Any], desk: NamedDependency[Desk]) -> Uploaded:
    """Upload a file (multipart: `upfile`, `type=FIRMWARE`). Needs `OTA_START`."""
    limit = desk.settings.max_form_bytes
    await asyncio.to_thread(uploads.check, request, desk, limit, uploads.OVERHEAD)
    form = await uploads.receive_form(request, desk, limit, "upfile", _judge)
    return await asyncio.to_thread(_register, request, desk, form)


def _judge(form: Form, path: Path) -> None:
    if not form.has_file:
        return
    if form.fields != {"type": "FIRMWARE"}:
        raise invalid("The form needs exactly the fields upfile and type; type must be FIRMWARE.", "bad_form")
    form.facts = artifacts.read(path, form.filename)


def _register(request: Request[Any, Any, Any], desk: Desk, form: Form) -> Uploaded:
    with desk.write(request) as call:
        artifact = artifacts.register(call, form.stored, form.filename, form.facts)
        return Uploaded(path=artifact.path, firmwareInfo=info(artifact))

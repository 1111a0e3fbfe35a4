"""Uploads for single devices and the list of them, for people and their scripts. No rule lives here."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from msgspec import UNSET

from airfreight.apis.common import uploads
from airfreight.apis.common.desk import Desk
from airfreight.apis.common.fields import LINE
from airfreight.apis.common.uploads import Form
from airfreight.apis.device_ota import bare_forms, translate
from airfreight.apis.device_ota.errors import NO_SUCH_DEVICE, Problem
from airfreight.apis.device_ota.shapes import Message, OtaPage
from airfreight.domain.access import Permission
from airfreight.domain.errors import Kind, Refusal, invalid
from airfreight.ports import Blob
from airfreight.services import artifacts, single_updates
from airfreight.services.call import Call
from airfreight.services.single_updates import Wish

TAGS = ["Device OTA"]
_TRIES = 5
_UNNAMED = "firmware.bin"

Asked = Request[Any, Any, Any]
Search = Annotated[
    str, QueryParameter(name="search_value", max_length=255, pattern=LINE, description="What to look for.")
]
Offset = Annotated[int, QueryParameter(name="offset", ge=0, le=2**31 - 1, description="How many to skip.")]
Limit = Annotated[int, QueryParameter(name="limit", ge=1, le=1000, description="How many to return.")]
Draw = Annotated[str | None, QueryParameter(name="draw", max_length=64, pattern=LINE, description="Returned as it is.")]
Order = Annotated[Literal["asc", "desc"], QueryParameter(name="order_dir", description="Oldest or newest first.")]
DEFAULT_LIMIT = 100

_WORDS = {
    400: "Something in the request is wrong; the message says what",
    403: "The caller lacks a permission",
    429: "Too many requests; `Retry-After` says when to go on",
    500: "The server made a mistake",
}
FAILURE = "Error when uploading firmware file"
DEPLOYED = Message("Firmware successfully deployed")
_STRANGER = "The bearer token is missing or expired: the plain word Unauthorized"
_WITH_BODY = {
    409: "It clashes with what is there, or the disk is full",
    413: "The body is larger than the server accepts",
    415: "The body has another content type than the one documented",
}


def form_of(whom: str) -> dict[str, Any]:
    """The multipart form of an upload for a `whom`, for the OpenAPI document."""
    properties = {
        "firmware": {"type": "string", "format": "binary", "description": "An ESP app image"},
        whom: {"type": "string", "pattern": "^[0-9a-f]{24}$", "description": f"The {whom}'s id"},
        "token": {"type": "string", "maxLength": 200, "description": f"The {whom}'s token"},
        "version": {"type": "string", "maxLength": 32, "description": "A semantic version such as 1.5.7"},
    }
    schema = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return {"multipart/form-data": {"schema": schema}}


def problems(*, body: bool = True, missing: str = NO_SUCH_DEVICE) -> dict[int, ResponseSpec]:
    """What every route of this door can answer instead of what was asked for."""
    words = _WORDS | {404: missing} | (_WITH_BODY if body else {})
    made = {status: ResponseSpec(Problem, description=text, generate_examples=False) for status, text in words.items()}
    return made | {401: ResponseSpec(str, description=_STRANGER, generate_examples=False)}


@get(
    "/ota/device",
    operation_id="getDeviceOtas",
    need=Permission.OTA_VIEW,
    tags=TAGS,
    responses=problems(body=False),
    opt={"failure": "Error when getting device OTA's."},
    sync_to_thread=True,
)
def get_otas(
    request: Asked,
    desk: NamedDependency[Desk],
    search: Search = "",
    offset: Offset = 0,
    limit: Limit = DEFAULT_LIMIT,
    draw: Draw = None,
    order: Order = "desc",
) -> OtaPage:
    """The last upload of each device. Needs `OTA_VIEW`."""
    with desk.read(request) as call:
        rows, total, matching = single_updates.listed(
            call, search=search, skip=offset, limit=limit, newest_first=order == "desc"
        )
        return OtaPage([translate.ota(row) for row in rows], total, matching, UNSET if draw is None else draw)


@post(
    "/ota/device",
    operation_id="makeDeviceOta",
    need=Permission.OTA_START,
    tags=TAGS,
    status_code=201,
    responses=problems(),
    request_max_body_size=None,
    opt={
        "request_content": form_of("device"),
        "failure": FAILURE,
        "statuses": {Kind.UNSUPPORTED: 400},
    },
)
async def make_ota(request: Asked, desk: NamedDependency[Desk]) -> Message:
    """Upload a file for one device (multipart: `firmware`, `device`, `token`, `version`). Needs `OTA_START`.

    The device is told when `version` is another one than that of the last upload. Nothing is stored unless all is
    right.
    """
    await asyncio.to_thread(uploads.check, request, desk, desk.settings.max_upload_bytes, uploads.OVERHEAD)
    await take(request, desk, Uploads("device", translate.device_wish, single_updates.check, single_updates.upload))
    return DEPLOYED


@dataclass(frozen=True, slots=True)
class Uploads:
    """How to read, judge and send an upload for a device, or for a group (`whom`)."""

    whom: str
    wish: Callable[[Form], Wish]
    check: Callable[[Call, Wish, Path], object]
    upload: Callable[[Call, Wish, Blob, str], object]


async def take(request: Asked, desk: Desk, how: Uploads) -> None:
    """Receive a form of somebody who was let in and send what is in it; nothing is stored unless all is right."""
    limit, judge = desk.settings.max_upload_bytes, _judge(request, desk, how)
    bare = await bare_forms.read(request, desk.settings.chunk_seconds)
    if bare is not None:
        judge(bare, Path())
    form = await uploads.receive_form(request, desk, limit, "firmware", judge)
    await asyncio.to_thread(_send, request, desk, form, form.stored, how)


def _judge(request: Asked, desk: Desk, how: Uploads) -> Callable[[Form, Path], None]:
    def judge(form: Form, path: Path) -> None:
        wish = how.wish(form)
        if not form.has_file or not path.stat().st_size:
            raise invalid("No file uploaded", "file_missing")
        translate.check_nothing_else(form, how.whom)
        artifacts.check_filename(form.filename or _UNNAMED, "The name of the file")
        with desk.read(request) as call:
            how.check(call, wish, path)

    return judge


def _send(request: Asked, desk: Desk, form: Form, blob: Blob, how: Uploads) -> None:
    """Again when the device fetched something at the same moment."""
    for left in reversed(range(_TRIES)):
        try:
            with desk.write(request) as call:
                how.upload(call, how.wish(form), blob, form.filename or _UNNAMED)
        except Refusal as error:
            if error.code != "race" or not left:
                raise
        else:
            return

"""Uploads for single devices and the list of them, for people and their scripts. No rule lives here."""

import asyncio
from collections.abc import Callable
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
from airfreight.apis.device_ota import translate
from airfreight.apis.device_ota.errors import Problem
from airfreight.apis.device_ota.shapes import Message, OtaPage
from airfreight.domain.errors import Kind, Refusal, invalid
from airfreight.ports import Blob
from airfreight.services import artifacts, single_updates
from airfreight.services.call import Call

TAGS = ["Device OTA"]
_TRIES = 5
_UNNAMED = "firmware.bin"
_FORM = {
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {
                "firmware": {"type": "string", "format": "binary", "description": "An ESP app image"},
                "device": {"type": "string", "pattern": "^[0-9a-f]{24}$", "description": "The device's id"},
                "token": {"type": "string", "maxLength": 200, "description": "The device's token"},
                "version": {"type": "string", "maxLength": 32, "description": "A semantic version such as 1.5.7"},
            },
            "required": ["firmware", "device", "token", "version"],
            "additionalProperties": False,
        }
    }
}

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
    404: "No such device",
    429: "Too many requests; `Retry-After` says when to go on",
    500: "The server made a mistake",
}
_STRANGER = "The bearer token is missing or expired: the plain word Unauthorized"
_WITH_BODY = {
    409: "It clashes with what is there, or the disk is full",
    413: "The body is larger than the server accepts",
    415: "The body has another content type than the one documented",
}


def problems(*, body: bool = True) -> dict[int, ResponseSpec]:
    """What every route of this door can answer instead of what was asked for."""
    words = _WORDS | (_WITH_BODY if body else {})
    made = {status: ResponseSpec(Problem, description=text, generate_examples=False) for status, text in words.items()}
    return made | {401: ResponseSpec(str, description=_STRANGER, generate_examples=False)}


@get(
    "/ota/device",
    operation_id="getDeviceOtas",
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
    tags=TAGS,
    status_code=201,
    responses=problems(),
    request_max_body_size=None,
    opt={
        "request_content": _FORM,
        "failure": "Error when uploading firmware file",
        "statuses": {Kind.UNSUPPORTED: 400},
    },
)
async def make_ota(request: Asked, desk: NamedDependency[Desk]) -> Message:
    """Upload a file for one device (multipart: `firmware`, `device`, `token`, `version`). Needs `OTA_START`.

    The device is told when `version` is another one than that of the last upload. Nothing is stored unless all is
    right.
    """
    limit = desk.settings.max_upload_bytes
    await asyncio.to_thread(uploads.check, request, desk, limit, uploads.OVERHEAD)
    form = await uploads.receive_form(request, desk, limit, "firmware", _judge(request, desk))
    await asyncio.to_thread(_send, request, desk, form, form.stored)
    return Message("Firmware successfully deployed")


def _judge(request: Asked, desk: Desk) -> Callable[[Form, Path], None]:
    def judge(form: Form, path: Path) -> None:
        wish = translate.wish(form)
        if not form.has_file or not path.stat().st_size:
            raise invalid("No file uploaded", "file_missing")
        artifacts.check_filename(form.filename or _UNNAMED, "The name of the file")
        with desk.read(request) as call:
            single_updates.check(call, wish, path)

    return judge


def _send(request: Asked, desk: Desk, form: Form, blob: Blob) -> None:
    """Again when the device fetched something at the same moment."""

    def upload(call: Call) -> None:
        single_updates.upload(call, translate.wish(form), blob, form.filename or _UNNAMED)

    for left in reversed(range(_TRIES)):
        try:
            with desk.write(request) as call:
                upload(call)
        except Refusal as error:
            if error.code != "race" or not left:
                raise
        else:
            return

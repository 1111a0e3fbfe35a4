"""Software modules: the list of their files, and the bytes. Source: the DDI reference, 2 and 10."""

from typing import Any

from airfreight.apis.common.desk import clock
from airfreight.apis.common.files import Outcome
from airfreight.apis.ddi import translate
from airfreight.apis.ddi.address import number_of
from airfreight.apis.ddi.asked import Asked, missing
from airfreight.apis.ddi.files import FileOfArtifact, serve_artifact, serve_md5sum
from airfreight.apis.ddi.wire import Problem
from airfreight.domain.delivery import State
from airfreight.services import offers
from airfreight.services.device_work import Served

_MD5SUM = ".MD5SUM"


async def get_list(number: str, asked: Asked) -> None:
    """`GET .../softwaremodules/{id}/artifacts`: of the active action, or of what is installed."""
    _, found = await asked.visit(offers.artifacts_in_reach, number_of(number), clock())
    if not found:
        raise Problem(404)
    stamp = ("module", [(one.id, one.filename) for one in found])
    if not await asked.has_it(stamp):
        await asked.answer(translate.artifacts_of(found, asked.base, await asked.sha1s(found)), stamp)


async def get_file(number: str, filename: str, asked: Asked) -> None:
    """`GET .../softwaremodules/{id}/artifacts/{fileName}`, or its `.MD5SUM`: of the active action only."""
    visitor, (attempt_id, module) = await asked.visit(offers.module_now, number_of(number), clock())
    found = next((one for one in module if filename in {one.filename, one.filename + _MD5SUM}), None)
    if found is None:
        raise Problem(404)
    file = _file(asked, found, (await asked.sha1s([found]))[found.id])
    if filename != found.filename:
        await serve_md5sum(asked.scope, asked.send, file)
        return

    def note(reached: State) -> None:
        asked.hands.tell(Served(visitor.device_id, attempt_id, reached, reports=True))

    try:
        outcome = await serve_artifact(
            asked.scope,
            asked.receive,
            asked.send,
            file,
            seconds=asked.desk.settings.chunk_seconds,
            started=lambda: note(State.DOWNLOADING),
        )
    except FileNotFoundError:
        raise missing(found) from None
    if outcome is Outcome.WHOLE:
        note(State.DOWNLOADED)


def _file(asked: Asked, found: Any, sha1: str) -> FileOfArtifact:  # noqa: ANN401 - a row
    desk = asked.desk
    accel = desk.settings.accel_prefix
    return FileOfArtifact(
        desk.blobs.path(found.sha256),
        found.filename,
        found.size,
        sha1,
        found.md5,
        found.created_at,
        accel=f"{accel}/{found.sha256[:2]}/{found.sha256}" if accel else "",
    )

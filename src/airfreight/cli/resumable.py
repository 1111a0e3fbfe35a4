"""Uploads that go on where they broke off: by themselves, or when the same command is run again.

The server knows what is there, so nothing is kept on this side: an unfinished upload of the same name, size and time of
change is gone on with. What it has become is compared with the file at the end.
"""

import base64
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airfreight.cli import output
from airfreight.cli.auth import Session
from airfreight.cli.errors import CliError, ExitCode, usage
from airfreight.cli.http import CONFLICT, NOT_FOUND, Doc, Request, document, printable, refusal
from airfreight.cli.options import string, whole_number
from airfreight.cli.progress import Count, counting

if TYPE_CHECKING:
    import httpx

PATH = "/api/v1/uploads"
LARGE_BYTES = 64 * 1024**2
"""Files of this size and more are sent this way unasked."""

PATIENCE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 8.0
_FIRST_PAUSE_SECONDS = 0.5
HASHED_BYTES_A_SECOND = 50 * 1024**2
"""How slow a server may be that looks at the whole file in the end."""

_CHUNK_BYTES = 256 * 1024
_METHOD_NOT_ALLOWED = 405
_KIND = {"Content-Type": "application/offset+octet-stream", "Tus-Resumable": "1.0.0"}


def is_large(file: Path) -> bool:
    """Whether it is worth more than one try."""
    try:
        return file.stat().st_size >= LARGE_BYTES
    except OSError:
        return False  # whoever reads it says what is wrong


def upload(session: Session, file: Path, *, description: str = "", quiet: bool) -> Doc | None:
    """Send the file and return the artifact; None from a server that has no such uploads.

    Raises CliError, also if the file cannot be read.
    """
    try:
        stat = file.stat()
        sending = _Sending(file, printable(file.name), description, stat.st_size, stat.st_mtime_ns)
        at = _unfinished(session, sending)
        if at is None:
            return None
        with counting(sending.name, sending.size, quiet=quiet) as count:
            made = _drive(session, sending, at or _begin(session, sending), count)
        if made.get("sha256") != sending.sha256():
            session.delete(f"/api/v1/artifacts/{whole_number(made, 'id')}")
            raise sending.changed()
    except OSError as error:
        raise usage(f"{file} cannot be read: {error.strerror}", "Check the file and its permissions.") from None
    return made


@dataclass(frozen=True, slots=True)
class _Sending:
    """A file as it was when the command began."""

    file: Path
    name: str
    description: str
    size: int
    changed_at: int

    def told(self) -> dict[str, str]:
        """What the server is told of it, and tells again."""
        told = {"filename": self.name, "mtime": str(self.changed_at)}
        return {**told, "description": self.description} if self.description else told

    def is_that(self, one: Doc) -> bool:
        """Whether an upload on the server is of this file, and has not become anything yet."""
        wanted = (self.told(), self.size, None)
        return (one.get("metadata"), one.get("size"), one.get("artifact")) == wanted

    def rest(self, offset: int, count: Count) -> Iterator[bytes]:
        """The bytes from `offset` on. Raises CliError when the file is not what it was."""
        count(None)
        count(offset)
        left = self.size - offset
        with self.file.open("rb") as source:
            source.seek(offset)
            while chunk := source.read(_CHUNK_BYTES):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
                count(len(chunk))
        if left or self.file.stat().st_mtime_ns != self.changed_at:
            raise self.changed()

    def sha256(self) -> str:
        with self.file.open("rb") as source:
            return hashlib.file_digest(source, "sha256").hexdigest()

    def changed(self) -> CliError:
        return usage(f"{self.file} changed while it was sent", "Wait until it is complete and try again.")


def _unfinished(session: Session, sending: _Sending) -> str | None:
    """Where the file was on its way before, the furthest of several; "" for nowhere, None: no such uploads here."""
    response = session.send(Request("GET", PATH, {"limit": 1}))
    if response.status_code in {NOT_FOUND, _METHOD_NOT_ALLOWED}:
        return None
    document(response)
    found = [one for one in session.every(PATH) if sending.is_that(one)]
    if not found:
        return ""
    return f"{PATH}/{string(max(found, key=lambda one: whole_number(one, 'offset')), 'id')}"


def _begin(session: Session, sending: _Sending) -> str:
    told = sending.told().items()
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in told)
    headers = {"Upload-Length": str(sending.size), "Upload-Metadata": metadata, "Tus-Resumable": "1.0.0"}
    return f"{PATH}/{string(document(session.send(Request('POST', PATH, headers=headers))), 'id')}"


def _drive(session: Session, sending: _Sending, at: str, count: Count) -> Doc:
    """Send until there is an artifact, from where the server is; give up when nothing moves for a while."""
    known, pause, moved_at = -1, _FIRST_PAUSE_SECONDS, time.monotonic()
    patience = PATIENCE_SECONDS + sending.size / HASHED_BYTES_A_SECOND
    while True:
        trouble: CliError | None = None
        try:
            upload = session.get(at)
            made, offset = upload.get("artifact"), whole_number(upload, "offset")
            if isinstance(made, dict):
                return made
            has_moved = offset > known
            if has_moved:
                known, pause, moved_at = offset, _FIRST_PAUSE_SECONDS, time.monotonic()
            if offset < sending.size:
                trouble = _send_rest(session, sending, at, offset, count)
                if has_moved and trouble is None:
                    continue
        except CliError as error:
            if error.code is not ExitCode.UNREACHABLE:
                raise
            trouble = error
        if time.monotonic() - moved_at > patience:
            output.remark("What has arrived is kept by the server: the same command goes on from there.")
            raise trouble or CliError("The server does not come to an end with the file", "Look at the server's log.")
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _send_rest(session: Session, sending: _Sending, at: str, offset: int, count: Count) -> CliError | None:
    """One try; what went wrong if another one may work. Raises CliError for what is final."""
    headers = {**_KIND, "Upload-Offset": str(offset), "Content-Length": str(sending.size - offset)}
    response: httpx.Response = session.send(
        Request("PATCH", at, headers=headers, body=lambda: sending.rest(offset, count))
    )
    if response.is_success:
        return None
    refused = refusal(response)
    if response.status_code == CONFLICT and response.headers.get("X-Error-Code") in {"upload_busy", "wrong_offset"}:
        return refused
    if response.headers.get("X-Error-Code") == "slow_body" or refused.code is ExitCode.UNREACHABLE:
        return refused
    raise refused

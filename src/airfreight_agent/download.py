"""Fetches one artifact into a `.part` file and resumes it after any interruption.

Rule: only bytes of the offered size and SHA-256 come out.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx

from airfreight_agent.client import Client
from airfreight_agent.protocol import Artifact, RefusedError, UnavailableError, check_status, strong_etag
from airfreight_agent.state import sync_directory

CHUNK_BYTES = 1 << 16


class MismatchError(Exception):
    """The bytes are not the offered ones; the part file is gone. `was_resumed`: they came in more than one response,
    so that beginning again may help.
    """

    def __init__(self, message: str, *, was_resumed: bool) -> None:
        super().__init__(message)
        self.was_resumed = was_resumed


class NoSpaceError(Exception):
    """The disk cannot hold the artifact."""


def fetch(
    client: Client,
    artifact: Artifact,
    destination: Path,
    etag: str,
    began: Callable[[str], None],
    tick: Callable[[int], None],
) -> None:
    """Bring `artifact` to `destination`, durably.

    `etag` names what the part file on disk is a part of ("" if unknown). `began(etag)` is called before bytes of
    another representation are written, `tick(bytes so far)` after each chunk and may raise to interrupt: what is on
    disk stays for the next try. Raises MismatchError, NoSpaceError, and what `Client.download` or `check_status` does.
    """
    if is_whole(destination, artifact):
        return
    part = destination.with_name(destination.name + ".part")
    offset = part.stat().st_size if part.exists() else 0
    etag = strong_etag(etag)
    if offset > artifact.size or (offset and not etag):
        offset = 0
    was_resumed = offset > 0
    if offset < artifact.size or artifact.size == 0:
        _require_space(part.parent, artifact.size - offset)
        was_resumed = _receive(client, artifact, part, offset, etag, began, tick)
    digest = _sha256(part)
    if digest != artifact.sha256:
        part.unlink()
        raise MismatchError("the SHA-256 differs from the offered one", was_resumed=was_resumed)
    part.replace(destination)
    sync_directory(destination.parent)


def is_whole(path: Path, artifact: Artifact) -> bool:
    """Whether the file is there, and is what was offered. Raises OSError."""
    return path.exists() and _sha256(path) == artifact.sha256


def _receive(
    client: Client,
    artifact: Artifact,
    part: Path,
    offset: int,
    etag: str,
    began: Callable[[str], None],
    tick: Callable[[int], None],
) -> bool:
    """Append to `part` until it is complete; whether the server went on where the part ended."""
    with client.download(artifact.url, offset, etag) as response:
        start = _start(response, offset, artifact, part)
        if start == 0:
            part.write_bytes(b"")
            began(strong_etag(response.headers.get("etag", "")))
        size = start
        with part.open("ab") as file:
            try:
                for chunk in response.iter_raw(CHUNK_BYTES):
                    size += len(chunk)
                    if size > artifact.size:
                        break
                    file.write(chunk)
                    tick(size)
                file.flush()
                os.fsync(file.fileno())
            except OSError as error:
                raise _disk_error(error) from error
    if size < artifact.size and "content-length" not in response.headers:
        raise UnavailableError("the bytes ended early")
    if size != artifact.size:
        part.unlink()
        raise MismatchError("the size differs from the offered one", was_resumed=start > 0)
    return start > 0


def _start(response: httpx.Response, offset: int, artifact: Artifact, part: Path) -> int:
    """Where the bytes of this response begin. Raises for a status that brings none."""
    if response.status_code == 416:
        part.unlink(missing_ok=True)
        raise MismatchError("the server does not have the rest", was_resumed=True)
    check_status(response.status_code, response.headers.get("retry-after"))
    if response.status_code == 200:
        return 0
    if response.status_code != 206:
        raise RefusedError(response.status_code)
    if response.headers.get("content-range") != f"bytes {offset}-{artifact.size - 1}/{artifact.size}":
        part.unlink(missing_ok=True)
        raise MismatchError("the server sent another range", was_resumed=True)
    return offset


def _require_space(directory: Path, needed: int) -> None:
    if shutil.disk_usage(directory).free < needed:
        raise NoSpaceError(f"{needed} bytes are needed")


def _disk_error(error: OSError) -> Exception:
    return NoSpaceError("the disk is full") if error.errno in (errno.ENOSPC, errno.EDQUOT) else error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""The SHA-1 of artifacts, which only some devices ask for: computed when one first does, not at the upload."""

import hashlib
import threading
from collections.abc import Iterator
from typing import Any

from airfreight.ports import Blobs
from airfreight.store import artifacts
from airfreight.store.database import Database, is_contention

_BLOCK = 1024 * 1024
_LOCKS = [threading.Lock() for _ in range(64)]
"""One for each share of all hashes: whoever wants a file's SHA-1 while it is computed waits for that."""


def sha1_of(database: Database, blobs: Blobs, artifact: Any) -> str:  # noqa: ANN401 - a row with sha256, sha1 and size
    """In hex, and kept for every artifact with the same bytes. Reads the file at most once: call it from a thread.

    Raises FileNotFoundError when the file is not there with all its bytes.
    """
    if artifact.sha1:
        return str(artifact.sha1)
    with _LOCKS[int(artifact.sha256[:8], 16) % len(_LOCKS)]:
        with database.read() as connection:
            known = artifacts.sha1s(connection, artifact.sha256)
        sha1 = max(known, default="") or _computed(blobs, artifact.sha256, artifact.size)
        if "" in known:
            _keep(database, artifact.sha256, sha1)
    return sha1


def _computed(blobs: Blobs, sha256: str, size: int) -> str:
    digest, read = hashlib.sha1(usedforsecurity=False), 0
    for block in _blocks(blobs, sha256):
        digest.update(block)
        read += len(block)
    if read != size:
        raise FileNotFoundError(blobs.path(sha256))
    return digest.hexdigest()


def _blocks(blobs: Blobs, sha256: str) -> Iterator[memoryview]:
    """The bytes of a file, each block good until the next."""
    block = memoryview(bytearray(_BLOCK))
    with blobs.path(sha256).open("rb", buffering=0) as file:
        while count := file.readinto(block):
            yield block[:count]


def _keep(database: Database, sha256: str, sha1: str) -> None:
    """Without insisting: where another transaction is in the way, the next to ask computes it again."""
    try:
        with database.write() as connection:
            artifacts.set_sha1(connection, sha256, sha1)
    except Exception as error:
        if not is_contention(error):
            raise

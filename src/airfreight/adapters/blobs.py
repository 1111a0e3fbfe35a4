"""Blobs in a folder: received into a temporary file beside them, hashed on the way, renamed to their SHA-256.

A reader never sees half a file; a crash leaves at most a temporary file, which the next start removes.
"""

import hashlib
import os
import queue
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from airfreight.adapters.partials import FolderPartials

_BLOCK = 1024 * 1024
_QUEUED_BLOCKS = 4


@dataclass(frozen=True, slots=True)
class StoredBlob:
    sha256: str
    md5: str
    size: int
    path: Path


class FolderBlobs:
    """Content-addressed files below `root/ab/abcdef...`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        self.partials = FolderPartials(root / "uploads", self.keep)

    def clean(self, older_than_seconds: float, now_seconds: float) -> int:
        """Remove temporary files that a crash left behind; how many."""
        stale = [p for p in self._incoming.iterdir() if now_seconds - p.stat().st_mtime > older_than_seconds]
        for path in stale:
            path.unlink(missing_ok=True)
        return len(stale)

    def older_than(self, seconds: float, now_seconds: float) -> list[str]:
        """The hashes of stored blobs that arrived more than `seconds` ago."""
        return [p.name for p in self._root.glob("??/*") if now_seconds - p.stat().st_mtime > seconds]

    def receive(self) -> "FolderWriter":
        return FolderWriter(self)

    def path(self, sha256: str) -> Path:
        return self._root / sha256[:2] / sha256

    def remove_old(self, sha256: str, seconds: float, now_seconds: float) -> bool:
        """Delete the bytes if they arrived more than `seconds` ago; False when they have just come again.

        They are taken aside first: whether they are old is asked of what nobody can replace any more.
        """
        path, aside = self.path(sha256), self._incoming / f"{sha256}.old"
        try:
            path.rename(aside)
        except FileNotFoundError:
            return True
        is_old = now_seconds - aside.stat().st_mtime > seconds
        if not is_old:
            with suppress(FileExistsError):
                os.link(aside, path)
        aside.unlink()
        return is_old

    def free_bytes(self) -> int:
        return shutil.disk_usage(self._root).free

    def temporary(self) -> tuple[int, Path]:
        """A new file to receive into, on the same file system as the blobs."""
        descriptor, name = tempfile.mkstemp(dir=self._incoming)
        os.fchmod(descriptor, 0o640)  # a web server in our group may send it (X-Accel-Redirect)
        return descriptor, Path(name)

    def adopt(self, temporary: Path, sha256: str) -> Path:
        """Give a finished file its name, durably."""
        final = self.path(sha256)
        final.parent.mkdir(exist_ok=True)
        temporary.replace(final)
        for folder in (final.parent, self._root):
            _sync_folder(folder)
        return final

    def keep(self, finished: Path, sha256: str, md5: str, size: int) -> StoredBlob:
        """The same for a file that stays where it is, too, until what became of it is written down."""
        link = self._incoming / f"{secrets.token_hex(16)}.link"
        os.link(finished, link)
        try:
            return StoredBlob(sha256, md5, size, self.adopt(link, sha256))
        finally:
            link.unlink(missing_ok=True)  # renaming one name of a file to another of the same file does nothing


class FolderWriter:
    """One file being received. Blocks go to two threads (file + SHA-256, MD5), so that the caller never hashes."""

    def __init__(self, blobs: FolderBlobs) -> None:
        self._blobs = blobs
        self._descriptor, self._path = blobs.temporary()
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._error: BaseException | None = None
        self._queues: list[queue.Queue[bytes | None]] = [queue.Queue(_QUEUED_BLOCKS), queue.Queue(_QUEUED_BLOCKS)]
        self._threads = [
            threading.Thread(target=self._drain, args=(q, work), daemon=True)
            for q, work in zip(self._queues, (self._store, self._md5.update), strict=True)
        ]
        for thread in self._threads:
            thread.start()
        self.size = 0
        self._open, self._is_joined = True, False

    def write(self, chunk: bytes) -> None:
        """Append `chunk`; waits while the disk is behind. Raises the disk's OSError."""
        if self._error:
            raise self._error
        self.size += len(chunk)
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        if self._pending_size >= _BLOCK:
            self._hand_over()

    @property
    def would_block(self) -> bool:
        """Whether `write` may have to wait (then call it from a thread)."""
        return any(q.full() for q in self._queues)

    def finish(self) -> Path:
        """Wait until all that was written is in the temporary file; where that is. Raises OSError."""
        self._hand_over()
        self._join()
        if self._error:
            raise self._error
        return self._path

    def commit(self) -> StoredBlob:
        """Flush, fsync and rename to the content hash. Raises OSError."""
        self.finish()
        os.fsync(self._descriptor)
        sha256 = self._sha256.hexdigest()
        final = self._blobs.adopt(self._path, sha256)
        self._open = False
        os.close(self._descriptor)
        return StoredBlob(sha256, self._md5.hexdigest(), self.size, final)

    def abort(self) -> None:
        if self._open:
            self._join()
            os.close(self._descriptor)
            self._open = False
            self._path.unlink(missing_ok=True)

    def _hand_over(self) -> None:
        if self._pending:
            block = b"".join(self._pending)
            self._pending, self._pending_size = [], 0
            for q in self._queues:
                q.put(block)

    def _join(self) -> None:
        if self._is_joined:
            return
        self._is_joined = True
        for q, thread in zip(self._queues, self._threads, strict=True):
            q.put(None)
            thread.join()

    def _store(self, block: bytes) -> None:
        self._sha256.update(block)
        view = memoryview(block)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _drain(self, blocks: "queue.Queue[bytes | None]", work: Callable[[bytes], object]) -> None:
        """Work off blocks until None; after an error go on taking them, so that nobody waits for ever."""
        while (block := blocks.get()) is not None:
            if self._error is None:
                try:
                    work(block)
                except OSError as error:
                    self._error = error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

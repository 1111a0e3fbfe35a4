"""Files that come in pieces, in a folder beside the blobs: each one's length is how much of it is there.

Who writes to one holds a lock on it (`flock`), which ends with its process and counts between processes.
"""

import fcntl
import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from airfreight.ports import Blob, HeldError

_BLOCK = 1024 * 1024

Keep = Callable[[Path, str, str, int], Blob]
"""Makes a finished file a blob: where it is, its SHA-256, its MD5, its size. The file stays where it is, too."""


class FolderPartials:
    """`folder/<uid>`; a uid comes from us, never from a path."""

    def __init__(self, folder: Path, keep: Keep) -> None:
        self._folder, self._keep = folder, keep
        folder.mkdir(parents=True, exist_ok=True)

    def create(self, uid: str) -> None:
        """An empty one, durably. Raises OSError."""
        # a web server in our group may send what becomes of it (X-Accel-Redirect)
        os.close(os.open(self._folder / uid, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def size(self, uid: str, *, durable: bool = False) -> int | None:
        """How many bytes are there, `durable` once it is said; None when there is no such file."""
        try:
            descriptor = os.open(self._folder / uid, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            size = os.fstat(descriptor).st_size
            if durable:
                os.fsync(descriptor)
            return size
        finally:
            os.close(descriptor)

    def hold(self, uid: str) -> "HeldFile | None":
        """The file, for its holder alone until it is closed; None when there is none. Raises HeldError."""
        path = self._folder / uid
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise HeldError from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return HeldFile(descriptor, path, self._keep)
        os.close(descriptor)  # it was removed before it was ours
        return None

    def remove(self, uid: str) -> None:
        (self._folder / uid).unlink(missing_ok=True)

    def older_than(self, seconds: float, now_seconds: float) -> list[str]:
        """Those that nothing came to for more than `seconds`."""
        old = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                if now_seconds - path.stat().st_mtime > seconds:
                    old.append(path.name)
        return old


class HeldFile:
    """A partial file that is ours. Safe to close while another thread writes: the write ends first, none follows."""

    def __init__(self, descriptor: int, path: Path, keep: Keep) -> None:
        self._descriptor, self._keep = descriptor, keep
        self._lock, self._is_open = threading.Lock(), True
        self.path = path
        self.size = os.fstat(descriptor).st_size

    def write(self, block: bytes) -> None:
        """Append. What of `block` is there when the disk refuses (OSError) counts, and `size` says so."""
        with self._lock:
            self._check()
            view = memoryview(block)
            while view:
                written = os.pwrite(self._descriptor, view, self.size)
                self.size += written
                view = view[written:]

    @property
    def is_removed(self) -> bool:
        """Whether its name is gone."""
        with self._lock:
            self._check()
            return os.fstat(self._descriptor).st_nlink == 0

    def cut(self, size: int) -> None:
        """Forget what is behind the first `size` bytes."""
        with self._lock:
            self._check()
            os.ftruncate(self._descriptor, size)
            self.size = size

    def sync(self) -> None:
        """Return when all of it is on the disk. Raises OSError."""
        with self._lock:
            self._check()
            os.fsync(self._descriptor)

    def store(self) -> Blob:
        """Read and hash all of it, and keep it as a blob, durably. Raises OSError."""
        with self._lock:
            self._check()
            os.fsync(self._descriptor)
            sha256, md5 = self._hashed()
            os.utime(self._descriptor)  # a blob is as old as the time it arrived: this one comes now
            return self._keep(self.path, sha256, md5, self.size)

    def close(self) -> None:
        """Let others have it. Safe to call again."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                os.close(self._descriptor)

    def _hashed(self) -> tuple[str, str]:
        """Both hashes at the same time, block by block."""
        sha256, md5, at = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
        with ThreadPoolExecutor(1) as beside:
            while block := os.pread(self._descriptor, _BLOCK, at):
                other = beside.submit(md5.update, block)
                sha256.update(block)
                other.result()
                at += len(block)
        return sha256.hexdigest(), md5.hexdigest()

    def _check(self) -> None:
        """The number of a closed descriptor may be another file's by now."""
        if not self._is_open:
            raise ValueError("the partial file is closed")

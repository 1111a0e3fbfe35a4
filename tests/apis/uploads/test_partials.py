"""The folder of partial files: held by one, true after a crash, out of the way of the blobs."""

import fcntl
import hashlib
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from airfreight.adapters.blobs import FolderBlobs
from airfreight.adapters.partials import HeldFile
from airfreight.ports import HeldError


def held(blobs: FolderBlobs, content: bytes = b"") -> HeldFile:
    blobs.partials.create("u")
    found = blobs.partials.hold("u")
    assert found is not None
    found.write(content)
    return found


def test_a_file_is_held_by_one_at_a_time(blobs: FolderBlobs) -> None:
    first = held(blobs)
    with pytest.raises(HeldError):
        blobs.partials.hold("u")
    first.close()
    first.close()
    second = blobs.partials.hold("u")
    assert second is not None
    second.close()


def test_a_file_that_is_removed_while_it_is_grasped_is_not_ours(
    blobs: FolderBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening it and holding it: what is written to it then would be lost."""
    blobs.partials.create("u")
    real = fcntl.flock

    def removed_first(descriptor: int, how: int) -> None:
        blobs.partials.remove("u")
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", removed_first)
    assert blobs.partials.hold("u") is None
    blobs.partials.create("u")
    real_remove = blobs.partials.remove

    def made_anew(uid: str) -> None:
        real_remove(uid)
        blobs.partials.create(uid)

    monkeypatch.setattr(blobs.partials, "remove", made_anew)
    assert blobs.partials.hold("u") is None
    monkeypatch.undo()
    free = blobs.partials.hold("u")
    assert free is not None
    free.close()


def test_what_is_stored_is_as_old_as_its_arrival(blobs: FolderBlobs, data_dir: Path) -> None:
    """Else the cleaning would take it for a leftover of long ago, before its artifact is written down."""
    file = held(blobs, b"content")
    os.utime(data_dir / "blobs" / "uploads" / "u", (1, 1))
    stored = file.store()
    file.close()
    assert time.time() - stored.path.stat().st_mtime < 60
    assert blobs.older_than(3600, time.time()) == []
    assert stored.sha256 == hashlib.sha256(b"content").hexdigest()
    assert stored.md5 == hashlib.md5(b"content").hexdigest()
    assert stored.size == 7


def test_what_lies_in_the_folder_is_no_blob_and_no_broken_upload(blobs: FolderBlobs, data_dir: Path) -> None:
    held(blobs, b"content").close()
    os.utime(data_dir / "blobs" / "uploads" / "u", (1, 1))
    assert blobs.clean(3600, time.time()) == 0
    assert blobs.older_than(3600, time.time()) == []
    assert blobs.partials.size("u") == 7
    assert blobs.partials.older_than(3600, time.time()) == ["u"]


def test_a_name_that_is_taken_is_not_made_again(blobs: FolderBlobs) -> None:
    held(blobs, b"content").close()
    with pytest.raises(FileExistsError):
        blobs.partials.create("u")
    assert blobs.partials.size("u") == 7


def test_closing_waits_for_a_write_and_nothing_is_written_after_it(blobs: FolderBlobs) -> None:
    """The number of a closed descriptor may be another file's."""
    file = held(blobs)
    block = bytes(8_000_000)

    def write() -> None:
        with suppress(ValueError):
            file.write(block)

    writing = threading.Thread(target=write)
    writing.start()
    file.close()
    writing.join(30)
    assert blobs.partials.size("u") in {0, len(block)}
    for work in (lambda: file.write(b"x"), lambda: file.cut(0), file.sync, file.store, lambda: file.is_removed):
        with pytest.raises(ValueError, match="closed"):
            work()

"""Folders and files below a root, reached through no link: whatever lies in the way is an OSError."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 18
_SUFFIX = ".airfreight-new"


@contextlib.contextmanager
def folder_below(root: Path, parts: Sequence[str], mode: int, made: list[Path] | None = None) -> Iterator[int]:
    """Open `parts` below `root`, making what is missing with `mode`; what was made is added to `made`."""
    here = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    try:
        path = root
        for part in parts:
            path /= part
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, mode, dir_fd=here)
                if made is not None:
                    made.append(path)
            inner = os.open(part, _FOLDER, dir_fd=here)
            os.close(here)
            here = inner
        yield here
    finally:
        os.close(here)


def install(folder: Path, install_paths: Mapping[str, str], root: Path) -> None:
    """Copy entries from `folder` to their install paths below `root`, with their modes.

    Missing folders are made. Nothing is replaced before all files have been written; then each replaces the one at its
    path in one step. Raises OSError for a link, or anything but a file, in the way.
    """
    places = {entry: path.lstrip("/").split("/") for entry, path in install_paths.items()}
    made: list[Path] = []
    written: list[Path] = []
    try:
        for entry, parts in places.items():
            with folder_below(root, parts[:-1], 0o755, made) as directory:
                _copy(folder / entry, parts[-1], directory)
                written.append(root.joinpath(*parts[:-1], parts[-1] + _SUFFIX))
        for parts in places.values():
            with folder_below(root, parts[:-1], 0o755) as directory:
                os.rename(parts[-1] + _SUFFIX, parts[-1], src_dir_fd=directory, dst_dir_fd=directory)
                os.fsync(directory)
    except BaseException:
        for path in (*written, *reversed(made)):
            with contextlib.suppress(OSError):
                path.rmdir() if path in made else path.unlink()
        raise


def _copy(source: Path, name: str, directory: int) -> None:
    """Write the file beside its place in `directory`, where nothing or a plain file must be."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise FileExistsError(errno.EEXIST, "what is at an install path is no file", name)
    new = name + _SUFFIX
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new, dir_fd=directory)  # of an installation that was cut off
    try:
        with source.open("rb") as old, os.fdopen(os.open(new, _NEW_FILE, 0o600, dir_fd=directory), "wb") as file:
            while piece := old.read(_PIECE):
                file.write(piece)
            os.fchmod(file.fileno(), os.fstat(old.fileno()).st_mode & 0o777)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new, dir_fd=directory)
        raise

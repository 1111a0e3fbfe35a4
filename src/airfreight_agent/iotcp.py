"""Packages on the gateway's side: made byte for byte the same from the same files, checked, and unpacked in safety.

Rule: nothing of a package is written anywhere before all of it has been read and agrees with its check sums.
"""

import contextlib
import hashlib
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from airfreight_agent.iotcp_place import folder_below, install
from airfreight_agent.state import sync_directory
from airfreight_iotcp.listing import Source, ZipError, find_end, listed
from airfreight_iotcp.package import (
    CHECK_SUMS,
    DATA,
    MANIFEST,
    PHASES,
    Checked,
    Manifest,
    ManifestError,
    check,
    parse_manifest,
    script_of,
)
from airfreight_iotcp.unzip import Entry, content, name_fault

SCRIPT_MODE = 0o700
FILE_MODE = 0o600
_PIECE = 1 << 18
_NO_DATE = (1980, 0, 0, 0, 0, 0)


class PackageError(ValueError):
    """It is no package that may be used, or none can be made of it; `faults` says what is wrong, in order."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def build(
    path: Path,
    name: str,
    version: str,
    *,
    headless: bool,
    lifecycle: Mapping[str, str],
    attachments: Sequence[tuple[Path, str]],
    os_name: str = "",
    architecture: str = "",
) -> Manifest:
    """Make the package `path`, replacing what is there only when the new one is whole and would be accepted.

    `lifecycle` has the action of each phase used; an attachment is a file and its install path, or "". The same input
    gives the same bytes. Raises PackageError, or OSError for a file that cannot be read or written.
    """
    entries = _entries_of(attachments)
    manifest = Manifest(
        name=name,
        version=version,
        headless=headless,
        phases=lifecycle,
        os=os_name,
        architecture=architecture,
        install_paths={entry: target for entry, (_, target) in zip(entries, attachments, strict=True) if target},
    )
    document = _encode(manifest)
    temporary = path.with_name(path.name + ".tmp")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:
            _write(file, document, {entry: source for entry, (source, _) in zip(entries, attachments, strict=True)})
            file.flush()
            os.fsync(file.fileno())
        made = read(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.absolute().parent)
    return made


def is_package(path: Path) -> bool:
    """Whether a file is meant to be a package, good or bad: it begins with a Manifest, or lists one. Raises OSError."""
    name = MANIFEST.encode()
    with _opened(path) as source:
        head = source.read_at(0, 30 + len(name))
        if not head.startswith(b"PK\3\4"):
            return False
        try:
            return any(one.name == name for one in listed(source, find_end(source)))
        except ZipError:
            return head.endswith(name)


def read(package: Path) -> Manifest:
    """Read a package to its end without unpacking it. Raises PackageError when it may not be used, or OSError."""
    with _opened(package) as source:
        manifest, _ = _checked(source)
    return manifest


def unpack(package: Path, folder: Path, *, install_root: Path | None = None) -> Manifest:
    """Check a package, then write its entries into `folder`, which is made, or must be there and be empty.

    Scripts of its phases get mode 0700, all other files 0600. With `install_root`, normally `/`, the entries that
    have an install path are put there as well. Whatever is raised, what was written is gone again: PackageError when
    the package may not be used, OSError for a folder that is not empty or a disk that is full.
    """
    with _opened(package) as source:
        manifest, checked = _checked(source)
        names = {entry.name for entry in checked.entries}
        scripts = {script_of(manifest, phase, names) for phase in manifest.phases}
        with _emptied_again(folder):
            for entry in checked.entries:
                mode = SCRIPT_MODE if entry.name in scripts else FILE_MODE
                _extract(source, entry, folder, mode, checked.sums[entry.name])
            for made, _, _ in os.walk(folder, topdown=False):
                sync_directory(Path(made))
            if install_root is not None:
                install(folder, manifest.install_paths, install_root)
    return manifest


def command(manifest: Manifest, folder: Path, phase: str) -> Path | None:
    """What a phase runs: the script as unpacked in `folder`, or a program that the gateway has already.

    None when the package has nothing to do in that phase.
    """
    if phase not in manifest.phases:
        return None
    data = folder / DATA
    names = {DATA + file.relative_to(data).as_posix() for file in data.rglob("*") if file.is_file()}
    script = script_of(manifest, phase, names)
    return folder / script if script else Path(manifest.phases[phase])


class _File:
    """An open package. Raises OSError."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def read_at(self, offset: int, length: int) -> bytes:
        return os.pread(self._descriptor, length, offset)


@contextlib.contextmanager
def _opened(package: Path) -> Iterator[Source]:
    descriptor = os.open(package, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield _File(descriptor)
    finally:
        os.close(descriptor)


def _checked(source: Source) -> tuple[Manifest, Checked]:
    checked = check(source)
    if checked.faults or checked.manifest is None:
        raise PackageError(*checked.faults)
    return checked.manifest, checked


def _entries_of(attachments: Sequence[tuple[Path, str]]) -> list[str]:
    entries = [DATA + source.name for source, _ in attachments]
    for entry, (source, _) in zip(entries, attachments, strict=True):
        if fault := name_fault(entry):
            raise PackageError(f"the name of {source.name!r} {fault}")
    if len(set(entries)) < len(entries):
        raise PackageError("two attachments have the same file name")
    return entries


def _encode(manifest: Manifest) -> bytes:
    """One line of compact JSON with sorted keys. Raises PackageError for a Manifest that no reader would take."""
    if unknown := set(manifest.phases) - set(PHASES):
        raise PackageError(f"{min(unknown)!r} is no phase: the phases are {', '.join(PHASES)}")
    if idle := [phase for phase, action in manifest.phases.items() if not action]:
        raise PackageError(f"{idle[0]} has no action")
    told: dict[str, object] = {
        "NAME": manifest.name,
        "VERSION": manifest.version,
        "HEADLESS_EXECUTION": manifest.headless,
        **{phase.upper(): action for phase, action in manifest.phases.items()},
    }
    given = {"OS": manifest.os, "ARCHITECTURE": manifest.architecture, "INSTALL_PATHS": manifest.install_paths}
    told |= {key: value for key, value in given.items() if value}
    document = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        errors="surrogatepass"
    )
    try:
        parse_manifest(document)
    except ManifestError as error:
        raise PackageError(str(error)) from None
    return document


def _write(file: IO[bytes], document: bytes, attachments: Mapping[str, Path]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        sums = {MANIFEST: _add(archive, MANIFEST, io.BytesIO(document), len(document))}
        for entry, source in attachments.items():
            with source.open("rb") as content_of:
                sums[entry] = _add(archive, entry, content_of, os.fstat(content_of.fileno()).st_size)
        lines = "".join(f"{entry}: sha256={digest}\n" for entry, digest in sums.items()).encode()
        _add(archive, CHECK_SUMS, io.BytesIO(lines), len(lines))


def _add(archive: zipfile.ZipFile, entry: str, source: IO[bytes], size: int) -> str:
    """Pack one entry in pieces and give its SHA-256; `size` tells whether it needs large numbers."""
    info = zipfile.ZipInfo(entry, _NO_DATE)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3
    info.file_size = size
    digest = hashlib.sha256()
    with archive.open(info, "w") as packed:
        while piece := source.read(_PIECE):
            digest.update(piece)
            packed.write(piece)
    return digest.hexdigest()


@contextlib.contextmanager
def _emptied_again(folder: Path) -> Iterator[None]:
    """Make the folder, or take it when it is empty; whatever is raised inside, it is then as it was before."""
    try:
        folder.mkdir(mode=0o700)
        is_new = True
    except FileExistsError:
        is_new = False
        if folder.is_symlink() or not folder.is_dir() or any(folder.iterdir()):
            raise
    try:
        yield
    except BaseException:
        for child in folder.iterdir():
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        if is_new:
            folder.rmdir()
        raise


def _extract(source: Source, entry: Entry, folder: Path, mode: int, sha256: str) -> None:
    """Write one entry; it is checked again, because the file may be another one than it was a moment ago."""
    *parents, name = entry.name.split("/")
    digest = hashlib.sha256()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with (
        folder_below(folder, parents, 0o700) as directory,
        os.fdopen(os.open(name, flags, FILE_MODE, dir_fd=directory), "wb") as file,
    ):
        try:
            for piece in content(source, entry):
                digest.update(piece)
                file.write(piece)
        except ZipError as error:
            raise PackageError(str(error)) from None
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    if digest.hexdigest() != sha256:
        raise PackageError("it has changed while it was read")

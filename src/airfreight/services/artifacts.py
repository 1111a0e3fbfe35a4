"""Artifacts: files that are stored, hashed and read before anything may offer them."""

import json
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airfreight.domain.access import Permission
from airfreight.domain.delivery import THE_SIX
from airfreight.domain.errors import Kind, Refusal, conflict, invalid, not_found
from airfreight.domain.ids import is_uid
from airfreight.formats import FileSource, identify
from airfreight.formats.facts import Facts
from airfreight.ports import Blob
from airfreight.services.call import Call
from airfreight.settings import Settings
from airfreight.store import artifacts

_LONG = 64
_EXTENSIONS = (".tar.gz", ".tar.xz", ".tar.bz2", ".ota.bin.gz", ".bin.gz", ".bin.hs")


@dataclass(frozen=True, slots=True)
class Claims:
    """What the maker of a rollout says of its file; None means nothing was said."""

    version: str | None = None
    build: str | None = None
    fw_type: str | None = None
    board: str | None = None
    library_version: str | None = None
    component: str | None = None
    size: int | None = None
    md5: str | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The facts a rollout goes by: the file's own, completed by its maker where the file is silent."""

    version: str
    build: str
    fw_type: str
    board: str
    library_version: str
    component: str = ""


def check_room(settings: Settings, free_bytes: int, coming: int) -> None:
    """Raises CONFLICT when `coming` more bytes would leave too little of the disk for the database."""
    if free_bytes - coming < settings.min_free_bytes:
        raise disk_full()


def disk_full() -> Refusal:
    return Refusal(Kind.CONFLICT, "The server's disk is almost full. Delete artifacts or add space.", "disk_full")


def too_large(limit: int) -> Refusal:
    return Refusal(Kind.TOO_LARGE, f"The file is larger than the limit of {limit} bytes.", "too_large")


def check_filename(filename: str, field: str = "filename") -> str:
    """The name as kept: a label for people, never a path. Raises INVALID, naming the `field` it came in."""
    name = filename.replace("\\", "/").rpartition("/")[2].strip()
    if not name or name in {".", ".."} or len(name) > 255 or not name.isprintable():
        raise invalid(f"{field} must be 1 to 255 printable characters.", "bad_filename")
    return name


def may_upload(call: Call) -> None:
    """Raises FORBIDDEN unless the caller may add artifacts; asked before the body is read."""
    call.need(Permission.OTA_START)


def read(path: Path, filename: str) -> Facts:
    """What a file says of itself. Takes long for a large package: no transaction should wait for it.

    Raises INVALID for an empty one, and for a package that contradicts itself.
    """
    if path.stat().st_size == 0:
        raise invalid("The file is empty.", "empty_file")
    with FileSource(path) as source:
        facts = identify(source, filename=check_filename(filename))
    if facts.faults:
        raise invalid("The package is broken: " + "; ".join(facts.faults)[:400] + ".", "broken_package")
    return facts


def register(
    call: Call, blob: Blob, filename: str, facts: Facts | None = None, *, description: str = "", made_by: str = ""
) -> Any:  # noqa: ANN401 - a row
    """Add a stored file as an artifact, made by the caller unless somebody else is named.

    `facts`: what `read` said of it. Raises INVALID as `read` does.
    """
    may_upload(call)
    name = check_filename(filename)
    facts = facts or read(blob.path, name)
    artifact_id = artifacts.add(
        call.connection,
        {
            "organization_id": call.organization_id,
            "uid": str(uuid.uuid4()),
            "path": f"/static/fw_{secrets.randbits(64)}_{secrets.randbits(31)}{_extension(name)}",
            "filename": name,
            "size": blob.size,
            "sha256": blob.sha256,
            "md5": blob.md5,
            "format": facts.format,
            "version": facts.version[:_LONG],
            "build": facts.build[:_LONG],
            "fw_type": facts.fw_type[:_LONG],
            "board": facts.board[:_LONG],
            "library_version": facts.blynk_version[:_LONG],
            "component": facts.component,
            "tagged": facts.tagged,
            "identity": facts.identity,
            "description": description,
            "made_by": made_by or call.actor,
            "details": json.dumps({**facts.details, "warnings": list(facts.warnings)}),
            "created_at": call.now,
        },
    )
    return get(call, artifact_id)


def _extension(name: str) -> str:
    lower = name.lower()
    for known in _EXTENSIONS:
        if lower.endswith(known):
            return known
    dot = lower.rpartition(".")[2] if "." in lower else ""
    return f".{dot}" if dot.isascii() and dot.isalnum() and len(dot) <= 8 else ".bin"


def get(call: Call, artifact_id: int, *, need: Permission = Permission.OTA_VIEW) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND. `need`: for a verb that begins so, that verb's permission."""
    call.need(need)
    artifact = artifacts.get(call.connection, call.organization_id, artifact_id)
    if artifact is None:
        raise not_found("Artifact")
    return artifact


def by_path(call: Call, path: str) -> Any:  # noqa: ANN401 - a row
    """An artifact of the organization acted on or, for one below the caller's, of the caller's own.

    Raises INVALID: a path is part of a request, not the thing asked for.
    """
    call.need(Permission.OTA_START)
    artifact = artifacts.by_path(call.connection, call.organization_id, path)
    if artifact is None:
        artifact = artifacts.by_path(call.connection, call.principal.organization_id, path)
    if artifact is None:
        raise invalid(
            "pathToFirmware is not a path that an upload has answered with. Upload the file first.", "bad_path"
        )
    return artifact


def by_uid(call: Call, uid: str, what: str, *, need: Permission = Permission.OTA_VIEW) -> Any:  # noqa: ANN401 - a row
    """Raises NOT_FOUND; `what` it is called where it is asked for. `need`: see get."""
    call.need(need)
    if not is_uid(uid) or not (found := artifacts.by_uids(call.connection, call.organization_id, [uid])):
        raise not_found(what)
    return found[0]


def paged(call: Call, *, part: str, newest_first: bool, skip: int, limit: int) -> tuple[list[Any], int]:
    """One page of those with `part` in their name, and how many there are."""
    call.need(Permission.OTA_VIEW)
    return artifacts.paged(
        call.connection, call.organization_id, part=part, newest_first=newest_first, skip=skip, limit=limit
    )


def search(call: Call, *, after: int, limit: int) -> list[Any]:
    call.need(Permission.OTA_VIEW)
    return artifacts.listed(call.connection, call.organization_id, after=after, limit=limit)


_IN_USE = "A rollout has used this artifact; it is kept for the record."


def delete(call: Call, artifact_id: int, in_use: str = _IN_USE) -> None:
    """Raises NOT_FOUND, or CONFLICT (saying `in_use`) when a rollout has used it.

    The bytes go later, when nobody has them any more.
    """
    call.need(Permission.OTA_CANCEL)
    get(call, artifact_id, need=Permission.OTA_CANCEL)
    if artifacts.is_used(call.connection, artifact_id):
        raise conflict(in_use, "in_use")
    artifacts.remove(call.connection, call.organization_id, artifact_id)


def carried_by(call_connection: Any, device_id: int, artifact_id: int) -> Any:  # noqa: ANN401 - a connection, a row
    """The artifact, if the device has an active attempt that carries it; else None."""
    return artifacts.carried_by(call_connection, device_id, artifact_id, [str(state) for state in THE_SIX])


_FACTS = {
    "version": "version",
    "buildDate": "build",
    "fwType": "fw_type",
    "boardType": "board",
    "blynkVersion": "library_version",
    "type": "component",
}
"""The name in firmwareInfo, and ours."""


def confirm(artifact: Any, claims: Claims, field: str = "firmwareInfo") -> Confirmed:  # noqa: ANN401 - a row
    """The facts a rollout goes by. Raises INVALID naming the claims, sent in `field`, that the file contradicts.

    Size and hashes are the file's, always. What a tag says stands; in a file without one, the maker knows better.
    """
    measured = {
        "fileSize": (claims.size, artifact.size),
        "md5Hash": (claims.md5, artifact.md5),
        "sha256Hash": (claims.sha256, artifact.sha256),
    }
    said = {name: (getattr(claims, fact), _own(artifact, fact)) for name, fact in _FACTS.items()}
    wrong = [name for name, (claimed, true) in measured.items() if claimed is not None and claimed != true]
    if artifact.tagged:
        wrong += [name for name, (claimed, true) in said.items() if claimed and true and claimed != true]
    if wrong:
        raise invalid(f"{field} contradicts the uploaded file in: {', '.join(wrong)}.", "contradiction")
    chosen = {
        _FACTS[name]: true if artifact.tagged and true else claimed or true for name, (claimed, true) in said.items()
    }
    if not artifact.tagged and chosen["component"] == artifact.component:
        chosen["component"] = ""  # an upload answers so for every file without a tag: repeating it claims nothing
    return Confirmed(**chosen)


def noted(carried: Any, file: Any) -> list[str]:  # noqa: ANN401 - rows of a rollout's artifact and of its file
    """A sentence for each fact that a rollout goes by because its maker said so, and not the file."""
    notes = []
    for name, fact in _FACTS.items():
        taken, own = getattr(carried, fact), _own(file, fact)
        if taken and taken != own:
            instead = f"the file says {own!r}, but not in a tag" if own else "the file does not say"
            notes.append(f"{name} {taken!r} is what the maker of the rollout says; {instead}.")
    return notes


def _own(file: Any, fact: str) -> str:  # noqa: ANN401 - a row
    """What the file itself says; every file without a tag passes for one of the main processor, which says nothing."""
    return "" if fact == "component" and not file.tagged else str(getattr(file, fact))

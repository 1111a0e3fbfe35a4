"""IoTCP packages: a ZIP with scripts for a life cycle, a Manifest, and a list of check sums that is verified here."""

import struct

from airfreight.formats.facts import Detail, Facts, Format
from airfreight.formats.reading import Reading
from airfreight.formats.source import Part, Source
from airfreight_iotcp.listing import ZipError, find_end, listed
from airfreight_iotcp.package import DATA, MANIFEST, Checked, Manifest, check, script_of

_HEAD = struct.Struct("<4s22xH2x")
_END_SIZE = 22
_MAX_COMMENT = 0xFFFF


def read(source: Source, _filename: str) -> Reading | None:
    """Read a package to its end. Where it contradicts itself, or is not safe to open, the facts have `faults`."""
    return _reading(check(source)) if _is_package(source) else None


def _is_package(source: Source) -> bool:
    """Whether it begins with a Manifest, or lists one: also damaged ones are told from other ZIPs, to be refused."""
    name = MANIFEST.encode()
    head = source.read_at(0, _HEAD.size + len(name))
    if not head.startswith(b"PK\3\4") or len(head) < _HEAD.size:
        return False
    if _HEAD.unpack_from(head) == (b"PK\3\4", len(name)) and head[_HEAD.size :] == name:
        return True
    start = max(0, source.size - _END_SIZE - _MAX_COMMENT)
    at = source.read_at(start, _END_SIZE + _MAX_COMMENT).rfind(b"PK\5\6")
    whole = Part(source, 0, start + at + _END_SIZE)
    try:
        return at >= 0 and any(one.name == name for one in listed(whole, find_end(whole)))
    except ZipError:
        return False


def _reading(checked: Checked) -> Reading:
    manifest = checked.manifest
    details: dict[str, Detail] = {
        "entries": {entry.name: entry.size for entry in checked.entries},
        "unpacked_size": sum(entry.size for entry in checked.entries),
    }
    if manifest is not None:
        details |= _told(manifest)
    facts = Facts(
        format=Format.IOTCP,
        version=manifest.version if manifest else "",
        details=details,
        warnings=_warnings(manifest, checked) if manifest else (),
        faults=checked.faults,
    )
    return Reading(facts, is_final=True)


def _told(manifest: Manifest) -> dict[str, Detail]:
    told: dict[str, Detail] = {
        "name": manifest.name,
        "headless": manifest.headless,
        "phases": dict(manifest.phases),
        "os": manifest.os,
        "architecture": manifest.architecture,
        "install_paths": dict(manifest.install_paths),
    }
    return {key: value for key, value in told.items() if key in {"name", "headless", "phases"} or value}


def _warnings(manifest: Manifest, checked: Checked) -> tuple[str, ...]:
    names = {entry.name for entry in checked.entries}
    outside = [phase for phase in manifest.phases if script_of(manifest, phase, names) is None]
    return tuple(f"the action of {phase} is not in {DATA}: the device must have it already" for phase in outside)

"""What a package must be: a strict ZIP, a Manifest, and a SHA-256 for each entry that its content agrees with.

Faults name entries and lines by number, and repeat nothing that stands in the file.
"""

import hashlib
import json
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice

from airfreight_iotcp.listing import Source, ZipError
from airfreight_iotcp.unzip import Entry, content, entries

MANIFEST = "dist-info/Manifest"
CHECK_SUMS = "dist-info/CHECK_SUMS"
DATA = "data/"
PHASES = ("verify", "execute", "validate", "activate", "reset")
"""In the order of the life cycle; in the Manifest they are in upper case."""

MAX_MANIFEST = 64 << 10
MAX_CHECK_SUMS = 512 << 10
MAX_VERSION = 64
MAX_NAME = 128
MAX_PATH = 1024
_MAX_FAULTS = 20
_SUM = re.compile(r"(?P<name>.+): sha256=(?P<sha256>[0-9a-f]{64})")


class ManifestError(Exception):
    """The Manifest is not what it must be; the message says why."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a package says of itself; "" is "not told".

    `phases` holds the action of each phase that has one, in the order of the life cycle. `install_paths` says for
    some entries, by name, where they belong on the device.
    """

    name: str
    version: str
    headless: bool
    phases: Mapping[str, str]
    os: str = ""
    architecture: str = ""
    install_paths: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checked:
    """A package that was read to its end. It may be used only without `faults`; `sums` are of what is in it."""

    manifest: Manifest | None
    entries: tuple[Entry, ...]
    sums: Mapping[str, str]
    faults: tuple[str, ...]


def check(source: Source) -> Checked:
    """Read a package to its end, in pieces. Whatever is wrong with it stands in `faults`; raises nothing of its own."""
    try:
        found = tuple(entries(source))
        _check_parts(found)
    except ZipError as error:
        return Checked(None, (), {}, (str(error),))
    sums: dict[str, str] = {}
    texts: dict[str, bytes] = {}
    damaged: list[str] = []
    for entry in found:
        try:
            sums[entry.name], texts[entry.name] = _digest(source, entry)
        except ZipError as error:
            damaged.append(str(error))
    faults = _first(chain(damaged, _compare(found, sums, texts[CHECK_SUMS]) if CHECK_SUMS in texts else ()))
    manifest = None
    if MANIFEST in texts:
        try:
            manifest = parse_manifest(texts[MANIFEST])
            _check_install_paths(manifest, {entry.name for entry in found})
        except ManifestError as error:
            faults += (f"{MANIFEST}: {error}",)
    return Checked(manifest, found, sums, faults)


def parse_manifest(data: bytes) -> Manifest:
    """Raises ManifestError. Keys that are not known are passed over."""
    if len(data) > MAX_MANIFEST:
        raise ManifestError(f"it is larger than {MAX_MANIFEST} bytes")
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise ManifestError("it is not JSON in UTF-8, or has a key twice") from None
    if not isinstance(document, dict):
        raise ManifestError("it is not a JSON object")
    headless = document.get("HEADLESS_EXECUTION", False)
    if not isinstance(headless, bool):
        raise ManifestError("HEADLESS_EXECUTION must be true or false")
    actions = {phase: _text(document, phase.upper(), MAX_PATH) for phase in PHASES}
    for phase, action in actions.items():
        if ".." in action.split("/"):
            raise ManifestError(f"{phase.upper()} must be a path without ..")
    return Manifest(
        name=_text(document, "NAME", MAX_NAME, needed=True),
        version=_text(document, "VERSION", MAX_VERSION, needed=True),
        headless=headless,
        phases={phase: action for phase, action in actions.items() if action},
        os=_text(document, "OS", MAX_VERSION),
        architecture=_text(document, "ARCHITECTURE", MAX_VERSION),
        install_paths=_install_paths(document),
    )


def script_of(manifest: Manifest, phase: str, names: Collection[str]) -> str | None:
    """The entry that a phase runs, by name; None when its action is a program that the device must have already.

    An action is the install path of an entry, or the path that the file had where the package was made, of which the
    package keeps the last part only.
    """
    action = manifest.phases[phase]
    for name, path in manifest.install_paths.items():
        if path == action:
            return name
    if action.startswith("/"):
        return None
    name = posixpath.normpath(action)
    return next((DATA + path for path in (name, posixpath.basename(name)) if DATA + path in names), None)


def _check_parts(found: Collection[Entry]) -> None:
    sizes = {entry.name: entry.size for entry in found}
    for name, most in ((MANIFEST, MAX_MANIFEST), (CHECK_SUMS, MAX_CHECK_SUMS)):
        if name not in sizes:
            raise ZipError(f"{name} is missing")
        if sizes[name] > most:
            raise ZipError(f"{name} is larger than {most} bytes")


def _digest(source: Source, entry: Entry) -> tuple[str, bytes]:
    """Hash the content; it is kept only for the two entries that are read here. Raises ZipError."""
    digest = hashlib.sha256()
    kept = []
    for piece in content(source, entry):
        digest.update(piece)
        if entry.name in {MANIFEST, CHECK_SUMS}:
            kept.append(piece)
    return digest.hexdigest(), b"".join(kept)


def _compare(found: Collection[Entry], sums: Mapping[str, str], text: bytes) -> Iterator[str]:
    """Tell where the list of check sums and the entries do not agree."""
    names = {entry.name for entry in found if entry.name != CHECK_SUMS}
    listed: dict[str, str] = {}
    lines = text.decode("utf-8", "replace").split("\n")
    if lines.pop():
        yield f"the last line of {CHECK_SUMS} is not ended"
    for number, line in enumerate(lines, 1):
        one = _SUM.fullmatch(line)
        if one is None:
            yield f"line {number} of {CHECK_SUMS} is not a name, ': sha256=' and 64 lower-case hex digits"
        elif one["name"] not in names:
            yield f"line {number} of {CHECK_SUMS} lists an entry that is missing"
        elif one["name"] in listed:
            yield f"line {number} of {CHECK_SUMS} lists an entry again"
        else:
            listed[one["name"]] = one["sha256"]
    for entry in found:
        if entry.name in names and entry.name not in listed:
            yield f"entry {entry.number} is not listed in {CHECK_SUMS}"
        elif entry.name in sums and entry.name in names and sums[entry.name] != listed[entry.name]:
            yield f"entry {entry.number} does not have the SHA-256 that {CHECK_SUMS} lists"


def _first(faults: Iterator[str]) -> tuple[str, ...]:
    first = tuple(islice(faults, _MAX_FAULTS))
    more = sum(1 for _ in faults)
    return (*first, f"and {more} more") if more else first


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError
    return made


def _text(document: Mapping[str, object], key: str, most: int, *, needed: bool = False) -> str:
    value = document.get(key, "")
    if not isinstance(value, str) or len(value) > most or not value.isprintable() or (needed and not value.strip()):
        raise ManifestError(f"{key} must be {1 if needed else 0} to {most} printable characters")
    return value


def _install_paths(document: Mapping[str, object]) -> dict[str, str]:
    paths = document.get("INSTALL_PATHS", {})
    if not isinstance(paths, dict) or not all(isinstance(path, str) for path in paths.values()):
        raise ManifestError("INSTALL_PATHS must be an object whose values are texts")
    for path in paths.values():
        plain = path.isprintable() and path.startswith("/") and len(path) <= MAX_PATH
        if not plain or {"", ".", ".."}.intersection(path[1:].split("/")):
            raise ManifestError(f"each of INSTALL_PATHS must be a full path of at most {MAX_PATH} characters")
    if len(set(paths.values())) < len(paths):
        raise ManifestError("two of INSTALL_PATHS are the same")
    return dict(paths)


def _check_install_paths(manifest: Manifest, names: Collection[str]) -> None:
    for name in manifest.install_paths:
        if name not in names or not name.startswith(DATA):
            raise ManifestError(f"each of INSTALL_PATHS must be for an entry below {DATA}")

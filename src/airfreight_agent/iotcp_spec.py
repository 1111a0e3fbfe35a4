"""The specification that a package is made from: the fields of the vendor's YAML file, written in TOML or JSON."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from airfreight_agent.iotcp import PackageError, build
from airfreight_iotcp.package import DATA, script_of

_MAX_SIZE = 1 << 20
_PACKAGE = {"name", "version", "description", "os", "architecture", "manifest", "attachments"}

Table = Mapping[str, object]


def create(spec: Path, output: Path | None = None) -> tuple[Path, list[str]]:
    """Make the package of a specification; gives its path, `<name>-<version>.iotcp` by default, and warnings.

    Paths of attachments count from the folder of the specification. Raises PackageError for a specification that is
    not right, and OSError for files that cannot be read or written.
    """
    package = _table(_known(_read(spec), {"package"}, "the specification"), "package", _PACKAGE)
    manifest = _table(package, "manifest", {"headlessExecution", "lifecycle"})
    headless = manifest.get("headlessExecution", False)
    if not isinstance(headless, bool):
        raise PackageError("headlessExecution must be true or false")
    name, version = _text(package, "name"), _text(package, "version")
    if output is None and "/" in name + version:
        raise PackageError("a name or version with / in it gives no file name: say one with -o")
    rows = _rows(package, "attachments", {"path", "installPath"})
    attachments = [(spec.parent / _text(row, "path"), _text(row, "installPath", "")) for row in rows]
    output = output or Path(f"{name}-{version}.iotcp")
    made = build(
        output,
        name,
        version,
        headless=headless,
        lifecycle=_lifecycle(manifest, rows),
        attachments=attachments,
        os_name=_text(package, "os", ""),
        architecture=_text(package, "architecture", ""),
    )
    entries = {DATA + source.name for source, _ in attachments}
    outside = [phase for phase in made.phases if script_of(made, phase, entries) is None]
    return output, [f"the action of {phase} is no attachment: the gateway must have it already" for phase in outside]


def _lifecycle(manifest: Table, attachments: list[Table]) -> dict[str, str]:
    """The action of each phase. An attachment's path, where it has no other on the gateway, becomes its file name."""
    names = {row.get("path"): Path(_text(row, "path")).name for row in attachments if not row.get("installPath")}
    lifecycle: dict[str, str] = {}
    for row in _rows(manifest, "lifecycle", {"phase", "action"}):
        phase, action = _text(row, "phase"), _text(row, "action")
        if phase in lifecycle:
            raise PackageError(f"the phase {phase!r} is listed twice")
        lifecycle[phase] = names.get(action, action)
    return lifecycle


def _read(spec: Path) -> Table:
    if spec.suffix not in {".toml", ".json"}:
        raise PackageError("a specification is a .toml or a .json file, with the fields of the YAML one")
    with spec.open("rb") as file:
        content = file.read(_MAX_SIZE + 1)
    if len(content) > _MAX_SIZE:
        raise PackageError(f"the specification is larger than {_MAX_SIZE} bytes")
    try:
        text = content.decode()
        document = tomllib.loads(text) if spec.suffix == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"the specification cannot be read: {error}") from None
    if not isinstance(document, dict):
        raise PackageError("the specification is not a table")
    return document


def _known(table: Table, keys: set[str], what: str) -> Table:
    if unknown := sorted(set(table) - keys):
        raise PackageError(f"{unknown[0]!r} is no field of {what}: it has {', '.join(sorted(keys))}")
    return table


def _table(table: Table, key: str, keys: set[str]) -> Table:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise PackageError(f"{key} must be a table")
    return _known(value, keys, key)


def _rows(table: Table, key: str, keys: set[str]) -> list[Table]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise PackageError(f"{key} must be a list of tables")
    return [_known(row, keys, key) for row in value]


def _text(table: Table, key: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or (default is None and not value):
        raise PackageError(f"{key} must be a text" + (", and not empty" if default is None else ""))
    return value

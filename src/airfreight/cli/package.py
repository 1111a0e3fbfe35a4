"""`airfreight package`: what campaigns carry to gateways.

To the native API a package is an artifact, which knows its manifest; descriptions and makers are this door's.
"""

from pathlib import Path
from typing import Annotated

import typer

from airfreight.cli import artifact, output, resumable
from airfreight.cli.auth import Session, connect
from airfreight.cli.campaigns_door import PACKAGE, PageNumber, id_of, page, show_page, when
from airfreight.cli.errors import usage
from airfreight.cli.http import Doc, Request, printable
from airfreight.cli.options import AsJson, Limit, Org, Yes, string, sure
from airfreight.cli.output import Column, columns, size, text

app = typer.Typer(help="Manage packages: what campaigns carry to gateways.", no_args_is_help=True)
LONGEST_DESCRIPTION = 128
IOTCP = "iotcp"
PHASES = ("verify", "execute", "validate", "activate", "reset")

Package = Annotated[str, typer.Argument(metavar="ID|NAME", help="The package, by id or by its exact name.")]
Description = Annotated[str | None, typer.Option(help="What is in it; one line of at most 128 characters.")]


def _kind(value: object) -> str:
    """Show whether it is a package for the agent, or any other file."""
    if not isinstance(value, dict):
        return "-"
    details = value.get("details")
    title = details.get("name") if isinstance(details, dict) else None
    return text(f"package {title}" if value.get("format") == IOTCP else f"a file, not a package: {value.get('format')}")


def _version(value: object) -> str:
    return text(value.get("version")) if isinstance(value, dict) else "-"


def _approval(value: object) -> str:
    """Show whether somebody has to approve its phases, each of them."""
    details = value.get("details") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(details, dict):
        return "-"
    waits = details.get("headless") is False
    if value.get("format") != IOTCP:
        return "none needed"
    return "each phase waits until it is given its time" if waits else "none needed (headless)"


def _phases(value: object) -> str:
    """Show the manifest's phases in the order in which they run."""
    details = value.get("details") if isinstance(value, dict) else None
    told = details.get("phases") if isinstance(details, dict) else None
    phases = told if isinstance(told, dict) else {}
    return text([f"{phase} ({phases[phase]})" for phase in PHASES if phase in phases])


def _warnings(value: object) -> str:
    return text(value.get("warnings") or None) if isinstance(value, dict) else "-"


COLUMNS = (
    *columns("id", "name", "description"),
    Column("created by", "createdBy"),
    Column("created", "createdOn", when),
)
DETAILS = (
    *columns("id", "name", "description"),
    Column("kind", "facts", _kind),
    Column("version", "facts", _version),
    Column("approval", "facts", _approval),
    Column("phases", "facts", _phases),
    Column("warnings", "facts", _warnings),
    Column("size", "size", size),
    *columns("sha256"),
    Column("artifact", "number"),
    *COLUMNS[3:],
)


@app.command("upload")
def upload_command(
    file: Annotated[Path, artifact.ExistingFile],
    description: Description = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Upload a package, or any other file for gateways; a bar on stderr shows how it goes.

    The file goes out piece by piece, however large it is. A package that contradicts its checksums is refused.

    Example: airfreight package upload build/disk-metrics-1.0.3.iotcp --description "metrics of disks"
    """
    if description is not None and (len(description) > LONGEST_DESCRIPTION or not description.isprintable()):
        raise usage("--description is too long, or not one line", f"Say it in {LONGEST_DESCRIPTION} characters.")
    with connect(org) as session:
        _show(session, upload(session, file, description, quiet=as_json), as_json=as_json)


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Option(metavar="PART", help="Only those with this in their name.")] = None,
    limit: Limit = 50,
    number: PageNumber = 1,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """List the packages, the newest first; every artifact is one.

    Example: airfreight package list --name metrics
    """
    with connect(org) as session:
        show_page(page(session, PACKAGE, number, limit, name=name), COLUMNS, as_json=as_json)


@app.command()
def show(package: Package, org: Org = None, as_json: AsJson = False) -> None:
    """Show a package: its manifest with the phases, and whether they wait for somebody.

    Example: airfreight package show disk-metrics-1.0.3.iotcp
    """
    with connect(org) as session:
        _show(session, id_of(session, PACKAGE, package), as_json=as_json)


@app.command()
def delete(package: Package, yes: Yes = False, org: Org = None, as_json: AsJson = False) -> None:
    """Delete a package that no campaign uses.

    Example: airfreight package delete disk-metrics-1.0.3.iotcp --yes
    """
    with connect(org) as session:
        uid = id_of(session, PACKAGE, package)
        name = text(session.get(f"{PACKAGE.path}/{uid}/file-info").get("name"))
        sure(f"Delete package {name}?", yes=yes)
        session.delete(f"{PACKAGE.path}/{uid}")
        if as_json:
            output.emit({"id": uid, "deleted": True})
        else:
            output.line(f"Deleted package {name}.")


def upload(session: Session, file: Path, description: str | None = None, *, quiet: bool) -> str:
    """Stream a file to the server and return the id of the package. Raises CliError.

    A large one goes on after a break, but for an organization below the login's.
    """
    if session.is_at_home and resumable.is_large(file):
        made = resumable.upload(session, file, description=description or "", quiet=quiet)
        if made is not None:
            return string(made, "uid")
    told = {"name": printable(file.name), "description": description}
    return string(artifact.send(session, file, Request("POST", f"{PACKAGE.path}/", told), quiet=quiet), "uuid")


def _show(session: Session, uid: str, *, as_json: bool) -> None:
    info = session.get(f"{PACKAGE.path}/{uid}/file-info")
    stored = next((one for one in session.every(artifact.PATH) if one.get("uid") == uid), None)
    if as_json:
        output.emit({**info, "artifact": stored})
        return
    output.record({**_file(stored), **info}, DETAILS, as_json=False)


def _file(stored: Doc | None) -> Doc:
    """What the native API adds: nothing of a file of an organization below."""
    known = stored or {}
    return {"number": known.get("id")} | {key: known.get(key) for key in ("facts", "size", "sha256")}

"""`airfreight artifact`: the files that can be sent to devices."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from airfreight.cli import output, resumable
from airfreight.cli.auth import Session, connect
from airfreight.cli.errors import usage
from airfreight.cli.http import Doc, Request, document, printable
from airfreight.cli.options import After, AsJson, Id, Limit
from airfreight.cli.output import Column, columns, size, when
from airfreight.cli.progress import counting

app = typer.Typer(help="Manage artifacts: the files that can be sent to devices.", no_args_is_help=True)
PATH = "/api/v1/artifacts"
CHUNK_BYTES = 256 * 1024
COLUMNS = (
    *columns("id", "filename"),
    Column("size", "size", size, right=True),
    *columns("path"),
    Column("created", "createdAt", when),
)
DETAILS = (
    *columns("id", "uid", "filename", "path"),
    Column("size", "size", size),
    *columns("sha256", "md5", "facts"),
    Column("created", "createdAt", when),
)
ExistingFile = typer.Argument(
    metavar="FILE", exists=True, dir_okay=False, readable=True, help="A file on this computer."
)


@app.command("upload")
def upload_command(
    file: Annotated[Path, ExistingFile],
    in_pieces: Annotated[
        bool, typer.Option("--resumable", help="Go on where it breaks off; files of 64 MiB or more always do.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Upload a file; a bar on stderr shows how it goes.

    A large file goes on by itself after a break, and where it was when the command is run again.

    Example: airfreight artifact upload build/thermostat-2.3.1.bin
    """
    with connect() as session:
        output.record(upload(session, file, quiet=as_json, in_pieces=in_pieces), DETAILS, as_json=as_json)


@app.command("list")
def list_(limit: Limit = 50, after: After = None, as_json: AsJson = False) -> None:
    """List the artifacts.

    Example: airfreight artifact list
    """
    with connect() as session:
        output.page(session.page(PATH, limit=limit, after=after), COLUMNS, as_json=as_json)


@app.command()
def show(number: Id, as_json: AsJson = False) -> None:
    """Show one artifact: its digests and what the server read in it.

    Example: airfreight artifact show 5
    """
    with connect() as session:
        output.record(session.get(f"{PATH}/{number}"), DETAILS, as_json=as_json)


@app.command()
def delete(number: Id, as_json: AsJson = False) -> None:
    """Delete an artifact that nothing uses.

    Example: airfreight artifact delete 5
    """
    with connect() as session:
        session.delete(f"{PATH}/{number}")
        output.removed("artifact", number, as_json=as_json)


def upload(session: Session, file: Path, *, quiet: bool, in_pieces: bool = False) -> Doc:
    """Stream a file to the server and return the artifact. Raises CliError, also if the file cannot be read.

    A large one (and any, `in_pieces`) goes on after a break, where the server can do that.
    """
    if in_pieces or resumable.is_large(file):
        made = resumable.upload(session, file, quiet=quiet)
        if made is not None:
            return made
    return send(session, file, Request("PUT", PATH, {"filename": printable(file.name)}), quiet=quiet)


def send(session: Session, file: Path, request: Request, *, quiet: bool) -> Doc:
    """Send a request whose body is a file, piece by piece. Raises CliError, also if the file cannot be read."""
    try:
        length = file.stat().st_size
        with counting(printable(file.name), length, quiet=quiet) as count:

            def body() -> Iterator[bytes]:
                # Called again if the request has to be repeated: each time from the start.
                count(None)
                left = length
                with file.open("rb") as source:
                    while chunk := source.read(CHUNK_BYTES):
                        left -= len(chunk)
                        if left < 0:
                            break
                        yield chunk
                        count(len(chunk))
                if left:
                    raise usage(f"{file} changed while it was sent", "Wait until it is complete and try again.")

            headers = {"Content-Length": str(length), "Content-Type": "application/octet-stream"}
            return document(session.send(replace(request, headers=headers, body=body)))
    except OSError as error:
        raise usage(f"{file} cannot be read: {error.strerror}", "Check the file and its permissions.") from None

"""`airfreight org`: organizations, and the organizations below them."""

from typing import Annotated

import typer

from airfreight.cli import output
from airfreight.cli.auth import connect
from airfreight.cli.errors import usage
from airfreight.cli.options import After, AsJson, Id, Limit, Name, TimeZone, present
from airfreight.cli.output import Column, columns, when

app = typer.Typer(help="Manage organizations: yours, and those below it.", no_args_is_help=True)
PATH = "/api/v1/organizations"
COLUMNS = (
    *columns("id", "name"),
    Column("parent", "parentId"),
    Column("time zone", "timeZone"),
    Column("created", "createdAt", when),
)


@app.command("list")
def list_(limit: Limit = 50, after: After = None, as_json: AsJson = False) -> None:
    """List your organization and those below it.

    Example: airfreight org list
    """
    with connect() as session:
        output.page(session.page(PATH, limit=limit, after=after), COLUMNS, as_json=as_json)


@app.command()
def create(
    name: Name,
    time_zone: TimeZone = None,
    parent: Annotated[
        int | None, typer.Option(metavar="ID", help="The organization above it; yours by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create an organization below yours.

    Example: airfreight org create "North plant" --time-zone Europe/Oslo
    """
    with connect() as session:
        created = session.post(PATH, present(name=name, timeZone=time_zone, parentId=parent))
        output.record(created, COLUMNS, as_json=as_json)


@app.command()
def edit(
    number: Id,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    time_zone: TimeZone = None,
    as_json: AsJson = False,
) -> None:
    """Change an organization's name or time zone.

    Example: airfreight org edit 3 --name "South plant"
    """
    changes = present(name=name, timeZone=time_zone)
    if not changes:
        raise usage("Nothing to change", "Give --name or --time-zone.")
    with connect() as session:
        output.record(session.patch(f"{PATH}/{number}", changes), COLUMNS, as_json=as_json)


@app.command()
def delete(number: Id, as_json: AsJson = False) -> None:
    """Delete an empty organization below yours.

    Example: airfreight org delete 3
    """
    with connect() as session:
        session.delete(f"{PATH}/{number}")
        output.removed("organization", number, as_json=as_json)

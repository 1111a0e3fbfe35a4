"""`airfreight group`: groups of devices, live ones by a filter."""

from typing import Annotated

import typer

from airfreight.cli import output
from airfreight.cli.auth import connect
from airfreight.cli.device import COLUMNS as DEVICE_COLUMNS
from airfreight.cli.errors import usage
from airfreight.cli.options import After, AsJson, Id, Limit, Name, Org, present, whole_number
from airfreight.cli.output import Column, columns, when

app = typer.Typer(help="Manage groups of devices; docs/groups.md has the filters.", no_args_is_help=True)
PATH = "/api/v1/groups"
COLUMNS = (*columns("id", "name", "filter", "uid"), Column("created", "createdAt", when))
Which = Annotated[str, typer.Argument(metavar="FILTER", help="Which devices, such as 'version < \"2.0.0\"'.")]


@app.command()
def create(
    name: Name,
    which: Annotated[
        str | None, typer.Option("--filter", metavar="FILTER", help="Which devices; without it the group is fixed.")
    ] = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Create a group: live with --filter, else fixed, with a token that is shown this once.

    Example: airfreight group create "Lamps in Oslo" --filter 'product = "Lamp" and attributes.site = "oslo"'
    """
    with connect() as session:
        created = session.post(PATH, present(name=name, filter=which, orgId=org))
        shown = (*COLUMNS, *columns("token")) if created.get("token") else COLUMNS
        output.record(created, shown, as_json=as_json)
        if created.get("token"):
            output.remark("The token is not shown again: keep it now.")


@app.command("list")
def list_(org: Org = None, limit: Limit = 50, after: After = None, as_json: AsJson = False) -> None:
    """List the groups.

    Example: airfreight group list
    """
    with connect() as session:
        output.page(session.page(PATH, orgId=org, limit=limit, after=after), COLUMNS, as_json=as_json)


@app.command()
def show(number: Id, as_json: AsJson = False) -> None:
    """Show a group, and how many devices are in it now.

    Example: airfreight group show 3
    """
    with connect() as session:
        output.record(session.get(f"{PATH}/{number}"), (*COLUMNS, Column("devices", "total")), as_json=as_json)


@app.command("set")
def set_(
    number: Id,
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    which: Annotated[str | None, typer.Option("--filter", metavar="FILTER", help="Its new filter.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a group's name, or a live group's filter.

    Example: airfreight group set 3 --filter 'version < "2.1.0" and not online'
    """
    body = present(name=name, filter=which)
    if not body:
        raise usage("Nothing to change was named", "Give --name or --filter.")
    with connect() as session:
        output.record(session.patch(f"{PATH}/{number}", body), COLUMNS, as_json=as_json)


@app.command()
def delete(number: Id, as_json: AsJson = False) -> None:
    """Delete a group; its devices stay.

    Example: airfreight group delete 3
    """
    with connect() as session:
        session.delete(f"{PATH}/{number}")
        output.removed("group", number, as_json=as_json)


@app.command()
def devices(number: Id, limit: Limit = 50, after: After = None, as_json: AsJson = False) -> None:
    """List the devices that are in a group now.

    Example: airfreight group devices 3
    """
    with connect() as session:
        found = session.page(f"{PATH}/{number}/devices", limit=limit, after=after)
        output.page(found, DEVICE_COLUMNS, as_json=as_json)


@app.command()
def preview(which: Which, org: Org = None, as_json: AsJson = False) -> None:
    """Show which devices a filter matches now: how many, and the first 20. Nothing is made.

    Example: airfreight group preview 'lastSeenAt < now() - 7d'
    """
    with connect() as session:
        found = session.post(f"{PATH}/preview", present(filter=which, orgId=org))
        if as_json:
            output.emit(found)
            return
        output.table(found["devices"], DEVICE_COLUMNS)
        output.remark(f"{whole_number(found, 'total')} devices match.")

"""`airfreight client`: the API clients, whose id and secret scripts log in with."""

from typing import Annotated

import typer

from airfreight.cli import output
from airfreight.cli.auth import connect
from airfreight.cli.options import After, AsJson, Id, Limit, Name, Org, present
from airfreight.cli.output import Column, columns, when

app = typer.Typer(help="Manage API clients: the credentials of scripts and of this command.", no_args_is_help=True)
PATH = "/api/v1/clients"
COLUMNS = (*columns("id", "name"), Column("client id", "clientId"), Column("created", "createdAt", when))


@app.command()
def create(
    name: Name,
    scope: Annotated[
        list[str] | None, typer.Option(metavar="PERMISSION", help="What it may do; repeatable; everything by default.")
    ] = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Create a client; its secret is shown this once.

    Example: airfreight client create "build server" --scope OTA_VIEW --scope OTA_START
    """
    with connect() as session:
        created = session.post(PATH, present(name=name, scopes=scope or None, orgId=org))
        output.record(created, (*COLUMNS[:3], Column("secret", "secret")), as_json=as_json)
        output.remark("The secret is not shown again: keep it now.")


@app.command("list")
def list_(org: Org = None, limit: Limit = 50, after: After = None, as_json: AsJson = False) -> None:
    """List the clients.

    Example: airfreight client list
    """
    with connect() as session:
        output.page(session.page(PATH, orgId=org, limit=limit, after=after), COLUMNS, as_json=as_json)


@app.command()
def delete(number: Id, as_json: AsJson = False) -> None:
    """Delete a client; its tokens end with it.

    Example: airfreight client delete 4
    """
    with connect() as session:
        session.delete(f"{PATH}/{number}")
        output.removed("client", number, as_json=as_json)

"""`airfreight user`: the people who may log in."""

from enum import StrEnum
from typing import Annotated

import typer

from airfreight.cli import output
from airfreight.cli.account import ask
from airfreight.cli.auth import connect
from airfreight.cli.options import After, AsJson, Id, Limit, present
from airfreight.cli.output import Column, columns, when

app = typer.Typer(help="Manage users: the people who may log in.", no_args_is_help=True)
PATH = "/api/v1/users"
COLUMNS = (*columns("id", "email", "name", "role"), Column("created", "createdAt", when))


class Role(StrEnum):
    """What a user may do, as the server names it."""

    ADMIN = "admin"
    STAFF = "staff"
    USER = "user"


@app.command()
def create(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The address to log in with.")],
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.USER,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    password: Annotated[str | None, typer.Option(help="The first password; asked for if it is left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a user.

    Example: airfreight user create ada@example.com --role staff --name Ada
    """
    password = ask("Password", password, "--password", hidden=True, twice=True)
    with connect() as session:
        created = session.post(PATH, present(email=email, password=password, name=name, role=role.value))
        output.record(created, COLUMNS, as_json=as_json)


@app.command("list")
def list_(limit: Limit = 50, after: After = None, as_json: AsJson = False) -> None:
    """List the users.

    Example: airfreight user list
    """
    with connect() as session:
        output.page(session.page(PATH, limit=limit, after=after), COLUMNS, as_json=as_json)


@app.command()
def delete(number: Id, as_json: AsJson = False) -> None:
    """Delete a user.

    Example: airfreight user delete 7
    """
    with connect() as session:
        session.delete(f"{PATH}/{number}")
        output.removed("user", number, as_json=as_json)

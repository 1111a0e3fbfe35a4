"""`airfreight user`: the people who may log in."""

from enum import StrEnum
from typing import Annotated

import typer

from airfreight.cli import output
from airfreight.cli.account import ask
from airfreight.cli.auth import connect
from airfreight.cli.errors import usage
from airfreight.cli.options import After, AsJson, Id, Limit, Org, present
from airfreight.cli.output import Column, columns, when

app = typer.Typer(help="Manage users: the people who may log in.", no_args_is_help=True)
PATH = "/api/v1/users"
COLUMNS = (*columns("id", "email", "name", "role", "status"), Column("created", "createdAt", when))


class Role(StrEnum):
    """What a user may do, as the server names it."""

    ADMIN = "admin"
    STAFF = "staff"
    USER = "user"


class Status(StrEnum):
    """Whether a user can log in, as the server names it."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    SUSPENDED = "suspended"


@app.command()
def create(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The address to log in with.")],
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.USER,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    password: Annotated[str | None, typer.Option(help="The first password; asked for if it is left out.")] = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Create a user.

    Example: airfreight user create ada@example.com --role staff --name Ada
    """
    password = ask("Password", password, "--password", hidden=True, twice=True)
    with connect() as session:
        created = session.post(PATH, present(email=email, password=password, name=name, role=role.value, orgId=org))
        output.record(created, COLUMNS, as_json=as_json)


@app.command()
def invite(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The address to log in with.")],
    role: Annotated[Role, typer.Option(help="What the user may do.")] = Role.USER,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Invite a user; the token to accept with is shown this once.

    No mail is sent: pass the token on. It is good for a week; inviting again makes a new one.

    Example: airfreight user invite ada@example.com --role staff
    """
    with connect() as session:
        invited = session.post(f"{PATH}/invite", present(email=email, name=name, role=role.value, orgId=org))
        output.record(invited, (*COLUMNS[:5], Column("invite token", "inviteToken")), as_json=as_json)
        output.remark("The token is not shown again: pass it on now.")


@app.command()
def edit(
    number: Id,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    role: Annotated[Role | None, typer.Option(help="What the user may do.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only an active user can log in.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a user's name, role or status.

    Example: airfreight user edit 7 --status suspended
    """
    changes = present(name=name, role=role, status=status)
    if not changes:
        raise usage("Nothing to change", "Give --name, --role or --status.")
    with connect() as session:
        output.record(session.patch(f"{PATH}/{number}", changes), COLUMNS, as_json=as_json)


@app.command()
def move(
    number: Id,
    org: Annotated[int, typer.Option("--org", metavar="ID", help="Your organization, or one below it.")],
    role: Annotated[Role | None, typer.Option(help="What the user may do there; as before by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Move a user to another organization; they leave what they own.

    Example: airfreight user move 7 --org 3
    """
    with connect() as session:
        moved = session.post(f"{PATH}/{number}/transfer", present(orgId=org, role=role))
        output.record(moved, COLUMNS, as_json=as_json)


@app.command("list")
def list_(
    org: Org = None,
    below: Annotated[bool, typer.Option("--below", help="Also those of the organizations below.")] = False,
    query: Annotated[str | None, typer.Option(help="Only those with this in their name or email.")] = None,
    limit: Limit = 50,
    after: After = None,
    as_json: AsJson = False,
) -> None:
    """List the users.

    Example: airfreight user list
    """
    with connect() as session:
        found = session.page(
            PATH, orgId=org, includeBelow="true" if below else None, query=query, limit=limit, after=after
        )
        output.page(found, COLUMNS, as_json=as_json)


@app.command()
def delete(number: Id, as_json: AsJson = False) -> None:
    """Delete a user.

    Example: airfreight user delete 7
    """
    with connect() as session:
        session.delete(f"{PATH}/{number}")
        output.removed("user", number, as_json=as_json)

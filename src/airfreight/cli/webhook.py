"""`airfreight webhook`: where the server tells what happens, and the log of what it told."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from airfreight.cli import output
from airfreight.cli.account import ask
from airfreight.cli.auth import connect
from airfreight.cli.errors import CliError, ExitCode, usage
from airfreight.cli.options import After, AsJson, Id, Limit, Name, Org, present
from airfreight.cli.output import Column, columns, when

app = typer.Typer(help="Manage webhooks: where the server tells what happens.", no_args_is_help=True)
PATH = "/api/v1/webhooks"
LISTED = (*columns("id", "name", "url", "username", "signed"), Column("changed", "changedAt", when))
SHOWN = (
    *columns("id", "uid", "name", "description", "url", "username", "signed", "version"),
    Column("created", "createdAt", when),
    Column("created by", "createdBy"),
    Column("changed", "changedAt", when),
    Column("changed by", "changedBy"),
)
MESSAGES = (
    *columns("id", "kind", "state", "attempts", "status", "trouble"),
    Column("created", "createdAt", when),
    Column("sent", "sentAt", when),
    Column("answer", "response"),
)
SECRET = Column("secret", "secret")
Url = Annotated[str, typer.Argument(metavar="URL", help="Such as https://example.com/hooks/updates.")]
Words = Annotated[str | None, typer.Option("--description", help="What it is for.")]
User = Annotated[str | None, typer.Option("--user", help="The user name to sign in there with; '' for none.")]
Password = Annotated[str | None, typer.Option("--password", help="The password; asked for if it is left out.")]
Certificate = Annotated[
    Path | None, typer.Option("--certificate", help="A PEM file: trust this authority alone, not the system's.")
]


class State(StrEnum):
    """Of a message, as the server names it."""

    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"


@app.command()
def create(
    name: Name,
    url: Url,
    description: Words = None,
    user: User = None,
    password: Password = None,
    certificate: Certificate = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Create a webhook; its signing secret is shown this once.

    Example: airfreight webhook create "our CI" https://ci.example.com/hooks/airfreight
    """
    if user:
        password = ask("Password", password, "--password", hidden=True)
    body = present(
        name=name, url=url, description=description, username=user, password=password, certificate=_read(certificate)
    )
    with connect() as session:
        output.record(session.post(PATH, {**body, **present(orgId=org)}), (*SHOWN[:7], SECRET), as_json=as_json)
        output.remark("The secret is not shown again: keep it now.")


@app.command("list")
def list_(org: Org = None, limit: Limit = 50, after: After = None, as_json: AsJson = False) -> None:
    """List the webhooks.

    Example: airfreight webhook list
    """
    with connect() as session:
        output.page(session.page(PATH, orgId=org, limit=limit, after=after), LISTED, as_json=as_json)


@app.command()
def show(number: Id, as_json: AsJson = False) -> None:
    """Show a webhook.

    Example: airfreight webhook show 2
    """
    with connect() as session:
        output.record(session.get(f"{PATH}/{number}"), SHOWN, as_json=as_json)


@app.command("set")
def set_(
    number: Id,
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    url: Annotated[str | None, typer.Option(help="Where it leads from now on, also what waits.")] = None,
    description: Words = None,
    user: User = None,
    password: Annotated[str | None, typer.Option("--password", help="The new password.")] = None,
    certificate: Certificate = None,
    system: Annotated[bool, typer.Option("--system-certificates", help="Trust the system's again.")] = False,
    new_secret: Annotated[
        bool, typer.Option("--new-secret", help="Make a new signing secret; the old one signs for one more day.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Change a webhook. With --new-secret that is all that is done.

    Example: airfreight webhook set 2 --url https://ci.example.com/hooks/v2
    """
    pem = "" if system else _read(certificate)
    changes = present(name=name, url=url, description=description, username=user, password=password, certificate=pem)
    if bool(changes) == new_secret:
        raise usage("Name what to change, or --new-secret alone", "For example --url or --name.")
    with connect() as session:
        if new_secret:
            rotated = session.post(f"{PATH}/{number}/rotate-secret")
            output.record(rotated, (*SHOWN[:7], SECRET), as_json=as_json)
            output.remark("The secret is not shown again: keep it now.")
        else:
            output.record(session.patch(f"{PATH}/{number}", changes), SHOWN, as_json=as_json)


@app.command()
def delete(number: Id, as_json: AsJson = False) -> None:
    """Delete a webhook with its log; what waits is not sent any more.

    Example: airfreight webhook delete 2
    """
    with connect() as session:
        session.delete(f"{PATH}/{number}")
        output.removed("webhook", number, as_json=as_json)


@app.command("test")
def try_(number: Id, as_json: AsJson = False) -> None:
    """Send a test message now; exit code 1 unless it was taken.

    Example: airfreight webhook test 2
    """
    with connect() as session:
        tried = session.post(f"{PATH}/{number}/test")
    output.record(tried, columns("ok", "status", "trouble", "milliseconds", "response"), as_json=as_json)
    if not tried.get("ok"):
        raise typer.Exit(ExitCode.REFUSED)


@app.command()
def messages(
    number: Id,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    limit: Limit = 50,
    after: After = None,
    as_json: AsJson = False,
) -> None:
    """List the messages to a webhook, oldest first.

    Example: airfreight webhook messages 2 --state dead
    """
    with connect() as session:
        found = session.page(f"{PATH}/{number}/messages", state=state, limit=limit, after=after)
        output.page(found, MESSAGES, as_json=as_json)


@app.command()
def replay(
    number: Id,
    message: Annotated[int | None, typer.Option("--message", metavar="ID", help="Only this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send dead messages again, all of them or one.

    Example: airfreight webhook replay 2
    """
    with connect() as session:
        if message is not None:
            again = session.post(f"{PATH}/{number}/messages/{message}/replay")
            output.record(again, MESSAGES[:4], as_json=as_json)
        else:
            output.record(session.post(f"{PATH}/{number}/replay"), columns("replayed"), as_json=as_json)


def _read(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        raise CliError(f"{path} cannot be read", "Name a PEM file.", ExitCode.USAGE) from None

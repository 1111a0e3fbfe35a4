"""`airfreight enrollment-key`: the keys that new devices enroll themselves with."""

import typer

from airfreight.cli import output
from airfreight.cli.auth import connect
from airfreight.cli.options import After, AsJson, Id, Limit, Name
from airfreight.cli.output import Column, columns, when

app = typer.Typer(help="Manage enrollment keys: what new devices enroll themselves with.", no_args_is_help=True)
PATH = "/api/v1/enrollment-keys"
COLUMNS = (*columns("id", "name"), Column("created", "createdAt", when))


@app.command()
def create(name: Name, as_json: AsJson = False) -> None:
    """Create an enrollment key; it is shown this once.

    Example: airfreight enrollment-key create "line 2, July"
    """
    with connect() as session:
        created = session.post(PATH, {"name": name})
        output.record(created, (*COLUMNS[:2], Column("key", "key")), as_json=as_json)
        output.remark("The key is not shown again: keep it now.")


@app.command("list")
def list_(limit: Limit = 50, after: After = None, as_json: AsJson = False) -> None:
    """List the enrollment keys, without the keys themselves.

    Example: airfreight enrollment-key list
    """
    with connect() as session:
        output.page(session.page(PATH, limit=limit, after=after), COLUMNS, as_json=as_json)


@app.command()
def delete(number: Id, as_json: AsJson = False) -> None:
    """Delete an enrollment key; devices enrolled with it stay.

    Example: airfreight enrollment-key delete 2
    """
    with connect() as session:
        session.delete(f"{PATH}/{number}")
        output.removed("enrollment key", number, as_json=as_json)

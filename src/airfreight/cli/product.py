"""`airfreight product`: the kinds of device that an organization makes."""

from typing import Annotated

import typer

from airfreight.cli import output
from airfreight.cli.auth import connect
from airfreight.cli.errors import usage
from airfreight.cli.options import After, AsJson, Limit, Name, Org, TimeZone, present, product_id
from airfreight.cli.output import Column, columns, when

app = typer.Typer(help="Manage products: the kinds of device that you make.", no_args_is_help=True)
PATH = "/api/v1/products"
COLUMNS = (
    *columns("id", "name", "key", "description", "timeZone", "autoUpdate", "part", "chunks"),
    Column("created", "createdAt", when),
)
Which = Annotated[str, typer.Argument(metavar="ID|NAME", help="The product, by id or by its exact name.")]
Words = Annotated[str | None, typer.Option(help="What it is.")]
AutoUpdate = Annotated[
    bool | None,
    typer.Option("--auto-update/--no-auto-update", help="Whether its devices take updates without being asked."),
]

Part = Annotated[
    str | None, typer.Option(help="What DDI devices are told that a file is for: application, runtime, os, ...")
]
Chunks = Annotated[
    str | None, typer.Option(metavar="each|one", help="Whether DDI devices get a chunk for each file, or one with all.")
]


@app.command()
def create(
    name: Name,
    description: Words = None,
    time_zone: TimeZone = None,
    key: Annotated[
        str | None, typer.Option(metavar="TMPL...", help="What firmware in the field has as its type.")
    ] = None,
    auto_update: AutoUpdate = None,
    part: Part = None,
    chunks: Chunks = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Create a product.

    Example: airfreight product create "Thermostat 2" --time-zone Europe/Berlin
    """
    with connect() as session:
        body = present(
            name=name,
            description=description,
            timeZone=time_zone,
            key=key,
            autoUpdate=auto_update,
            part=part,
            chunks=chunks,
            orgId=org,
        )
        output.record(session.post(PATH, body), COLUMNS, as_json=as_json)


@app.command()
def edit(
    product: Which,
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    description: Words = None,
    time_zone: TimeZone = None,
    auto_update: AutoUpdate = None,
    part: Part = None,
    chunks: Chunks = None,
    as_json: AsJson = False,
) -> None:
    """Change a product.

    Example: airfreight product edit Thermostat --no-auto-update
    """
    body = present(
        name=name, description=description, timeZone=time_zone, autoUpdate=auto_update, part=part, chunks=chunks
    )
    if not body:
        options = "--name, --description, --time-zone, --auto-update, --part or --chunks"
        raise usage("Nothing to change was named", f"Give {options}.")
    with connect() as session:
        changed = session.patch(f"{PATH}/{product_id(session, product)}", body)
        output.record(changed, COLUMNS, as_json=as_json)


@app.command("list")
def list_(org: Org = None, limit: Limit = 50, after: After = None, as_json: AsJson = False) -> None:
    """List the products.

    Example: airfreight product list
    """
    with connect() as session:
        output.page(session.page(PATH, orgId=org, limit=limit, after=after), COLUMNS, as_json=as_json)


@app.command()
def delete(product: Which, as_json: AsJson = False) -> None:
    """Delete a product that never had a device or a shipment.

    Example: airfreight product delete 3
    """
    with connect() as session:
        number = product_id(session, product)
        session.delete(f"{PATH}/{number}")
        output.removed("product", number, as_json=as_json)

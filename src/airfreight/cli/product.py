"""`airfreight product`: the kinds of device that an organization makes."""

from typing import Annotated

import typer

from airfreight.cli import output
from airfreight.cli.auth import connect
from airfreight.cli.options import After, AsJson, Limit, Name, TimeZone, present, product_id
from airfreight.cli.output import Column, columns, when

app = typer.Typer(help="Manage products: the kinds of device that you make.", no_args_is_help=True)
PATH = "/api/v1/products"
COLUMNS = (*columns("id", "name", "description", "timeZone"), Column("created", "createdAt", when))


@app.command()
def create(
    name: Name,
    description: Annotated[str | None, typer.Option(help="What it is.")] = None,
    time_zone: TimeZone = None,
    as_json: AsJson = False,
) -> None:
    """Create a product.

    Example: airfreight product create "Thermostat 2" --time-zone Europe/Berlin
    """
    with connect() as session:
        created = session.post(PATH, present(name=name, description=description, timeZone=time_zone))
        output.record(created, COLUMNS, as_json=as_json)


@app.command("list")
def list_(limit: Limit = 50, after: After = None, as_json: AsJson = False) -> None:
    """List the products.

    Example: airfreight product list
    """
    with connect() as session:
        output.page(session.page(PATH, limit=limit, after=after), COLUMNS, as_json=as_json)


@app.command()
def delete(
    product: Annotated[str, typer.Argument(metavar="ID|NAME", help="The product, by id or by its exact name.")],
    as_json: AsJson = False,
) -> None:
    """Delete a product that never had a device or a shipment.

    Example: airfreight product delete 3
    """
    with connect() as session:
        number = product_id(session, product)
        session.delete(f"{PATH}/{number}")
        output.removed("product", number, as_json=as_json)

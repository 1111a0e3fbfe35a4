"""`airfreight ddi`: how devices with a hawkBit client (SWUpdate, RAUC, Zephyr) come in."""

from typing import Annotated

import typer

from airfreight.cli import output
from airfreight.cli.auth import connect
from airfreight.cli.errors import usage
from airfreight.cli.http import Request, document
from airfreight.cli.options import AsJson, Org, present, product_id
from airfreight.cli.output import columns

app = typer.Typer(help="How devices that speak DDI (SWUpdate, RAUC, Zephyr) come in.", no_args_is_help=True)
PATH = "/api/v1/ddi"
TOKEN_PATH = f"{PATH}/gateway-token"
COLUMNS = columns("tenant", "hasGatewayToken", "productId", "authorities", "polling", "confirmation")
Newcomers = Annotated[
    str | None, typer.Option("--product", metavar="ID|NAME", help="What devices become that are not known yet.")
]


@app.command()
def show(org: Org = None, as_json: AsJson = False) -> None:
    """Show how devices that speak DDI come in.

    Example: airfreight ddi show
    """
    with connect() as session:
        output.record(session.get(PATH, orgId=org), COLUMNS, as_json=as_json)


@app.command("set")
def set_(
    tenant: Annotated[str | None, typer.Option(help="The organization's name in the path of all its devices.")] = None,
    product: Newcomers = None,
    authority: Annotated[
        list[str] | None,
        typer.Option(help="What a trusted proxy says of who it has let in; repeat it for more, empty for none."),
    ] = None,
    polling: Annotated[
        str | None, typer.Option(help="How often devices ask: `00:05:00~10%, FILTER -> 00:10:00`; empty: as set.")
    ] = None,
    confirmation: Annotated[
        bool | None, typer.Option("--confirmation/--no-confirmation", help="Whether each update waits for its user.")
    ] = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Change how devices that speak DDI come in; what is not named stays.

    Example: airfreight ddi set --tenant ACME --polling "00:05:00~10%"
    """
    authorities = None if authority is None else [one for one in authority if one]
    given = present(tenant=tenant, authorities=authorities, polling=polling, confirmation=confirmation)
    if not given and product is None:
        options = "--tenant, --product, --authority, --polling, --confirmation or --no-confirmation"
        raise usage("Nothing to change was named", f"Give {options}.")
    with connect() as session:
        body = given | present(productId=None if product is None else product_id(session, product))
        changed = document(session.send(Request("PATCH", PATH, {"orgId": org}, document=body)))
        output.record(changed, COLUMNS, as_json=as_json)


@app.command("gateway-token")
def gateway_token(
    product: Newcomers = None,
    end: Annotated[bool, typer.Option("--end", help="Make none: let nobody in by such a token any more.")] = False,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Make the one token that speaks for all devices of the organization; the one before ends.

    A device that is not known yet is made when it first comes with this token: --product says of which product, and is
    needed once.

    Example: airfreight ddi gateway-token --product Gateway
    """
    if end and product is not None:
        raise usage("--end makes no token", "Leave --product out.")
    with connect() as session:
        if end:
            session.delete(TOKEN_PATH, orgId=org)
            if as_json:
                output.emit({"ended": True})
            else:
                output.line("No gateway token lets anybody in now.")
            return
        body = present(productId=None if product is None else product_id(session, product))
        made = document(session.send(Request("POST", TOKEN_PATH, {"orgId": org}, document=body)))
        output.record(made, columns("gatewayToken"), as_json=as_json)
        output.remark("The token is not shown again: keep it now. Who has it speaks for every device.")

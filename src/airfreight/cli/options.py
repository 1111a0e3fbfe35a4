"""Options and look-ups that several nouns share."""

import sys
from datetime import datetime
from typing import Annotated

import typer

from airfreight.cli.auth import Session
from airfreight.cli.errors import CliError, usage
from airfreight.cli.http import Doc, printable

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and nothing else.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500, help="How many to show at most.")]
After = Annotated[int | None, typer.Option("--after", help="Show what comes after this id.")]
Id = Annotated[int, typer.Argument(metavar="ID", min=1, help="The id, as `list` shows it.")]
Device = Annotated[str, typer.Argument(metavar="ID|UID", help="The device, by id or by its exact uid.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A name for people.")]
Product = Annotated[str, typer.Option("--product", metavar="ID|NAME", help="The product, by id or by its exact name.")]
Org = Annotated[
    int | None, typer.Option("--org", metavar="ID", min=1, help="An organization below yours; yours by default.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
TimeZone = Annotated[str | None, typer.Option("--time-zone", help="An IANA time zone, such as Europe/Berlin.")]

_LONGEST_ID = 9


def sure(what: str, *, yes: bool) -> None:
    """Ask the person at the terminal before something is gone. Raises CliError if there is nobody, Abort for a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise usage(f"{what.rstrip('?')} needs your word", "Give --yes, or run this in a terminal to be asked.")
    sys.stderr.write(f"{printable(what)} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise typer.Abort


def milliseconds(given: str) -> int:
    """Read a time; without a zone it is local. Raises CliError."""
    try:
        return int(datetime.fromisoformat(given).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        raise usage(f"{given!r} is not a time", "Write it like 2027-01-31T04:00 or 2027-01-31T04:00+01:00.") from None


def product_id(session: Session, wanted: str) -> int:
    """Return the id of a product given by id or exact name. Raises CliError if no product, or several, fit."""
    if wanted.isascii() and wanted.isdigit():
        return int(wanted)
    found = [product for product in session.every("/api/v1/products") if product.get("name") == wanted]
    if not found:
        raise CliError(f"There is no product named {wanted!r}", "Run `airfreight product list` to see them all.")
    if len(found) > 1:
        numbers = ", ".join(str(product.get("id")) for product in found)
        raise usage(f"{len(found)} products are named {wanted!r}", f"Name one of them by its id: {numbers}.")
    return whole_number(found[0], "id")


def device_id(session: Session, wanted: str) -> int:
    """Return the id of a device given by id or by its exact uid. Raises CliError if there is none.

    What could be an id (up to nine digits) is one.
    """
    if wanted.isascii() and wanted.isdigit() and len(wanted) <= _LONGEST_ID:
        return int(wanted)
    exact = [one for one in session.every("/api/v1/devices", query=wanted[:100]) if one.get("uid") == wanted]
    if not exact:
        hint = "Run `airfreight device list` to see them; one of an organization below yours is named by its id."
        raise CliError(f"There is no device with the uid {wanted!r}", hint)
    return whole_number(exact[0], "id")


def whole_number(document: Doc, key: str) -> int:
    """Return a number that a command goes on to use. Raises CliError if the server did not send one."""
    value = document.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise _lacking(key)
    return value


def string(document: Doc, key: str) -> str:
    """Return a string that a command goes on to use. Raises CliError if the server did not send one."""
    value = document.get(key)
    if not isinstance(value, str):
        raise _lacking(key)
    return value


def present(**fields: object) -> Doc:
    """Return a request body without the fields that are None."""
    return {name: value for name, value in fields.items() if value is not None}


def _lacking(key: str) -> CliError:
    return CliError(f"The server's answer has no {key!r}", "Check that it is an Airfreight server of this version.")

"""`airfreight device`: the devices, their tokens, and why one is or is not updated."""

import csv
import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from airfreight.cli import device_log, output
from airfreight.cli.auth import connect
from airfreight.cli.errors import usage
from airfreight.cli.http import Doc, Request, decode
from airfreight.cli.options import After, AsJson, Device, Limit, Org, Product, device_id, present, product_id
from airfreight.cli.output import Column, columns, when

app = typer.Typer(help="Manage devices, and see why one is or is not updated.", no_args_is_help=True)
PATH = "/api/v1/devices"
MAX_BULK = 10_000
COLUMNS = (
    *columns("id", "uid", "name"),
    Column("product", "productId"),
    *columns("version", "online"),
    Column("last seen", "lastSeenAt", when),
)
DETAILS = (
    *COLUMNS,
    Column("behind", "parentId"),
    Column("owner", "ownerUserId"),
    *columns("autoUpdate", "enabled", "attributes"),
    Column("created", "createdAt", when),
)
MOST_EXACT = 2**53
AUTO_UPDATE = {"on": True, "off": False, "product": None}
TOKENS = columns("id", "uid", "name", "token")
CHECKS = columns("verdict", "name", "detail")
HINTS = {
    "device enabled": "Enable it with `airfreight device edit {} --enable`.",
    "user consent": "Send it now, in its user's place, with `airfreight device consent {}`.",
    "user confirmation": "Say yes in its user's place with `airfreight device consent {}`.",
}
ONCE = "A token is not shown again: keep it now."
BEHIND = "It has no token: the device that it is behind speaks for it."
Parent = Annotated[
    str | None, typer.Option(metavar="ID|UID", help="The device that it is behind, which speaks for it.")
]


@app.command()
def create(
    product: Product,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    uid: Annotated[str | None, typer.Option(help="Its external identity; made up by the server if left out.")] = None,
    parent: Parent = None,
    as_json: AsJson = False,
) -> None:
    """Create a device; its token is shown this once.

    Example: airfreight device create --product Thermostat --uid kitchen-17
    """
    with connect() as session:
        above = None if parent is None else device_id(session, parent)
        body = present(productId=product_id(session, product), name=name, uid=uid, parentId=above)
        output.record(session.post(PATH, body), TOKENS, as_json=as_json)
        output.remark(ONCE if parent is None else BEHIND)


@app.command("bulk-create")
def bulk_create(
    product: Product,
    count: Annotated[int | None, typer.Option(min=1, max=MAX_BULK, help="How many devices to make up.")] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="FILE", help="A CSV file of `uid` or `uid,name` lines; - is stdin.")
    ] = None,
    parent: Parent = None,
    as_json: AsJson = False,
) -> None:
    """Create up to 10000 devices at once; their tokens are shown this once.

    Example: airfreight device bulk-create --product Thermostat --count 500 --json > devices.json
    """
    if (count is None) == (source is None):
        raise usage("Either a number of devices or a list of them is needed", "Give one of --count and --from.")
    devices = None if source is None else _read_devices(source)
    with connect() as session:
        above = None if parent is None else device_id(session, parent)
        body = present(productId=product_id(session, product), count=count, devices=devices, parentId=above)
        answer = session.post(f"{PATH}/bulk", body)
        if as_json:
            output.emit(answer)
        else:
            output.table((item for item in answer.get("items") or () if isinstance(item, dict)), TOKENS)
        output.remark(ONCE if parent is None else BEHIND)


@app.command("list")
def list_(
    product: Annotated[str | None, typer.Option(metavar="ID|NAME", help="Only devices of this product.")] = None,
    query: Annotated[str | None, typer.Option(help="Only devices with this in their uid or name.")] = None,
    parent: Annotated[str | None, typer.Option(metavar="ID|UID", help="Only devices behind this one.")] = None,
    org: Org = None,
    limit: Limit = 50,
    after: After = None,
    as_json: AsJson = False,
) -> None:
    """List the devices.

    Example: airfreight device list --product Thermostat --query kitchen
    """
    with connect() as session:
        number = None if product is None else product_id(session, product)
        above = None if parent is None else device_id(session, parent)
        answer = session.page(PATH, productId=number, query=query, parentId=above, orgId=org, limit=limit, after=after)
        output.page(answer, COLUMNS, as_json=as_json)


@app.command()
def show(device: Device, as_json: AsJson = False) -> None:
    """Show one device.

    Example: airfreight device show 17
    """
    with connect() as session:
        output.record(session.get(f"{PATH}/{device_id(session, device)}"), DETAILS, as_json=as_json)


@app.command()
def edit(
    device: Device,
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    auto_update: Annotated[
        str | None,
        typer.Option(metavar="on|off|product", help="Whether it takes updates without being asked, or as its product."),
    ] = None,
    owner: Annotated[str | None, typer.Option(metavar="ID|none", help="The user who owns it.")] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether it gets anything; what it reports is taken.")
    ] = None,
    given: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An attribute; no value removes it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change a device: its name, owner and attributes, whether it takes updates by itself, or at all.

    Example: airfreight device edit 17 --auto-update off --set timeZone=Europe/Oslo --set floor=2
    """
    body = present(name=name, attributes=_attributes(given) if given else None, enabled=enabled)
    if auto_update is not None:
        if auto_update not in AUTO_UPDATE:
            raise usage("--auto-update has another value", "Give on, off or product.")
        body["autoUpdate"] = AUTO_UPDATE[auto_update]
    if owner is not None:
        if owner != "none" and not (owner.isascii() and owner.isdigit()):
            raise usage("--owner has another value", "Give the id of a user, or none.")
        body["ownerUserId"] = None if owner == "none" else int(owner)
    if not body:
        raise usage("Nothing to change was named", "Give --name, --auto-update, --owner, --enable, --disable or --set.")
    with connect() as session:
        output.record(session.patch(f"{PATH}/{device_id(session, device)}", body), DETAILS, as_json=as_json)


@app.command()
def explain(device: Device, as_json: AsJson = False) -> None:
    """Say what the server would tell a device now, and why.

    Example: airfreight device explain 17
    """
    with connect() as session:
        number = device_id(session, device)
        answer = session.get(f"{PATH}/{number}/explain")
        if as_json:
            output.emit(answer)
            return
        until = (Column("until", "recheckAt", when),) if answer.get("recheckAt") else ()
        now = (Column("now", "do"), Column("because", "summary"), *until)
        standing = device_log.under_way(session, number, answer)
        if standing and answer.get("do") == "wait":
            standing["by"] = "not while it waits"
        output.record({**answer, **(standing or {})}, now + (device_log.STANDING if standing else ()), as_json=False)
        checks = answer.get("checks")
        if isinstance(checks, list) and checks:
            output.line("")
            output.table((check for check in checks if isinstance(check, dict)), CHECKS)
        if hint := _hint(checks, device):
            output.remark(hint)
        if answer.get("deliveries"):
            output.remark(f"What has happened to it: `airfreight device log {shlex.quote(device)}`.")


app.command()(device_log.log)


@app.command("rotate-token")
def rotate_token(device: Device, as_json: AsJson = False) -> None:
    """Give a device a new token, shown this once; the old one ends.

    Example: airfreight device rotate-token 17
    """
    with connect() as session:
        answer = session.post(f"{PATH}/{device_id(session, device)}/rotate-token")
        output.record(answer, columns("id", "uid", "token"), as_json=as_json)
        output.remark(ONCE)


@app.command()
def consent(device: Device, as_json: AsJson = False) -> None:
    """Send the update that waits for the device's user, or for its window, now.

    Example: airfreight device consent 17
    """
    with connect() as session:
        number = device_id(session, device)
        answer = session.post(f"{PATH}/{number}/consent")
        if as_json:
            output.emit(answer)
        else:
            output.line(f"The update that waits for device {number} goes out now.")


@app.command("ask-attributes")
def ask_attributes(device: Device, as_json: AsJson = False) -> None:
    """Have a device that speaks DDI tell what it is when it next comes.

    Example: airfreight device ask-attributes gateway-1
    """
    with connect() as session:
        number = device_id(session, device)
        session.post(f"{PATH}/{number}/ask-attributes")
        if as_json:
            output.emit({"id": number, "asked": True})
        else:
            output.line(f"Device {number} is asked for its attributes when it next comes.")


@app.command("auto-confirm")
def auto_confirm(
    device: Device,
    off: Annotated[bool, typer.Option("--off", help="Have its user asked again, each time.")] = False,
    remark: Annotated[str | None, typer.Option(help="Why; the device is told.")] = None,
    as_json: AsJson = False,
) -> None:
    """Confirm every update of a device from now on, in place of its user.

    Example: airfreight device auto-confirm gateway-1 --remark "in the lab"
    """
    if off and remark is not None:
        raise usage("--off has no reason", "Leave --remark out.")
    with connect() as session:
        number = device_id(session, device)
        body = present(active=not off, remark=remark)
        decode(session.send(Request("PUT", f"{PATH}/{number}/auto-confirm", document=body)))
        if as_json:
            output.emit({"id": number, "active": not off})
        else:
            output.line(f"Updates of device {number} {'wait for its user' if off else 'are confirmed by themselves'}.")


@app.command()
def delete(device: Device, as_json: AsJson = False) -> None:
    """Delete a device.

    Example: airfreight device delete 17
    """
    with connect() as session:
        number = device_id(session, device)
        session.delete(f"{PATH}/{number}")
        output.removed("device", number, as_json=as_json)


def _hint(checks: object, device: str) -> str:
    """What an operator can do about the check that decided."""
    last = checks[-1] if isinstance(checks, list) and checks else None
    if not isinstance(last, dict) or last.get("verdict") != "fail":
        return ""
    return HINTS.get(str(last.get("name")), "").format(shlex.quote(device))


def _attributes(given: list[str]) -> Doc:
    """Read NAME=VALUE: true, false and numbers as such, anything else as text, nothing as "remove it"."""
    attributes: Doc = {}
    for one in given:
        name, separator, text = one.partition("=")
        if not name or not separator:
            raise usage("--set needs a name and a value", "Write --set NAME=VALUE, or --set NAME= to remove it.")
        attributes[name] = _value(text) if text else None
    return attributes


def _value(text: str) -> object:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, bool | int | float) and abs(value) <= MOST_EXACT else text


def _read_devices(source: str) -> list[Doc]:
    """Read `uid` or `uid,name` lines. Raises CliError for a file that is unreadable, empty, too long or malformed."""
    try:
        content = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8-sig")
        rows = [row for row in csv.reader(content.splitlines(), strict=True) if row]
    except OSError as error:
        raise usage(f"{source} cannot be read: {error.strerror}", "Check the name of the file.") from None
    except (ValueError, csv.Error) as error:
        raise usage(f"{source} is not a CSV file: {error}", "Write one `uid` or `uid,name` a line, in UTF-8.") from None
    if not 1 <= len(rows) <= MAX_BULK:
        raise usage(f"{source} lists {len(rows)} devices", f"List between 1 and {MAX_BULK} in one file.")
    for number, row in enumerate(rows, start=1):
        if len(row) > 2 or not row[0].strip():
            raise usage(f"Row {number} of {source} is not a device", "Write one `uid` or `uid,name` a line.")
    return [
        present(uid=row[0].strip(), name=row[1].strip() if len(row) > 1 and row[1].strip() else None) for row in rows
    ]

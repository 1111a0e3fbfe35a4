"""`airfreight shipment`: sends an artifact to devices, and watches and steers what becomes of it.

Making, showing, stopping and deleting go through the Shipments door; lists, counts and pauses through the native one.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from airfreight.cli import artifact, export, output, watch
from airfreight.cli.auth import Session, connect
from airfreight.cli.errors import CliError, ExitCode, usage
from airfreight.cli.http import Doc
from airfreight.cli.options import After, AsJson, Id, Limit, Org, Product, present, product_id, string
from airfreight.cli.output import Column, columns, text, when

app = typer.Typer(help="Send an artifact to devices, watch it land, stop it.", no_args_is_help=True)
ONE = "/api/v1/organization/shipment"
ROLLOUTS = "/api/v1/rollouts"


class Window(StrEnum):
    """The part of a device's day in which it may update."""

    ANY = "ANY"
    NIGHT = "NIGHT"
    MORNING = "MORNING"
    AFTERNOON = "AFTERNOON"
    EVENING = "EVENING"


class Condition(StrEnum):
    """What a device must run now to be updated, compared with the file."""

    NO_CONDITION = "NO_CONDITION"
    BUILD_DATE_DIFFERS = "BUILD_DATE_DIFFERS"
    EARLIER_BUILD_DATE = "EARLIER_BUILD_DATE"
    LATEST_FIRMWARE_VERSION = "LATEST_FIRMWARE_VERSION"
    LATEST_BLYNK_VERSION = "LATEST_BLYNK_VERSION"


class Which(StrEnum):
    """Which devices of the old shipment a clone is for."""

    FAILED = "failed"
    UNFINISHED = "unfinished"
    ALL = "all"


class Format(StrEnum):
    """What an export is written as."""

    CSV = "csv"
    JSON = "json"


OPTIONS = {
    "productId": "--product",
    "title": "--title",
    "pathToFirmware": "--path",
    "deviceIds": "--device",
    "shipmentTime": "--time",
    "attemptsLimit": "--attempts",
    "compareField": "--compare",
    "skipFwTypeCheck": "--skip-type-check",
    "isCritical": "--critical",
    "isSecure": "--secure",
    "host": "--host",
}

ArtifactId = Annotated[int | None, typer.Option("--artifact", metavar="ID", help="An artifact that is uploaded.")]
Devices = Annotated[
    list[int] | None, typer.Option(metavar="ID", help="A device; repeat it for more. None: the whole product.")
]
TimeOfDay = Annotated[
    Window | None, typer.Option(metavar="|".join(Window), case_sensitive=False, help="The part of the device's day.")
]
Compare = Annotated[
    Condition | None, typer.Option(metavar="|".join(Condition), case_sensitive=False, help="Which devices need it.")
]
STATES = {"RUN": "running", "PAUSE": "paused", "FINISH": "finished", "CANCEL": "stopped"}


def state(value: object) -> str:
    """Show a status of the Shipments door in the words of `list` and `watch`."""
    return STATES.get(str(value), text(value))


def counters(value: object) -> str:
    """Show the counters that are not 0."""
    if not isinstance(value, dict):
        return "-"
    return text(", ".join(f"{key} {count}" for key, count in value.items() if count and key != "updatedAt"))


def ended(value: object) -> str:
    """Show how many deliveries ended, of how many."""
    counts = watch.counts_of({"counts": value})
    return f"{sum(n for name, n in counts.items() if name in watch.ENDED)}/{sum(counts.values())}"


def noted(value: object) -> str:
    """Show what the files of a rollout do not confirm."""
    files = value if isinstance(value, list) else []
    return text(" ".join(str(note) for file in files if isinstance(file, dict) for note in file.get("notes") or []))


def devices(value: object) -> str:
    """Show how many devices are named, or in it; none are named for a whole product."""
    if isinstance(value, int):
        return str(value)
    return f"{len(value)} named" if isinstance(value, list) and value else "the whole product"


COLUMNS = (
    *columns("id", "title", "state"),
    Column("product", "productId"),
    Column("ended", "counts", ended, right=True),
    Column("failed", "counts", lambda counts: text(watch.counts_of({"counts": counts}).get("failed", 0)), right=True),
    Column("created", "createdAt", when),
)
CLONED = (*columns("id", "title", "state"), Column("product", "productId"), Column("devices", "total"))
DETAILS = (
    *columns("id", "title"),
    Column("state", "status", state),
    Column("product", "productName"),
    Column("devices", "deviceIds", devices),
    Column("file", "firmwareOriginalFileName"),
    Column("path", "pathToFirmware"),
    Column("time of day", "shipmentTime"),
    Column("condition", "compareField"),
    Column("attempts", "attemptsLimit"),
    Column("started", "startedAt", when),
    Column("finished", "finishedAt", when),
    Column("progress", "shipmentProgress", counters),
    Column("ever reached", "funnel", counters),
    Column("notes", "artifacts", noted),
)
DELIVERIES = (
    Column("device", "deviceId"),
    Column("uid", "deviceUid"),
    *columns("state", "reason"),
    Column("expected", "expectedVersion"),
    Column("reported", "reportedVersion"),
    Column("updated", "updatedAt", when),
    Column("why", "words"),
)
ROOM_FOR_WHY = 160
"""Columns of a terminal below which the sentence on each device has lines of its own."""


@app.command()
def create(
    product: Product,
    title: Annotated[str, typer.Option(help="A name for people.")],
    file: Annotated[Path | None, artifact.ExistingFile] = None,
    artifact_id: ArtifactId = None,
    path: Annotated[
        str | None, typer.Option(help="The server path of an artifact, as `artifact list` shows it.")
    ] = None,
    device: Devices = None,
    time: TimeOfDay = None,
    attempts: Annotated[int | None, typer.Option(min=1, help="How often a device may try.")] = None,
    compare: Compare = None,
    skip_type_check: Annotated[bool, typer.Option("--skip-type-check", help="Do not compare the types.")] = False,
    critical: Annotated[bool, typer.Option("--critical", help="Do not wait for the device's user.")] = False,
    secure: Annotated[bool, typer.Option("--secure", help="Let devices download over https.")] = False,
    host: Annotated[str | None, typer.Option(help="Let devices download from this host.")] = None,
    as_json: AsJson = False,
) -> None:
    """Send a file to devices: upload FILE, or take an artifact that is uploaded.

    Example: airfreight shipment create thermostat-2.3.1.bin --product Thermostat --title "v2.3.1" --time NIGHT
    """
    if sum(source is not None for source in (file, artifact_id, path)) != 1:
        raise usage("Exactly one thing can be sent", "Give a FILE, --artifact ID or --path PATH, and only one of them.")
    with connect() as session:
        # The product first: a misspelled name must not cost an upload.
        number = product_id(session, product)
        sent = _artifact(session, file, artifact_id, path, quiet=as_json)
        body = present(
            productId=number,
            title=title,
            pathToFirmware=string(sent, "path"),
            firmwareOriginalFileName=string(sent, "filename"),
            firmwareInfo=sent.get("firmwareInfo") or {},
            deviceIds=device or [],
            shipmentTime=time,
            attemptsLimit=attempts,
            compareField=compare,
            skipFwTypeCheck=skip_type_check,
            isCritical=critical,
            isSecure=secure,
            host=host,
        )
        with in_words_of_options():
            created = session.post(f"{ONE}/create", body)
        output.record(created, DETAILS, as_json=as_json)
        output.remark(f"Watch it with `airfreight shipment watch {created.get('id')}`.")


@app.command("list")
def list_(limit: Limit = 50, after: After = None, org: Org = None, as_json: AsJson = False) -> None:
    """List the shipments, whatever door they were made through.

    Example: airfreight shipment list --limit 10
    """
    with connect(org) as session:
        output.page(session.page(ROLLOUTS, limit=limit, after=after), COLUMNS, as_json=as_json)


@app.command()
def show(number: Id, org: Org = None, as_json: AsJson = False) -> None:
    """Show one shipment.

    Example: airfreight shipment show 31
    """
    with connect(org) as session:
        rollout = session.get(f"{ROLLOUTS}/{number}")
        if rollout.get("origin", "shipments") == "shipments":
            shipment = session.get(ONE, shipmentId=number)
            shipment |= {key: rollout[key] for key in ("funnel", "artifacts") if key in rollout}
        else:
            shipment = rollout if as_json else _of_another_door(rollout)
        output.record(shipment, DETAILS, as_json=as_json)


def _of_another_door(rollout: Doc) -> Doc:
    """What the native API knows of it, by the names that a shipment has."""
    artifacts = rollout.get("artifacts")
    first = artifacts[0] if isinstance(artifacts, list) and artifacts else {}
    return rollout | {
        "status": rollout.get("state"),
        "productName": rollout.get("productId"),
        "deviceIds": [] if rollout.get("wholeProduct") else rollout.get("total"),
        "firmwareOriginalFileName": first.get("filename"),
        "shipmentProgress": rollout.get("counts"),
    }


@app.command("devices")
def list_devices(
    number: Id,
    only: Annotated[watch.State | None, typer.Option("--state", help="Only those in this state.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only those with this reason, such as wrong_version.")] = None,
    limit: Limit = 50,
    after: After = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """List what became of a shipment on each device, and why.

    Example: airfreight shipment devices 31 --state failed --reason wrong_version
    """
    with connect(org) as session:
        path = f"{ROLLOUTS}/{number}/deliveries"
        answer = session.page(path, state=only, reason=reason, limit=limit, after=after)
        width = output.console().width
        if as_json or width >= ROOM_FOR_WHY:
            output.page(answer, DELIVERIES, as_json=as_json)
        else:
            _tell(answer, width)


@app.command("export")
def export_command(
    number: Id,
    format_: Annotated[Format, typer.Option("--format", help="What to write.")] = Format.CSV,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write; else to stdout.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it exists.")] = False,
    org: Org = None,
) -> None:
    """Export what became of a shipment on every device.

    FILE appears when it is complete. CSV has times in UTC, and an apostrophe before text that a spreadsheet would run.

    Example: airfreight shipment export 31 --format csv --out v2.csv
    """
    if out is not None:
        export.check(out, force=force)
    with connect(org) as session:
        session.get(f"{ROLLOUTS}/{number}")  # renews the login if need be: what follows is sent once
        with session.stream(f"{ROLLOUTS}/{number}/export", format=format_) as answer:
            if out is None:
                export.to_stdout(answer.iter_bytes())
                return
            length = export.to_file(answer.iter_bytes(), out, force=force)
        output.remark(f"Wrote {out} ({output.size(length)}).")


@app.command()
def clone(
    number: Id,
    which: Annotated[Which, typer.Option("--devices", help="Which of its devices.")] = Which.FAILED,
    title: Annotated[str | None, typer.Option(help="A name for people; else the old one, marked.")] = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Send the same again to devices of a shipment that has ended.

    The new shipment has the old one's file and options. `unfinished` are all devices that do not run it now.

    Example: airfreight shipment clone 31 --devices failed
    """
    with connect(org) as session:
        made = session.post(f"{ROLLOUTS}/{number}/clone", present(devices=which, title=title))
        output.record(made, CLONED, as_json=as_json)
        output.remark(f"Watch it with `airfreight shipment watch {made.get('id')}`.")


@app.command("watch")
def watch_command(
    number: Id,
    interval: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between two looks.")] = 1.0,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="Give up after this long; the shipment goes on.")
    ] = None,
    allow_skipped: Annotated[bool, typer.Option("--allow-skipped", help="Let skipped devices count as good.")] = False,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Watch a shipment until it ends.

    A shipment for a whole product stays open for new devices; watching ends when those it has now are through.

    The exit code is 0 if every device succeeded, 1 if not or if it was stopped; 124 after `--timeout` and 130 after
    Ctrl-C, and the shipment goes on.

    Example: airfreight shipment watch 31 --timeout 3600
    """
    with connect(org) as session:
        with watch.view_for(as_json=as_json) as view:
            last = watch.follow(lambda: session.get(f"{ROLLOUTS}/{number}"), view, interval, timeout)
        if as_json:
            output.emit(last)
        if not watch.has_ended(last):
            output.remark(f"The time is over, and the shipment {watch.what_now(last, number)}.")
            output.remark(f"What each device waits for: `airfreight shipment devices {number}`.")
            raise typer.Exit(ExitCode.TIMED_OUT)
        code = watch.verdict(last, allow_skipped=allow_skipped)
        if code:
            why = counters(last.get("reasons") or {})
            told = "" if why == "-" else f" ({why})"
            output.remark(f"Not every device succeeded{told}. See them with `airfreight shipment devices {number}`.")
        if last.get("state") not in watch.ENDS:
            output.remark(f"The shipment stays open for new devices until `airfreight shipment stop {number}`.")
        raise typer.Exit(code)


@app.command()
def stop(number: Id, org: Org = None, as_json: AsJson = False) -> None:
    """Stop a shipment for good: devices that have not begun are not updated.

    Example: airfreight shipment stop 31
    """
    with connect(org) as session:
        stopped = session.post(f"{ROLLOUTS}/{number}/stop")
        _say(stopped, text(stopped.get("state")), as_json=as_json)


@app.command()
def pause(number: Id, org: Org = None, as_json: AsJson = False) -> None:
    """Pause a shipment: no further device begins until `resume`.

    Example: airfreight shipment pause 31
    """
    with connect(org) as session:
        paused = session.post(f"{ROLLOUTS}/{number}/pause")
        _say(paused, text(paused.get("state")), as_json=as_json)


@app.command()
def resume(number: Id, org: Org = None, as_json: AsJson = False) -> None:
    """Let a paused shipment go on.

    Example: airfreight shipment resume 31
    """
    with connect(org) as session:
        resumed = session.post(f"{ROLLOUTS}/{number}/resume")
        _say(resumed, text(resumed.get("state")), as_json=as_json)


@app.command()
def delete(number: Id, org: Org = None, as_json: AsJson = False) -> None:
    """Delete a shipment that has ended.

    Example: airfreight shipment delete 31
    """
    with connect(org) as session:
        session.delete(f"{ROLLOUTS}/{number}")
        output.removed("shipment", number, as_json=as_json)


@contextmanager
def in_words_of_options(options: Mapping[str, str] = OPTIONS) -> Iterator[None]:
    """Let the server's complaints name the options that a person gave, not the fields that they became."""
    # a plain word is a field only where the server says so
    distinct = "|".join(name for name in options if not name.islower() or name == "uids")
    field = re.compile(rf"\$\.({'|'.join(options)})\b|\b({distinct})\b")
    try:
        yield
    except CliError as error:
        words = re.sub(r"\b(\w+) \((--[a-z-]+)\)", r"\2", str(error))
        raise CliError(field.sub(lambda found: options[found[1] or found[2]], words), "", error.code) from None


def _tell(answer: Doc, width: int) -> None:
    """A page of devices where a table has no room for sentences: two or more lines for each."""
    for one in answer["items"]:
        reason = f" ({text(one.get('reason'))})" if one.get("reason") else ""
        runs = f"{text(one.get('reportedVersion'))} -> {text(one.get('expectedVersion'))}"
        uid, state = text(one.get("deviceUid")), text(one.get("state"))
        output.line(f"{text(one.get('deviceId'))}  {uid}  {state}{reason}  {runs}  {when(one.get('updatedAt'))}")
        for part in textwrap.wrap(text(one.get("words")), max(width - 4, 20)):
            output.indented(part, "    ")
    if answer.get("next") is not None:
        output.remark(f"There are more: go on with --after {answer['next']}.")


def _artifact(session: Session, file: Path | None, number: int | None, path: str | None, *, quiet: bool) -> Doc:
    if file is not None:
        return artifact.upload(session, file, quiet=quiet)
    if number is not None:
        return session.get(f"{artifact.PATH}/{number}")
    for candidate in session.every(artifact.PATH):
        if candidate.get("path") == path:
            return candidate
    raise CliError(f"No artifact has the path {path!r}", "Run `airfreight artifact list` to see the paths.")


def _say(shipment: Doc, now: str, *, as_json: bool) -> None:
    if as_json:
        output.emit(shipment)
    else:
        output.line(f"Shipment {shipment.get('id')} is {now}.")

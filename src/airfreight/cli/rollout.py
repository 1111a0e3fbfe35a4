"""`airfreight rollout`: sends several artifacts at once, with everything that the native API can say of how.

Watching and steering are with `airfreight shipment`, which knows every rollout, whatever made it.
"""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from airfreight.cli import artifact, output
from airfreight.cli.auth import Session, connect
from airfreight.cli.errors import usage
from airfreight.cli.http import Doc
from airfreight.cli.options import After, AsJson, Id, Limit, Org, milliseconds, present, product_id, whole_number
from airfreight.cli.output import Column, columns, text, when
from airfreight.cli.shipment import COLUMNS as SHIPMENT_COLUMNS
from airfreight.cli.shipment import counters, devices, in_words_of_options, noted

app = typer.Typer(
    help="Send artifacts to devices, soft or at once; `airfreight shipment` watches, pauses and stops what was sent.",
    no_args_is_help=True,
)
PATH = "/api/v1/rollouts"
LONGEST_ID = 9


class Window(StrEnum):
    """The part of a device's day in which it may update."""

    ANY = "any"
    NIGHT = "night"
    MORNING = "morning"
    AFTERNOON = "afternoon"
    EVENING = "evening"


class WindowOn(StrEnum):
    """What the window is for."""

    UPDATE = "update"
    INSTALL = "install"


class FinishOn(StrEnum):
    """What ends it well on a device."""

    VERSION = "version"
    REPORT = "report"
    SERVED = "served"
    DOWNLOAD = "download"


class Condition(StrEnum):
    """What a device must run now to be updated, compared with the first artifact."""

    NONE = "none"
    BUILD_DIFFERS = "build_differs"
    BUILD_NEWER = "build_newer"
    VERSION_DIFFERS = "version_differs"
    VERSION_NEWER = "version_newer"
    LIBRARY_NEWER = "library_newer"


OPTIONS = {
    "title": "--title",
    "description": "--description",
    "productId": "--product",
    "deviceIds": "--device",
    "uids": "--device",
    "groupId": "--group",
    "artifacts": "--artifact",
    "version": "--version",
    "urgency": "--soft",
    "forcedAt": "--forced-at",
    "finishOn": "--finish-on",
    "condition": "--condition",
    "checkType": "--check-type",
    "critical": "--critical",
    "dayPart": "--window",
    "windowOn": "--window-on",
    "attemptsLimit": "--attempts",
    "onConflict": "--queue",
    "deadlineSeconds": "--deadline",
    "resetPeriodMs": "--reset-period",
    "orgId": "--org",
}

Artifacts = Annotated[
    list[str],
    typer.Option(
        "--artifact", metavar="ID|FILE", help="What to send, in order: an id, or a file, which is uploaded first."
    ),
]
Product = Annotated[
    str | None, typer.Option(metavar="ID|NAME", help="The product; alone: all its devices, later ones too.")
]
Devices = Annotated[list[str] | None, typer.Option(metavar="ID|UID", help="A device; repeat it for more.")]
Group = Annotated[int | None, typer.Option(metavar="ID", help="The devices that are in this group now.")]
Version = Annotated[str | None, typer.Option(help="That of the first artifact, if its file names none.")]
Soft = Annotated[bool, typer.Option("--soft", help="Leave it to the device when to update.")]
ForcedAt = Annotated[
    str | None, typer.Option(metavar="TIME", help="Soft until then, such as 2027-01-31T04:00 (local) or ...Z.")
]
DownloadOnly = Annotated[bool, typer.Option("--download-only", help="Bring the files, install nothing.")]
Finish = Annotated[FinishOn | None, typer.Option(metavar="|".join(FinishOn), help="What ends it well on a device.")]
TimeOfDay = Annotated[
    Window | None, typer.Option(metavar="|".join(Window), case_sensitive=False, help="The part of the device's day.")
]
ForWhat = Annotated[
    WindowOn | None,
    typer.Option(metavar="|".join(WindowOn), help="What the window is for; install: the download may come before."),
]
Attempts = Annotated[int | None, typer.Option(min=1, help="How often a device may try.")]
Compare = Annotated[Condition | None, typer.Option(metavar="|".join(Condition), help="Which devices need it.")]
CheckType = Annotated[bool, typer.Option("--check-type", help="Only devices of the first artifact's type.")]
Critical = Annotated[bool, typer.Option("--critical", help="Wait neither for the user nor for the window.")]
Queue = Annotated[bool, typer.Option("--queue", help="Come after older ones, instead of taking their place.")]
Deadline = Annotated[
    int | None, typer.Option(metavar="SECONDS", min=1, help="How long a device under way may be silent.")
]
ResetPeriod = Annotated[
    int | None, typer.Option(metavar="SECONDS", min=1, help="After so long, tries are counted anew; a day by default.")
]


def _urgency(value: object) -> str:
    """Show forced, soft, or until when it is soft."""
    rollout = value if isinstance(value, dict) else {}
    until = rollout.get("forcedAt")
    return text(rollout.get("urgency")) + (f" until {when(until)}" if until else "")


def _window(value: object) -> str:
    rollout = value if isinstance(value, dict) else {}
    only = ", for the installation" if rollout.get("windowOn") == WindowOn.INSTALL else ""
    return text(rollout.get("dayPart")) + only


def _seconds(value: object) -> str:
    return f"{value / 1000:.0f} seconds" if isinstance(value, int) else text(value)


def _names(value: object) -> str:
    files = value if isinstance(value, list) else []
    return text([f"{one.get('filename')} {one.get('version') or ''}".strip() for one in files if isinstance(one, dict)])


COLUMNS = (*SHIPMENT_COLUMNS[:3], *columns("origin"), *SHIPMENT_COLUMNS[3:])
DETAILS = (
    *columns("id", "title", "description", "state", "origin"),
    Column("product", "productId"),
    Column("devices", "whom", devices),
    Column("artifacts", "artifacts", _names),
    Column("urgency", "pace", _urgency),
    Column("window", "time", _window),
    *columns("finishOn", "condition"),
    Column("attempts", "attemptsLimit"),
    Column("counted anew after", "resetPeriodMs", _seconds),
    Column("to older ones", "onConflict"),
    Column("started", "startedAt", when),
    Column("finished", "finishedAt", when),
    Column("progress", "counts", counters),
    Column("ever reached", "funnel", counters),
    Column("reasons", "reasons", counters),
    Column("notes", "artifacts", noted),
)


@app.command()
def start(
    title: Annotated[str, typer.Option(help="A name for people.")],
    artifacts: Artifacts,
    product: Product = None,
    device: Devices = None,
    group: Group = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    version: Version = None,
    soft: Soft = False,
    forced_at: ForcedAt = None,
    download_only: DownloadOnly = False,
    finish_on: Finish = None,
    window: TimeOfDay = None,
    window_on: ForWhat = None,
    attempts: Attempts = None,
    reset_period: ResetPeriod = None,
    condition: Compare = None,
    check_type: CheckType = False,
    critical: Critical = False,
    queue: Queue = False,
    deadline: Deadline = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Start a rollout of one or more artifacts.

    Example: airfreight rollout start --title "Gateway 2.1" --product Gateway --artifact gateway-2.1.swu --soft
    """
    if product is None and not device and group is None:
        raise usage("Nobody is named who gets it", "Give --device, --group, or --product for all its devices.")
    if download_only and finish_on not in {None, FinishOn.DOWNLOAD}:
        raise usage("--download-only ends with the download", "Leave --finish-on out.")
    moment = None if forced_at is None else milliseconds(forced_at)
    body = present(
        title=title,
        description=description,
        groupId=group,
        urgency="soft" if soft or moment is not None else None,
        forcedAt=moment,
        finishOn=FinishOn.DOWNLOAD if download_only else finish_on,
        condition=condition,
        checkType=check_type or None,
        critical=critical or None,
        dayPart=window,
        windowOn=window_on,
        attemptsLimit=attempts,
        onConflict="queue" if queue else None,
        deadlineSeconds=deadline,
        resetPeriodMs=None if reset_period is None else reset_period * 1000,
    )
    files = [_number_or_file(one) for one in artifacts]
    _start(body | _named(device or []), product, files, version, org, as_json=as_json)


def _start(
    body: Doc, product: str | None, files: list[int | Path], version: str | None, org: int | None, *, as_json: bool
) -> None:
    with connect(org) as session:
        # The product first: a misspelled name must not cost an upload.
        number = None if product is None else product_id(session, product)
        ids = [_stored(session, one, quiet=as_json) for one in files]
        body |= present(productId=number, artifacts=_said(ids, version), orgId=org)
        with in_words_of_options(OPTIONS):
            made = session.post(PATH, body)
        _show(made, as_json=as_json)
        below = "" if org is None else f" --org {org}"
        output.remark(f"Watch it with `airfreight shipment watch {made.get('id')}{below}`.")


@app.command("list")
def list_(org: Org = None, limit: Limit = 50, after: After = None, as_json: AsJson = False) -> None:
    """List the rollouts, whatever made them: shipments, campaigns, single updates, `rollout start`.

    Example: airfreight rollout list --limit 10
    """
    with connect(org) as session:
        output.page(session.page(PATH, limit=limit, after=after), COLUMNS, as_json=as_json)


@app.command()
def show(number: Id, org: Org = None, as_json: AsJson = False) -> None:
    """Show a rollout with everything that was said of how.

    Example: airfreight rollout show 31
    """
    with connect(org) as session:
        _show(session.get(f"{PATH}/{number}"), as_json=as_json)


def _show(rollout: Doc, *, as_json: bool) -> None:
    if as_json:
        output.emit(rollout)
        return
    whom = [] if rollout.get("wholeProduct") else rollout.get("total")
    output.record({**rollout, "whom": whom, "pace": rollout, "time": rollout}, DETAILS, as_json=False)


def _named(given: Sequence[str]) -> Doc:
    ids = [int(one) for one in given if _is_id(one)]
    return present(deviceIds=ids or None, uids=[one for one in given if not _is_id(one)] or None)


def _said(ids: Sequence[int], version: str | None) -> list[Doc]:
    named: list[Doc] = [{"id": number} for number in ids]
    return named if version is None else [{**named[0], "version": version}, *named[1:]]


def _is_id(given: str) -> bool:
    return given.isascii() and given.isdigit() and len(given) <= LONGEST_ID


def _number_or_file(given: str) -> int | Path:
    """Read --artifact. Raises CliError for what is neither: before anything is uploaded."""
    if _is_id(given):
        return int(given)
    if not Path(given).is_file():
        raise usage(f"{given!r} is neither the id of an artifact nor a file", "See `airfreight artifact list`.")
    return Path(given)


def _stored(session: Session, given: int | Path, *, quiet: bool) -> int:
    """Return the id of the artifact; a file becomes one."""
    return given if isinstance(given, int) else whole_number(artifact.upload(session, given, quiet=quiet), "id")

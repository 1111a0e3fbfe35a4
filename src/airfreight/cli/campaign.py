"""`airfreight campaign`: carries packages to gateways in steps, with people who approve them.

The commands about its gateways are in campaign_gateways.
"""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from airfreight.cli import campaign_gateways, campaign_view, output, package
from airfreight.cli.auth import Session, connect
from airfreight.cli.campaign_gateways import From
from airfreight.cli.campaigns_door import (
    CAMPAIGN,
    CAMPAIGNS,
    PACKAGE,
    Campaign,
    PageNumber,
    id_of,
    is_id,
    page,
    show_page,
)
from airfreight.cli.errors import CliError, usage
from airfreight.cli.http import Doc
from airfreight.cli.options import AsJson, Limit, Name, Org, Yes, present, string, sure
from airfreight.cli.output import text
from airfreight.cli.shipment import in_words_of_options

app = typer.Typer(help="Carry packages to gateways in steps that people approve.", no_args_is_help=True)


class Status(StrEnum):
    """What a campaign can be; `list` shows them like this."""

    CREATED = "created"
    APPROVAL_NEEDED = "approval-needed"
    APPROVED = "approved"
    STARTED = "started"
    STOPPED = "stopped"


OPTIONS = {
    "name": "NAME",
    "description": "--description",
    "packages": "--package",
    "campaignSettings": "--set",
    "reevaluationIntervalSeconds": "--every",
    "distributionListId": "--group",
    "trackedStates": "--state",
    "notificationDestinationId": "--webhook",
}
Packages = Annotated[
    list[str] | None,
    typer.Option(
        "--package", metavar="ID|NAME|FILE", help="What to carry, in order; a file on this computer is uploaded."
    ),
]
Words = Annotated[str | None, typer.Option(help="What it is for.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Kept with it, for programs of yours.")
]
Group = Annotated[int | None, typer.Option(metavar="ID", help="A group to follow: its devices are added.")]
Every = Annotated[
    int | None,
    typer.Option("--every", metavar="SECONDS", min=0, help="How often the group is looked at; 0: at the start only."),
]
EVERY_SECONDS = 60


@app.command()
def create(
    name: Name,
    packages: Packages = None,
    gateways: Annotated[
        list[str] | None, typer.Option("--gateway", metavar="UID", help="A gateway; repeat it for more.")
    ] = None,
    source: From = None,
    group: Group = None,
    every: Every = None,
    description: Words = None,
    settings: Settings = None,
    begin: Annotated[bool, typer.Option("--start", help="Start it, too.")] = False,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Create a campaign; it tells nobody anything before it is started.

    Example: airfreight campaign create "Spring" --package disk-metrics-1.0.3.iotcp --from gateways.txt
    """
    if every is not None and group is None:
        raise usage("--every is about a group", "Name it with --group.")
    uids = campaign_gateways.wanted(gateways, source) if gateways or source is not None else []
    described = _described(name, description, settings)
    with connect(org) as session:
        found = [_known(session, one) for one in packages or ()]
        followed = None if group is None else string(session.get(f"/api/v1/groups/{group}"), "uid")
        ids = [one if isinstance(one, str) else package.upload(session, one, quiet=as_json) for one in found]
        with in_words_of_options(OPTIONS):
            uid = string(session.post(CAMPAIGNS, {**described, "packages": ids}), "uuid")
        try:
            if uids:
                campaign_gateways.let_in(session, uid, uids)
            if followed is not None:
                _follow(session, uid, followed, EVERY_SECONDS if every is None else every)
            if begin:
                session.put(f"{CAMPAIGNS}/{uid}/start")
        except CliError as error:
            words = f"Campaign {uid} is made, but not all that was to be done with it is: {error}"
            raise CliError(words, "", error.code) from None
        campaign_view.show(session, uid, as_json=as_json)
        verb = "watch" if begin else "start"
        output.remark(f"{verb.capitalize()} it with `airfreight campaign {verb} {uid}`.")


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Option(metavar="PART", help="Only those with this in their name.")] = None,
    only: Annotated[
        list[Status] | None,
        typer.Option("--status", case_sensitive=False, help="Only those; repeat it for more."),
    ] = None,
    limit: Limit = 50,
    number: PageNumber = 1,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """List the campaigns, the newest first.

    Example: airfreight campaign list --status started
    """
    with connect(org) as session:
        wanted = [one.name for one in only or ()] or None
        show_page(
            page(session, CAMPAIGN, number, limit, name=name, status=wanted), campaign_view.COLUMNS, as_json=as_json
        )


@app.command()
def show(campaign: Campaign, org: Org = None, as_json: AsJson = False) -> None:
    """Show a campaign: its status, and how many gateways are how far in each phase.

    Example: airfreight campaign show "Spring"
    """
    with connect(org) as session:
        campaign_view.show(session, id_of(session, CAMPAIGN, campaign), as_json=as_json)


@app.command()
def edit(
    campaign: Campaign,
    name: Annotated[str | None, typer.Option(help="Its new name.")] = None,
    description: Words = None,
    packages: Packages = None,
    settings: Settings = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Change a campaign; other packages need approval again, where it is needed.

    Example: airfreight campaign edit "Spring" --package disk-metrics-1.0.4.iotcp
    """
    described = _described(name, description, settings)
    if not described and not packages:
        raise usage("Nothing to change was named", "Give --name, --description, --package or --set.")
    with connect(org) as session:
        uid = id_of(session, CAMPAIGN, campaign)
        found = [_known(session, one) for one in packages or ()]
        ids = [one if isinstance(one, str) else package.upload(session, one, quiet=as_json) for one in found]
        with in_words_of_options({**OPTIONS, "name": "--name"}):
            session.put(f"{CAMPAIGNS}/{uid}", {"updateSpec": described | present(packages=ids or None)})
        campaign_view.show(session, uid, as_json=as_json)


@app.command()
def start(campaign: Campaign, org: Org = None, as_json: AsJson = False) -> None:
    """Start a campaign, or go on with a stopped one.

    Example: airfreight campaign start "Spring"
    """
    _steer(campaign, "start", "is started", org, as_json=as_json)


@app.command()
def stop(campaign: Campaign, org: Org = None, as_json: AsJson = False) -> None:
    """Stop a campaign: nobody begins, who is in the middle finishes; it can be started again.

    Example: airfreight campaign stop "Spring"
    """
    _steer(campaign, "stop", "is stopped", org, as_json=as_json)


@app.command()
def approve(campaign: Campaign, org: Org = None, as_json: AsJson = False) -> None:
    """Approve a campaign, so that it may be started.

    Example: airfreight campaign approve "Spring"
    """
    _steer(campaign, "approve", "is approved", org, as_json=as_json)


@app.command()
def delete(campaign: Campaign, yes: Yes = False, org: Org = None, as_json: AsJson = False) -> None:
    """Delete a campaign that is not started; its gateways are let go.

    Example: airfreight campaign delete "Spring" --yes
    """
    with connect(org) as session:
        uid = id_of(session, CAMPAIGN, campaign)
        name = text(session.get(f"{CAMPAIGNS}/{uid}").get("name"))
        sure(f"Delete campaign {name}?", yes=yes)
        session.delete(f"{CAMPAIGNS}/{uid}")
        if as_json:
            output.emit({"id": uid, "deleted": True})
        else:
            output.line(f"Deleted campaign {name}.")


@app.command()
def follow(
    campaign: Campaign,
    group: Group = None,
    every: Every = None,
    nobody: Annotated[bool, typer.Option("--none", help="Follow no group any more; who was added stays.")] = False,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Have a campaign follow a group: while it is started, devices that match are added.

    Example: airfreight campaign follow "Spring" --group 3 --every 300
    """
    if (group is None) != nobody:
        raise usage("Either a group or none is followed", "Give one of --group and --none.")
    if nobody and every is not None:
        raise usage("--none is never looked at", "Leave --every out.")
    with connect(org) as session:
        uid = id_of(session, CAMPAIGN, campaign)
        followed = "" if group is None else string(session.get(f"/api/v1/groups/{group}"), "uid")
        _follow(session, uid, followed, 0 if nobody else EVERY_SECONDS if every is None else every)
        told = session.get(f"{CAMPAIGNS}/{uid}/distribution-list")
        if as_json:
            output.emit(told)
        else:
            output.line(f"Campaign {campaign} follows {'no group' if nobody else campaign_view.followed(told)}.")


def _described(name: str | None, description: str | None, settings: list[str] | None) -> Doc:
    """What the door is told of a campaign itself. Raises CliError for a setting without a name."""
    pairs = [one.partition("=") for one in settings or ()]
    if not all(key and separator for key, separator, _ in pairs):
        raise usage("--set needs a name and a value", "Write --set NAME=VALUE.")
    kept = {"settings": {key: value for key, _, value in pairs}} if pairs else None
    return present(name=name, description=description, campaignSettings=kept)


def _known(session: Session, given: str) -> str | Path:
    """The id of a package, or a file that is to be uploaded as one. Raises CliError for what is neither."""
    if is_id(given):
        return given.lower()
    if Path(given).is_file():
        return Path(given)
    return id_of(session, PACKAGE, given)


def _follow(session: Session, uid: str, group: str, seconds: int) -> None:
    body = {"distributionListId": group, "reevaluationIntervalSeconds": str(seconds)}
    with in_words_of_options(OPTIONS):
        session.put(f"{CAMPAIGNS}/{uid}/distribution-list", body)


def _steer(campaign: str, verb: str, words: str, org: int | None, *, as_json: bool) -> None:
    with connect(org) as session:
        uid = id_of(session, CAMPAIGN, campaign)
        session.put(f"{CAMPAIGNS}/{uid}/{verb}")
        if as_json:
            output.emit(session.get(f"{CAMPAIGNS}/{uid}"))
            return
        output.line(f"Campaign {campaign} {words}.")
        if verb != "stop":
            following = "watch" if verb == "start" else "start"
            output.remark(
                f"{following.capitalize()} it with `airfreight campaign {following} {shlex.quote(campaign)}`."
            )


class News(StrEnum):
    """What somebody can be told of a campaign."""

    COMPLETED = "completed"
    WAKE_UP = "wake-up"
    STATE_CHANGE = "state-change"
    EXECUTION_PROGRESS = "execution-progress"
    DOWNLOAD_PROGRESS = "download-progress"


@app.command()
def callback(
    campaign: Campaign,
    news: Annotated[News, typer.Argument(metavar="|".join(News), help="What to tell.")],
    webhook: Annotated[int | None, typer.Option(metavar="ID", help="Whom, as `webhook list` shows it.")] = None,
    nobody: Annotated[bool, typer.Option("--none", help="Tell nobody any more.")] = False,
    states: Annotated[
        list[str] | None, typer.Option("--state", help="For state-change: only to this state; repeat it for more.")
    ] = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Have a webhook told of a campaign: that it is done, of states, of progress.

    Example: airfreight campaign callback "Spring" state-change --webhook 4 --state FAILED
    """
    if (webhook is None) != nobody:
        raise usage("Either a webhook or nobody is told", "Give one of --webhook and --none.")
    if states and news is not News.STATE_CHANGE:
        raise usage("--state is for state-change", "Leave it out.")
    with connect(org) as session:
        uid = id_of(session, CAMPAIGN, campaign)
        target = "" if webhook is None else string(session.get(f"/api/v1/webhooks/{webhook}"), "uid")
        body = present(notificationDestinationId=target, trackedStates=[one.upper() for one in states or ()] or None)
        with in_words_of_options(OPTIONS):
            session.put(f"{CAMPAIGNS}/{uid}/callbacks/{news}", body)
        if as_json:
            output.emit({"id": uid, "news": news, **body})
        else:
            output.line(f"Campaign {campaign} tells {'nobody' if nobody else f'webhook {webhook}'}: {news}.")


app.command("watch")(campaign_view.watch_command)
for verb in (
    campaign_gateways.gateways,
    campaign_gateways.gateway,
    campaign_gateways.add,
    campaign_gateways.remove,
    campaign_gateways.schedule,
    campaign_gateways.close,
    campaign_gateways.notify,
):
    app.command()(verb)

"""The commands of `airfreight campaign` that are about its gateways: who takes part, when, how far, and why not.

Lists come from the native API, which has the reasons in words; everything else goes through the Campaigns door.
"""

import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from airfreight.cli import output, watch
from airfreight.cli.auth import Session, connect
from airfreight.cli.campaigns_door import (
    CAMPAIGN,
    CAMPAIGNS,
    ROLLOUTS,
    Campaign,
    id_of,
    rollout_of,
    status,
    when,
    whole,
)
from airfreight.cli.errors import CliError, ExitCode, sentence, usage
from airfreight.cli.http import LIMITED, Doc, Request, document, error_message
from airfreight.cli.options import After, AsJson, Limit, Org, Yes, milliseconds, sure, whole_number
from airfreight.cli.output import Column, columns, size, text

MOST = 100_000
_UID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._:-]{1,64}")
_REMOVED = "taken_out"
_AT = re.compile(r"\b(?:gatewayIds|gateway_things)(.*?), at: ([0-9, ]+?)(, \.\.\.)?\.")

Gateways = Annotated[list[str] | None, typer.Argument(metavar="GATEWAY", help="The gateways, by uid.")]
From = Annotated[
    str | None, typer.Option("--from", metavar="FILE", help="A file with a gateway's uid on each line; - is stdin.")
]
Gateway = Annotated[str, typer.Argument(metavar="GATEWAY", help="The gateway, by uid.")]
Begin = Annotated[
    str | None, typer.Option(metavar="TIME", help="Not before, such as 2027-01-31T04:00 (local) or ...Z.")
]
End = Annotated[str | None, typer.Option(metavar="TIME", help="To be begun before; no end by default.")]
Every = Annotated[bool, typer.Option("--all", help="All gateways that have not begun this phase.")]


class Phase(StrEnum):
    """What a gateway does with a campaign, one after the other."""

    DOWNLOAD = "download"
    EXECUTION = "execution"
    ACTIVATION = "activation"


_S = watch.State
_BEFORE = {
    Phase.DOWNLOAD: {_S.QUEUED, _S.OFFERED},
    Phase.EXECUTION: {_S.QUEUED, _S.OFFERED, _S.DOWNLOADING, _S.DOWNLOADED},
    Phase.ACTIVATION: {s for s in _S if s not in watch.ENDED} - {_S.ACTIVATING},
}
"""The states from which a phase is still to come."""

LISTED = (
    Column("gateway", "deviceUid"),
    *columns("state", "reason"),
    Column("updated", "updatedAt", output.when),
    Column("why", "words"),
)
PROGRESS = (Column("package", "name"), Column("got", "done", size, right=True), Column("of", "total", size, right=True))
REFUSED = (*columns("gateway", "why"),)


def gateways(
    campaign: Campaign,
    only: Annotated[watch.State | None, typer.Option("--state", help="Only those in this state.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only those with this reason, such as install_failed.")] = None,
    limit: Limit = 50,
    after: After = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """List the gateways of a campaign: where each stands, and why.

    Example: airfreight campaign gateways "Spring" --state failed
    """
    with connect(org) as session:
        number = _number(session, id_of(session, CAMPAIGN, campaign))
        answer = _members(session, number, limit, after, state=only, reason=reason)
        output.page(answer, LISTED, as_json=as_json)


def gateway(campaign: Campaign, one: Gateway, org: Org = None, as_json: AsJson = False) -> None:
    """Show one gateway of a campaign: its state, its bytes, and what it printed last.

    Example: airfreight campaign gateway "Spring" gw-1
    """
    with connect(org) as session:
        uid = id_of(session, CAMPAIGN, campaign)
        found = session.get(f"{_address(uid, one)}/status")
        if as_json:
            output.emit(found)
            return
        _show_gateway(session, found)
        output.remark(f"Why: `airfreight device explain {one}`; all that happened: `airfreight device log {one}`.")


def add(
    campaign: Campaign,
    named: Gateways = None,
    source: From = None,
    behind: Annotated[
        str | None, typer.Option(metavar="GATEWAY", help="What is named are things behind this gateway.")
    ] = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Add gateways to a campaign, all or none; of things (--behind), those that can be.

    Example: airfreight campaign add "Spring" --from gateways.txt
    """
    uids = wanted(named, source)
    with connect(org) as session:
        uid = id_of(session, CAMPAIGN, campaign)
        if behind is None:
            let_in(session, uid, uids)
            _say("Added", "to", uids, campaign, as_json=as_json)
        else:
            _things(session, uid, behind, uids, campaign, as_json=as_json)


def remove(
    campaign: Campaign,
    named: Gateways = None,
    source: From = None,
    yes: Yes = False,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Remove gateways from a campaign, all or none; added again, they begin anew.

    Example: airfreight campaign remove "Spring" gw-1 gw-2 --yes
    """
    uids = wanted(named, source)
    with connect(org) as session:
        uid = id_of(session, CAMPAIGN, campaign)
        sure(f"Remove {_counted(uids)} from the campaign?", yes=yes)
        with _naming(uids):
            session.put(f"{CAMPAIGNS}/{uid}/devices", {"gatewayIds": uids})
        _say("Removed", "from", uids, campaign, as_json=as_json)


def close(
    campaign: Campaign,
    named: Gateways = None,
    source: From = None,
    yes: Yes = False,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """End a campaign for some gateways for good; they keep their place and state.

    Example: airfreight campaign close "Spring" gw-1 --yes
    """
    uids = wanted(named, source)
    with connect(org) as session:
        uid = id_of(session, CAMPAIGN, campaign)
        sure(f"Close the campaign for {_counted(uids)}?", yes=yes)
        _each(session, uid, uids, "close", None, "Closed the campaign for {}.", as_json=as_json)


def notify(
    campaign: Campaign, named: Gateways = None, source: From = None, org: Org = None, as_json: AsJson = False
) -> None:
    """Wake gateways, so that they come and ask now.

    Example: airfreight campaign notify "Spring" gw-1
    """
    uids = wanted(named, source)
    with connect(org) as session:
        uid = id_of(session, CAMPAIGN, campaign)
        _each(session, uid, uids, "notify", None, "Told {} to come.", as_json=as_json)


def schedule(
    campaign: Campaign,
    phase: Annotated[Phase, typer.Argument(metavar="|".join(Phase), help="What is given its time.")],
    named: Gateways = None,
    source: From = None,
    every: Every = False,
    begin: Begin = None,
    end: End = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Give a phase of some gateways, or of all, its time, which approves it; at once by default.

    Example: airfreight campaign schedule "Spring" execution --all --begin 2027-01-31T04:00 --end 2027-01-31T06:00
    """
    if every and (named or source):
        raise usage("--all are all gateways", "Leave the others out.")
    slot = {
        name: "0" if given is None else str(milliseconds(given)) for name, given in (("begin", begin), ("end", end))
    }
    uids = [] if every else wanted(named, source)
    with connect(org) as session:
        uid = id_of(session, CAMPAIGN, campaign)
        if every:
            uids = list(_before(session, uid, phase))
        done = f"The {phase} of {{}} may begin{_moments(slot)}."
        _each(session, uid, uids, f"scheduled-{phase}", slot, done, as_json=as_json)


def wanted(named: Sequence[str] | None, source: str | None) -> list[str]:
    """The uids that were given, in order, each once. Raises CliError."""
    uids = list(dict.fromkeys([*(named or ()), *(_read(source) if source is not None else ())]))
    if not uids:
        raise usage("No gateway is named", "Name them by uid, or give --from FILE.")
    strange = [uid for uid in uids if not _UID.fullmatch(uid)]
    if strange:
        raise usage(f"{strange[0]!r} is not the uid of a device", "`airfreight device list` shows them.")
    if len(uids) > MOST:
        raise usage(f"{len(uids)} gateways are named", f"Name at most {MOST} at once.")
    return uids


def let_in(session: Session, uid: str, uids: Sequence[str]) -> None:
    """Add gateways to a campaign. Raises CliError, with the uids that are wrong."""
    with _naming(uids):
        session.post(f"{CAMPAIGNS}/{uid}/devices", {"gatewayIds": list(uids)})


def _read(source: str) -> Iterator[str]:
    """The first cell of each line that is not empty: also a list made for `device bulk-create` will do."""
    try:
        content = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise usage(f"{source} cannot be read: {error.strerror}", "Check the name of the file.") from None
    except ValueError:
        raise usage(f"{source} is not a text", "Write one uid a line, in UTF-8.") from None
    return (line.partition(",")[0].strip() for line in content.splitlines() if line.strip())


def _number(session: Session, uid: str) -> int:
    return whole_number(rollout_of(session, uid), "id")


def _members(session: Session, number: int, limit: int, after: int | None, **only: object) -> Doc:
    """A page of those that take part: the native list goes on to show who was removed."""
    found: list[Doc] = []
    while True:
        answer = session.page(f"{ROLLOUTS}/{number}/deliveries", limit=limit, after=after, **only)
        found += [one for one in answer["items"] if one.get("reason") != _REMOVED]
        after = answer.get("next")
        if len(found) > limit:
            return {"items": found[:limit], "next": found[limit - 1].get("id")}
        if after is None or not answer["items"]:
            return {"items": found, "next": None}


def _before(session: Session, uid: str, phase: Phase) -> Iterator[str]:
    """The uids of those that have not begun a phase."""
    for one in session.every(f"{ROLLOUTS}/{_number(session, uid)}/deliveries"):
        if one.get("state") in _BEFORE[phase]:
            yield str(one.get("deviceUid"))


def _address(uid: str, one: str) -> str:
    if not _UID.fullmatch(one):
        raise usage(f"{one!r} is not the uid of a device", "`airfreight device list` shows them.")
    return f"{CAMPAIGNS}/{uid}/devices/{quote(one, safe='')}"


def _each(
    session: Session, uid: str, uids: Sequence[str], verb: str, body: Doc | None, done: str, *, as_json: bool
) -> None:
    """Do something with one gateway after the other; who refuses it does not stop the others."""
    refused = [
        {"gateway": one, "why": why} for one in uids if (why := _put(session, f"{_address(uid, one)}/{verb}", body))
    ]
    failed = {one["gateway"] for one in refused}
    good = [one for one in uids if one not in failed]
    if as_json:
        output.emit({"done": good, "refused": refused})
    else:
        output.line(done.format(_counted(good)) if good or not refused else "Nothing was done.")
        if refused:
            output.remark(f"{_counted([*failed])} refused:")
            output.table(refused, REFUSED)
    if refused:
        raise typer.Exit(ExitCode.REFUSED)


def _put(session: Session, path: str, body: Doc | None) -> str:
    """Why the server refuses it, "" if it does not. Raises CliError for what would go wrong with all others, too."""
    while True:
        answer = session.send(Request("PUT", path, document=body))
        if answer.status_code != LIMITED:
            break
        seconds = answer.headers.get("Retry-After", "")
        time.sleep(min(int(seconds), 60) if seconds.isdigit() else 1)
    if answer.status_code in {400, 404, 409}:
        return sentence(error_message(answer) or f"HTTP {answer.status_code}")
    document(answer)
    return ""


def _things(session: Session, uid: str, behind: str, things: Sequence[str], campaign: str, *, as_json: bool) -> None:
    if not _UID.fullmatch(behind):
        raise usage(f"{behind!r} is not the uid of a device", "`airfreight device list` shows them.")
    body = {"gateway_things": [{"gateway_id": behind, "thing_ids": list(things)}]}
    answer = session.post(f"{CAMPAIGNS}/{uid}/devices/things", body)
    raw = answer.get("not_processed_thing_ids")
    out = raw if isinstance(raw, list) else []
    if as_json:
        output.emit(answer)
    else:
        told = [one.get("causedBy") for one in answer.get("gateway_things") or () if isinstance(one, dict)]
        output.line(f"Added {_counted([one for one in things if one not in out], 'thing')} to campaign {campaign}.")
        if out:
            output.remark(f"Not added: {text(out)} ({text([one for one in told if one])}).")
    if out:
        raise typer.Exit(ExitCode.REFUSED)


def _say(done: str, where: str, uids: Sequence[str], campaign: str, *, as_json: bool) -> None:
    if as_json:
        output.emit({"campaign": campaign, done.lower(): len(uids)})
    else:
        output.line(f"{done} {_counted(uids)} {where} campaign {campaign}.")


@contextmanager
def _naming(uids: Sequence[str]) -> Iterator[None]:
    """Let the server's complaints name gateways, not their places in a list that nobody has seen."""
    try:
        yield
    except CliError as error:
        found = _AT.search(str(error))
        if found is None:
            raise
        places = [place for one in found[2].split(",") if (place := whole(one.strip())) and place <= len(uids)]
        names = ", ".join(uids[place - 1] for place in places) + (found[3] or "")
        raise CliError(f"The list of gateways{found[1]}: {names}", "Nothing was changed.", error.code) from None


def _counted(uids: Sequence[str], noun: str = "gateway") -> str:
    return f"{noun} {uids[0]}" if len(uids) == 1 else f"{len(uids)} {noun}s"


def _moments(slot: Doc) -> str:
    begin, end = (
        f" {word} {when(slot[name])}" * (slot[name] != "0") for name, word in (("begin", "at"), ("end", "before"))
    )
    return f"{begin or ' now'}{',' if end else ''}{end}"


def _show_gateway(session: Session, found: Doc) -> None:
    state = found.get("campaignState")
    head = {**found, "state": state.get("state") if isinstance(state, dict) else None}
    shown = (Column("gateway", "gatewayId"), Column("state", "state", status), Column("changed", "timestamp", when))
    output.record(head, shown, as_json=False)
    progress = found.get("downloadProgress")
    packages = progress.get("packagesProgress") if isinstance(progress, dict) else None
    output.line("")
    output.table(_packages(session, packages or ()), PROGRESS)
    lines = found.get("executionProgress")
    if isinstance(lines, list) and lines:
        output.line("")
        output.line("It printed last:")
        for one in lines:
            output.indented(str(one), "    | ")


def _packages(session: Session, packages: Iterable[Doc]) -> Iterator[Doc]:
    for one in packages:
        info = session.get(f"/api/programs/{one.get('id')}/file-info")
        yield {"name": info.get("name"), "done": whole(one.get("progress")), "total": whole(one.get("total"))}

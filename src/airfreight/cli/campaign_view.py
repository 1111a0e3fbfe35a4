"""What the campaign commands show: one campaign with its phases, the list, and how `watch` follows one."""

import shlex
from typing import Annotated

import typer

from airfreight.cli import output, watch
from airfreight.cli.auth import Session, connect
from airfreight.cli.campaigns_door import (
    CAMPAIGN,
    CAMPAIGNS,
    ROLLOUTS,
    Campaign,
    counts_of,
    id_of,
    reasons_of,
    rollout_of,
    status,
    when,
    whole,
)
from airfreight.cli.errors import ExitCode
from airfreight.cli.http import Doc
from airfreight.cli.options import AsJson, Org
from airfreight.cli.output import Column, columns, text
from airfreight.cli.shipment import counters

STAGES = {
    "pending_approval": "approval needed",
    "ready": "not started",
    "running": "started",
    "paused": "stopped",
    "finished": "started",
}
"""What a campaign is called that the native API says this of."""


def _approval(value: object) -> str:
    campaign = value if isinstance(value, dict) else {}
    if not campaign.get("approvalNeeded"):
        return "not needed"
    return "given" if campaign.get("hasApproval") else "needed, and not given yet"


def _carried(value: object) -> str:
    files = value if isinstance(value, list) else []
    return text([f"{one.get('filename')} {one.get('version') or ''}".strip() for one in files if isinstance(one, dict)])


def _number_of(value: object) -> str:
    ids = value.get("packages") if isinstance(value, dict) else None
    return str(len(ids)) if isinstance(ids, list) else "-"


def followed(value: object) -> str:
    """Show the group that a campaign follows."""
    told = value if isinstance(value, dict) else {}
    group, seconds = told.get("distributionListId"), whole(told.get("reevaluationIntervalSeconds"))
    if not group:
        return "-"
    return text(f"group {group}, " + (f"every {seconds} seconds" if seconds else "once, at the start"))


def _settings_of(value: object) -> str:
    return text(value.get("settings")) if isinstance(value, dict) else "-"


COLUMNS = (
    *columns("id", "name"),
    Column("status", "status", status),
    Column("packages", "packages", _number_of, right=True),
    Column("created", "creationTime", when),
)
DETAILS = (
    *columns("id", "name", "description"),
    Column("status", "status", status),
    Column("approval", "approval", _approval),
    Column("packages", "carried", _carried),
    Column("follows", "distributionList", followed),
    Column("callbacks", "callbacks"),
    Column("settings", "campaignSettings", _settings_of),
    Column("created", "creationTime", when),
    Column("started", "startedAt", output.when),
    *columns("rollout"),
    Column("gateways", "total"),
)
PHASES = (
    *columns("phase"),
    *(Column(title, title, right=True) for title in ("waiting", "under way", "done")),
)


def watch_command(
    campaign: Campaign,
    interval: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between two looks.")] = 1.0,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0, help="Give up after this long; the campaign goes on.")
    ] = None,
    org: Org = None,
    as_json: AsJson = False,
) -> None:
    """Watch a campaign until all its gateways are through, or it is stopped.

    The exit code is 0 if every gateway succeeded, 1 if not or if it was stopped; 124 after `--timeout` and 130 after
    Ctrl-C, and the campaign goes on.

    Example: airfreight campaign watch "Spring" --timeout 3600
    """
    with connect(org) as session:
        uid = id_of(session, CAMPAIGN, campaign)
        number = rollout_of(session, uid).get("id")
        first = _seen(session, uid, number)
        if first["state"] in {"not started", "approval needed"}:
            verb = "approve" if first["state"] == "approval needed" else "start"
            output.remark(f"It is not started: `airfreight campaign {verb} {shlex.quote(campaign)}`.")
        elif not watch.counts_of(first):
            output.remark("No gateway takes part yet.")
        with watch.view_for(as_json=as_json) as view:
            last = watch.follow(lambda: _seen(session, uid, number), view, interval, timeout)
        if as_json:
            output.emit(last)
        _end(last, campaign)


def _end(last: Doc, campaign: str) -> None:
    if not watch.has_ended(last):
        output.remark("The time is over, and the campaign goes on.")
        raise typer.Exit(ExitCode.TIMED_OUT)
    code = watch.verdict(last, allow_skipped=False)
    if code:
        output.remark(
            f"Not every gateway succeeded. See them with `airfreight campaign gateways {shlex.quote(campaign)}`."
        )
    raise typer.Exit(code)


def _seen(session: Session, uid: str, number: object) -> Doc:
    """The campaign as `watch` shows it. More gateways can always come, as to a shipment for a whole product."""
    rollout = session.get(f"{ROLLOUTS}/{number}")
    counts = counts_of(rollout)
    return {
        "id": uid,
        "rollout": number,
        "title": rollout.get("title"),
        "state": STAGES.get(str(rollout.get("state")), rollout.get("state")),
        "wholeProduct": True,
        "counts": counts,
        "reasons": reasons_of(rollout),
        "total": sum(counts.values()),
    }


def show(session: Session, uid: str, *, as_json: bool) -> None:
    campaign = session.get(f"{CAMPAIGNS}/{uid}")
    rollout = rollout_of(session, uid)
    counts = counts_of(rollout)
    told = {
        **campaign,
        "rollout": rollout.get("id"),
        "startedAt": rollout.get("startedAt"),
        "distributionList": session.get(f"{CAMPAIGNS}/{uid}/distribution-list"),
        "total": sum(counts.values()),
        "counts": counts,
        "reasons": reasons_of(rollout),
    }
    callbacks = {"wake-up": campaign.get("preDeliveryCallback"), "completed": campaign.get("postDeliveryCallback")}
    if as_json:
        output.emit(told)
        return
    output.record(
        {**told, "approval": campaign, "carried": rollout.get("artifacts"), "callbacks": callbacks},
        DETAILS,
        as_json=False,
    )
    if told["total"]:
        output.line("")
        output.table(_phases(counts), PHASES)
        lost = {name: counts.get(name, 0) for name in ("failed", "canceled", "skipped")}
        why = counters(told["reasons"])
        if any(lost.values()):
            output.line(f"{counters(lost)} ({why})" if why != "-" else counters(lost))


def _phases(counts: dict[str, int]) -> list[Doc]:
    """How many gateways wait for each phase, are at it, and have it behind them; without those that ended badly."""
    n = [counts.get(state, 0) for state in watch.State]
    rows = (("download", n[0] + n[1], n[2]), ("execution", n[3], n[4]), ("activation", n[5], n[6]))
    ahead = [sum(n[3:8]), sum(n[5:8]), n[7]]
    return [
        {"phase": phase, "waiting": waiting, "under way": active, "done": done}
        for (phase, waiting, active), done in zip(rows, ahead, strict=True)
    ]

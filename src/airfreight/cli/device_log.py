"""What happened to one device in one rollout: `device log`, and what `device explain` says of one that is under way."""

import time
from collections.abc import Sequence
from typing import Annotated

import typer

from airfreight.cli import output, watch
from airfreight.cli.auth import Session, connect
from airfreight.cli.errors import CliError
from airfreight.cli.http import Doc, Request, decode
from airfreight.cli.options import AsJson, Device, device_id, whole_number
from airfreight.cli.output import Column, text

DEVICES, ROLLOUTS = "/api/v1/devices", "/api/v1/rollouts"
UNDER_WAY = frozenset(watch.State) - watch.ENDED - {watch.State.QUEUED}
_SHORT_MS = {"s": 1000, "min": 60_000, "h": 3_600_000, "days": 86_400_000}
_FEW = 5


STANDING = (
    Column("rollout", "rollout"),
    Column("where", "where"),
    Column("try", "try"),
    Column("must report", "by"),
)


def log(
    device: Device,
    rollout: Annotated[
        int | None, typer.Option(metavar="ID", min=1, help="In this rollout; in the latest by default.")
    ] = None,
    lines: Annotated[
        int, typer.Option(metavar="N", min=0, help="How many printed lines to show of each event: the last ones.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what happened to a device in a rollout, with what it printed: why it failed, or where it is.

    Example: airfreight device log gw-1 --lines 100
    """
    with connect() as session:
        number = device_id(session, device)
        org = session.get(f"{DEVICES}/{number}").get("organizationId")
        latest = _deliveries(session.get(f"{DEVICES}/{number}/explain"))
        candidates = _by_interest(latest) if rollout is None else _of_rollout(latest, rollout, device)
        found = _first(session, candidates, org)
        if found is None:
            if as_json:
                output.emit({"delivery": None, "events": []})
            else:
                output.line(f"Nothing was ever sent to device {device}.")
            return
        chosen, standing, events = found
        if as_json:
            output.emit({"delivery": standing, "events": events})
            return
        output.line(f"Rollout {chosen.get('rolloutId')}, {text(chosen.get('title'))}: {text(standing.get('words'))}")
        output.line("")
        _tell(events, lines)
        _name_others(latest, chosen, device)


def under_way(session: Session, number: int, explained: Doc) -> Doc | None:
    """Where a device that is in the middle of an update is, since when, and by when it has to report; None for others.

    What this login may not see is left out.
    """
    found = next((one for one in _deliveries(explained) if one.get("state") in UNDER_WAY), None)
    if found is None:
        return None
    try:
        events = _history(session, found, session.get(f"{DEVICES}/{number}").get("organizationId"))
    except CliError:
        events = []
    moved = next((one for one in reversed(events) if one.get("verdict") == "moved"), None)
    heard = next((one for one in reversed(events) if one.get("actor") == "device"), None)
    since = (moved or {}).get("at", found.get("updatedAt"))
    percent = (heard or {}).get("progress")
    deadline = found.get("deadlineAt")
    return {
        "rollout": f"{found.get('rolloutId')}, {text(found.get('title'))}",
        "where": f"{found.get('state')}{'' if percent is None else f' ({percent} %)'}, since {_with_distance(since)}",
        "try": f"{found.get('tries')} of {found.get('attemptsLimit')}",
        "by": f"by {_with_distance(deadline)}, or this try has failed" if deadline else "at no set time",
    }


def _with_distance(at: object) -> str:
    """A moment, and how far away it is by this computer's clock."""
    if not isinstance(at, int):
        return "-"
    away = at - time.time() * 1000
    unit, length = [one for one in _SHORT_MS.items() if one[1] == 1000 or abs(away) >= 2 * one[1]][-1]
    count = f"{abs(away) / length:.0f} {unit}"
    return f"{output.when(at)} ({f'in {count}' if away > 0 else f'{count} ago'})"


def _deliveries(explained: Doc) -> list[Doc]:
    found = explained.get("deliveries")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _of_rollout(latest: Sequence[Doc], rollout: int, device: str) -> list[Doc]:
    """Raises CliError for a rollout that is not among the latest of the device."""
    named = [one for one in latest if one.get("rolloutId") == rollout]
    if not named:
        known = text([one.get("rolloutId") for one in latest])
        raise CliError(f"Rollout {rollout} is none of the latest of device {device}", f"Those are: {known}.")
    return named


def _by_interest(latest: Sequence[Doc]) -> list[Doc]:
    """What is under way, then what came to anything, then what waits; the newest first."""
    active = [one for one in latest if one.get("state") in UNDER_WAY]
    waiting = [one for one in latest if one.get("state") == watch.State.QUEUED]
    return [*active, *(one for one in latest if one not in active and one not in waiting), *waiting]


def _first(session: Session, candidates: Sequence[Doc], org: object) -> tuple[Doc, Doc, list[Doc]] | None:
    """The first delivery that is still shown, with its words and history: those of a deleted rollout are not."""
    for place, one in enumerate(candidates, 1):
        try:
            return one, _standing(session, one, org), _history(session, one, org)
        except CliError:
            if place == len(candidates):
                raise
    return None


def _standing(session: Session, delivery: Doc, org: object) -> Doc:
    """The delivery as the list of the rollout has it: with its words."""
    number = whole_number(delivery, "id")
    path = f"{ROLLOUTS}/{delivery.get('rolloutId')}/deliveries"
    items = session.page(path, limit=1, after=number - 1, orgId=org)["items"]
    return next((one for one in items if one.get("id") == number), delivery)


def _history(session: Session, delivery: Doc, org: object) -> list[Doc]:
    path = f"{ROLLOUTS}/{delivery.get('rolloutId')}/deliveries/{delivery.get('id')}/history"
    events = decode(session.send(Request("GET", path, {"orgId": org})))
    return [one for one in events if isinstance(one, dict)] if isinstance(events, list) else []


def _tell(events: Sequence[Doc], lines: int) -> None:
    """Print a line for each event, and below it what the device printed: a table would push that to the right edge."""
    rows = [("TIME", "BY", "ATTEMPT", "WHAT", "THEN", "MESSAGE"), *(_cells(event) for event in events)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, event in zip(rows, [{}, *events], strict=True):
        output.line(
            "  ".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)) + "  " + row[-1]
        )
        printed = event.get("lines")
        told = printed if isinstance(printed, list) else []
        shown = told[len(told) - min(lines, len(told)) :]
        if len(shown) < len(told):
            left = len(told) - len(shown)
            _tell_line(f"... {left} line{'s' * (left != 1)} before these: --lines {len(told)} shows all")
        for one in shown:
            _tell_line(one)


def _tell_line(one: object) -> None:
    output.indented(str(one), "    | ")


def _cells(event: Doc) -> tuple[str, ...]:
    attempt = event.get("attemptId")
    return (
        output.when(event.get("at")),
        text(event.get("actor")),
        "" if attempt is None else text(attempt),
        _what(event),
        text(event.get("state")),
        text(_message(event)) if _message(event) else "",
    )


def _what(event: Doc) -> str:
    percent, verdict = event.get("progress"), event.get("verdict")
    words = text(event.get("event")) + ("" if percent is None else f" {percent} %")
    return words if verdict in {"moved", "noted"} else f"{words} ({text(verdict)})"


def _message(event: Doc) -> str:
    return ": ".join(str(part) for part in (event.get("reason"), event.get("message")) if part)


def _name_others(latest: Sequence[Doc], chosen: Doc, device: str) -> None:
    others = [one for one in latest if one is not chosen]
    if others:
        named = ", ".join(f"{one.get('rolloutId')} ({one.get('state')})" for one in others[:_FEW])
        more = ", ..." if len(others) > _FEW else ""
        output.remark(f"Its other rollouts: {named}{more}. See one with `airfreight device log {device} --rollout ID`.")

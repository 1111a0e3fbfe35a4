"""What the campaign and package commands share: how the Campaigns door is asked, its ids, names, pages and numbers.

A campaign is a rollout to the native API, which has its exact counts, and why each gateway is where it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import typer

from airfreight.cli import output
from airfreight.cli.auth import Session
from airfreight.cli.errors import CliError, usage
from airfreight.cli.http import Doc

CAMPAIGNS = "/api/campaigns"
ROLLOUTS = "/api/v1/rollouts"
ORIGIN = "campaigns"
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LARGEST_PAGE = 500

PageNumber = Annotated[int, typer.Option("--page", metavar="N", min=1, help="Which page to show.")]
Campaign = Annotated[str, typer.Argument(metavar="ID|NAME", help="The campaign, by id or by its exact name.")]


@dataclass(frozen=True, slots=True)
class Kind:
    """Something that this door lists: where, under which keys of the answer, and what people call it."""

    path: str
    items: str
    info: str
    noun: str


CAMPAIGN = Kind(CAMPAIGNS, "campaigns", "pageResponse", "campaign")
PACKAGE = Kind("/api/programs", "programs", "pageInfo", "package")


def page(session: Session, kind: Kind, number: int, size: int, **filters: object) -> Doc:
    """One page, newest first, as all lists have it: {"items": [...], "next": number or null}. Raises CliError."""
    answer = session.get(kind.path, **{"page.number": number, "page.size": size, **filters})
    items, info = answer.get(kind.items), answer.get(kind.info)
    pages = whole(info.get("totalPages")) if isinstance(info, dict) else None
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items) or pages is None:
        raise CliError("The server's list was not understood", "Check that it is an Airfreight server of this version.")
    return {"items": items, "next": number + 1 if number < pages else None}


def show_page(answer: Doc, shown: tuple[output.Column, ...], *, as_json: bool) -> None:
    """Show one page of this door."""
    if as_json:
        output.emit(answer)
        return
    output.table(answer["items"], shown)
    if answer["next"] is not None:
        output.remark(f"There are more: go on with --page {answer['next']}.")


def id_of(session: Session, kind: Kind, wanted: str) -> str:
    """The id of what is named by id or by its exact name. Raises CliError if nothing, or several, have that name."""
    if is_id(wanted):
        return wanted.lower()
    exact = [str(one.get("id")) for one in _like(session, kind, wanted) if one.get("name") == wanted]
    if not exact:
        hint = f"Run `airfreight {kind.noun} list` to see them all."
        raise CliError(f"There is no {kind.noun} named {wanted!r}", hint)
    if len(exact) > 1:
        ids = ", ".join(exact[:5]) + (", ..." if len(exact) > 5 else "")
        raise usage(f"{len(exact)} {kind.noun}s are named {wanted!r}", f"Name one by its id: {ids}.")
    return exact[0]


def is_id(wanted: str) -> bool:
    """Whether this is how the ids of this door look."""
    return _UUID.fullmatch(wanted.lower()) is not None


def _like(session: Session, kind: Kind, name: str) -> Iterator[Doc]:
    if not name.isprintable() or not 0 < len(name) <= 200:
        return
    number: int | None = 1
    while number is not None:
        answer = page(session, kind, number, _LARGEST_PAGE, name=name)
        yield from answer["items"]
        number = answer["next"]


def rollout_of(session: Session, campaign: str) -> Doc:
    """The campaign as the native API has it. Raises CliError."""
    for one in session.every(ROLLOUTS):
        if one.get("uid") == campaign:
            return one
    raise CliError("This campaign is not there any more", "Run `airfreight campaign list` to see those that are.")


def counts_of(rollout: Doc) -> dict[str, int]:
    """How many gateways are in each state now; those that were removed are in none."""
    raw, reasons = rollout.get("counts"), rollout.get("reasons")
    counts = {k: v for k, v in raw.items() if isinstance(v, int)} if isinstance(raw, dict) else {}
    removed = reasons.get("taken_out", 0) if isinstance(reasons, dict) else 0
    return counts | {"canceled": max(counts.get("canceled", 0) - removed, 0)}


def reasons_of(rollout: Doc) -> dict[str, int]:
    """Why how many failed or were closed."""
    raw = rollout.get("reasons")
    reasons = {k: v for k, v in raw.items() if isinstance(v, int)} if isinstance(raw, dict) else {}
    return {reason: count for reason, count in reasons.items() if reason != "taken_out"}


def whole(value: object) -> int | None:
    """A number of this door, which has the larger ones as strings."""
    digits = str(value) if isinstance(value, str | int) else ""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else None


def when(value: object) -> str:
    """Show a time of this door."""
    return output.when(whole(value))


def status(value: object) -> str:
    """Show APPROVAL_NEEDED as "approval needed"."""
    return output.text(value).lower().replace("_", " ")

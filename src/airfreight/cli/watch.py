"""Follows one rollout until it ends: bars in a terminal, plain lines elsewhere, silence for --json."""

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from airfreight.cli import output
from airfreight.cli.errors import CliError, ExitCode
from airfreight.cli.http import Doc, printable

if TYPE_CHECKING:
    from rich.console import Group

# How long the server may be away (a restart, a bad link) before watching gives up.
PATIENCE_SECONDS = 60.0
ENDS = frozenset({"finished", "stopped"})


class State(StrEnum):
    """Where a delivery can stand, in the order of its life."""

    QUEUED = "queued"
    OFFERED = "offered"
    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    INSTALLING = "installing"
    INSTALLED = "installed"
    ACTIVATING = "activating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    SKIPPED = "skipped"


ENDED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED, State.SKIPPED})
STYLES = {"succeeded": "green", "failed": "red", "canceled": "yellow", "skipped": "bright_black"}


class View(AbstractContextManager["View"], Protocol):
    """Something that shows a rollout again and again."""

    def update(self, rollout: Doc) -> None:
        """Show the present counts."""


def follow(fetch: Callable[[], Doc], view: View, interval_seconds: float, timeout_seconds: float | None = None) -> Doc:
    """Fetch and show until the rollout ends, is through, or the time is over; return the last answer.

    Raises CliError if none comes.
    """
    began = time.monotonic()
    last: Doc | None = None
    last_answer_at = began
    while True:
        try:
            last = fetch()
        except CliError as error:
            lost = error.code is ExitCode.UNREACHABLE and last is not None
            if not lost or time.monotonic() - last_answer_at > PATIENCE_SECONDS:
                raise
        else:
            last_answer_at = time.monotonic()
            view.update(last)
            if has_ended(last):
                return last
        left = interval_seconds if timeout_seconds is None else began + timeout_seconds - time.monotonic()
        if left <= 0 and last is not None:
            return last
        time.sleep(max(0, min(interval_seconds, left)))


def has_ended(rollout: Doc) -> bool:
    """Say whether there is nothing left to watch."""
    return rollout.get("state") in ENDS or is_through(rollout)


def is_through(rollout: Doc) -> bool:
    """Say whether a rollout that stays open for the product's future devices is done with those of today."""
    counts = counts_of(rollout)
    is_open = any(count for state, count in counts.items() if state not in ENDED)
    return rollout.get("wholeProduct") is True and sum(counts.values()) > 0 and not is_open


def counts_of(rollout: Doc) -> dict[str, int]:
    """Return the counts by state in the order of a delivery's life; states that are new to this version come last."""
    raw = rollout.get("counts")
    counts = {k: v for k, v in raw.items() if isinstance(v, int)} if isinstance(raw, dict) else {}
    known = {state.value: counts[state] for state in State if state in counts}
    return known | counts


def verdict(rollout: Doc, *, allow_skipped: bool) -> ExitCode:
    """Say whether a rollout did all it should: OK if nobody stopped it and every delivery succeeded."""
    counts = counts_of(rollout)
    good = counts.get("succeeded", 0) + (counts.get("skipped", 0) if allow_skipped else 0)
    complete = rollout.get("state") != "stopped" and good == sum(counts.values())
    return ExitCode.OK if complete else ExitCode.REFUSED


def what_now(rollout: Doc, number: int) -> str:
    """Say how a rollout stands that has not ended, and who can change that."""
    match rollout.get("state"):
        case "paused":
            return f"is paused until `airfreight shipment resume {number}`"
        case "pending_approval":
            return "waits for somebody's approval"
        case "ready":
            return "has not been started yet"
        case _:
            return "goes on"


def summary(rollout: Doc) -> str:
    """Return one line: the state, how many deliveries ended, and every count that is not 0."""
    counts = counts_of(rollout)
    ended = sum(count for state, count in counts.items() if state in ENDED)
    shown = ", ".join(f"{state} {count}" for state, count in counts.items() if count)
    line = f"{rollout.get('state')}: {ended} of {sum(counts.values())} ended"
    return printable(f"{line} ({shown})" if shown else line)


class Silent(AbstractContextManager["Silent"]):
    """Shows nothing: the last state is printed as JSON by the command."""

    def __exit__(self, *_: object) -> None:
        """Nothing to put away."""

    def update(self, rollout: Doc) -> None:
        """Show nothing."""


class Lines(AbstractContextManager["Lines"]):
    """Prints a line whenever something changed: for logs and pipes."""

    def __init__(self) -> None:
        self._last = ""

    def __exit__(self, *_: object) -> None:
        """Nothing to put away."""

    def update(self, rollout: Doc) -> None:
        """Print the summary unless it is the same as before."""
        line = summary(rollout)
        if line != self._last:
            output.line(f"{time.strftime('%H:%M:%S')} {line}")
            self._last = line


class Bars(AbstractContextManager["Bars"]):
    """Draws a bar for each state, in place."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(console=output.console(), auto_refresh=False)

    def __enter__(self) -> Self:
        """Take over the lines below the cursor."""
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last bars on the screen."""
        self._live.__exit__(kind, error, trace)

    def update(self, rollout: Doc) -> None:
        """Draw the bars."""
        self._live.update(_bars(rollout), refresh=True)


def view_for(*, as_json: bool) -> View:
    """Return the view that fits where the output goes."""
    if as_json:
        return Silent()
    return Bars() if sys.stdout.isatty() else Lines()


def _bars(rollout: Doc) -> "Group":
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    counts = counts_of(rollout)
    total = sum(counts.values())
    grid = Table.grid(padding=(0, 2, 0, 0))
    for state, count in counts.items():
        style = STYLES.get(state, "cyan")
        bar = ProgressBar(total=max(total, 1), completed=count, width=40, complete_style=style, finished_style=style)
        grid.add_row(Text(printable(state)), bar, Text(str(count)))
    heading = Text(f"{printable(str(rollout.get('title', '')))} - {summary(rollout)}")
    return Group(heading, grid)

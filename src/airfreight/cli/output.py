"""What people and programs get to see: tables or one JSON document on stdout, remarks and errors on stderr.

Strings of the server are never trusted: printable() takes out what could steer a terminal, and no markup is read.
"""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TextIO

from airfreight.cli.http import Doc, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Wide enough for any row: what goes into a file or a pipe must not be folded.
PIPE_WIDTH = 100_000


def text(value: object) -> str:
    """Show any JSON value on one line."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case dict():
            filled = {key: item for key, item in value.items() if item not in (None, "", [], {})}
            return ", ".join(f"{printable(key)}: {text(item)}" for key, item in filled.items()) or "-"
        case list():
            return ", ".join(text(item) for item in value) or "-"
        case _:
            return printable(str(value))


def when(value: object) -> str:
    """Show milliseconds since 1970 in local time."""
    if not isinstance(value, int | float) or not value:
        return text(value or None)
    try:
        return datetime.fromtimestamp(value / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return text(value)


def size(value: object) -> str:
    """Show a number of bytes."""
    if not isinstance(value, int | float):
        return text(value)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table or one line of a record: a title, the key in the JSON object, and how to show it."""

    title: str
    key: str
    show: Callable[[object], str] = text
    right: bool = False


def columns(*keys: str) -> tuple[Column, ...]:
    """Return plain columns whose titles are made from the keys: "timeZone" becomes "time zone"."""
    return tuple(Column("".join(f" {c.lower()}" if c.isupper() else c for c in key), key) for key in keys)


def emit(document: object) -> None:
    """Print one JSON document."""
    _write(json.dumps(document, indent=2), sys.stdout)


def line(message: str) -> None:
    """Print one line on stdout."""
    _write(printable(message), sys.stdout)


def indented(message: str, margin: str) -> None:
    """Print one line on stdout as it was printed elsewhere: with the blanks at its beginning, behind a margin."""
    indent = message[: len(message) - len(message.lstrip(" "))]
    _write(f"{margin}{indent}{printable(message)}".rstrip(), sys.stdout)


def remark(message: str) -> None:
    """Print one line for people, on stderr."""
    _write(printable(message), sys.stderr)


def page(answer: Doc, shown: Sequence[Column], *, as_json: bool) -> None:
    """Show one page of a list."""
    if as_json:
        emit(answer)
        return
    table(answer["items"], shown)
    following = answer.get("next")
    if following is not None:
        remark(f"There are more: go on with --after {following}.")


def table(rows: Iterable[Doc], shown: Sequence[Column]) -> None:
    """Print objects as a table."""
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in shown:
        grid.add_column(column.title.upper(), justify="right" if column.right else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(column.show(row.get(column.key))) for column in shown))
    _draw(grid)


def record(document: Doc, shown: Sequence[Column], *, as_json: bool) -> None:
    """Show one object, a line for each column."""
    if as_json:
        emit(document)
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for column in shown:
        grid.add_row(column.title, Text(column.show(document.get(column.key))))
    _draw(grid)


def removed(noun: str, number: int, *, as_json: bool) -> None:
    """Say that something is deleted."""
    if as_json:
        emit({"id": number, "deleted": True})
    else:
        line(f"Deleted {noun} {number}.")


def console(*, stderr: bool = False) -> "Console":
    """Return a rich console that reads no markup; outside a terminal it never folds a line."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def _draw(grid: "Table") -> None:
    screen = console()
    with screen.capture() as capture:
        screen.print(grid)
    drawn = capture.get()
    if not sys.stdout.isatty():
        # The last column is padded, which is of no use in a file.
        drawn = "\n".join(row.rstrip() for row in drawn.split("\n"))
    _write(drawn.removesuffix("\n"), sys.stdout)


def _write(message: str, stream: TextIO) -> None:
    stream.write(f"{message}\n")
    # Here a closed pipe still ends quietly; at the end of the interpreter it would print a complaint.
    stream.flush()

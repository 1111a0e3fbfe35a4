"""The bar of an upload, on stderr; nothing at all outside a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from airfreight.cli import output

# Called with a number of bytes that went out, or with None to start again from nothing.
Count = Callable[[int | None], None]


@contextmanager
def counting(name: str, length: int, *, quiet: bool) -> Iterator[Count]:
    """Show how many of `length` bytes went out, how fast, and how long the rest will take."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    parts = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*parts, console=output.console(stderr=True)) as progress:
        task = progress.add_task(name, total=length)

        def count(sent: int | None) -> None:
            if sent is None:
                progress.reset(task)
            else:
                progress.advance(task, sent)

        yield count

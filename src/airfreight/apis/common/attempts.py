"""Serving the file of an attempt to a device that cannot report: what the server sees of it is all that is told."""

import asyncio
from collections.abc import Callable

from airfreight.apis.common.asgi import Disconnected, Receive, Refuse, Scope, Send, answer_error
from airfreight.apis.common.files import Outcome, ServedFile, serve
from airfreight.domain.delivery import State
from airfreight.services.device_work import BrokenOff, Served

Tell = Callable[[Served | BrokenOff], None]


async def serve_attempt(
    scope: Scope,
    receive: Receive,
    send: Send,
    file: ServedFile,
    *,
    device_id: int,
    attempt_id: int,
    tell: Tell,
    seconds: float,
    done: frozenset[Outcome] = frozenset({Outcome.WHOLE}),
    refuse: Refuse = answer_error,
) -> None:
    """Answer a GET or HEAD, and tell when the download begins, breaks off, or ends in one of `done`.

    Raises Disconnected, and FileNotFoundError before anything is sent.
    """
    try:
        outcome = await serve(
            scope,
            receive,
            send,
            file,
            seconds=seconds,
            started=lambda: tell(Served(device_id, attempt_id, State.DOWNLOADING, is_mute=True)),
            refuse=refuse,
            proves=True,
        )
    except Disconnected:
        tell(BrokenOff(device_id, attempt_id))
        raise
    except asyncio.CancelledError:  # the server stops: to the device it is a line that broke
        tell(BrokenOff(device_id, attempt_id))
        raise Disconnected from None
    if outcome in done:
        tell(Served(device_id, attempt_id, State.DOWNLOADED, is_mute=True))
    elif outcome is Outcome.BROKEN:
        tell(BrokenOff(device_id, attempt_id))

"""What other doors have of the device plane, which writes for all of them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from airfreight.services.deliveries import Answer
from airfreight.services.device_work import Job, Result


@dataclass(frozen=True, slots=True)
class Hands:
    """`tell` and `do` write (the second waits until it is on disk).

    `heard` is a sign of life of a device; `came` is one too, of a device that asks what there is to do.
    """

    tell: Callable[[Job], None]
    do: Callable[[Job], Awaitable[Result]]
    heard: Callable[[int], None]
    came: Callable[[Answer], Awaitable[None]]

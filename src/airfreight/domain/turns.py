"""Whose turn it is: what is known of a device that waits for its first word about a rollout. Pure."""

from enum import StrEnum

from airfreight.domain.ids import Millis

_PRECISION_MS = 60_000
"""How exactly the server knows when it last heard of a device."""


class Turn(StrEnum):
    UNHEARD = "unheard"
    BEHIND = "behind"
    NEXT = "next"


def turn(
    *, started_at: Millis | None, queued_at: Millis, seen_at: Millis | None, is_behind: bool, is_approved: bool
) -> Turn:
    """UNHEARD until the device shows up after it was added and all was started; BEHIND while another rollout is first.

    `is_approved`: its download was given a time, which also says that somebody knows the device.
    """
    if started_at is None:
        return Turn.UNHEARD
    heard = seen_at is not None and seen_at >= max(started_at, queued_at) - _PRECISION_MS
    if not (heard or is_approved):
        return Turn.UNHEARD
    return Turn.BEHIND if is_behind else Turn.NEXT

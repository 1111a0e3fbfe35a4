"""Time zones under the name that they have at this door."""

from airfreight.domain import windows
from airfreight.domain.errors import invalid


def check_tz(name: str) -> None:
    """Raises INVALID unless it is empty or a zone; the core would call the field by its own name."""
    if name and not windows.is_zone(name):
        raise invalid("tz must be an IANA time zone such as Europe/Berlin.", "unknown_time_zone")

"""Field types that bodies and queries share. Rule: text that reaches a database or a screen is one clean line."""

from typing import Annotated

import msgspec
from litestar.params import QueryParameter

_UNCLEAN = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
LINE = rf"^[^{_UNCLEAN}]*(?![\s\S])"
"""No control characters (PostgreSQL refuses NUL), no line ends, nothing that turns the direction of text around.

The look-ahead is what `$` means in JSON Schema; Python's `$` would let a line feed through at the end.
"""

NAME = rf"^[^{_UNCLEAN}]*[^{_UNCLEAN}\s][^{_UNCLEAN}]*(?![\s\S])"
"""The same, and not only blanks: nobody could see or choose what is called so."""

UID = r"^[A-Za-z0-9._:-]{1,64}$"
"""A device's external identity, for the schema; services.devices holds the rule."""

OldToken = Annotated[
    str, msgspec.Meta(pattern=r"^[!-~]{16,128}(?![\s\S])", description="One that is in use already; else a new one.")
]

PHONE = r"^(\+[0-9 ().-]{3,31})?(?![\s\S])"
"""A phone number in the international form, or nothing."""

Line = Annotated[str, msgspec.Meta(pattern=LINE)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern=NAME)]
ShortName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=NAME)]
ZoneName = Annotated[
    str, msgspec.Meta(max_length=64, pattern=LINE, description="An IANA time zone such as Europe/Berlin.")
]
At = Annotated[int, msgspec.Meta(description="Milliseconds since the epoch.")]
Part = Annotated[str, QueryParameter(name="query", max_length=255, pattern=LINE, description="What to look for.")]

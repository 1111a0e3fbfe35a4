"""Wire shapes of `/device/v1` (DESIGN.md section 9). snake_case, strict, small: microcontrollers read them."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

ReportEvent = Literal[
    "downloading",
    "downloaded",
    "installing",
    "installed",
    "activating",
    "succeeded",
    "failed",
    "canceled",
    "cancel_refused",
]

Id = Annotated[int, Meta(ge=1, le=2**31 - 1)]
AttributeValue = str | int | float | bool | None


class BytesIn(Struct, forbid_unknown_fields=True):
    """How far the download of one artifact has come, in bytes."""

    id: Id
    done: Annotated[int, Meta(ge=0, le=2**62)]
    total: Annotated[int, Meta(ge=0, le=2**62)]


class ReportIn(Struct, forbid_unknown_fields=True):
    """One thing that happened. `seq` counts the reports of an attempt from 1; a repeat carries the same one.

    `artifacts`: of those downloads that have gone on. `lines`: what an installation printed since the last report.
    `thing`: the uid of the device behind this one that it is of.
    """

    attempt: Id
    seq: Id
    event: ReportEvent
    progress: Annotated[int, Meta(ge=0, le=100)] | None = None
    reason: Annotated[str, Meta(max_length=64)] | None = None
    message: Annotated[str, Meta(max_length=500)] | None = None
    artifacts: Annotated[list[BytesIn], Meta(max_length=50)] | None = None
    lines: Annotated[list[Annotated[str, Meta(max_length=500)]], Meta(max_length=100)] | None = None
    thing: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class ReportsIn(Struct, forbid_unknown_fields=True):
    reports: Annotated[list[ReportIn], Meta(min_length=1, max_length=100)]


class ReportResult(Struct):
    """`verdict`: moved, noted, late (that attempt is over) or refused (not yours, or not possible from here)."""

    attempt: int
    seq: int
    verdict: str


class ReportResults(Struct):
    results: list[ReportResult]


class ArtifactOut(Struct):
    """A file to fetch; hashes in hex."""

    id: int
    name: str
    version: str
    build: str
    size: int
    sha256: str
    md5: str
    url: str


class Window(Struct):
    """When the next step may begin, in milliseconds since the epoch."""

    opens_at: int


class Instruction(Struct):
    """The one thing to do now. `deadline`: report before it (milliseconds since the epoch)."""

    attempt: int
    do: str
    artifacts: list[ArtifactOut]
    window: Window | None
    deadline: int | None
    poll_after: int


class ThingOut(Struct):
    """A device behind this one that has something to do; `product` is the name of its product."""

    uid: str
    product: str


class ThingsOut(Struct):
    things: list[ThingOut]


class Attributes(Struct):
    """What the server knows of the device now."""

    attributes: dict[str, AttributeValue]


class EnrollIn(Struct, forbid_unknown_fields=True):
    """`product` by id or by name. `parent`: the uid of the device that this one is behind."""

    uid: Annotated[str, Meta(min_length=1, max_length=64)]
    product: int | str
    attributes: dict[str, AttributeValue] | None = None
    parent: Annotated[str, Meta(min_length=1, max_length=64)] | None = None


class Enrolled(Struct):
    """The token is shown this once; "" for a device behind another one, which speaks for it."""

    id: int
    uid: str
    token: str

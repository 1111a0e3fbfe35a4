"""The outside, as the services see it. Adapters implement these; app.py chooses which."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from airfreight.domain.webhooks import Endpoint, Trouble


class BlobWriter(Protocol):
    """A file being received: bytes in, hashed on the way, nothing kept until `commit`."""

    size: int

    @property
    def would_block(self) -> bool:
        """Whether `write` may have to wait (then call it from a thread)."""
        ...

    def write(self, chunk: bytes) -> None:
        """Append; may block while the disk and the hashes catch up."""
        ...

    def finish(self) -> Path:
        """After the last `write`: all of it, to be looked at before it is kept. Raises OSError."""
        ...

    def commit(self) -> "Blob":
        """Make it durable under its content hash. Raises OSError when the disk refuses."""
        ...

    def abort(self) -> None:
        """Leave nothing behind. Safe to call after anything."""
        ...


class Blob(Protocol):
    """A stored, hashed file: `sha256` and `md5` in hex, `path` readable on this machine."""

    @property
    def sha256(self) -> str: ...
    @property
    def md5(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def path(self) -> Path: ...


class HeldError(Exception):
    """Somebody else holds the partial file now, in this process or another one."""


class Partial(Protocol):
    """A file that comes in pieces, held by one at a time."""

    @property
    def path(self) -> Path: ...

    @property
    def size(self) -> int:
        """How many bytes are there."""
        ...

    @property
    def is_removed(self) -> bool:
        """Whether it belongs to nobody any more: what is written now is lost."""
        ...

    def write(self, block: bytes) -> None:
        """Append; what of it was written counts also when the disk refuses the rest (OSError)."""
        ...

    def cut(self, size: int) -> None:
        """Forget what is behind the first `size` bytes."""
        ...

    def sync(self) -> None:
        """Return when all of it is durable. Raises OSError."""
        ...

    def store(self) -> "Blob":
        """Keep all of it as a blob, durably; takes as long as reading and hashing it does. Raises OSError."""
        ...

    def close(self) -> None:
        """Let others have it. Safe to call again, and while another thread writes: no byte is written after it."""
        ...


class Partials(Protocol):
    """Files that come in pieces, by the uid of their upload."""

    def create(self, uid: str) -> None:
        """An empty one, durably. Raises OSError."""
        ...

    def size(self, uid: str, *, durable: bool = False) -> int | None:
        """How many bytes are there, `durable` when it is said; None when there is no such file."""
        ...

    def hold(self, uid: str) -> Partial | None:
        """The file, for its holder alone until it is closed or the process ends; None when there is none.

        Raises HeldError.
        """
        ...

    def remove(self, uid: str) -> None:
        """Whoever holds it writes on into nothing."""
        ...

    def older_than(self, seconds: float, now_seconds: float) -> list[str]:
        """The uids of those that nothing came to for more than `seconds`."""
        ...


class Blobs(Protocol):
    """Content-addressed files, and those that come in pieces."""

    @property
    def partials(self) -> Partials: ...

    def receive(self) -> BlobWriter: ...

    def path(self, sha256: str) -> Path:
        """Where the bytes are; the file may be missing (then opening it raises FileNotFoundError)."""
        ...

    def remove_old(self, sha256: str, seconds: float, now_seconds: float) -> bool:
        """Delete the bytes if they arrived more than `seconds` ago; False when they have just come again."""
        ...

    def free_bytes(self) -> int: ...

    def older_than(self, seconds: float, now_seconds: float) -> list[str]:
        """The hashes of stored files that arrived more than `seconds` ago."""
        ...

    def clean(self, older_than_seconds: float, now_seconds: float) -> int:
        """Remove what broken uploads left behind; how many."""
        ...


class Receipt(StrEnum):
    """What became of a message that was given to the broker."""

    TAKEN = "taken"
    NOBODY = "nobody"
    REFUSED = "refused"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Message:
    """A message between the server and a device."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that came in. `is_live`: sent just now, no copy that the broker kept or sends again.

    Call `keep` when the message is safe with us; until then the broker keeps it and sends it again. It does not if the
    message `is_passing`: one that is worth something now or never.
    """

    message: Message
    is_live: bool
    keep: Callable[[], None]
    is_passing: bool = False


class Line(Protocol):
    """One connection to the broker; when it breaks, it is over and another one is opened."""

    @property
    def is_open(self) -> bool: ...

    @property
    def trouble(self) -> str:
        """Why it is over; of a line that is open, no matter."""
        ...

    @property
    def is_new(self) -> bool:
        """Whether the broker has kept nothing for us: what devices said before now, nobody has heard."""
        ...

    def publish(self, messages: Sequence[Message], seconds: float) -> list[Receipt]:
        """Send all, at least once each, and wait for their receipts up to `seconds`.

        NOBODY: the broker took it and nobody listens; REFUSED: its access list does not let us say this; LOST: no
        receipt came, it may have been sent or not.
        """
        ...

    def close(self) -> None: ...


class Broker(Protocol):
    """Where devices listen and speak."""

    def open(self, topics: Sequence[str], take: Callable[[Arrived], None], passing: Sequence[str] = ()) -> Line:
        """Connect and subscribe; `take` is called from a thread of its own. Raises BrokerAwayError.

        What comes on `topics` is kept for us while we are away, what comes on `passing` is not.
        """
        ...


class BrokerAwayError(Exception):
    """The broker cannot be reached, or does not let us in; the message says which."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a request to a webhook: taken (`trouble` is None), or not and why.

    `status`: of the answer, 0 without one; `response`: the beginning of its body, in printable characters;
    `retry_after`: when it asks to come again, in its own words.
    """

    status: int
    trouble: Trouble | None
    response: str = ""
    retry_after: str = ""


class PostLine(Protocol):
    """One sender to one endpoint, which keeps its connection open between messages. For one thread."""

    def post(self, headers: Mapping[str, str], body: bytes) -> Posted:
        """Send a message and wait for the answer, 10 s at most. Never raises."""
        ...

    def close(self) -> None: ...


class Poster(Protocol):
    """Sends messages to webhooks; which addresses it refuses is its own business."""

    def open(self, endpoint: Endpoint) -> PostLine:
        """Connects to nothing yet."""
        ...


class Announcer(Protocol):
    """Where facts from the outbox go. At least once, in order per stream; an exception means "try again later"."""

    def announce(self, *, organization_id: int, stream: str, kind: str, body: Mapping[str, object]) -> None: ...

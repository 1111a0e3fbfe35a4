"""One request at the DDI door: who asks, and what every answer needs."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import structlog

from airfreight.apis.common.asgi import Receive, Scope, Send, header
from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.forwarded import base_of
from airfreight.apis.common.hands import Hands
from airfreight.apis.ddi.address import Address, number_of
from airfreight.apis.ddi.wire import Media, Problem, accepted, read_body, send_empty, send_value
from airfreight.services import offers, visits
from airfreight.services.artifact_sha1 import sha1_of
from airfreight.services.offers import Offer
from airfreight.services.visits import Knock, Visitor

T = TypeVar("T")

_HASHERS = ThreadPoolExecutor(2, "sha1")

log = structlog.get_logger()


@dataclass(frozen=True)
class Asked:
    """A request with what answers it. Without slots: what is worked out of it is kept."""

    desk: Desk
    hands: Hands
    scope: Scope
    receive: Receive
    send: Send
    address: Address
    knock: Knock

    @cached_property
    def media(self) -> Media:
        """What the client accepts. Raises Problem(406)."""
        return accepted(self.scope)

    @cached_property
    def base(self) -> str:
        """The device's address, as the client sees it."""
        return base_of(self.scope, self.desk.settings) + self.address.path

    async def read(self, work: Callable[..., T], *args: object) -> T:
        """`work`, given a connection that only reads and `args`, in a thread."""

        def run() -> T:
            with self.desk.database.read() as connection:
                return work(connection, *args)

        return await asyncio.to_thread(run)

    async def visit(self, work: Callable[..., T], *args: object) -> tuple[Visitor, T]:
        """The device, and `work` (see `read`), given the device too.

        Raises Problem(401), and 404 for one that does not exist to who may speak for all.
        """
        visitor, found = await self.read(_let_in, self.knock, work, args)
        self.hands.heard(visitor.device_id)
        return visitor, found

    async def visitor(self) -> Visitor:
        """The device. Raises as `visit`."""
        visitor, _ = await self.visit(lambda _connection, _visitor: None)
        return visitor

    async def offer(self, attempt_id: str) -> tuple[Visitor, Offer]:
        """The device and its attempt. Raises as `visit`, and 404 also for an attempt that is not its own."""
        visitor, offer = await self.visit(offers.find, number_of(attempt_id), clock())
        if offer is None:
            raise Problem(404)
        return visitor, offer

    async def body(self, *, is_optional: bool = False) -> tuple[Visitor, object]:
        """The device and the body, read only after the device has been let in: a stranger costs little.

        Raises as `visit` and wire.read_body.
        """
        visitor = await self.visitor()
        seconds = self.desk.settings.chunk_seconds
        return visitor, await read_body(self.scope, self.receive, seconds, is_optional=is_optional)

    async def sha1s(self, artifacts: Sequence[Any]) -> dict[int, str]:
        """Artifact id -> the hash by which clients know the file. Raises Problem(404) where the bytes are missing.

        The first time it is computed, in threads of its own: who waits for that keeps nobody else waiting.
        """
        return {one.id: one.sha1 or await self._sha1(one) for one in artifacts}

    async def _sha1(self, artifact: Any) -> str:  # noqa: ANN401 - a row
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(_HASHERS, sha1_of, self.desk.database, self.desk.blobs, artifact)
        except FileNotFoundError:
            raise missing(artifact) from None

    async def answer(self, value: object, stamp: object) -> None:
        """Answer with `value`, under the ETag of `stamp`."""
        await send_value(self.scope, self.send, 200, value, self.media, self.etag(stamp))

    async def has_it(self, stamp: object) -> bool:
        """Whether the client has the answer of this stamp: then it is told so, and nothing is made."""
        known = header(self.scope, b"if-none-match")
        if known is None:
            return False
        etag = self.etag(stamp)
        if etag not in [one.strip().removeprefix("W/") for one in known.split(",")]:
            return False
        await send_empty(self.scope, self.send, 304, [(b"etag", etag.encode())])
        return True

    def etag(self, stamp: object) -> str:
        """It differs whenever the answer would: `stamp` is what the answer is made of."""
        text = f"{stamp!r} {self.media.value} {self.base}"
        return f'"0{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}"'


def _let_in(connection: Any, knock: Knock, work: Callable[..., T], args: Sequence[object]) -> tuple[Visitor, T]:  # noqa: ANN401
    visitor = visits.admit(connection, knock)
    if visitor is None:
        raise Problem(404 if visits.opens_for_all(connection, knock) else 401)
    return visitor, work(connection, visitor, *args)


def missing(artifact: Any) -> Problem:  # noqa: ANN401 - a row
    """What to answer when the bytes of a file are not there."""
    log.error("the bytes of an artifact are missing", sha256=artifact.sha256)
    return Problem(404)

"""The DDI door, `/{tenant}/controller/v1/{controllerId}`: plain ASGI; polls are read in batches, all else one by one.

Every answer has its length; a 304 is answered before anything is rendered. Source: the DDI reference.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from airfreight.apis.common.asgi import Disconnected, Receive, Scope, Send
from airfreight.apis.common.batching import Batcher
from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.forwarded import is_trusted
from airfreight.apis.common.hands import Hands
from airfreight.apis.ddi import actions, confirming, modules
from airfreight.apis.ddi.address import address_of, knock_of
from airfreight.apis.ddi.asked import Asked
from airfreight.apis.ddi.shapes import Base, Config, Link, Links, Polling
from airfreight.apis.ddi.wire import Problem, send_error
from airfreight.domain import polling
from airfreight.domain.errors import Kind, Refusal
from airfreight.services import visits
from airfreight.services.deliveries import Answer
from airfreight.services.device_work import Advance, Withdraw
from airfreight.services.ledger import transact
from airfreight.services.visits import Errand, Knock, Visit

_TURNS = 4
"""How often a poll is decided again when what it has found changes under it."""

Handler = Callable[[Asked], Awaitable[None]]
Handlers = dict[str, Handler]


class DirectPlane:
    """Answers at the addresses that have address.MARK in them; `start` once a loop runs, `stop` before it ends."""

    def __init__(self, desk: Desk, hands: Hands) -> None:
        self._desk, self._hands = desk, hands

    async def start(self) -> None:
        self._polls: Batcher[Knock, Visit | None] = Batcher("direct polls", self._poll_batch)

    async def stop(self) -> None:
        await self._polls.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            address = address_of(scope)
            handler = _chosen(self._handlers(address.rest), scope["method"])
            settings = self._desk.settings
            knock = knock_of(scope, address, self._desk.keyring, is_proxied=is_trusted(scope, settings))
            asked = Asked(self._desk, self._hands, scope, receive, send, address, knock)
            await handler(asked)
        except (Problem, Refusal) as error:
            await send_error(scope, send, error)
        except Disconnected:
            return

    def _handlers(self, rest: tuple[str, ...]) -> Handlers:
        """What answers at an address, by method. Raises Problem(404) where there is nothing."""
        match rest:
            case ():
                return {"GET": self._base}
            case ("configData",):
                return {"PUT": actions.put_config}
            case ("deploymentBase", number):
                return {"GET": partial(actions.get_deployment, number)}
            case ("deploymentBase", number, "feedback"):
                return {"POST": partial(actions.post_feedback, number)}
            case ("cancelAction", number):
                return {"GET": partial(actions.get_cancel, number)}
            case ("cancelAction", number, "feedback"):
                return {"POST": partial(actions.post_cancel_feedback, number)}
            case ("installedBase",):
                return {"PUT": actions.put_installed}
            case ("installedBase", number):
                return {"GET": partial(actions.get_installed, number)}
            case ("confirmationBase", *more):
                return confirming.handlers(tuple(more))
            case ("softwaremodules", number, "artifacts"):
                return {"GET": partial(modules.get_list, number)}
            case ("softwaremodules", number, "artifacts", filename):
                return {"GET": partial(modules.get_file, number, filename)}
        raise Problem(404)

    # the base resource

    async def _base(self, asked: Asked) -> None:
        """`GET .../{controllerId}`: what there is to do now, and when to ask again."""
        visit = await self._visit(asked)
        await self._hands.came(visit.answer)
        attempt_id = visit.answer.attempt_id if visit.errand is not Errand.NOTHING else None
        change = _change(visit)
        stamp = (visit.errand.value, attempt_id, change, visit.installed, visit.wants_attributes, visit.sleep)
        if not await asked.has_it(stamp):
            sleep = Polling(polling.shown(visit.sleep))
            await asked.answer(Base(Config(sleep), _links(visit, asked.base, attempt_id, change)), stamp)

    async def _visit(self, asked: Asked) -> Visit:
        """What the device finds, offers and skips applied. Raises Problem(401)."""
        visit = await self._polls.submit(asked.knock)
        if visit is None and await asyncio.to_thread(self._welcome, asked.knock):
            visit = await self._polls.submit(asked.knock)
        for _ in range(_TURNS):
            if visit is None:
                raise Problem(401)
            if visit.answer.decision.event is not None:
                visit = await self._advanced(asked, visit)
            elif visit.unseen:
                await self._hands.do(Withdraw(visit.device_id, visit.answer.attempt_id or 0))
                visit = await self._polls.submit(asked.knock)
            else:
                break
        if visit is None:
            raise Problem(401)
        return visit

    async def _advanced(self, asked: Asked, visit: Visit) -> Visit | None:
        """After what the decision asks for has been done: an offer is made, or something is skipped."""
        moved = await self._hands.do(Advance(visit.device_id, is_shy=True))
        if isinstance(moved, Answer) and moved.has_work:
            return await asked.read(visits.look_again, visit, moved, clock())
        return await self._polls.submit(asked.knock)

    def _poll_batch(self, knocks: Sequence[Knock]) -> Sequence[Visit | Exception | None]:
        with self._desk.database.read() as connection:
            return visits.poll(connection, knocks, self._desk.settings, clock())

    def _welcome(self, knock: Knock) -> bool:
        """Whether there is a device of this id now, though there was none. Raises Refusal."""
        desk, now = self._desk, clock()
        with desk.database.read() as connection:
            if not visits.may_come(connection, knock, desk.settings):
                return False  # a stranger keeps nobody from writing
        try:
            return transact(
                desk.database,
                desk.settings,
                now,
                lambda ledger: visits.welcome(ledger.connection, desk.keyring, desk.settings, desk.blobs, knock, now),
            )
        except Refusal as refusal:
            if refusal.kind is not Kind.CONFLICT:
                raise
            return True  # it came twice at once


def _chosen(handlers: Handlers, method: str) -> Handler:
    """Raises Problem(405), which lists what the address takes."""
    handler = handlers.get("GET" if method == "HEAD" else method)
    if handler is None:
        allowed = [*handlers, "HEAD"] if "GET" in handlers else [*handlers]
        raise Problem(405, headers=[(b"allow", ", ".join(allowed).encode())])
    return handler


def _change(visit: Visit) -> int:
    """Differs whenever the action does, so that its URL is a new one."""
    if visit.answer.row is None or visit.errand is Errand.NOTHING:
        return 0
    return visits.change_of(visit.answer.row.state, visit.handled)


def _links(visit: Visit, base: str, attempt_id: int | None, change: int) -> Links:
    """At most one of confirmationBase, cancelAction and deploymentBase."""
    links: Links = {}
    match visit.errand:
        case Errand.CONFIRM:
            links["confirmationBase"] = Link(f"{base}/confirmationBase/{attempt_id}?c={change}")
        case Errand.CANCEL:
            links["cancelAction"] = Link(f"{base}/cancelAction/{attempt_id}")
        case Errand.UPDATE:
            links["deploymentBase"] = Link(f"{base}/deploymentBase/{attempt_id}?c={change}")
        case Errand.NOTHING:
            pass
    if visit.installed:
        links["installedBase"] = Link(f"{base}/installedBase/{visit.installed}")
    if visit.wants_attributes:
        links["configData"] = Link(f"{base}/configData")
    return links

"""Where operator routes get their `Call`: the bearer token becomes a principal, the verb gets one transaction.

A request is let in before its body is read: a stranger hears 401 whatever else is wrong with it, and costs little.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from airfreight.apis.common.limits import Limits
from airfreight.domain.errors import conflict, unauthenticated
from airfreight.domain.ids import Millis
from airfreight.ports import Blobs
from airfreight.services import access
from airfreight.services.call import Call
from airfreight.services.credentials import Keyring
from airfreight.services.ledger import LostRace
from airfreight.settings import Settings
from airfreight.store.database import Database, is_contention, is_duplicate


def clock() -> Millis:
    """Now, in milliseconds since the epoch."""
    return Millis(time.time_ns() // 1_000_000)


@dataclass(frozen=True, slots=True)
class Desk:
    """What every operator route is given."""

    database: Database
    settings: Settings
    keyring: Keyring
    blobs: Blobs
    limits: Limits = field(default_factory=Limits)

    def let_in(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """The guard of every operator route, but those that their `security=[{}]` opens to everybody, and OPTIONS.

        The organization of the token pays for the request, whichever one it acts on; each server process counts its
        share of the limit. A route names the permission that its verb asks for as `need=`, so that who has not got it
        hears that before anything of the request is read. Raises Refusal(UNAUTHENTICATED, LIMITED, FORBIDDEN).
        """
        if getattr(handler, "security", None) == [{}] or connection.scope.get("method") == "OPTIONS":
            return
        token = bearer(connection.headers.get("authorization"))
        with self.database.read() as reading:
            principal = access.authenticate(reading, self.keyring, token, clock())
        share = max(1, self.settings.requests_per_minute // self.settings.workers)
        self.limits.count(principal.organization_id, share)
        if (permission := handler.opt.get("need")) is not None:
            principal.need(permission)

    @contextmanager
    def read(self, request: Request[Any, Any, Any], organization_id: int | None = None) -> Iterator[Call]:
        """A call that only looks. Raises Refusal(UNAUTHENTICATED) without a good token."""
        with self.database.read() as connection:
            yield self._call(request, connection, organization_id)

    @contextmanager
    def write(self, request: Request[Any, Any, Any], organization_id: int | None = None) -> Iterator[Call]:
        """A call in one transaction: committed when the block ends well."""
        try:
            with self.database.write() as connection:
                yield self._call(request, connection, organization_id)
        except Exception as error:
            if not (isinstance(error, IntegrityError | LostRace) or is_contention(error) or is_duplicate(error)):
                raise
            raise conflict("Somebody else changed the same thing just now. Look again, then retry.", "race") from error

    def _call(self, request: Request[Any, Any, Any], connection: Connection, organization_id: int | None) -> Call:
        now = clock()
        principal = access.authenticate(connection, self.keyring, bearer(request.headers.get("authorization")), now)
        call = Call(principal, principal.organization_id, now, connection, self.settings, self.keyring, self.blobs)
        return call.within(organization_id)


def bearer(header: str | None) -> str:
    """The token of an `Authorization: Bearer ...` header. Raises Refusal(UNAUTHENTICATED)."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or len(token) > 200:
        raise unauthenticated()
    return token.strip()

"""`Call`: who asks for what, when, on which transaction. Made once at an edge; nobody below it reads a clock."""

from dataclasses import dataclass, replace

from sqlalchemy import Connection

from airfreight.domain.access import Permission, Principal
from airfreight.domain.errors import not_found
from airfreight.domain.ids import Millis
from airfreight.ports import Blobs
from airfreight.services.credentials import Keyring
from airfreight.settings import Settings
from airfreight.store import organizations


@dataclass(frozen=True, slots=True)
class Call:
    """One request, command or worker tick. `organization_id` is the organization acted on, already allowed."""

    principal: Principal
    organization_id: int
    now: Millis
    connection: Connection
    settings: Settings
    keyring: Keyring
    blobs: Blobs

    @property
    def actor(self) -> str:
        """Who acts, as the history names them."""
        return f"user:{self.principal.user_id}" if self.principal.user_id else f"client:{self.principal.client_id}"

    def need(self, permission: Permission) -> None:
        """Raises Refusal(FORBIDDEN) unless the caller has `permission`; the first line of every verb."""
        self.principal.need(permission)

    def within(self, organization_id: int | None) -> "Call":
        """The same call on another organization: the caller's own or one below it, else Refusal(NOT_FOUND)."""
        if organization_id is None or organization_id == self.organization_id:
            return self
        if not organizations.is_below(self.connection, organization_id, self.principal.organization_id):
            raise not_found("Organization")
        return replace(self, organization_id=organization_id)

    def at(self, home: int | None, what: str) -> "Call":
        """The same call on `home`, the organization that a `what` belongs to (None: there is no such thing).

        Raises Refusal(NOT_FOUND) unless that is the organization acted on or one below it.
        """
        if home == self.organization_id:
            return self
        if home is None or not organizations.is_below(self.connection, home, self.organization_id):
            raise not_found(what)
        return replace(self, organization_id=home)

"""Who may do what: permissions, roles, scopes, and the principal of a call. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from airfreight.domain.errors import forbidden


class Permission(StrEnum):
    """What a route may ask for; the OTA_* names are those of the Shipments contract."""

    OTA_VIEW = "OTA_VIEW"
    OTA_START = "OTA_START"
    OTA_CANCEL = "OTA_CANCEL"
    OTA_APPROVE = "OTA_APPROVE"
    DEVICE_VIEW = "DEVICE_VIEW"
    DEVICE_EDIT = "DEVICE_EDIT"
    PRODUCT_VIEW = "PRODUCT_VIEW"
    PRODUCT_EDIT = "PRODUCT_EDIT"
    ORG_VIEW = "ORG_VIEW"
    ORG_EDIT = "ORG_EDIT"
    USER_VIEW = "USER_VIEW"
    USER_EDIT = "USER_EDIT"
    CLIENT_EDIT = "CLIENT_EDIT"
    WEBHOOK_VIEW = "WEBHOOK_VIEW"
    WEBHOOK_EDIT = "WEBHOOK_EDIT"


class Role(StrEnum):
    ADMIN = "admin"
    STAFF = "staff"
    USER = "user"


class UserStatus(StrEnum):
    """Only an active user can sign in; a pending one has been invited and has no password yet."""

    PENDING = "pending"
    ACTIVE = "active"
    INACTIVE = "inactive"
    SUSPENDED = "suspended"


_ADMIN_ONLY = {
    Permission.OTA_APPROVE,
    Permission.ORG_EDIT,
    Permission.USER_EDIT,
    Permission.CLIENT_EDIT,
    Permission.WEBHOOK_VIEW,
    Permission.WEBHOOK_EDIT,
}
_VIEW = {Permission.OTA_VIEW, Permission.DEVICE_VIEW, Permission.PRODUCT_VIEW, Permission.ORG_VIEW}

ROLES: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission),
    Role.STAFF: frozenset(Permission) - _ADMIN_ONLY,
    Role.USER: frozenset(_VIEW),
}

EVERYTHING = "*"
"""The scope that stands for every permission there is, or will be."""


def scopes(words: Iterable[str]) -> frozenset[Permission] | None:
    """What these scopes allow; None when one of them is no permission."""
    given = set(words)
    if EVERYTHING in given:
        given = (given - {EVERYTHING}) | set(Permission)
    return frozenset(map(Permission, given)) if given <= set(Permission) else None


def stored_scopes(permissions: frozenset[Permission]) -> str:
    """As a client or a token keeps them: names with spaces between, or everything."""
    return EVERYTHING if permissions == frozenset(Permission) else " ".join(sorted(permissions))


def read_scopes(stored: str) -> frozenset[Permission]:
    """The reverse of `stored_scopes`; a name that is no permission any more allows nothing."""
    if stored == EVERYTHING:
        return frozenset(Permission)
    return frozenset(Permission(word) for word in stored.split() if word in set(Permission))


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: a user (with a role) or an API client of an organization; `name` is for the log.

    `permissions` are what the token's scopes leave of a user's role, or of everything for a client.
    `scoped`: a user's own token. A client's token acts for the whole organization; its `user_id` is the client's owner.
    """

    organization_id: int
    permissions: frozenset[Permission]
    user_id: int | None = None
    client_id: int | None = None
    name: str = ""
    scoped: bool = True

    def need(self, permission: Permission) -> None:
        """Raises Refusal(FORBIDDEN) unless the caller has `permission`."""
        if permission not in self.permissions:
            raise forbidden(
                f"This needs the permission {permission}. Ask an administrator of your organization for it."
            )

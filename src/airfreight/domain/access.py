"""Who may do what: permissions, roles, and the principal of a call. Pure."""

from dataclasses import dataclass
from enum import StrEnum


class Permission(StrEnum):
    """What a route may ask for; the OTA_* names are those of the Shipments contract."""

    OTA_VIEW = "OTA_VIEW"
    OTA_START = "OTA_START"
    OTA_CANCEL = "OTA_CANCEL"
    DEVICE_VIEW = "DEVICE_VIEW"
    DEVICE_EDIT = "DEVICE_EDIT"
    PRODUCT_VIEW = "PRODUCT_VIEW"
    PRODUCT_EDIT = "PRODUCT_EDIT"
    ORG_VIEW = "ORG_VIEW"
    ORG_EDIT = "ORG_EDIT"
    USER_VIEW = "USER_VIEW"
    USER_EDIT = "USER_EDIT"
    CLIENT_EDIT = "CLIENT_EDIT"


class Role(StrEnum):
    ADMIN = "admin"
    STAFF = "staff"
    USER = "user"


_VIEW = {Permission.OTA_VIEW, Permission.DEVICE_VIEW, Permission.PRODUCT_VIEW, Permission.ORG_VIEW}

ROLES: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: frozenset(Permission),
    Role.STAFF: frozenset(Permission) - {Permission.ORG_EDIT, Permission.USER_EDIT, Permission.CLIENT_EDIT},
    Role.USER: frozenset(_VIEW),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: a user (with a role) or an API client of an organization; `name` is for the log.

    `scoped`: a user's own token. A client's token acts for the whole organization; its `user_id` is the client's owner.
    """

    organization_id: int
    permissions: frozenset[Permission]
    user_id: int | None = None
    client_id: int | None = None
    name: str = ""
    scoped: bool = True

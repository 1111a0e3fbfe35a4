"""The bodies of this door, with the names and the order of keys of its contract."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from airfreight.apis.common.fields import LINE, Name

Id = Annotated[str, Meta(description="24 hex digits", pattern="^[0-9a-f]{24}$")]


class Message(msgspec.Struct):
    """What was done."""

    message: str


class Ota(msgspec.Struct, kw_only=True):
    """The last upload for a device. `path` identifies device and file; nothing can be fetched there."""

    id: Id = msgspec.field(name="_id")
    device: Id
    v: int = msgspec.field(name="__v", default=0)
    last_updated: Annotated[str, Meta(description="ISO 8601 with milliseconds, UTC")]
    owner: Id
    path: str
    version: str


class OtaPage(msgspec.Struct, rename="camel"):
    """`draw` is what was sent along."""

    otas: list[Ota]
    records_total: int
    records_filtered: int
    draw: str | UnsetType = UNSET


class GroupOta(msgspec.Struct, kw_only=True):
    """The last upload for a group."""

    id: Id = msgspec.field(name="_id")
    group: Id
    v: int = msgspec.field(name="__v", default=0)
    last_updated: Annotated[str, Meta(description="ISO 8601 with milliseconds, UTC")]
    owner: Id
    path: str
    version: str


class GroupOtaPage(msgspec.Struct, rename="camel"):
    otas: list[GroupOta]
    records_total: int
    records_filtered: int
    draw: str | UnsetType = UNSET


class Group(msgspec.Struct, kw_only=True):
    """`token` is shown once, by the request that makes the group; it is empty everywhere else."""

    id: Id = msgspec.field(name="_id")
    name: str
    token: str = ""
    created_at: str
    owner: Id
    v: int = msgspec.field(name="__v", default=0)


class GroupPage(msgspec.Struct, rename="camel"):
    groups: list[Group]
    records_total: int
    records_filtered: int
    draw: str | UnsetType = UNSET


class GroupName(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A new group without a name gets a random one."""

    name: Name | UnsetType = UNSET


class Device(msgspec.Struct, kw_only=True):
    """`token` is shown once, by the request that makes the device; it is empty everywhere else."""

    id: Id = msgspec.field(name="_id")
    type: Annotated[str, Meta(description="The name of its product")]
    name: str
    token: str = ""
    last_contact: str | None
    created_at: str
    owner: Id
    v: int = msgspec.field(name="__v", default=0)
    group: Id | UnsetType = UNSET


class DevicePage(msgspec.Struct, rename="camel"):
    devices: list[Device]
    records_total: int
    records_filtered: int
    draw: str | UnsetType = UNSET


class DeviceCreate(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Without a name it gets a random one."""

    name: Name | UnsetType = UNSET


class DeviceChange(msgspec.Struct, forbid_unknown_fields=True):
    """`group` is a group's id, or the word `undefined` for none; a group that is not there has no effect."""

    name: Name | UnsetType = UNSET
    group: Annotated[str, Meta(max_length=64, pattern=LINE)] | UnsetType = UNSET


class SignIn(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """`rememberMe` is taken and has no effect: a token lives for 30 days."""

    email: Annotated[str, Meta(min_length=1, max_length=254, pattern=LINE)]
    password: Annotated[str, Meta(min_length=1, max_length=200)]
    remember_me: bool | Annotated[str, Meta(max_length=5)] | UnsetType = UNSET


class SignedUser(msgspec.Struct):
    id: Id
    role: str


class SignedIn(msgspec.Struct):
    user: SignedUser
    token: str


class SignInError(msgspec.Struct):
    error: str

"""Between this door's words and the core's. Pure."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import UNSET

from airfreight.apis.common.uploads import Form
from airfreight.apis.device_ota.shapes import Device, Group, GroupOta, Ota
from airfreight.domain.errors import invalid
from airfreight.services import groups, single_updates
from airfreight.services.single_updates import Wish

LONGEST_VERSION = 32
_NUMBER = r"(0|[1-9][0-9]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}"
    rf"(-({_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.({_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?"
    r"(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)
"""Semantic Versioning 2.0.0."""


def device_wish(form: Form) -> Wish:
    """What a form asks for a device. Raises INVALID."""
    return _wish(form, "device", check_device_id)


def group_wish(form: Form) -> Wish:
    """What a form asks for a group. Raises INVALID."""
    return _wish(form, "group", groups.check_id)


def check_device_id(uid: str) -> str:
    if not single_updates.is_uid(uid):
        raise invalid("Device ID is not valid", "bad_device_id")
    return uid


def _wish(form: Form, whom: str, check_id: Callable[[str], str]) -> Wish:
    """Raises INVALID, in the order of the reference (section 16): first what is missing."""
    names = (whom, "token", "version")
    for name in names:
        if not form.fields.get(name):
            raise invalid(f"{name} is a mandatory field", "mandatory_field")
    check_id(form.fields[whom])
    if not is_version(form.fields["version"]):
        raise invalid(
            f"version must be a semantic version such as 1.5.7, of at most {LONGEST_VERSION} characters", "bad_version"
        )
    return Wish(form.fields[whom], form.fields["token"], form.fields["version"])


def check_nothing_else(form: Form, whom: str) -> None:
    """Raises INVALID. What is missing is named before: a file in a field of another name is a missing file first."""
    if set(form.fields) - {whom, "token", "version"}:
        raise invalid(f"The form may have firmware, {whom}, token and version, and nothing else.", "bad_form")


def is_version(text: str) -> bool:
    return len(text) <= LONGEST_VERSION and _VERSION.fullmatch(text) is not None


def ota(row: Any) -> Ota:  # noqa: ANN401 - a row
    return Ota(
        id=row.uid.replace("-", "")[:24],
        device=row.device_uid,
        last_updated=iso(row.created_at),
        owner=hex_id(row.organization_id),
        path=row.path,
        version=row.version,
    )


def group_ota(row: Any) -> GroupOta:  # noqa: ANN401 - a row
    return GroupOta(
        id=row.uid.replace("-", "")[:24],
        group=row.group_uid,
        last_updated=iso(row.created_at),
        owner=hex_id(row.organization_id),
        path=row.path,
        version=row.version,
    )


def group(row: Any, token: str = "") -> Group:  # noqa: ANN401 - a row
    return Group(
        id=row.uid, name=row.name, token=token, created_at=iso(row.created_at), owner=hex_id(row.organization_id)
    )


def device(row: Any, token: str = "") -> Device:  # noqa: ANN401 - a row
    return Device(
        id=row.uid,
        type=row.product_name,
        name=row.name,
        token=token,
        last_contact=None if row.seen_at is None else iso(row.seen_at),
        created_at=iso(row.created_at),
        owner=hex_id(row.organization_id),
        group=row.group_uid or UNSET,
    )


def hex_id(number: int) -> str:
    """A number of ours in the form of this door's ids."""
    return f"{number:024x}"


def iso(at: int) -> str:
    moment = datetime.fromtimestamp(at / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

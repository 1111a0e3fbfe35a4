"""A rollout as the native API makes one: for whom and with what, found by their ids, uids and groups.

Rule: who names nobody is refused; only a product that is named alone means all its devices, later ones included.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airfreight.domain.access import Permission
from airfreight.domain.errors import invalid, not_found
from airfreight.domain.finish import FinishOn
from airfreight.domain.handling import Urgency
from airfreight.services import groups, rollouts
from airfreight.services.artifacts import Claims, check_filename, confirm
from airfreight.services.call import Call
from airfreight.services.members import places
from airfreight.services.rollout_checks import NATIVE
from airfreight.services.rollouts import Cargo, Policy
from airfreight.store import artifacts, rollout_steps
from airfreight.store import rollouts as store

MOST_DEVICES = 100_000


@dataclass(frozen=True, slots=True)
class Whom:
    """Devices by id and by uid, or those that are in a group now; none of them: a whole product."""

    product_id: int | None = None
    device_ids: Sequence[int] = ()
    uids: Sequence[str] = ()
    group_id: int | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """A stored file that is to be sent, the name that it shall have (None: its own) and what is said of it."""

    artifact_id: int
    claims: Claims
    filename: str | None = None


def start(call: Call, *, title: str, description: str, whom: Whom, pieces: Sequence[Piece], policy: Policy) -> int:
    """Make a rollout of 1 or more pieces and start it; its id.

    Raises NOT_FOUND for the product and the group, INVALID for devices and files that are not there, and what
    `rollouts.create` raises.
    """
    call.need(Permission.OTA_START)
    device_ids = _devices(call, whom)
    cargo = _cargo(call, pieces)
    _check(policy, cargo)
    return rollouts.create(
        call,
        origin=NATIVE,
        title=title,
        product_id=whom.product_id,
        device_ids=device_ids,
        cargo=cargo,
        policy=policy,
        description=description,
    )


def _check(policy: Policy, cargo: Sequence[Cargo]) -> None:
    if policy.urgency is Urgency.FORCED and policy.forced_at is not None:
        words = "forcedAt says until when a soft rollout leaves devices the choice: it needs urgency soft."
        raise invalid(words, "not_soft")
    if policy.finish_on is FinishOn.SERVED and len(cargo) > 1:
        words = "finishOn served is for one file: with several, only the device knows when it has all. Choose download."
        raise invalid(words, "several_files")
    first = cargo[0].confirmed
    if policy.finish_on is FinishOn.VERSION and not (first.version or first.build):
        raise invalid(
            "finishOn version needs a version to go by: the first file names none. Say it, or choose another finishOn.",
            "no_version",
        )


def _devices(call: Call, whom: Whom) -> list[int]:
    """Their ids; none for a whole product."""
    if whom.group_id is not None:
        if whom.device_ids or whom.uids:
            raise invalid("Name devices (deviceIds, uids) or a group (groupId), not both.", "one_of")
        return _in_group(call, whom.group_id, whom.product_id)
    if not whom.device_ids and not whom.uids:
        if whom.product_id is None:
            raise invalid(
                "Say who gets it: deviceIds, uids or groupId; or productId alone for all devices of a product.",
                "product_needed",
            )
        return []
    if len(whom.device_ids) + len(whom.uids) > MOST_DEVICES:
        raise invalid(f"deviceIds and uids may name at most {MOST_DEVICES} devices.", "too_many")
    return [*whom.device_ids, *_of_uids(call, whom.uids)]


def _of_uids(call: Call, uids: Sequence[str]) -> list[int]:
    found = rollout_steps.devices_by_uid(call.connection, call.organization_id, uids) if uids else {}
    missing = [place for place, uid in enumerate(uids, 1) if uid not in found]
    if missing:
        raise invalid(f"uids has {len(missing)} that do not exist, at: {places(missing)}.", "unknown_devices")
    return [found[uid].id for uid in uids]


def _in_group(call: Call, group_id: int, product_id: int | None) -> list[int]:
    """The devices that are in it now, all of one product."""
    group = groups.numbered(call, group_id)
    if group.organization_id != call.organization_id:
        raise not_found("Group")
    if groups.count(call, group) > MOST_DEVICES:
        words = f"The group has more than {MOST_DEVICES} devices. Choose a product, or make smaller groups."
        raise invalid(words, "too_many")
    device_ids = groups.matching(call, group)
    if not device_ids:
        raise invalid("No device is in this group now.", "empty_group")
    products = set(store.device_products(call.connection, call.organization_id, device_ids).values())
    if products - {product_id if product_id is not None else min(products)}:
        raise invalid("The group has devices of another product. Make a group for each product.", "mixed_group")
    return device_ids


def _cargo(call: Call, pieces: Sequence[Piece]) -> list[Cargo]:
    """In order. Files of the organization acted on or, for one below the caller's, of the caller's own."""
    homes = (call.organization_id, call.principal.organization_id)
    ids = [piece.artifact_id for piece in pieces]
    found: list[Any] = [artifacts.first_of(call.connection, homes, number) for number in ids]
    missing = [place for place, row in enumerate(found, 1) if row is None]
    if missing:
        raise invalid(f"artifacts has {len(missing)} that do not exist, at: {places(missing)}.", "unknown_artifacts")
    cargo = [
        Cargo(
            row.id,
            row.filename if piece.filename is None else check_filename(piece.filename, f"artifacts[{place}].filename"),
            confirm(row, piece.claims, f"artifacts[{place}]"),
        )
        for place, (row, piece) in enumerate(zip(found, pieces, strict=True))
    ]
    _no_repeats([str(number) for number in ids], "artifacts names a file twice")
    _no_repeats([one.filename for one in cargo], "artifacts has files of the same name; give each its own (filename)")
    return cargo


def _no_repeats(values: Sequence[str], words: str) -> None:
    again = [place for place, value in enumerate(values, 1) if value in values[: place - 1]]
    if again:
        raise invalid(f"{words}, at: {places(again)}.", "repeated")

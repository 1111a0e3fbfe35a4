"""What is looked at before a rollout with a type check is made: could its file fit any device at all?

Rule: what `decide` would let through is never refused here; it judges by the same function.
"""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from airfreight.domain.decide import Device, Plan, fits_type
from airfreight.domain.errors import invalid
from airfreight.domain.rollout import RolloutState
from airfreight.services.artifacts import Confirmed
from airfreight.store import rollouts

_FIELDS = {"fw_type": "fwType", "board": "boardType", "component": "type"}
"""The fact, and its name in firmwareInfo."""

NATIVE = "native"
"""The origin of rollouts that were made through the native API."""


def check_type(
    connection: Connection, organization_id: int, confirmed: Confirmed, device_ids: Sequence[int], *, origin: str
) -> None:
    """Raises INVALID when no device can ever pass the type check: the file has no type, or all named ones contradict.

    A whole product (no `device_ids`) may get fitting devices later; one that has not reported yet may still fit.
    `origin`: whose words say how to do without the check.
    """
    is_native = origin == NATIVE
    without = "leave checkType (--check-type) out" if is_native else "set skipFwTypeCheck (--skip-type-check)"
    if not confirmed.fw_type:
        raise invalid(
            f"The file names no fwType, so the type check could never pass. Send a tagged file, or {without}.",
            "type_unknown",
        )
    plan = Plan(RolloutState.RUNNING, fw_type=confirmed.fw_type, board=confirmed.board, component=confirmed.component)
    fields: set[str] = set()
    for reported, fw_type, board, component in rollouts.device_kinds(connection, organization_id, device_ids):
        device = Device(0, fw_type=fw_type, board=board, component=component)
        if not reported or fits_type(device, plan)[0]:
            return
        fields |= _contradicted(device, plan)
    if fields:
        named = ", ".join(name for fact, name in _FIELDS.items() if fact in fields)
        raise invalid(
            f"The file can fit none of the {len(device_ids)} devices: what they report contradicts it in {named}. "
            f"Name other devices, send another file, or {without}.",
            "never_matches",
        )


def _contradicted(device: Device, plan: Plan) -> set[str]:
    """The facts in which the device differs: each is put, alone, into a device that fits."""
    fitting = Device(0, fw_type=plan.fw_type)
    return {fact for fact in _FIELDS if not fits_type(replace(fitting, **{fact: getattr(device, fact)}), plan)[0]}

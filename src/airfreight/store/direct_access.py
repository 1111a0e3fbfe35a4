"""How devices of an organization come in by its name: rows of direct_access, who visits, and what an attempt holds."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, literal_column, select, update

from airfreight.store.hot import HotSelect, keys
from airfreight.store.tables import (
    attempts,
    deliveries,
    delivery_lines,
    devices,
    direct_access,
    history,
    open_delivery,
    organizations,
    products,
    rollout_artifacts,
    rollouts,
)


class Visitor(NamedTuple):
    """A device with what lets it in. `last_attempt_id`: of its last success that was more than a download."""

    uid: str
    name: str
    device_id: int
    organization_id: int
    token_hash: bytes | None
    key_hash: bytes | None
    authorities: str
    polling: str
    enabled: bool
    attributes_at: int | None
    asked_at: int | None
    has_open: bool
    last_attempt_id: int | None
    last_succeeded_at: int | None


_any = deliveries.alias("any")
_succeeded = (_any.c.device_id == devices.c.id, _any.c.state == literal_column("'succeeded'"))
_succeeded_at = select(func.max(_any.c.updated_at)).where(*_succeeded).correlate(devices).scalar_subquery()
_installed = (
    select(func.max(_any.c.attempt_id))
    .select_from(_any.join(rollouts, rollouts.c.id == _any.c.rollout_id))
    .where(*_succeeded, rollouts.c.finish_on != literal_column("'download'"))
    .correlate(devices)
    .scalar_subquery()
)
_visitors = HotSelect(
    select(
        devices.c.uid,
        direct_access.c.name,
        devices.c.id,
        devices.c.organization_id,
        devices.c.token_hash,
        direct_access.c.key_hash,
        direct_access.c.authorities,
        direct_access.c.polling,
        devices.c.enabled,
        devices.c.attributes_at,
        devices.c.asked_at,
        select(deliveries.c.id).where(deliveries.c.device_id == devices.c.id, open_delivery).exists(),
        _installed,
        _succeeded_at,
    )
    .select_from(devices.join(direct_access, direct_access.c.organization_id == devices.c.organization_id))
    .where(devices.c.uid.in_(keys("keys")), devices.c.deleted_at.is_(None))
)


def visitors(connection: Connection, uids: Sequence[str]) -> list[Visitor]:
    """Devices with these uids, of every organization that lets devices in by its name."""
    return [Visitor(*row) for row in _visitors(connection, uids)]


def named(connection: Connection, name: str) -> Any:  # noqa: ANN401 - a row
    """How devices come in under this name (in upper case), or None."""
    return connection.execute(select(direct_access).where(direct_access.c.name == name)).one_or_none()


def of_organization(connection: Connection, organization_id: int) -> Any:  # noqa: ANN401 - a row
    """The same with `confirmation_needed`; its name is None where there is none yet. None for no organization."""
    query = (
        select(organizations.c.confirmation_needed, direct_access)
        .select_from(organizations)
        .outerjoin(direct_access, direct_access.c.organization_id == organizations.c.id)
        .where(organizations.c.id == organization_id)
    )
    return connection.execute(query).one_or_none()


def put(connection: Connection, organization_id: int, values: Mapping[str, object]) -> None:
    """Change what there is; the first time `values` has the name. Raises IntegrityError when somebody else has that."""
    where = direct_access.c.organization_id == organization_id
    if not connection.execute(update(direct_access).where(where).values(values)).rowcount:
        connection.execute(insert(direct_access).values(organization_id=organization_id, **values))


_has_words = (
    select(history.c.id)
    .where(history.c.delivery_id == deliveries.c.id, history.c.attempt_id == attempts.c.id, history.c.actor == "device")
    .exists()
)


def attempt(connection: Connection, device_id: int, attempt_id: int) -> Any:  # noqa: ANN401 - a row
    """An attempt of the device, with its delivery, its rollout's policy and how its product names parts; or None."""
    query = (
        select(
            attempts.c.id,
            attempts.c.offered_at,
            attempts.c.taken_at,
            deliveries.c.id.label("delivery_id"),
            deliveries.c.version,
            deliveries.c.state,
            deliveries.c.attempt_id,
            deliveries.c.cancel_requested,
            deliveries.c.reason,
            deliveries.c.own_artifacts,
            deliveries.c.rollout_id,
            rollouts.c.urgency,
            rollouts.c.forced_at,
            rollouts.c.finish_on,
            _has_words.label("has_words"),
            products.c.name.label("product_name"),
            products.c.part,
            products.c.one_part,
        )
        .join(deliveries, deliveries.c.id == attempts.c.delivery_id)
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .join(devices, devices.c.id == deliveries.c.device_id)
        .join(products, products.c.id == devices.c.product_id)
        .where(attempts.c.id == attempt_id, deliveries.c.device_id == device_id)
    )
    return connection.execute(query).one_or_none()


def lines_of(connection: Connection, delivery_id: int, attempt_id: int, since: int, limit: int) -> list[str]:
    """What the device has said of an attempt that was offered then, newest first: until it was offered the next."""
    is_later = (attempts.c.delivery_id == delivery_id, attempts.c.id > attempt_id)
    until = connection.scalar(select(func.min(attempts.c.offered_at)).where(*is_later))
    query = select(delivery_lines.c.line).where(
        delivery_lines.c.delivery_id == delivery_id, delivery_lines.c.at >= since
    )
    if until is not None:
        query = query.where(delivery_lines.c.at < until)
    return list(connection.scalars(query.order_by(delivery_lines.c.id.desc()).limit(limit)))


def has_event(connection: Connection, delivery_id: int, attempt_id: int, event: str) -> bool:
    """Whether the device has said this of the attempt."""
    query = select(history.c.id).where(
        history.c.delivery_id == delivery_id,
        history.c.attempt_id == attempt_id,
        history.c.actor == "device",
        history.c.event == event,
    )
    return connection.execute(query.limit(1)).first() is not None


def consent_of(connection: Connection, device_id: int) -> str:
    """The standing consent of the device's user, as it is kept."""
    return str(connection.scalar(select(devices.c.standing_consent).where(devices.c.id == device_id)) or "")


def count_devices(connection: Connection, organization_id: int) -> int:
    """How many the organization has."""
    query = select(func.count()).where(devices.c.organization_id == organization_id, devices.c.deleted_at.is_(None))
    return int(connection.scalar(query) or 0)


def has_one_part(connection: Connection, device_id: int) -> bool:
    """Whether several files come to the device as one part."""
    query = select(products.c.one_part).join(devices, devices.c.product_id == products.c.id)
    return bool(connection.scalar(query.where(devices.c.id == device_id)))


def version_of(connection: Connection, device_id: int) -> str:
    """What the device says that it runs."""
    return str(connection.scalar(select(devices.c.version).where(devices.c.id == device_id)) or "")


def knows_version(connection: Connection, device_id: int, name: str, version: str) -> bool:
    """Whether `name` is the device's product and rollouts of that have brought this version."""
    query = (
        select(rollout_artifacts.c.artifact_id)
        .join(rollouts, rollouts.c.id == rollout_artifacts.c.rollout_id)
        .join(devices, devices.c.product_id == rollouts.c.product_id)
        .join(products, products.c.id == devices.c.product_id)
        .where(devices.c.id == device_id, products.c.name == name, rollout_artifacts.c.version == version)
    )
    return connection.execute(query.limit(1)).first() is not None

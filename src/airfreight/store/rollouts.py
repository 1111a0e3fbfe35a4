"""Rows of rollouts and their ordered artifacts."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from airfreight.store import alike
from airfreight.store.tables import (
    artifacts,
    begun_with_shared,
    deliveries,
    delivery_artifacts,
    devices,
    products,
    rollout_artifacts,
    rollouts,
)

_alive = rollouts.c.deleted_at.is_(None)
_STORED = ("uid", "path", "size", "sha256", "md5", "sha1", "format", "created_at")


def add(connection: Connection, values: dict[str, Any]) -> int:
    return int(connection.execute(insert(rollouts).values(values).returning(rollouts.c.id)).scalar_one())


def add_artifacts(connection: Connection, rollout_id: int, chosen: Sequence[dict[str, Any]]) -> None:
    """The ordered list of artifacts: each with its id, its name for people and the facts its maker confirmed."""
    rows = [{"rollout_id": rollout_id, "position": position, **one} for position, one in enumerate(chosen)]
    connection.execute(insert(rollout_artifacts), rows)


def _shown(*where: ColumnElement[bool]) -> Any:  # noqa: ANN401 - a select
    return (
        select(rollouts, products.c.name.label("product_name"))
        .outerjoin(products, products.c.id == rollouts.c.product_id)
        .where(_alive, *where)
    )


def get(connection: Connection, organization_id: int, rollout_id: int, origin: str | None = None) -> Any:  # noqa: ANN401
    """A rollout of the organization (made through the door `origin`, if one is named), or None."""
    query = _shown(rollouts.c.organization_id == organization_id, rollouts.c.id == rollout_id)
    if origin is not None:
        query = query.where(rollouts.c.origin == origin)
    return connection.execute(query).one_or_none()


def listed(
    connection: Connection, organization_id: int, *, after: int = 0, limit: int | None = None, origin: str | None = None
) -> list[Any]:
    query = _shown(rollouts.c.organization_id == organization_id, rollouts.c.id > after).order_by(rollouts.c.id)
    if origin is not None:
        query = query.where(rollouts.c.origin == origin)
    return list(connection.execute(query.limit(limit) if limit else query))


def artifacts_of(connection: Connection, rollout_ids: Sequence[int]) -> dict[int, list[Any]]:
    """Rollout id -> its artifacts in order: facts as confirmed for the rollout, bytes as stored."""
    stored = [artifacts.c[name] for name in ("id", *_STORED)]
    query = (
        select(rollout_artifacts, *stored)
        .join(artifacts, artifacts.c.id == rollout_artifacts.c.artifact_id)
        .where(rollout_artifacts.c.rollout_id.in_(rollout_ids))
        .order_by(rollout_artifacts.c.rollout_id, rollout_artifacts.c.position)
    )
    found: dict[int, list[Any]] = {}
    for row in connection.execute(query):
        found.setdefault(row.rollout_id, []).append(row)
    return found


def own_artifacts_of(connection: Connection, delivery_ids: Sequence[int]) -> dict[int, list[Any]]:
    """Delivery id -> what its device gets instead of the rollout's artifacts, in order: rows as in `artifacts_of`."""
    names = ("filename", "version", "build", "fw_type", "board", "library_version", "component")
    query = (
        select(delivery_artifacts, artifacts.c.id, *(artifacts.c[name] for name in (*names, *_STORED)))
        .join(artifacts, artifacts.c.id == delivery_artifacts.c.artifact_id)
        .where(delivery_artifacts.c.delivery_id.in_(delivery_ids))
        .order_by(delivery_artifacts.c.delivery_id, delivery_artifacts.c.position)
    )
    found: dict[int, list[Any]] = {}
    for row in connection.execute(query):
        found.setdefault(row.delivery_id, []).append(row)
    return found


def carried(connection: Connection, which: Iterable[tuple[int, int, bool]]) -> dict[int, list[Any]]:
    """Delivery id -> the artifacts it brings, in order. `which`: the delivery, its rollout, whether it has its own."""
    wanted = list(which)
    own = sorted({delivery_id for delivery_id, _, has_own in wanted if has_own})
    shared = sorted({rollout_id for _, rollout_id, has_own in wanted if not has_own})
    found = own_artifacts_of(connection, own) if own else {}
    of_rollouts = artifacts_of(connection, shared) if shared else {}
    return found | {
        delivery_id: of_rollouts.get(rollout_id, []) for delivery_id, rollout_id, has_own in wanted if not has_own
    }


def carried_by(connection: Connection, delivery_id: int, rollout_id: int, *, has_own: bool) -> list[Any]:
    """The artifacts that one delivery brings, in order."""
    return carried(connection, [(delivery_id, rollout_id, has_own)]).get(delivery_id, [])


def replace_own_artifacts(connection: Connection, delivery_id: int, artifact_ids: Sequence[int]) -> None:
    """What one device gets instead of its rollout's artifacts, in order. For services.deliveries alone."""
    table = delivery_artifacts
    connection.execute(delete(table).where(table.c.delivery_id == delivery_id))
    rows = [
        {"delivery_id": delivery_id, "position": position, "artifact_id": one}
        for position, one in enumerate(artifact_ids)
    ]
    if rows:
        connection.execute(insert(table), rows)


def copy_artifacts(connection: Connection, rollout_id: int) -> None:
    """Whoever has begun with what the rollout carries has it as its own. For services.deliveries alone."""
    which = select(deliveries.c.id, rollout_artifacts.c.position, rollout_artifacts.c.artifact_id).join(
        rollout_artifacts, rollout_artifacts.c.rollout_id == deliveries.c.rollout_id
    )
    which = which.where(deliveries.c.rollout_id == rollout_id, begun_with_shared)
    columns = ["delivery_id", "position", "artifact_id"]
    alike.execute(connection, insert(delivery_artifacts).from_select(columns, which), None)


def forget_own_artifacts(connection: Connection, delivery_ids: Sequence[int]) -> None:
    """The same for many that get none. For services.deliveries alone."""
    for start in range(0, len(delivery_ids), 10_000):
        some = delivery_ids[start : start + 10_000]
        connection.execute(delete(delivery_artifacts).where(delivery_artifacts.c.delivery_id.in_(some)))


def replace_artifacts(connection: Connection, rollout_id: int, chosen: Sequence[dict[str, Any]]) -> None:
    """Another ordered list of artifacts; see `add_artifacts`."""
    connection.execute(delete(rollout_artifacts).where(rollout_artifacts.c.rollout_id == rollout_id))
    if chosen:
        add_artifacts(connection, rollout_id, chosen)


def file_facts(connection: Connection, artifact_ids: Sequence[int]) -> dict[int, Any]:
    """Artifact id -> what its file says of itself, for comparing with what a rollout of it goes by."""
    names = ("id", "version", "build", "fw_type", "board", "library_version", "component", "tagged")
    query = select(*(artifacts.c[name] for name in names)).where(artifacts.c.id.in_(artifact_ids))
    return {row.id: row for row in connection.execute(query)}


def device_kinds(connection: Connection, organization_id: int, device_ids: Sequence[int]) -> set[tuple[Any, ...]]:
    """The different `(has reported, fwType, board, component)` of these devices: a few, however many they are."""
    kind = (devices.c.attributes_at.is_not(None), devices.c.fw_type, devices.c.board, devices.c.component)
    found: set[tuple[Any, ...]] = set()
    for start in range(0, len(device_ids), 10_000):
        query = select(*kind).where(
            devices.c.organization_id == organization_id, devices.c.id.in_(device_ids[start : start + 10_000])
        )
        found |= {tuple(row) for row in connection.execute(query.distinct())}
    return found


def device_products(connection: Connection, organization_id: int, device_ids: Sequence[int]) -> dict[int, int]:
    """Device id -> product id, for those of `device_ids` that are devices of the organization."""
    found: dict[int, int] = {}
    for start in range(0, len(device_ids), 10_000):
        query = select(devices.c.id, devices.c.product_id).where(
            devices.c.organization_id == organization_id,
            devices.c.deleted_at.is_(None),
            devices.c.id.in_(device_ids[start : start + 10_000]),
        )
        found.update({row.id: row.product_id for row in connection.execute(query)})
    return found


def living(connection: Connection, rollout_id: int) -> Any:  # noqa: ANN401 - a row
    """The rollout, whoever's it is, unless it is deleted."""
    return connection.execute(select(rollouts).where(rollouts.c.id == rollout_id, _alive)).one_or_none()


def locked(connection: Connection, rollout_id: int) -> Any:  # noqa: ANN401 - a row
    """The rollout, locked until the transaction ends (SQLite has one writer anyway).

    Not against those who only refer to it: queueing it for a new device must not wait for this, nor this for that.
    """
    return connection.execute(
        select(rollouts).where(rollouts.c.id == rollout_id, _alive).with_for_update(key_share=True)
    ).one_or_none()


def move(connection: Connection, rollout_id: int, version: int, values: dict[str, Any]) -> bool:
    """Compare-and-set; False when somebody changed it since it was read."""
    where = (rollouts.c.id == rollout_id, rollouts.c.version == version)
    return connection.execute(update(rollouts).where(*where).values(version=version + 1, **values)).rowcount == 1


def following(connection: Connection, product_id: int | None = None) -> list[Any]:
    """Unfinished rollouts that take in devices that appear later."""
    query = select(rollouts).where(_alive, rollouts.c.whole_product, rollouts.c.state.in_(["running", "paused"]))
    if product_id is not None:
        query = query.where(rollouts.c.product_id == product_id)
    return list(connection.execute(query.order_by(rollouts.c.id)))


def unfinished(connection: Connection) -> list[int]:
    """Rollouts that could finish by themselves."""
    ends = (~rollouts.c.whole_product, ~rollouts.c.open_ended)
    query = select(rollouts.c.id).where(_alive, *ends, rollouts.c.state.in_(["running", "paused"]))
    return list(connection.scalars(query))

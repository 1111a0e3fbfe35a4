"""Rows of deliveries, attempts and history. Only `services.deliveries` may import this module.

One wide row (`Row`) serves polls, reports, sweeps and explanations: the delivery with its rollout's policy, its first
artifact and its device.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, bindparam, func, insert, literal, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite

from airfreight.store import alike
from airfreight.store.hot import HotSelect, HotWrite, keys
from airfreight.store.tables import (
    attempts,
    begun_with_shared,
    connections,
    deliveries,
    devices,
    history,
    open_delivery,
    organizations,
    products,
    rollout_artifacts,
    rollouts,
)


class Row(NamedTuple):
    """A device and, when it has one, a delivery with what decides about it (all None otherwise).

    What has a default is only needed to decide what to tell the device, and only read for that.
    """

    device_id: int
    device_version: str
    device_build: str
    id: int | None
    rollout_id: int
    state: str
    version: int
    attempts_limit: int
    attempt: int
    tries: int
    attempt_id: int | None
    cancel_requested: bool
    consented: bool
    reached: int
    reason: str
    from_version: str
    from_build: str
    events: int
    not_before: int | None
    tries_since: int | None
    deadline_at: int | None
    rollout_state: str
    finish_on: str
    deadline_seconds: int
    artifact_version: str
    artifact_build: str
    needs_word: bool = False
    slots: str = ""
    opens_at: int | None = None
    announces: bool = False
    updated_at: int = 0
    token_hash: bytes | None = None
    organization_id: int = 0
    product_id: int = 0
    device_uid: str = ""
    enabled: bool = False
    device_fw_type: str = ""
    device_board: str = ""
    device_component: str = ""
    device_auto_update: bool | None = None
    product_auto_update: bool = True
    device_library_version: str = ""
    device_time_zone: str = ""
    attributes_at: int | None = None
    product_time_zone: str = ""
    organization_time_zone: str = ""
    on_conflict: str = ""
    started_at: int | None = None
    reset_period_ms: int = 0
    condition: str = ""
    check_type: bool = False
    critical: bool = False
    day_part: str = ""
    host: str = ""
    secure: bool = False
    artifact_fw_type: str = ""
    artifact_board: str = ""
    artifact_component: str = ""
    artifact_library_version: str = ""
    own_artifacts: bool = False
    asks_user: bool = False
    urgency: str = "forced"
    forced_at: int | None = None
    early_download: bool = False
    newest_rollout_id: int | None = None


_other, _newer = deliveries.alias("other"), rollouts.alias("newer")

_moving = (
    devices.c.id,
    devices.c.version,
    devices.c.build,
    deliveries.c.id,
    deliveries.c.rollout_id,
    deliveries.c.state,
    deliveries.c.version,
    deliveries.c.attempts_limit,
    deliveries.c.attempt,
    deliveries.c.tries,
    deliveries.c.attempt_id,
    deliveries.c.cancel_requested,
    deliveries.c.consented,
    deliveries.c.reached,
    deliveries.c.reason,
    deliveries.c.from_version,
    deliveries.c.from_build,
    deliveries.c.events,
    deliveries.c.not_before,
    deliveries.c.tries_since,
    deliveries.c.deadline_at,
    rollouts.c.state,
    rollouts.c.finish_on,
    rollouts.c.deadline_seconds,
    func.coalesce(rollout_artifacts.c.version, literal_column("''")),
    func.coalesce(rollout_artifacts.c.build, literal_column("''")),
    func.coalesce(deliveries.c.needs_word, rollouts.c.needs_word),
    deliveries.c.slots,
    deliveries.c.opens_at,
    rollouts.c.announces,
    deliveries.c.updated_at,
)
_deciding = (
    *_moving,
    devices.c.token_hash,
    devices.c.organization_id,
    devices.c.product_id,
    devices.c.uid,
    devices.c.enabled,
    devices.c.fw_type,
    devices.c.board,
    devices.c.component,
    devices.c.auto_update,
    products.c.auto_update,
    devices.c.library_version,
    devices.c.time_zone,
    devices.c.attributes_at,
    products.c.time_zone,
    organizations.c.time_zone,
    rollouts.c.on_conflict,
    rollouts.c.started_at,
    rollouts.c.reset_period_ms,
    rollouts.c.condition,
    rollouts.c.check_type,
    rollouts.c.critical,
    rollouts.c.day_part,
    rollouts.c.host,
    rollouts.c.secure,
    rollout_artifacts.c.fw_type,
    rollout_artifacts.c.board,
    rollout_artifacts.c.component,
    rollout_artifacts.c.library_version,
    deliveries.c.own_artifacts,
    and_(organizations.c.confirmation_needed, devices.c.standing_consent == literal_column("''")),
    rollouts.c.urgency,
    rollouts.c.forced_at,
    rollouts.c.early_download,
    select(func.max(_other.c.rollout_id))
    .join(_newer, _newer.c.id == _other.c.rollout_id)
    .where(_other.c.device_id == devices.c.id, _newer.c.on_conflict == literal_column("'supersede'"))
    .correlate(devices)
    .scalar_subquery(),
)

_first = (rollout_artifacts.c.rollout_id == rollouts.c.id) & (rollout_artifacts.c.position == literal_column("0"))


def _per_device() -> Select[Any]:
    """Every device, with its open deliveries if it has any (a row each)."""
    joined = (
        devices.join(products, products.c.id == devices.c.product_id)
        .join(organizations, organizations.c.id == devices.c.organization_id)
        .outerjoin(deliveries, (deliveries.c.device_id == devices.c.id) & open_delivery)
        .outerjoin(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .outerjoin(rollout_artifacts, _first)
    )
    return select(*_deciding).select_from(joined).where(devices.c.deleted_at.is_(None))


def _per_delivery() -> Select[Any]:
    """Deliveries, whatever their state and whether or not their device still exists."""
    joined = (
        deliveries.join(devices, devices.c.id == deliveries.c.device_id)
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .outerjoin(rollout_artifacts, _first)
    )
    return select(*_moving).select_from(joined)


_asking = HotSelect(
    select(
        devices.c.token_hash,
        devices.c.id,
        devices.c.enabled,
        select(deliveries.c.id).where(deliveries.c.device_id == devices.c.id, open_delivery).exists(),
    ).where(devices.c.token_hash.in_(keys("keys")), devices.c.deleted_at.is_(None))
)
_by_token = HotSelect(_per_device().where(devices.c.token_hash.in_(keys("keys"))))
_by_device = HotSelect(_per_device().where(devices.c.id.in_(keys("keys"))))
_by_parent = HotSelect(_per_device().where(devices.c.parent_id.in_(keys("keys")), deliveries.c.id.is_not(None)))
_by_id = HotSelect(_per_delivery().where(deliveries.c.id.in_(keys("keys"))))
_held = HotSelect(
    select(deliveries.c.id)
    .where(deliveries.c.id.in_(keys("keys")))
    .order_by(deliveries.c.id)
    .with_for_update(key_share=True)
)
_attempts = HotSelect(select(attempts.c.id, attempts.c.delivery_id).where(attempts.c.id.in_(keys("keys"))))
_reports = HotSelect(
    select(history.c.report, history.c.verdict).where(history.c.report.in_(keys("keys")), history.c.report.is_not(None))
)


def report_key(attempt_id: int, seq: int) -> int:
    """One number for a report: both parts are below 2^31."""
    return attempt_id << 31 | seq


def asking(connection: Connection, hashes: Sequence[bytes]) -> list[tuple[bytes, int, bool, bool]]:
    """`(token hash, device id, enabled, has an open delivery)`: the statement of every poll, enough for idle ones."""
    return [(bytes(token), device, bool(on), bool(busy)) for token, device, on, busy in _asking(connection, hashes)]


def by_token(connection: Connection, hashes: Sequence[bytes]) -> list[Row]:
    """Devices by token hash, each with its open deliveries."""
    return [Row(*row) for row in _by_token(connection, hashes)]


def by_device(connection: Connection, device_ids: Sequence[int]) -> list[Row]:
    """The same by device id."""
    return [Row(*row) for row in _by_device(connection, device_ids)]


def by_parent(connection: Connection, device_ids: Sequence[int]) -> list[Row]:
    """The devices behind these that have open deliveries, each with those."""
    return [Row(*row) for row in _by_parent(connection, device_ids)]


def by_id(connection: Connection, delivery_ids: Sequence[int]) -> list[Row]:
    """Deliveries by id, ended ones too."""
    return [Row(*row) for row in _by_id(connection, delivery_ids)]


def hold(connection: Connection, delivery_ids: Sequence[int]) -> None:
    """Nobody else moves these until the transaction ends. (On SQLite nobody else writes at all.)

    Before the transaction touches any counter, and in one order: who moves some of them meanwhile is waited for, and
    does not wait for us.
    """
    if delivery_ids and connection.dialect.name == "postgresql":
        _held(connection, sorted(delivery_ids))


def deliveries_of_attempts(connection: Connection, attempt_ids: Sequence[int]) -> dict[int, int]:
    """Attempt id -> delivery id, for the attempts that exist."""
    return dict(_attempts(connection, attempt_ids)) if attempt_ids else {}


def answered_reports(connection: Connection, reports: Sequence[int]) -> dict[int, str]:
    """Report key -> verdict, of those reports that have been taken already."""
    return dict(_reports(connection, reports)) if reports else {}


def open_ids(connection: Connection, rollout_id: int, after: int, limit: int) -> list[int]:
    """Open deliveries of a rollout, by id after `after`."""
    query = select(deliveries.c.id).where(deliveries.c.rollout_id == rollout_id, open_delivery, deliveries.c.id > after)
    return list(connection.scalars(query.order_by(deliveries.c.id).limit(limit)))


def offered_shared(connection: Connection, rollout_id: int, most: int) -> list[Sequence[int]]:
    """Deliveries that were offered what their rollout carries, and have not begun; `most` at a time."""
    is_offered = open_delivery & (deliveries.c.state == "offered") & ~deliveries.c.own_artifacts
    query = select(deliveries.c.id).where(deliveries.c.rollout_id == rollout_id, is_offered)
    return _chunks(list(connection.scalars(query.order_by(deliveries.c.id))), most)


def undated(connection: Connection, organization_id: int, device_id: int | None, after: int, limit: int) -> list[int]:
    """Offers without a deadline to devices (or this one) of the organization that do not listen at the broker."""
    listens = select(connections.c.device_id).where(connections.c.device_id == deliveries.c.device_id).exists()
    query = select(deliveries.c.id).where(
        deliveries.c.organization_id == organization_id,
        *([] if device_id is None else [deliveries.c.device_id == device_id]),
        open_delivery,
        deliveries.c.state == "offered",
        deliveries.c.deadline_at.is_(None),
        ~listens,
        deliveries.c.id > after,
    )
    return list(connection.scalars(query.order_by(deliveries.c.id).limit(limit)))


def latest_tried(connection: Connection, device_ids: Sequence[int]) -> list[int]:
    """For each device the delivery that its latest attempt belonged to."""
    latest = (
        select(func.max(attempts.c.id))
        .join(deliveries, deliveries.c.id == attempts.c.delivery_id)
        .where(deliveries.c.device_id.in_(device_ids))
        .group_by(deliveries.c.device_id)
    )
    return list(connection.scalars(select(attempts.c.delivery_id).where(attempts.c.id.in_(latest))))


def enqueue(
    connection: Connection,
    *,
    organization_id: int,
    rollout_id: int,
    attempts_limit: int,
    now: int,
    product_id: int | None,
    device_ids: Sequence[int] | None,
) -> int:
    """Queue a rollout for the devices (of its product, or of any) that it does not have yet; how many."""
    its_own = (deliveries.c.rollout_id == rollout_id, deliveries.c.device_id == devices.c.id)
    source = (
        select(
            literal(organization_id),
            literal(rollout_id),
            devices.c.id,
            literal("queued"),
            literal(attempts_limit),
            literal(now),
        )
        .where(
            devices.c.organization_id == organization_id,
            *([] if product_id is None else [devices.c.product_id == product_id]),
            devices.c.deleted_at.is_(None),
            ~alike.has_any(select(deliveries.c.id).where(*its_own)),
        )
        .order_by(devices.c.id + literal_column("0"))  # as read from an index, it would look among what it has written
    )
    names = ["organization_id", "rollout_id", "device_id", "state", "attempts_limit", "updated_at"]
    queued = 0
    for some in [None] if device_ids is None else _chunks(device_ids, 10_000):
        query = source if some is None else source.where(alike.among(connection, devices.c.id, some))
        # without the option, SQLAlchemy does not look at the count of an INSERT on every driver
        upsert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        # another process may be queueing the same device for the same rollout right now: one of the two does it
        statement = upsert(deliveries).from_select(names, query).on_conflict_do_nothing()
        statement = statement.execution_options(preserve_rowcount=True)
        queued += alike.execute(connection, statement, None if device_ids is None else len(device_ids)).rowcount
    return queued


def set_own(connection: Connection, ids: Sequence[int], *, has_own: bool, needs_word: bool | None) -> None:
    """Whether these get artifacts of their own, and whether those need a word (None: as the rollout's)."""
    values = {"own_artifacts": has_own, "needs_word": needs_word}
    for some in _chunks(ids, 10_000):
        those = alike.among(connection, deliveries.c.id, some)
        alike.execute(connection, update(deliveries).where(those).values(values), len(ids))


def own_from_now_on(connection: Connection, rollout_id: int, *, needs_word: bool) -> None:
    """Whoever has begun with what its rollout carries has that as its own, and the rollout's word for it."""
    those = update(deliveries).where(deliveries.c.rollout_id == rollout_id, begun_with_shared)
    values = {"own_artifacts": True, "needs_word": func.coalesce(deliveries.c.needs_word, needs_word)}
    alike.execute(connection, those.values(values), None)


class Moved(NamedTuple):
    """A delivery as it is to be written; `id` and `version` as they were read."""

    id: int
    version: int
    state: str
    attempt: int
    tries: int
    attempt_id: int | None
    cancel_requested: bool
    consented: bool
    reached: int
    reason: str
    from_version: str
    from_build: str
    events: int
    not_before: int | None
    tries_since: int | None
    deadline_at: int | None
    slots: str
    opens_at: int | None
    updated_at: int


class Event(NamedTuple):
    """A row of the history."""

    delivery_id: int
    attempt_id: int | None
    seq: int | None
    at: int
    actor: str
    event: str
    verdict: str
    state: str
    reason: str
    message: str
    progress: int | None
    report: int | None


_move = HotWrite(
    update(deliveries)
    .where(deliveries.c.id == bindparam("the_id"), deliveries.c.version == bindparam("the_version"))
    .values(
        version=deliveries.c.version + literal_column("1"), **{name: bindparam(name) for name in Moved._fields[2:]}
    ),
    ("the_id", "the_version", *Moved._fields[2:]),
)
_add_history = HotWrite(insert(history), Event._fields)


def move(connection: Connection, rows: Sequence[Moved]) -> int:
    """Compare-and-set: write each row where id and version still match; how many did."""
    many, single = alike.split(rows)
    done = _move(connection, single)
    for row, ids in many:
        values = {name: getattr(row, name) for name in Moved._fields[2:]} | {"version": row.version + 1}
        where = (alike.among(connection, deliveries.c.id, ids), deliveries.c.version == row.version)
        done += connection.execute(update(deliveries).where(*where).values(values)).rowcount
    return done


def add_history(connection: Connection, rows: Sequence[Event]) -> None:
    """In this order for each delivery; across deliveries there is none."""
    many, single = alike.split(rows) if len({row.delivery_id for row in rows}) == len(rows) else ([], rows)
    _add_history(connection, single)
    for row, ids in many:
        others = [
            literal(value, history.c[name].type) for name, value in row._asdict().items() if name != "delivery_id"
        ]
        source = select(deliveries.c.id, *others).where(alike.among(connection, deliveries.c.id, ids))
        connection.execute(insert(history).from_select(list(Event._fields), source))


def of_device(connection: Connection, organization_id: int, device_id: int, limit: int) -> list[Any]:
    """The latest deliveries of a device with their rollout's title, newest first."""
    query = (
        select(deliveries, rollouts.c.title)
        .join(rollouts, rollouts.c.id == deliveries.c.rollout_id)
        .where(deliveries.c.organization_id == organization_id, deliveries.c.device_id == device_id)
    )
    return list(connection.execute(query.order_by(deliveries.c.id.desc()).limit(limit)))


def member_ids(connection: Connection, rollout_ids: Sequence[int]) -> dict[int, list[int]]:
    """Rollout id -> the ids of the devices it was made for."""
    found: dict[int, list[int]] = {rollout_id: [] for rollout_id in rollout_ids}
    query = select(deliveries.c.rollout_id, deliveries.c.device_id).where(deliveries.c.rollout_id.in_(rollout_ids))
    for rollout_id, device_id in connection.execute(query.order_by(deliveries.c.id)):
        found[rollout_id].append(device_id)
    return found


def history_of(connection: Connection, organization_id: int, delivery_id: int, limit: int) -> list[Any]:
    """The latest of a delivery's history, oldest first."""
    query = (
        select(history)
        .join(deliveries, deliveries.c.id == history.c.delivery_id)
        .where(deliveries.c.organization_id == organization_id, history.c.delivery_id == delivery_id)
    )
    return list(connection.execute(query.order_by(history.c.id.desc()).limit(limit)))[::-1]


def _chunks(values: Sequence[int], size: int) -> list[Sequence[int]]:
    return [values[start : start + size] for start in range(0, len(values), size)]

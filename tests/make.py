"""Builders for tests of the heart: an organization, products, devices, artifacts and rollouts on a real database.

`Bench` does what the doors do, through the same services, without a socket and under a clock of its own.
"""

import functools
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, func, select

from airfreight.adapters.blobs import FolderBlobs
from airfreight.apis.device.shapes import ReportEvent
from airfreight.apis.device.translate import event_of
from airfreight.domain.access import Permission, Principal
from airfreight.domain.decide import Do
from airfreight.domain.delivery import State, Verdict
from airfreight.domain.ids import Millis
from airfreight.services import artifacts, deliveries, device_work, devices, organizations, overview, products, rollouts
from airfreight.services.artifacts import Confirmed
from airfreight.services.call import Call
from airfreight.services.credentials import Keyring
from airfreight.services.deliveries import Answer, Report
from airfreight.services.device_work import Advance, Job, Reports, Result, Returned, Served, SetAttributes
from airfreight.services.devices import Wanted
from airfreight.services.rollouts import Cargo, Policy
from airfreight.settings import load
from airfreight.store import organizations as organization_rows
from airfreight.store import tables
from airfreight.store.database import Database
from airfreight.worker import Worker
from airfreight_agent.sample_image import build_sample_image

NOON = Millis(1_767_268_800_000)
"""2026-01-01 12:00 UTC."""
DAY_MS = 86_400_000
KEY = b"a key for tests, 32 bytes or more"
BUILD = "Jan  9 2024 12:25:30"


@dataclass(frozen=True, slots=True)
class Board:
    """A device as itself: what it needs to speak to the server."""

    id: int
    uid: str
    token: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """An artifact with the facts that rollouts of it go by."""

    id: int
    path: str
    content: bytes
    confirmed: Confirmed


class Ears:
    """An announcer that remembers what it was told; `deaf` makes it fail."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, dict[str, object]]] = []
        self.deaf = False

    def announce(self, *, organization_id: int, stream: str, kind: str, body: Mapping[str, object]) -> None:
        if self.deaf:
            raise ConnectionError("nobody listens")
        self.heard.append((stream, kind, dict(body)))


@functools.cache
def image(version: str, build: str = "", fw_type: str = "", size: int = 1024) -> bytes:
    return build_sample_image(version, build=build, fw_type=fw_type, size=size)


def copy_of_sqlite(template: Path, folder: Path) -> str:
    """The URL of a migrated, empty database of its own in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(template, folder / "airfreight.db")
    return f"sqlite:///{folder / 'airfreight.db'}"


@contextmanager
def copy_of_postgresql(server: str, template: str) -> Iterator[str]:
    """The same on a PostgreSQL server; dropped at the end. A plain `postgresql://` URL."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    head, _, query = server.partition("?")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        try:
            yield head.rsplit("/", 1)[0] + "/" + name + (f"?{query}" if query else "")
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://", 1)


class Bench:
    """One organization on a database, and everything that can be done to it."""

    def __init__(self, database: Database, folder: Path, **settings: object) -> None:
        self.database = database
        self.settings = load({}, data=folder, **settings)
        self.keyring = Keyring(KEY)
        self.blobs = FolderBlobs(folder / "blobs")
        self.now = NOON
        self.ears = Ears()
        with database.write() as connection:
            self.organization_id = organization_rows.add(
                connection, name="Bench", parent_id=None, time_zone="", now=self.now
            )

    # people

    @contextmanager
    def call(self, organization_id: int | None = None) -> Iterator[Call]:
        """A call of somebody who may do everything, in one transaction."""
        own = organization_id or self.organization_id
        who = Principal(own, frozenset(Permission), name="bench")
        with self.database.write() as connection:
            yield Call(who, own, self.now, connection, self.settings, self.keyring, self.blobs)

    def organization(self, name: str = "below") -> int:
        with self.call() as call:
            return int(organizations.create(call, name=name).id)

    def product(self, name: str = "", time_zone: str = "", *, auto_update: bool = True) -> int:
        with self.call() as call:
            made = products.create(call, name=name or uuid.uuid4().hex, time_zone=time_zone, auto_update=auto_update)
        return int(made.id)

    def devices(self, product_id: int, count: int = 1) -> list[Board]:
        with self.call() as call:
            made = devices.create_many(call, product_id=product_id, wanted=[Wanted()] * count)
        return [Board(one.id, one.uid, one.token, self.keyring.digest(one.token)) for one in made]

    def remove_device(self, board: Board) -> None:
        with self.call() as call:
            devices.delete(call, board.id)

    def artifact(self, version: str = "2.0.0", build: str = "", fw_type: str = "", content: bytes = b"") -> Stored:
        """A stored file; with `content` the facts are not in it but confirmed by whoever ships it."""
        content = content or image(version, build, fw_type)
        writer = self.blobs.receive()
        writer.write(content)
        with self.call() as call:
            row = artifacts.register(call, writer.commit(), "image.bin")
        return Stored(row.id, row.path, content, Confirmed(version, build, fw_type, "", ""))

    def ship(self, artifact: Stored, product_id: int | None = None, to: Sequence[Board] = (), **policy: object) -> int:
        """A running rollout; without `to` of the whole product."""
        return self.ship_files([artifact], product_id, to, **policy)

    def ship_files(
        self, files: Sequence[Stored], product_id: int | None = None, to: Sequence[Board] = (), **policy: object
    ) -> int:
        """The same of several files."""
        with self.call() as call:
            return rollouts.create(
                call,
                origin="native",
                title="a rollout",
                product_id=product_id,
                device_ids=[board.id for board in to],
                cargo=[Cargo(one.id, f"image{n or ''}.bin", one.confirmed) for n, one in enumerate(files)],
                policy=Policy(**policy),  # type: ignore[arg-type]
            )

    def pause(self, rollout_id: int) -> None:
        with self.call() as call:
            rollouts.pause(call, rollout_id)

    def resume(self, rollout_id: int) -> None:
        with self.call() as call:
            rollouts.resume(call, rollout_id)

    def stop(self, rollout_id: int) -> None:
        """As the routes do it: the decision, then what follows from it, in many small transactions."""
        with self.call() as call:
            rollouts.stop(call, rollout_id)
        rollouts.carry_out(self.database, self.settings, "rollout.wind_down", rollout_id, self.now)

    def delete(self, rollout_id: int, origin: str | None = None) -> None:
        with self.call() as call:
            rollouts.delete(call, rollout_id, origin=origin)

    # devices

    def work(self, *jobs: Job) -> list[Result]:
        """One batch of the device plane's writes."""
        results = device_work.work(self.database, self.settings, self.now, jobs)
        for result in results:
            if isinstance(result, Exception):
                raise result
        return [result for result in results if not isinstance(result, Exception)]

    def look(self, board: Board) -> Answer:
        """The first half of a poll: it only reads."""
        with self.database.read() as connection:
            [answer] = deliveries.poll(connection, [board.digest], self.now)
        assert answer is not None
        return answer

    def poll(self, board: Board) -> Answer:
        """What the device is told, offers and skips applied, as the device plane does it."""
        told = self.look(board)
        while told.decision.event is not None:
            [moved] = self.work(Advance(board.digest))
            assert isinstance(moved, Answer)
            told = self.look(board) if moved.decision.do is Do.NOTHING else moved
        return told

    def report(
        self, board: Board, attempt: int | None, seq: int, word: ReportEvent, reason: str | None = None, **more: Any
    ) -> Verdict:
        assert attempt is not None
        one = Report(attempt, seq, event_of(word, reason), **more)
        [verdicts] = self.work(Reports(board.digest, [one]))
        assert isinstance(verdicts, Sequence)
        return verdicts[0]

    def tell(self, board: Board, /, **attributes: object) -> Mapping[str, object]:
        """The device reports its attributes, as at every boot."""
        [shown] = self.work(SetAttributes(board.digest, attributes))
        assert isinstance(shown, Mapping)
        return shown

    def back(self, board: Board, /, **info: object) -> None:
        """The device has come back at the broker and says what it runs."""
        self.work(Returned(board.id, info))

    def copy(self, board: Board, /, **info: object) -> None:
        """The broker sends again what the device said some time ago."""
        self.work(Returned(board.id, info, is_live=False))

    def served(self, board: Board, attempt: int | None, reached: State) -> None:
        """The server saw bytes go to the device."""
        assert attempt is not None
        self.work(Served(board.id, attempt, reached))

    def update(self, board: Board, attempt: int | None, version: str = "2.0.0", build: str = "") -> None:
        """The whole way of a good device from an offer to its new version."""
        assert self.report(board, attempt, 1, "downloaded") is Verdict.MOVED
        assert self.report(board, attempt, 2, "installed") is Verdict.MOVED
        assert self.report(board, attempt, 3, "activating") is Verdict.MOVED
        self.tell(board, version=version, build=build)

    # time and the worker

    def worker(self) -> Worker:
        return Worker(self.database, self.settings, self.blobs, self.ears, lambda: self.now)

    def later(self, *, seconds: float = 0, days: float = 0) -> None:
        self.now = Millis(int(self.now + seconds * 1000 + days * DAY_MS))

    # what is in the database

    def rows(self, query: Any) -> list[Any]:
        with self.database.read() as connection:
            return list(connection.execute(query))

    def delivery(self, rollout_id: int, board: Board) -> Any:
        table = tables.deliveries
        [row] = self.rows(select(table).where(table.c.rollout_id == rollout_id, table.c.device_id == board.id))
        return row

    def stand(self, rollout_id: int, board: Board) -> tuple[str, str]:
        """State and reason."""
        row = self.delivery(rollout_id, board)
        return row.state, row.reason

    def states(self, rollout_id: int) -> dict[str, int]:
        """How many deliveries are in which state, recounted."""
        column = tables.deliveries.c.state
        query = select(column, func.count()).where(tables.deliveries.c.rollout_id == rollout_id).group_by(column)
        return {row.state: row[1] for row in self.rows(query)}

    def rollout_state(self, rollout_id: int) -> str:
        [row] = self.rows(select(tables.rollouts.c.state).where(tables.rollouts.c.id == rollout_id))
        return str(row.state)

    def history(self, rollout_id: int, board: Board) -> list[Any]:
        delivery_id = self.delivery(rollout_id, board).id
        return self.rows(
            select(tables.history).where(tables.history.c.delivery_id == delivery_id).order_by(tables.history.c.id)
        )

    def drift(self) -> dict[int, dict[tuple[str, int, str], tuple[int, int]]]:
        """Rollout id -> counters that differ from a recount."""
        with self.database.read() as connection:
            found = {row.id: overview.drift_of(connection, row.id) for row in _rollouts(connection)}
        return {rollout_id: wrong for rollout_id, wrong in found.items() if wrong}


def _rollouts(connection: Connection) -> list[Any]:
    return list(connection.execute(select(tables.rollouts)))

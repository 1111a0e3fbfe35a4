"""A rollout made in steps, on a bench."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select, update
from tests.make import Bench, Board

from airfreight.domain.phases import Phase
from airfreight.services import members, rollout_steps
from airfreight.services.members import Words
from airfreight.services.rollout_steps import Draft, Kind
from airfreight.store import tables

KIND = Kind("steps", "Campaign", "package")
WORDS = Words("gatewayIds", "gateway")


class Steps:
    """One rollout of one artifact; `headless`: its phases need nobody's word."""

    def __init__(self, bench: Bench, *, headless: bool = False) -> None:
        self.bench = bench
        self.artifact = bench.artifact("2.0.0")
        with bench.database.write() as connection:
            changed = update(tables.artifacts).where(tables.artifacts.c.id == self.artifact.id)
            connection.execute(changed.values(details=json.dumps({"headless": headless})))
        self.uid = self.draft(self.artifact_uid)
        self.product = bench.product()

    @property
    def artifact_uid(self) -> str:
        [row] = self.bench.rows(select(tables.artifacts.c.uid).where(tables.artifacts.c.id == self.artifact.id))
        return str(row.uid)

    @property
    def id(self) -> int:
        [row] = self.bench.rows(select(tables.rollouts.c.id).where(tables.rollouts.c.uid == self.uid))
        return int(row.id)

    def draft(self, *artifacts: str) -> str:
        with self.bench.call() as call:
            return rollout_steps.draft(call, KIND, Draft("a title", artifacts=artifacts))

    def edit(self, **said: Any) -> None:
        with self.bench.call() as call:
            rollout_steps.edit(call, KIND, self.uid, Draft(**said))

    def start(self) -> None:
        with self.bench.call() as call:
            rollout_steps.start(call, KIND, self.uid)

    def hold(self) -> None:
        with self.bench.call() as call:
            rollout_steps.hold(call, KIND, self.uid)

    def add(self, boards: Sequence[Board]) -> int:
        with self.bench.call() as call:
            return members.add(call, KIND, self.uid, [board.uid for board in boards], WORDS)

    def take_out(self, boards: Sequence[Board]) -> int:
        with self.bench.call() as call:
            return members.take_out(call, KIND, self.uid, [board.uid for board in boards], WORDS)

    def close(self, board: Board) -> None:
        with self.bench.call() as call:
            members.close(call, KIND, self.uid, board.uid, WORDS)

    def schedule(self, board: Board, phase: Phase, begin: int = 0, end: int = 0) -> None:
        with self.bench.call() as call:
            members.schedule(call, KIND, self.uid, board.uid, WORDS, phase, begin, end)

    def members(self, skip: int = 0, limit: int = 100) -> tuple[list[str], int]:
        """The uids of one page, and how many there are."""
        with self.bench.call() as call:
            rows, total = members.page(call, KIND, self.uid, skip=skip, limit=limit)
        return [row.uid for row in rows], total

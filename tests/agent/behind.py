"""A gateway with things behind it: devices of several types, their plug-ins, campaigns for them, an agent to step."""

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import httpx
from sqlalchemy import select
from tests.agent.gateway import CONNECTIONS, PATIENCE, WORDS, Disk
from tests.apis.site import Site
from tests.make import Board

from airfreight.apis.campaigns.translate import KIND
from airfreight.domain.phases import Phase
from airfreight.services import members, rollout_steps
from airfreight.services.members import Progress
from airfreight.services.rollout_steps import Draft
from airfreight.store import tables
from airfreight_agent.client import Client
from airfreight_agent.device import Device, Habits
from airfreight_agent.lifecycle import Rules
from airfreight_agent.things import Things

PLUG_IN = """#!/bin/sh
LOG={log}
case $1 in
install) test -f "$2" && uid=$3 ;;
*) uid=$2 ;;
esac
test "$uid" = "$AIRFREIGHT_THING" || exit 9
test $1 = version || echo {type} $1 $uid >> $LOG
{does}
"""


@dataclass(frozen=True)
class Named:
    """A thing at the server."""

    id: int
    uid: str


def plug_in(disk: Disk, its_type: str, does: str = "") -> str:
    """A command that says in the log what it was called for, and then `does` more; it knows `$1` and `$uid`."""
    path = disk.folder / f"plug-in-{its_type}"
    path.write_text(PLUG_IN.format(log=shlex.quote(str(disk.log)), type=its_type, does=does or "exit 0"))
    path.chmod(0o700)
    return str(path)


class Behind:
    """One gateway with its things at the server."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.product_id = site.product()
        self.board: Board = site.devices(self.product_id)[0]
        self.now()

    def now(self) -> None:
        self.site.now = type(self.site.now)(int(time.time() * 1000))

    def product(self, name: str) -> int:
        return self.site.product(name)

    def things(self, product_id: int, *uids: str) -> list[Named]:
        wanted = {"productId": product_id, "parentId": self.board.id, "devices": [{"uid": uid} for uid in uids]}
        answer = self.site.ask("POST", "/api/v1/devices/bulk", json=wanted)
        assert answer.status_code == 201, answer.text
        assert all(item["token"] == "" for item in answer.json()["items"])
        return [Named(item["id"], item["uid"]) for item in answer.json()["items"]]

    def campaign(self, things: Sequence[Named], *contents: bytes) -> "ThingsCampaign":
        return ThingsCampaign(self, things, *contents)

    def ship(self, content: bytes, version: str, product_id: int) -> int:
        """A rollout that is judged by the version."""
        return self.site.ship(self.site.artifact(version, content=content), product_id)

    def ship_own(self, content: bytes, version: str) -> int:
        """For the gateway itself."""
        return self.site.ship(self.site.artifact(version, content=content), self.product_id, to=[self.board])

    def end(self, thing: Named) -> tuple[str, str]:
        """Of the last delivery."""
        table = tables.deliveries
        rows = self.site.rows(select(table).where(table.c.device_id == thing.id).order_by(table.c.id))
        return rows[-1].state, rows[-1].reason or ""


class ThingsCampaign:
    """These files, in this order, for some of the things."""

    def __init__(self, behind: Behind, things: Sequence[Named], *contents: bytes) -> None:
        self.behind, self.site = behind, behind.site
        ids = [self.site.artifact(content=content).id for content in contents]
        rows = {row.id: row.uid for row in self.site.rows(select(tables.artifacts.c.id, tables.artifacts.c.uid))}
        with self.site.call() as call:
            self.uid = rollout_steps.draft(call, KIND, Draft("a title", artifacts=[rows[one] for one in ids]))
        wanted = [{"gateway_id": behind.board.uid, "thing_ids": [thing.uid for thing in things]}]
        path = f"/api/campaigns/{self.uid}/devices/things"
        answer = self.site.ask("POST", path, json={"gateway_things": wanted})
        assert answer.status_code == 200, answer.text
        assert answer.json()["not_processed_thing_ids"] == []
        behind.now()
        with self.site.call() as call:
            rollout_steps.start(call, KIND, self.uid)

    def approve(self, thing: Named, phase: Phase) -> None:
        self.behind.now()
        with self.site.call() as call:
            members.schedule(call, KIND, self.uid, thing.uid, WORDS, phase, 0, 0)

    def progress(self, thing: Named) -> Progress:
        with self.site.call() as call:
            return members.progress(call, KIND, self.uid, thing.uid, WORDS)


class Agent:
    """A gateway's agent in this process, without its second thread: the test says who takes a step."""

    def __init__(
        self, url: str, token: str, disk: Disk, plug_ins: dict[str, str], *, progress_seconds: float = 0.1, **rules: Any
    ) -> None:
        self.http = httpx.Client(base_url=url, timeout=30, limits=CONNECTIONS)
        self.turn = Lock()
        habits = Habits(
            version="0.9",
            poll_wait_seconds=0,
            progress_seconds=progress_seconds,
            backoff_first_seconds=0.05,
            rules=Rules(**{"install_root": disk.root, **rules}),
        )
        self.device = Device(Client(self.http, token), disk.agent, None, habits=habits, turn=self.turn)
        commands = {name: (command,) for name, command in plug_ins.items()}
        self.folder = disk.agent / "things"
        self.things = Things(self.http, token, self.folder, self.device, self.turn, commands, habits)

    def home(self, uid: str) -> Path:
        return self.folder / uid

    def work_until(self, holds: Callable[[], object]) -> None:
        """Drive the things, without resting long, until it `holds`."""
        give_up = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < give_up
            self.things._ask_at = min(self.things._ask_at, time.monotonic() + 0.05)
            time.sleep(min(self.things.step(), 0.05))

    def finish(self) -> None:
        """Work until there is nothing more to do."""
        self.things.finish(lambda seconds: time.sleep(min(seconds, 0.05)))

"""One campaign with everything in it: real agents, a large fleet with things behind it, five callbacks, a receiver that dies.

Afterwards the counters, the states and what was told outside must say the same, of every gateway and thing.
"""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.agent.gateway import Disk
from tests.faults.process import Process
from tests.webhooks.receiver import Receiver

from airfreight_agent.behaviours import BEHAVIOURS, expected_end
from airfreight_agent.fleet import Fleet
from airfreight_agent.simulated import Member

GATEWAYS = int(os.environ.get("AIRFREIGHT_TEST_GATEWAYS", "2000"))
ROWS = ["good"] * 14 + ["repeats_reports", "reorders_reports", "fails_at_install", "fails_at_download"]
ROWS += [name for name in BEHAVIOURS if name.startswith("loses_power_at_")]
PATIENCE = 800
"""Seconds: for a machine that is slow and busy; nobody waits for all of it."""

END = {"succeeded": "ACTIVATION_COMPLETE", "failed": "FAILED"}
Json = dict[str, Any]


def behaviour(number: int) -> str:
    return ROWS[number % len(ROWS)]


@dataclass
class Operator:
    """Somebody with an API client's token."""

    http: httpx.Client
    campaign: str = ""

    def ask(self, method: str, path: str, **how: Any) -> Any:
        answer = self.http.request(method, path.replace("{c}", f"/api/campaigns/{self.campaign}"), **how)
        assert answer.is_success, (method, path, answer.text)
        return answer.json() if answer.content else None

    def page(self) -> Iterator[Json]:
        number = 1
        while rows := self.ask("GET", "{c}/devices", params={"page.number": number, "page.size": 500})["gateways"]:
            yield from rows
            number += 1


def members(operator: Operator) -> list[Member]:
    """Gateways; every fourth has a thing behind it, which does something else than its gateway."""
    product = operator.ask("POST", "/api/v1/products", json={"name": "Gateway"})["id"]
    lamp = operator.ask("POST", "/api/v1/products", json={"name": "Lamp"})["id"]
    body = {"productId": product, "devices": [{"uid": f"gw-{number}"} for number in range(GATEWAYS)]}
    gateways = operator.ask("POST", "/api/v1/devices/bulk", json=body)["items"]
    found = [Member(one["uid"], one["token"], behaviour(number)) for number, one in enumerate(gateways)]
    for number, one in list(enumerate(gateways))[::4]:
        uid = f"lamp-{number}"
        operator.ask("POST", "/api/v1/devices", json={"productId": lamp, "uid": uid, "parentId": one["id"]})
        found.append(Member(uid, one["token"], behaviour(number // 4), thing=uid))
    return found


@contextmanager
def living(fleet: Fleet) -> Iterator[None]:
    """The fleet lives on a thread of its own."""
    loop, over = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(fleet.run(over),))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(60)
        loop.close()


class Agent:
    """`airfreight-agent` as a process, enrolled with a key, with a thing of its own."""

    def __init__(self, url: str, folder: Path, uid: str, key: str) -> None:
        self.uid, self.folder = uid, folder / uid
        self._url, self._key = url, key
        self._process: subprocess.Popen[bytes] | None = None
        self._command("enroll", "--uid", uid, "--product", "Gateway", "--folder", str(self.folder))
        self._command("enroll", "--uid", f"{uid}.lamp", "--product", "Lamp", "--parent", uid)

    def _command(self, *words: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "airfreight_agent.main", *words, "--server", self._url, "--key", self._key],
            check=True, capture_output=True, timeout=PATIENCE,
        )  # fmt: skip

    def start(self) -> None:
        with self.folder.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "airfreight_agent.main", "run", "--folder", str(self.folder), "--wait", "2"],
                stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)


def start_campaign(operator: Operator, disk: Disk, receiver: Receiver, uids: list[str]) -> None:
    package = disk.package(
        verify="echo verified", execute="echo executed; sleep 0.5", validate="echo valid", activate="echo activated"
    )
    uploaded = operator.ask("POST", "/api/programs/", files={"file": ("metrics-1.0.3.iotcp", package)})["uuid"]
    operator.campaign = operator.ask("POST", "/api/campaigns", json={"name": "proof", "packages": [uploaded]})["uuid"]
    gateways = [uid for uid in uids if "lamp" not in uid]
    operator.ask("POST", "{c}/devices", json={"gatewayIds": gateways})
    things = [
        {"gateway_id": uid.removesuffix(".lamp").replace("lamp-", "gw-"), "thing_ids": [uid]}
        for uid in uids
        if "lamp" in uid
    ]
    told = operator.ask("POST", f"/{operator.campaign}/devices/things", json={"gateway_things": things})
    assert told["not_processed_thing_ids"] == []
    place = {"name": "receiver", "protocol": "HTTP", "host": "127.0.0.1", "port": receiver.port}
    body = {**place, "sslTlsVersion": "NO_CERT", "authenticationType": "BASIC", "username": "u", "password": "p"}
    destination = operator.ask("POST", "/api/notification-destinations", json=body)["id"]
    for kind in ("completed", "wake-up", "state-change", "execution-progress", "download-progress"):
        operator.ask("PUT", "{c}/callbacks/" + kind, json={"notificationDestinationId": destination})
    operator.ask("PUT", "{c}/start", json={})


@pytest.mark.timeout(1800)
def test_counters_states_and_callbacks_agree_about_everybody(tmp_path: Path) -> None:
    with ExitStack() as stack:
        receiver = Receiver()
        stack.callback(receiver.stop)
        process = Process(tmp_path / "data", webhook_allow="127.0.0.0/8", poll_seconds="2").start()
        stack.callback(process.stop)
        prove(tmp_path, process, receiver, Operator(stack.enter_context(process.operator())), stack)


def prove(folder: Path, process: Process, receiver: Receiver, operator: Operator, stack: ExitStack) -> None:
    fleet_members = members(operator)
    key = operator.ask("POST", "/api/v1/enrollment-keys", json={"name": "k"})["key"]
    agents = [Agent(process.url, folder, uid, key) for uid in ("real-1", "real-2")]
    mine = [name for one in agents for name in (one.uid, f"{one.uid}.lamp")]
    wanted = {one.uid: _end_of(one.behaviour) for one in fleet_members} | dict.fromkeys(mine, "ACTIVATION_COMPLETE")
    (folder / "gateway").mkdir()
    start_campaign(operator, Disk(folder / "gateway"), receiver, list(wanted))

    for one in agents:
        one.start()
        stack.callback(one.kill)
    with living(Fleet(process.url, fleet_members, time_scale=0.01, haste=1.0)):
        receiver.wait_for(GATEWAYS, PATIENCE)
        receiver.stop()
        agents[0].kill()
        time.sleep(2)
        agents[0].start()
        receiver.start()
        _until(lambda: _is_over(operator, len(wanted)))
    first = {one["gatewayId"]: one["state"] for one in operator.page()}
    _until(lambda: any(b"COMPLETED" in one.body for one in receiver.heard))

    assert first == wanted
    status = operator.ask("GET", "{c}/status")
    assert status["totalNumberOfGateways"] == str(len(wanted))
    done = Counter(wanted.values())
    assert status["numberOfGatewaysInActivationCompleteState"] == str(done["ACTIVATION_COMPLETE"])
    told = [json.loads(body) for body in {one.headers["webhook-id"]: one.body for one in receiver.heard}.values()]
    check_changes(told, wanted)
    check_progress(told, mine)
    [completed] = [one for one in told if one["event"] == "COMPLETED"]
    assert told[-1] is completed
    numbers = {one["key"]: one["valueString"] for one in completed["additionalDetails"]}
    assert numbers["numberOfGatewaysInActivationCompleteState"] == str(done["ACTIVATION_COMPLETE"])
    assert "Traceback" not in process.log


def _end_of(name: str) -> str:
    [end] = expected_end(name, attempts_limit=1, versioned=False)
    return END[end.state]


def _until(holds: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.5)


def _is_over(operator: Operator, count: int) -> bool:
    """All are at an end: what the door counts, and those that failed."""
    counts: dict[str, int] = operator.ask("GET", "/api/v1/rollouts")["items"][0]["counts"]
    return sum(counts.get(end, 0) for end in ("succeeded", "failed", "canceled", "skipped")) == count


def check_changes(told: list[Json], wanted: dict[str, str]) -> None:
    """The changes of each are a chain without a gap, that ends where it stands."""
    last: dict[str, str] = {}
    for one in told:
        if one["event"] == "STATE_CHANGE":
            details = {detail["key"]: detail["valueString"] for detail in one["additionalDetails"]}
            before = last.get(one["entityId"], "INSTANTIATED")
            assert details["previousState"] == before, one
            last[one["entityId"]] = one["entityState"]
    assert last == wanted
    assert {one["gatewayId"] for one in told if one["event"] == "WAKE_UP"} == {
        uid for uid in wanted if "lamp" not in uid
    }


def check_progress(told: list[Json], mine: list[str]) -> None:
    """Of real agents: every line that the scripts printed, in order, and all bytes."""
    for uid in mine:
        lines = [
            line
            for one in told
            if one["event"] == "EXECUTION_PROGRESS" and one["entityId"] == uid
            for line in one["executionProgress"]
        ]
        words = [line.split()[-1] for line in lines]
        assert [word for word in words if word in {"verified", "executed", "valid", "activated"}], (uid, lines)
        progress = [
            one["downloadProgress"]["packagesProgress"][0]
            for one in told
            if one["event"] == "DOWNLOAD_PROGRESS" and one["entityId"] == uid
        ]
        assert progress, uid
        assert progress[-1]["progress"] == progress[-1]["total"] != "0"

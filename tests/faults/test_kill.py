"""The server is killed in the middle of things: what it has acknowledged is there, nothing is there twice or by half."""

import hashlib
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
from sqlalchemy import select
from tests.faults.process import PATIENCE, Json, Process

from airfreight.services import overview
from airfreight.store import tables
from airfreight.store.database import Database

WORDS = ["downloading"] * 6 + ["downloaded", "installing", "installing", "installed", "activating", "succeeded"]
DEVICES, SPEAKERS = 24, 4


class Speaker(threading.Thread):
    """Devices that tell their story word by word, each again and again until it is acknowledged.

    Its end they keep to themselves until they `may_end`.
    """

    def __init__(self, url: str, devices: list[Json], may_end: threading.Event | None = None) -> None:
        super().__init__(daemon=True)
        self._url, self.devices, self._may_end = url, devices, may_end
        self.acknowledged: dict[tuple[int, int], str] = {}
        self.retries = 0

    def run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60) as client:
            attempts = [(device, self._attempt(client, device)) for device in self.devices]
            for seq, word in enumerate(WORDS, start=1):
                if seq == len(WORDS) and self._may_end is not None:
                    self._may_end.wait(PATIENCE)
                for device, attempt in attempts:
                    report = {"attempt": attempt, "seq": seq, "event": word}
                    answer = self._until_answered(client, "POST", "/device/v1/reports", device, {"reports": [report]})
                    [result] = answer.json()["results"]
                    self.acknowledged[attempt, seq] = result["verdict"]

    def _attempt(self, client: httpx.Client, device: Json) -> int:
        while True:
            answer = self._until_answered(client, "GET", "/device/v1/next", device, None)
            if answer.status_code == 200:
                return int(answer.json()["attempt"])

    def _until_answered(
        self, client: httpx.Client, method: str, path: str, device: Json, body: Json | None
    ) -> httpx.Response:
        while True:
            try:
                headers = {"Authorization": f"Bearer {device['token']}"}
                answer = client.request(method, path, json=body, headers=headers)
            except httpx.TransportError:
                self.retries += 1
                time.sleep(0.02)
                continue
            assert answer.status_code in {200, 204}, answer.text
            return answer


def wait_for(share: float, speakers: list[Speaker]) -> None:
    """Until this share of all words is acknowledged."""
    end = time.monotonic() + PATIENCE
    while sum(len(speaker.acknowledged) for speaker in speakers) < share * DEVICES * len(WORDS):
        assert time.monotonic() < end
        time.sleep(0.001)


def check_reports(process: Process, rollout: int, speakers: list[Speaker]) -> None:
    """What the database has is what was acknowledged, once."""
    database = Database(f"sqlite:///{process.folder / 'airfreight.db'}")
    with database.read() as connection:
        query = select(tables.history).where(tables.history.c.seq.is_not(None))
        kept = [((row.attempt_id, row.seq), row.verdict) for row in connection.execute(query)]
        moves = Counter(
            connection.scalars(select(tables.history.c.delivery_id).where(tables.history.c.verdict == "moved"))
        )
        assert overview.drift_of(connection, rollout) == {}
    database.close()
    acknowledged = {key: verdict for speaker in speakers for key, verdict in speaker.acknowledged.items()}
    assert len(acknowledged) == DEVICES * len(WORDS)
    assert Counter(key for key, _ in kept) == Counter(acknowledged.keys())
    assert dict(kept) == acknowledged
    assert set(moves.values()) == {1 + 6}, "the offer, and the way through the six to the end"


def test_three_times_in_the_middle_of_reports(process: Process) -> None:
    with process.operator() as client:
        rollout, devices = process.shipment(client, DEVICES)
    were_killed = threading.Event()
    speakers = [Speaker(process.url, devices[start::SPEAKERS], were_killed) for start in range(SPEAKERS)]
    for speaker in speakers:
        speaker.start()
    for share in (0.15, 0.3, 0.5):
        wait_for(share, speakers)
        process.kill()
        assert any(len(speaker.acknowledged) < len(WORDS) * len(speaker.devices) for speaker in speakers)
        if share == 0.5:
            were_killed.set()
        process.start()
    for speaker in speakers:
        speaker.join(PATIENCE)
        assert not speaker.is_alive()
    assert sum(speaker.retries for speaker in speakers) > 0
    with process.operator() as client:
        shown = client.get("/api/v1/organization/shipment", params={"shipmentId": rollout}).json()
    assert (shown["status"], shown["shipmentProgress"]["success"]) == ("FINISH", DEVICES)
    process.kill()
    check_reports(process, rollout, speakers)
    doctor = process.doctor()
    assert doctor.returncode == 0, doctor.stdout
    assert "Traceback" not in process.log


def test_a_stop_in_good_order_loses_nothing_either(process: Process) -> None:
    with process.operator() as client:
        rollout, devices = process.shipment(client, DEVICES)
    speakers = [Speaker(process.url, devices[start::SPEAKERS]) for start in range(SPEAKERS)]
    for speaker in speakers:
        speaker.start()
    wait_for(0.5, speakers)
    process.stop()
    process.start()
    for speaker in speakers:
        speaker.join(PATIENCE)
        assert not speaker.is_alive()
    process.kill()
    check_reports(process, rollout, speakers)
    assert process.doctor().returncode == 0
    assert "Traceback" not in process.log


def test_two_processes_share_the_port_and_the_database(tmp_path: Path) -> None:
    process = Process(tmp_path / "data", workers="2").start()
    try:
        with process.operator() as client:
            rollout, devices = process.shipment(client, DEVICES)
        speakers = [Speaker(process.url, devices[start::SPEAKERS]) for start in range(SPEAKERS)]
        for speaker in speakers:
            speaker.start()
        for speaker in speakers:
            speaker.join(PATIENCE)
            assert not speaker.is_alive()
        with process.operator() as client:
            assert client.get(f"/api/v1/rollouts/{rollout}").json()["state"] == "finished"
    finally:
        process.stop()
    check_reports(process, rollout, speakers)
    assert process.doctor().returncode == 0
    assert "Traceback" not in process.log


def test_in_the_middle_of_uploads(process: Process) -> None:
    """Half a file is never listed; what it left is gone when it is old enough to be nobody's."""
    incoming = process.folder / "blobs" / "incoming"
    with process.operator() as client:
        whole = client.put("/api/v1/artifacts", params={"filename": "whole.bin"}, content=b"whole").json()
        token = client.headers["Authorization"]

    def pieces() -> Iterator[bytes]:
        while True:
            yield random.randbytes(100_000)
            time.sleep(0.005)

    def never_ending() -> None:
        with suppress(httpx.TransportError):
            url, headers = f"{process.url}/api/v1/artifacts?filename=half.bin", {"Authorization": token}
            httpx.put(url, content=pieces(), headers=headers, timeout=PATIENCE)

    senders = [threading.Thread(target=never_ending) for _ in range(3)]
    for sender in senders:
        sender.start()
    end = time.monotonic() + PATIENCE
    while sum(path.stat().st_size > 2_000_000 for path in incoming.iterdir()) < 3:
        assert time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    for sender in senders:
        sender.join(PATIENCE)
        assert not sender.is_alive()
    left = list(incoming.iterdir())
    assert len(left) == 3
    os.utime(left[0], (0, 0))
    process.start()
    end = time.monotonic() + PATIENCE
    while left[0].exists():
        assert time.monotonic() < end, "the next start removes old ones"
        time.sleep(0.05)
    assert all(path.exists() for path in left[1:]), "another process might still be receiving them"
    with process.operator() as client:
        [listed] = client.get("/api/v1/artifacts").json()["items"]
        assert listed == whole
        again = client.put("/api/v1/artifacts", params={"filename": "again.bin"}, content=b"again")
        assert again.status_code == 201
    for path in (process.folder / "blobs").glob("??/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert process.doctor().returncode == 0


def test_a_server_that_was_killed_starts_with_nothing_but_its_data(process: Process) -> None:
    """Tokens and credentials of before are good after: keys and hashes were durable."""
    with process.operator() as client:
        token = client.headers["Authorization"]
        _, [made] = process.shipment(client, 1)
    process.kill()
    process.start()
    with httpx.Client(base_url=process.url, timeout=PATIENCE) as client:
        assert client.get("/api/v1/me", headers={"Authorization": token}).status_code == 200
        headers = {"Authorization": f"Bearer {made['token']}"}
        assert client.get("/device/v1/next", headers=headers).status_code in {200, 204}

"""A served application for the tests of the command: a server in its own process, its first client, and devices."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.ports import free_port

CLIENT = {"AIRFREIGHT_CLIENT_ID": "oa2-client-id_e2e", "AIRFREIGHT_CLIENT_SECRET": "e2e-secret-0123456789abcdefghij"}
ADMIN = {"AIRFREIGHT_ADMIN_EMAIL": "ada@example.com", "AIRFREIGHT_ADMIN_PASSWORD": "correct horse battery"}
PATIENCE = 120
"""Seconds: for a machine that is slow and busy; nobody waits for all of it."""
BUILD = "Jan 09 2026 12:25:30"


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    log: Path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    port = free_port()
    url, log = f"http://127.0.0.1:{port}", folder / "log"
    command = [
        sys.executable,
        "-m",
        "airfreight.cli.main",
        "serve",
        "--data",
        str(folder / "data"),
        "--port",
        str(port),
    ]
    environment = {**os.environ, **CLIENT, **ADMIN, "AIRFREIGHT_MIN_FREE_BYTES": "0"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        wait_until_ready(process, url, log)
        yield Server(url, log)
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text())


Ok = Callable[..., Any]


@pytest.fixture
def ok(run: Callable[..., Any], server: Server, monkeypatch: pytest.MonkeyPatch) -> Ok:
    """Runs a command as the server's first client and returns its JSON document."""
    monkeypatch.setenv("AIRFREIGHT_SERVER", server.url)
    for name, value in CLIENT.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str) -> Any:
        result = run(*arguments, "--json")
        assert result.code == 0, (arguments, result.err, server.log.read_text()[-2000:])
        return result.document

    return call


class Device:
    """A device as its own program would be: it polls, downloads and reports."""

    def __init__(self, server: Server, token: str) -> None:
        self._http = httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE)

    def boot(self, version: str) -> None:
        build = BUILD if version == "2.3.1" else "Jan 01 2026 00:00:00"
        attributes = {"version": version, "fwType": "lamp", "build": build}
        answer = self._http.put("/device/v1/attributes", json=attributes)
        assert answer.status_code == 200, answer.text

    def instruction(self) -> dict[str, Any]:
        answer = self._http.get("/device/v1/next", params={"wait": 20})
        assert answer.status_code == 200, answer.text
        instruction: dict[str, Any] = answer.json()
        return instruction

    def report(self, attempt: int, *events: str, **more: object) -> None:
        reports = [{"attempt": attempt, "seq": n, "event": event, **more} for n, event in enumerate(events, start=1)]
        answer = self._http.post("/device/v1/reports", json={"reports": reports})
        assert answer.status_code == 200, answer.text
        assert {result["verdict"] for result in answer.json()["results"]} <= {"moved", "noted"}, answer.text

    def report_all(self, reports: list[dict[str, Any]]) -> list[str]:
        """Send reports as they are; what the server made of each."""
        answer = self._http.post("/device/v1/reports", json={"reports": reports})
        assert answer.status_code == 200, answer.text
        return [result["verdict"] for result in answer.json()["results"]]

    def update(self, content: bytes, version: str) -> None:
        told = self.instruction()
        assert told["do"] == "download"
        assert self._http.get(told["artifacts"][0]["url"]).content == content
        self.report(told["attempt"], "downloading", "downloaded", "installing", "installed", "activating")
        self.boot(version)

    def close(self) -> None:
        self._http.close()


@pytest.fixture
def device(server: Server) -> Iterator[Callable[[str], Device]]:
    made: list[Device] = []

    def make(token: str) -> Device:
        made.append(Device(server, token))
        return made[-1]

    yield make
    for one in made:
        one.close()

"""The server as a process of its own, that can be killed at any moment and started again on the same data and port."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from tests.ports import free_port

CLIENT = ("client-of-the-fault-tests", "secret-of-the-fault-tests-0001")
PATIENCE = 120
"""Seconds: for a machine that is slow and busy; nobody waits for all of it."""
Json = dict[str, Any]


class Process:
    """`airfreight serve` on a folder; `log` is everything it wrote, over all its lives."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder.with_suffix(".log")
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFREIGHT_")},
            "AIRFREIGHT_CLIENT_ID": CLIENT[0],
            "AIRFREIGHT_CLIENT_SECRET": CLIENT[1],
            "AIRFREIGHT_MIN_FREE_BYTES": "0",
            **{f"AIRFREIGHT_{name.upper()}": value for name, value in settings.items()},
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._token = ""

    def set(self, name: str, value: str) -> None:
        """A setting that is only known now; for the next start."""
        self._environment[f"AIRFREIGHT_{name.upper()}"] = value

    def start(self) -> "Process":
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._command("serve"), "--host", "127.0.0.1", "--port", str(self.port)],
                env=self._environment,
                stdout=output,
                stderr=output,
            )
        end = time.monotonic() + PATIENCE
        while not self.is_ready():
            assert self.is_alive, self.log
            assert time.monotonic() < end, self.log
            time.sleep(0.05)
        return self

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def is_alive(self) -> bool:
        process = self._process  # another thread may be killing it
        return process is not None and process.poll() is None

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def kill(self) -> None:
        """As a power cut: not a byte more."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """As an operator does it; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        process = self._process
        if process is None:
            return 0
        process.send_signal(how)
        code = process.wait(PATIENCE)
        if self._process is process:  # it may have been started again meanwhile
            self._process = None
        return code

    def doctor(self) -> subprocess.CompletedProcess[str]:
        """`airfreight doctor` on the same data."""
        return subprocess.run(
            self._command("doctor"),
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def _command(self, verb: str) -> list[str]:
        return [sys.executable, "-m", "airfreight.cli.main", verb, "--data", str(self.folder)]

    def operator(self) -> httpx.Client:
        """A client with the API client's token."""
        grant = {"grant_type": "client_credentials"}
        answer = httpx.post(f"{self.url}/oauth2/token", params=grant, auth=CLIENT, timeout=PATIENCE)
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.Client(base_url=self.url, timeout=PATIENCE, headers=headers)

    def shipment(self, client: httpx.Client, devices: int) -> tuple[int, list[Json]]:
        """A shipment of a file without a version for new devices of a new product; its id, and the devices."""
        product = client.post("/api/v1/products", json={"name": f"product {time.monotonic_ns()}"}).json()["id"]
        made = client.post("/api/v1/devices/bulk", json={"productId": product, "count": devices}).json()["items"]
        stored = client.put("/api/v1/artifacts", params={"filename": "a.bin"}, content=b"a file" * 100).json()
        body = {
            "title": "t",
            "productId": product,
            "pathToFirmware": stored["path"],
            "firmwareOriginalFileName": "a.bin",
            "firmwareInfo": stored["firmwareInfo"],
            "skipFwTypeCheck": True,
            "deviceIds": [device["id"] for device in made],
        }
        answer = client.post("/api/v1/organization/shipment/create", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"]), made

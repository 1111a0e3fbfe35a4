"""A real Airfreight server in a process of its own, and an operator who talks to it over HTTP."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
from tests.ports import free_port

from airfreight_agent.behaviours import End
from airfreight_agent.simulated import Member

CLIENT_ID, CLIENT_SECRET = "client-for-tests", "secret-for-tests-of-the-agent-0001"
START_SECONDS = 120.0
Json = dict[str, Any]


@dataclass(frozen=True)
class Delivery:
    id: int
    end: End
    attempt: int


class Operator:
    """Somebody with the client's credentials."""

    def __init__(self, server: "Server") -> None:
        self.server = server
        self.url = server.url
        self.http = httpx.Client(base_url=self.url, timeout=30.0)
        answer = self.http.post(
            "/oauth2/token?grant_type=client_credentials", auth=httpx.BasicAuth(CLIENT_ID, CLIENT_SECRET)
        )
        answer.raise_for_status()
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def product(self) -> int:
        return int(self._post("/api/v1/products", {"name": f"product-{secrets.token_hex(6)}"})["id"])

    def enrollment_key(self) -> str:
        return str(self._post("/api/v1/enrollment-keys", {"name": f"key-{secrets.token_hex(8)}"})["key"])

    def members(self, product: int, behaviours: Sequence[str]) -> list[Member]:
        """New devices of the product, one for each behaviour."""
        wanted = [{"uid": f"{name}-{number}-{secrets.token_hex(4)}"} for number, name in enumerate(behaviours)]
        items = self._post("/api/v1/devices/bulk", {"productId": product, "devices": wanted})["items"]
        tokens = {item["uid"]: item["token"] for item in items}
        return [Member(row["uid"], tokens[row["uid"]], name) for row, name in zip(wanted, behaviours, strict=True)]

    def ship(self, product: int, content: bytes, *, attempts: int = 2, version: str | None = None) -> int:
        """Upload and send to the whole product; the number of the rollout."""
        described = self._answer(self.http.put("/api/v1/artifacts?filename=image.bin", content=content))
        info = {**(described["firmwareInfo"] or {}), **({"version": version} if version else {})}
        body = {
            "title": "an update",
            "productId": product,
            "pathToFirmware": described["path"],
            "firmwareOriginalFileName": "image.bin",
            "firmwareInfo": info,
            "attemptsLimit": attempts,
            "skipFwTypeCheck": True,
        }
        return int(self._post("/api/v1/organization/shipment/create", body)["id"])

    def stop(self, rollout: int) -> None:
        self._post(f"/api/v1/rollouts/{rollout}/stop", None)

    def counts(self, rollout: int) -> dict[str, int]:
        """How many deliveries are in each state; zeros are left out."""
        counts = self._get(f"/api/v1/rollouts/{rollout}")["counts"]
        return {state: count for state, count in counts.items() if count}

    def deliveries(self, rollout: int) -> dict[str, Delivery]:
        """By the device's uid."""
        found: dict[str, Delivery] = {}
        after = ""
        while True:
            page = self._get(f"/api/v1/rollouts/{rollout}/deliveries?limit=500{after}")
            for item in page["items"]:
                end = End(item["state"], item["reason"] or "")
                found[item["deviceUid"]] = Delivery(item["id"], end, item["attempt"])
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    def asked_to_cancel(self, rollout: int) -> set[str]:
        """The uids of the devices that have not answered this wish yet."""
        page = self._get(f"/api/v1/rollouts/{rollout}/deliveries?limit=500")
        return {item["deviceUid"] for item in page["items"] if item["cancelRequested"]}

    def history(self, rollout: int, delivery: Delivery) -> tuple[str, ...]:
        """The states the delivery went through, each once per visit."""
        answer = self.http.get(f"/api/v1/rollouts/{rollout}/deliveries/{delivery.id}/history")
        answer.raise_for_status()
        states = ["", *(event["state"] for event in answer.json() if event["verdict"] == "moved")]
        return tuple(state for before, state in pairwise(states) if state != before)

    def device(self, uid: str) -> Json:
        items = self._get(f"/api/v1/devices?query={uid}")["items"]
        assert len(items) == 1, items
        return dict(items[0])

    def _get(self, path: str) -> Json:
        return self._answer(self.http.get(path))

    def _post(self, path: str, body: object) -> Json:
        return self._answer(self.http.post(path, content=json.dumps(body) if body is not None else b""))

    @staticmethod
    def _answer(answer: httpx.Response) -> Json:
        assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
        return dict(answer.json())


class Server:
    """`airfreight serve` over a folder; `settings` become AIRFREIGHT_ variables. Stays at its port when started again."""

    def __init__(self, data: Path, **settings: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = data.with_suffix(".log")
        arguments = ["serve", "--data", str(data), "--host", "127.0.0.1", "--port", str(port)]
        self._command = [sys.executable, "-m", "airfreight.cli.main", *arguments]
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFREIGHT_")},
            "AIRFREIGHT_ADMIN_EMAIL": "admin@example.com",
            "AIRFREIGHT_ADMIN_PASSWORD": "a password for tests",
            "AIRFREIGHT_CLIENT_ID": CLIENT_ID,
            "AIRFREIGHT_CLIENT_SECRET": CLIENT_SECRET,
            **{f"AIRFREIGHT_{name.upper()}": value for name, value in settings.items()},
        }

    def start(self) -> None:
        """Returns when it is ready."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=output, stderr=output)
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up:
            assert self._process.poll() is None, self._log.read_text()
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz", timeout=10.0).status_code == 200:
                    return
            time.sleep(0.1)
        raise AssertionError(f"the server is not ready: {self._log.read_text()}")

    def end(self, how: signal.Signals) -> None:
        self._process.send_signal(how)
        self._process.wait(START_SECONDS)


@contextmanager
def airfreight(data: Path, **settings: str) -> Iterator[Operator]:
    """A server, and an operator logged in to it."""
    server = Server(data, **settings)
    server.start()
    try:
        operator = Operator(server)
        yield operator
        operator.http.close()
    finally:
        server.end(signal.SIGTERM)

"""An Airfreight server on SQLite in a folder of its own, and the few calls that the benchmarks prepare it with."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from benchmarks.bench import Bench, Target, check, free_port, wait_for

_PROGRAM = str(Path(sys.executable).parent / "airfreight")
_BULK = 10_000
_CLIENT, _SECRET = "bench", "a secret of the benchmark"


@dataclass(frozen=True, slots=True)
class Server(Target):
    """Airfreight; `api` is signed in as its first client."""

    data: Path
    api: httpx.Client

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.api.post(path, json=body)
        check(answer.status_code == 201, f"POST {path}: {answer.status_code} {answer.text[:300]}")
        return dict(answer.json())

    def get(self, path: str) -> dict[str, Any]:
        answer = self.api.get(path)
        check(answer.status_code == 200, f"GET {path}: {answer.status_code} {answer.text[:300]}")
        return dict(answer.json())

    def product(self, name: str, devices: int) -> tuple[int, list[str]]:
        """A product with so many devices: its id and their tokens."""
        product_id, made = self.devices(name, devices)
        return product_id, [one["token"] for one in made]

    def devices(self, name: str, count: int) -> tuple[int, list[dict[str, Any]]]:
        """A product with so many devices: its id, and each one's uid and token."""
        product_id = int(self.post("/api/v1/products", {"name": name})["id"])
        return product_id, self.devices_of(product_id, count)

    def devices_of(self, product_id: int, count: int) -> list[dict[str, Any]]:
        """So many more devices of a product."""
        made: list[dict[str, Any]] = []
        while (left := count - len(made)) > 0:
            made += self.post("/api/v1/devices/bulk", {"productId": product_id, "count": min(left, _BULK)})["items"]
        return made

    def artifact(self, content: bytes) -> dict[str, Any]:
        answer = self.api.put("/api/v1/artifacts", params={"filename": "bench.bin"}, content=content)
        check(answer.status_code == 201, f"upload: {answer.status_code} {answer.text[:300]}")
        return dict(answer.json())

    def ship(self, product_id: int, artifact: dict[str, Any]) -> int:
        """A rollout to the whole product, as the Shipments door starts one; its id."""
        body = {
            "title": "bench",
            "productId": product_id,
            "pathToFirmware": artifact["path"],
            "firmwareOriginalFileName": artifact["filename"],
            "firmwareInfo": artifact["firmwareInfo"],
            "deviceIds": [],
            "skipFwTypeCheck": True,
        }
        return int(self.post("/api/v1/organization/shipment/create", body)["id"])

    def update(self, devices: Sequence[dict[str, Any]], image: bytes, version: str) -> int:
        """Send an image to these devices through the Device OTA door, as one group of them; the rollout's id."""
        group = self.post("/v1/groups", {"name": "bench"})
        for one in devices:
            answer = self.api.put(f"/v1/devices/{one['uid']}", json={"group": group["_id"]})
            check(answer.status_code == 200, f"into the group: {answer.status_code} {answer.text[:300]}")
        answer = self.api.post(
            "/v1/ota/group",
            files={"firmware": ("firmware.bin", image)},
            data={"group": group["_id"], "token": group["token"], "version": version},
        )
        check(answer.status_code == 201, f"upload for the group: {answer.status_code} {answer.text[:300]}")
        rollout = self.get("/api/v1/rollouts")["items"][0]
        check(rollout["total"] == len(devices), f"the group's rollout: {rollout}")
        return int(rollout["id"])

    def offer(self, tokens: Sequence[str]) -> list[dict[str, Any]]:
        """Every device polls once and is told to download: the instructions, in the order of `tokens`."""

        def ask(some: Sequence[str]) -> list[dict[str, Any]]:
            with httpx.Client(base_url=self.base, timeout=60) as devices:
                return [instruction(devices, token) for token in some]

        with ThreadPoolExecutor(8) as pool:
            parts = list(pool.map(ask, [tokens[start::8] for start in range(8)]))
        return [parts[i % 8][i // 8] for i in range(len(tokens))]

    def doctor(self) -> None:
        """Counters equal a recount, or CheckError. Works on a stopped server, too."""
        done = subprocess.run(
            [_PROGRAM, "doctor", "--data", str(self.data), "--json"], capture_output=True, text=True, check=False
        )
        told = json.loads(done.stdout)
        check(done.returncode == 0 and told["ok"], f"doctor: {told}")


def instruction(client: httpx.Client, token: str) -> dict[str, Any]:
    """What a device that has an offer is told."""
    answer = client.get("/device/v1/next", headers={"Authorization": f"Bearer {token}"})
    check(answer.status_code == 200, f"a device with an offer was answered {answer.status_code}")
    told = dict(answer.json())
    check(told["do"] == "download" and told["attempt"] > 0, f"a device with an offer was told {told}")
    return told


@contextmanager
def airfreight(
    bench: Bench, name: str, *, pinned: bool = True, settings: dict[str, str] | None = None
) -> Iterator[Server]:
    """One worker process; ended when the block ends. `settings`: environment variables beyond the first user's."""
    data, log, port = bench.folder / name, bench.folder / f"{name}.log", free_port()
    base = f"http://127.0.0.1:{port}"
    env = {
        "AIRFREIGHT_ADMIN_EMAIL": "bench@example.com",
        "AIRFREIGHT_ADMIN_PASSWORD": "only for this benchmark",
        "AIRFREIGHT_CLIENT_ID": _CLIENT,
        "AIRFREIGHT_CLIENT_SECRET": _SECRET,
        **(settings or {}),
    }
    command = [_PROGRAM, "serve", "--data", str(data), "--host", "127.0.0.1", "--port", str(port)]
    process = bench.start(command, log=log, env=env, pinned=pinned)
    try:
        wait_for(f"{base}/readyz", process, log)
        with httpx.Client(base_url=base, timeout=120) as api:
            grant = api.post(
                "/oauth2/token", params={"grant_type": "client_credentials"}, auth=(_CLIENT, _SECRET)
            ).json()
            api.headers["Authorization"] = f"Bearer {grant['access_token']}"
            yield Server(base, process, data, api)
    finally:
        bench.end(process)

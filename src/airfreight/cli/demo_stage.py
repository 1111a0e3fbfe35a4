"""What the demo needs before its curtain: credentials, a product, devices, a file to send. Kept in the data folder.

Everything but the first API client is made over HTTP, as any user would.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from airfreight.apis.common.desk import clock
from airfreight.app import keyring
from airfreight.cli import local
from airfreight.services import credentials
from airfreight.settings import Settings
from airfreight.store import access
from airfreight.store.database import Database
from airfreight_agent.behaviours import BEHAVIOURS
from airfreight_agent.sample_image import append_tag, build_sample_image
from airfreight_agent.simulated import OTHER_VERSION, Member

PRODUCT = "Demo product"
FW_TYPE = "DEMO"
FIRST_VERSION = "1.0.0"
ATTEMPTS_LIMIT = 2
_GOOD_SHARE = 0.7


@dataclass(slots=True)
class Stage:
    """What is remembered between two demos on the same data folder (`demo.json`, readable by its owner only)."""

    client_id: str
    client_secret: str = field(repr=False)
    email: str = ""
    password: str = field(default="", repr=False)
    product_id: int = 0
    devices: list[dict[str, Any]] = field(default_factory=list)

    def save(self, folder: Path) -> None:
        temporary = folder / "demo.json.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file)
        temporary.replace(folder / "demo.json")


def load_or_make(settings: Settings) -> Stage:
    """The stage of this data folder; at the first time, with the first user and an API client of its own."""
    first = local.prepare(settings)
    path = settings.data / "demo.json"
    if path.exists():
        return Stage(**json.loads(path.read_text()))
    if first:
        stage = Stage(first.client_id, first.client_secret, first.email, first.password)
    else:
        stage = Stage(*_new_client(settings))
    stage.save(settings.data)
    return stage


def _new_client(settings: Settings) -> tuple[str, str]:
    """An API client for the demo, in a data folder that has its users already."""
    keys, database = keyring(settings), Database(settings.url)
    client_id, secret = credentials.new_client_id(), credentials.new_token()
    with database.write() as connection:
        user = access.first_admin(connection)
        access.add_client(
            connection,
            user.organization_id,
            name="Demo",
            client_id=client_id,
            secret_hash=keys.digest(secret),
            owner_user_id=user.id,
            now=clock(),
        )
    database.close()
    return client_id, secret


def sign_in(stage: Stage, server: str) -> httpx.Client:
    """An HTTP client that carries an access token."""
    api = httpx.Client(base_url=server, timeout=60)
    answer = api.post(
        "/oauth2/token", params={"grant_type": "client_credentials"}, auth=(stage.client_id, stage.client_secret)
    )
    api.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
    return api


def set_up(stage: Stage, api: httpx.Client, count: int, folder: Path) -> list[Member]:
    """Product and devices, made where they are missing; the members of the fleet as they run now."""
    if not stage.product_id:
        stage.product_id = _product(api)
        stage.save(folder)
    missing = count - len(stage.devices)
    if missing > 0:
        names = behaviours(count)[len(stage.devices) :]
        for start in range(0, missing, 5000):
            some = names[start : start + 5000]
            body = {"productId": stage.product_id, "devices": [{"name": name} for name in some]}
            made = api.post("/api/v1/devices/bulk", json=body).raise_for_status().json()["items"]
            stage.devices += [
                {"id": one["id"], "uid": one["uid"], "token": one["token"], "behaviour": name}
                for one, name in zip(made, some, strict=True)
            ]
        stage.save(folder)
        _introduce(api, stage.devices[-missing:])
    running = _versions(api, stage.product_id)
    return [
        Member(one["uid"], one["token"], one["behaviour"], _runs(running.get(one["id"], "")))
        for one in stage.devices[:count]
    ]


def _runs(reported: str) -> str:
    """What a device starts the demo with: what it reported last, unless that was a lie of the last demo."""
    return reported if reported not in {"", OTHER_VERSION} else FIRST_VERSION


def _product(api: httpx.Client) -> int:
    items = api.get("/api/v1/products", params={"limit": 500}).raise_for_status().json()["items"]
    found = [item["id"] for item in items if item["name"] == PRODUCT]
    return int(
        found[0] if found else api.post("/api/v1/products", json={"name": PRODUCT}).raise_for_status().json()["id"]
    )


def _introduce(api: httpx.Client, devices: Sequence[dict[str, Any]]) -> None:
    """Each new device tells its type and version, as it would at its first boot."""
    for one in devices:
        headers = {"Authorization": f"Bearer {one['token']}"}
        attributes = {"version": FIRST_VERSION, "fwType": FW_TYPE}
        api.put("/device/v1/attributes", json=attributes, headers=headers).raise_for_status()


def _versions(api: httpx.Client, product_id: int) -> dict[int, str]:
    """Device id -> the version that the server last heard of."""
    found: dict[int, str] = {}
    after: int | None = 0
    while after is not None:
        page = api.get("/api/v1/devices", params={"productId": product_id, "limit": 500, "after": after})
        answer = page.raise_for_status().json()
        found.update({item["id"]: item["version"] for item in answer["items"]})
        after = answer["next"]
    return found


def behaviours(count: int) -> list[str]:
    """Most devices are good; every other behaviour comes at least once, as far as there is room."""
    others = [name for name in BEHAVIOURS if name != "good"]
    good = max(1, count - max(len(others), round(count * (1 - _GOOD_SHARE))))
    return ["good"] * good + [others[i % len(others)] for i in range(count - good)]


def version_after(api: httpx.Client, product_id: int) -> str:
    """The next version: one more than the demo has sent so far."""
    sent = [
        s for s in api.get("/api/v1/organization/shipments").raise_for_status().json() if s["productId"] == product_id
    ]
    return f"1.{len(sent) + 1}.0"


def image(path: Path | None, version: str) -> bytes:
    """The file to send: a real one with a version tag appended (as repackaging tools do), or a small one made here."""
    if path is None:
        return build_sample_image(version, fw_type=FW_TYPE)
    return append_tag(path.read_bytes(), **{"mcu": version, "fw-type": FW_TYPE, "dev": "ESP32"})

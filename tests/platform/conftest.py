"""Two organizations with people and clients, and the operator app over them; everything is real but the socket."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar
from litestar.testing import TestClient
from sqlalchemy import Table, insert

from airfreight.adapters.blobs import FolderBlobs
from airfreight.adapters.webhooks import HttpPoster
from airfreight.apis.campaigns.routers import ROUTERS as CAMPAIGNS
from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.ddi import operators as direct_operators
from airfreight.apis.operators import operator_app
from airfreight.apis.platform import webhooks
from airfreight.apis.platform.routers import ROUTERS
from airfreight.domain.access import Role
from airfreight.services import access, credentials
from airfreight.services.access import Candidate
from airfreight.services.credentials import Keyring
from airfreight.settings import load
from airfreight.store import access as people
from airfreight.store import organizations
from airfreight.store.database import Database
from airfreight.store.tables import artifacts, deliveries, rollout_artifacts, rollouts, webhook_messages

PASSWORD = "correct horse battery staple"
PASSWORD_HASH = credentials.hash_password(PASSWORD)


@dataclass(slots=True)
class Side:
    """One organization: its API client, and a token for the client and for a user of each role."""

    organization_id: int
    client_id: str
    secret: str
    users: dict[str, int] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def email(self, role: str) -> str:
        return f"{role}@{self.client_id}.example"


class World:
    """Calls the app; `home` is the organization that tests work in, `other` has nothing to do with it."""

    def __init__(self, http: TestClient[Litestar], desk: Desk, home: Side, other: Side) -> None:
        self.http = http
        self.desk = desk
        self.home = home
        self.other = other

    def call(
        self, method: str, path: str, who: str | None = "admin", side: Side | None = None, **how: Any
    ) -> httpx.Response:
        headers = how.pop("headers", {})
        if who is not None:
            headers = {"Authorization": f"Bearer {(side or self.home).tokens[who]}", **headers}
        return self.http.request(method, path, headers=headers, **how)

    def post(self, path: str, body: object, who: str = "admin", side: Side | None = None) -> dict[str, Any]:
        """POST that must work."""
        answer = self.call("POST", path, who, side, json=body)
        assert answer.status_code in {200, 201}, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def get(self, path: str, who: str = "admin", side: Side | None = None) -> dict[str, Any]:
        answer = self.call("GET", path, who, side)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def token(self, grant_type: str, side: Side | None = None, *, form: bool = False, **fields: str) -> httpx.Response:
        """Ask for tokens as the side's API client."""
        side = side or self.home
        how: dict[str, Any] = {"data" if form else "params": {"grant_type": grant_type, **fields}}
        return self.http.post("/oauth2/token", auth=(side.client_id, side.secret), **how)

    def make_all(self, kinds: list[str]) -> list[int | str]:
        """New rows for the ids of one path, each below the one before it."""
        ids: list[int | str] = []
        for kind in kinds:
            if kind in {"campaign", "gateway", "program", "destination"}:
                ids.append(self._make_for_steps(kind, *ids))
            elif kind == "upload":
                headers = {"Upload-Length": "5", "Upload-Metadata": "filename YQ=="}
                ids.append(self.call("POST", "/api/v1/uploads", headers=headers).json()["id"])
            elif kind == "delivery":
                ids.append(self._insert_delivery(int(ids[0])))
            elif kind == "message":
                ids.append(self._insert_message(int(ids[0])))
            else:
                ids.append(self.make(kind))
        return ids

    def _make_for_steps(self, kind: str, campaign: int | str = "") -> str:
        """What has a uid in an address; a gateway is in the campaign, if there is one."""
        if kind == "campaign":
            return str(self.post("/api/campaigns", {"name": "c"})["uuid"])
        if kind == "destination":
            body = {"name": "d", "host": "receiver.example.invalid", "port": 80}
            return str(self.post("/api/notification-destinations", body)["id"])
        if kind == "program":
            answer = self.call("POST", "/api/programs", content=uuid.uuid4().bytes)
            return str(answer.json()["uuid"])
        gateway = self.get(f"/api/v1/devices/{self.make('device')}")["uid"]
        if campaign:
            self.post(f"/api/campaigns/{campaign}/devices", {"gatewayIds": [gateway]})
        return str(gateway)

    def make(self, kind: str) -> int:
        """A new row of this kind in `home`, with nothing below it; its id."""
        unique = uuid.uuid4().hex[:12]
        if kind == "organization":
            made = self.post("/api/v1/organizations", {"name": unique})
        elif kind == "user":
            return self._add_user(unique)
        elif kind == "client":
            made = self.post("/api/v1/clients", {"name": unique})
        elif kind == "key":
            made = self.post("/api/v1/enrollment-keys", {"name": unique})
        elif kind == "product":
            made = self.post("/api/v1/products", {"name": unique})
        elif kind == "device":
            made = self.post("/api/v1/devices", {"productId": self.make("product")})
        elif kind == "artifact":
            return self._insert(
                artifacts,
                uid=unique,
                path=f"/{unique}",
                filename="a.bin",
                size=1,
                sha256="0" * 64,
                md5="0" * 32,
                format="raw",
                tagged=False,
            )
        elif kind == "rollout":
            return self._insert_rollout(unique)
        elif kind == "group":
            made = self.post("/api/v1/groups", {"name": unique, "filter": "has(uid)"})
        elif kind == "webhook":
            made = self.post("/api/v1/webhooks", {"name": unique, "url": "https://receiver.example.invalid/hook"})
        else:
            raise AssertionError(f"No way to make a {kind}: add one here.")
        return int(made["id"])

    def _add_user(self, unique: str) -> int:
        with self.desk.database.write() as connection:
            return people.add_user(
                connection,
                self.home.organization_id,
                email=f"{unique}@example.com",
                name="",
                role="user",
                password_hash=PASSWORD_HASH,
                now=1,
            )

    def _insert_rollout(self, unique: str) -> int:
        rollout_id = self._insert(
            rollouts, uid=unique, origin="native", product_id=self.make("product"), title="t", state="running", whole_product=False,
            condition="none", check_type=False, critical=False, day_part="any", attempts_limit=1, reset_period_ms=0,
            deadline_seconds=60, finish_on="report", on_conflict="supersede", secure=False,
        )  # fmt: skip
        values = {"rollout_id": rollout_id, "position": 0, "artifact_id": self.make("artifact"), "filename": "a.bin"}
        with self.desk.database.write() as connection:
            connection.execute(insert(rollout_artifacts).values(values))
        return rollout_id

    def end_with_a_device(self, rollout_id: int) -> None:
        """Give the rollout a device of its product, and stop it."""
        product_id = self.get(f"/api/v1/rollouts/{rollout_id}")["productId"]
        self._insert_delivery(rollout_id, self.post("/api/v1/devices", {"productId": product_id})["id"])
        self.post(f"/api/v1/rollouts/{rollout_id}/stop", None)

    def end(self, rollout_id: int) -> None:
        self.post(f"/api/v1/rollouts/{rollout_id}/stop", None)

    def wait_for(self, device_id: int) -> None:
        """An update that waits for this device."""
        self._insert_delivery(self.make("rollout"), device_id)

    def _insert_delivery(self, rollout_id: int, device_id: int = 0) -> int:
        query = insert(deliveries).values(
            organization_id=self.home.organization_id, rollout_id=rollout_id, device_id=device_id or self.make("device"),
            state="queued", attempts_limit=1, updated_at=1,
        )  # fmt: skip
        with self.desk.database.write() as connection:
            return int(connection.execute(query.returning(deliveries.c.id)).scalar_one())

    def _insert_message(self, webhook_id: int) -> int:
        """A dead one."""
        return self._insert(
            webhook_messages, destination_id=webhook_id, kind="a.kind", body="{}", state="dead", due_at=1
        )

    def _insert(self, table: Table, **values: object) -> int:
        query = insert(table).values(organization_id=self.home.organization_id, created_at=1, **values)
        with self.desk.database.write() as connection:
            return int(connection.execute(query.returning(table.c.id)).scalar_one())


def make_side(database: Database, keyring: Keyring, name: str) -> Side:
    with database.write() as connection:
        organization_id = organizations.add(connection, name=name, parent_id=None, time_zone="", now=1)
        side = Side(organization_id, f"client-of-{name}", f"secret-of-{name}")
        for role in Role:
            side.users[role] = people.add_user(
                connection,
                organization_id,
                email=side.email(role),
                name=role,
                role=role,
                password_hash=PASSWORD_HASH,
                now=1,
            )
        people.add_client(
            connection, organization_id, name=name, client_id=side.client_id, secret_hash=keyring.digest(side.secret),
            owner_user_id=side.users["admin"], now=1,
        )  # fmt: skip
        now = clock()
        grant = access.client_credentials(connection, keyring, side.client_id, side.secret, now, 3600)
        side.tokens["client"] = grant.access_token
        for role in Role:
            who = Candidate(side.email(role), side.users[role], PASSWORD_HASH)
            grant = access.user_credentials(connection, keyring, side.client_id, who, now, 3600)
            side.tokens[role] = grant.access_token
    return side


@pytest.fixture
def desk(database: Database, data_dir: Path, keyring: Keyring, blobs: FolderBlobs) -> Desk:
    return Desk(database, load({}, data=data_dir, min_free_bytes=0), keyring, blobs)


@pytest.fixture
def app(desk: Desk) -> Litestar:
    poster = HttpPoster(desk.settings.webhook_networks, "Airfreight/0")
    return operator_app(desk, [*ROUTERS, webhooks.router(poster), *CAMPAIGNS, direct_operators.router], "0")


@pytest.fixture
def world(desk: Desk, app: Litestar) -> Iterator[World]:
    home, other = (make_side(desk.database, desk.keyring, name) for name in ("home", "other"))
    with TestClient(app, raise_server_exceptions=False) as http:
        yield World(http, desk, home, other)

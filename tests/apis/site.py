"""One organization on a served application, with people, a product and devices; each test has its own."""

import time
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
from sqlalchemy import select
from tests.apis.serving import Served
from tests.make import Bench, Board, Stored

from airfreight.apis.common.desk import clock
from airfreight.domain.access import Role
from airfreight.services import access, credentials
from airfreight.services.access import Candidate
from airfreight.store import access as people
from airfreight.store import tables

Json = dict[str, Any]
NO_PASSWORD = credentials.hash_password("nobody signs in with a password here")
_CONNECTIONS = httpx.Limits(keepalive_expiry=2)
"""Left before the server hangs up on them: no request goes out on a connection that is being closed."""


def hour_of_utc() -> int:
    """The hour it is, and will be for as long as a test takes that reckons with it: near its end the next is waited for."""
    while (now := datetime.now(UTC)).minute == 59 and now.second >= 30:
        time.sleep(1)
    return now.hour


class Site(Bench):
    """A bench whose database a server answers from; `who` is one of client, admin, staff, user."""

    def __init__(self, served: Served, stack: ExitStack) -> None:
        super().__init__(served.app.database, served.app.settings.data)
        self.server, self._stack = served, stack
        self.now = clock()
        self.tokens = self.people(self.organization_id)
        self._clients: dict[str, httpx.Client] = {}
        self.product_id = self.product()

    def people(self, organization_id: int) -> dict[str, str]:
        """An API client and a user of each role; their tokens."""
        with self.database.write() as connection:
            name = uuid.uuid4().hex
            users = {
                role: people.add_user(
                    connection,
                    organization_id,
                    email=f"{role}@{name}.example",
                    name=role,
                    role=role,
                    password_hash=NO_PASSWORD,
                    now=1,
                )
                for role in Role
            }
            people.add_client(
                connection,
                organization_id,
                name=name,
                client_id=name,
                secret_hash=self.keyring.digest("s"),
                owner_user_id=users[Role.ADMIN],
                now=1,
            )
            tokens = {"client": access.client_credentials(connection, self.keyring, name, "s", self.now, 3600)}
            for role, user_id in users.items():
                who = Candidate(f"{role}@{name}.example", user_id, NO_PASSWORD)
                tokens[role] = access.user_credentials(connection, self.keyring, name, who, self.now, 3600)
        self.admin_id = users[Role.ADMIN]
        return {str(who): grant.access_token for who, grant in tokens.items()}

    def http(self, token: str | None) -> httpx.Client:
        """A client that shows this token (a person's, a device's, or none)."""
        if (token or "") not in self._clients:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            client = httpx.Client(base_url=self.server.url, headers=headers, limits=_CONNECTIONS, timeout=60)
            self._clients[token or ""] = self._stack.enter_context(client)
        return self._clients[token or ""]

    def ask(self, method: str, path: str, who: str | None = "client", **how: Any) -> httpx.Response:
        return self.http(self.tokens[who] if who else None).request(method, path, **how)

    def as_device(self, board: Board) -> httpx.Client:
        return self.http(board.token)

    def stand_of(self, board: Board) -> str:
        """The state of the one delivery that the device has."""
        table = tables.deliveries
        [row] = self.rows(select(table.c.state).where(table.c.device_id == board.id))
        return str(row.state)

    # the Shipments door

    def create_body(self, artifact: Stored, to: list[Board] | None = None, **changed: Any) -> Json:
        """A body that is accepted as it is; without `to` for the whole product."""
        body = {
            "title": "a title",
            "productId": self.product_id,
            "pathToFirmware": artifact.path,
            "firmwareOriginalFileName": "image.bin",
            "firmwareInfo": {},
            "skipFwTypeCheck": True,
            "compareField": "NO_CONDITION",
            "deviceIds": [board.id for board in to or []],
        }
        return {**body, **changed}

    def create(self, artifact: Stored | None = None, to: list[Board] | None = None, **changed: Any) -> Json:
        body = self.create_body(artifact or self.artifact(), to, **changed)
        answer = self.ask("POST", "/api/v1/organization/shipment/create", json=body)
        assert answer.status_code == 201, answer.text
        made: Json = answer.json()
        return made

    def get(self, shipment_id: int) -> Json:
        answer = self.ask("GET", "/api/v1/organization/shipment", params={"shipmentId": shipment_id})
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

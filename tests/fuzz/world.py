"""One organization with some of everything, for requests that are made up: what exists, and who may ask."""

import base64
import random
from dataclasses import replace
from typing import Any

from sqlalchemy import and_, select, update
from tests.apis.site import NO_PASSWORD, Site
from tests.make import Board, image

from airfreight.apis.common.desk import clock
from airfreight.domain.access import Role
from airfreight.services import (
    clients,
    direct_access,
    enrollment,
    file_urls,
    group_updates,
    groups,
    single_updates,
    users,
    webhooks,
)
from airfreight.services.call import Call
from airfreight.store import artifacts, tables

EACH = 8
"""Rows of each kind, from the first id on, that made-up requests name; as many again are there to be removed.

What two doors can remove (products are templates) is there three times.
"""

USED = EACH // 2
"""The first so many products and artifacts are in use."""


SIGNS_IN = ("signs.in@made.example", "nobody signs in with a password here")
"""Email and password."""

WEBHOOK = {"url": "https://receiver.invalid/hook", "username": "u", "password": "p", "certificate": ""}
"""A good one, to an address that leads nowhere."""


class World(Site):
    """`token` is always a good one, whatever earlier requests have removed."""

    def __init__(self, served: Any, stack: Any) -> None:
        super().__init__(served, stack)
        self.enrollment_key = ""
        self.device, self.attempt, self.carried = Board(0, "", "", b""), 0, 0
        self.campaign, self.package, self.gateway, self.destination = "", "", "nobody", ""
        self.campaign_goes = False
        self.begun = ""
        both = 2 * EACH
        self.artifacts = [self.artifact("2.0.0", fw_type=f"T{number}") for number in range(both)]
        products = [self.product_id, *(self.product(f"product {number}") for number in range(1, 3 * EACH))]
        for number in range(3 * EACH):
            self.organization(f"below {number}")
        self.boards = [board for product in products[:USED] for board in self.devices(product, both // USED)]
        for number, board in enumerate(self.boards):
            product = products[number * USED // both]
            made = self.create(self.artifacts[number % USED], [board], productId=product)
            if number >= EACH:
                self.stop(made["id"])
        with self.call() as call:
            for number in range(both):
                clients.create(call, name=f"client {number}")
                users.create(call, email=f"u{number}@made.example", password_hash="x", role=Role.USER)
                enrollment.create(call, name=f"key {number}")
                self._add_webhook(call)
                groups.create_live(call, f"group {number}", "not online")
        with self.call() as call:
            users.create(call, email=SIGNS_IN[0], password_hash=NO_PASSWORD, role=Role.ADMIN)
        [self.updated] = self.devices(self.product())
        self.group = self._group()
        for board in self.boards:
            self.tell(board, version="1.0.0", fwType="T1")
            self.poll(board)

    def _add_webhook(self, call: Call) -> None:
        """With a dead message that has the same id."""
        row, _ = webhooks.create(call, name="w", place=webhooks.place_of_url(WEBHOOK["url"]))
        message = {"destination_id": row.id, "kind": "a.kind", "body": "{}", "state": "dead", "created_at": call.now}
        insert = tables.webhook_messages.insert()
        call.connection.execute(insert.values(organization_id=call.organization_id, due_at=call.now, **message))

    def token(self, scheme: str) -> str:
        """The token that a security scheme of the document asks for."""
        if scheme == "deviceToken":
            if not self._is_under_way():
                self._another_device()
            return self.device.token
        if scheme == "enrollmentKey":
            digest = self.keyring.digest(self.enrollment_key)
            if not self._has(tables.enrollment_keys, tables.enrollment_keys.c.hash == digest):
                with self.call() as call:
                    _, self.enrollment_key = enrollment.create(call, name="the key that is asked with")
            return self.enrollment_key
        if not self._has(tables.tokens, tables.tokens.c.hash == self.keyring.digest(self.tokens["client"])):
            self.tokens = self.people(self.organization_id)
        return self.tokens["client"]

    def _is_under_way(self) -> bool:
        """Whether the device that asks has something to do still; nobody has to confirm it first."""
        with self.call() as call:
            direct_access.change(call, confirmation_needed=False)
        table = tables.deliveries
        ended = ["queued", "succeeded", "failed", "canceled", "skipped"]
        return self._has(table, and_(table.c.device_id == self.device.id, table.c.state.not_in(ended)))

    def _another_device(self) -> None:
        product, artifact = self.product(), self.artifact("3.0.0")
        [self.device] = self.devices(product)
        self.create(artifact, [self.device], productId=product)
        told = self.poll(self.device)
        self.attempt, self.carried = told.attempt_id or 0, artifact.id

    def file(self) -> tuple[str, str]:
        """The name and the token of a file that can be fetched at `/static/`."""
        if not self._is_under_way():
            self._another_device()
        with self.database.read() as connection:
            row = artifacts.carried_under(connection, self.attempt)
        url = file_urls.for_device(row, replace(self.settings, public_url="http://x"), self.keyring, clock())
        address, _, query = url.partition("?token=")
        return address.rpartition("/")[2], query.partition("&")[0]

    def _group(self) -> tuple[str, str]:
        """A group with a device in it: its uid and its token."""
        made = self.ask("POST", "/v1/groups", json={"name": "g"}).json()
        [member] = self.devices(self.product())
        self.ask("PUT", f"/v1/devices/{member.uid}", json={"group": made["_id"]}).raise_for_status()
        return made["_id"], made["token"]

    def form(self, whose: str) -> dict[str, Any]:
        """A form that sends a file to a device, or to a group (`whose`)."""
        uid, token = (self.updated.uid, self.updated.token) if whose == "device" else self.group
        return {whose: uid, "token": token, "version": "1.2.3", "firmware": image("1.2.3")}

    def steps(self, path: str, *, removes: bool) -> dict[str, Any]:
        """A campaign, a package, a gateway in it that has not begun, and more of what the address and the body name."""
        if not self.campaign or self.campaign_goes or path.endswith("/approve"):
            self.campaign, self.package = self._campaign(path)
            json: dict[str, Any] = {"name": "d", "host": "receiver.invalid", "port": 80}
            self.destination = self.ask("POST", "/api/notification-destinations", json=json).json()["id"]
        self.campaign_goes = removes
        members = f"/api/campaigns/{self.campaign}/devices"
        state = self.ask("GET", f"{members}/{self.gateway}/state")
        if state.is_error or self.ask("GET", members).json()["gateways"][-1]["closed"]:
            self.gateway = self.devices(self.product_id)[0].uid
            self.ask("POST", members, json={"gatewayIds": [self.gateway]}).raise_for_status()
        return {
            **dict.fromkeys(("campaign_id", "campaignId"), self.campaign),
            **dict.fromkeys(("gateway_id", "gatewayId"), self.gateway),
            **dict.fromkeys(("destination_id", "notificationDestinationId"), self.destination),
            "program_id": self.package,
            "organization_id": str(self.organization_id),
            "gatewayIds": [self.gateway],
            "packages": [],
            "begin": "0",
            "end": "0",
            "host": "receiver.invalid",
            "certificate": "",
            "authenticationType": "NO_AUTH",
            "username": "",
            "password": "",
            "distributionListId": "",
            "reevaluationIntervalSeconds": "0",
        }

    def _campaign(self, path: str) -> tuple[str, str]:
        """One that nothing has been done with, started or (to be approved) not; and a package that nobody uses."""
        used, unused = (self.ask("POST", "/api/programs", content=b"x").json()["uuid"] for _ in range(2))
        made: str = self.ask("POST", "/api/campaigns", json={"name": "c", "packages": [used]}).json()["uuid"]
        waits = path.endswith("/approve")
        values = {"state": "pending_approval" if waits else "ready", "approval_needed": waits, "needs_word": True}
        with self.database.write() as connection:
            connection.execute(update(tables.rollouts).where(tables.rollouts.c.uid == made).values(values))
        return made, unused

    def sign_in(self, path: str) -> str:
        """The header that an address which gives out tokens asks for."""
        basic = "Basic " + base64.b64encode(":".join(SIGNS_IN).encode()).decode()
        if path == "/api/tokens":
            return basic
        tokens = self.http(None).get("/api/tokens", headers={"Authorization": basic}).json()
        return f"Bearer {tokens['refreshToken']}"

    def upload(self) -> str:
        """One that waits for more bytes than any made-up body has; there may be a hundred, so the last one is given up."""
        if self.begun:
            self.ask("DELETE", f"/api/v1/uploads/{self.begun}")
        headers = {"Upload-Length": "1000000", "Upload-Metadata": "filename YQ=="}
        self.token("bearerAuth")
        self.begun = self.ask("POST", "/api/v1/uploads", headers=headers).json()["id"]
        return self.begun

    def addresses(self, path: str, *, removes: bool) -> dict[str, str]:
        """Devices and groups in paths, by the names of the parameters; something was sent to those that stay."""
        board = self.devices(self.product())[0] if removes else self.updated
        group, token = self._group() if removes else self.group
        with self.database.read() as connection:
            sent = {
                "device": single_updates.latest(connection, self.updated.uid),
                "group": group_updates.latest(connection, self.group[0]),
            }
        for whose in (whose for whose, version in sent.items() if version is None):
            form = self.form(whose)
            self.ask("POST", f"/v1/ota/{whose}", data=form, files={"firmware": ("f.bin", form.pop("firmware"))})
        return {
            "uid": group if path.startswith("/v1/groups") else board.uid,
            "deviceId": board.uid,
            "deviceIdAndToken": board.uid + board.token,
            "groupId": group,
            "groupIdAndToken": group + token,
        }

    def _has(self, table: Any, condition: Any) -> bool:
        return bool(self.rows(select(table.c.id).where(condition)))

    def known(self, rng: random.Random, scheme: str | None, *, removes: bool) -> dict[str, Any]:
        """Values that exist or are good, by the names they have on the wire."""
        one = self.carried if scheme == "deviceToken" else rng.randint(1, EACH) + EACH * removes
        ids = ("id", "parentId", "rolloutId", "deviceId", "userId", "shipmentId")
        product = one + EACH if removes else rng.randint(1, USED)
        return dict.fromkeys(ids, one) | {
            **dict.fromkeys(("productId", "product"), product),
            "templateId": str(product),
            "orgId": self.organization_id,
            "deviceIds": [],
            "pathToFirmware": rng.choice(self.artifacts[:USED]).path,
            "firmwareInfo": {},
            "skipFwTypeCheck": True,
            "attempt": self.attempt,
            "filter": "not online",
            "email": f"{rng.randbytes(8).hex()}@made.example",
            "password": "a password that is long enough",
            "wait": 0,
        }

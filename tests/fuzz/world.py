"""One organization with some of everything, for requests that are made up: what exists, and who may ask."""

import random
from typing import Any

from sqlalchemy import select
from tests.apis.site import Json, Site
from tests.make import Board, image

from airfreight.services import clients, enrollment, users
from airfreight.domain.access import Role
from airfreight.store import tables

EACH = 8
"""Rows of each kind that made-up requests may name, change and remove; their ids begin at 1."""


class World(Site):
    """`token` is always a good one, whatever earlier requests have removed."""

    def __init__(self, served: Any, stack: Any) -> None:
        super().__init__(served, stack)
        self.enrollment_key = ""
        self.device = Board(0, "", "", b"")
        self.artifacts = [self.artifact("2.0.0", fw_type=f"T{number}") for number in range(EACH)]
        products = [self.product_id, *(self.product(f"product {number}") for number in range(EACH))]
        self.boards = [board for product in products for board in self.devices(product, 3)]
        for number in range(EACH):
            self.organization(f"below {number}")
            self.create(self.artifacts[number], self.boards[number : number + 1], productId=products[number // 3])
        with self.call() as call:
            for number in range(EACH):
                clients.create(call, name=f"client {number}")
                users.create(call, email=f"u{number}@made.example", password_hash="x", role=Role.USER)
                enrollment.create(call, name=f"key {number}")
        for board in self.boards[:EACH]:
            self.tell(board, version="1.0.0", fwType="T1")
            self.poll(board)

    def token(self, scheme: str) -> str:
        """The token that a security scheme of the document asks for."""
        if scheme == "deviceToken":
            if not self._has(tables.devices, tables.devices.c.token_hash == self.device.digest):
                product = self.product()
                [self.device] = self.devices(product)
                self.create(self.artifact("3.0.0"), [self.device], productId=product)
                self.poll(self.device)
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

    def _has(self, table: Any, condition: Any) -> bool:
        return bool(self.rows(select(table.c.id).where(condition)))

    def known(self, rng: random.Random) -> dict[str, Any]:
        """Values that exist, by the names they have on the wire."""
        one = rng.randint(1, EACH)
        names = (
            "id",
            "productId",
            "parentId",
            "rolloutId",
            "deviceId",
            "userId",
            "product",
            "shipmentId",
            "templateId",
        )
        return dict.fromkeys(names, one) | {
            "orgId": self.organization_id,
            "deviceIds": [],
            "pathToFirmware": rng.choice(self.artifacts).path,
            "firmwareInfo": {},
            "skipFwTypeCheck": True,
            "attempt": 1000 + one,
            "wait": 0,
        }

"""A site with gateways and packages, and what is asked of it as the contract's text has it."""

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select, update
from tests.apis.site import Site
from tests.formats.packages import TOLD, package
from tests.make import Board

from airfreight.store import tables

Json = dict[str, Any]


class Campaigns:
    """This door of a site. Gateways are devices; `manual` is a package whose phases need a word, `headless` one that does not."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.sequence = 0

    def ask(self, method: str, path: str, who: str | None = "client", **how: Any) -> httpx.Response:
        return self.site.ask(method, path, who, **how)

    def ok(self, method: str, path: str, who: str = "client", **how: Any) -> Any:
        answer = self.ask(method, path, who, **how)
        assert answer.status_code == 200, (method, path, answer.text)
        return answer.json()

    def upload(self, name: str = "a.iotcp", *, headless: bool = True, **form: str) -> str:
        content = package(told={**TOLD, "NAME": name, "HEADLESS_EXECUTION": headless})
        return str(self.ok("POST", "/api/programs/", files={"file": (name, content)}, data=form)["uuid"])

    def create(self, *packages: str, who: str = "client", **said: Any) -> str:
        body = {"name": "a campaign", "packages": list(packages), **said}
        return str(self.ok("POST", "/api/campaigns", who, json=body)["uuid"])

    def gateways(self, count: int = 1) -> list[Board]:
        return self.site.devices(self.site.product_id, count)

    def add(self, campaign: str, boards: Sequence[Board]) -> None:
        body = {"gatewayIds": [one.uid for one in boards], "campaignId": campaign}
        assert self.ok("POST", f"/api/campaigns/{campaign}/devices", json=body) == {}

    def steer(self, campaign: str, verb: str, who: str = "client") -> None:
        assert self.ok("PUT", f"/api/campaigns/{campaign}/{verb}", who, json={"campaignId": campaign}) == {}

    def started(self, *packages: str, boards: Sequence[Board] = ()) -> str:
        campaign = self.create(*packages)
        if boards:
            self.add(campaign, boards)
        self.steer(campaign, "start")
        return campaign

    def status(self, campaign: str) -> str:
        return str(self.ok("GET", f"/api/campaigns/{campaign}")["status"])

    def state(self, campaign: str, board: Board) -> str:
        return str(self.ok("GET", f"/api/campaigns/{campaign}/devices/{board.uid}/state")["state"])

    def schedule(self, campaign: str, board: Board, phase: str, begin: Any = "0", end: Any = "0") -> None:
        path = f"/api/campaigns/{campaign}/devices/{board.uid}/scheduled-{phase}"
        assert self.ok("PUT", path, json={"begin": begin, "end": end}) == {}

    def destination(self) -> str:
        body = {"name": "d", "protocol": "HTTP", "host": "receiver.invalid", "port": 443, "sslTlsVersion": "TLS1_2"}
        return str(self.ok("POST", "/api/notification-destinations", json=body)["id"])

    def group(self) -> str:
        answer = self.ask("POST", "/api/v1/groups", json={"name": "g", "filter": "not online"})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["uid"])

    def settings(self, **said: bool) -> None:
        body = [{"category": "campaign", "settings": said}]
        assert self.ok("PUT", f"/api/organizations/{self.site.organization_id}/settings", json=body) == {}

    # a gateway that speaks /device/v1

    def next(self, board: Board) -> Json | None:
        answer = self.site.as_device(board).get("/device/v1/next")
        return answer.json() if answer.status_code == 200 else None

    def tell(self, board: Board, attempt: int, event: str, **more: Any) -> str:
        self.sequence += 1
        report = {"attempt": attempt, "seq": self.sequence, "event": event, **more}
        answer = self.site.as_device(board).post("/device/v1/reports", json={"reports": [report]})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["results"][0]["verdict"])

    def heard(self, board: Board) -> None:
        """As if it had just asked: what the server keeps of it is written behind."""
        table = tables.device_seen
        with self.site.database.write() as connection:
            connection.execute(table.delete().where(table.c.device_id == board.id))
            connection.execute(insert(table).values(device_id=board.id, seen_at=2**42))

    def behind(self, board: Board, gateway: Board) -> None:
        """Make the device a thing of that gateway."""
        with self.site.database.write() as connection:
            changed = update(tables.devices).where(tables.devices.c.id == board.id)
            connection.execute(changed.values(parent_id=gateway.id))

    def history(self, board: Board) -> list[str]:
        history, deliveries = tables.history, tables.deliveries
        query = select(history.c.event).join(deliveries, deliveries.c.id == history.c.delivery_id)
        return [row.event for row in self.site.rows(query.where(deliveries.c.device_id == board.id))]


def refused(answer: httpx.Response, status: int, code: str, grpc: int) -> str:
    """The message of an error in this door's shape."""
    assert answer.status_code == status, answer.text
    assert answer.headers["x-error-code"] == code, answer.text
    body = json.loads(answer.text)
    assert set(body) == {"code", "message"}
    assert body["code"] == grpc
    assert answer.headers["grpc-message"] == body["message"]
    return str(body["message"])


@pytest.fixture
def door(site: Site) -> Campaigns:
    return Campaigns(site)

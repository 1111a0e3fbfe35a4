"""A site with devices of this door's kind (24 hex digits), and what is asked of it as bytes."""

from typing import Any

import httpx
import pytest
from sqlalchemy import select
from tests.apis.device_ota.esp32 import Answer, Esp32, ask
from tests.apis.site import Site
from tests.make import Board, image

from airfreight.apis.device_ota.plane import DOWNLOAD, LATEST
from airfreight.services import single_updates
from airfreight.store import single_updates as rows
from airfreight.store import tables

B = "----bOuNdArY"
FORM_TYPE = {"Content-Type": f"multipart/form-data; boundary={B}"}
END = f"--{B}--\r\n".encode()
UPLOAD = "/v1/ota/device"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    return f'--{B}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + value + b"\r\n"


class Door:
    """This door of a site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        [self.board] = site.devices(site.product_id)

    @property
    def port(self) -> int:
        return self.site.server.port

    def esp32(self, version: str = "1.0.0", board: Board | None = None) -> Esp32:
        board = board or self.board
        return Esp32(self.port, board.uid, board.token, version)

    def upload(
        self,
        version: str = "1.0.1",
        content: bytes | None = None,
        board: Board | None = None,
        *,
        who: str = "client",
        **changed: Any,
    ) -> httpx.Response:
        board = board or self.board
        data = {"device": board.uid, "token": board.token, "version": version, **changed}
        firmware = image(version, size=1600) if content is None else content
        return self.site.ask("POST", UPLOAD, who, data=data, files={"firmware": ("firmware.bin", firmware)})

    def send(self, body: Any, headers: dict[str, str] | None = None) -> httpx.Response:
        return self.site.ask("POST", UPLOAD, content=body, headers=FORM_TYPE if headers is None else headers)

    def otas(self, who: str = "client", **params: Any) -> dict[str, Any]:
        answer = self.site.ask("GET", UPLOAD, who, params=params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def latest(self, board: Board | None = None) -> Answer:
        return ask(self.port, LATEST + (board or self.board).uid)

    def download(self, *headers: str, board: Board | None = None, **how: Any) -> Answer:
        board = board or self.board
        return ask(self.port, DOWNLOAD + board.uid + board.token, *headers, **how)

    def last(self, board: Board | None = None) -> Any:
        """The device's last upload, with its delivery."""
        with self.site.database.read() as connection:
            return rows.last(connection, single_updates.ORIGIN, (board or self.board).id)

    def stands(self, board: Board | None = None) -> list[tuple[str, str]]:
        """(state, reason) of all that was ever sent to the device, oldest first."""
        table = tables.deliveries
        query = select(table.c.state, table.c.reason).where(table.c.device_id == (board or self.board).id)
        return [(row.state, row.reason) for row in self.site.rows(query.order_by(table.c.id))]

    def kept(self) -> int:
        """How many artifacts the organization has."""
        table = tables.artifacts
        return len(self.site.rows(select(table.c.id).where(table.c.organization_id == self.site.organization_id)))


@pytest.fixture
def door(site: Site) -> Door:
    return Door(site)

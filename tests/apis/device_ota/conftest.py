"""A site with devices of this door's kind (24 hex digits), and what is asked of it as bytes."""

from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update
from tests.apis.device_ota.esp32 import Answer, Esp32, ask
from tests.apis.site import Site
from tests.make import Board, image

from airfreight.apis.device_ota.plane import DOWNLOAD, GROUP_DOWNLOAD, GROUP_LATEST, LATEST
from airfreight.services import single_updates
from airfreight.store import groups as group_rows
from airfreight.store import single_updates as rows
from airfreight.store import tables

B = "----bOuNdArY"
FORM_TYPE = {"Content-Type": f"multipart/form-data; boundary={B}"}
END = f"--{B}--\r\n".encode()
UPLOAD = "/v1/ota/device"
GROUP_UPLOAD = "/v1/ota/group"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    named = "" if filename is None else f'; filename="{filename}"'
    return f'--{B}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + value + b"\r\n"


def with_a_letter(site: Site, table: Any, uid: str) -> str:
    """Its uid from now on: one of digits alone is the same in capitals, and tests spell it so to be wrong."""
    changed = "a" + uid[1:]
    with site.database.write() as connection:
        connection.execute(update(table).where(table.c.uid == uid).values(uid=changed))
    return changed


class Door:
    """This door of a site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        [made] = site.devices(site.product_id)
        self.board = replace(made, uid=with_a_letter(site, tables.devices, made.uid))

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


@dataclass
class Group:
    """A group with devices of the door, as the answer that made it names it."""

    door: Door
    uid: str
    token: str

    def put(self, *boards: Board) -> None:
        for board in boards:
            answer = self.door.site.ask("PUT", f"/v1/devices/{board.uid}", json={"group": self.uid})
            assert (answer.status_code, answer.json().get("group")) == (200, self.uid), answer.text

    def upload(
        self, version: str = "1.0.1", content: bytes | None = None, *, who: str = "client", **changed: Any
    ) -> httpx.Response:
        data = {"group": self.uid, "token": self.token, "version": version, **changed}
        firmware = image(version, size=1600) if content is None else content
        return self.door.site.ask("POST", GROUP_UPLOAD, who, data=data, files={"firmware": ("firmware.bin", firmware)})

    def otas(self, **params: Any) -> dict[str, Any]:
        answer = self.door.site.ask("GET", GROUP_UPLOAD, params=params)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def latest(self) -> Answer:
        return ask(self.door.port, GROUP_LATEST + self.uid)

    def download(self, *headers: str, **how: Any) -> Answer:
        return ask(self.door.port, GROUP_DOWNLOAD + self.uid + self.token, *headers, **how)

    def last(self) -> Any:
        """What was last sent to it."""
        table = tables.groups
        [row] = self.door.site.rows(select(table.c.id).where(table.c.uid == self.uid))
        with self.door.site.database.read() as connection:
            return group_rows.last(connection, row.id)


def make_group(door: Door, *boards: Board, name: str = "hall") -> Group:
    answer = door.site.ask("POST", "/v1/groups", json={"name": name})
    assert answer.status_code == 201, answer.text
    group = Group(door, with_a_letter(door.site, tables.groups, answer.json()["_id"]), answer.json()["token"])
    group.put(*boards)
    return group


@pytest.fixture
def door(site: Site) -> Door:
    return Door(site)

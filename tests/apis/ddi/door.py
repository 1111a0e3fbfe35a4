"""This door of a site: devices that speak DDI, what they are sent, and what they say."""

import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
from sqlalchemy import select, update
from tests.apis.site import Site, hour_of_utc
from tests.make import Board, Stored

from airfreight.services import devices, direct_access
from airfreight.services.devices import Wanted
from airfreight.store import tables

Json = dict[str, Any]
HAL, JSON, CBOR = "application/hal+json", "application/json", "application/cbor"


class Tenant:
    """An organization whose devices come in by `name`; `board` is one that has told its attributes."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.name = "T" + uuid.uuid4().hex[:12].upper()
        with site.call() as call:
            direct_access.change(call, name=self.name)
        self.board = self.new_board()

    def new_board(self, uid: str | None = None, *, is_told: bool = True, product_id: int | None = None) -> Board:
        """A device of this uid; `is_told`: it has told its attributes, and is not asked for them."""
        with self.site.call() as call:
            wanted = [Wanted(uid or uuid.uuid4().hex)]
            [made] = devices.create_many(call, product_id=product_id or self.site.product_id, wanted=wanted)
        board = Board(made.id, made.uid, made.token, self.site.keyring.digest(made.token))
        if is_told:
            self.change_device(board, attributes_at=1)
        return board

    # requests

    @property
    def http(self) -> httpx.Client:
        return self.site.http(None)

    def path(self, uid: str, rest: str = "", tenant: str | None = None) -> str:
        return f"/{tenant or self.name}/controller/v1/{uid}{rest}"

    def ask(
        self, method: str, rest: str = "", board: Board | None = None, headers: dict[str, str] | None = None, **how: Any
    ) -> httpx.Response:
        """What the device asks at an address below its own (or at a link that it was given), with its token."""
        board = board or self.board
        url = rest if rest.startswith("http") else self.path(board.uid, rest)
        shown = {"Authorization": f"TargetToken {board.token}", **(headers or {})}
        return self.http.request(method, url, headers=shown, **how)

    def status(self, method: str, rest: str = "", board: Board | None = None, **how: Any) -> int:
        return self.ask(method, rest, board, **how).status_code

    def get(self, rest: str = "", board: Board | None = None, **how: Any) -> Any:
        answer = self.ask("GET", rest, board, **how)
        assert answer.status_code == 200, (rest, answer.status_code, answer.text)
        return answer.json()

    def links(self, board: Board | None = None, **how: Any) -> dict[str, str]:
        """The links of a poll."""
        found = self.get("", board, **how).get("_links", {})
        return {name: link["href"] for name, link in found.items()}

    def sleep(self, board: Board | None = None, **how: Any) -> str:
        return str(self.get("", board, **how)["config"]["polling"]["sleep"])

    def next_action(self, board: Board | None = None, link: str = "deploymentBase") -> int:
        """The action that the next poll has a link to."""
        found = self.links(board)
        assert link in found, found
        return int(found[link].partition("?")[0].rpartition("/")[2])

    def base(self, board: Board | None = None) -> str:
        return self.site.server.url + self.path((board or self.board).uid)

    def say(
        self,
        action: int,
        execution: str = "closed",
        finished: str = "success",
        *details: str,
        on: str = "deploymentBase",
        board: Board | None = None,
        **status: Any,
    ) -> int:
        """The status of the answer to a feedback."""
        body = feedback(execution, finished, *details, **status)
        return self.status("POST", f"/{on}/{action}/feedback", board, json=body)

    def tell(self, board: Board | None = None, **data: Any) -> int:
        return self.put(data, board)

    def put(self, data: Json, board: Board | None = None, mode: str | None = None) -> int:
        """The status of the answer to attributes."""
        body = {"data": data} if mode is None else {"mode": mode, "data": data}
        return self.status("PUT", "/configData", board, json=body)

    def history(self, action: int, board: Board | None = None, most: int = 100) -> Json:
        found: Json = self.get(f"/deploymentBase/{action}?actionHistory={most}", board)["actionHistory"]
        return found

    # what operators do

    def ship(self, *artifacts: Stored, to: Sequence[Board] = (), **policy: Any) -> int:
        """A running rollout of these files, for the door's device unless `to` names others; its id."""
        files = artifacts or (self.site.artifact(),)
        pieces = [{"id": one.id, "filename": f"file-{one.id}.swu"} for one in files]
        ids = [board.id for board in to or (self.board,)]
        body = {"title": "a rollout", "deviceIds": ids, "artifacts": pieces, **policy}
        answer = self.site.ask("POST", "/api/v1/rollouts", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def offered(self, *artifacts: Stored, board: Board | None = None, **policy: Any) -> int:
        """The action of such a rollout, of which the device's poll has told it."""
        self.ship(*artifacts, to=[board or self.board], **policy)
        return self.next_action(board)

    def cancel(self, rollout_id: int) -> None:
        answer = self.site.ask("POST", f"/api/v1/rollouts/{rollout_id}/stop")
        assert answer.status_code == 200, answer.text

    def offered_to_confirm(self, *artifacts: Stored, board: Board | None = None, **policy: Any) -> int:
        """The action of a rollout that waits for a word of the device's user."""
        self.ship(*artifacts, to=[board or self.board], **policy)
        return self.next_action(board, "confirmationBase")

    def canceling(self, board: Board | None = None, **policy: Any) -> int:
        """An action that the device has looked at and is asked to cancel."""
        rollout_id = self.ship(to=[board or self.board], **policy)
        action = self.next_action(board)
        self.get(f"/deploymentBase/{action}", board)
        self.cancel(rollout_id)
        assert self.next_action(board, "cancelAction") == action
        return action

    def change(self, **changed: Any) -> Json:
        """Of the organization's settings for this door."""
        answer = self.site.ask("PATCH", "/api/v1/ddi", json=changed)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def gateway_token(self) -> str:
        answer = self.site.ask("POST", "/api/v1/ddi/gateway-token", json={"productId": self.site.product_id})
        assert answer.status_code in {200, 201}, answer.text
        return str(answer.json()["gatewayToken"])

    # the database

    def change_device(self, board: Board, **values: object) -> None:
        with self.site.database.write() as connection:
            connection.execute(update(tables.devices).where(tables.devices.c.id == board.id).values(**values))

    def retry_now(self, board: Board | None = None) -> None:
        """As if the pause after a failed try were over."""
        table = tables.deliveries
        with self.site.database.write() as connection:
            mine = table.c.device_id == (board or self.board).id
            connection.execute(update(table).where(mine).values(not_before=None))

    def device(self, uid: str) -> Any:
        """The device's row, if it is there."""
        table = tables.devices
        mine = (table.c.organization_id == self.site.organization_id, table.c.uid == uid, table.c.deleted_at.is_(None))
        return next(iter(self.site.rows(select(table).where(*mine))), None)

    def stands(self, board: Board | None = None) -> list[tuple[str, str]]:
        """(state, reason) of all that was ever sent to the device, oldest first."""
        table = tables.deliveries
        query = select(table.c.state, table.c.reason).where(table.c.device_id == (board or self.board).id)
        return [(row.state, row.reason) for row in self.site.rows(query.order_by(table.c.id))]

    def stand(self, board: Board | None = None) -> tuple[str, str]:
        [one] = self.stands(board)
        return one

    def clock_shows(self, hour: int) -> None:
        """It is this hour where the devices of the product are."""
        ahead = (hour - hour_of_utc() + 11) % 24 - 11
        zone = "Etc/GMT" + (f"-{ahead}" if ahead > 0 else f"+{-ahead}" if ahead < 0 else "")
        answer = self.site.ask("PATCH", f"/api/v1/products/{self.site.product_id}", json={"timeZone": zone})
        assert answer.status_code == 200, answer.text

    def change_rollout(self, rollout_id: int, **values: object) -> None:
        table = tables.rollouts
        with self.site.database.write() as connection:
            connection.execute(update(table).where(table.c.id == rollout_id).values(**values))


def feedback(execution: str = "closed", finished: str = "success", *details: str, **status: Any) -> Json:
    said: Json = {"execution": execution, "result": {"finished": finished}, **status}
    return {"status": {**said, "details": list(details)} if details else said}


def error_code(answer: httpx.Response) -> str:
    """Of an error in this door's shape."""
    body = answer.json()
    assert {"exceptionClass", "errorCode", "message"} == set(body), body
    assert body["exceptionClass"]
    assert body["message"]
    code = str(body["errorCode"])
    assert code.startswith("hawkbit.server.error.")
    return code.removeprefix("hawkbit.server.error.")


def seconds_of(text: str) -> int:
    """A sleep in seconds; it must be what small clients read."""
    assert len(text) == len("00:00:00")
    hours, minutes, seconds = (int(part) for part in text.split(":"))
    return hours * 3600 + minutes * 60 + seconds


@contextmanager
def line(tenant: Tenant) -> Iterator[socket.socket]:
    """A bare connection."""
    with tenant.site.server.connect() as connection:
        connection.settimeout(20)
        yield connection


def raw(tenant: Tenant, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of a request whose target and headers are sent to the letter."""
    with line(tenant) as connection:
        lines = [
            f"{method} {target} HTTP/1.1",
            "Host: a",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *headers,
        ]
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    head, _, content = received.partition(b"\r\n\r\n")
    return int(head.split(b" ", 2)[1]), content

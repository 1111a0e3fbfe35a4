"""Where the emulated clients are tried: an organization that is reached as DEFAULT, a proxy, and a server that errs."""

import http.client
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text, update
from tests.apis.serving import Served, serving
from tests.apis.site import Json, Site, hour_of_utc
from tests.make import Board, Stored, copy_of_postgresql, copy_of_sqlite

from airfreight.services import devices, direct_access
from airfreight.services.devices import Wanted
from airfreight.store import tables

BUNDLE = bytes(range(256)) * 1200
"""A file that says nothing of itself."""


class Place(Site):
    """An organization whose devices come in by `tenant`, as those of the first one of a server do by DEFAULT.

    Who had that name before has lost it: each test of a server has an organization of its own.
    """

    def __init__(self, served: Served, stack: ExitStack, tenant: str = "DEFAULT") -> None:
        super().__init__(served, stack)
        table = tables.direct_access
        with self.database.write() as connection:
            lost = {"name": f"BEFORE-{self.organization_id}"}
            connection.execute(update(table).where(table.c.name == tenant).values(lost))
        with self.call() as call:
            direct_access.change(call, name=tenant)

    def board(self, uid: str = "gateway-1") -> Board:
        """A device of this name."""
        with self.call() as call:
            [made] = devices.create_many(call, product_id=self.product_id, wanted=[Wanted(uid)])
        return Board(made.id, made.uid, made.token, self.keyring.digest(made.token))

    def shipped(self, artifact: Stored, board: Board, **changed: Any) -> int:
        """A running rollout of the Shipments door; its id."""
        return int(self.create(artifact, [board], **changed)["id"])

    def rollout(self, artifacts: Sequence[Stored], board: Board, **policy: Any) -> int:
        """A running rollout of the native door, which can say what only these devices understand; its id."""
        files = [{"id": artifact.id, "filename": f"{artifact.id}.bin"} for artifact in artifacts]
        body = {"title": "a rollout", "deviceIds": [board.id], "artifacts": files, **policy}
        answer = self.ask("POST", "/api/v1/rollouts", json=body)
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def cancel(self, rollout_id: int) -> None:
        """As an operator does it."""
        answer = self.ask("POST", f"/api/v1/rollouts/{rollout_id}/stop")
        assert answer.status_code == 200, answer.text

    def steer(self, **changed: Any) -> Json:
        """The organization's settings of this door."""
        answer = self.ask("PATCH", "/api/v1/ddi", json=changed)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    def gateway_token(self) -> str:
        """A key that speaks for every device, and for those that are not known yet."""
        answer = self.ask("POST", "/api/v1/ddi/gateway-token", json={"productId": self.product_id})
        assert answer.status_code in {200, 201}, answer.text
        return str(answer.json()["gatewayToken"])

    def board_named(self, uid: str) -> Board:
        """One that has come by itself."""
        table = tables.devices
        own = table.c.organization_id == self.organization_id
        [row] = self.rows(select(table.c.id).where(own, table.c.uid == uid))
        return Board(row.id, uid, "", b"")

    def attempts(self, board: Board) -> list[int]:
        """The ids under which anything was ever offered to it, in order."""
        table, deliveries = tables.attempts, tables.deliveries
        query = select(table.c.id).join(deliveries, deliveries.c.id == table.c.delivery_id)
        return [row.id for row in self.rows(query.where(deliveries.c.device_id == board.id).order_by(table.c.id))]

    def next_attempt_is(self, number: int) -> None:
        """The database counts on from there."""
        if self.database.engine.dialect.name == "sqlite":
            statements = [
                "DELETE FROM sqlite_sequence WHERE name = 'attempts'",
                f"INSERT INTO sqlite_sequence (name, seq) VALUES ('attempts', {number - 1})",
            ]
        else:
            statements = [f"ALTER TABLE attempts ALTER COLUMN id RESTART WITH {number}"]
        with self.database.write() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def was_told_a_while_ago(self, board: Board) -> None:
        """A minute has passed since the device told its attributes."""
        table = tables.devices
        with self.database.write() as connection:
            row = connection.execute(select(table.c.attributes_at).where(table.c.id == board.id)).one()
            earlier = row.attributes_at - 60_000
            connection.execute(update(table).where(table.c.id == board.id).values(attributes_at=earlier))

    def clock_shows(self, hour: int) -> None:
        """It is this hour where the devices of the product are."""
        ahead = (hour - hour_of_utc() + 11) % 24 - 11
        zone = "Etc/GMT" + (f"-{ahead}" if ahead > 0 else f"+{-ahead}" if ahead < 0 else "")
        answer = self.ask("PATCH", f"/api/v1/products/{self.product_id}", json={"timeZone": zone})
        assert answer.status_code == 200, answer.text

    def began_yesterday(self, rollout_id: int) -> None:
        """So that a window which is open lets in whoever asks: nobody's turn is still to come."""
        table = tables.rollouts
        yesterday = self.now - int(timedelta(days=1).total_seconds() * 1000)
        with self.database.write() as connection:
            connection.execute(update(table).where(table.c.id == rollout_id).values(started_at=yesterday))

    def is_to_be_forced_now(self, rollout_id: int) -> None:
        """The time has come from which on it is, wherever that was."""
        table = tables.rollouts
        with self.database.write() as connection:
            connection.execute(update(table).where(table.c.id == rollout_id).values(forced_at=self.now))


def seen_by(place: Place, board: Board) -> dict[str, Any]:
    """The deployment as anybody with the token of the device sees it now."""
    with httpx.Client(headers={"Authorization": f"TargetToken {board.token}"}, timeout=60) as client:
        base = client.get(f"{place.server.url}/DEFAULT/controller/v1/{board.uid}").json()
        answer = client.get(base["_links"]["deploymentBase"]["href"])
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@contextmanager
def served_on(
    request: pytest.FixtureRequest, folder: Path, template: Path, kind: str, **settings: Any
) -> Iterator[Served]:
    """An application on a database of this kind, where a failed try is followed by the next at once."""
    with ExitStack() as stack:
        url = ""
        if kind == "sqlite":
            copy_of_sqlite(template, folder)
        else:
            server = request.getfixturevalue("postgresql_server")
            url = stack.enter_context(copy_of_postgresql(server, request.getfixturevalue("postgresql_template")))
        yield stack.enter_context(serving(folder, url, retry_seconds=0, **settings))


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """The port of a server that gives these answers in turn, whatever it is asked, and then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_answer, args=(listener, list(answers)), daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(10)


def _answer(listener: socket.socket, answers: list[bytes]) -> None:
    connection, _ = listener.accept()
    with connection:
        for answer in answers:
            received = b""
            while b"\r\n\r\n" not in received:
                chunk = connection.recv(65_536)
                if not chunk:
                    return
                received += chunk
            connection.sendall(answer)


class _Passing(BaseHTTPRequestHandler):
    """Passes a request on with more headers, and the answer back as it is."""

    protocol_version = "HTTP/1.1"
    server_port, added = 0, dict[str, str]()

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        behind = http.client.HTTPConnection("127.0.0.1", self.server_port, timeout=60)
        behind.request(self.command, self.path, body or None, {**dict(self.headers.items()), **self.added})
        answer = behind.getresponse()
        content = answer.read()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        behind.close()

    def log_message(self, *_words: object) -> None:
        """Says nothing."""


@contextmanager
def passing(server_port: int, added: Mapping[str, str]) -> Iterator[int]:
    """The port of a proxy in front of a server; `added`: headers, in which `{port}` is its own port."""
    methods = dict.fromkeys(("do_GET", "do_PUT", "do_POST", "do_HEAD"), _Passing.pass_on)
    kind = type("Passing", (_Passing,), {**methods, "server_port": server_port})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as proxy:
        port = proxy.server_address[1]
        kind.added = {name: value.format(port=port) for name, value in added.items()}  # type: ignore[attr-defined]
        thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield port
        proxy.shutdown()
        thread.join(10)

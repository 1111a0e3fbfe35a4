"""An upload that has all its bytes becomes one artifact: whatever was interrupted, whoever asks, however many at once."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from tests.apis.serving import eventually, serving
from tests.apis.site import Site
from tests.apis.uploads.sender import UPLOADS, Sender, refusal, unique
from tests.formats.packages import Member, package
from tests.make import copy_of_sqlite

from airfreight.adapters.blobs import FolderBlobs
from airfreight.ports import Blob
from airfreight.store import tables


def interrupted(sender: Sender, content: bytes, **said: str) -> str:
    """An upload with all its bytes, of which nothing was made: the server was killed just then."""
    at = sender.begun(len(content), **said)
    sender.send(at, 0, content[:-1])
    with sender.file(at).open("ab") as file:
        file.write(content[-1:])
    return at


@pytest.mark.parametrize("method", ["HEAD", "GET", "PATCH"])
def test_what_was_interrupted_is_finished_by_whoever_comes_next(sender: Sender, method: str) -> None:
    content = unique(5000)
    at = interrupted(sender, content)
    answer = sender.send(at, 5000, b"") if method == "PATCH" else sender.ask(method, at)
    [row] = sender.artifacts()
    if method != "GET":
        assert answer.headers["artifact-id"] == str(row.id)
        assert answer.headers["upload-offset"] == "5000"
        assert "upload-expires" not in answer.headers
    assert sender.get(at)["artifact"]["id"] == row.id
    assert row.sha256 == hashlib.sha256(content).hexdigest()
    assert sender.send(at, 5000, b"").headers["artifact-id"] == str(row.id)
    assert len(sender.artifacts()) == 1


def test_the_artifact_is_made_by_whoever_began_the_upload(sender: Sender) -> None:
    content = unique(50)
    at = str(sender.begin(50, "staff").headers["location"])
    with sender.file(at).open("ab") as file:
        file.write(content)
    assert sender.ask("HEAD", at, who="admin").status_code == 200
    [row] = sender.artifacts()
    [begun] = sender.rows()
    assert row.made_by == begun.made_by
    assert row.made_by != f"user:{sender.site.admin_id}"


def test_what_is_refused_is_refused_also_later(sender: Sender) -> None:
    content = package(Member("../../etc/passwd", b"root"))
    at = interrupted(sender, content, filename="a.iotcp")
    head = sender.ask("HEAD", at)
    assert (head.status_code, head.headers["x-error-code"]) == (400, "broken_package")
    assert sender.ask("HEAD", at).status_code == 404
    assert sender.rows() == sender.artifacts() == []
    assert not sender.file(at).exists()


def test_many_who_finish_at_once_make_one_artifact(sender: Sender) -> None:
    content = unique(3_000_000)
    at = interrupted(sender, content)

    def one(number: int) -> int:
        if number % 2:
            return sender.ask("HEAD", at).status_code
        return sender.send(at, len(content), b"").status_code

    sender.ask("GET", UPLOADS)
    with ThreadPoolExecutor(8) as many:
        statuses = set(many.map(one, range(16)))
    assert statuses <= {200, 204, 409}
    assert sender.ask("HEAD", at).headers["artifact-id"]
    assert len(sender.artifacts()) == 1


def test_many_pieces_at_once_leave_the_bytes_of_one_of_them(sender: Sender) -> None:
    for _ in range(3):
        pieces = [bytes([number]) * 200_000 for number in range(6)]
        at = sender.begun(400_000)
        barrier = threading.Barrier(6)

        def one(piece: bytes, at: str = at, barrier: threading.Barrier = barrier) -> int:
            barrier.wait()
            return sender.send(at, 0, piece).status_code

        with ThreadPoolExecutor(6) as many:
            statuses = sorted(many.map(one, pieces))
        assert statuses == [204] + [409] * 5
        assert sender.file(at).read_bytes() in pieces


@contextmanager
def second_server(site: Site) -> Iterator[Site]:
    """Another server on the same database and the same files, with a site that has the same tokens."""
    url = site.database.engine.url
    given = "" if site.database.is_sqlite else url.render_as_string(hide_password=False)
    with serving(site.settings.data, given) as served, ExitStack() as stack:
        other = Site.__new__(Site)
        other.__dict__.update(site.__dict__, server=served, _stack=stack, _clients={})
        yield other


def test_two_servers_on_the_same_files_keep_each_other_out(sender: Sender) -> None:
    at = sender.begun(100)
    with second_server(sender.site) as other:
        there = Sender(other)
        assert there.send(at, 0, b"x" * 40).headers["upload-offset"] == "40"
        assert sender.offset(at) == 40
        held = sender.site.server.app.blobs.partials.hold(at.rpartition("/")[2])
        assert held is not None
        refusal(there.send(at, 40, b"x"), 409, "upload_busy")
        held.close()
        assert there.send(at, 40, b"y" * 60).headers["artifact-id"] == sender.ask("HEAD", at).headers["artifact-id"]


def test_a_removal_in_the_middle_of_finishing_leaves_no_artifact(sender: Sender) -> None:
    """The bytes are stored, the row is not written yet: then somebody gives the upload up."""
    at = interrupted(sender, unique(500))
    partials = sender.site.server.app.blobs.partials
    real = partials._keep

    def kept_and_removed(*given: Any) -> Blob:
        made = real(*given)
        assert sender.ask("DELETE", at).status_code == 204
        return made

    partials._keep = kept_and_removed
    try:
        refusal(sender.send(at, 500, b""), 404, "not_found")
    finally:
        partials._keep = real
    assert sender.rows() == sender.artifacts() == []


def test_a_crash_between_storing_and_writing_it_down_loses_nothing(sender: Sender) -> None:
    """The blob is in its place, the partial file too, and the row knows nothing of it."""
    content = unique(5000)
    at = interrupted(sender, content)
    held = sender.site.server.app.blobs.partials.hold(at.rpartition("/")[2])
    assert held is not None
    stored = held.store()
    held.close()
    assert stored.path.samefile(sender.file(at))
    assert sender.ask("HEAD", at).headers["upload-offset"] == "5000"
    [row] = sender.artifacts()
    assert (row.sha256, row.size) == (stored.sha256, 5000)
    assert stored.path.read_bytes() == content
    assert not sender.file(at).exists()
    incoming = sender.site.settings.data / "blobs" / "incoming"
    assert not list(incoming.glob("*.link"))


def test_a_file_that_is_stored_already_is_one_file(sender: Sender) -> None:
    content = unique(5000)
    put = sender.ask("PUT", "/api/v1/artifacts", params={"filename": "a"}, content=content).json()
    at = sender.begun(5000)
    made = sender.send(at, 0, content).headers["artifact-id"]
    assert made != str(put["id"])
    assert {row.sha256 for row in sender.artifacts()} == {put["sha256"]}
    sender.ask("DELETE", f"/api/v1/artifacts/{put['id']}")
    assert sender.site.blobs.path(put["sha256"]).read_bytes() == content


def test_bytes_whose_file_is_lost_are_not_said_to_be_there(sender: Sender) -> None:
    """A backup has no unfinished uploads."""
    at = sender.begun(100)
    sender.send(at, 0, b"x" * 50)
    sender.file(at).unlink()
    assert sender.ask("HEAD", at).status_code == 404
    refusal(sender.send(at, 50, b"x"), 404, "not_found")
    assert sender.ask("DELETE", at).status_code == 204


def test_what_is_uploaded_this_way_can_be_sent_through_every_door(sender: Sender) -> None:
    content = unique(5000)
    at = sender.begun(5000)
    sender.send(at, 0, content)
    artifact = sender.get(at)["artifact"]
    site = sender.site
    [board] = site.devices(site.product_id)
    body = {
        "title": "t",
        "productId": site.product_id,
        "pathToFirmware": artifact["path"],
        "firmwareOriginalFileName": "a.bin",
        "firmwareInfo": artifact["firmwareInfo"],
        "skipFwTypeCheck": True,
        "deviceIds": [board.id],
    }
    assert site.ask("POST", "/api/v1/organization/shipment/create", json=body).status_code == 201
    told = site.as_device(board).get("/device/v1/next").json()
    assert site.as_device(board).get(told["artifacts"][0]["url"]).content == content
    named = site.ask("GET", f"/api/programs/{artifact['uid']}/file-info").json()
    assert named["name"] == "a.bin"
    campaign = site.ask("POST", "/api/campaigns", json={"name": "c", "packages": [artifact["uid"]]})
    assert campaign.status_code == 200, campaign.text


def test_a_stranger_sees_nothing_of_an_upload_and_a_user_without_permission_neither(sender: Sender) -> None:
    at = sender.begun(100)
    sender.send(at, 0, b"x" * 50)
    site = sender.site
    strange = Site(site.server, site._stack)
    stranger = Sender(strange)
    missing = f"{UPLOADS}/00000000-0000-4000-8000-000000000000"
    for method in ("HEAD", "GET", "DELETE"):
        told, none = stranger.ask(method, at), stranger.ask(method, missing)
        assert (told.status_code, told.content) == (none.status_code, none.content) == (404, none.content)
    for offset, body in ((50, b"x" * 50), (0, b""), ("x", b"")):
        refusal(stranger.send(at, offset, body), 404, "not_found")
    assert stranger.ask("GET", UPLOADS).json()["items"] == []
    assert sender.ask("HEAD", at, who=None).status_code == 401
    for method in ("HEAD", "GET", "DELETE", "PATCH"):
        assert sender.ask(method, at, who="user").status_code == 403
    refusal(sender.begin(5, "user"), 403, "forbidden")
    refusal(sender.ask("GET", UPLOADS, who="user"), 403, "forbidden")
    assert sender.offset(at) == 50
    for odd in ("x", "..", "%2e%2e", "....", "a" * 36, "-" * 36, "0" * 36, "incoming", f"..%2f{'a' * 33}"):
        assert sender.ask("HEAD", f"{UPLOADS}/{odd}").status_code in {404, 405}, odd


def test_an_upload_that_is_over_is_gone(sender: Sender) -> None:
    at = sender.begun(100)
    sender.send(at, 0, b"x" * 50)
    with sender.site.database.write() as connection:
        row = tables.uploads.c.uid == at.rpartition("/")[2]
        connection.execute(update(tables.uploads).where(row).values(expires_at=1))
    assert sender.ask("HEAD", at).status_code == 404
    assert sender.ask("GET", UPLOADS).json()["items"] == []
    refusal(sender.send(at, 50, b"x" * 50), 404, "not_found")
    assert sender.artifacts() == []


def test_every_piece_moves_the_end_on_also_one_that_broke_off(sender: Sender) -> None:
    at = sender.begun(100)

    def end_soon() -> int:
        soon = sender.site.now + 60_000
        with sender.site.database.write() as connection:
            row = tables.uploads.c.uid == at.rpartition("/")[2]
            connection.execute(update(tables.uploads).where(row).values(expires_at=soon))
        return soon

    soon = end_soon()
    sender.send(at, 0, b"x" * 50)
    assert sender.get(at)["expiresAt"] > soon + 3_600_000
    soon = end_soon()
    refusal(sender.send(at, 50, iter([b"x" * 60])), 413, "too_large")
    assert sender.get(at)["expiresAt"] > soon + 3_600_000


def test_the_files_of_a_server_that_stops_are_let_go(tmp_path: Path, sqlite_template: Path) -> None:
    folder = tmp_path / "served"
    copy_of_sqlite(sqlite_template, folder)
    with ExitStack() as ending, ExitStack() as stack:
        served = stack.enter_context(serving(folder))
        sender = Sender(Site(served, stack))
        at = sender.begun(3_000_000)
        line = ending.enter_context(served.connect())  # it is there for longer than the server
        line.sendall(
            f"PATCH {at} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sender.site.tokens['client']}\r\nUpload-Offset: 0\r\n"
            "Content-Type: application/offset+octet-stream\r\nContent-Length: 3000000\r\n\r\n".encode()
            + b"x" * 2_000_000
        )
        assert eventually(lambda: sender.offset(at) > 0)
    held = FolderBlobs(folder / "blobs").partials.hold(at.rpartition("/")[2])
    assert held is not None
    assert held.size >= 1024**2
    held.close()

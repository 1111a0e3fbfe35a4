"""Resumable uploads as tus 1.0.0 says them: what a client may rely on, and what it hears when it is wrong."""

import hashlib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from tests.apis.conftest import Serve
from tests.apis.serving import eventually
from tests.apis.site import Site
from tests.apis.uploads.sender import UPLOADS, Sender, metadata, refusal, unique
from tests.formats.packages import Member, package
from tests.make import BUILD, image

HOUR = 3600


def test_the_server_says_what_it_speaks(sender: Sender) -> None:
    for who in ("client", None):
        answer = sender.site.ask("OPTIONS", UPLOADS, who)
        assert answer.status_code == 204
        assert answer.headers["tus-version"] == "1.0.0"
        assert set(answer.headers["tus-extension"].split(",")) == {"creation", "termination", "expiration"}
        assert "tus-max-size" not in answer.headers
        assert answer.headers["allow"] == "GET, OPTIONS, POST"


def test_a_file_comes_in_pieces_and_becomes_an_artifact(sender: Sender) -> None:
    content = image("2.0.0", BUILD, "T") + unique(16)
    begun = sender.begin(len(content), filename="lampe für.bin", description="why", filetype="x/y")
    assert begun.status_code == 201
    at = begun.headers["location"]
    assert at == f"{UPLOADS}/{begun.json()['id']}"
    assert begun.headers["tus-resumable"] == "1.0.0"
    until = parsedate_to_datetime(begun.headers["upload-expires"]).timestamp()
    assert 23.9 * HOUR < until - time.time() < 24.1 * HOUR
    offset = 0
    for end in (1, 300, len(content)):
        answer = sender.send(at, offset, content[offset:end])
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["upload-offset"] == str(end)
        assert ("upload-expires" in answer.headers) == (end < len(content))
        assert sender.offset(at) == end
        offset = end
    made = sender.get(at)
    [row] = sender.artifacts()
    assert answer.headers["artifact-id"] == str(row.id)
    assert made["artifact"] == sender.ask("GET", f"/api/v1/artifacts/{row.id}").json()
    assert made["artifact"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert made["artifact"]["md5"] == hashlib.md5(content).hexdigest()
    assert made["artifact"]["facts"]["version"] == "2.0.0"
    assert (made["filename"], made["size"], made["offset"]) == ("lampe für.bin", len(content), len(content))
    assert made["metadata"] == {"filename": "lampe für.bin", "description": "why", "filetype": "x/y"}
    assert (row.description, row.filename) == ("why", "lampe für.bin")
    assert sender.site.blobs.path(row.sha256).read_bytes() == content
    assert not sender.file(at).exists()


def test_the_same_bytes_at_once_are_the_same_artifact(sender: Sender) -> None:
    content = image("2.0.0", BUILD, "T") + unique(16)
    at = sender.begun(len(content))
    sender.send(at, 0, content)
    put = sender.ask("PUT", "/api/v1/artifacts", params={"filename": "a.bin"}, content=content).json()
    made = sender.get(at)["artifact"]
    different = {"id", "uid", "path", "createdAt"}
    assert {k: v for k, v in made.items() if k not in different} == {k: v for k, v in put.items() if k not in different}


def test_what_is_asked_of_an_upload_is_answered_afresh_and_as_it_was_told(sender: Sender) -> None:
    told = f"filename {'YQ=='}, empty ,flag,note eA=="
    answer = sender.ask("POST", UPLOADS, {"Upload-Length": "10", "Upload-Metadata": told})
    at = answer.headers["location"]
    head = sender.ask("HEAD", at)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["cache-control"] == "no-store"
    assert head.headers["tus-resumable"] == "1.0.0"
    assert (head.headers["upload-offset"], head.headers["upload-length"]) == ("0", "10")
    assert head.headers["upload-metadata"] == told
    assert parsedate_to_datetime(head.headers["upload-expires"]).timestamp() > time.time()
    assert sender.get(at)["metadata"] == {"filename": "a", "empty": "", "flag": "", "note": "x"}
    assert sender.get(at)["artifact"] is None


def test_the_last_piece_again_is_the_same_artifact(sender: Sender) -> None:
    content = unique(1000)
    at = sender.begun(1000)
    first = sender.send(at, 0, content)
    for _ in range(2):
        again = sender.send(at, 1000, b"")
        assert again.status_code == 204
        assert again.headers["artifact-id"] == first.headers["artifact-id"]
        assert again.headers["upload-offset"] == "1000"
    head = sender.ask("HEAD", at)
    assert (head.headers["upload-offset"], head.headers["artifact-id"]) == ("1000", first.headers["artifact-id"])
    assert len(sender.artifacts()) == 1
    refusal(sender.send(at, 0, content), 409, "wrong_offset")
    refusal(sender.send(at, 1000, b"x"), 413, "too_large")
    refusal(sender.send(at, 1000, iter([b"x"])), 413, "too_large")
    assert len(sender.artifacts()) == 1


def test_an_upload_whose_artifact_is_deleted_is_gone_and_one_that_is_deleted_leaves_its_artifact(
    sender: Sender,
) -> None:
    made = []
    for _ in range(2):
        at = sender.begun(100)
        made.append((at, sender.send(at, 0, unique(100)).headers["artifact-id"]))
    assert sender.ask("DELETE", made[0][0]).status_code == 204
    assert sender.ask("GET", f"/api/v1/artifacts/{made[0][1]}").status_code == 200
    assert sender.ask("DELETE", f"/api/v1/artifacts/{made[1][1]}").status_code == 204
    for at, _ in made:
        assert sender.ask("HEAD", at).status_code == 404
        refusal(sender.send(at, 100, b""), 404, "not_found")
    assert len(sender.artifacts()) == 1


def test_an_upload_that_is_given_up_leaves_nothing(sender: Sender) -> None:
    at = sender.begun(100)
    sender.send(at, 0, b"x" * 50)
    assert sender.file(at).read_bytes() == b"x" * 50
    answer = sender.ask("DELETE", at)
    assert (answer.status_code, answer.headers["tus-resumable"]) == (204, "1.0.0")
    assert not sender.file(at).exists()
    assert sender.rows() == []
    for method in ("HEAD", "GET", "DELETE"):
        answer = sender.ask(method, at)
        assert (answer.status_code, answer.headers["x-error-code"]) == (404, "not_found")
        assert "upload-offset" not in answer.headers
    refusal(sender.send(at, 50, b"x" * 50), 404, "not_found")


def test_a_file_that_contradicts_itself_is_refused_with_its_last_byte_and_leaves_nothing(sender: Sender) -> None:
    content = package(Member("dist-info/CHECK_SUMS", b"data/verify.sh: sha256=" + b"0" * 64 + b"\n"))
    put = sender.ask("PUT", "/api/v1/artifacts", params={"filename": "a.iotcp"}, content=content)
    at = sender.begun(len(content), filename="a.iotcp")
    sender.send(at, 0, content[:5])
    answer = sender.send(at, 5, content[5:])
    assert (answer.status_code, answer.json()) == (put.status_code, put.json())
    refusal(answer, 400, "broken_package")
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert sender.ask("HEAD", at).status_code == 404
    assert not sender.file(at).exists()
    assert sender.rows() == sender.artifacts() == []
    assert not sender.site.blobs.path(hashlib.sha256(content).hexdigest()).exists()


def test_an_empty_file_is_refused_as_it_is_whole(sender: Sender) -> None:
    answer = sender.begin(0)
    refusal(answer, 400, "empty_file")
    assert answer.json() == sender.ask("PUT", "/api/v1/artifacts", params={"filename": "a"}, content=b"").json()
    assert sender.rows() == []


WRONG_LENGTHS = ["", "-1", "+1", "1.5", "1e3", "0x10", "01", "1_0", "1 2", "1,2", "x", "٣", "9" * 19, "9" * 5000]


@pytest.mark.parametrize("length", WRONG_LENGTHS, ids=lambda text: repr(text)[:12])
def test_a_length_that_is_none_is_refused(sender: Sender, length: str) -> None:
    headers = [(b"Upload-Length", length.encode()), (b"Upload-Metadata", metadata(filename="a").encode())]
    refusal(sender.site.ask("POST", UPLOADS, headers=headers), 400, "invalid")
    at = sender.begun(10)
    kind = (b"Content-Type", b"application/offset+octet-stream")
    answer = sender.site.ask("PATCH", at, headers=[(b"Upload-Offset", length.encode()), kind], content=b"x")
    refusal(answer, 400, "invalid")
    assert sender.offset(at) == 0


def test_a_length_that_is_left_out_or_put_off_or_said_twice_is_refused(sender: Sender) -> None:
    said = {"Upload-Metadata": metadata(filename="a")}
    refusal(sender.ask("POST", UPLOADS, said), 400, "invalid")
    refusal(sender.ask("POST", UPLOADS, {**said, "Upload-Defer-Length": "1"}), 400, "invalid")
    refusal(sender.ask("POST", UPLOADS, {**said, "Upload-Length": "5", "Upload-Defer-Length": "1"}), 400, "invalid")
    twice: list[Any] = [*said.items(), ("Upload-Length", "5"), ("Upload-Length", "6")]
    refusal(sender.site.ask("POST", UPLOADS, headers=twice), 400, "invalid")
    at = sender.begun(10)
    kind = {"Content-Type": "application/offset+octet-stream"}
    refusal(sender.ask("PATCH", at, kind, content=b"x"), 400, "invalid")
    offsets: list[Any] = [*kind.items(), ("Upload-Offset", "0"), ("Upload-Offset", "0")]
    refusal(sender.site.ask("PATCH", at, headers=offsets, content=b"x"), 400, "invalid")
    assert sender.offset(at) == 0
    assert len(sender.rows()) == 1


WRONG_METADATA = {
    "a sign for a key": "=",
    "no value's base64": "filename YQ",
    "odd base64": "filename Y*==",
    "a url's base64": "filename -_==",
    "twice the key": "filename YQ==,filename YQ==",
    "an empty pair": "filename YQ==,,note eA==",
    "a comma at the end": "filename YQ==,",
    "two values": "filename YQ== YQ==",
    "json": '{"filename": "a"}',
    "too long": "filename YQ==,x " + "AAAA" * 1024,
    "no filename": "name YQ==",
    "nothing": "",
}


@pytest.mark.parametrize("what", WRONG_METADATA)
def test_metadata_that_cannot_be_read_is_refused(sender: Sender, what: str) -> None:
    answer = sender.ask("POST", UPLOADS, {"Upload-Length": "5", "Upload-Metadata": WRONG_METADATA[what]})
    refusal(answer, 400, "bad_filename" if what in {"no filename", "nothing", "a sign for a key"} else "bad_metadata")
    assert sender.rows() == []


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/", "a\x00b", "a\nb", "\x1b[31m", "\u202e", "x" * 256])
def test_a_file_name_that_is_none_is_refused(sender: Sender, name: str) -> None:
    refusal(sender.begin(5, filename=name), 400, "bad_filename")
    assert sender.rows() == []


def test_a_file_name_is_a_label_and_never_a_path(sender: Sender) -> None:
    at = sender.begun(20, filename="../../../etc/passwd")
    sender.send(at, 0, unique(20))
    assert sender.get(at)["filename"] == "passwd"
    assert sender.get(at)["artifact"]["filename"] == "passwd"


@pytest.mark.parametrize("description", ["x" * 129, "two\nlines", "\x1b[31m"])
def test_a_description_that_is_none_is_refused(sender: Sender, description: str) -> None:
    refusal(sender.begin(5, description=description), 400, "bad_metadata")
    assert sender.rows() == []


@pytest.mark.parametrize("version", ["0.2.2", "1.0", "2.0.0", "x", "1.0.0, 1.0.0", ""])
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE", "GET"])
def test_another_version_of_the_protocol_is_not_understood(sender: Sender, version: str, method: str) -> None:
    at = sender.begun(10)
    headers = {
        "Tus-Resumable": version,
        "Upload-Length": "10",
        "Upload-Offset": "0",
        "Upload-Metadata": metadata(filename="a"),
        "Content-Type": "application/offset+octet-stream",
    }
    body = b"x" if method == "PATCH" else None
    answer = sender.ask(method, UPLOADS if method == "POST" else at, headers, content=body)
    assert (answer.status_code, answer.headers["x-error-code"]) == (412, "tus_version")
    assert answer.headers["tus-version"] == answer.headers["tus-resumable"] == "1.0.0"
    assert sender.offset(at) == 0
    assert len(sender.rows()) == 1


def test_who_names_no_version_speaks_ours(sender: Sender) -> None:
    at = sender.begun(10)
    kind = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    assert sender.site.ask("PATCH", at, headers=kind, content=b"x" * 10).status_code == 204


@pytest.mark.parametrize(
    "kind", ["", "application/octet-stream", "text/plain", "application/offset+octet-streams", "*/*"]
)
def test_a_piece_of_another_type_is_refused(sender: Sender, kind: str) -> None:
    at = sender.begun(10)
    refusal(sender.send(at, 0, b"x", **{"Content-Type": kind}), 415, "unsupported_media_type")
    assert sender.offset(at) == 0


def test_the_type_of_a_piece_may_be_written_in_any_case_and_with_parameters(sender: Sender) -> None:
    at = sender.begun(10)
    assert sender.send(at, 0, b"x", **{"Content-Type": "Application/Offset+Octet-Stream; x=y"}).status_code == 204


@pytest.mark.parametrize("offset", [0, 4, 6, 10, 11, 10**17])
def test_a_piece_at_a_wrong_offset_changes_nothing(sender: Sender, offset: int) -> None:
    at = sender.begun(10)
    sender.send(at, 0, b"12345")
    refusal(sender.send(at, offset, b"x"), 409, "wrong_offset")
    assert sender.file(at).read_bytes() == b"12345"
    assert sender.get(at)["offset"] == 5


def chunked(content: bytes, piece: int = 3) -> Iterator[bytes]:
    yield from (content[start : start + piece] for start in range(0, len(content), piece))


@pytest.mark.parametrize("size", [11, 5000, 3_000_000])
def test_more_bytes_than_were_announced_are_refused_and_none_are_kept(sender: Sender, size: int) -> None:
    at = sender.begun(10)
    sender.send(at, 0, b"12345")
    refusal(sender.send(at, 5, b"x" * (size - 5)), 413, "too_large")
    refusal(sender.send(at, 5, chunked(b"x" * (size - 5), 1 + size // 4)), 413, "too_large")
    assert sender.offset(at) == 5
    assert sender.file(at).read_bytes() == b"12345"
    assert sender.send(at, 5, b"67890").status_code == 204


def test_too_many_bytes_are_cut_off_also_when_many_were_written_already(sender: Sender) -> None:
    content = unique(5_000_000)
    at = sender.begun(4_500_000)
    sender.send(at, 0, content[:10])
    refusal(sender.send(at, 10, chunked(content[10:], 65536)), 413, "too_large")
    assert sender.offset(at) == 10
    assert sender.send(at, 10, chunked(content[10:4_500_000], 65536)).status_code == 204
    assert sender.get(at)["artifact"]["sha256"] == hashlib.sha256(content[:4_500_000]).hexdigest()


def test_a_piece_may_be_empty_and_come_without_a_length(sender: Sender) -> None:
    at = sender.begun(10)
    assert sender.send(at, 0, b"").headers["upload-offset"] == "0"
    assert sender.send(at, 0, chunked(b"1234567")).headers["upload-offset"] == "7"
    assert sender.send(at, 7, chunked(b"890")).headers["artifact-id"]


def piece(sender: Sender, at: str, offset: int, length: int, content: bytes) -> socket.socket:
    """A PATCH that announces `length` bytes and has sent only `content` of them."""
    line = sender.site.server.connect()
    head = (
        f"PATCH {at} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sender.site.tokens['client']}\r\n"
        f"Content-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\nContent-Length: {length}\r\n\r\n"
    )
    line.sendall(head.encode() + content)
    return line


def test_what_came_before_a_body_broke_off_is_kept(sender: Sender) -> None:
    content = unique(3_000_000)
    at = sender.begun(3_000_000)
    with piece(sender, at, 0, 3_000_000, content[:1_500_000]):
        assert eventually(lambda: sender.offset(at) > 0)
    assert eventually(lambda: sender.offset(at) == 1_500_000)
    assert eventually(lambda: sender.send(at, 1_500_000, content[1_500_000:]).status_code == 204)
    assert sender.get(at)["artifact"]["sha256"] == hashlib.sha256(content).hexdigest()


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def chunks_of(sender: Sender, at: str, offset: int = 0) -> socket.socket:
    """A PATCH of which nobody says how long it is; its body is still to be sent."""
    line = sender.site.server.connect()
    head = (
        f"PATCH {at} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sender.site.tokens['client']}\r\n"
        f"Content-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    line.sendall(head.encode())
    return line


def test_a_file_is_not_complete_before_its_last_piece_has_ended(sender: Sender) -> None:
    """Else somebody who asks for the offset now would finish what is then found to be too long."""
    size = 1024**2
    at = sender.begun(size)
    with chunks_of(sender, at) as line:
        line.sendall(chunk(bytes(size)))
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            assert sender.offset(at) < size
        line.sendall(chunk(b"x"))
        assert line.recv(1000).startswith(b"HTTP/1.1 413")
    assert sender.offset(at) == 0
    assert sender.artifacts() == []


def test_an_upload_that_is_given_up_takes_no_more_bytes(sender: Sender) -> None:
    at = sender.begun(30_000_000)
    with chunks_of(sender, at) as line:
        line.sendall(chunk(bytes(3_000_000)))
        assert eventually(lambda: sender.offset(at) > 2_000_000)
        assert sender.ask("DELETE", at).status_code == 204
        line.sendall(chunk(bytes(20_000_000)))
        assert line.recv(1000).startswith(b"HTTP/1.1 404")


def test_an_upload_has_one_sender_at_a_time(sender: Sender) -> None:
    content = unique(3_000_000)
    at = sender.begun(3_000_000)
    with piece(sender, at, 0, 3_000_000, content[:2_000_000]) as line:
        assert eventually(lambda: sender.offset(at) > 0)
        refused = sender.send(at, 0, content)
        refusal(refused, 409, "upload_busy")
        assert refused.headers["retry-after"] == "1"
        assert sender.get(at)["artifact"] is None
        line.sendall(content[2_000_000:])
        answer = line.recv(1000).decode()
    assert answer.startswith("HTTP/1.1 204")
    assert "upload-offset: 3000000" in answer.lower()
    assert sender.get(at)["artifact"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_an_upload_that_is_given_up_while_it_is_sent_is_gone(sender: Sender) -> None:
    at = sender.begun(3_000_000)
    with piece(sender, at, 0, 3_000_000, b"x" * 2_000_000) as line:
        assert eventually(lambda: sender.offset(at) > 0)
        assert sender.ask("DELETE", at).status_code == 204
        line.sendall(b"x" * 1_000_000)
        assert line.recv(1000).startswith(b"HTTP/1.1 404")
    assert sender.rows() == sender.artifacts() == []
    assert not sender.file(at).exists()


def test_a_body_that_stops_coming_ends_and_what_came_is_kept(serve: Serve) -> None:
    with serve(chunk_seconds=1) as served, ExitStack() as stack:
        sender = Sender(Site(served, stack))
        at = sender.begun(100)
        with piece(sender, at, 0, 100, b"x" * 40) as line:
            answer = line.recv(1000).decode()
        assert answer.startswith("HTTP/1.1 400")
        assert "x-error-code: slow_body" in answer.lower()
        assert sender.offset(at) == 40
        object.__setattr__(served.app.settings, "chunk_seconds", 30)
        assert sender.send(at, 40, b"x" * 60).status_code == 204


def test_methods_can_be_named_in_a_header(sender: Sender) -> None:
    at = sender.begun(10)
    kind = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    sent = sender.ask("POST", at, {**kind, "X-HTTP-Method-Override": "PATCH"}, content=b"12345")
    assert (sent.status_code, sent.headers["upload-offset"]) == (204, "5")
    for method in (None, "GET", "PUT", "x"):
        answer = sender.ask("POST", at, {"X-HTTP-Method-Override": method} if method else {})
        assert (answer.status_code, answer.headers["x-error-code"]) == (405, "method_not_allowed")
        assert set(answer.headers["allow"].split(", ")) == {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"}
    assert sender.ask("PATCH", at, {**kind, "X-HTTP-Method-Override": "DELETE"}).status_code == 409
    assert sender.ask("POST", UPLOADS, {"X-HTTP-Method-Override": "DELETE"}).status_code == 400
    assert sender.ask("POST", at, {"X-HTTP-Method-Override": "DELETE"}).status_code == 204
    assert sender.ask("HEAD", at).status_code == 404


def test_an_organization_has_a_hundred_unfinished_uploads_at_most(sender: Sender) -> None:
    made = [sender.begun(1) for _ in range(100)]
    refusal(sender.begin(1), 409, "too_many_uploads")
    sender.send(made[0], 0, b"x")
    made.append(sender.begun(1))
    refusal(sender.begin(1), 409, "too_many_uploads")
    sender.ask("DELETE", made[1])
    assert sender.begin(1).status_code == 201
    assert len(list(sender.folder.iterdir())) >= 100


def test_uploads_are_listed_in_pages(sender: Sender) -> None:
    made = [sender.begun(10, filename=f"{number}.bin") for number in range(5)]
    sender.send(made[1], 0, b"123")
    sender.send(made[3], 0, b"1234567890")
    first = sender.ask("GET", UPLOADS, params={"limit": 3}).json()
    second = sender.ask("GET", UPLOADS, params={"limit": 3, "after": first["next"]}).json()
    assert second["next"] is None
    items = first["items"] + second["items"]
    assert [f"{UPLOADS}/{one['id']}" for one in items] == made
    assert [one["offset"] for one in items] == [0, 3, 0, 10, 0]
    assert [one["artifact"] is None for one in items] == [True, True, True, False, True]
    assert items[3] == sender.get(made[3])


def test_the_limit_of_the_server_is_told_and_kept(serve: Serve) -> None:
    with serve(max_stream_bytes=1000, max_upload_bytes=10) as served, ExitStack() as stack:
        sender = Sender(Site(served, stack))
        assert sender.ask("OPTIONS", UPLOADS).headers["tus-max-size"] == "1000"
        assert sender.begin(1000).status_code == 201
        refusal(sender.begin(1001), 413, "too_large")
        assert len(sender.rows()) == 1


def test_there_is_no_limit_but_the_room_on_the_disk(serve: Serve) -> None:
    with serve(max_upload_bytes=10) as served, ExitStack() as stack:
        sender = Sender(Site(served, stack))
        free = sender.site.blobs.free_bytes()
        assert sender.begin(free // 2).status_code == 201
        for size in (free * 2, 10**18 - 1):
            refusal(sender.begin(size), 409, "disk_full")
        assert len(sender.rows()) == 1


def test_bytes_for_which_there_is_no_room_are_not_taken(serve: Serve) -> None:
    with serve() as served, ExitStack() as stack:
        sender = Sender(Site(served, stack))
        at = sender.begun(40_000_000)
        settings = served.app.settings
        object.__setattr__(settings, "min_free_bytes", 10**17)
        refusal(sender.send(at, 0, b"x" * 1000), 409, "disk_full")
        refusal(sender.begin(1), 409, "disk_full")
        object.__setattr__(settings, "min_free_bytes", 0)
        with chunks_of(sender, at) as line:
            line.sendall(chunk(bytes(3_000_000)))
            assert eventually(lambda: sender.offset(at) > 2_000_000)
            object.__setattr__(settings, "min_free_bytes", 10**17)
            line.sendall(chunk(bytes(20_000_000)))
            assert line.recv(1000).startswith(b"HTTP/1.1 409")
        kept = sender.offset(at)
        assert 2_000_000 < kept < 17 * 1024**2
        object.__setattr__(settings, "min_free_bytes", 0)
        assert sender.send(at, kept, b"x").headers["upload-offset"] == str(kept + 1)

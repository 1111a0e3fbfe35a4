"""Uploads that go on where they broke off: after a break, with the next run, and never as another file's."""

import base64
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Answer, Run, Seen, Stub
from tests.cli.served import CLIENT, Ok, Server

from airfreight.cli import resumable

ARTIFACT = {"id": 5, "filename": "lamp.bin", "path": "/static/fw_1_2.bin", "size": 1000, "facts": {"format": "raw"}}
CONTENT = bytes(range(250)) * 4
UPLOADS, AT = "/api/v1/uploads", "/api/v1/uploads/u1"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lamp.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "_FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(resumable, "LONGEST_PAUSE_SECONDS", 0.05)


class Half:
    """A server that has an upload in memory and takes a part of each piece, then says `refusals` in turn."""

    def __init__(self, stub: Stub, *refusals: Answer, each: int = 10**9) -> None:
        self.bytes = bytearray()
        self.told: dict[str, str] = {}
        self._refusals, self._each, self.size = list(refusals), each, 0
        stub.on("GET", UPLOADS, lambda _: Answer(body={"items": [self.shown()] if self.size else [], "next": None}))
        stub.on("POST", UPLOADS, self.begin)
        stub.on("GET", AT, lambda _: Answer(body=self.shown()))
        stub.on("PATCH", AT, self.take)

    def shown(self) -> dict[str, Any]:
        done = len(self.bytes) == self.size
        artifact = {**ARTIFACT, "sha256": hashlib.sha256(self.bytes).hexdigest()} if done else None
        return {
            "id": "u1",
            "filename": "lamp.bin",
            "size": self.size,
            "offset": len(self.bytes),
            "metadata": self.told,
            "artifact": artifact,
        }

    def begin(self, seen: Seen) -> Answer:
        self.size = int(seen.headers["upload-length"])
        pairs = (pair.split(" ") for pair in seen.headers["upload-metadata"].split(","))
        self.told = {key: base64.b64decode(value).decode() for key, value in pairs}
        return Answer(201, self.shown())

    def take(self, seen: Seen) -> Answer:
        assert seen.headers["content-type"] == "application/offset+octet-stream"
        if int(seen.headers["upload-offset"]) != len(self.bytes):
            return Answer(409, {"error": {"message": "Wrong."}}, {"X-Error-Code": "wrong_offset"})
        self.bytes += seen.body[: self._each]
        if self._refusals:
            return self._refusals.pop(0)
        return Answer(204, b"", {"Upload-Offset": str(len(self.bytes))})


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_sent_in_one_piece_when_nothing_breaks(run: Run, logged_in: Stub, file: Path) -> None:
    half = Half(logged_in)
    result = run("artifact", "upload", str(file), "--resumable", "--json")
    assert (result.code, result.err) == (0, "")
    assert result.document == {**ARTIFACT, "sha256": sha(CONTENT)}
    assert half.bytes == CONTENT
    assert half.told == {"filename": "lamp.bin", "mtime": str(file.stat().st_mtime_ns)}
    assert len(logged_in.requests("PATCH", AT)) == 1


BREAKS = {
    "the server is gone for a moment": Answer(503),
    "somebody else is at it": Answer(409, {"error": {"message": "Busy."}}, {"X-Error-Code": "upload_busy"}),
    "the body was too slow": Answer(400, {"error": {"message": "Slow."}}, {"X-Error-Code": "slow_body"}),
}


@pytest.mark.parametrize("what", BREAKS)
def test_it_goes_on_after_a_break(run: Run, logged_in: Stub, file: Path, what: str) -> None:
    half = Half(logged_in, BREAKS[what], BREAKS[what], each=300)
    result = run("artifact", "upload", str(file), "--resumable")
    assert (result.code, result.err) == (0, "")
    assert half.bytes == CONTENT
    offsets = [seen.headers["upload-offset"] for seen in logged_in.requests("PATCH", AT)]
    assert offsets == ["0", "300", "600", "900"]


def test_it_gives_up_when_nothing_moves_and_the_next_run_goes_on(
    run: Run, logged_in: Stub, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resumable, "PATIENCE_SECONDS", 0.5)
    half = Half(logged_in, each=400)
    answers = [Answer(204, b""), Answer(503)]
    take = half.take

    def once(seen: Seen) -> Answer:
        take(seen)
        half._each = 0
        return answers.pop(0) if len(answers) > 1 else answers[0]

    logged_in.on("PATCH", AT, once)
    stuck = run("artifact", "upload", str(file), "--resumable")
    assert stuck.code == 3
    assert "the same command goes on from there" in stuck.err
    assert len(half.bytes) == 400
    half._each = 10**9
    logged_in.on("PATCH", AT, take)
    assert run("artifact", "upload", str(file), "--resumable").code == 0
    assert half.bytes == CONTENT
    assert len(logged_in.requests("POST", UPLOADS)) == 1
    assert logged_in.requests("PATCH", AT)[-1].headers["upload-offset"] == "400"


@pytest.mark.parametrize("other", ["name", "size", "time"])
def test_another_files_upload_is_not_gone_on_with(run: Run, logged_in: Stub, file: Path, other: str) -> None:
    half = Half(logged_in)
    half.size, half.told, half.bytes = (
        1000,
        {"filename": "lamp.bin", "mtime": str(file.stat().st_mtime_ns)},
        bytearray(b"x" * 400),
    )
    if other == "name":
        file = file.rename(file.with_name("other.bin"))
    elif other == "size":
        half.size = 1001
    else:
        os.utime(file, (1, 1))
    begin = half.begin

    def anew(seen: Seen) -> Answer:
        half.bytes.clear()
        return begin(seen)

    logged_in.on("POST", UPLOADS, anew)
    assert run("artifact", "upload", str(file), "--resumable").code == 0
    assert half.bytes == CONTENT


def test_a_file_that_became_another_one_unnoticed_is_not_left_on_the_server(
    run: Run, logged_in: Stub, file: Path
) -> None:
    """Same name, size and time, other bytes: what is there already is of the old one."""
    half = Half(logged_in)
    half.size, half.told, half.bytes = (
        1000,
        {"filename": "lamp.bin", "mtime": str(file.stat().st_mtime_ns)},
        bytearray(b"x" * 400),
    )
    logged_in.on("DELETE", "/api/v1/artifacts/5", Answer(204))
    result = run("artifact", "upload", str(file), "--resumable")
    assert (result.code, "changed while it was sent" in result.err) == (2, True)
    assert len(logged_in.requests("DELETE", "/api/v1/artifacts/5")) == 1


def test_what_the_server_refuses_for_good_is_said_at_once(run: Run, logged_in: Stub, file: Path) -> None:
    Half(
        logged_in,
        Answer(400, {"error": {"message": "The package is broken: x."}}, {"X-Error-Code": "broken_package"}),
        each=0,
    )
    result = run("artifact", "upload", str(file), "--resumable")
    assert (result.code, result.err.startswith("The package is broken: x.")) == (1, True)
    assert len(logged_in.requests("PATCH", AT)) == 1


def test_a_server_without_such_uploads_gets_the_file_whole(run: Run, logged_in: Stub, file: Path) -> None:
    logged_in.on("PUT", "/api/v1/artifacts", Answer(201, ARTIFACT))
    assert run("artifact", "upload", str(file), "--resumable").code == 0
    assert logged_in.requests("PUT", "/api/v1/artifacts")[0].body == CONTENT


def test_a_small_file_is_sent_whole_and_a_large_one_is_not(
    run: Run, logged_in: Stub, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = Half(logged_in)
    logged_in.on("PUT", "/api/v1/artifacts", Answer(201, ARTIFACT))
    assert run("artifact", "upload", str(file)).code == 0
    assert half.bytes == b""
    monkeypatch.setattr(resumable, "LARGE_BYTES", 1000)
    assert run("artifact", "upload", str(file)).code == 0
    assert half.bytes == CONTENT


def test_a_large_package_goes_this_way_too(ok: Ok, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resumable, "LARGE_BYTES", 1000)
    path = tmp_path / "large.bin"
    path.write_bytes(random.Random(1).randbytes(5000))
    made = ok("package", "upload", str(path), "--description", "why it is")
    assert (made["name"], made["description"]) == ("large.bin", "why it is")
    [stored] = [one for one in ok("artifact", "list", "--limit", "500")["items"] if one["uid"] == made["id"]]
    assert stored["sha256"] == sha(path.read_bytes())


def test_a_file_that_is_gone_is_named(run: Run, logged_in: Stub, file: Path) -> None:
    half = Half(logged_in)
    begin = half.begin

    def gone(seen: Seen) -> Answer:
        file.unlink()
        return begin(seen)

    logged_in.on("POST", UPLOADS, gone)
    result = run("artifact", "upload", str(file), "--resumable")
    assert result.code == 2
    assert result.err.startswith(f"{file} cannot be read: No such file")


def test_a_real_server_gets_the_file_and_a_second_run_another_artifact(ok: Ok, tmp_path: Path) -> None:
    content = random.Random(2).randbytes(3_000_000)
    path = tmp_path / "real.bin"
    path.write_bytes(content)
    made = ok("artifact", "upload", str(path), "--resumable")
    assert made["sha256"] == sha(content)
    assert ok("artifact", "show", str(made["id"])) == made
    assert ok("artifact", "upload", str(path), "--resumable")["id"] != made["id"]


def test_two_who_send_the_same_file_at_once_do_no_harm(server: Server, tmp_path: Path) -> None:
    content = random.Random(3).randbytes(3_000_000)
    path = tmp_path / "both.bin"
    path.write_bytes(content)
    command = [sys.executable, "-m", "airfreight.cli.main", "artifact", "upload", str(path), "--resumable", "--json"]
    environment = {**os.environ, **CLIENT, "AIRFREIGHT_SERVER": server.url}
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    for one in both:
        out, _ = one.communicate(timeout=120)
        assert one.returncode == 0
        assert json.loads(out)["sha256"] == sha(content)

"""Uploads stream from the disk with a known length, and can be repeated from the start."""

from pathlib import Path

import pytest
from tests.cli.conftest import Answer, Run, Stub, tokens

ARTIFACT = {"id": 5, "filename": "lamp.bin", "path": "/static/fw_1_2.bin", "size": 700_000, "facts": {"format": "raw"}}
CONTENT = bytes(range(256)) * 2735


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lamp v2 ü.bin"
    path.write_bytes(CONTENT)
    return path


def test_the_bytes_arrive_whole_and_announced(run: Run, logged_in: Stub, file: Path) -> None:
    logged_in.on("PUT", "/api/v1/artifacts", Answer(201, ARTIFACT))
    result = run("artifact", "upload", str(file))
    assert (result.code, result.err) == (0, "")
    assert "700.0 kB" in result.out
    seen = logged_in.seen[0]
    assert seen.body == CONTENT
    assert seen.query == {"filename": "lamp v2 ü.bin"}
    assert seen.headers["content-length"] == str(len(CONTENT))
    assert "transfer-encoding" not in seen.headers


def test_json_prints_the_artifact_only(run: Run, logged_in: Stub, file: Path) -> None:
    logged_in.on("PUT", "/api/v1/artifacts", Answer(201, ARTIFACT))
    result = run("artifact", "upload", str(file), "--json")
    assert (result.document, result.err) == (ARTIFACT, "")


def test_an_upload_that_has_to_be_repeated_begins_at_the_first_byte(run: Run, logged_in: Stub, file: Path) -> None:
    logged_in.on("POST", "/oauth2/token", tokens(2))
    logged_in.on("PUT", "/api/v1/artifacts", Answer(401), Answer(201, ARTIFACT))
    assert run("artifact", "upload", str(file)).code == 0
    assert [seen.body for seen in logged_in.seen if seen.method == "PUT"] == [CONTENT, CONTENT]


def test_an_empty_file_is_the_servers_to_judge(run: Run, logged_in: Stub, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    logged_in.on("PUT", "/api/v1/artifacts", Answer(400, {"error": {"message": "The file is empty. Send another."}}))
    result = run("artifact", "upload", str(empty))
    assert (result.code, result.err) == (1, "The file is empty. Send another.\n")
    assert logged_in.seen[0].headers["content-length"] == "0"


def test_a_file_that_grows_while_it_is_sent_is_not_sent_as_something_else(run: Run, logged_in: Stub) -> None:
    # The kernel says that this file has no bytes, and then there are some.
    result = run("artifact", "upload", "/proc/self/status")
    assert result.code == 2
    assert result.err == "/proc/self/status changed while it was sent. Wait until it is complete and try again.\n"


def test_a_file_that_cannot_be_read_to_its_end_is_named(run: Run, logged_in: Stub) -> None:
    # It opens, but the first page of a process's memory is not there to be read.
    result = run("artifact", "upload", "/proc/self/mem")
    assert result.code == 2
    assert result.err == "/proc/self/mem cannot be read: Input/output error. Check the file and its permissions.\n"

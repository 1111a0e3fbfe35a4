"""What goes to stdout: tables that are safe to look at, or one JSON document."""

import json
import os
import subprocess
import sys

import pytest
from tests.cli.conftest import Answer, Run, Stub

from airfreight.cli import output

HOSTILE = "\x1b[31mred\x1b]0;title\x07 \x9b2J a\r\nb\tc \u202egnp.exe [bold]x[/bold] :smile:"
SHOWN = "[31mred ]0;title   2J a  b c  gnp.exe [bold]x[/bold] :smile:"


def test_a_string_of_the_server_cannot_steer_the_terminal(run: Run, logged_in: Stub) -> None:
    logged_in.on("GET", "/api/v1/products", Answer(body={"items": [{"id": 1, "name": HOSTILE}], "next": HOSTILE}))
    result = run("product", "list")
    assert SHOWN in result.out
    assert SHOWN in result.err
    assert all(character.isprintable() or character == "\n" for character in result.out + result.err)


def test_a_record_is_as_safe_as_a_table(run: Run, logged_in: Stub) -> None:
    device = {"id": 1, "uid": HOSTILE, "name": None, "attributes": {HOSTILE: HOSTILE}, "online": True}
    logged_in.on("GET", "/api/v1/devices/1", Answer(body=device))
    result = run("device", "show", "1")
    assert SHOWN in result.out
    assert all(character.isprintable() or character == "\n" for character in result.out)


def test_json_is_the_document_of_the_server_and_nothing_else(run: Run, logged_in: Stub) -> None:
    page = {"items": [{"id": 1, "name": HOSTILE, "new field": [1, None]}], "next": 1}
    logged_in.on("GET", "/api/v1/products", Answer(body=page))
    result = run("product", "list", "--json")
    assert result.document == page
    assert result.err == ""
    assert result.out.isascii()


def test_a_table_in_a_pipe_keeps_a_row_on_a_line(run: Run, logged_in: Stub) -> None:
    items = [{"id": n, "name": "x" * 500, "description": "y" * 500} for n in (1, 2)]
    logged_in.on("GET", "/api/v1/products", Answer(body={"items": items, "next": None}))
    lines = run("product", "list").out.splitlines()
    assert [line.split()[0] for line in lines] == ["ID", "1", "2"]


def test_a_table_in_a_pipe_has_no_blanks_at_the_ends_of_lines(run: Run, logged_in: Stub) -> None:
    items = [{"id": 1, "name": "long name"}, {"id": 2, "name": ""}]
    logged_in.on("GET", "/api/v1/products", Answer(body={"items": items, "next": None}))
    logged_in.on("GET", "/api/v1/devices/1", Answer(body={"uid": "u"}))
    out = run("product", "list").out + run("device", "show", "1").out
    assert [line for line in out.splitlines() if line != line.rstrip()] == []
    assert out.count("\n\n") == 0


@pytest.mark.parametrize("depth", [300, 600, 900, 950, 980])
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_answer_of_any_depth_is_shown_or_refused_in_words(
    run: Run, logged_in: Stub, depth: int, options: tuple[str, ...]
) -> None:
    body = b'{"items": [{"id": 1, "name": ' + b"[" * depth + b"]" * depth + b'}], "next": null}'
    logged_in.on("GET", "/api/v1/products", Answer(200, body))
    result = run("product", "list", *options)
    assert result.code in {0, 1}
    assert bool(result.out) == (result.code == 0)
    assert result.code == 0 or "nested too deeply." in result.err or "was not understood." in result.err


def test_a_page_says_how_to_go_on(run: Run, logged_in: Stub) -> None:
    logged_in.on("GET", "/api/v1/devices", Answer(body={"items": [{"id": 7}], "next": 7}))
    result = run("device", "list", "--limit", "1", "--query", "a b", "--product", "3")
    assert result.err == "There are more: go on with --after 7.\n"
    assert logged_in.seen[0].query == {"limit": "1", "query": "a b", "productId": "3"}


def test_a_deletion_is_one_json_document_too(run: Run, logged_in: Stub) -> None:
    logged_in.on("DELETE", "/api/v1/devices/4", Answer(204))
    assert run("device", "delete", "4", "--json").document == {"id": 4, "deleted": True}
    assert run("device", "delete", "4").out == "Deleted device 4.\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        ("", "-"),
        (0, "0"),
        (True, "yes"),
        (False, "no"),
        ([], "-"),
        ({"a": 1, "b": [True, None], "c": "", "d": {"\x1b": 2}}, "a: 1, b: yes, -, d: : 2"),
        (1.5, "1.5"),
    ],
)
def test_any_json_value_has_a_text(value: object, shown: str) -> None:
    assert output.text(value) == shown


@pytest.mark.parametrize("value", [None, 0, "soon", 10**30, -(10**30), float("inf"), float("nan"), [1], True])
def test_a_time_of_any_kind_is_shown_without_failing(value: object) -> None:
    assert output.when(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (3e9, "3.0 GB"), (None, "-"), ("x", "x")],
)
def test_a_size_has_a_unit(value: object, shown: str) -> None:
    assert output.size(value) == shown


def test_a_reader_that_leaves_early_causes_no_complaint(logged_in: Stub) -> None:
    items = [{"id": n, "name": "x" * 1000} for n in range(1000)]
    logged_in.on("GET", "/api/v1/products", Answer(body={"items": items, "next": None}))
    command = [sys.executable, "-m", "airfreight.cli.main", "product", "list", "--json"]
    # Python itself hides a broken pipe from a program that runs unbuffered.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    complaint = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 1
    assert complaint == b""


def test_a_terminal_without_unicode_shows_a_question_mark(logged_in: Stub) -> None:
    logged_in.on("GET", "/api/v1/products", Answer(body={"items": [{"id": 1, "name": "Küche 厨房"}], "next": None}))
    command = [sys.executable, "-m", "airfreight.cli.main", "product", "list"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"K?che ??" in done.stdout


def test_secrets_shown_once_say_so_on_stderr_only(run: Run, logged_in: Stub) -> None:
    created = {"id": 1, "name": "n", "clientId": "c", "secret": "s"}
    logged_in.on("POST", "/api/v1/clients", Answer(201, created))
    result = run("client", "create", "n", "--json")
    assert result.document == created
    assert result.err == "The secret is not shown again: keep it now.\n"
    assert json.loads(logged_in.seen[0].body) == {"name": "n"}
    assert "secret" in run("client", "create", "n").out

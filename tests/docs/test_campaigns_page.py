"""Every line of curl in docs/apis/campaigns.md works: run by bash and curl as it stands, in order, against a served application."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from tests.apis.campaigns.test_operations import OPERATIONS, Operation, differs
from tests.apis.serving import serving
from tests.apis.site import Site
from tests.formats.packages import package
from tests.make import copy_of_sqlite

from airfreight.domain.access import Role
from airfreight.services import credentials
from airfreight.store import access

PAGE = (Path(__file__).parents[2] / "docs/apis/campaigns.md").read_text()
BY_NAME = {one.name: one for one in OPERATIONS}

WRAPPER = """#!/bin/bash
here="$CALLS/$(ls "$CALLS" | wc -l)"; mkdir "$here"
"$CURL" --max-time 30 -w '%{stderr}%{method} %{http_code} %{url_effective}' "$@" 2> "$here/told" | tee "$here/body"
exit "${PIPESTATUS[0]}"
"""
"""Stands before curl in the path, runs it, and keeps what came back."""


class Line(NamedTuple):
    """A line of the page that is typed, and the comment above it."""

    comment: str
    text: str


class Call(NamedTuple):
    """What one run of curl asked and was answered."""

    method: str
    status: int
    path: str
    body: str


def lines() -> Iterator[Line]:
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE):
        comment = ""
        for text in block.splitlines():
            if text.startswith("#"):
                comment = text.lstrip("# ")
            else:
                yield Line(comment, text)
                comment = ""


def named(comment: str) -> str:
    """The name of the operation in a comment: what stands before a colon or a bracket."""
    return re.split(r": | \(", comment)[0]


@dataclass(slots=True)
class Shell:
    """One line after another, with what was assigned before; `folder` is where it works."""

    folder: Path
    known: dict[str, str]

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir()
        (self.folder / "calls").mkdir()
        (self.folder / "bin/curl").write_text(WRAPPER)
        (self.folder / "bin/curl").chmod(0o755)
        (self.folder / "variables").write_text("")

    def type(self, text: str) -> list[Call]:
        before = self._calls()
        names = " ".join(sorted({*re.findall(r"\b([A-Z]+)=", PAGE)}))
        script = f"source variables\n{text}\nstatus=$?\ndeclare -p {names} > variables 2> /dev/null\nexit $status\n"
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        curl = {"CALLS": str(self.folder / "calls"), "CURL": str(shutil.which("curl"))}
        environment = {"PATH": path, **curl, **self.known}
        command = ["bash", "-c", script]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), text
        return self._calls()[len(before) :]

    def _calls(self) -> list[Call]:
        return [_call(one) for one in sorted((self.folder / "calls").iterdir(), key=lambda one: int(one.name))]


def _call(folder: Path) -> Call:
    method, status, url = (folder / "told").read_text().split(" ", 2)
    return Call(method, int(status), urlsplit(url).path, (folder / "body").read_text())


@pytest.fixture
def shell(tmp_path: Path, sqlite_template: Path) -> Iterator[Shell]:
    """Beside a server that has what the page takes for granted: a user, an organization, a built package."""
    copy_of_sqlite(sqlite_template, tmp_path / "served")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/a-1.0.iotcp").write_bytes(package())
    with serving(tmp_path / "served") as served, ExitStack() as stack:
        site = Site(served, stack)
        password = credentials.hash_password("a-long-password")
        ada = {"email": "ada@example.com", "name": "Ada", "role": Role.ADMIN, "password_hash": password, "now": 1}
        with served.app.database.write() as connection:
            access.add_user(connection, site.organization_id, **ada)  # type: ignore[arg-type]
        yield Shell(tmp_path / "work", {"SERVER": served.url, "ORGANIZATION": str(site.organization_id)})


PLACEHOLDERS = {
    "http://127.0.0.1:8080": "$SERVER",
    "organizations/1/": "organizations/$ORGANIZATION/",
    "ci.example.com": "receiver.invalid",
}


def filled(text: str) -> str:
    for placeholder, value in PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    return text


def fits(operation: Operation, call: Call) -> bool:
    parts = ("[^/]+" if part.startswith("{") else re.escape(part) for part in operation.path.split("/"))
    return call.method == operation.method and re.fullmatch("/".join(parts), call.path) is not None


def wrong_with(call: Call, operation: Operation | None) -> list[str]:
    """What is wrong with an answer. A list may be empty: nobody is at the other end."""
    if call.status != 200 and not (call.status == 201 and call.path.startswith("/api/v1/")):
        return [f"{call.status} {call.body}"]
    body: Any = json.loads(call.body)
    if operation is None:
        return []
    if not fits(operation, call):
        return [f"{call.method} {call.path} is not {operation.name}"]
    if not operation.answer:
        return [] if body == {} else [call.body]
    return [one for one in differs(operation.answer, body) if not one.endswith("is empty")]


def test_every_line_of_curl_works_and_every_operation_has_one(shell: Shell) -> None:
    found = set()
    for comment, text in lines():
        calls = shell.type(filled(text))
        assert bool(calls) == ("curl " in text), text
        operation = BY_NAME.get(named(comment))
        for call in calls:
            assert wrong_with(call, operation) == [], text
        if operation and calls:
            found.add(operation.name)
    assert found == BY_NAME.keys()


def test_no_line_of_curl_stands_where_it_is_not_run() -> None:
    assert PAGE.count("curl -") == sum(text.count("curl -") for _, text in lines())
    assert all(placeholder in PAGE for placeholder in PLACEHOLDERS)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("curl -s $SERVER/api/campaigns", "401 "),
        ("curl -s $SERVER/api/nothing", "404 "),
        ("curl -s $SERVER/api/versions", "GET /api/versions is not Get Campaign"),
    ],
)
def test_a_line_that_does_not_work_is_seen(shell: Shell, text: str, wrong: str) -> None:
    [call] = shell.type(text)
    [words] = wrong_with(call, BY_NAME["Get Campaign"])
    assert words.startswith(wrong)


def test_curl_that_fails_is_seen(shell: Shell) -> None:
    with pytest.raises(AssertionError):
        shell.type("curl -s http://127.0.0.1:1/")

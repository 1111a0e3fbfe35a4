"""What the webhook commands send, and what they say."""

from pathlib import Path

import pytest
from tests.cli.conftest import Answer, Run, Stub

PATH = "/api/v1/webhooks"


def test_create_sends_what_was_given_and_shows_the_secret_once(run: Run, logged_in: Stub, tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.write_text("a certificate")
    logged_in.on("POST", PATH, Answer(201, {"id": 2, "name": "ci", "secret": "whsec_abc"}))
    done = run(
        "webhook", "create", "ci", "https://x.example/", "--description", "d", "--user", "u", "--password", "p",
        "--certificate", str(pem), "--org", "4",
    )  # fmt: skip
    assert done.code == 0
    assert "whsec_abc" in done.out
    assert done.err == "The secret is not shown again: keep it now.\n"
    assert logged_in.seen[0].document == {
        "name": "ci", "url": "https://x.example/", "description": "d", "username": "u", "password": "p", "certificate": "a certificate", "orgId": 4,
    }  # fmt: skip


def test_a_password_is_asked_for_and_never_guessed(run: Run, logged_in: Stub) -> None:
    done = run("webhook", "create", "ci", "https://x.example/", "--user", "u")
    assert (done.code, done.err.split(".")[0]) == (2, "Password is missing")
    assert logged_in.seen == []


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (("--url", "https://y.example/"), {"url": "https://y.example/"}),
        (("--name", "n", "--description", ""), {"name": "n", "description": ""}),
        (("--user", ""), {"username": ""}),
        (("--password", "p"), {"password": "p"}),
        (("--system-certificates",), {"certificate": ""}),
    ],
    ids=str,
)
def test_set_changes_what_was_named(run: Run, logged_in: Stub, arguments: tuple[str, ...], body: object) -> None:
    logged_in.on("PATCH", f"{PATH}/2", Answer(body={"id": 2}))
    assert run("webhook", "set", "2", *arguments).code == 0
    assert logged_in.seen[0].document == body


def test_set_makes_a_new_secret_or_changes_something(run: Run, logged_in: Stub) -> None:
    logged_in.on("POST", f"{PATH}/2/rotate-secret", Answer(body={"id": 2, "secret": "whsec_new"}))
    assert "whsec_new" in run("webhook", "set", "2", "--new-secret").out
    assert run("webhook", "set", "2").code == 2
    assert run("webhook", "set", "2", "--new-secret", "--name", "x").code == 2
    assert len(logged_in.seen) == 1


def test_test_says_what_became_of_it_by_its_exit_code(run: Run, logged_in: Stub) -> None:
    good = {"ok": True, "status": 200, "trouble": "", "response": "ok", "milliseconds": 3}
    bad = {"ok": False, "status": None, "trouble": "no_connection", "response": "", "milliseconds": 3}
    logged_in.on("POST", f"{PATH}/2/test", Answer(body=good), Answer(body=bad))
    assert run("webhook", "test", "2").code == 0
    failed = run("webhook", "test", "2", "--json")
    assert (failed.code, failed.document) == (1, bad)


def test_messages_and_replay(run: Run, logged_in: Stub) -> None:
    item = {"id": 5, "kind": "k", "state": "dead", "attempts": 8, "response": "no\x1b[31m"}
    logged_in.on("GET", f"{PATH}/2/messages", Answer(body={"items": [item], "next": 5}))
    shown = run("webhook", "messages", "2", "--state", "dead", "--limit", "1")
    assert logged_in.seen[0].query == {"state": "dead", "limit": "1"}
    assert "dead" in shown.out
    assert "\x1b" not in shown.out
    assert shown.err == "There are more: go on with --after 5.\n"
    logged_in.on("POST", f"{PATH}/2/replay", Answer(body={"replayed": 3}))
    logged_in.on("POST", f"{PATH}/2/messages/5/replay", Answer(body=item))
    assert "3" in run("webhook", "replay", "2").out
    assert run("webhook", "replay", "2", "--message", "5", "--json").document == item


def test_show_list_and_delete(run: Run, logged_in: Stub) -> None:
    logged_in.on("GET", f"{PATH}/2", Answer(body={"id": 2, "url": "https://x.example/"}))
    logged_in.on("GET", PATH, Answer(body={"items": [{"id": 2}], "next": None}))
    logged_in.on("DELETE", f"{PATH}/2", Answer(204))
    assert "https://x.example/" in run("webhook", "show", "2").out
    assert "2" in run("webhook", "list", "--org", "4").out
    assert run("webhook", "delete", "2").out == "Deleted webhook 2.\n"


def test_a_certificate_that_cannot_be_read_is_named(run: Run, logged_in: Stub) -> None:
    done = run("webhook", "create", "ci", "https://x.example/", "--certificate", "no/such.pem")
    assert (done.code, done.err) == (2, "no/such.pem cannot be read. Name a PEM file.\n")
    assert logged_in.seen == []

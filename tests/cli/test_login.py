"""Logging in, renewing tokens, and whose secrets go where."""

import base64
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from tests.cli.conftest import ME, NO_HOST, PAGE, Answer, Run, Seen, Stub, a_login, serve_tokens, tokens

from airfreight.cli import config

REFUSED = Answer(400, {"error": "invalid_grant", "error_description": "The refresh token is not valid."})


def grants(stub: Stub) -> list[dict[str, str]]:
    forms = [parse_qs(seen.body.decode()) for seen in stub.requests("POST", "/oauth2/token")]
    return [{name: values[0] for name, values in form.items()} for form in forms]


def test_a_client_logs_in_with_basic_and_the_grant_in_the_body(run: Run, stub: Stub) -> None:
    serve_tokens(stub)
    began = time.time()
    result = run("login", "--server", f"{stub.url}/", "--client-id", "c", "--client-secret", "s")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"Logged in to {stub.url} as client 'build' of Acme.\n"
    asked = stub.requests("POST", "/oauth2/token")[0]
    assert asked.headers["authorization"] == "Basic " + base64.b64encode(b"c:s").decode()
    assert asked.query == {}
    assert grants(stub) == [{"grant_type": "client_credentials"}]
    login = config.load()
    assert login is not None
    assert (login.server, login.client_id, login.client_secret, login.email) == (stub.url, "c", "s", None)
    assert (login.access_token, login.refresh_token) == ("access-1", "refresh-1")
    assert began + 86400 <= login.expires_at <= time.time() + 86400


def test_a_user_logs_in_with_email_and_password(run: Run, stub: Stub) -> None:
    serve_tokens(stub)
    user = {"id": 1, "email": "ada@example.com", "name": "Ada", "role": "admin"}
    stub.on("GET", "/api/v1/me", Answer(body={**ME, "user": user}))
    options = ("--client-id", "c", "--client-secret", "s", "--email", "ada@example.com", "--password", "pw")
    result = run("login", "--server", stub.url, *options)
    assert result.out == f"Logged in to {stub.url} as ada@example.com (admin) of Acme.\n"
    assert grants(stub) == [{"grant_type": "user_credentials", "username": "ada@example.com", "password": "pw"}]
    login = config.load()
    assert login is not None
    assert login.email == "ada@example.com"


def test_login_takes_everything_from_the_environment(run: Run, stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_tokens(stub)
    for name, value in {"SERVER": stub.url, "CLIENT_ID": "c", "CLIENT_SECRET": "s"}.items():
        monkeypatch.setenv(f"AIRFREIGHT_{name}", value)
    result = run("login", "--json")
    assert result.document == {"server": stub.url, **ME}


def test_refused_credentials_say_so_and_leave_the_old_login(run: Run, logged_in: Stub) -> None:
    body = {"error": "invalid_client", "error_description": "Client ID is not found or password is wrong."}
    logged_in.on("POST", "/oauth2/token", Answer(400, body))
    before = config.load()
    result = run("login", "--server", logged_in.url, "--client-id", "c", "--client-secret", "bad")
    assert result.code == 1
    assert result.err == (
        "Client ID is not found or password is wrong. "
        "Check the client id, the secret and the password, then run `airfreight login`.\n"
    )
    assert config.load() == before


@pytest.mark.parametrize(
    "answer",
    [
        tokens(1, access_token=7),
        tokens(1, access_token="two words"),
        tokens(1, access_token="line\nbreak"),
        tokens(1, refresh_token=""),
        tokens(1, expires_in="soon"),
        Answer(body=[]),
        Answer(body=b"<html>"),
    ],
    ids=["number", "space", "line break", "empty", "no number", "array", "html"],
)
def test_an_answer_that_is_no_token_is_refused_and_not_stored(run: Run, stub: Stub, answer: Answer) -> None:
    serve_tokens(stub, answer)
    result = run("login", "--server", stub.url, "--client-id", "c", "--client-secret", "s")
    assert result.code == 1
    assert "The answer to POST /oauth2/token was not understood." in result.err
    assert config.load() is None


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((), "Client id is missing. Give --client-id,"),
        (("--client-id", "c"), "Client secret is missing. Give --client-secret,"),
        (("--client-id", "c", "--client-secret", "s", "--email", "e"), "Password is missing. Give --password,"),
    ],
)
def test_without_a_terminal_nothing_is_asked(run: Run, given: tuple[str, ...], missing: str) -> None:
    result = run("login", *given)
    assert result.code == 2
    assert result.err.startswith(missing)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:8080",
        "ftp://x",
        "http://",
        "http://a:b@x",
        "http://x?y",
        "http://x:99999",
        "http://[",
        "http://a\x1b",
    ],
)
def test_an_address_that_is_none_is_refused(run: Run, address: str) -> None:
    result = run("login", "--server", address, "--client-id", "c", "--client-secret", "s")
    assert result.code == 2
    assert "is not the address of a server. Write it like http://127.0.0.1:8080." in result.err


def test_login_over_an_open_network_warns(run: Run) -> None:
    # The name never resolves, which is all this needs.
    result = run("login", "--server", f"http://{NO_HOST}", "--client-id", "c", "--client-secret", "s")
    assert result.err.startswith(f"Warning: http://{NO_HOST} is not encrypted;")
    assert result.code == 3


def test_logout_forgets_the_login(run: Run, logged_in: Stub) -> None:
    assert run("logout").out == "Logged out.\n"
    assert not config.file_path().exists()
    assert run("logout", "--json").document == {"loggedOut": False}
    assert run("whoami").err == "You are not logged in. Run `airfreight login`.\n"


def test_whoami_names_the_server_and_the_permissions(run: Run, logged_in: Stub) -> None:
    serve_tokens(logged_in)
    assert run("whoami").out == f"client 'build' of Acme at {logged_in.url}\npermissions: OTA_VIEW, OTA_START\n"


def test_an_expired_token_is_renewed_before_the_request_and_saved_before_it_is_used(run: Run, stub: Stub) -> None:
    config.save(a_login(stub.url, expires_at=time.time() - 1))
    serve_tokens(stub, tokens(2))
    on_disk: list[str | None] = []

    def products(seen: Seen) -> Answer:
        login = config.load()
        on_disk.append(login.refresh_token if login else None)
        return Answer(body=PAGE)

    stub.on("GET", "/api/v1/products", products)
    assert run("product", "list").code == 0
    assert grants(stub) == [{"grant_type": "refresh_token", "refresh_token": "refresh-1"}]
    assert stub.requests("GET", "/api/v1/products")[0].headers["authorization"] == "Bearer access-2"
    assert on_disk == ["refresh-2"]


def test_a_token_that_the_server_no_longer_knows_is_renewed_once_and_the_request_repeated(
    run: Run, logged_in: Stub
) -> None:
    serve_tokens(logged_in, tokens(2))
    logged_in.on("GET", "/api/v1/products", Answer(401, {"error": {"message": "Unknown."}}), Answer(body=PAGE))
    assert run("product", "list").code == 0
    sent = [seen.headers["authorization"] for seen in logged_in.requests("GET", "/api/v1/products")]
    assert sent == ["Bearer access-1", "Bearer access-2"]


def test_a_server_that_refuses_every_token_is_asked_twice_and_not_for_ever(run: Run, logged_in: Stub) -> None:
    serve_tokens(logged_in, tokens(2))
    logged_in.on("GET", "/api/v1/products", Answer(401, {"error": {"message": "Unknown."}}))
    result = run("product", "list")
    assert result.code == 1
    assert result.err == f"{logged_in.url} does not accept your login, or it has expired. Run `airfreight login`.\n"
    assert len(logged_in.requests("GET", "/api/v1/products")) == 2
    assert len(grants(logged_in)) == 1


def test_a_client_whose_refresh_token_is_used_up_starts_afresh(run: Run, stub: Stub) -> None:
    config.save(a_login(stub.url, expires_at=0))
    serve_tokens(stub, REFUSED, tokens(3))
    assert run("product", "list").code == 0
    assert [grant["grant_type"] for grant in grants(stub)] == ["refresh_token", "client_credentials"]


def test_a_user_whose_refresh_token_is_used_up_has_to_log_in(run: Run, stub: Stub) -> None:
    config.save(a_login(stub.url, expires_at=0, email="ada@example.com"))
    serve_tokens(stub, REFUSED)
    stub.on("GET", "/api/v1/products", Answer(401))
    result = run("product", "list")
    assert result.code == 1
    assert result.err.endswith("Run `airfreight login`.\n")
    assert {grant["grant_type"] for grant in grants(stub)} == {"refresh_token"}


def test_commands_that_run_at_once_spend_the_refresh_token_once(home: Path, stub: Stub) -> None:
    config.save(a_login(stub.url, expires_at=0, email="ada@example.com"))
    first_renewal = threading.Lock()

    def renew(seen: Seen) -> Answer:
        if not first_renewal.acquire(blocking=False):
            return REFUSED
        # Long enough for the other commands to arrive at the same point.
        time.sleep(0.5)
        return tokens(2)

    def products(seen: Seen) -> Answer:
        return Answer(body=PAGE) if seen.headers["authorization"] == "Bearer access-2" else Answer(401)

    stub.on("POST", "/oauth2/token", renew)
    stub.on("GET", "/api/v1/products", products)
    command = [sys.executable, "-m", "airfreight.cli.main", "product", "list", "--json"]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    outcomes = [(process.communicate(timeout=60), process.returncode) for process in running]
    assert [code for _, code in outcomes] == [0, 0, 0], outcomes
    assert len(grants(stub)) == 1


def test_stored_secrets_are_not_sent_to_another_server(
    run: Run, logged_in: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.save(a_login("http://127.0.0.1:1"))
    monkeypatch.setenv("AIRFREIGHT_SERVER", logged_in.url)
    result = run("product", "list")
    assert result.code == 2
    assert result.err == (
        f"You are logged in to http://127.0.0.1:1, not to {logged_in.url}. "
        f"Run `airfreight login --server {logged_in.url}`.\n"
    )
    assert logged_in.seen == []


def test_the_environment_is_enough_and_writes_nothing(
    run: Run, home: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve_tokens(stub)
    for name, value in {"SERVER": stub.url, "CLIENT_ID": "c", "CLIENT_SECRET": "s"}.items():
        monkeypatch.setenv(f"AIRFREIGHT_{name}", value)
    assert run("product", "list", "--json").document == PAGE
    assert not home.exists()


def test_half_of_the_credentials_in_the_environment_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFREIGHT_CLIENT_ID", "c")
    result = run("product", "list")
    assert result.code == 2
    assert result.err.startswith("AIRFREIGHT_CLIENT_SECRET is not set,")

"""Each failure is one sentence about what happened and one about what to do, an exit code, and no traceback."""

import socket
import threading

import pytest
from tests.cli.conftest import NO_HOST, Answer, Run, Stub, a_login

from airfreight.cli import config


def said(message: str) -> dict[str, object]:
    return {"error": {"message": message}}


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (
            Answer(400, said("The limit is too large")),
            1,
            "The limit is too large. Correct the command and try again; `--help` explains every option.",
        ),
        (Answer(400, said("It is over; start another one")), 1, "It is over; start another one."),
        (Answer(400, said("The name is taken. Choose another one.")), 1, "The name is taken. Choose another one."),
        (
            Answer(403, said("The permission OTA_VIEW is needed.")),
            1,
            (
                "The permission OTA_VIEW is needed. Ask an administrator of your organization for the permission OTA_VIEW, "
                "or log in as someone who has it."
            ),
        ),
        (
            Answer(403),
            1,
            (
                "You are not allowed to do this. Ask an administrator of your organization for this permission, "
                "or log in as someone who has it."
            ),
        ),
        (
            Answer(404, said("Product is not found or you don't have access to it.")),
            1,
            (
                "Product is not found or you don't have access to it. "
                "Check the id with the `list` command; what belongs to another organization is not shown."
            ),
        ),
        (
            Answer(409, said("The product has devices")),
            1,
            "The product has devices. Look at its present state with the `show` or `list` command.",
        ),
        (Answer(413, said("Too much")), 1, "Too much. Send less at once, or raise the server's limit."),
        (Answer(429, said("Slow down"), {"Retry-After": "7"}), 1, "Slow down. Try again in 7 seconds."),
        (
            Answer(429, b"", {"Retry-After": "\x1b[2J"}),
            1,
            "The server takes no more requests from you now. Try again in a minute.",
        ),
        (
            Answer(500, said("Something went wrong.")),
            1,
            "Something went wrong (HTTP 500). Try again; if it stays so, look at the server's log.",
        ),
        (
            Answer(500, b"Internal"),
            1,
            "The server failed (HTTP 500). Try again; if it stays so, look at the server's log.",
        ),
        (
            Answer(503),
            3,
            "{url} is not available now (HTTP 503). Try again in a moment; if it stays so, look at the server's log.",
        ),
        (
            Answer(301, b"", {"Location": "https://ota.example.com/"}),
            1,
            "{url} sends its callers to https://ota.example.com/. Log in with `airfreight login --server URL` there.",
        ),
        (
            Answer(418, b"<html>"),
            1,
            (
                "The server refused with HTTP 418 and gave no reason. "
                "Check that {url} is an Airfreight server of this version."
            ),
        ),
        (
            Answer(400, said("\x1b]0;owned\x07bad\nthing")),
            1,
            "]0;owned bad thing. Correct the command and try again; `--help` explains every option.",
        ),
        (
            Answer(200, b"<html>hello"),
            1,
            (
                "The answer to GET /api/v1/products was not understood. "
                "Check that the address is an Airfreight server of this version."
            ),
        ),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Answer) else None,
)
def test_an_error_answer_becomes_words(run: Run, logged_in: Stub, answer: Answer, code: int, text: str) -> None:
    logged_in.on("GET", "/api/v1/products", answer)
    result = run("product", "list")
    assert (result.code, result.out) == (code, "")
    assert result.err == text.format(url=logged_in.url) + "\n"


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b"7",
        b"",
        b"[" * 100_000,
        b'{"items": 7}',
        b'{"items": [7]}',
        b'{"next": null}',
        b"\xff\xfe",
        b'{"error": 5}',
    ],
    ids=lambda body: body[:16].decode("latin-1"),
)
def test_a_good_status_with_a_wrong_body_is_not_understood(run: Run, logged_in: Stub, body: bytes) -> None:
    logged_in.on("GET", "/api/v1/products", Answer(200, body))
    result = run("product", "list")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("The answer to GET /api/v1/products was not understood.")


@pytest.mark.parametrize("body", [b'{"error": {"message": 5}}', b'{"error": "x"}', b'["error"]', b"[" * 100_000])
def test_an_error_body_of_any_shape_is_survived(run: Run, logged_in: Stub, body: bytes) -> None:
    logged_in.on("GET", "/api/v1/products", Answer(400, body))
    assert run("product", "list").err.startswith("The server refused with HTTP 400 and gave no reason.")


def test_a_field_that_a_command_goes_on_to_use_may_be_missing(run: Run, logged_in: Stub) -> None:
    logged_in.on("GET", "/api/v1/artifacts/5", Answer(body={"id": 5}))
    result = run("shipment", "create", "--product", "1", "--title", "t", "--artifact", "5")
    assert result.code == 1
    assert result.err.startswith("The server's answer has no 'path'.")


def test_a_refused_connection_says_how_to_start_the_server(run: Run, home: object, free_port: int) -> None:
    config.save(a_login(f"http://127.0.0.1:{free_port}"))
    result = run("shipment", "list", "--json")
    assert (result.code, result.out) == (3, "")
    assert result.err == (
        f"Nothing listens at http://127.0.0.1:{free_port}. Start the server with `airfreight serve`, "
        "or name another one with `airfreight login --server URL`.\n"
    )


def test_a_host_that_does_not_exist_says_so(run: Run) -> None:
    config.save(a_login(f"http://{NO_HOST}"))
    result = run("shipment", "list")
    assert result.code == 3
    assert result.err.startswith(f"The host name of http://{NO_HOST} is not known.")


@pytest.mark.parametrize(
    ("reply", "scheme", "text"),
    [
        (b"", "http", "The connection to {url} broke off:"),
        (b"SSH-2.0-OpenSSH\r\n", "http", "The connection to {url} broke off:"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "http", "The connection to {url} broke off:"),
        (b"HTTP/1.1 400 no TLS here\r\n\r\n", "https", "No secure connection to {url} could be made:"),
    ],
    ids=["closed", "not http", "cut off", "not tls"],
)
def test_something_that_is_no_http_server_is_survived(run: Run, reply: bytes, scheme: str, text: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"

        def answer_once() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)

        thread = threading.Thread(target=answer_once)
        thread.start()
        config.save(a_login(url))
        result = run("product", "list")
        thread.join()
    assert result.code == 3
    assert result.err.startswith(text.format(url=url))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("shipment", "lst"), "No such command 'lst'. Did you mean 'list'? See `airfreight shipment --help`."),
        (("shipment", "show"), "Missing argument 'ID'. See `airfreight shipment show --help`."),
        (("device", "create"), "Missing option '--product'. See `airfreight device create --help`."),
        (("artifact", "show", "x"), "See `airfreight artifact show --help`."),
        (("--zzz",), "No such option: --zzz. See `airfreight --help`."),
        (("artifact", "upload", "no/such/file"), "See `airfreight artifact upload --help`."),
        (
            ("shipment", "create", "--product", "1", "--title", "t"),
            "Exactly one thing can be sent. Give a FILE, --artifact ID or --path PATH, and only one of them.",
        ),
        (
            ("shipment", "create", "--product", "1", "--title", "t", "--artifact", "1", "--path", "/static/x"),
            "Exactly one thing can be sent.",
        ),
        (("device", "bulk-create", "--product", "1"), "Give one of --count and --from."),
        (
            ("device", "bulk-create", "--product", "1", "--count", "10001"),
            "See `airfreight device bulk-create --help`.",
        ),
        (("user", "create", "ada@example.com"), "Password is missing. Give --password,"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_wrong_usage_ends_with_2_before_any_request(
    run: Run, logged_in: Stub, arguments: tuple[str, ...], text: str
) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert text in result.err
    assert logged_in.seen == []


def test_no_arguments_show_the_help(run: Run) -> None:
    result = run()
    assert result.code == 2
    assert "Usage: airfreight" in result.out
    assert result.err == ""

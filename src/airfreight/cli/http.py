"""One server over HTTP: sends requests and turns every failure into a CliError.

httpx is imported by the first request only, because the import costs more than the rest of the start.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airfreight.cli.errors import CliError, ExitCode, usage

if TYPE_CHECKING:
    import httpx

# One JSON object as the server sent it. Any: commands print what is there and check what they go on to use.
Doc = dict[str, Any]
Body = Callable[[], Iterator[bytes]]

DEFAULT_SERVER = "http://127.0.0.1:8080"
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0
BAD_INPUT, UNAUTHENTICATED, FORBIDDEN, NOT_FOUND, CONFLICT, TOO_LARGE, LIMITED = 400, 401, 403, 404, 409, 413, 429
GONE_FOR_NOW = frozenset({502, 503, 504})

WHAT_NEXT: Mapping[int, str] = {
    BAD_INPUT: "Correct the command and try again; `--help` explains every option.",
    NOT_FOUND: "Check the id with the `list` command; what belongs to another organization is not shown.",
    CONFLICT: "Look at its present state with the `show` or `list` command.",
    TOO_LARGE: "Send less at once, or raise the server's limit.",
}


def server_address(text: str) -> str:
    """Check an address given by a person and return it without a closing slash. Raises CliError."""
    address = text.strip()
    try:
        parts = urlsplit(address)
        well_formed = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed or parts.username is not None or parts.query or parts.fragment or not address.isprintable():
        raise usage(f"{text!r} is not the address of a server", f"Write it like {DEFAULT_SERVER}.")
    return address.rstrip("/")


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `form` and `document` are bodies; `body` is called for the bytes of one, at each try."""

    method: str
    path: str
    params: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    document: Doc | None = None
    body: Body | None = None
    basic: tuple[str, str] | None = None


class Wire:
    """A connection to one server. `server` is an address that went through server_address()."""

    def __init__(self, server: str) -> None:
        self.server = server
        self._client: httpx.Client | None = None

    def close(self) -> None:
        """Close the connections, if there are any."""
        if self._client is not None:
            self._client.close()

    def send(self, request: Request) -> "httpx.Response":
        """Send one request; any answer counts, whatever its status. Raises CliError if there is none."""
        with self.stream(request) as response:
            response.read()
            return response

    @contextmanager
    def stream(self, request: Request) -> Iterator["httpx.Response"]:
        """Send one request and give the answer before its body. Raises CliError if there is none, or half of one."""
        import httpx

        try:
            with self._open().stream(
                request.method,
                request.path,
                params=_spelled(request.params),
                headers=request.headers,
                data=request.form,
                json=request.document,
                content=request.body() if request.body else None,
                auth=request.basic,
            ) as response:
                yield response
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise self._unreachable(error) from None

    def _open(self) -> "httpx.Client":
        import ssl

        import httpx

        if self._client is None:
            # Reading the certificate store takes 40 ms: only for an address that needs it.
            verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if self.server.startswith("http:") else True
            timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
            self._client = httpx.Client(base_url=self.server, timeout=timeout, verify=verify)
        return self._client

    def _unreachable(self, error: Exception) -> CliError:
        import socket

        import httpx

        if _caused_by(error, ConnectionRefusedError):
            what = f"Nothing listens at {self.server}"
            todo = "Start the server with `airfreight serve`, or name another one with `airfreight login --server URL`."
        elif _caused_by(error, socket.gaierror):
            what = f"The host name of {self.server} is not known"
            todo = "Check the address; `airfreight login --server URL` sets another one."
        elif "SSL:" in str(error) or "CERTIFICATE" in str(error):
            what = f"No secure connection to {self.server} could be made: {printable(str(error))}"
            todo = "Check that the address is right and that its certificate is valid."
        elif isinstance(error, httpx.TimeoutException):
            what = f"{self.server} does not answer"
            todo = "Check that the server runs and that the network lets you through, then try again."
        else:
            what = f"The connection to {self.server} broke off: {printable(str(error)) or type(error).__name__}"
            todo = "Check that an Airfreight server runs there, then try again."
        return CliError(what, todo, ExitCode.UNREACHABLE)


def document(response: "httpx.Response") -> Doc:
    """Return the JSON object of a good answer. Raises CliError for a refusal and for anything else."""
    decoded = decode(response)
    if not isinstance(decoded, dict):
        raise not_understood(response)
    return decoded


def decode(response: "httpx.Response") -> object:
    """Return the JSON value of a good answer, {} for an empty one. Raises CliError."""
    if not response.is_success:
        raise refusal(response)
    if not response.content:
        return {}
    try:
        decoded: object = json.loads(response.content)
    except (ValueError, RecursionError):
        raise not_understood(response) from None
    return decoded


def refusal(response: "httpx.Response") -> CliError:
    """Say why the server refused, in its own words where it gave any."""
    status, message = response.status_code, error_message(response)
    server = f"{response.url.scheme}://{response.url.netloc.decode('ascii', 'replace')}"
    if status in GONE_FOR_NOW:
        what = f"{server} is not available now (HTTP {status})"
        return CliError(what, "Try again in a moment; if it stays so, look at the server's log.", ExitCode.UNREACHABLE)
    if status == UNAUTHENTICATED:
        return CliError(f"{server} does not accept your login, or it has expired", "Run `airfreight login`.")
    if status == FORBIDDEN:
        return CliError(message or "You are not allowed to do this", _ask_for(message))
    if status == LIMITED:
        seconds = response.headers.get("Retry-After", "")
        wait = f"in {seconds} seconds" if seconds.isdigit() else "in a minute"
        return CliError(message or "The server takes no more requests from you now", f"Try again {wait}.")
    if response.is_redirect:
        elsewhere = printable(response.headers.get("Location", "another address"))
        return CliError(
            f"{server} sends its callers to {elsewhere}", "Log in with `airfreight login --server URL` there."
        )
    if response.is_server_error:
        what = message or "The server failed"
        return CliError(f"{what.rstrip('.')} (HTTP {status})", "Try again; if it stays so, look at the server's log.")
    what = message or f"The server refused with HTTP {status} and gave no reason"
    if ". " in what or ("; " in what and status == BAD_INPUT):
        # The server's second half says what to do, and knows better.
        return CliError(what, "")
    return CliError(what, WHAT_NEXT.get(status, f"Check that {server} is an Airfreight server of this version."))


def error_message(response: "httpx.Response") -> str:
    """Return the sentence of an error answer, nested or flat, "" if it has none."""
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return ""
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    if message is None and isinstance(body, dict):
        # The token endpoint and the Campaigns door have flat ones.
        message = body.get("error_description") or body.get("message")
    return printable(message) if isinstance(message, str) else ""


def not_understood(response: "httpx.Response") -> CliError:
    """Say that an answer is not one of this API."""
    what = f"The answer to {response.request.method} {response.url.path} was not understood"
    return CliError(what, "Check that the address is an Airfreight server of this version.")


def printable(text: str) -> str:
    """Return `text` without anything that could steer a terminal, on one line."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _spelled(params: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """A list is its name once for each of its values; what is None is left out."""
    several = ((name, value if isinstance(value, list) else [value]) for name, value in params.items())
    return tuple((name, str(one)) for name, values in several for one in values if one is not None)


def _ask_for(message: str) -> str:
    named = re.search(r"\b[A-Z]+(?:_[A-Z]+)+\b|\b[a-z]+[.:][a-z_]+\b", message)
    permission = f"the permission {named[0]}" if named else "this permission"
    return f"Ask an administrator of your organization for {permission}, or log in as someone who has it."


def _caused_by(error: BaseException | None, kind: type[BaseException]) -> bool:
    while error is not None:
        if isinstance(error, kind):
            return True
        error = error.__cause__ or error.__context__
    return False

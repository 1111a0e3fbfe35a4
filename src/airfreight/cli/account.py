"""`airfreight login`, `logout` and `whoami`."""

import sys
from typing import Annotated
from urllib.parse import urlsplit

import typer

from airfreight.cli import config, output
from airfreight.cli.auth import (
    ID_VARIABLE,
    SECRET_VARIABLE,
    SERVER_VARIABLE,
    Session,
    StoredCredentials,
    connect,
    request_tokens,
    with_tokens,
)
from airfreight.cli.config import Login
from airfreight.cli.errors import CliError, usage
from airfreight.cli.http import DEFAULT_SERVER, Doc, Wire, printable, server_address
from airfreight.cli.options import AsJson

ME = "/api/v1/me"


def login(
    server: Annotated[
        str | None, typer.Option(metavar="URL", envvar=SERVER_VARIABLE, help="The server's address.")
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(metavar="ID", envvar=ID_VARIABLE, help="The id of an API client.")
    ] = None,
    client_secret: Annotated[
        str | None, typer.Option(metavar="SECRET", envvar=SECRET_VARIABLE, help="Its secret; asked for if left out.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="Log in as this user instead of as the client itself.")] = None,
    password: Annotated[str | None, typer.Option(help="The user's password; asked for if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """Log in to a server and keep the login for the commands that follow.

    The login goes into a file that only you can read: airfreight/cli.json in your configuration folder.

    Example: airfreight login --server https://ota.example.com --client-id oa2-client-id_1 --email ada@example.com
    """
    known = _known_login()
    address = server_address(server or (known.server if known else DEFAULT_SERVER))
    remembered = known.client_id if known and known.server == address else None
    identity = ask("Client id", client_id, "--client-id", default=remembered)
    secret = ask("Client secret", client_secret, "--client-secret", hidden=True)
    grant = {"grant_type": "client_credentials"}
    if email:
        password = ask("Password", password, "--password", hidden=True)
        grant = {"grant_type": "user_credentials", "username": email, "password": password}
    _warn_if_readable(address)
    wire = Wire(address)
    try:
        tokens = request_tokens(wire, identity, secret, grant)
        fresh = with_tokens(Login(address, identity, secret, email or None, "", None, 0), tokens)
        with config.locked():
            config.save(fresh)
        me = Session(wire, StoredCredentials(fresh)).get(ME)
    finally:
        wire.close()
    if as_json:
        output.emit({"server": address, **me})
    else:
        output.line(f"Logged in to {address} as {_who(me)}.")


def logout(as_json: AsJson = False) -> None:
    """Forget the login that this computer keeps.

    Example: airfreight logout
    """
    was_logged_in = config.remove()
    if as_json:
        output.emit({"loggedOut": was_logged_in})
    else:
        output.line("Logged out." if was_logged_in else "You were not logged in.")


def whoami(as_json: AsJson = False) -> None:
    """Show who you are logged in as, where, and what you may do.

    Example: airfreight whoami
    """
    with connect() as session:
        me = session.get(ME)
        if as_json:
            output.emit({"server": session.wire.server, **me})
            return
        output.line(f"{_who(me)} at {session.wire.server}")
        permissions = me.get("permissions")
        if isinstance(permissions, list):
            output.line(f"permissions: {', '.join(map(str, permissions)) or 'none'}")


def ask(
    what: str, given: str | None, option: str, *, default: str | None = None, hidden: bool = False, twice: bool = False
) -> str:
    """Return what was given, else ask the person at the terminal. Raises CliError if there is nobody to ask."""
    if given:
        return given
    if not sys.stdin.isatty():
        raise usage(f"{what} is missing", f"Give {option}, or run this in a terminal to be asked for it.")
    question = f"{what} [{printable(default)}]: " if default else f"{what}: "
    answer = ""
    while not answer:
        answer = _hidden_answer(question) if hidden else _visible_answer(question) or (default or "")
    if twice and _hidden_answer(f"{what} again: ") != answer:
        raise usage("The two answers differ", "Try again.")
    return answer


def _visible_answer(question: str) -> str:
    # input() and typer.prompt() write to stdout, which may be a file that is to get one JSON document.
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise typer.Abort
    return line.strip()


def _hidden_answer(question: str) -> str:
    from getpass import getpass

    return getpass(question, stream=sys.stderr)


def _known_login() -> Login | None:
    try:
        return config.load()
    except CliError:
        # A damaged file is about to be replaced; one that cannot be written is reported by save().
        return None


def _warn_if_readable(address: str) -> None:
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme == "http" and host not in {"localhost", "::1"} and not host.startswith("127."):
        output.remark(f"Warning: {address} is not encrypted; others on the way can read the secret.")


def _who(me: Doc) -> str:
    user, client = me.get("user"), me.get("client")
    organization = printable(str(me.get("organizationName") or me.get("organizationId")))
    if isinstance(user, dict):
        return f"{user.get('email')} ({user.get('role')}) of {organization}"
    name = client.get("name") if isinstance(client, dict) else "a client"
    return f"client {name!r} of {organization}"

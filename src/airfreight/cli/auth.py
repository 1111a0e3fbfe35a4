"""Who speaks: gets access tokens, renews them, and sends requests in their name.

A refresh token works once, so a new pair is on disk before it is used, and one process at a time renews.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeGuard

from airfreight.cli import config
from airfreight.cli.config import Login
from airfreight.cli.errors import CliError, usage
from airfreight.cli.http import (
    BAD_INPUT,
    DEFAULT_SERVER,
    UNAUTHENTICATED,
    Doc,
    Request,
    Wire,
    decode,
    document,
    error_message,
    not_understood,
    refusal,
    server_address,
)

if TYPE_CHECKING:
    import httpx

SERVER_VARIABLE = "AIRFREIGHT_SERVER"
ID_VARIABLE = "AIRFREIGHT_CLIENT_ID"
SECRET_VARIABLE = "AIRFREIGHT_CLIENT_SECRET"  # noqa: S105 - the name of a variable, not a secret
# A token that ends within this time is renewed before a request rather than after its refusal.
RENEW_EARLY_SECONDS = 30
PAGE_SIZE = 100
NATIVE = "/api/v1/"


@dataclass(frozen=True, slots=True)
class Tokens:
    """An answer of the token endpoint. `expires_at` is in Unix seconds."""

    access: str
    refresh: str | None
    expires_at: float


class TokenRefusedError(CliError):
    """The token endpoint did not accept the credentials."""


class Credentials(Protocol):
    """Something that has an access token and can get another one."""

    def token(self, wire: Wire) -> str:
        """Return a token that should work now."""

    def renewed(self, wire: Wire, stale: str) -> str | None:
        """Return a token other than `stale`, None if there is no way to one."""


def request_tokens(wire: Wire, client_id: str, client_secret: str, grant: Mapping[str, str]) -> Tokens:
    """Trade credentials for tokens. Raises TokenRefusedError, or CliError for other failures."""
    # The parameters go in the body: addresses end up in logs.
    response = wire.send(Request("POST", "/oauth2/token", form=grant, basic=(client_id, client_secret)))
    if response.status_code in (BAD_INPUT, UNAUTHENTICATED):
        what = error_message(response) or "The server did not accept the credentials"
        raise TokenRefusedError(what, "Check the client id, the secret and the password, then run `airfreight login`.")
    answer = document(response)
    access, refresh, seconds = answer.get("access_token"), answer.get("refresh_token"), answer.get("expires_in")
    if not isinstance(seconds, int | float):
        raise not_understood(response)
    if not _is_token(access) or not (refresh is None or _is_token(refresh)):
        raise not_understood(response)
    return Tokens(access, refresh, time.time() + seconds)


class EnvironmentCredentials:
    """A client id and secret from the environment: a token for each run, and nothing is written."""

    def __init__(self, client_id: str, client_secret: str) -> None:
        self._client_id = client_id
        self._client_secret = client_secret
        self._access: str | None = None

    def token(self, wire: Wire) -> str:
        """Return the token of this run."""
        if self._access is None:
            grant = {"grant_type": "client_credentials"}
            self._access = request_tokens(wire, self._client_id, self._client_secret, grant).access
        return self._access

    def renewed(self, wire: Wire, stale: str) -> str | None:
        """Ask for another token; `watch` may run longer than one lives."""
        if self._access == stale:
            self._access = None
        return self.token(wire)


class StoredCredentials:
    """The login in the credentials file."""

    def __init__(self, login: Login) -> None:
        self._login = login

    def token(self, wire: Wire) -> str:
        """Return the stored access token, renewed if it is about to expire."""
        stale = self._login.access_token
        if self._login.expires_at - time.time() < RENEW_EARLY_SECONDS:
            return self.renewed(wire, stale) or stale
        return stale

    def renewed(self, wire: Wire, stale: str) -> str | None:
        """Spend the refresh token, unless another process has done so; a client's own login can also start afresh."""
        with config.locked():
            current = config.load()
            if current is None or current.server != self._login.server:
                return None
            if current.access_token == stale:
                tokens = _renew(wire, current)
                if tokens is None:
                    return None
                current = with_tokens(current, tokens)
                config.save(current)
            self._login = current
            return current.access_token


def with_tokens(login: Login, tokens: Tokens) -> Login:
    """Return the login with new tokens."""
    return replace(login, access_token=tokens.access, refresh_token=tokens.refresh, expires_at=tokens.expires_at)


def _renew(wire: Wire, login: Login) -> Tokens | None:
    grants: list[dict[str, str]] = []
    if login.refresh_token is not None:
        grants.append({"grant_type": "refresh_token", "refresh_token": login.refresh_token})
    if login.email is None:
        grants.append({"grant_type": "client_credentials"})
    for grant in grants:
        try:
            return request_tokens(wire, login.client_id, login.client_secret, grant)
        except TokenRefusedError:
            continue
    return None


class Session:
    """Requests to one server in somebody's name, on their own organization or on `org` below it.

    Every method raises CliError.
    """

    def __init__(self, wire: Wire, credentials: Credentials, org: int | None = None) -> None:
        self.wire = wire
        self._credentials = credentials
        self._org = org

    @property
    def is_at_home(self) -> bool:
        """Whether it acts on the login's own organization."""
        return self._org is None

    def get(self, path: str, **params: object) -> Doc:
        """GET one JSON object; parameters that are None are left out."""
        return document(self.send(Request("GET", path, params)))

    def post(self, path: str, body: Doc | None = None) -> Doc:
        """POST a JSON object and return the answer."""
        return document(self.send(Request("POST", path, document=body)))

    def patch(self, path: str, body: Doc) -> Doc:
        """PATCH with a JSON object and return the answer."""
        return document(self.send(Request("PATCH", path, document=body)))

    def put(self, path: str, body: Doc | None = None) -> Doc:
        """PUT a JSON object, or nothing, and return the answer."""
        return document(self.send(Request("PUT", path, document=body)))

    def delete(self, path: str, **params: object) -> None:
        """DELETE one thing."""
        decode(self.send(Request("DELETE", path, params)))

    def page(self, path: str, **params: object) -> Doc:
        """GET one page of a list: {"items": [object, ...], "next": id or null}."""
        response = self.send(Request("GET", path, params))
        answer = document(response)
        items = answer.get("items")
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise not_understood(response)
        return answer

    def every(self, path: str, **params: object) -> Iterator[Doc]:
        """GET the objects of a list, page after page."""
        after: object = None
        while True:
            answer = self.page(path, limit=PAGE_SIZE, after=after, **params)
            yield from answer["items"]
            following = answer.get("next")
            # A server that names the same page again would keep this loop going for ever.
            if following is None or following == after or not answer["items"]:
                return
            after = following

    @contextmanager
    def stream(self, path: str, **params: object) -> Iterator["httpx.Response"]:
        """GET something large: a good answer, to be read piece by piece."""
        request = self._acting(Request("GET", path, params))
        with self.wire.stream(_signed(request, self._credentials.token(self.wire))) as response:
            if not response.is_success:
                response.read()
                raise refusal(response)
            yield response

    def send(self, request: Request) -> "httpx.Response":
        """Send one request; once more with a renewed token if the server says that the first had expired."""
        request = self._acting(request)
        token = self._credentials.token(self.wire)
        response = self.wire.send(_signed(request, token))
        if response.status_code != UNAUTHENTICATED:
            return response
        fresh = self._credentials.renewed(self.wire, token)
        return response if fresh is None else self.wire.send(_signed(request, fresh))

    def _acting(self, request: Request) -> Request:
        """The organization as it is named there: the native API in the query, the Campaigns door in a header."""
        if self._org is None:
            return request
        if request.path.startswith(NATIVE):
            return replace(request, params={"orgId": self._org, **request.params})
        return replace(request, headers={"x-current-org-id": str(self._org), **request.headers})


@contextmanager
def connect(org: int | None = None) -> Iterator[Session]:
    """Open a session with the credentials of the environment, else with the stored login. Raises CliError.

    `org`: an organization below the login's, to act on.
    """
    address, client_id, secret = (os.environ.get(name) for name in (SERVER_VARIABLE, ID_VARIABLE, SECRET_VARIABLE))
    if bool(client_id) != bool(secret):
        missing = SECRET_VARIABLE if client_id else ID_VARIABLE
        raise usage(f"{missing} is not set, but the other half of the credentials is", "Set both or neither.")
    login = None if client_id and address else config.load()
    server = server_address(address) if address else login.server if login else DEFAULT_SERVER
    credentials: Credentials
    if client_id and secret:
        credentials = EnvironmentCredentials(client_id, secret)
    elif login is None:
        raise usage("You are not logged in", "Run `airfreight login`.")
    elif login.server != server:
        # The stored secrets belong to the other server: never send them here.
        raise usage(
            f"You are logged in to {login.server}, not to {server}", f"Run `airfreight login --server {server}`."
        )
    else:
        credentials = StoredCredentials(login)
    wire = Wire(server)
    try:
        yield Session(wire, credentials, org)
    finally:
        wire.close()


def _signed(request: Request, token: str) -> Request:
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {token}"})


def _is_token(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and re.fullmatch(r"[\x21-\x7e]+", value) is not None

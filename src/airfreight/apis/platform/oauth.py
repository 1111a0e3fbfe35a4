"""`POST /oauth2/token`: OAuth 2 grants with parameters in the query string or a form body.

Rule: every refusal has the flat OAuth body and the status 400, except 429 for too many wrong passwords.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from litestar import Request, Response, Router, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, Parameter, RequestBody, Schema
from litestar.params import RawBody
from msgspec import UNSET, UnsetType

from airfreight.apis.common.desk import Desk, clock
from airfreight.apis.common.guard import PASSWORD_GUARD
from airfreight.domain.ids import Millis
from airfreight.services import access
from airfreight.services.access import Grant, GrantError
from airfreight.services.passwords import Guard

_FORM = "application/x-www-form-urlencoded"
_LONGEST = 1000
_PARAMETERS = {
    "grant_type": "client_credentials, user_credentials or refresh_token.",
    "username": "The user's email, for user_credentials.",
    "password": "The user's password, for user_credentials. Better in the body: addresses end up in logs.",
    "refresh_token": "For refresh_token. It works once.",
    "scope": "Fewer permissions than the client has, with spaces between. RFC 6749 section 3.3.",
    "client_id": "For clients that cannot send HTTP Basic.",
    "client_secret": "For clients that cannot send HTTP Basic.",
}


class TokenAnswer(msgspec.Struct):
    """Tokens; both live `expires_in` seconds. `scope` is there when fewer permissions were asked for than there are."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    scope: str | UnsetType = UNSET


class TokenError(msgspec.Struct):
    """What `error` can be stands in docs/errors.md."""

    error: str
    error_description: str


@dataclass(frozen=True, slots=True)
class _Ask:
    """A token request, taken apart."""

    desk: Desk
    guard: Guard
    fields: dict[str, str]
    client_id: str
    client_secret: str
    address: str
    now: Millis

    def __getitem__(self, name: str) -> str:
        """Raises GrantError(invalid_request) for a parameter that is missing."""
        if not self.fields.get(name):
            raise GrantError("invalid_request", f"The parameter {name} is missing.")
        return self.fields[name]

    @property
    def scope(self) -> str:
        return self.fields.get("scope", "")

    @property
    def seconds(self) -> int:
        return self.desk.settings.token_seconds


@dataclass
class _TokenOperation(Operation):
    """The parameters as documented; they are read from the raw request, so that none can be given twice."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING, max_length=_LONGEST)
        self.parameters = [
            Parameter(name=name, param_in="query", schema=text, description=words, required=False)
            for name, words in _PARAMETERS.items()
        ]
        form = Schema(type=OpenAPIType.OBJECT, properties=dict.fromkeys(_PARAMETERS, text))
        self.request_body = RequestBody(content={_FORM: OpenAPIMediaType(schema=form)}, required=False)


def _client_credentials(ask: _Ask) -> Grant:
    with ask.desk.database.write() as connection:
        return access.client_credentials(
            connection, ask.desk.keyring, ask.client_id, ask.client_secret, ask.now, ask.seconds, ask.scope
        )


def _user_credentials(ask: _Ask) -> Grant:
    password = ask["password"]
    with ask.desk.database.read() as connection:
        who = access.candidate(connection, ask["username"])
    access.check_password(ask.guard, who, password, ask.address, ask.now)
    with ask.desk.database.write() as connection:
        return access.user_credentials(
            connection, ask.desk.keyring, ask.client_id, who, ask.now, ask.seconds, ask.scope
        )


def _refresh(ask: _Ask) -> Grant:
    token = ask["refresh_token"]
    with ask.desk.database.write() as connection:
        return access.refresh(
            connection, ask.desk.keyring, ask.client_id, ask.client_secret, token, ask.now, ask.seconds, ask.scope
        )


_GRANTS: dict[str, Callable[[_Ask], Grant]] = {
    "client_credentials": _client_credentials,
    "user_credentials": _user_credentials,
    "refresh_token": _refresh,
}


@post(
    "/oauth2/token",
    tags=["Access"],
    status_code=200,
    security=[{}],
    operation_class=_TokenOperation,
    responses={
        400: ResponseSpec(TokenError, description="Refused; `error` says why."),
        429: ResponseSpec(TokenError, description="Too many wrong passwords; `Retry-After` says how long to wait."),
    },
    sync_to_thread=True,
)
def create_token(
    request: Request[Any, Any, Any], desk: NamedDependency[Desk], guard: NamedDependency[Guard], body: RawBody
) -> TokenAnswer:
    """Get tokens. The API client proves itself by HTTP Basic (client id and secret), or by parameters.

    `client_credentials` acts for the client's organization, `user_credentials` for a user of it with the rights of
    the user's role; both within the client's scopes, of which `scope` may ask for fewer. After ten wrong passwords
    for one email from one address, one more is allowed every six seconds.
    """
    fields = _fields(request.scope["query_string"], body, request.headers.get("content-type", ""))
    client_id, client_secret = _client(request.headers.get("authorization"), fields)
    address = request.client.host if request.client else ""
    ask = _Ask(desk, guard, fields, client_id, client_secret, address, clock())
    make = _GRANTS.get(ask["grant_type"])
    if make is None:
        raise GrantError("unsupported_grant_type", f"grant_type must be one of {', '.join(_GRANTS)}.")
    # Looked at before any write, so that strangers do not queue for the writer or make us hash passwords.
    with desk.database.read() as connection:
        access.authenticate_client(connection, desk.keyring, client_id, client_secret)
    grant = make(ask)
    return TokenAnswer(grant.access_token, "Bearer", grant.expires_in, grant.refresh_token, grant.scope or UNSET)


def _fields(query: bytes, body: bytes, content_type: str) -> dict[str, str]:
    """All parameters by name. Raises GrantError(invalid_request) for what is no form, given twice or too long."""
    if body and content_type.partition(";")[0].strip().lower() != _FORM:
        raise GrantError("invalid_request", f"A body must be sent as Content-Type: {_FORM}.")
    found: dict[str, str] = {}
    try:
        for part in (query.decode("ascii"), body.decode("ascii")):
            for name, value in parse_qsl(part, keep_blank_values=True, errors="strict", max_num_fields=50):
                if name in found:
                    raise GrantError("invalid_request", "A parameter is given twice.")
                found[name] = value
    except ValueError:
        raise GrantError("invalid_request", "The parameters cannot be read.") from None
    for name, value in found.items():
        if name in _PARAMETERS and (len(value) > _LONGEST or "\0" in value):
            raise GrantError("invalid_request", f"The parameter {name} is too long or has a character it cannot have.")
    return found


def _client(authorization: str | None, fields: dict[str, str]) -> tuple[str, str]:
    """The client's id and secret, from HTTP Basic or the parameters. Raises GrantError."""
    if authorization is None:
        return fields.get("client_id", ""), fields.get("client_secret", "")
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or len(encoded) > 4 * _LONGEST:
        raise GrantError("invalid_client", "The Authorization header must be HTTP Basic.")
    try:
        client_id, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        raise GrantError("invalid_client", "The Authorization header must be HTTP Basic.") from None
    if "client_secret" in fields or fields.get("client_id", client_id) != client_id:
        raise GrantError("invalid_request", "The client proves itself in two ways; choose one.")
    if "\0" in client_id:
        raise GrantError("invalid_client", "Client ID is not found or password is wrong.")
    return client_id, secret


def _on_grant_error(_request: Request, error: GrantError) -> Response[TokenError]:  # type: ignore[type-arg]
    headers = {"Cache-Control": "no-store"}
    if error.retry_seconds:
        headers["Retry-After"] = str(error.retry_seconds)
    return Response(
        TokenError(error.error, error.words),
        status_code=429 if error.retry_seconds else 400,
        media_type="application/json",
        headers=headers,
    )


router = Router(
    "/",
    route_handlers=[create_token],
    dependencies=PASSWORD_GUARD,
    exception_handlers={GrantError: _on_grant_error},
)

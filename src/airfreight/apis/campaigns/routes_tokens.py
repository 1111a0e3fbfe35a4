"""Signing in (email and password, sent as HTTP Basic, become tokens), going on and out, and who that is."""

import base64
from typing import Any

from litestar import Response, get, put
from litestar.di import NamedDependency

from airfreight.apis.campaigns import translate
from airfreight.apis.campaigns.errors import Asked, problem
from airfreight.apis.campaigns.routes_campaigns import EACH
from airfreight.apis.campaigns.shapes import Done, Me, Tokens, Versions
from airfreight.apis.campaigns.wire import VERSIONS, reading, writing
from airfreight.apis.common.desk import Desk, bearer, clock
from airfreight.apis.common.guard import PASSWORD_GUARD
from airfreight.domain.errors import unauthenticated
from airfreight.domain.ids import Millis
from airfreight.services import access, me
from airfreight.services.access import Grant, GrantError
from airfreight.services.passwords import Guard

CLIENT = "Campaigns sign-in"
_LONGEST = 1000
_WRONG = "The user name or the password is wrong, or the token is unknown, used or expired. Sign in again."
_TOO_MANY = "There were too many wrong passwords. Wait, then try again."


def _on_grant_error(_request: Asked, error: GrantError) -> Response[Any]:
    """Whatever is wrong with the password, the user or the token is one answer."""
    if error.retry_seconds:
        return problem(429, _TOO_MANY, {"X-Error-Code": "limited", "Retry-After": str(error.retry_seconds)})
    return problem(401, _WRONG, {"X-Error-Code": "unauthenticated", "WWW-Authenticate": "Basic, Bearer"})


_OPEN: dict[str, Any] = EACH | {"security": [{}], "exception_handlers": {GrantError: _on_grant_error}}


@get("/tokens", operation_id="getTokens", dependencies=PASSWORD_GUARD, **_OPEN)
def get_tokens(request: Asked, desk: NamedDependency[Desk], guard: NamedDependency[Guard]) -> Tokens:
    """Sign in with HTTP Basic: email and password of a user."""
    email, password = _basic(request.headers.get("authorization"))
    now = clock()
    with desk.database.read() as connection:
        who = access.candidate(connection, email)
    access.check_password(guard, who, password, request.client.host if request.client else "", now)
    with desk.database.write() as connection:
        grant, _ = access.sign_in(connection, desk.keyring, who, CLIENT, now, desk.settings.token_seconds)
    return _tokens(grant, now)


@get("/tokens/refresh", operation_id="refreshTokens", **_OPEN)
def refresh_tokens(request: Asked, desk: NamedDependency[Desk]) -> Tokens:
    """New tokens for a refresh token, sent as the bearer token. It works once."""
    token, now = bearer(request.headers.get("authorization")), clock()
    with desk.database.write() as connection:
        grant = access.refresh_sign_in(connection, desk.keyring, CLIENT, token, now, desk.settings.token_seconds)
    return _tokens(grant, now)


@put("/users/logout", operation_id="signOut", **EACH)
def sign_out(request: Asked, desk: NamedDependency[Desk]) -> Done:
    """End this token, and the refresh token that came with it."""
    with writing(desk, request) as call:
        access.sign_out(call.connection, call.keyring, bearer(request.headers.get("authorization")))
    return Done()


@get("/me", operation_id="getCaller", **EACH)
def get_caller(request: Asked, desk: NamedDependency[Desk]) -> Me:
    """Whose token this is, and what it may do."""
    with reading(desk, request) as call:
        found = me.describe(call)
        user, client = found.user, found.client
        return Me(
            id=f"user:{user.id}" if user else f"client:{client.id}",
            user_name=user.email if user else f"client:{client.name}",
            display_name=user.name if user else client.name,
            org_id=str(found.organization.id),
            org_name=found.organization.name,
            permissions=translate.permissions(call.principal.permissions),
        )


@get("/versions", operation_id="getVersions", **_OPEN)
def get_versions() -> Versions:
    """The versions of this API that `Accept` may name."""
    return Versions(current_version=VERSIONS[0], supported_versions=list(VERSIONS))


def _tokens(grant: Grant, now: Millis) -> Tokens:
    return Tokens(
        access_token=grant.access_token,
        refresh_token=grant.refresh_token,
        access_token_expires_at=now // 1000 + grant.expires_in,
    )


def _basic(header: str | None) -> tuple[str, str]:
    """Name and password of HTTP Basic. Raises UNAUTHENTICATED."""
    scheme, _, encoded = (header or "").partition(" ")
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except ValueError:
        name, colon, password = "", "", ""
    if scheme.lower() != "basic" or len(encoded) > _LONGEST or not colon or not name.isprintable():
        raise unauthenticated("Sign in with HTTP Basic: the email and the password of a user.")
    return name, password


HANDLERS = [get_tokens, refresh_tokens, sign_out, get_caller, get_versions]

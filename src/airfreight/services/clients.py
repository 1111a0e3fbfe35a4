"""API clients: an id and a secret with which a program acts for an organization, within the client's scopes."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from airfreight.domain.access import EVERYTHING, Permission, read_scopes, scopes, stored_scopes
from airfreight.domain.errors import forbidden, invalid, not_found
from airfreight.services import credentials
from airfreight.services.call import Call
from airfreight.store import access

MOST_REDIRECTS = 11
LONGEST_REDIRECT = 500
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def create(
    call: Call, *, name: str, allowed: Sequence[str] = (EVERYTHING,), redirect_urls: Sequence[str] = ()
) -> tuple[Any, str]:
    """A new client and its secret, which cannot be had again. Its owner is the calling user.

    `allowed` are names of permissions, or `*`. Raises INVALID, FORBIDDEN for a scope that the caller does not have.
    """
    call.need(Permission.CLIENT_EDIT)
    permissions = scopes(allowed)
    if permissions is None:
        raise invalid("scopes must be names of permissions such as OTA_VIEW, or * for all.", "bad_scope")
    if not permissions <= call.principal.permissions:
        raise forbidden("These scopes have permissions that you do not have; name those that you want in scopes.")
    _check_redirects(redirect_urls)
    secret = credentials.new_token()
    row_id = access.add_client(
        call.connection,
        call.organization_id,
        name=name,
        client_id=credentials.new_client_id(),
        secret_hash=call.keyring.digest(secret),
        owner_user_id=call.principal.user_id,
        now=call.now,
        columns={
            "scopes": stored_scopes(permissions),
            "details": msgspec.json.encode({"redirect_urls": list(redirect_urls)}).decode(),
        },
    )
    return access.client(call.connection, call.organization_id, row_id), secret


def scopes_of(row: Any) -> list[str]:  # noqa: ANN401 - a row
    """As they are shown: `["*"]`, or names in their order."""
    return [EVERYTHING] if row.scopes == EVERYTHING else sorted(read_scopes(row.scopes))


def redirects_of(row: Any) -> list[str]:  # noqa: ANN401 - a row
    found: list[str] = msgspec.json.decode(row.details).get("redirect_urls", [])
    return found


def search(call: Call, *, after: int, limit: int) -> list[Any]:
    call.need(Permission.CLIENT_EDIT)
    return access.clients_listed(call.connection, call.organization_id, after=after, limit=limit)


def paged(call: Call, *, skip: int, limit: int) -> tuple[list[Any], int]:
    """One page of them, and how many there are."""
    call.need(Permission.CLIENT_EDIT)
    return access.clients_paged(call.connection, call.organization_id, skip=skip, limit=limit)


def delete(call: Call, row_id: int) -> None:
    """Delete a client with all tokens it was given, also those for users. Raises NOT_FOUND."""
    call.need(Permission.CLIENT_EDIT)
    _remove(call, row_id)


def delete_by_name(call: Call, client_id: str) -> None:
    """The same by the id that the client shows. Raises NOT_FOUND."""
    call.need(Permission.CLIENT_EDIT)
    row = access.client_by_client_id(call.connection, client_id)
    _remove(call, row.id if row else 0)


def _remove(call: Call, row_id: int) -> None:
    row = access.client_below(call.connection, call.principal.organization_id, row_id)
    if row is None:
        raise not_found("Client")
    access.remove_client(call.connection, row.organization_id, row_id)


def _check_redirects(urls: Sequence[str]) -> None:
    if len(urls) > MOST_REDIRECTS:
        raise invalid(f"redirectUrls: at most {MOST_REDIRECTS}.", "bad_redirect")
    for number, url in enumerate(urls):
        if not _is_redirect(url):
            words = "must be https, or http on this computer (localhost), without a fragment, a name or a password"
            raise invalid(f"redirectUrls[{number}] {words}.", "bad_redirect")


def _is_redirect(url: str) -> bool:
    """RFC 6749 section 3.1.2: absolute, without a fragment; and RFC 8252 section 7.3: http for loopback only."""
    if not url.isascii() or not url.isprintable() or set(' "<>\\^`{|}#') & set(url) or len(url) > LONGEST_REDIRECT:
        return False
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc or port == 0:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)

"""API clients: an id and a secret with which a program acts for the whole organization."""

from typing import Any

from airfreight.domain.access import Permission
from airfreight.domain.errors import not_found
from airfreight.services import credentials
from airfreight.services.call import Call
from airfreight.store import access


def create(call: Call, *, name: str) -> tuple[Any, str]:
    """A new client and its secret, which cannot be had again. Its owner is the calling user."""
    call.need(Permission.CLIENT_EDIT)
    secret = credentials.new_token()
    row_id = access.add_client(
        call.connection,
        call.organization_id,
        name=name,
        client_id=credentials.new_client_id(),
        secret_hash=call.keyring.digest(secret),
        owner_user_id=call.principal.user_id,
        now=call.now,
    )
    return access.client(call.connection, call.organization_id, row_id), secret


def search(call: Call, *, after: int, limit: int) -> list[Any]:
    call.need(Permission.CLIENT_EDIT)
    return access.clients_listed(call.connection, call.organization_id, after=after, limit=limit)


def delete(call: Call, row_id: int) -> None:
    """Delete a client with all tokens it was given, also those for users. Raises NOT_FOUND."""
    call.need(Permission.CLIENT_EDIT)
    if access.client(call.connection, call.organization_id, row_id) is None:
        raise not_found("Client")
    access.remove_client(call.connection, call.organization_id, row_id)

"""Passwords of people without a token: the guard against guessing, and accepting an invitation through any door.

The guard is one for each app, that is for each process.
"""

from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.di import Provide

from airfreight.apis.common.desk import Desk, clock
from airfreight.services import invitations, passwords
from airfreight.services.passwords import Guard


def accept_invitation(request: Request[Any, Any, Any], desk: Desk, guard: Guard, token: str, password: str) -> Any:  # noqa: ANN401 - a row
    """The user who accepted. Raises Refusal(INVALID, LIMITED).

    The password is hashed before the token is looked up, so that the time it takes says nothing about the token.
    """
    address = request.client.host if request.client else ""
    now = clock()
    invitations.enter(guard, address, password, now)
    password_hash = passwords.hashed(password)
    with desk.database.read() as connection:
        invitations.check(connection, desk.keyring, token, now)
    with desk.database.write() as connection:
        user = invitations.accept(connection, desk.keyring, token, password_hash, now)
    invitations.forgive(guard, address)
    return user


def _guard(state: State) -> Guard:
    found: Guard | None = state.get("password_guard")
    if found is None:
        found = state["password_guard"] = Guard()
    return found


PASSWORD_GUARD = {"guard": Provide(_guard, sync_to_thread=False)}
"""For `dependencies=` of routes that take `guard: NamedDependency[Guard]`."""

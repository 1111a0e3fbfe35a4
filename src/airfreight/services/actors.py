"""The names behind the actors of the history: `user:5` is somebody with an email."""

from collections.abc import Collection

from airfreight.domain.access import Permission
from airfreight.services.call import Call
from airfreight.store import access

_USER, _CLIENT = "user", "client"


def names(call: Call, actors: Collection[str]) -> dict[str, str]:
    """The email of each `user:5`, and `client:NAME` of each `client:5`.

    Those of the organization acted on and of the caller's own; whoever is gone or of another one is left out.
    """
    call.need(Permission.OTA_VIEW)
    ours = {call.organization_id, call.principal.organization_id}
    emails = access.emails(call.connection, ours, _ids(actors, _USER))
    clients = access.client_names(call.connection, ours, _ids(actors, _CLIENT))
    return {
        **{f"{_USER}:{one}": email for one, email in emails.items()},
        **{f"{_CLIENT}:{one}": f"{_CLIENT}:{name}" for one, name in clients.items()},
    }


def _ids(actors: Collection[str], kind: str) -> set[int]:
    parts = (one.partition(":") for one in actors)
    return {int(number) for name, _, number in parts if name == kind and number.isdigit()}

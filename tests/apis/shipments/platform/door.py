"""Short ways to the endpoints beside the shipments."""

from typing import Any

from tests.apis.site import Site

API = "/api/v1/organization"
MISSING = 2**31 - 1


def ask(site: Site, method: str, path: str, who: str | None = "client", status: int = 200, **how: Any) -> Any:
    """What the door answers; keywords other than `json` are query parameters."""
    body = {"json": how.pop("json")} if "json" in how else {}
    answer = site.ask(method, f"{API}/{path}", who, params=how, **body)
    assert answer.status_code == status, (method, path, answer.status_code, answer.text)
    return answer.json() if answer.content else None


def stranger(site: Site) -> str:
    """The name of a client of an organization that has nothing to do with the site's."""
    with site.call() as call:
        from airfreight.store import organizations

        other = organizations.add(call.connection, name="other", parent_id=None, time_zone="", now=1)
    mine = site.admin_id
    site.tokens["stranger"] = site.people(other)["client"]
    site.admin_id = mine
    return "stranger"


def rung(site: Site) -> int:
    """How often polls were told to look again."""
    from airfreight.store import outbox

    with site.database.read() as connection:
        return outbox.rung(connection)

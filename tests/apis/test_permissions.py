"""Every route of people, at every door, by the permission that it names: who has not got it hears that first."""

import re
from collections.abc import Iterator

from litestar import Litestar
from litestar.routes import HTTPRoute
from tests.apis.site import Site

from airfreight.domain.access import Permission

FREE = {
    ("GET", "/api/me"),
    ("GET", "/api/tokens"),
    ("GET", "/api/tokens/refresh"),
    ("GET", "/api/v1/me"),
    ("GET", "/api/v1/organization/profile"),
    ("GET", "/api/v1/organization/user/profile"),
    ("GET", "/api/versions"),
    ("OPTIONS", "/api/v1/uploads"),
    ("POST", "/api/v1/organization/users/accept-invite"),
    ("POST", "/api/v1/users/accept-invite"),
    ("POST", "/oauth2/token"),
    ("POST", "/v1/auth/login"),
    ("PUT", "/api/users/logout"),
}
"""For whoever has a token (it says whose that is), or for everybody: who signs in has none yet."""


def routes(app: Litestar) -> Iterator[tuple[str, str, Permission | None]]:
    """(method, path, permission) of every route that is ours."""
    for route in app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            if not handler.fn.__module__.startswith(("litestar._openapi", "litestar.routes")):
                need = handler.opt.get("need")
                yield from ((method, route.path, need) for method in sorted(handler.http_methods))


def asked(path: str) -> str:
    """The path with ids that nobody has."""
    return re.sub(r"{\w+:\w+}", str(2**31 - 1), path)


def with_scopes(site: Site, *scopes: Permission) -> str:
    """A token of a new API client that may do just that."""
    made = site.ask("POST", "/api/v1/clients", json={"name": "CI", "scopes": list(scopes)}).json()
    login = (made["clientId"], made["secret"])
    answer = site.http(None).post("/oauth2/token", auth=login, params={"grant_type": "client_credentials"})
    return str(answer.json()["access_token"])


def test_every_route_names_the_permission_that_it_needs(site: Site) -> None:
    found = list(routes(site.server.app.operators))
    assert {(method, path) for method, path, need in found if need is None} == FREE
    assert len(found) > 150


def test_who_lacks_it_hears_that_before_anything_of_the_request_is_read(site: Site) -> None:
    tokens = {each: with_scopes(site, *(set(Permission) - {each})) for each in Permission}
    for method, path, need in routes(site.server.app.operators):
        if need is not None:
            wrong = {"orgId": "x", "page": "x"}
            answer = site.http(tokens[need]).request(method, asked(path), content=b"{", params=wrong)
            assert answer.status_code == 403, (method, path, answer.text)
            assert method == "HEAD" or need in answer.text, (method, path, answer.text)


MORE = {("POST", "/v1/devices"): "PRODUCT_EDIT"}
"""Routes that may need another permission besides: the first device of an organization brings a product into being."""


def test_who_has_just_that_one_is_let_in(site: Site) -> None:
    tokens = {each: with_scopes(site, each) for each in Permission}
    for method, path, need in routes(site.server.app.operators):
        if need is not None:
            answer = site.http(tokens[need]).request(method, asked(path))
            is_let_in = answer.status_code not in {401, 403} or MORE.get((method, path), "nothing") in answer.text
            assert is_let_in, (method, path, answer.text)

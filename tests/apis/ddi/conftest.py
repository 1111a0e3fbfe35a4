"""An organization that devices come to by DDI, on a server of its own kind."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.apis.ddi.door import Tenant
from tests.apis.serving import Served, serving
from tests.apis.site import Site
from tests.make import copy_of_sqlite


@pytest.fixture
def tenant(site: Site) -> Tenant:
    return Tenant(site)


@pytest.fixture
def neighbour(served: Served) -> Iterator[Tenant]:
    """Another organization on the same server."""
    with ExitStack() as stack:
        yield Tenant(Site(served, stack))


@pytest.fixture(scope="session")
def behind_proxy(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Served]:
    """A server that takes everybody on this machine for its reverse proxy."""
    folder = tmp_path_factory.mktemp("proxied")
    copy_of_sqlite(sqlite_template, folder)
    with serving(folder, trusted_proxies="127.0.0.0/8") as served:
        yield served


@pytest.fixture
def proxied(behind_proxy: Served) -> Iterator[Tenant]:
    """An organization there."""
    with ExitStack() as stack:
        yield Tenant(Site(behind_proxy, stack))

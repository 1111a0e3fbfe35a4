import pytest
from tests.apis.site import Site
from tests.apis.uploads.sender import Sender


@pytest.fixture
def sender(site: Site) -> Sender:
    return Sender(site)

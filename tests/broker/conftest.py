"""A real mosquitto for each test, and certificates for all. Without mosquitto (or openssl) the tests say so and skip."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.broker.broker import Broker, Certificates, make_certificates, running_broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with running_broker(tmp_path / "broker") as made:
        yield made


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def tls_broker(tmp_path: Path, certificates: Certificates) -> Iterator[Broker]:
    with running_broker(tmp_path / "broker", certificates) as made:
        yield made

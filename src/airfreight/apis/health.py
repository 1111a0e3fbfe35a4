"""`/healthz`, `/readyz`, `/metrics`: for load balancers and monitoring; no tenant's names in them."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy.exc import SQLAlchemyError

from airfreight.services import overview
from airfreight.store.database import Database

Answered = Counter[tuple[str, int]]
"""How often each (plane, status) was answered by this process."""


class Metrics:
    """A Prometheus collector: requests of this process, and what the database says."""

    def __init__(self, database: Database, answered: Answered) -> None:
        self._database, self._answered = database, answered
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def render(self) -> bytes:
        """The text format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "airfreight_http_requests", "Requests answered by this process.", labels=["plane", "status"]
        )
        for (plane, status), count in sorted(self._answered.items()):
            requests.add_metric([plane, str(status)], count)
        yield requests
        with self._database.read() as connection:
            numbers = overview.numbers(connection)
        for name, (words, label, values) in numbers.items():
            gauge = GaugeMetricFamily(f"airfreight_{name}", words, labels=[label] if label else [])
            for key, value in values.items():
                gauge.add_metric([key] if label else [], value)
            yield gauge


def ready(database: Database) -> str:
    """Empty when requests can be served, else what is missing."""
    try:
        with database.read() as connection:
            return "" if overview.is_current(connection) else "the database is not migrated; run `airfreight migrate`"
    except SQLAlchemyError:
        return "the database cannot be reached"

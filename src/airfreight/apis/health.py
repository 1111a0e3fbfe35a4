"""`/healthz`, `/readyz`, `/metrics`: for load balancers and monitoring; no tenant's names in them."""

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from airfreight.services.overview import Numbers

Answered = Counter[tuple[str, int]]
"""How often each (plane, status) was answered by this process."""


class Metrics:
    """A Prometheus collector: requests of this process, and what the database says."""

    def __init__(self, numbers: Callable[[], Numbers], answered: Answered) -> None:
        self._numbers, self._answered = numbers, answered
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
        for name, (words, label, values) in self._numbers().items():
            gauge = GaugeMetricFamily(f"airfreight_{name}", words, labels=[label] if label else [])
            for key, value in values.items():
                gauge.add_metric([key] if label else [], value)
            yield gauge

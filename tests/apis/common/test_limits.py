"""The limit on requests per organization and minute: the count itself, and every operator door behind it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from tests.apis.conftest import Serve
from tests.apis.site import Site

from airfreight.apis.common.limits import AddressLimits, Limits
from airfreight.domain.errors import Kind, Refusal

LIMIT = 5
SHIPMENTS = "/api/v1/organization/shipments"


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def waits(limits: Limits, organization_id: int = 1, limit: int = LIMIT) -> int:
    """The seconds that a request is told to wait; 0 when it is let through."""
    try:
        limits.count(organization_id, limit)
    except Refusal as refusal:
        return refusal.retry_seconds if refusal.kind is Kind.LIMITED else -1
    return 0


def test_the_request_past_the_limit_is_refused_until_the_minute_of_the_first_one_ends() -> None:
    clock = Clock()
    limits = Limits(clock)
    assert [waits(limits) for _ in range(LIMIT)] == [0] * LIMIT
    assert waits(limits) == 60
    clock.now += 59.5
    assert waits(limits) == 1, "half a second is told as a whole one: after it the request is let through"
    clock.now += 0.5
    assert [waits(limits) for _ in range(LIMIT + 1)] == [0] * LIMIT + [60]


def test_a_refused_request_does_not_make_the_wait_longer() -> None:
    clock = Clock()
    limits = Limits(clock)
    told = []
    for _ in range(60):
        told.append(waits(limits, limit=1))
        clock.now += 1
    assert told == [0, *range(59, 0, -1)]
    assert waits(limits, limit=1) == 0


def test_organizations_do_not_pay_for_each_other() -> None:
    limits = Limits(Clock())
    assert [waits(limits, 1, 1), waits(limits, 1, 1), waits(limits, 2, 1)] == [0, 60, 0]


def test_memory_is_that_of_the_organizations_of_the_last_minute() -> None:
    clock = Clock()
    limits = Limits(clock)
    for organization_id in range(20_000):
        clock.now += 0.1
        waits(limits, organization_id)
    assert len(limits._minutes) < 3 * 600, "of 600 a minute"
    assert all(waits(limits, 19_999) == 0 for _ in range(LIMIT - 1)), "the living are still counted"
    assert waits(limits, 19_999) > 0


def test_threads_at_once_get_exactly_the_limit() -> None:
    limits = Limits(Clock())
    start = threading.Barrier(8)

    def many(_: int) -> int:
        start.wait()
        return sum(waits(limits, limit=1000) == 0 for _ in range(500))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(many, range(8))) == 1000


@contextmanager
def limited(serve: Serve, **settings: object) -> Iterator[tuple[Site, Clock]]:
    """An application with a small limit and a minute that stands still."""
    with serve(requests_per_minute=LIMIT, **settings) as served, ExitStack() as stack:
        clock = Clock()
        served.app.desk.limits.clock = clock
        yield Site(served, stack), clock


def refused(answer: httpx.Response, seconds: int) -> None:
    assert answer.status_code == 429, answer.text
    assert answer.headers["retry-after"] == str(seconds)
    assert answer.headers["x-error-code"] == "limited"
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].keys() == {"message"}
    assert str(seconds) in answer.json()["error"]["message"]


DOORS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", SHIPMENTS, {}),
    ("GET", "/api/v1/devices", {}),
    ("PUT", "/api/v1/artifacts?filename=a.bin", {"content": b"a file"}),
    ("POST", "/api/upload", {"files": {"upfile": ("a.bin", b"a file")}, "data": {"type": "FIRMWARE"}}),
    ("GET", "/api/v1/organization/shipment?shipmentId=x", {}),
]


@pytest.mark.parametrize(("method", "path", "how"), DOORS, ids=[f"{door[0]} {door[1]}" for door in DOORS])
def test_every_door_counts_and_refuses(serve: Serve, method: str, path: str, how: dict[str, Any]) -> None:
    """Each request once, also one of two transactions, and one that is refused for another reason."""
    with limited(serve) as (site, clock):
        good = [site.ask(method, path, **how).status_code for _ in range(LIMIT)]
        assert 429 not in good
        clock.now += 20.2
        refused(site.ask(method, path, **how), 40)
        refused(site.ask("GET", SHIPMENTS, "user"), 40)
        assert site.ask("GET", "/healthz", None).status_code == 200
        clock.now += 40
        assert site.ask(method, path, **how).status_code == good[0], "Retry-After was the truth"


def test_nothing_is_stored_by_a_refused_upload(serve: Serve) -> None:
    with limited(serve) as (site, _):
        for _ in range(LIMIT):
            site.ask("GET", SHIPMENTS)
        refused(site.ask("PUT", "/api/v1/artifacts?filename=a.bin", content=b"a file"), 60)
        blobs = site.server.app.settings.data / "blobs"
        assert [path for path in blobs.rglob("*") if path.is_file()] == []


def test_two_organizations_are_independent_and_a_caller_pays_for_its_own(serve: Serve) -> None:
    with limited(serve) as (site, _):
        below = site.organization("below")
        tokens = site.people(below)
        for _ in range(LIMIT):
            assert site.ask("GET", f"{SHIPMENTS}?orgId={below}").status_code == 200
        refused(site.ask("GET", f"{SHIPMENTS}?orgId={below}"), 60)
        assert site.http(tokens["client"]).get(SHIPMENTS).status_code == 200


def test_who_has_no_good_token_is_not_counted_and_not_refused_for_others(serve: Serve) -> None:
    with limited(serve) as (site, _):
        [board] = site.devices(site.product_id)
        for _ in range(LIMIT + 1):
            assert site.ask("GET", SHIPMENTS, None).status_code == 401
        assert [site.ask("GET", SHIPMENTS).status_code for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]
        assert site.ask("GET", SHIPMENTS, None).status_code == 401
        assert site.as_device(board).get("/device/v1/next").status_code == 204, "devices are not operators"


def test_each_of_several_processes_counts_its_share(serve: Serve) -> None:
    with limited(serve, workers=2) as (site, _):
        assert [site.ask("GET", SHIPMENTS).status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.parametrize("body", [b"{", b"[]", b"x" * 3_000_000])
def test_a_stranger_hears_of_the_token_before_anything_else(site: Site, body: bytes) -> None:
    create = "/api/v1/organization/shipment/create"
    for token in (None, "a token that nobody has"):
        answer = site.http(token).post(create, content=body, headers={"Content-Type": "text/plain"})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"


def let_in(limits: AddressLimits, address: str) -> bool:
    try:
        limits.count(address)
    except Refusal as refusal:
        return not (refusal.kind is Kind.LIMITED and 1 <= refusal.retry_seconds <= 60)
    return True


def test_each_address_has_its_own_minute() -> None:
    clock = Clock()
    limits = AddressLimits(2, clock)
    assert [let_in(limits, "10.0.0.1") for _ in range(3)] == [True, True, False]
    assert let_in(limits, "10.0.0.2")
    clock.now += 60
    assert let_in(limits, "10.0.0.1")


def test_all_addresses_of_an_ipv6_network_count_together() -> None:
    limits = AddressLimits(1, Clock())
    assert let_in(limits, "2001:db8:0:1::1")
    assert not let_in(limits, "2001:db8:0:1:ffff::2")
    assert let_in(limits, "2001:db8:0:2::1")
    assert let_in(limits, "::ffff:10.0.0.1")
    assert not let_in(limits, "10.0.0.1")
    assert let_in(limits, "::ffff:10.0.0.2")


def test_a_flood_of_addresses_costs_a_bounded_memory() -> None:
    limits = AddressLimits(1, Clock())
    for number in range(30_000):
        limits.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(limits._minutes) == 10_000
    assert not let_in(limits, "10.0.117.47")
    assert let_in(limits, "10.0.0.0")

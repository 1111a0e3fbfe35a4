"""The benchmark of DDI asks what it says that it asks; nothing is timed here."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from benchmarks import ddi
from benchmarks.bench import Bench, CheckError
from benchmarks.ddi_devices import Caller, Kind, ask, devices, polls
from benchmarks.load import wrk
from benchmarks.server import Server, airfreight

pytestmark = pytest.mark.skipif(not shutil.which("wrk"), reason="wrk is not installed (Debian: apt install wrk)")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, quick=True, say=print)
    yield made
    made.end_all()


@pytest.fixture
def server(bench: Bench) -> Iterator[Server]:
    with airfreight(bench, "ddi", pinned=False) as started:
        yield started


def test_every_kind_is_polled_and_who_knows_the_answer_hears_that_it_is_the_same(bench: Bench, server: Server) -> None:
    asked = ddi.ours(bench, server, 12)
    assert set(asked) == {*Kind, *(f"{kind}, If-None-Match" for kind in Kind), "idle, GatewayToken"}
    shares = {}
    for name in ("idle, GatewayToken", "pending", "pending, If-None-Match"):
        target, requests = asked[name]
        load = wrk(target, "ddi.lua", str(requests), seconds=1, connections=4)
        assert load.requests
        shares[name] = ddi.same([load])
    assert shares == {"idle, GatewayToken": 0, "pending": 0, "pending, If-None-Match": 1}
    server.doctor()


def test_another_answer_than_the_expected_one_is_noticed(server: Server) -> None:
    idle = devices(server, Kind.IDLE, 3)
    with pytest.raises(CheckError, match="3 of 3 polls are not pending"):
        polls(server, idle, Kind.PENDING)
    with pytest.raises(CheckError, match="1 of 1 answers are not 200"):
        ask(server, [Caller(idle[0].path, "nobody").request()])

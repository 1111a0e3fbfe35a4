"""What each simulated behaviour does on the wire, seen from a server that writes everything down."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from tests.agent.faulty_server import Plane, serving

from airfreight_agent.behaviours import BEHAVIOURS, End, expected_end, expected_history, is_expected_history
from airfreight_agent.fleet import Fleet
from airfreight_agent.protocol import Event
from airfreight_agent.simulated import Member

WHOLE_WAY = ["downloading", "downloaded", "installing", "installed", "activating", "succeeded"]


@pytest.fixture
def plane() -> Iterator[Plane]:
    with serving(Plane()) as made:
        yield made


def played(
    plane: Plane, behaviour: str, *, time_scale: float = 0.001, is_over: Callable[[], bool] = lambda: False
) -> Fleet:
    """One device of a behaviour until it has had an end or `is_over`, or two minutes."""

    async def run() -> Fleet:
        fleet = Fleet(plane.url, [Member("d1", "token", behaviour)], time_scale=time_scale, haste=100)
        over = asyncio.Event()

        async def watch() -> None:
            for _ in range(6000):
                await asyncio.sleep(0.02)
                if is_over() or (fleet.devices[0].ends and not fleet.devices[0].memory.outbox):
                    break
            over.set()

        watcher = asyncio.create_task(watch())
        await fleet.run(over)
        await watcher
        return fleet

    return asyncio.run(run())


def sent(plane: Plane) -> list[int]:
    return [report["seq"] for seen in plane.of("reports") for report in json.loads(seen.body)["reports"]]


def test_good(plane: Plane) -> None:
    assert played(plane, "good").devices[0].ends == [Event.SUCCEEDED]
    assert plane.events == WHOLE_WAY
    assert sent(plane) == [1, 2, 3, 4, 5, 6]
    assert plane.attributes == [{"version": "1.0.0"}, {"version": "2.0.0"}]


def test_repeats_reports(plane: Plane) -> None:
    fleet = played(plane, "repeats_reports")
    assert sent(plane) == [seq for seq in (1, 2, 3, 4, 5, 6) for _ in range(3)]
    assert fleet.traffic.contradictions == 0


def test_reorders_reports(plane: Plane) -> None:
    played(plane, "reorders_reports")
    assert sent(plane) == [3, 2, 1, 5, 4, 6]


def test_slow(plane: Plane) -> None:
    """200 kB at 64 KiB a second are three seconds; at a tenth of that, 0.3 of them."""
    started_at = time.monotonic()
    played(plane, "slow", time_scale=0.1)
    assert time.monotonic() - started_at >= len(plane.content) / 65_536 * 0.1


@pytest.mark.parametrize("step", ["downloading", "downloaded", "installing", "installed", "activating"])
def test_losing_power(plane: Plane, step: str) -> None:
    fleet = played(plane, f"loses_power_at_{step}")
    assert fleet.traffic.power_cuts == 1
    assert plane.events == WHOLE_WAY
    ranges = [seen.headers.get("range") for seen in plane.of("artifacts")]
    if step == "downloading":
        assert len(ranges) == 2
        assert int(str(ranges[1]).removeprefix("bytes=").removesuffix("-")) >= len(plane.content) // 2
        assert plane.of("artifacts")[1].headers["if-range"].startswith('"')
    else:
        assert ranges == [None]
        assert [before for before, after in pairwise(sent(plane)) if before == after] != [], "its report was repeated"


@pytest.mark.parametrize(
    ("behaviour", "event", "reason", "version"),
    [
        ("fails_at_download", "failed", "download_failed", "1.0.0"),
        ("fails_at_install", "failed", "install_failed", "1.0.0"),
        ("rolls_back", "failed", "rolled_back", "1.0.0"),
        ("lies_about_version", "succeeded", None, "0.0.0-other"),
        ("claims_after_rollback", "succeeded", None, "1.0.0"),
    ],
)
def test_bad_ends(plane: Plane, behaviour: str, event: str, reason: str | None, version: str) -> None:
    played(plane, behaviour)
    assert (plane.last["event"], plane.last.get("reason")) == (event, reason)
    assert plane.attributes[-1] == {"version": version}


def test_goes_silent(plane: Plane) -> None:
    fleet = played(plane, "goes_silent", is_over=lambda: len(plane.of("next")) > 2 and "downloading" in plane.events)
    assert plane.events == ["downloading"]
    assert fleet.traffic.downloaded_bytes == len(plane.content)
    assert len(plane.of("next")) > 2, "it still asks, so that it may be offered another attempt"


@pytest.mark.parametrize(("behaviour", "last"), [("good", "canceled"), ("refuses_cancel", "succeeded")])
def test_a_wish_to_cancel(plane: Plane, behaviour: str, last: str) -> None:
    plane.do = "cancel"
    played(plane, behaviour, is_over=lambda: plane.events[-1:] == [last])
    assert plane.last["event"] == last
    assert ("cancel_refused" in plane.events) == (behaviour == "refuses_cancel")


def test_wrong_bytes_are_noticed_by_the_simulator_too(plane: Plane) -> None:
    plane.sha256 = "ab" * 32
    played(plane, "good")
    assert plane.last["reason"] == "checksum_mismatch"


def test_the_same_seed_gives_the_same_devices() -> None:
    members = [Member(f"d{number}", "t") for number in range(5)]

    def draws(seed: int) -> list[float]:
        fleet = Fleet("http://127.0.0.1:1", members, seed=seed)
        return [device._rng.random() for device in fleet.devices]

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
    assert len(set(draws(1))) == 5


def test_an_unknown_behaviour_is_refused() -> None:
    with pytest.raises(ValueError, match="flies"):
        Fleet("http://127.0.0.1:1", [Member("d1", "t", "flies")])


def test_the_table_of_ends_is_total_and_tells_versions_and_deadlines_apart() -> None:
    for name in BEHAVIOURS:
        for attempts in (1, 2, 5):
            assert expected_end(name, attempts_limit=attempts)
            assert is_expected_history(name, expected_history(name, attempts_limit=attempts), attempts_limit=attempts)
    assert expected_end("fails_once_then_good", attempts_limit=1) == {End("failed", "install_failed")}
    assert expected_end("fails_once_then_good", attempts_limit=2) == {End("succeeded")}
    assert expected_end("lies_about_version", attempts_limit=2) == {End("failed", "wrong_version")}
    assert expected_end("lies_about_version", attempts_limit=2, versioned=False) == {End("succeeded")}
    assert expected_end("goes_silent", attempts_limit=2, deadlines_passed=True) == {End("failed", "no_report")}


def test_a_history_that_lacks_a_state_or_has_another_end_is_noticed() -> None:
    way = ("offered", *WHOLE_WAY[:-1])
    assert is_expected_history("good", (*way, "succeeded"), attempts_limit=2)
    assert not is_expected_history("good", (*way[:2], *way[3:], "succeeded"), attempts_limit=2)
    assert not is_expected_history("good", (*way, "failed"), attempts_limit=2)
    assert is_expected_history("reorders_reports", ("offered", "installing", "succeeded"), attempts_limit=2)
    assert not is_expected_history("reorders_reports", ("installing", "offered", "succeeded"), attempts_limit=2)
    assert not is_expected_history("reorders_reports", ("offered", "installing"), attempts_limit=2)

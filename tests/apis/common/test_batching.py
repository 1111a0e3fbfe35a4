"""What waits together is done together, in order; a failure belongs to whom it belongs to."""

import asyncio
import statistics
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from airfreight.apis.common.batching import Batcher
from airfreight.domain.errors import Kind, Refusal


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await main()

    asyncio.run(bounded())


def test_what_comes_while_a_batch_is_worked_off_is_the_next_batch() -> None:
    gate = threading.Event()
    begun = threading.Event()
    batches: list[list[int]] = []

    def work(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        begun.set()
        gate.wait(10)
        return [item * 2 for item in items]

    async def main() -> None:
        batcher = Batcher("test", work)
        first = batcher.submit(0)
        await asyncio.to_thread(begun.wait, 10)
        others = [batcher.submit(number) for number in range(1, 101)]
        await asyncio.sleep(0.05)
        gate.set()
        assert await asyncio.gather(first, *others) == [number * 2 for number in range(101)]
        await batcher.close()

    run(main)
    assert batches == [[0], list(range(1, 101))]


def test_one_alone_does_not_wait_for_others() -> None:
    """A wait would be in every one of them; a machine that stands still for a while is in a few."""
    sizes: list[int] = []
    took: list[float] = []

    def work(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        return list(items)

    async def main() -> None:
        batcher = Batcher("test", work)
        for number in range(100):
            began = time.perf_counter()
            assert await batcher.submit(number) == number
            took.append(time.perf_counter() - began)
        await batcher.close()

    run(main)
    assert sizes == [1] * 100
    assert statistics.median(took) < 0.02


def test_a_batch_has_an_end() -> None:
    """What comes in one turn of the loop stays together; no more turns are added to a batch that is large already."""
    gate = threading.Event()
    sizes: list[int] = []

    def work(items: Sequence[int]) -> list[int]:
        sizes.append(len(items))
        gate.wait(10)
        return list(items)

    async def main() -> None:
        batcher = Batcher("test", work)
        futures = []
        for turn in range(30):
            futures += [batcher.submit(turn * 100 + number) for number in range(100)]
            await asyncio.sleep(0)
        gate.set()
        assert await asyncio.gather(*futures) == list(range(3000))
        await batcher.close()

    run(main)
    assert max(sizes) < 612
    assert sum(sizes) == 3000


def test_an_exception_in_the_results_is_for_one_an_escaped_one_for_all() -> None:
    def work(items: Sequence[int]) -> list[int | Exception]:
        if 7 in items:
            raise ArithmeticError
        return [KeyError(item) if item % 2 else item for item in items]

    async def main() -> None:
        batcher: Batcher[int, int] = Batcher("test", work)
        results = await asyncio.gather(*(batcher.submit(number) for number in range(4)), return_exceptions=True)
        assert [type(result) for result in results] == [int, KeyError, int, KeyError]
        with pytest.raises(ArithmeticError):
            await batcher.submit(7)
        assert await batcher.submit(8) == 8, "it goes on after a failure"
        await batcher.close()

    run(main)


def test_a_caller_who_left_does_not_disturb_the_others() -> None:
    gate = threading.Event()

    def work(items: Sequence[int]) -> list[int]:
        gate.wait(10)
        return list(items)

    async def main() -> None:
        batcher = Batcher("test", work)
        futures = [batcher.submit(number) for number in range(10)]
        futures[3].cancel()
        gate.set()
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert [result for result in results if isinstance(result, int)] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
        await batcher.close()

    run(main)


def test_what_was_submitted_is_worked_off_before_the_end() -> None:
    done: list[int] = []

    def work(items: Sequence[int]) -> list[int]:
        time.sleep(0.01)
        done.extend(items)
        return list(items)

    async def main() -> None:
        batcher = Batcher("closing", work)
        futures = [batcher.submit(number) for number in range(1000)]
        await batcher.close()
        assert [await future for future in futures] == list(range(1000))

    run(main)
    assert done == list(range(1000))
    assert "closing" not in [thread.name for thread in threading.enumerate()]


def test_too_many_waiting_are_turned_away_and_let_in_again_afterwards() -> None:
    gate = threading.Event()

    def work(items: Sequence[int]) -> list[int]:
        gate.wait(10)
        return list(items)

    async def main() -> None:
        batcher = Batcher("test", work)
        futures = [batcher.submit(number) for number in range(20_000)]
        with pytest.raises(Refusal) as refusal:
            batcher.submit(1)
        assert refusal.value.kind is Kind.LIMITED
        gate.set()
        await asyncio.gather(*futures)
        assert await batcher.submit(1) == 1
        await batcher.close()

    run(main)

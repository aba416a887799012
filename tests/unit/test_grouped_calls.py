"""Calls made while another is under way go together; failures and leavers are handled one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from shoal_server.application.grouped_calls import GroupedCalls


class Doubler:
    """Doubles numbers when it is let."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.let = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.calls.append(list(numbers))
        await self.let.wait()
        if self.error is not None:
            raise self.error
        return [2 * number for number in numbers]


async def test_what_waits_goes_together() -> None:
    doubler = Doubler()
    grouped = GroupedCalls(doubler, largest=3)
    asked = [asyncio.create_task(grouped.ask(number)) for number in range(6)]
    await asyncio.sleep(0.01)
    assert doubler.calls == [[0, 1, 2]] or doubler.calls == [[0]]
    doubler.let.set()
    assert await asyncio.gather(*asked) == [0, 2, 4, 6, 8, 10]
    assert max(map(len, doubler.calls)) <= 3
    assert len(doubler.calls) < 6


async def test_a_failure_reaches_everybody_who_shared_the_call() -> None:
    doubler = Doubler()
    doubler.error = ValueError("no")
    doubler.let.set()
    grouped = GroupedCalls(doubler, largest=10)
    results = await asyncio.gather(*(grouped.ask(number) for number in range(4)), return_exceptions=True)
    assert all(isinstance(result, ValueError) for result in results)
    doubler.error = None
    assert await grouped.ask(21) == 42


async def test_a_leaver_does_not_take_the_others_along() -> None:
    doubler = Doubler()
    grouped = GroupedCalls(doubler, largest=10)
    calling = asyncio.create_task(grouped.ask(1))
    await asyncio.sleep(0)
    others = [asyncio.create_task(grouped.ask(number)) for number in (2, 3)]
    await asyncio.sleep(0)
    calling.cancel()
    doubler.let.set()
    assert await asyncio.gather(*others) == [4, 6]
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert doubler.calls == [[1], [2, 3]], "nothing is asked for twice"


async def test_a_waiter_that_left_is_not_asked_for() -> None:
    doubler = Doubler()
    grouped = GroupedCalls(doubler, largest=10)
    calling = asyncio.create_task(grouped.ask(1))
    await asyncio.sleep(0)
    gone, stays = asyncio.create_task(grouped.ask(2)), asyncio.create_task(grouped.ask(3))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.sleep(0)
    doubler.let.set()
    assert await calling == 2
    assert await stays == 6
    assert doubler.calls == [[1], [3]]

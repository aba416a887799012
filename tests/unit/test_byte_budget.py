"""Bytes are let in as far as there is room, in their order."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from shoal_server.application.byte_budget import ByteBudget, GrowingBudget


async def waiting(budget: ByteBudget, size: int) -> asyncio.Task[None]:
    """A task that takes bytes, as far as it comes at once."""
    task = asyncio.create_task(budget.take(size))
    await asyncio.sleep(0)
    return task


async def test_what_has_no_room_waits_for_it() -> None:
    budget = ByteBudget(100)
    await budget.take(60)
    second = await waiting(budget, 60)
    assert not second.done()
    budget.give_back(60)
    await second
    assert budget.used == 60


async def test_what_is_larger_than_all_goes_in_alone() -> None:
    budget = ByteBudget(100)
    await budget.take(1)
    large = await waiting(budget, 1000)
    small = await waiting(budget, 1)
    assert not large.done()
    assert not small.done(), "it came later"
    budget.give_back(1)
    await large
    assert not small.done()
    budget.give_back(1000)
    await small
    assert budget.used == 1


async def test_who_leaves_gives_way_to_the_next() -> None:
    budget = ByteBudget(100)
    await budget.take(60)
    leaving, next_one = await waiting(budget, 90), await waiting(budget, 30)
    leaving.cancel()
    await next_one
    assert budget.used == 90


async def test_who_leaves_just_when_let_in_holds_nothing() -> None:
    budget = ByteBudget(100)
    await budget.take(100)
    leaving = await waiting(budget, 50)
    budget.give_back(100)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert leaving.cancelled()
    assert budget.used == 0


async def test_who_leaves_in_the_moment_that_room_comes_holds_nothing() -> None:
    budget = ByteBudget(100)
    await budget.take(100)
    leaving, also_leaving, staying = [await waiting(budget, size) for size in (50, 60, 70)]
    leaving.cancel()
    also_leaving.cancel()
    budget.give_back(100)
    await asyncio.wait_for(staying, 1)
    assert leaving.cancelled()
    assert also_leaving.cancelled()
    assert budget.used == 70
    budget.give_back(70)
    assert budget.used == 0


async def test_what_grew_half_way_does_not_wait_for_one_another() -> None:
    budget = GrowingBudget(10)
    with budget.growing() as first, budget.growing() as second:
        await first.grow(5)
        await second.grow(5)
        waiting = asyncio.create_task(second.grow(5))
        await asyncio.sleep(0)
        await first.grow(5)
        assert not waiting.done()
        first.shrink()
        await waiting
        assert (first.size, second.size) == (0, 10)


async def test_the_next_is_the_oldest_when_the_oldest_is_done() -> None:
    budget = GrowingBudget(10)
    with budget.growing() as kept:
        with budget.growing() as left:
            await left.grow(10)
            waiting = asyncio.create_task(left.grow(1))
            await asyncio.sleep(0)
            assert not waiting.done()
            waiting.cancel()
        await kept.grow(10)
    with budget.growing(), budget.growing() as alone:
        await asyncio.wait_for(alone.grow(10), 1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=6), min_size=1, max_size=8), st.integers(1, 40))
def test_all_that_grows_gets_to_its_end(things: list[list[int]], limit: int) -> None:
    budget = GrowingBudget(limit)

    async def grow(sizes: list[int]) -> None:
        with budget.growing() as thing:
            for size in sizes:
                await thing.grow(size)
                await asyncio.sleep(0)

    async def all_of_them() -> None:
        async with asyncio.timeout(10):
            await asyncio.gather(*map(grow, things))
            with budget.growing(), budget.growing() as last:
                await last.grow(limit)

    asyncio.run(all_of_them())

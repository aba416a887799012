"""Bytes are let in as far as there is room, in their order."""

from __future__ import annotations

import asyncio

from shoal_server.application.byte_budget import ByteBudget


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

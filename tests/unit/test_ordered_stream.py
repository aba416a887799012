"""Answers come in the order of the items, work overlaps, and nothing is left running."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator

import pytest

from shoal_server.rpc.ordered_stream import in_order


async def numbers(count: int, read: list[int] | None = None) -> AsyncIterator[int]:
    for number in range(count):
        if read is not None:
            read.append(number)
        yield number


async def test_slow_first_item_keeps_its_place() -> None:
    async def work(number: int) -> int:
        await asyncio.sleep(0.02 if number == 0 else 0)
        return number

    assert [answer async for answer in in_order(numbers(10), work, window=4)] == list(range(10))


async def test_no_more_is_read_than_the_window() -> None:
    read: list[int] = []
    release = asyncio.Event()

    async def work(number: int) -> int:
        await release.wait()
        return number

    answers = in_order(numbers(100, read), work, window=5)
    first = asyncio.ensure_future(anext(answers))
    await asyncio.sleep(0.02)
    assert len(read) <= 5
    release.set()
    assert await first == 0
    assert [answer async for answer in answers] == list(range(1, 100))


async def test_leaving_cancels_the_work() -> None:
    cancelled: list[int] = []

    async def work(number: int) -> int:
        if number == 0:
            return 0
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    answers = in_order(numbers(3), work, window=3)
    assert await anext(answers) == 0
    await asyncio.sleep(0.01)
    await answers.aclose()  # type: ignore[attr-defined]
    assert cancelled == [1, 2]


async def test_an_error_of_the_source_comes_after_the_answers_before_it() -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        raise ValueError("broken source")

    async def work(number: int) -> int:
        await asyncio.sleep(0.01)
        return number

    answers = in_order(source(), work, window=3)
    assert await anext(answers) == 1
    with pytest.raises(ValueError, match="broken source"):
        await anext(answers)


async def test_each_item_is_given_back_once_however_its_work_ends() -> None:
    given_back: list[int] = []

    async def work(number: int) -> int:
        if number == 3:
            raise ValueError("three")
        if number > 3:
            await asyncio.Event().wait()
        return number

    with pytest.raises(ValueError, match="three"):
        async for _ in in_order(numbers(20), work, 8, given_back.append):
            pass
    await asyncio.sleep(0)
    assert sorted(given_back) == list(range(len(given_back)))
    assert len(given_back) > 4, "some of those that were cancelled had not begun"


async def test_an_item_is_let_go_of_while_the_next_one_is_waited_for() -> None:
    class Large:
        """Something whose end can be seen."""

    kept: weakref.WeakSet[Large] = weakref.WeakSet()
    come = asyncio.Event()

    async def items() -> AsyncIterator[Large]:
        item = Large()
        kept.add(item)
        held = [item]
        del item
        yield held.pop()
        await come.wait()
        yield Large()

    async def work(_: Large) -> int:
        return 1

    answers = in_order(items(), work, window=4)
    assert await anext(answers) == 1
    await asyncio.sleep(0.01)
    assert not kept
    come.set()
    assert [answer async for answer in answers] == [1]

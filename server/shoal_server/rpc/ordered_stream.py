"""Works on several items of a stream at once and answers in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def in_order(
    items: AsyncIterator[Item], work: Callable[[Item], Awaitable[Answer]], window: int
) -> AsyncIterator[Answer]:
    """The answers to the items, in the order of the items.

    At most ``window`` items are read and not yet answered: a slow reader of the answers slows the reading of the
    items. When the caller leaves, or an item or its work raises an error, all other work is cancelled.

    Args:
        items: read one after the other.
        work: done for several items at once.
        window: at least 1.
    """
    pending: deque[asyncio.Task[Answer]] = deque()
    room = asyncio.Semaphore(window)
    grown = asyncio.Event()

    async def answer(item: Item) -> Answer:
        return await work(item)

    async def read() -> None:
        await room.acquire()
        async for item in items:
            pending.append(asyncio.create_task(answer(item)))
            grown.set()
            await room.acquire()

    reader = asyncio.create_task(read())
    reader.add_done_callback(lambda _: grown.set())
    try:
        while True:
            while pending:
                yield await pending[0]
                pending.popleft()
                room.release()
            if reader.done():
                # Raises what reading raised, after everything before it was answered.
                reader.result()
                return
            await grown.wait()
            grown.clear()
    finally:
        left = [reader, *pending]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

"""Works on several items of a stream at once and answers in their order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def in_order(
    items: AsyncIterator[Item],
    work: Callable[[Item], Awaitable[Answer]],
    window: int,
    done: Callable[[Item], None] = lambda item: None,
) -> AsyncIterator[Answer]:
    """The answers to the items, in the order of the items.

    At most ``window`` items are read and not yet answered: a slow reader of the answers slows the reading of the
    items. When the caller leaves, or an item or its work raises an error, all other work is cancelled.

    Args:
        items: read one after the other.
        work: done for several items at once.
        window: at least 1.
        done: called once with each item that was read, when its work has ended, be it by being cancelled.
    """
    pending: deque[asyncio.Task[Answer]] = deque()
    room = asyncio.Semaphore(window)
    grown = asyncio.Event()

    async def answer(item: Item) -> Answer:
        return await work(item)

    async def read() -> None:
        await room.acquire()
        async for item in items:
            task = asyncio.create_task(answer(item))
            task.add_done_callback(partial(_ended, done, item))
            pending.append(task)
            # While the next item is waited for, nobody but its work may hold this one.
            del item, task
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


def _ended(done: Callable[[Item], None], item: Item, _task: asyncio.Task[Answer]) -> None:
    done(item)

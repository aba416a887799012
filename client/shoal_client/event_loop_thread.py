"""An event loop in a thread of its own, for synchronous callers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

from shoal_client.errors import ClientClosed

Item = TypeVar("Item")


class EventLoopThread:
    """Runs coroutines for threads that have no event loop; may be used from many threads at once."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="shoal-client", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` is done."""
        return self._loop.is_closed()

    def run(self, work: Coroutine[Any, Any, Item]) -> Item:
        """Runs a coroutine to its end; if the caller is interrupted, the coroutine is cancelled.

        Raises:
            ClientClosed: the thread was closed before.
            Exception: what the coroutine raised.
        """
        if self.closed:
            work.close()
            raise ClientClosed
        return _wait(asyncio.run_coroutine_threadsafe(work, self._loop))

    def iterate(self, make: Callable[[], AsyncGenerator[Item, None]]) -> Iterator[Item]:
        """Yields what an asynchronous generator yields, and closes it when the caller stops.

        Args:
            make: makes the generator; called in the event loop, at the first item.

        Raises:
            ClientClosed: the thread was closed before.
            Exception: what the generator raised.
        """
        steps = _Steps(make)
        try:
            while (step := _wait(self._start(steps.next))) is not None:
                yield step[0]
        finally:
            # Not waited for: this also runs when an iterator is thrown away as Python exits, and nobody would answer.
            with suppress(ClientClosed):
                self._start(steps.close)

    def close(self) -> None:
        """Cancels what is under way and ends the thread. Closing twice does nothing."""
        if self.closed:
            return
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _start(self, make: Callable[[], Coroutine[Any, Any, Item]]) -> Future[Item]:
        """Starts a coroutine that is made in the loop's thread.

        An interrupt of the caller's thread, which may come between any two of its instructions, or the end of the loop
        then leaves no coroutine behind that was made and never awaited.

        Raises:
            ClientClosed: the thread was closed before.
        """
        future: Future[Item] = Future()

        def begin() -> None:
            task = self._loop.create_task(make())
            task.add_done_callback(lambda done: _settle(future, done))
            future.add_done_callback(lambda _: self._call(task.cancel))

        if not self._call(begin):
            raise ClientClosed
        return future

    def _call(self, function: Callable[[], object]) -> bool:
        """Calls a function in the loop's thread, unless it is closed."""
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            return False
        return True


def _wait(future: Future[Item]) -> Item:
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _settle(future: Future[Item], done: asyncio.Task[Item]) -> None:
    error = None if done.cancelled() else done.exception()
    if done.cancelled():
        future.cancel()
    if not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(done.result())


class _Steps(Generic[Item]):
    """An asynchronous generator taken a step at a time.

    The lock keeps :meth:`close` from overtaking a step that an interrupt has just cancelled.
    """

    def __init__(self, make: Callable[[], AsyncGenerator[Item, None]]) -> None:
        self._make = make
        self._items: AsyncGenerator[Item, None] | None = None
        self._lock = asyncio.Lock()

    async def next(self) -> tuple[Item] | None:
        """The next item, or None at the end."""
        async with self._lock:
            if self._items is None:
                self._items = self._make()
            try:
                return (await anext(self._items),)
            except StopAsyncIteration:
                return None

    async def close(self) -> None:
        """Closes the generator."""
        async with self._lock:
            if self._items is not None:
                await self._items.aclose()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()
    await asyncio.get_running_loop().shutdown_default_executor()

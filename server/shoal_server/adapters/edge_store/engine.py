"""The one thread on which a data folder is read and written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from shoal_server.application.ports import FreeSpace, Purpose
from shoal_server.domain.errors import ShuttingDown, StoreFull, StoreUnavailable
from shoal_server.domain.full_disk import is_full, store_failure

T = TypeVar("T")

#: How the engine's errors end that the operating system's "no space left on device" is the cause of.
_FULL = "(os error 28)"


def disk_was_full(error: BaseException) -> bool:
    """Whether an error of the engine, or of the operating system, says that the disk is full."""
    if isinstance(error, OSError):
        return is_full(error)
    # Qdrant Edge raises bare Exceptions; anything more specific is not its.
    return type(error) is Exception and _FULL in str(error)


class Engine:
    """Runs jobs in the order in which they come, one after another.

    Qdrant Edge holds Python's interpreter lock during every call, so that more threads would not make anything
    faster; with one, a job sees no half-done work of another and nobody closes a shard under its readers. For the same
    reason a job should be short: what takes long is cut into several. And for the same reason a search need not wait
    for the thread to wake up: nothing else could run meanwhile.
    """

    def __init__(self, folder: Path, space: FreeSpace | None = None) -> None:
        """Args:
        folder: for messages.
        space: asked before writes; None: nobody is.
        """
        self._folder = folder
        self._space = space
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shoal-edge")
        # Of the thread. Added to on the event loop only: if there are none, none can come while a job runs there.
        self._jobs: set[Future[Any]] = set()
        # Whether a job ran on the event loop in this turn of it.
        self._asked = False
        self._closed = False
        #: Jobs so far.
        self.jobs = 0

    async def run(self, job: Callable[[], T]) -> T:
        """Runs a job and returns what it returns.

        Raises:
            ShuttingDown: the engine has been shut down.
            StoreFull: the disk is full.
            StoreUnavailable: the vector engine or the file system failed.
        """
        if self._closed:
            raise ShuttingDown
        self.jobs += 1
        future = self._thread.submit(self._translated, job)
        self._jobs.add(future)
        # Also of a job that was cancelled before its turn; one that has begun is finished, whoever waits for it.
        future.add_done_callback(self._jobs.discard)
        return await asyncio.wrap_future(future)

    async def run_at_once(self, job: Callable[[], T]) -> T:
        """Runs a job that does nothing but ask the engine: here, if no other job is before it.

        The way to the thread and back takes 0.2 to 0.4 ms, and a search one or two.

        Raises:
            ShoalError: as :meth:`run`.
        """
        if self._asked:
            # Others have their turn between two of them, as they have while a job is on the thread.
            await asyncio.sleep(0)
        if self._jobs or self._closed:
            return await self.run(job)
        self._asked = True
        self.jobs += 1
        asyncio.get_running_loop().call_soon(self._forget_asked)
        return self._translated(job)

    def _forget_asked(self) -> None:
        self._asked = False

    def check_space(self, purpose: Purpose, needed: int = 0) -> None:
        """See :meth:`FreeSpace.check`."""
        if self._space is not None:
            self._space.check(purpose, needed)

    def shut_down(self) -> None:
        """Takes no more jobs; what is running is finished."""
        self._closed = True
        self._thread.shutdown(wait=False)

    def _translated(self, job: Callable[[], T]) -> T:
        try:
            return job()
        except OSError as error:
            raise store_failure(str(self._folder), error) from error
        except Exception as error:
            if type(error) is not Exception:
                raise
            if disk_was_full(error):
                raise StoreFull(str(self._folder)) from error
            raise StoreUnavailable(str(self._folder), str(error)) from error

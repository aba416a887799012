"""A run under way, as those see it who watch or cancel it."""

from __future__ import annotations

import asyncio

from shoal_server.application.reclustering import Found
from shoal_server.domain.run import ClusteringRun


class LiveRun:
    """The newest state of a run, who waits for the next one, and what can be cancelled of it.

    Attributes:
        run: the newest state.
        version: grows with every state.
        recorded: done when the run's record is stored; fails if that fails.
        stopped_because: why it was stopped, if not by a person's cancelling.
    """

    def __init__(self, run: ClusteringRun) -> None:
        self.run = run
        self.version = 0
        self.recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Whoever started the run may have left: then nobody asks for this error.
        self.recorded.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.stopped_because: str | None = None
        self._changed = asyncio.Event()
        self._ended = asyncio.Event()
        self._finding: asyncio.Task[Found] | None = None
        self._past_cancelling = False
        self._cancelled = False

    def now(self, run: ClusteringRun) -> None:
        """Takes the newer state and wakes all who wait."""
        self.run = run
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()
        if run.state.ended:
            self._ended.set()

    async def after(self, version: int) -> None:
        """Waits until there is a state newer than this version."""
        while self.version <= version:
            await self._changed.wait()

    async def end(self) -> None:
        """Waits until the run has ended."""
        await self._ended.wait()

    async def find(self, finding: asyncio.Task[Found]) -> Found:
        """Waits for the part of the run that can be cancelled.

        Raises:
            CancelledError: it was.
        """
        self._finding = finding
        if self._cancelled:
            finding.cancel()
        try:
            return await finding
        finally:
            self._past_cancelling = True

    def cancel(self, because: str | None = None) -> bool:
        """Asks the run to stop, once; False if it is past the point where it could be.

        Args:
            because: why, if it is not a person who cancels.
        """
        if self._past_cancelling:
            return self._cancelled
        if not self._cancelled:
            self._cancelled = True
            self.stopped_because = because
            if self._finding is not None:
                self._finding.cancel()
        return True

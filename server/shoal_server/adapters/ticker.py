"""A clock that calls again and again, on the server's own event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)

#: Seconds that a call under way gets to end when the ticker is stopped.
_STOP_S = 5.0


class MonotonicTicker:
    """Calls every few seconds, one call at a time; a call that takes longer costs the calls it covers.

    It counts seconds and never looks at the time of day: a scheduler that does would wait for as long as the system's
    clock was set back.
    """

    def __init__(self, every_s: float = 5.0) -> None:
        """Args:
        every_s: seconds from the end of one call to the next, above 0.
        """
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    async def start(self, call: Callable[[], Awaitable[None]]) -> None:
        """Begins to call, first after the set time. What the call raises is logged, and calling goes on."""
        self._stopping.clear()
        self._task = asyncio.create_task(self._keep_calling(call), name="ticker")

    async def stop(self) -> None:
        """Ends calling; a call under way gets 5 seconds to end, then it is cancelled. Without a start it is nothing."""
        task, self._task = self._task, None
        if task is None:
            return
        self._stopping.set()
        try:
            ended, _ = await asyncio.wait([task], timeout=_STOP_S)
        finally:
            task.cancel()
        if not ended:
            _log.warning("the ticker's call did not end within %g s and is cancelled", _STOP_S)
            await asyncio.wait([task])

    async def _keep_calling(self, call: Callable[[], Awaitable[None]]) -> None:
        while not await self._stopped_within(self._every_s):
            try:
                await call()
            except Exception:  # noqa: BLE001 - a fault in one call must not end the calling
                _log.exception("the ticker's call failed; it is called again in %g s", self._every_s)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

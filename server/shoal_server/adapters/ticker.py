"""A clock that calls again and again: APScheduler on the server's own event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC

from apscheduler.schedulers.asyncio import AsyncIOScheduler

_log = logging.getLogger(__name__)

#: Seconds that a call under way gets to end when the ticker is stopped.
_STOP_S = 5.0


class ApschedulerTicker:
    """Calls every few seconds, one call at a time; a call that takes longer costs the calls it covers."""

    def __init__(self, every_s: float = 5.0) -> None:
        """Args:
        every_s: seconds from one call to the next, above 0.
        """
        self._every_s = every_s
        self._scheduler: AsyncIOScheduler | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    async def start(self, call: Callable[[], Awaitable[None]]) -> None:
        """Begins to call, first after the set time. What the call raises is logged, and calling goes on."""

        async def tick() -> None:
            self._idle.clear()
            try:
                await call()
            except Exception:  # noqa: BLE001 - a fault in one call must not end the calling
                _log.exception("the ticker's call failed; it is called again in %g s", self._every_s)
            finally:
                self._idle.set()

        # Its loggers tell of every single call; what matters of a call is logged above.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_job(
            tick, "interval", seconds=self._every_s, coalesce=True, max_instances=1, misfire_grace_time=None
        )
        self._scheduler.start()

    async def stop(self) -> None:
        """Ends calling; a call under way gets 5 seconds to end, then it is cancelled. Without a start it is nothing."""
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is None:
            return
        scheduler.remove_all_jobs()
        try:
            await asyncio.wait_for(self._idle.wait(), _STOP_S)
        except TimeoutError:
            _log.warning("the ticker's call did not end within %g s and is cancelled", _STOP_S)
        scheduler.shutdown(wait=False)
        # The library shuts down in the loop's next round, where it also cancels what is left.
        await asyncio.sleep(0)

"""Ending threads that may never end."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress


async def shut_down(pool: ThreadPoolExecutor, seconds: float) -> bool:
    """Takes no more work and waits for what is under way; False if that does not end in so many seconds.

    Not in the event loop's default executor, which would be waited for as well.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def wait() -> None:
        pool.shutdown()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait, name="shoal-shut-down", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            await ended.wait()
    except TimeoutError:
        return False
    return True

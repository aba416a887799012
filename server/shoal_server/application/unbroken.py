"""For steps that must not be cut in two by a caller who leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


async def unbroken(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Does the work to its end, even if the caller is cancelled meanwhile; then the cancellation takes its course."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            # Seen here, because whoever asked is no longer there to see it.
            task.exception()
        raise

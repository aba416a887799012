"""Copies a shard's folder in a process of its own.

A thread would wait for the interpreter lock after every block, and the engine holds that during each search: a copy of
a third of a second would take ten while others search.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

from shoal_server.adapters.edge_store import sparse


async def copy_apart(source: Path, target: Path) -> None:
    """Copies a folder with the holes of its files, which nobody changes meanwhile; if cancelled, it has stopped.

    Raises:
        OSError: it cannot be copied; with the number that the operating system gave.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        sparse.__file__,
        str(source),
        str(target),
        # It ends when this one does, in whatever way.
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if status:
        problem = os.strerror(status) if status > 0 else f"the copying process was ended by signal {-status}"
        raise OSError(status, problem, str(target))

"""The memory that processes take, watched from outside."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

_LOOK_EVERY = 0.05


@contextmanager
def peak_memory(process: psutil.Process) -> Iterator[list[int]]:
    """Watches the resident memory of a process and of those below it, added up, for the time of the context.

    Pages that two of them share count twice. The list's one item is the largest sum so far, in bytes.
    """
    peak = [_resident(process)]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_EVERY):
            peak[0] = max(peak[0], _resident(process))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def _resident(process: psutil.Process) -> int:
    total = 0
    for each in _family(process):
        with suppress(psutil.NoSuchProcess):
            total += each.memory_info().rss
    return total


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []

"""The bar of an ingest."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from shoal_client.cli.progress import time_left

#: The rate is that of so many seconds.
WINDOW_S = 30.0
#: The bar appears with the first image that is sent, or after so many seconds: what is known already is counted by
#: then, so that it begins where an interrupted one was.
APPEARS_AFTER_S = 1.0


class IngestProgress:
    """A bar with the count, the rate and the time left; a context manager.

    Args:
        console: what is printed on it goes above the bar.
        count: how many images there are, or None if nobody knows; called in a thread of its own.
    """

    def __init__(self, console: Console, count: Callable[[], int | None]) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._bar: TaskID | None = None
        self._count = count
        self._total: int | None = None
        self._counting = True
        self._done = 0
        self._lock = threading.Lock()
        #: When so many images had been sent.
        self._sent: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])
        self._appearing = threading.Timer(APPEARS_AFTER_S, self._appear)
        self._appearing.daemon = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._set_total, name="shoal-count", daemon=True).start()
        self._appearing.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._appearing.cancel()
        self._progress.stop()

    def advance(self, *, known: bool) -> None:
        """One image more; a known one does not count for the rate."""
        with self._lock:
            self._done += 1
            if not known:
                now = time.monotonic()
                self._sent.append((now, self._sent[-1][1] + 1))
                while now - self._sent[0][0] > WINDOW_S:
                    self._sent.popleft()
        if not known:
            self._appear()
        self._update()

    def expect(self, more: int) -> None:
        """So many images more than were counted."""
        with self._lock:
            self._total = None if self._total is None else self._total + more
        self._update()

    def describe(self, what: str) -> None:
        """Says what is going on."""
        if self._bar is not None:
            self._progress.update(self._bar, description=what)

    def _appear(self) -> None:
        with self._lock:
            if self._bar is None:
                self._bar = self._progress.add_task("ingesting", total=self._total, completed=self._done, pace="")
                self._progress.start()

    def _set_total(self) -> None:
        total = self._count()
        with self._lock:
            self._total = total
            self._counting = False
        self._update()

    def _update(self) -> None:
        if self._bar is not None:
            self._progress.update(self._bar, total=self._total, completed=self._done, pace=self._pace())

    def _pace(self) -> str:
        with self._lock:
            (began, before), (ended, after) = self._sent[0], self._sent[-1]
            rate = (after - before) / (ended - began) if ended > began else 0.0
            if self._total is None:
                left = "counting" if self._counting else "total unknown"
            elif rate > 0:
                left = time_left(timedelta(seconds=max(self._total - self._done, 0) / rate))
            else:
                left = ""
        return ", ".join(filter(None, [f"{rate:.1f} images/s" if rate else "", left]))

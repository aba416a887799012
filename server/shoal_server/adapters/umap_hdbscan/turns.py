"""Meetings in turn: threads take them as they come, and every part still has its own in their order.

Nobody waits for a whole round to end: a thread that the machine has stopped for a while holds up those two parts that
it is at work on, and what is done by then elsewhere need not be done later.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor


def tournament(parts: int) -> list[tuple[int, int]]:
    """Every two parts once, in rounds in which each part is once; a lone part meets itself.

    Args:
        parts: 1, or an even number.
    """
    if parts == 1:
        return [(0, 0)]
    ring = list(range(parts))
    meetings = []
    for _ in range(parts - 1):
        meetings += [(ring[place], ring[-1 - place]) for place in range(parts // 2)]
        ring = [ring[0], ring[-1], *ring[1:-1]]
    return meetings


def hold(
    meetings: Sequence[tuple[int, int]],
    seasons: int,
    meet: Callable[[int, int], None],
    on_season: Callable[[int], None],
    threads: int,
) -> None:
    """Holds a tournament again and again.

    For each part it is as if all meetings were held one after the other; so with the same meetings the outcome is the
    same for any number of threads.

    Args:
        meetings: of :func:`tournament`, of two parts or more.
        seasons: how often.
        meet: holds a meeting of a season. Told their numbers; called in several threads at once, of no two meetings
            that have a part in common.
        on_season: told of seasons, ascending, when one of their meetings begins; not of all. Called in this thread.
        threads: at work at the same time, this one among them, at least 1. No more are used than there are meetings in
            a round.

    Raises:
        Exception: the first that one of those called has raised; then nothing more begins.
    """
    turns = _Turns(meetings, seasons)
    helpers = min(threads, turns.at_once) - 1

    def work(told: Callable[[int], None]) -> None:
        try:
            while (turn := turns.take()) is not None:
                season, meeting = turn
                told(season)
                meet(season, meeting)
                turns.done(meeting)
        except BaseException:
            turns.stop()
            raise

    with ThreadPoolExecutor(max(1, helpers)) as pool:
        others = [pool.submit(work, lambda season: None) for _ in range(helpers)]
        last = -1

        def tell(season: int) -> None:
            nonlocal last
            if season > last:
                last = season
                on_season(season)

        work(tell)
        for other in others:
            other.result()


class _Turns:
    """Which meeting is next."""

    def __init__(self, meetings: Sequence[tuple[int, int]], seasons: int) -> None:
        self._meetings = meetings
        parts = 1 + max(max(pair) for pair in meetings)
        #: Meetings in a round.
        self.at_once = max(1, parts // 2)
        #: Meetings that each part has had.
        self._had = [0] * parts
        self._coming: Iterator[tuple[int, int]] = (
            (season, meeting) for season in range(seasons) for meeting in range(len(meetings))
        )
        #: The next ones, of as many rounds as can have begun while a part is still in the first of them.
        self._next: deque[tuple[int, int]] = deque()
        self._changed = threading.Condition()
        self._stopped = False

    def take(self) -> tuple[int, int] | None:
        """The season and the number of a meeting whose parts have had all before it; None: there is none left."""
        with self._changed:
            while True:
                while len(self._next) < self.at_once**2 and (coming := next(self._coming, None)) is not None:
                    self._next.append(coming)
                if self._stopped or not self._next:
                    return None
                for place, (season, meeting) in enumerate(self._next):
                    if self._may_begin(season, meeting):
                        del self._next[place]
                        return season, meeting
                self._changed.wait()

    def _may_begin(self, season: int, meeting: int) -> bool:
        # In each of its rounds a part has one meeting.
        had = (season * len(self._meetings) + meeting) // self.at_once
        return all(self._had[part] == had for part in self._meetings[meeting])

    def done(self, meeting: int) -> None:
        """A meeting has ended."""
        with self._changed:
            for part in self._meetings[meeting]:
                self._had[part] += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Gives nothing out any more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

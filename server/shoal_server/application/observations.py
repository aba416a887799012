"""What happened to the collections lately: images that came and went, and runs that ended."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shoal_server.application.open_collections import OpenCollection
from shoal_server.application.ports import Store
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.run import ClusteringRun, RunKind
from shoal_server.domain.schedule import ScheduleState

#: The store is asked for the number of a collection's images at most so often.
_COUNT_EVERY = timedelta(minutes=1)
#: As many runs are remembered by their ids, so that one that is told twice counts once.
_REMEMBERED = 32


@dataclass
class _Observed:
    """What is known of one collection."""

    opened: OpenCollection | None = None
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    runs_read: bool = False
    told: list[ClusteringRun] = field(default_factory=list)
    noted: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    last_run_at: datetime | None = None
    images_then: int = 0
    read_at: datetime | None = None
    failures: int = 0
    images_now: int | None = None
    counted_at: datetime | None = None
    stale: bool = True
    last_change_at: datetime | None = None

    def note(self, runs: Iterable[ClusteringRun]) -> None:
        """Takes in runs that have ended, later ones last; one that is known already changes nothing."""
        for run in runs:
            if run.kind is not RunKind.CLUSTERING or not run.state.ended or run.id in self.noted:
                continue
            self.noted.append(run.id)
            self.last_run_at = run.ended_at or run.created_at
            if run.state.complete and run.summary is not None:
                # One that is held back counts: the same images would only be held back again.
                self.images_then, self.read_at, self.failures = run.summary.images, run.created_at, 0
            else:
                self.failures += 1


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Observations:
    """What happened to the collections, in memory: enough to say when a run is due without asking the store for it.

    Others tell it of images that came and went and of runs that ended. The store is asked for a collection's former
    runs once, and for the number of its images at most once a minute and only if something changed.
    """

    def __init__(self, store: Store, now: Callable[[], datetime] = _utc_now) -> None:
        """Args:
        store: of the collections.
        now: the clock; aware.
        """
        self._store = store
        self.now = now
        self._observed: dict[str, _Observed] = {}

    def changed(self, collection: str, by: int) -> None:
        """Images came, or went.

        Args:
            collection: where.
            by: how many came; negative: how many went.
        """
        if by == 0:
            return
        observed = self._of(collection)
        observed.last_change_at = self.now()
        observed.stale = True
        if observed.images_now is not None:
            observed.images_now = max(0, observed.images_now + by)

    def ran(self, collection: str, run: ClusteringRun) -> None:
        """A run has ended, whatever became of it; who asked for it makes no difference."""
        observed = self._of(collection)
        if observed.runs_read:
            observed.note([run])
        else:
            # Its record may have failed to be written: then the store does not tell of it.
            observed.told.append(run)

    def look_again(self, collection: str) -> None:
        """Another server may have done something with a collection: the store is asked anew."""
        observed = self._of(collection)
        observed.runs_read = False
        observed.stale = True

    def keep_only(self, collections: Collection[str]) -> None:
        """Forgets all other collections: they are no more."""
        self._observed = {name: observed for name, observed in self._observed.items() if name in collections}

    async def state(self, opened: OpenCollection) -> ScheduleState:
        """What the schedule of a collection looks at.

        Raises:
            ShoalError: the store does not answer, or the collection is no more.
        """
        observed = self._of(opened.id)
        if observed.opened is not None and observed.opened is not opened:
            # It was deleted, and another one has its name.
            observed = self._observed[opened.id] = _Observed(last_change_at=observed.last_change_at)
        observed.opened = opened
        async with observed.busy:
            if not observed.runs_read:
                await self._read_runs(opened.id, observed)
            if observed.images_now is None or (observed.stale and self._may_count(observed)):
                await self._count(opened.id, observed)
        return ScheduleState(
            last_run_at=observed.last_run_at,
            images_then=observed.images_then,
            images_now=observed.images_now or 0,
            last_change_at=observed.last_change_at,
            created_at=opened.record.created_at,
            read_at=observed.read_at,
            failures=observed.failures,
        )

    async def _read_runs(self, collection: str, observed: _Observed) -> None:
        runs = {run.id: run for run in await self._store.list_runs(collection)}
        runs |= {run.id: run for run in observed.told}
        observed.note(run for _, run in sorted(runs.items()))
        observed.told.clear()
        observed.runs_read = True

    def _may_count(self, observed: _Observed) -> bool:
        return observed.counted_at is None or abs(self.now() - observed.counted_at) >= _COUNT_EVERY

    async def _count(self, collection: str, observed: _Observed) -> None:
        # What changes while the store counts may be in the number or not: then it is counted again.
        observed.stale = False
        try:
            observed.images_now = await self._store.count_images(collection, ImageFilter())
        except BaseException:
            observed.stale = True
            raise
        observed.counted_at = self.now()

    def _of(self, collection: str) -> _Observed:
        return self._observed.setdefault(collection, _Observed())

"""How many images and clusters each collection has, without asking the store whenever somebody wants to know."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shoal_server.application.observations import Observations
from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.ports import ImageStore
from shoal_server.domain.errors import CollectionNotFound, ModelMismatch, ShoalError
from shoal_server.domain.filters import ImageFilter

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CountedOnce:
    """A collection as it was when it was counted last.

    Attributes:
        id: the collection's.
        images: all of them.
        unclustered: those in no cluster.
        clusters: in force.
        last_run_at: when the last run ended, whatever became of it; None before the first.
        problem: why it cannot be used; empty if it can. Then the counts are those before, or 0.
    """

    id: str
    images: int = 0
    unclustered: int = 0
    clusters: int = 0
    last_run_at: datetime | None = None
    problem: str = ""


class Census:
    """Counts all collections, one after the other, only if somebody asks and the counts are too old."""

    def __init__(
        self,
        collections: OpenCollections,
        store: ImageStore,
        observations: Observations,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args:
        collections: all of them.
        store: of their images.
        observations: know the number of images and the last run.
        clock: seconds that only grow.
        """
        self._collections = collections
        self._store = store
        self._observations = observations
        self._clock = clock
        self._counted: dict[str, CountedOnce] = {}
        self._counted_at: float | None = None
        self._counting: asyncio.Task[None] | None = None

    @property
    def known(self) -> Sequence[CountedOnce]:
        """The last counts, by id."""
        return [self._counted[collection] for collection in sorted(self._counted)]

    async def look(self, max_age_s: float, patience_s: float) -> Sequence[CountedOnce]:
        """The counts, counted again first if they are too old.

        Args:
            max_age_s: seconds that they may be old.
            patience_s: seconds to wait for the counting; beyond, the answer is what is known, and the counting goes on
                for the next one who asks.
        """
        old = self._counted_at is None or self._clock() - self._counted_at > max_age_s
        if old and self._counting is None:
            self._counting = asyncio.create_task(self._count_all(), name="counting images")
        if old and self._counting is not None:
            await asyncio.wait([self._counting], timeout=patience_s)
        return self.known

    async def stop(self) -> None:
        """Ends a counting that is under way."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.gather(self._counting, return_exceptions=True)

    async def _count_all(self) -> None:
        try:
            records = await self._collections.list()
            self._counted = {record.id: self._counted.get(record.id, CountedOnce(record.id)) for record in records}
            for record in records:
                try:
                    self._counted[record.id] = await self._count(record.id)
                except CollectionNotFound:
                    del self._counted[record.id]
                except ShoalError as error:
                    self._counted[record.id] = replace(self._counted[record.id], problem=error.message)
        except ShoalError as error:
            # Whoever watches the store is told by others.
            _log.debug("the collections were not counted: %s", error.message)
        except Exception:  # noqa: BLE001 - nobody waits for this task who could be told
            _log.exception("the collections were not counted")
        finally:
            # Also after a failure: a store that does not answer is not asked again by everybody who looks.
            self._counted_at = self._clock()
            self._counting = None

    async def _count(self, collection: str) -> CountedOnce:
        opened = await self._collections.open_any(collection)
        state = await self._observations.state(opened)
        unclustered = await self._store.count_images(collection, ImageFilter(unclustered=True))
        counted = CountedOnce(
            id=collection,
            images=max(state.images_now, unclustered),
            unclustered=unclustered,
            clusters=0 if opened.clusters is None else len(opened.clusters.clusters),
            last_run_at=state.last_run_at,
        )
        try:
            await self._collections.open(collection)
        except ModelMismatch:
            # It is for another server.
            return counted
        except ShoalError as error:
            return replace(counted, problem=error.message)
        return counted

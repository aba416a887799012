"""Points that appear in attached collections between runs: found, and assigned as images are that are put in."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol, runtime_checkable
from uuid import UUID

import numpy as np

from shoal_server.application.assign import vote_on
from shoal_server.application.open_collections import OpenCollection, OpenCollections, check_there
from shoal_server.application.ports import RunFiles, Store
from shoal_server.application.present import active_assignments
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.errors import CollectionNotFound, ModelMismatch, ShoalError
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.payload import CLUSTER_ID

_log = logging.getLogger(__name__)

#: Points that are voted on at once.
_VOTE_BATCH = 64
#: After so long all points in no cluster are looked at, although their number is what it was.
_LOOK_AGAIN = timedelta(minutes=10)


@runtime_checkable
class NewcomerStore(Protocol):
    """What a store can tell of points that others put in."""

    def unclustered(self, collection: str) -> AsyncIterator[list[UUID]]:
        """The ids of all images in no cluster, in batches; nothing else of them is read."""
        ...


@dataclass
class _Seen:
    """What is known of one collection.

    Attributes:
        opened: the collection that it is known of.
        images: how many there were.
        unclustered: how many of them were in no cluster, once all was done.
        run: whose clusters were in force.
        outliers: images that this run, or a vote since, left in no cluster.
        looked_at: when all in no cluster were looked at.
    """

    opened: OpenCollection
    images: int
    unclustered: int = -1
    run: str | None = None
    outliers: set[UUID] = field(default_factory=set)
    looked_at: datetime | None = None


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Newcomers:
    """Looks for points that others put into attached collections, and assigns them.

    Two counts say whether there is anything to do, so that looking costs next to nothing where nothing changed.
    """

    def __init__(
        self,
        collections: OpenCollections,
        store: Store,
        newcomers: NewcomerStore,
        files: RunFiles,
        changed: Callable[[str, int], None],
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Args:
        collections: all of them.
        store: of their images.
        newcomers: the same store, which holds other programs' points too.
        files: of the runs.
        changed: told the collection, and by how many its number of images changed.
        now: the clock; aware.
        """
        self._collections = collections
        self._store = store
        self._newcomers = newcomers
        self._files = files
        self._changed = changed
        self._now = now
        self._seen: dict[str, _Seen] = {}

    async def tick(self) -> None:
        """Looks once at every attached collection. Raises nothing that a later look may not find gone."""
        try:
            attached = [each.id for each in await self._collections.list() if each.attachment is not None]
        except ShoalError as error:
            _log.warning("attached collections could not be looked for: %s", error.message)
            return
        self._seen = {name: seen for name, seen in self._seen.items() if name in attached}
        for collection in attached:
            try:
                await self.look(collection)
            except (CollectionNotFound, ModelMismatch):
                # It is being detached, or others have told of it.
                continue
            except ShoalError as error:
                _log.warning("collection %s: new points could not be assigned: %s", collection, error.message)

    async def look(self, collection: str) -> int:
        """Assigns what is new in one collection; how many points it put into a cluster.

        Raises:
            ShoalError: as :meth:`OpenCollections.open`, or the store does not answer.
        """
        opened = await self._collections.open(collection)
        images = await self._store.count_images(collection, ImageFilter())
        seen = self._seen.get(collection)
        if seen is None or seen.opened is not opened:
            seen = self._seen[collection] = _Seen(opened, images)
        came, seen.images = images - seen.images, images
        self._tell(opened, came)
        active = opened.clusters
        if active is None or not active.clusters:
            return 0
        unclustered = await self._store.count_images(collection, ImageFilter(unclustered=True))
        due = seen.looked_at is None or abs(self._now() - seen.looked_at) >= _LOOK_AGAIN
        if (seen.run, seen.unclustered) == (active.run, unclustered) and not due:
            return 0
        if seen.run != active.run or due:
            # Clusters may have grown since: whom a vote left out may be at home now. Whom the run left out is not.
            assignments = await active_assignments(self._files, opened)
            outside = np.flatnonzero(assignments.cluster_ids == NOISE).tolist()
            seen.outliers = {assignments.ids[row] for row in outside}
            seen.run, seen.looked_at = active.run, self._now()
        candidates = [
            image
            async for stretch in self._newcomers.unclustered(collection)
            for image in stretch
            if image not in seen.outliers
        ]
        assigned = await self._assign(opened, active.run, candidates, seen)
        seen.unclustered = unclustered - assigned
        if assigned:
            opened.images_version += 1
            _log.info("collection %s: assigned %d of %d new points", collection, assigned, len(candidates))
        # A point that was put in again in the place of another changes no number, but is a change.
        again = max(assigned - max(came, 0), 0)
        self._tell(opened, again)
        self._tell(opened, -again)
        return assigned

    async def _assign(self, opened: OpenCollection, run: str, images: list[UUID], seen: _Seen) -> int:
        assigned = 0
        for start in range(0, len(images), _VOTE_BATCH):
            # A run may come into force between two batches, but not within one.
            async with opened.gate.reading():
                check_there(opened)
                active = opened.clusters
                if active is None or active.run != run:
                    break
                batch = images[start : start + _VOTE_BATCH]
                vectors = await self._store.get_vectors(opened.id, batch)
                seen.outliers.update(image for image in batch if image not in vectors)
                if not vectors:
                    continue
                rows = np.stack(list(vectors.values()))
                homes: dict[int, list[UUID]] = defaultdict(list)
                for image, (cluster, _) in zip(vectors, await vote_on(self._store, opened, active, rows), strict=True):
                    if cluster is None:
                        seen.outliers.add(image)
                    else:
                        homes[cluster].append(image)
                for cluster, members in homes.items():
                    await self._store.set_group(opened.id, CLUSTER_ID, cluster, members)
                    assigned += len(members)
        return assigned

    def _tell(self, opened: OpenCollection, by: int) -> None:
        if by:
            opened.images_version += 1
            self._changed(opened.id, by)

"""The map of a run: a point for every image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.history import History
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import RunFiles, Store
from shoal_server.application.present import read_present
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.errors import RunNotFound
from shoal_server.domain.filters import During, ImageFilter
from shoal_server.domain.run import RunKind
from shoal_server.domain.time_bounds import INGESTED_AT

#: Images that came since the run; where there are more, all are read.
MAX_SINCE = 5000
_PAGE = 1000
#: A correction is recorded a moment after its images were read.
_MARGIN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class RunMap:
    """Where n images are on the map.

    Attributes:
        run: whose; empty if none is in force.
        ids: of the images.
        coordinates: float32 (n, 2); NaN for images that the run did not read.
        cluster_ids: int64 (n,), -1 for none.
    """

    run: str
    ids: Sequence[UUID]
    coordinates: NDArray[np.float32]
    cluster_ids: NDArray[np.int64]


class RunMaps:
    """Reads maps."""

    def __init__(self, collections: OpenCollections, store: Store, files: RunFiles, history: History) -> None:
        self._collections = collections
        self._store = store
        self._files = files
        self._history = history

    async def in_force(self, collection: str) -> RunMap:
        """All images that there are, with the clusters that they are in now.

        Raises:
            CollectionNotFound: there is none.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            found = await self._brought_up_to_date(opened)
            if found is not None:
                return found
            run = opened.record.active_run or ""
            now = (await read_present(self._store, self._files, opened)).assignments
        return RunMap(run, now.ids, now.coordinates, now.cluster_ids)

    async def _brought_up_to_date(self, opened: OpenCollection) -> RunMap | None:
        """What the file of the run in force says, and the images that came since: a tenth of the work of reading all.

        None where that is not all there is to tell, because images were removed, or too many have come.
        """
        run = opened.record.active_run
        if run is None or opened.record.attachment is not None:
            return None
        try:
            known = await self._files.read(opened.id, run)
        except RunNotFound:
            return None
        record = await self._store.get_run(opened.id, run)
        began = record.created_at - (_MARGIN if record.kind is RunKind.CORRECTION else timedelta())
        since = ImageFilter(conditions=(During(INGESTED_AT, earliest=began),))
        if await self._store.count_images(opened.id, since) > MAX_SINCE:
            return None
        came: dict[UUID, int] = {}
        in_force = {} if opened.clusters is None else opened.clusters.clusters
        after: UUID | None = None
        while True:
            images, after = await self._store.page_images(opened.id, since, after, _PAGE)
            for image in images:
                there = image.cluster_id is not None and image.cluster_id in in_force
                came[image.id] = image.cluster_id if there and image.cluster_id is not None else NOISE
            if after is None:
                break
        cluster_ids = known.cluster_ids.copy()
        for row, identity in enumerate(known.ids if came else ()):
            if identity in came:
                # Removed and stored again, perhaps: where it is now counts.
                cluster_ids[row] = came.pop(identity)
        ids = [*known.ids, *came]
        if len(ids) != await self._store.count_images(opened.id, ImageFilter()):
            return None
        nowhere = np.full((len(came), 2), np.nan, np.float32)
        return RunMap(
            run,
            ids,
            np.concatenate([known.coordinates, nowhere]),
            np.concatenate([cluster_ids, np.array(list(came.values()), np.int64)]),
        )

    async def of(self, collection: str, run: str) -> RunMap:
        """The images that a run knows, with the clusters that it put them into.

        Raises:
            RunNotFound: there is none of that id, or it has no file.
            RunNotActivatable: it has no result.
        """
        opened = await self._collections.open(collection)
        await self._history.complete(opened, run)
        found = await self._files.read(collection, run)
        return RunMap(run, found.ids, found.coordinates, found.cluster_ids)

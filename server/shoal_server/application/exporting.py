"""Images with what the clusters in force say of them: all, some that are named, or those that a filter lets through."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import numpy as np

from shoal_server.application.history import EXPORT_BATCH, Exported
from shoal_server.application.images import Images, Position
from shoal_server.application.open_collections import OpenCollection, OpenCollections, check_there
from shoal_server.application.ports import RunAssignments, RunFiles
from shoal_server.application.present import active_assignments
from shoal_server.application.queries import Where
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.errors import ClustersChanged, InvalidField
from shoal_server.domain.image import Image

#: Images that are named one by one.
MAX_NAMED = 200_000


class Exporting:
    """Reads them in stretches, so that memory does not grow with the collection."""

    def __init__(self, collections: OpenCollections, files: RunFiles, images: Images) -> None:
        self._collections = collections
        self._files = files
        self._images = images

    async def where(self, collection: str, where: Where) -> AsyncIterator[list[Exported]]:
        """The images that a filter lets through, in the order of their ids.

        Raises:
            ClustersChanged: another run came into force before the last of them was read.
            ShoalError: as :meth:`Images.page`.
        """
        told = await self._told(await self._collections.open(collection))
        after: Position | None = None
        while True:
            images, after = await self._images.page(collection, where, after, EXPORT_BATCH)
            yield told.of_page(images)
            if after is None:
                return

    async def named(self, collection: str, ids: Sequence[UUID]) -> AsyncIterator[list[Exported]]:
        """Those of the images that are there, each once, in the order of their ids.

        Raises:
            InvalidField: there are too many.
            ClustersChanged: another run came into force before the last of them was read.
            CollectionNotFound: there is no such collection.
        """
        if len(ids) > MAX_NAMED:
            raise InvalidField("ids", f"{len(ids)} images; at most {MAX_NAMED} are named, export by a filter instead")
        told = await self._told(await self._collections.open(collection))
        wanted = sorted(set(ids))
        for start in range(0, len(wanted), EXPORT_BATCH):
            images = await self._images.some(collection, wanted[start : start + EXPORT_BATCH])
            yield told.of_page(images)

    async def _told(self, opened: OpenCollection) -> _Told:
        async with opened.gate.reading():
            return _Told(opened, await active_assignments(self._files, opened))


class _Told:
    """What is said of images, by the run in force and by what stands on them."""

    def __init__(self, opened: OpenCollection, assignments: RunAssignments) -> None:
        """Args:
        opened: the collection; the caller holds its gate.
        assignments: of the run in force.
        """
        self._opened = opened
        self._run = _run_of(opened)
        self._assignments = assignments
        self._row_of = {identity: row for row, identity in enumerate(assignments.ids)}
        clusters = {} if opened.clusters is None else opened.clusters.clusters
        self._names = {each.id: each.name for each in clusters.values()}

    def of_page(self, images: Sequence[Image]) -> list[Exported]:
        """Images that were read just now.

        Raises:
            ClustersChanged: another run has come into force.
            CollectionNotFound: the collection was deleted.
        """
        check_there(self._opened)
        if _run_of(self._opened) != self._run:
            raise ClustersChanged(self._opened.id, "export them again")
        return [self._of(image) for image in images]

    def _of(self, image: Image) -> Exported:
        # An owner may write what they like under the key of an attached collection.
        cluster_id = NOISE if image.cluster_id is None or image.cluster_id not in self._names else image.cluster_id
        strength, coordinates = 0.0, None
        row = self._row_of.get(image.id)
        if row is not None:
            x, y = self._assignments.coordinates[row].tolist()
            coordinates = None if np.isnan(x) else (x, y)
            if int(self._assignments.cluster_ids[row]) == cluster_id:
                strength = float(self._assignments.strengths[row])
        return Exported(image, cluster_id, self._names.get(cluster_id, ""), strength, coordinates)


def _run_of(opened: OpenCollection) -> str | None:
    return None if opened.clusters is None else opened.clusters.run

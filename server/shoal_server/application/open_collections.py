"""The collections a server works with, and what it keeps in memory of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.activation_gate import ActivationGate
from shoal_server.application.ports import ImageFiles, RunFiles, Store
from shoal_server.application.unbroken import unbroken
from shoal_server.domain.cluster import Cluster
from shoal_server.domain.collection import Collection, EmbeddingModel, check_collection_id
from shoal_server.domain.errors import (
    ClusterNotFound,
    CollectionNotFound,
    ModelMismatch,
    NotClustered,
    StoreIncompatible,
)
from shoal_server.domain.groupings import Groupings


class ClusterSet:
    """The clusters of one run, for quick answers. Immutable.

    Attributes:
        run: the run's id.
        clusters: by id.
        centroids: float32 (number of clusters, dimension), unit rows, in the order of ``clusters``.
        thresholds: cluster id to the least similarity that a new image needs.
    """

    def __init__(self, run: str, clusters: Iterable[Cluster]) -> None:
        self.run = run
        self.clusters = {cluster.id: cluster for cluster in sorted(clusters, key=lambda cluster: cluster.id)}
        rows = [cluster.centroid for cluster in self.clusters.values()]
        self.centroids: NDArray[np.float32] = np.stack(rows) if rows else np.zeros((0, 0), np.float32)
        self.thresholds = {cluster.id: cluster.threshold for cluster in self.clusters.values()}

    def with_cluster(self, cluster: Cluster) -> ClusterSet:
        """The same set with one cluster changed."""
        return ClusterSet(self.run, (self.clusters | {cluster.id: cluster}).values())


class OpenCollection:
    """A collection in use: its record, its gate, and the clusters in force.

    Attributes:
        record: as in the store.
        clusters: the active run's; None before the first.
        groupings: the active run's themes, places and moments.
        gate: held shared by whoever names a cluster.
        deciding: held by whoever works out which image belongs to which cluster, from looking at what there is to the
            end of writing it back, so that a run and a correction do not overwrite one another.
        changing: held by whoever changes the record or the clusters' own records.
        images_version: a number that grows whenever images come, go or change.
        deleting: it is being removed; nobody may begin anything with it.
        removed: it was removed; what goes by its id now is another.
        set_aside: why it cannot be used until the server is started again; None if it can.
    """

    def __init__(self, record: Collection, clusters: ClusterSet | None, groupings: Groupings | None = None) -> None:
        self.record = record
        self.clusters = clusters
        self.groupings = groupings or Groupings()
        self.gate = ActivationGate()
        self.deciding = asyncio.Lock()
        self.changing = asyncio.Lock()
        self.images_version = 0
        self.deleting = False
        self.removed = False
        self.set_aside: str | None = None

    @property
    def id(self) -> str:
        """The collection's id."""
        return self.record.id

    def active_clusters(self) -> ClusterSet:
        """The clusters in force.

        Raises:
            NotClustered: there are none yet.
        """
        if self.clusters is None or not self.clusters.clusters:
            raise NotClustered(self.id)
        return self.clusters

    def cluster(self, cluster_id: int) -> Cluster:
        """One of the clusters in force.

        Raises:
            ClusterNotFound: there is none of that id.
        """
        if self.clusters is None or cluster_id not in self.clusters.clusters:
            raise ClusterNotFound(self.id, cluster_id)
        return self.clusters.clusters[cluster_id]


def check_there(opened: OpenCollection) -> None:
    """Refuses to write to what was deleted: another collection may go by its id. The caller holds the gate.

    Raises:
        CollectionNotFound: it was removed.
    """
    if opened.removed:
        raise CollectionNotFound(opened.id)


class OpenCollections:
    """Opens collections on first use and makes sure that they belong to the server's model."""

    def __init__(self, store: Store, files: RunFiles, image_files: ImageFiles, model: EmbeddingModel) -> None:
        self._store = store
        self._files = files
        self._image_files = image_files
        self._model = model
        self._open: dict[str, OpenCollection] = {}
        self._opening = asyncio.Lock()

    async def create(self, collection: str, model: str = "") -> None:
        """Makes a collection for the server's model.

        Raises:
            InvalidName: the id has not the form of one.
            ModelMismatch: a model is named that is not the server's.
            CollectionExists: there is one already.
        """
        check_collection_id(collection)
        if model and model != self._model.name:
            raise ModelMismatch(collection, model[:200], str(self._model))
        record = Collection(id=collection, model=self._model, created_at=datetime.now(UTC))
        async with self._opening:
            await unbroken(self._store.create_collection(record))

    async def open(self, collection: str) -> OpenCollection:
        """The collection, ready for use.

        Raises:
            CollectionNotFound: there is none.
            ModelMismatch: it was made with another model.
            StoreIncompatible: it was set aside.
        """
        opened = await self.open_any(collection)
        recorded = opened.record.model
        if (recorded.digest, recorded.dimension) != (self._model.digest, self._model.dimension):
            raise ModelMismatch(collection, str(recorded), str(self._model))
        if opened.set_aside is not None:
            raise StoreIncompatible(opened.set_aside)
        return opened

    async def open_any(self, collection: str) -> OpenCollection:
        """The collection, whatever its model and state: enough to look at it, delete it, or finish an activation.

        Raises:
            CollectionNotFound: there is none.
        """
        opened = self._open.get(collection)
        if opened is None:
            async with self._opening:
                opened = self._open.get(collection)
                if opened is None:
                    opened = self._open[collection] = await self._load(collection)
        if opened.deleting:
            raise CollectionNotFound(collection)
        return opened

    async def _load(self, collection: str) -> OpenCollection:
        record = await self._store.get_collection(collection)
        run = record.active_run
        if run is None:
            return OpenCollection(record, None)
        clusters = ClusterSet(run, await self._store.get_clusters(collection, run))
        return OpenCollection(record, clusters, await self._store.get_groupings(collection, run))

    async def change(self, opened: OpenCollection, **fields: object) -> None:
        """Replaces fields of a collection's record, in the store and then here.

        Raises:
            CollectionNotFound: it was deleted meanwhile.
        """

        async def replace_record() -> None:
            async with opened.changing:
                if self._open.get(opened.id) is not opened:
                    raise CollectionNotFound(opened.id)
                record = replace(opened.record, **fields)  # type: ignore[arg-type]
                await self._store.update_collection(record)
                opened.record = record

        await unbroken(replace_record())

    async def list(self) -> list[Collection]:
        """All collections by id, of every model."""
        return await self._store.list_collections()

    async def delete(self, collection: str, first: Callable[[OpenCollection], Awaitable[None]]) -> None:
        """Removes a collection and all its files.

        Args:
            collection: which.
            first: ends what is under way with it; if it raises, nothing is removed.

        Raises:
            CollectionNotFound: there is none.
        """
        opened = await self.open_any(collection)
        opened.deleting = True
        try:
            await first(opened)
            await unbroken(self._remove(opened))
        finally:
            opened.deleting = False

    async def _remove(self, opened: OpenCollection) -> None:
        # Whoever is changing its clusters ends first; whoever waits to do so finds it deleted.
        async with opened.deciding, opened.gate.activating(), self._opening:
            opened.removed = True
            # Whatever of it is left after a failure is read anew.
            del self._open[opened.id]
            # The pictures first: should this end in between, the collection is still there to be deleted again.
            await self._image_files.delete_collection(opened.id)
            await self._store.delete_collection(opened.id)
            await self._files.delete_collection(opened.id)

"""The collections a server works with, and what it keeps in memory of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.activation_gate import ActivationGate
from shoal_server.application.deciding import Deciding
from shoal_server.application.leases import Leases
from shoal_server.application.ports import ImageFiles, RunFiles, Store
from shoal_server.application.unbroken import unbroken
from shoal_server.domain.cluster import Cluster
from shoal_server.domain.collection import Collection, EmbeddingModel, check_collection_id
from shoal_server.domain.errors import (
    ClusterNotFound,
    CollectionNotFound,
    ModelMismatch,
    NotClustered,
    PrecisionMismatch,
    RecordChanged,
    StoreIncompatible,
)
from shoal_server.domain.groupings import Groupings

#: Fields of a record that only the server writes whose turn it is to decide.
_DECIDED = frozenset(
    ("active_run", "activating_run", "next_cluster_id", "next_theme_id", "next_place_id", "next_moment_id")
)
#: Another server may write a record at the same time, and once more, but not for ever.
_ATTEMPTS = 20


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
        behind: the record was written on top of what another server wrote and this one has not taken in yet.
        images_version: a number that grows whenever images come, go or change.
        deleting: it is being removed; nobody may begin anything with it.
        removed: it was removed; what goes by its id now is another.
        set_aside: why it cannot be used until the server is started again; None if it can.
    """

    def __init__(
        self,
        record: Collection,
        clusters: ClusterSet | None,
        groupings: Groupings | None = None,
        deciding: Deciding | None = None,
    ) -> None:
        self.record = record
        self.clusters = clusters
        self.groupings = groupings or Groupings()
        self.gate = ActivationGate()
        self.deciding = deciding or Deciding(record.id)
        self.changing = asyncio.Lock()
        self.behind = False
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
        active = self.clusters_of_run()
        if not active.clusters:
            raise NotClustered(self.id)
        return active

    def clusters_of_run(self) -> ClusterSet:
        """The clusters in force, also where people left none of them.

        Raises:
            NotClustered: no run is in force.
        """
        if self.clusters is None:
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
    """Refuses to go on with what was deleted: another collection may go by its id. The caller holds the gate.

    Raises:
        CollectionNotFound: it was removed.
    """
    if opened.removed:
        raise CollectionNotFound(opened.id)


class OpenCollections:
    """Opens collections on first use and makes sure that they belong to the server's model."""

    def __init__(
        self,
        store: Store,
        files: RunFiles,
        image_files: ImageFiles,
        model: EmbeddingModel,
        leases: Leases | None = None,
        *,
        mix_precisions: bool = False,
    ) -> None:
        """Args:
        store: of the collections.
        files: of their runs.
        image_files: of their images.
        model: the server's.
        leases: of this server, where several share the store.
        mix_precisions: whether collections of another precision are used all the same.
        """
        self._mix_precisions = mix_precisions
        self._store = store
        self._files = files
        self._image_files = image_files
        self._model = model
        self._leases = leases
        self._open: dict[str, OpenCollection] = {}
        self._opening = asyncio.Lock()
        #: Finishes putting a run in force that another server could not; called by whoever takes its turn.
        self.finish: Callable[[OpenCollection], Awaitable[None]] | None = None

    async def create(self, collection: str, model: str = "") -> None:
        """Makes a collection for the server's model.

        Raises:
            InvalidName: the id has not the form of one.
            ModelMismatch: a model is named that is not the server's.
            CollectionExists: there is one already.
        """
        check_collection_id(collection)
        if model and model != self._model.name:
            raise ModelMismatch(collection, model[:200], str(self._model), is_there=False)
        record = Collection(id=collection, model=self._model, created_at=datetime.now(UTC))
        async with self._opening:
            await unbroken(self._store.create_collection(record))

    async def open(self, collection: str) -> OpenCollection:
        """The collection, ready for use.

        Raises:
            CollectionNotFound: there is none.
            ModelMismatch: it was made with another model.
            PrecisionMismatch: it was made with the same model in another precision.
            StoreIncompatible: it was set aside.
        """
        opened = await self.open_any(collection)
        recorded = opened.record.model
        # Vectors of a model that nobody named can still be compared with one another.
        if recorded.known:
            if not recorded.same_weights(self._model):
                raise ModelMismatch(collection, str(recorded), str(self._model))
            if recorded.precision is not self._model.precision and not self._mix_precisions:
                raise PrecisionMismatch(collection, recorded.precision.value, self._model.precision.value)
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
        if record.unusable:
            opened = OpenCollection(record, None)
            opened.set_aside = record.unusable
            return opened
        clusters, groupings = await self._clusters_of(record)

        async def arrived() -> None:
            await self.refresh(opened)
            if opened.record.activating_run is not None and self.finish is not None and not opened.removed:
                await self.finish(opened)

        opened = OpenCollection(record, clusters, groupings, Deciding(collection, self._leases, arrived))
        if self._leases is not None and record.activating_run is not None:
            # Another server is writing ids back, or died over it: whoever follows the others lets the readers in.
            await opened.gate.hold()
        return opened

    async def _clusters_of(self, record: Collection) -> tuple[ClusterSet | None, Groupings]:
        run = record.active_run
        if run is None:
            return None, Groupings()
        clusters = ClusterSet(run, await self._store.get_clusters(record.id, run))
        return clusters, await self._store.get_groupings(record.id, run)

    async def change(self, opened: OpenCollection, **fields: object) -> None:
        """Replaces fields of a collection's record, in the store and then here; other fields stay as they are there.

        Raises:
            CollectionNotFound: it was deleted meanwhile.
            LeaseLost: a field that only the server writes whose turn it is, and it is not this one's.
        """

        await self._change(opened, fields, clusters_changed="active_run" in fields)

    async def tell(self, opened: OpenCollection) -> None:
        """Lets other servers know that a cluster's own record was changed; there is nothing to do without any."""
        if self._leases is not None:
            await self._change(opened, {}, clusters_changed=True)

    async def _change(self, opened: OpenCollection, fields: Mapping[str, Any], *, clusters_changed: bool) -> None:
        async def replace_record() -> None:
            async with opened.changing:
                fence = opened.deciding.fence if fields.keys() & _DECIDED else None
                present = opened.record
                for _ in range(_ATTEMPTS):
                    if self._open.get(opened.id) is not opened or present.created_at != opened.record.created_at:
                        raise CollectionNotFound(opened.id)
                    record = replace(present, **fields, version=present.version + 1)
                    if clusters_changed:
                        record = replace(record, clusters_version=present.clusters_version + 1)
                    try:
                        await self._store.update_collection(record, fence)
                    except RecordChanged:
                        present = await self._store.get_collection(opened.id)
                        continue
                    # What another server wrote in between is in the record, but its clusters are not here yet.
                    opened.behind = opened.behind or present is not opened.record
                    opened.record = record
                    return
                raise RecordChanged(opened.id)

        await unbroken(replace_record())

    async def refresh(self, opened: OpenCollection) -> None:
        """Takes in what other servers did; the caller holds neither the gate nor ``changing``."""
        try:
            record = await self._store.get_collection(opened.id)
        except CollectionNotFound:
            await self.forget(opened)
            return
        await self.take_in(opened, record)

    async def take_in(self, opened: OpenCollection, record: Collection) -> None:
        """Takes over a collection's record as another server wrote it, with the clusters that it says are in force."""
        known = opened.record
        if record.created_at != known.created_at:
            # It was deleted, and another one has its name.
            await self.forget(opened)
            return
        if record.version <= known.version and not opened.gate.held and not opened.behind:
            return
        unchanged = record.clusters_version == known.clusters_version and record.active_run == known.active_run
        same = unchanged and not opened.behind
        if record.activating_run is not None and not opened.gate.held:
            # Its holder is writing ids: nobody may read before that has ended, whatever else goes wrong here.
            await opened.gate.hold()
        before = opened.clusters
        loaded = None if same else await self._clusters_of(record)
        if record.activating_run is not None:
            await self._replace(opened, record, before, loaded)
            if opened.record.activating_run is None:
                # It took so long to keep the readers out that all has ended meanwhile, and was taken in.
                opened.gate.let_go()
        elif same:
            await self._replace(opened, record, before, loaded)
            opened.gate.let_go()
        else:
            async with opened.gate.activating():
                await self._replace(opened, record, before, loaded)

    async def _replace(
        self,
        opened: OpenCollection,
        record: Collection,
        before: ClusterSet | None,
        loaded: tuple[ClusterSet | None, Groupings] | None,
    ) -> None:
        async with opened.changing:
            if record.version < opened.record.version:
                return
            if loaded is not None:
                if opened.clusters is not before:
                    # They were changed here while they were being read.
                    opened.behind = True
                    return
                opened.clusters, opened.groupings = loaded
            if opened.record.activating_run is not None and record.activating_run is None:
                # Another server has finished what failed here.
                opened.set_aside = None
            opened.record = record
            opened.behind = False
            opened.images_version += 1

    async def forget(self, opened: OpenCollection) -> None:
        """Another server has deleted it."""
        async with opened.gate.activating():
            opened.removed = True
            if self._open.get(opened.id) is opened:
                del self._open[opened.id]

    async def opened_now(self) -> list[OpenCollection]:
        """All that are open, those included that are just being opened."""
        async with self._opening:
            return list(self._open.values())

    async def list(self) -> list[Collection]:
        """All collections by id, of every model."""
        return await self._store.list_collections()

    async def delete(
        self,
        collection: str,
        first: Callable[[OpenCollection], Awaitable[None]],
        remove: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """Removes a collection and all its files.

        Args:
            collection: which.
            first: ends what is under way with it; if it raises, nothing is removed.
            remove: removes it from the store; None: :meth:`CollectionStore.delete_collection`.

        Raises:
            CollectionNotFound: there is none.
        """
        opened = await self.open_any(collection)
        opened.deleting = True
        try:
            await first(opened)
            await unbroken(self._remove(opened, remove or self._store.delete_collection))
        finally:
            opened.deleting = False

    async def _remove(self, opened: OpenCollection, remove: Callable[[str], Awaitable[None]]) -> None:
        # Whoever is changing its clusters ends first; whoever waits to do so finds it deleted.
        async with opened.deciding, opened.gate.activating(), self._opening:
            opened.removed = True
            # Whatever of it is left after a failure is read anew.
            del self._open[opened.id]
            # The pictures first: should this end in between, the collection is still there to be deleted again.
            await self._image_files.delete_collection(opened.id)
            await remove(opened.id)
            await self._files.delete_collection(opened.id)

"""Looking at the clusters in force and changing what people may change."""

from __future__ import annotations

from dataclasses import dataclass

from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.ports import Store
from shoal_server.application.unbroken import unbroken
from shoal_server.domain.cluster import Cluster
from shoal_server.domain.errors import InvalidField

MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class CountedCluster:
    """A cluster and how many images are in it now: the run's own and those assigned since."""

    cluster: Cluster
    size: int


@dataclass(frozen=True, slots=True)
class CountedClusters:
    """The clusters in force, those first that the run made largest, and the run's id (empty before the first)."""

    run: str
    clusters: list[CountedCluster]


class Curation:
    """Reads clusters and takes people's corrections."""

    def __init__(self, collections: OpenCollections, store: Store) -> None:
        self._collections = collections
        self._store = store

    async def list(self, collection: str) -> CountedClusters:
        """All clusters in force. Their order does not change while the run is in force, so that pages fit together."""
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            if opened.clusters is None:
                return CountedClusters("", [])
            sizes = await self._store.count_by_cluster(collection)
            counted = [CountedCluster(c, sizes.get(c.id, 0)) for c in opened.clusters.clusters.values()]
            run = opened.clusters.run
        return CountedClusters(run, sorted(counted, key=lambda entry: (-entry.cluster.size, entry.cluster.id)))

    async def get(self, collection: str, cluster_id: int) -> CountedCluster:
        """Raises:
        ClusterNotFound: there is none of that id in force.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            cluster = opened.cluster(cluster_id)
            sizes = await self._store.count_by_cluster(collection)
        return CountedCluster(cluster, sizes.get(cluster_id, 0))

    async def rename(self, collection: str, cluster_id: int, name: str) -> CountedCluster:
        """Gives a cluster the name a person wants; an empty one gives the naming back to the algorithm.

        Raises:
            ClusterNotFound: there is none of that id in force.
            InvalidField: the name is too long or has line breaks or other control characters.
        """
        name = name.strip()
        if len(name) > MAX_NAME or not name.isprintable():
            raise InvalidField("cluster.display_name", f"must be printable and have at most {MAX_NAME} characters")
        opened = await self._collections.open(collection)

        async def change() -> None:
            async with opened.gate.reading(), opened.changing:
                renamed = opened.cluster(cluster_id).renamed(name)
                active = opened.active_clusters()
                await self._store.put_cluster(collection, active.run, renamed)
                opened.clusters = active.with_cluster(renamed)

        await unbroken(change())
        return await self.get(collection, cluster_id)

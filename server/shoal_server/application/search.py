"""Finding images and clusters by what they show."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.ports import ImageStore
from shoal_server.application.queries import ImageQuery, Query, QueryVectors, Where
from shoal_server.domain.cluster import Cluster
from shoal_server.domain.image import ScoredImage

#: Deeper pages of a search are not served: the store would have to rank everything before them again.
MAX_DEPTH = 10_000


@dataclass(frozen=True, slots=True)
class ScoredCluster:
    """A cluster, how many images are in it now, and the cosine similarity (-1 to 1) of its centroid to a query."""

    cluster: Cluster
    size: int
    score: float


@dataclass(frozen=True, slots=True)
class RankedClusters:
    """Clusters, best first, and the run they are of."""

    run: str
    clusters: list[ScoredCluster]


class Search:
    """Answers similarity queries."""

    def __init__(self, collections: OpenCollections, store: ImageStore, queries: QueryVectors) -> None:
        self._collections = collections
        self._store = store
        self._queries = queries

    async def images(
        self,
        collection: str,
        query: Query,
        where: Where,
        limit: int,
        offset: int = 0,
        score_threshold: float | None = None,
    ) -> list[ScoredImage]:
        """The images most like the query, best first; a queried image itself is left out.

        Raises:
            ShoalError: as :meth:`QueryVectors.vector_of`, :meth:`Where.as_filter` and :meth:`OpenCollections.open`.
        """
        opened = await self._collections.open(collection)
        vector = await self._queries.vector_of(opened, query)
        async with opened.gate.reading():
            among = where.as_filter(opened)
            if isinstance(query, ImageQuery):
                among = replace(among, exclude=(query.image,))
            return await self._store.query_images(collection, vector, among, limit, offset, score_threshold)

    async def clusters(self, collection: str, query: Query) -> RankedClusters:
        """All clusters by the similarity of their centroid to the query, best first.

        Raises:
            NotClustered: there are none yet.
            ShoalError: as :meth:`QueryVectors.vector_of` and :meth:`OpenCollections.open`.
        """
        opened = await self._collections.open(collection)
        opened.active_clusters()
        vector = await self._queries.vector_of(opened, query)
        async with opened.gate.reading():
            active = opened.active_clusters()
            sizes = await self._store.count_by_cluster(collection)
        scores = active.centroids @ vector
        clusters = list(active.clusters.values())
        order = np.argsort(-scores, kind="stable")
        ranked = [
            ScoredCluster(clusters[row], sizes.get(clusters[row].id, 0), float(scores[row])) for row in order.tolist()
        ]
        return RankedClusters(active.run, ranked)

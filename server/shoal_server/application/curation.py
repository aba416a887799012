"""Looking at the clusters in force, and at themes, places and moments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.ports import Store
from shoal_server.domain.cluster import Cluster
from shoal_server.domain.errors import InvalidField
from shoal_server.domain.groupings import Groupings, Theme
from shoal_server.domain.themes import clusters_of_themes


@dataclass(frozen=True, slots=True)
class CountedCluster:
    """A cluster and how many images are in it now: the run's own and those assigned since."""

    cluster: Cluster
    size: int


@dataclass(frozen=True, slots=True)
class ClusterOrder:
    """What clusters are sorted by.

    Attributes:
        by: a key of the orders that there are.
        descending: the highest, the latest, or the end of the alphabet first.
    """

    by: str
    descending: bool

    @classmethod
    def of(cls, text: str) -> ClusterOrder | None:
        """From words such as ``cohesion`` or ``display_name desc``; None for none.

        By itself, a number or a time begins with the highest, and a name with its beginning.

        Raises:
            InvalidField: there is no such order.
        """
        if not text:
            return None
        by, _, direction = text.partition(" ")
        if by not in _KEYS or direction not in ("", "asc", "desc"):
            raise InvalidField("order_by", f"{text[:40]!r} is none of {', '.join(_KEYS)}, perhaps with asc or desc")
        return cls(by, direction == "desc" or (not direction and by != "display_name"))


_KEYS: Mapping[str, Callable[[CountedCluster], Any]] = {
    "size": lambda entry: entry.size,
    "display_name": lambda entry: entry.cluster.name.casefold(),
    "cohesion": lambda entry: entry.cluster.cohesion,
    "separation": lambda entry: entry.cluster.separation,
    "create_time": lambda entry: (entry.cluster.created_at, entry.cluster.id),
}


@dataclass(frozen=True, slots=True)
class CountedClusters:
    """Clusters in force.

    Attributes:
        run: whose; empty before the first.
        clusters: those first that the run made largest.
        themes: all of the run's, parents before children.
    """

    run: str
    clusters: list[CountedCluster]
    themes: tuple[Theme, ...] = ()


@dataclass(frozen=True, slots=True)
class SimilarCluster:
    """A cluster and the cosine similarity of its centroid to another one's, -1 to 1."""

    counted: CountedCluster
    similarity: float


@dataclass(frozen=True, slots=True)
class GroupingsInForce:
    """The themes, places and moments of the run in force.

    Attributes:
        run: empty before the first.
        groupings: themes with parents before children, places with the largest first, moments in the order of time.
    """

    run: str
    groupings: Groupings


class Curation:
    """Reads clusters and the other groupings."""

    def __init__(self, collections: OpenCollections, store: Store) -> None:
        self._collections = collections
        self._store = store

    async def list(
        self, collection: str, themes: Sequence[int] = (), order: ClusterOrder | None = None
    ) -> CountedClusters:
        """All clusters in force, or those below some themes.

        By default those first that the run made largest: that does not change while the run is in force, so that pages
        fit together.

        Args:
            collection: whose.
            themes: by id; empty for all clusters.
            order: another order.

        Raises:
            ThemeNotFound: one of the themes is not in force.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            among = clusters_of_themes(collection, opened.groupings, themes)
            if opened.clusters is None:
                return CountedClusters("", [])
            sizes = await self._store.count_by_cluster(collection)
            counted = [
                CountedCluster(cluster, sizes.get(cluster.id, 0))
                for cluster in opened.clusters.clusters.values()
                if not themes or cluster.id in among
            ]
            run, tree = opened.clusters.run, _parents_first(opened.groupings.themes)
        counted.sort(key=lambda entry: (-entry.cluster.size, entry.cluster.id))
        if order is not None:
            counted.sort(key=_KEYS[order.by], reverse=order.descending)
        return CountedClusters(run, counted, tree)

    async def get(self, collection: str, cluster_id: int) -> CountedCluster:
        """Raises:
        ClusterNotFound: there is none of that id in force.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            cluster = opened.cluster(cluster_id)
            sizes = await self._store.count_by_cluster(collection)
        return CountedCluster(cluster, sizes.get(cluster_id, 0))

    async def similar(self, collection: str, cluster_id: int, limit: int) -> Sequence[SimilarCluster]:
        """The clusters whose centroids are nearest to one's, the nearest first.

        Args:
            collection: whose.
            cluster_id: to which.
            limit: at most so many.

        Raises:
            ClusterNotFound: there is none of that id in force.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            centroid = opened.cluster(cluster_id).centroid
            active = opened.active_clusters()
            sizes = await self._store.count_by_cluster(collection)
        similarities = active.centroids @ centroid
        clusters = list(active.clusters.values())
        nearest = [row for row in np.argsort(-similarities, kind="stable").tolist() if clusters[row].id != cluster_id]
        return [
            SimilarCluster(CountedCluster(clusters[row], sizes.get(clusters[row].id, 0)), float(similarities[row]))
            for row in nearest[:limit]
        ]

    async def existing(self, collection: str, cluster_ids: Sequence[int]) -> tuple[int, ...]:
        """Those of these ids whose clusters are in force, in the same order."""
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            clusters = {} if opened.clusters is None else opened.clusters.clusters
            return tuple(cluster_id for cluster_id in cluster_ids if cluster_id in clusters)

    async def groupings(self, collection: str) -> GroupingsInForce:
        """The themes, places and moments in force. Their order does not change while the run is in force."""
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            run, found = opened.record.active_run or "", opened.groupings
        return GroupingsInForce(
            run,
            Groupings(
                themes=_parents_first(found.themes),
                places=tuple(sorted(found.places, key=lambda place: (-place.size, place.id))),
                moments=tuple(sorted(found.moments, key=lambda moment: (moment.start, moment.id))),
            ),
        )


def _parents_first(themes: Sequence[Theme]) -> tuple[Theme, ...]:
    parent_of = {theme.id: theme.parent_id for theme in themes}

    def depth(theme: Theme) -> int:
        above, steps = theme.parent_id, 0
        while above is not None:
            above, steps = parent_of.get(above), steps + 1
        return steps

    return tuple(sorted(themes, key=lambda theme: (depth(theme), theme.id)))

"""Looking at the clusters in force, and at themes, places and moments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shoal_server.application.open_collections import OpenCollections
from shoal_server.application.ports import Store
from shoal_server.domain.cluster import Cluster
from shoal_server.domain.groupings import Groupings, Theme
from shoal_server.domain.themes import clusters_of_themes


@dataclass(frozen=True, slots=True)
class CountedCluster:
    """A cluster and how many images are in it now: the run's own and those assigned since."""

    cluster: Cluster
    size: int


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

    async def list(self, collection: str, themes: Sequence[int] = ()) -> CountedClusters:
        """All clusters in force, or those below some themes.

        Their order does not change while the run is in force, so that pages fit together.

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
        return CountedClusters(run, sorted(counted, key=lambda entry: (-entry.cluster.size, entry.cluster.id)), tree)

    async def get(self, collection: str, cluster_id: int) -> CountedCluster:
        """Raises:
        ClusterNotFound: there is none of that id in force.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            cluster = opened.cluster(cluster_id)
            sizes = await self._store.count_by_cluster(collection)
        return CountedCluster(cluster, sizes.get(cluster_id, 0))

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

"""The other ways to look at a collection: themes over its clusters, places and moments beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shoal_server.application.vocabulary import NamingWords
from shoal_server.domain.cluster import NOISE, Cluster
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.groupings import Groupings, Moment, Place, Theme
from shoal_server.domain.identity import IdentityMatch, match_identities
from shoal_server.domain.image import Location
from shoal_server.domain.moments import describe_moments, local_times, moments_in
from shoal_server.domain.places import degrees_of, describe_places, join_nearby
from shoal_server.domain.theme_names import Unnamed, name_themes
from shoal_server.domain.themes import (
    FEWEST_CLUSTERS,
    MOST_AT_TOP,
    Tree,
    levels_of,
    lowest_themes,
    stay_or_change,
    unit_means,
)


class CentroidTree(Protocol):
    """Joins what is alike, step by step."""

    async def grow(self, vectors: NDArray[np.float32]) -> Tree:
        """A tree over unit vectors, float32 (m, dimension), m at least 2. The same input gives the same tree."""
        ...


class PlaceFinder(Protocol):
    """Finds places among positions."""

    async def find(self, degrees: NDArray[np.float64]) -> NDArray[np.int64]:
        """Groups positions.

        Args:
            degrees: (n, 2), latitude -90 to 90 and longitude -180 to 180; n may be 0, and positions may be the same.

        Returns:
            Labels (n,), 0 .. k-1, -1 for images at no place.

        Raises:
            ClusteringFailed: the work failed.
        """
        ...


@dataclass(frozen=True, slots=True)
class GroupingsFound:
    """What was found; not stored yet.

    Attributes:
        groupings: the records.
        place_ids: int64 (n,), -1 for none.
        moment_ids: int64 (n,), -1 for none.
        theme_of: the lowest theme of each cluster, by cluster id; empty without themes.
        next_theme_id: what the collection's record must say before the groupings are put in force.
        next_place_id: likewise.
        next_moment_id: likewise.
    """

    groupings: Groupings
    place_ids: NDArray[np.int64]
    moment_ids: NDArray[np.int64]
    theme_of: dict[int, int]
    next_theme_id: int
    next_place_id: int
    next_moment_id: int


class Grouping:
    """Finds themes, places and moments; changes nothing that anybody sees."""

    def __init__(self, tree: CentroidTree, finder: PlaceFinder, words: NamingWords) -> None:
        self._tree = tree
        self._finder = finder
        self._words = words

    async def find(
        self,
        collection: Collection,
        *,
        captured_at: Sequence[str | None],
        locations: Sequence[Location | None],
        place_ids: NDArray[np.int64],
        moment_ids: NDArray[np.int64],
        clusters: Sequence[Cluster],
        cluster_ids: NDArray[np.int64],
        former: Groupings,
        former_cluster_ids: NDArray[np.int64],
    ) -> GroupingsFound:
        """Groups n images; what was there before keeps its id.

        Args:
            collection: its record, with the ids that are free.
            captured_at: n RFC 3339 texts, or None.
            locations: n positions, or None.
            place_ids: int64 (n,), as they are, -1 for none.
            moment_ids: int64 (n,), as they are, -1 for none.
            clusters: the new run's.
            cluster_ids: int64 (n,), the new run's, -1 for none.
            former: the groupings in force.
            former_cluster_ids: int64 (n,), the clusters in force, -1 for none.

        Raises:
            ClusteringFailed: finding places failed.
            ModelFailed: the vocabulary cannot be embedded.
        """
        if collection.attachment is not None:
            # Nothing but the cluster is written to somebody else's points: nobody could be found by the others.
            captured_at, locations = [None] * len(captured_at), [None] * len(locations)
        new_places, places, next_place_id = await self._places(
            locations, place_ids, collection.next_place_id, former.places
        )
        new_moments, moments, next_moment_id = await asyncio.to_thread(
            _moments, captured_at, moment_ids, collection.next_moment_id
        )
        themes, next_theme_id = await self._themes(
            collection.model, clusters, cluster_ids, collection.next_theme_id, former.themes, former_cluster_ids
        )
        return GroupingsFound(
            groupings=Groupings(themes=themes, places=places, moments=moments),
            place_ids=new_places,
            moment_ids=new_moments,
            theme_of=lowest_themes(themes),
            next_theme_id=next_theme_id,
            next_place_id=next_place_id,
            next_moment_id=next_moment_id,
        )

    async def _places(
        self, locations: Sequence[Location | None], old_ids: NDArray[np.int64], next_id: int, former: Sequence[Place]
    ) -> tuple[NDArray[np.int64], tuple[Place, ...], int]:
        degrees = await asyncio.to_thread(degrees_of, locations)
        located = ~np.isnan(degrees[:, 0])
        dense = np.full(len(degrees), NOISE, dtype=np.int64)
        if located.any():
            dense[located] = await self._finder.find(degrees[located])
        return await asyncio.to_thread(_described_places, dense, degrees, old_ids, next_id, former)

    async def _themes(
        self,
        model: EmbeddingModel,
        clusters: Sequence[Cluster],
        cluster_ids: NDArray[np.int64],
        next_id: int,
        former: Sequence[Theme],
        former_cluster_ids: NDArray[np.int64],
    ) -> tuple[tuple[Theme, ...], int]:
        """The tree of themes, the lowest first, and the next id that is free."""
        next_id = max(next_id, 1 + max((theme.id for theme in former), default=0))
        # A cluster that a person keeps may have lost its images; ids go by images.
        occupied = set(np.unique(cluster_ids).tolist())
        members = sorted((cluster for cluster in clusters if cluster.id in occupied), key=lambda cluster: cluster.id)
        if len(members) < FEWEST_CLUSTERS:
            return (), next_id
        words: Sequence[str] = ()
        vectors = np.zeros((0, model.dimension), np.float32)
        if model.compares_texts:
            words, vectors = self._words.words, await self._words.vectors()
        theme_tree = _ThemeTree(members, cluster_ids, next_id, former, former_cluster_ids, words, vectors)
        while not theme_tree.complete:
            tree = await self._tree.grow(theme_tree.vectors)
            await asyncio.to_thread(theme_tree.add_level, tree)
        return theme_tree.themes(), theme_tree.next_id


def _described_places(
    dense: NDArray[np.int64],
    degrees: NDArray[np.float64],
    old_ids: NDArray[np.int64],
    next_id: int,
    former: Sequence[Place],
) -> tuple[NDArray[np.int64], tuple[Place, ...], int]:
    labels, extents = join_nearby(dense, degrees)
    match = _matched(old_ids, labels, next_id)
    ids = match.cluster_ids(labels)
    by_id = {match.ids[label]: extent for label, extent in extents.items()}
    return ids, describe_places(ids, by_id, former), match.next_id


def _moments(
    captured_at: Sequence[str | None], old_ids: NDArray[np.int64], next_id: int
) -> tuple[NDArray[np.int64], tuple[Moment, ...], int]:
    times = local_times(captured_at)
    labels = moments_in(times)
    match = _matched(old_ids, labels, next_id)
    ids = match.cluster_ids(labels)
    return ids, describe_moments(ids, times), match.next_id


def _matched(old_ids: NDArray[np.int64], labels: NDArray[np.int64], next_id: int) -> IdentityMatch:
    # Images that say more than the record must not bring a run down, nor may their ids be given again.
    return match_identities(old_ids, labels, max(next_id, int(old_ids.max(initial=NOISE)) + 1))


#: Positions of clusters, ascending.
_Rows = tuple[int, ...]


class _ThemeTree:
    """Themes under construction, level by level from the clusters up.

    Attributes:
        vectors: float32 (m, dimension), unit length: the clusters', then those of the themes of the topmost level.
        next_id: the first id that is free.
        complete: whether there are few enough at the top.
    """

    def __init__(
        self,
        clusters: Sequence[Cluster],
        cluster_ids: NDArray[np.int64],
        next_id: int,
        former: Sequence[Theme],
        former_cluster_ids: NDArray[np.int64],
        words: Sequence[str],
        word_vectors: NDArray[np.float32],
    ) -> None:
        self.next_id = next_id
        self.complete = False
        self._clusters = clusters
        self._row_of = {cluster.id: row for row, cluster in enumerate(clusters)}
        self._centroids = np.stack([cluster.centroid for cluster in clusters])
        self._cluster_ids = cluster_ids
        self._former = {theme.id: theme for theme in former}
        self._former_levels = levels_of(former)
        self._former_cluster_ids = former_cluster_ids
        self._words = words
        self._word_vectors = word_vectors
        self.vectors = self._centroids
        # What the next level groups: ids (of clusters, then of themes) and the rows of the clusters below.
        self._items: list[tuple[int, _Rows]] = [(cluster.id, (row,)) for row, cluster in enumerate(clusters)]
        self._level = 0
        self._themes: list[Theme] = []

    def add_level(self, tree: Tree) -> None:
        """Puts themes over what is topmost, given a tree over :attr:`vectors`."""
        labels = stay_or_change(self.vectors, tree, self._former_parents())
        groups = [np.flatnonzero(labels == label).tolist() for label in range(int(labels.max()) + 1)]
        # A theme over a single theme would say nothing; one over a single cluster leaves no cluster without.
        alone = [group for group in groups if self._level > 0 and len(group) == 1]
        grouped = [group for group in groups if group not in alone]
        members = [tuple(sorted(row for item in group for row in self._items[item][1])) for group in grouped]
        ids = self._identities(members)
        parts = [tuple(self._items[item][1] for item in group) for group in grouped]
        names = self._names(ids, members, parts)
        parent_of = {self._items[item][0]: theme for theme, group in zip(ids, grouped, strict=True) for item in group}
        if self._level > 0:
            self._themes = [
                Theme(theme.id, theme.name, parent_of.get(theme.id, theme.parent_id), theme.cluster_ids)
                for theme in self._themes
            ]
        level = [
            Theme(theme, name, None, tuple(self._clusters[row].id for row in rows))
            for theme, name, rows in zip(ids, names, members, strict=True)
        ]
        self._themes += sorted(level, key=lambda theme: theme.id)
        self.vectors = unit_means(self.vectors, labels)[[labels[group[0]] for group in [*grouped, *alone]]]
        self._items = [*zip(ids, members, strict=True), *(self._items[item] for [item] in alone)]
        self._level += 1
        self.complete = len(groups) <= MOST_AT_TOP

    def themes(self) -> tuple[Theme, ...]:
        """The tree, by level and id."""
        return tuple(self._themes)

    def _former_parents(self) -> NDArray[np.int64]:
        """The theme that each item was in, -1 for new items."""
        if self._level == 0:
            above = self._former_levels[0] if self._former_levels else {}
            return np.array([above.get(item, NOISE) for item, _ in self._items], dtype=np.int64)
        themes = [self._former.get(item) for item, _ in self._items]
        # One that had none above it was a group by itself.
        return np.array([NOISE if theme is None else theme.parent_id or theme.id for theme in themes], dtype=np.int64)

    def _identities(self, members: Sequence[_Rows]) -> list[int]:
        """An id for each theme: that of the former theme at this level whose images it holds, or a fresh one."""
        before = self._former_levels[self._level] if self._level < len(self._former_levels) else {}
        now = {self._clusters[row].id: theme for theme, rows in enumerate(members) for row in rows}
        match = match_identities(
            _translated(self._former_cluster_ids, before), _translated(self._cluster_ids, now), self.next_id
        )
        self.next_id = match.next_id
        return [match.ids[theme] for theme in range(len(members))]

    def _names(self, ids: Sequence[int], members: Sequence[_Rows], parts: Sequence[tuple[_Rows, ...]]) -> list[str]:
        unnamed = []
        for theme_id, rows, below in zip(ids, members, parts, strict=True):
            old = self._former.get(theme_id)
            held = () if old is None else tuple(self._row_of[c] for c in old.cluster_ids if c in self._row_of)
            unnamed.append(Unnamed(rows, below, None if old is None else old.name, held))
        return name_themes(
            unnamed,
            self._centroids,
            [cluster.name for cluster in self._clusters],
            [cluster.size for cluster in self._clusters],
            self._words,
            self._word_vectors,
            [theme.name for theme in self._themes],
        )


def _translated(ids: NDArray[np.int64], to: dict[int, int]) -> NDArray[np.int64]:
    distinct, rows = np.unique(ids, return_inverse=True)
    return np.array([to.get(value, NOISE) for value in distinct.tolist()], dtype=np.int64)[rows]

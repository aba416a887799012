from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_server.adapters.centroid_tree import WardTree
from shoal_server.adapters.place_finder import DensePlaces
from shoal_server.application.grouping import Grouping, GroupingsFound
from shoal_server.application.vocabulary import NamingWords
from shoal_server.domain.cluster import NOISE, Cluster, NameSource
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.groupings import Groupings
from shoal_server.domain.image import Location, Pixels, Vector
from shoal_server.domain.naming import Vocabulary

DIMENSION = 24
PER_CLUSTER = 6


class WordsByHash:
    """An embedder of texts only: every text has a vector of its own."""

    model = EmbeddingModel("words", "sha256:0", DIMENSION)

    async def embed_image(self, pixels: Pixels) -> Vector:
        raise NotImplementedError

    async def embed_text(self, text: str) -> Vector:
        return _vector_of(text)

    async def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([_vector_of(text) for text in texts])


def unit(vector: NDArray[np.float64]) -> Vector:
    scaled: Vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return scaled


def _vector_of(text: str) -> Vector:
    return unit(np.random.default_rng(list(text.encode())).normal(size=DIMENSION))


def grouping() -> Grouping:
    vocabulary = Vocabulary(("animal", "vehicle", "food"), ((), (), ()))
    return Grouping(WardTree(), DensePlaces(), NamingWords(vocabulary, WordsByHash()))


@dataclass(frozen=True)
class Album:
    """Images and the clusters that they are in."""

    captured_at: list[str | None]
    locations: list[Location | None]
    clusters: list[Cluster]
    cluster_ids: NDArray[np.int64]

    def without(self, rows: NDArray[np.bool_]) -> Album:
        stay = np.flatnonzero(~rows).tolist()
        return Album(
            [self.captured_at[row] for row in stay],
            [self.locations[row] for row in stay],
            self.clusters,
            self.cluster_ids[stay],
        )


def album(families: list[int], seed: int = 0) -> Album:
    """Clusters in families, each with images from one town and one day."""
    rng = np.random.default_rng(seed)
    clusters: list[Cluster] = []
    captured_at: list[str | None] = []
    locations: list[Location | None] = []
    for family, count in enumerate(families):
        middle = rng.normal(size=DIMENSION)
        for _ in range(count):
            number = len(clusters)
            centroid = unit(middle + 0.1 * rng.normal(size=DIMENSION))
            clusters.append(cluster(number + 1, centroid))
            for image in range(PER_CLUSTER):
                captured_at.append((datetime(2020, 1, 1, 12) + timedelta(days=3 * number, minutes=image)).isoformat())
                locations.append(Location(10.0 * family + rng.normal(0, 1e-3), 20.0 + rng.normal(0, 1e-3)))
    ids = np.repeat(np.arange(1, len(clusters) + 1), PER_CLUSTER)
    return Album(captured_at, locations, clusters, ids)


def cluster(cluster_id: int, centroid: Vector) -> Cluster:
    return Cluster(
        id=cluster_id,
        name=f"thing {cluster_id}",
        name_source=NameSource.AUTOMATIC,
        candidates=(),
        size=PER_CLUSTER,
        centroid=centroid,
        cohesion=0.9,
        threshold=0.5,
        exemplars=(),
        created_at=datetime(2020, 1, 1, tzinfo=UTC),
    )


COLLECTION = Collection("album", WordsByHash.model, datetime(2020, 1, 1, tzinfo=UTC))


async def first(images: Album) -> tuple[GroupingsFound, Collection]:
    """The first run, and the collection's record after it."""
    none = np.full(len(images.cluster_ids), NOISE)
    found = await grouping().find(
        COLLECTION,
        captured_at=images.captured_at,
        locations=images.locations,
        place_ids=none,
        moment_ids=none,
        clusters=images.clusters,
        cluster_ids=images.cluster_ids,
        former=Groupings(),
        former_cluster_ids=none,
    )
    return found, recorded(COLLECTION, found)


def recorded(collection: Collection, found: GroupingsFound) -> Collection:
    return replace(
        collection,
        next_theme_id=found.next_theme_id,
        next_place_id=found.next_place_id,
        next_moment_id=found.next_moment_id,
    )


async def again(
    collection: Collection,
    images: Album,
    before: GroupingsFound,
    old_rows: NDArray[np.int64],
    former_cluster_ids: NDArray[np.int64],
) -> GroupingsFound:
    """The next run over images of which some were there before: old_rows, -1 for new ones."""

    def as_it_was(ids: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(old_rows >= 0, ids[old_rows], NOISE)

    return await grouping().find(
        collection,
        captured_at=images.captured_at,
        locations=images.locations,
        place_ids=as_it_was(before.place_ids),
        moment_ids=as_it_was(before.moment_ids),
        clusters=images.clusters,
        cluster_ids=images.cluster_ids,
        former=before.groupings,
        former_cluster_ids=as_it_was(former_cluster_ids),
    )


async def test_images_are_grouped_in_three_ways() -> None:
    images = album([4, 5, 3])
    found, _ = await first(images)
    groupings = found.groupings
    by_id = {theme.id: theme for theme in groupings.themes}
    assert sorted(theme.cluster_ids for theme in groupings.themes) == [
        (1, 2, 3, 4),
        (5, 6, 7, 8, 9),
        (10, 11, 12),
    ]
    assert all(cluster_id in by_id[found.theme_of[cluster_id]].cluster_ids for cluster_id in range(1, 13))
    assert sorted(place.size for place in groupings.places) == [18, 24, 30]
    assert [place.id for place in groupings.places] == [1, 2, 3]
    assert len(groupings.moments) == 12
    assert (found.place_ids != NOISE).all()
    assert (found.moment_ids != NOISE).all()
    assert {place.id: place.size for place in groupings.places} == dict(
        zip(*np.unique(found.place_ids, return_counts=True), strict=True)
    )
    assert (found.next_theme_id, found.next_place_id, found.next_moment_id) == (4, 4, 13)


async def test_the_same_again_changes_nothing() -> None:
    images = album([4, 5, 3])
    found, collection = await first(images)
    same = await again(collection, images, found, np.arange(len(images.cluster_ids)), images.cluster_ids)
    assert same.groupings == found.groupings
    assert (same.place_ids == found.place_ids).all()
    assert (same.moment_ids == found.moment_ids).all()
    assert recorded(collection, same) == collection


async def test_what_goes_takes_its_ids_with_it_and_what_comes_gets_new_ones() -> None:
    images = album([4, 5, 3, 4])
    fewer = images.without(np.isin(images.cluster_ids, [10, 11, 12]))
    fewer = replace(fewer, clusters=[cluster for cluster in images.clusters if cluster.id not in (10, 11, 12)])
    found, collection = await first(images)
    rows = np.flatnonzero(~np.isin(images.cluster_ids, [10, 11, 12]))
    without = await again(collection, fewer, found, rows, images.cluster_ids)
    gone = found.theme_of[10]
    assert {theme.id for theme in found.groupings.themes} - {theme.id for theme in without.groupings.themes} == {gone}
    assert {place.id for place in found.groupings.places} - {place.id for place in without.groupings.places} == {
        found.place_ids[images.cluster_ids == 10][0]
    }
    assert (without.moment_ids == found.moment_ids[rows]).all()
    # The images come back, but nobody remembers them.
    back = np.full(len(images.cluster_ids), -1)
    back[rows] = np.arange(len(rows))
    whole = await again(recorded(collection, without), images, without, back, fewer.cluster_ids)
    assert whole.theme_of[10] == whole.theme_of[11] == whole.theme_of[12] == collection.next_theme_id
    assert (whole.place_ids[images.cluster_ids == 10] == collection.next_place_id).all()
    assert set(whole.moment_ids[np.isin(images.cluster_ids, [10, 11, 12])].tolist()) == set(
        range(collection.next_moment_id, collection.next_moment_id + 3)
    )
    assert all(whole.theme_of[cluster_id] == found.theme_of[cluster_id] for cluster_id in (1, 5, 13))


async def test_few_clusters_have_no_themes_and_no_word_is_embedded() -> None:
    found, _ = await first(album([3, 2]))
    assert found.groupings.themes == ()
    assert found.theme_of == {}
    assert found.next_theme_id == 1


async def test_many_themes_get_themes_above_them() -> None:
    images = album([14] * 16)
    found, collection = await first(images)
    themes = {theme.id: theme for theme in found.groupings.themes}
    top = [theme for theme in themes.values() if theme.parent_id is None]
    everything = {cluster.id for cluster in images.clusters}
    assert 2 <= len(top) <= 12
    assert sorted(cluster_id for theme in top for cluster_id in theme.cluster_ids) == sorted(everything)
    assert set(found.theme_of) == everything
    for theme in themes.values():
        assert theme.parent_id is None or set(theme.cluster_ids) < set(themes[theme.parent_id].cluster_ids)
        assert set(theme.cluster_ids) < everything
    assert len({theme.name.casefold() for theme in themes.values()}) == len(themes)
    same = await again(collection, images, found, np.arange(len(images.cluster_ids)), images.cluster_ids)
    assert same.groupings.themes == found.groupings.themes


async def test_a_collection_that_says_nothing_of_where_and_when_has_no_places_and_moments() -> None:
    images = album([4, 5, 3])
    n = len(images.cluster_ids)
    found, _ = await first(replace(images, captured_at=[None] * n, locations=[None] * n))
    assert found.groupings.places == ()
    assert found.groupings.moments == ()
    assert (found.place_ids == NOISE).all()
    assert (found.moment_ids == NOISE).all()
    assert (found.next_place_id, found.next_moment_id) == (1, 1)


async def test_an_empty_collection_is_no_problem() -> None:
    found, _ = await first(Album([], [], [], np.empty(0, dtype=np.int64)))
    assert found.groupings == Groupings()


async def test_clusters_without_images_are_in_no_theme() -> None:
    images = album([4, 5, 3])
    lost = replace(images.clusters[0], id=99, size=0)
    found, _ = await first(replace(images, clusters=[*images.clusters, lost]))
    assert 99 not in found.theme_of
    assert len(found.theme_of) == 12


async def test_ids_that_the_record_does_not_know_are_not_given_again() -> None:
    images = album([4, 5, 3])
    n = len(images.cluster_ids)
    images = replace(images, captured_at=[*images.captured_at[: n - 6], *[None] * 6])
    stray = np.where(np.arange(n) < n - 6, NOISE, 70)
    found = await grouping().find(
        COLLECTION,
        captured_at=images.captured_at,
        locations=images.locations,
        place_ids=np.full(n, NOISE),
        moment_ids=stray,
        clusters=images.clusters,
        cluster_ids=images.cluster_ids,
        former=Groupings(),
        former_cluster_ids=np.full(n, NOISE),
    )
    assert found.moment_ids.max() == found.next_moment_id - 1 == 70 + 11


@pytest.mark.parametrize("seed", range(3))
async def test_growth_moves_few_themes(seed: int) -> None:
    images = album([5, 6, 4, 7, 5], seed)
    fewer = images.without(np.isin(images.cluster_ids, [3, 14]))
    fewer = replace(fewer, clusters=[cluster for cluster in images.clusters if cluster.id not in (3, 14)])
    found, collection = await first(fewer)
    old_rows = np.full(len(images.cluster_ids), -1)
    old_rows[~np.isin(images.cluster_ids, [3, 14])] = np.arange(len(fewer.cluster_ids))
    grown = await again(collection, images, found, old_rows, fewer.cluster_ids)
    assert {c: t for c, t in grown.theme_of.items() if c not in (3, 14)} == found.theme_of
    assert grown.theme_of[3] == found.theme_of[2]
    assert {theme.id for theme in grown.groupings.themes} == {theme.id for theme in found.groupings.themes}

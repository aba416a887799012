from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import calinski_harabasz_score

from shoal_server.adapters.centroid_tree import WardTree
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.errors import ThemeNotFound
from shoal_server.domain.groupings import Groupings, Theme
from shoal_server.domain.theme_names import Unnamed, name_themes
from shoal_server.domain.themes import (
    Tree,
    clusters_of_themes,
    counts_to_try,
    cut,
    levels_of,
    lowest_themes,
    natural_cut,
    sharpness,
    stay_or_change,
    unit_means,
)

DIMENSION = 32


def families(counts: list[int], spread: float = 0.05, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors of clusters that come in families, and the family of each."""
    rng = np.random.default_rng(seed)
    family = np.repeat(np.arange(len(counts)), counts)
    vectors = rng.normal(size=(len(counts), DIMENSION))[family] + spread * rng.normal(size=(len(family), DIMENSION))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), family


def same(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Whether two labellings group alike."""
    return bool(((one[:, None] == one) == (other[:, None] == other)).all())


async def test_a_tree_joins_the_alike_first() -> None:
    vectors, family = families([4, 3, 5])
    tree = await WardTree().grow(vectors)
    assert tree.merges.shape == (11, 2)
    assert (np.diff(tree.heights) >= 0).all()
    assert same(cut(tree, 3), family)
    assert same(natural_cut(tree), family)


@given(st.integers(2, 40), st.integers(0, 10**6))
def test_a_cut_leaves_as_many_groups_as_asked(m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    alive, merges = list(range(m)), []
    for step in range(m - 1):
        one, other = (alive.pop(rng.integers(len(alive))) for _ in range(2))
        merges.append((one, other))
        alive.append(m + step)
    tree = Tree(np.array(merges), np.arange(m - 1, dtype=np.float64))
    coarser: NDArray[np.int64] | None = None
    for count in range(1, m + 1):
        labels = cut(tree, count)
        assert set(labels.tolist()) == set(range(count))
        # Nested: whoever is together in the finer cut is together in the coarser one.
        assert coarser is None or all(len(set(coarser[labels == label].tolist())) == 1 for label in range(count))
        coarser = labels


@pytest.mark.parametrize("m", [3, 6, 30, 200, 5000])
def test_there_are_about_as_many_themes_as_clusters_in_one(m: int) -> None:
    counts = counts_to_try(m)
    assert len(counts) >= 1
    assert counts[0] >= 2
    assert counts[-1] < m
    assert 0.7 * m**0.5 <= counts[0] <= counts[-1] <= max(1.5 * m**0.5, 2)


async def test_former_themes_stay_while_they_are_good() -> None:
    vectors, _ = families([6, 7, 5, 6, 6], spread=1.5)
    tree = await WardTree().grow(vectors)
    fresh = natural_cut(tree)
    # One cluster is not where a fresh cut would have it, and two are new.
    former = fresh + 10
    former[0] = former[former != former[0]][0]
    former[[7, 29]] = NOISE
    kept = stay_or_change(vectors, tree, former)
    known = former != NOISE
    assert same(kept[known], former[known])
    assert not same(kept, fresh)
    assert sharpness(vectors, kept) >= 0.9 * sharpness(vectors, fresh)
    # Themes at random are not good.
    at_random = np.random.default_rng(1).permutation(fresh)
    assert same(stay_or_change(vectors, tree, at_random), fresh)
    # One theme is not enough, however good it was.
    assert same(stay_or_change(vectors, tree, np.zeros(30, dtype=np.int64)), fresh)
    assert same(stay_or_change(vectors, tree, np.full(30, NOISE)), fresh)


async def test_a_new_family_gets_a_theme_of_its_own() -> None:
    vectors, family = families([6, 7, 5, 6, 6])
    former = np.where(family == 2, NOISE, family)
    assert same(stay_or_change(vectors, await WardTree().grow(vectors), former), family)


def test_sharpness_is_that_of_scikit_learn() -> None:
    vectors, family = families([3, 4, 2], spread=0.8)
    assert sharpness(vectors, family) == pytest.approx(calinski_harabasz_score(vectors, family), rel=1e-4)
    assert sharpness(np.ones((4, 2), dtype=np.float32), np.array([0, 0, 1, 1])) == 0
    assert np.linalg.norm(unit_means(vectors, family), axis=1) == pytest.approx([1, 1, 1])


TREE = (
    Theme(1, "birds", 5, (1, 2)),
    Theme(2, "fish", 5, (3,)),
    Theme(3, "cars", None, (4, 6)),
    Theme(5, "animals", None, (1, 2, 3)),
)


def test_a_theme_stands_for_its_clusters() -> None:
    groupings = Groupings(themes=TREE)
    assert clusters_of_themes("c", groupings, [5]) == (1, 2, 3)
    assert clusters_of_themes("c", groupings, [3, 2, 5]) == (1, 2, 3, 4, 6)
    assert clusters_of_themes("c", groupings, []) == ()
    with pytest.raises(ThemeNotFound):
        clusters_of_themes("c", groupings, [3, 4])


def test_levels_go_up_from_the_clusters() -> None:
    assert levels_of(TREE) == [{1: 1, 2: 1, 3: 2, 4: 3, 6: 3}, {1: 5, 2: 5, 3: 5}]
    assert lowest_themes(TREE) == {1: 1, 2: 1, 3: 2, 4: 3, 6: 3}
    assert levels_of(()) == []
    assert lowest_themes(()) == {}


CLUSTERS = ["cat", "dog", "horse", "car", "bus", "church"]
SIZES = [10, 30, 20, 50, 40, 5]


def axes(*weights: dict[int, float]) -> NDArray[np.float32]:
    vectors = np.zeros((len(weights), 8), dtype=np.float32)
    for row, weight in enumerate(weights):
        for axis, value in weight.items():
            vectors[row, axis] = value
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


CENTROIDS = axes({0: 1, 2: 1}, {0: 1, 3: 1}, {0: 1, 4: 1}, {1: 1, 5: 1}, {1: 1, 6: 1}, {7: 1})
WORDS = ["animal", "cat", "car", "window"]
WORD_VECTORS = axes({0: 1}, {0: 0.5, 2: 1}, {1: 0.2, 5: 1}, {0: 0.2, 1: 0.2, 7: 1})


def unnamed(*rows: int, name: str | None = None, former: tuple[int, ...] = ()) -> Unnamed:
    return Unnamed(rows, tuple((row,) for row in rows), name, former)


BESIDE = [unnamed(0, 1, 2), unnamed(3, 4), unnamed(5)]


def names_of(themes: list[Unnamed], names: list[str] = CLUSTERS, taken: tuple[str, ...] = ()) -> list[str]:
    return name_themes(themes, CENTROIDS, names, SIZES, WORDS, WORD_VECTORS, taken)


def test_a_theme_is_called_what_its_clusters_have_in_common_or_lists_them() -> None:
    assert names_of(BESIDE) == ["animal", "car & bus", "church"]
    # No word fits these better than all others.
    assert names_of([unnamed(0, 1, 3), unnamed(2, 4, 5)]) == ["car, dog & more", "bus, horse & more"]
    assert name_themes(BESIDE, CENTROIDS, CLUSTERS, SIZES, [], np.empty((0, 8), np.float32)) == [
        "dog, horse & more",
        "car & bus",
        "church",
    ]


def test_no_two_themes_share_a_name_and_none_takes_a_clusters() -> None:
    assert names_of(BESIDE, ["cat", "dog", "horse", "car", "bus", "Animal"]) == [
        "dog, horse & more",
        "car & bus",
        "Animal",
    ]
    assert names_of(BESIDE, taken=("Animal", "car & bus", "church")) == ["dog, horse & more", "car & bus 2", "church 2"]


def test_a_name_stays_while_the_theme_is_much_the_same_and_the_name_is_true() -> None:
    def again(name: str, former: tuple[int, ...], names: list[str] = CLUSTERS) -> str:
        return names_of([unnamed(0, 1, 2, name=name, former=former), *BESIDE[1:]], names)[0]

    assert again("beast", (0, 1, 2)) == "beast"
    assert again("beast", (1, 2)) == "beast"
    assert again("beast", (0, 2)) == "animal"
    assert again("beast", (0, 1, 2, 3)) == "animal"
    assert again("cat, dog & more", (0, 1, 2)) == "cat, dog & more"
    assert again("cat, dog & more", (0, 1, 2), ["kitten", *CLUSTERS[1:]]) == "animal"
    assert again("cat & dog", (0, 1)) == "animal"
    assert again("bus", (0, 1, 2)) == "animal"


def test_a_theme_of_themes_lists_one_cluster_of_each_part() -> None:
    theme = Unnamed((1, 2, 3, 4), ((1, 2), (3, 4)))
    assert name_themes([theme, unnamed(5)], CENTROIDS, CLUSTERS, SIZES, [], np.empty((0, 8), np.float32)) == [
        "car, dog & more",
        "church",
    ]

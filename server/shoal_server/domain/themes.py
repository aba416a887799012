"""Themes: clusters that have something in common, so that a thousand of them can be browsed.

A tree over the clusters' centroids is cut into about as many themes as a theme has clusters, where the cut is most
natural; if those are too many to look through, they are grouped again. A theme that people know stays as it is until
other themes would set the clusters apart clearly better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import NOISE
from shoal_server.domain.errors import ThemeNotFound
from shoal_server.domain.groupings import Groupings, Theme

#: With fewer clusters there are no themes.
FEWEST_CLUSTERS = 6
#: With more themes than this beside one another, they get themes above them.
MOST_AT_TOP = 12
#: The number of themes lies between these multiples of the square root of the number of clusters.
FEWEST_PER_ROOT, MOST_PER_ROOT = 0.75, 1.4
#: Between which multiples former themes may be.
KEPT_PER_ROOT = 0.5, 2.0
#: Former themes stay if they set clusters apart at least this much as sharply as new ones would.
GOOD_ENOUGH = 0.9


@dataclass(frozen=True, slots=True)
class Tree:
    """How m items join step by step until all are together.

    Attributes:
        merges: int64 (m - 1, 2), the two nodes that each step joins; items are the nodes 0 .. m-1, and step i makes the
            node m + i.
        heights: float64 (m - 1,), how unlike the two are, ascending.
    """

    merges: NDArray[np.int64]
    heights: NDArray[np.float64]


def cut(tree: Tree, count: int) -> NDArray[np.int64]:
    """Undoes the last steps until 1 to m groups are left; labels (m,), 0 .. count-1 in the order of the items."""
    m = len(tree.heights) + 1
    group = list(range(2 * m - 1))
    # From the last step that stays to the first: a node's group is known before those of the two that it joins.
    for step in range(m - count - 1, -1, -1):
        for node in tree.merges[step].tolist():
            group[node] = group[m + step]
    _, first, labels = np.unique(group[:m], return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first)).astype(np.int64)[labels]


def counts_to_try(m: int) -> range:
    """How many themes m items may have; at least 2 and fewer than items."""
    fewest = max(2, math.ceil(FEWEST_PER_ROOT * math.sqrt(m)))
    return range(fewest, max(fewest, min(m - 1, math.floor(MOST_PER_ROOT * math.sqrt(m)))) + 1)


def natural_cut(tree: Tree) -> NDArray[np.int64]:
    """Cuts a tree over m items, m at least 3, where the next step would join much less similar groups than the last.

    Cuts that leave items alone are worth less, in proportion to the themes that hold one item only.

    Returns:
        Labels (m,), 0 .. k-1 with k of :func:`counts_to_try`.
    """
    heights = np.maximum(tree.heights, 1e-9)
    best, labels = -1.0, cut(tree, 2)
    for count in counts_to_try(len(heights) + 1):
        tried = cut(tree, count)
        leap = heights[len(heights) - count + 1] / heights[len(heights) - count]
        worth = float(leap * np.mean(np.bincount(tried) > 1))
        if worth > best:
            best, labels = worth, tried
    return labels


def sharpness(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """How sharply groups set items apart, 0 or more; comparable for different numbers of groups.

    The variance ratio of Calinski and Harabasz (1974, doi:10.1080/03610927408827101).

    Args:
        vectors: (m, d).
        labels: (m,), 0 .. k-1 that all occur, 2 <= k < m.
    """
    center = vectors.mean(axis=0, dtype=np.float64)
    sizes = np.bincount(labels)
    means = _sums(vectors, labels) / sizes[:, None]
    between = float((sizes * ((means - center) ** 2).sum(axis=1)).sum())
    within = float(((vectors - means[labels]) ** 2).sum())
    return (between / (len(sizes) - 1)) / max(within / (len(vectors) - len(sizes)), 1e-9)


def stay_or_change(vectors: NDArray[np.float32], tree: Tree, former: NDArray[np.int64]) -> NDArray[np.int64]:
    """Groups items anew, or leaves them in the groups they were in if those are still good.

    Args:
        vectors: (m, d), unit length, m at least 3.
        tree: over them.
        former: (m,), the group that each was in, -1 for new items.

    Returns:
        Labels (m,), 0 .. k-1, k at least 2. New items join the former group whose mean is nearest. The former groups
        go if they are too few or too many by now (:data:`KEPT_PER_ROOT`), or if they are less than
        :data:`GOOD_ENOUGH` as sharp as fresh ones.
    """
    fresh = natural_cut(tree)
    groups, rows = np.unique(former[former != NOISE], return_inverse=True)
    fewest, most = (limit * math.sqrt(len(vectors)) for limit in KEPT_PER_ROOT)
    if not max(fewest, 2) <= len(groups) <= min(most, len(vectors) - 1):
        return fresh
    kept = np.full(len(vectors), NOISE, dtype=np.int64)
    kept[former != NOISE] = rows
    new = kept == NOISE
    kept[new] = (vectors[new] @ unit_means(vectors[~new], kept[~new]).T).argmax(axis=1)
    return kept if sharpness(vectors, kept) >= GOOD_ENOUGH * sharpness(vectors, fresh) else fresh


def unit_means(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """The direction of each group's mean, float32 (k, d), for labels 0 .. k-1 (m,) that all occur."""
    sums = _sums(vectors, labels)
    units: NDArray[np.float32] = (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).astype(
        np.float32
    )
    return units


def _sums(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    sums = np.zeros((int(labels.max(initial=NOISE)) + 1, vectors.shape[1]))
    np.add.at(sums, labels, vectors)
    return sums


def levels_of(themes: Sequence[Theme]) -> list[dict[int, int]]:
    """For each level of a tree of themes, the lowest first, the theme at that level of each cluster."""
    by_id = {theme.id: theme for theme in themes}
    parents = {theme.parent_id for theme in themes}
    levels: list[dict[int, int]] = []
    for lowest in (theme for theme in themes if theme.id not in parents):
        above: Theme | None = lowest
        level = 0
        while above is not None:
            if level == len(levels):
                levels.append({})
            levels[level].update(dict.fromkeys(lowest.cluster_ids, above.id))
            above = by_id.get(above.parent_id) if above.parent_id is not None else None
            level += 1
    return levels


def lowest_themes(themes: Sequence[Theme]) -> dict[int, int]:
    """By cluster id the lowest theme that holds it."""
    levels = levels_of(themes)
    return levels[0] if levels else {}


def clusters_of_themes(collection: str, groupings: Groupings, theme_ids: Sequence[int]) -> tuple[int, ...]:
    """The ids of all clusters in any of these themes, ascending.

    Raises:
        ThemeNotFound: there is none of that id.
    """
    by_id: Mapping[int, Theme] = {theme.id: theme for theme in groupings.themes}
    clusters: set[int] = set()
    for theme_id in theme_ids:
        if theme_id not in by_id:
            raise ThemeNotFound(collection, theme_id)
        clusters.update(by_id[theme_id].cluster_ids)
    return tuple(sorted(clusters))

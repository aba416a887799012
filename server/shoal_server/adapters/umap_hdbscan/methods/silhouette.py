"""How well groups stand apart, without knowing what is in them.

The silhouette (Rousseeuw 1987, doi:10.1016/0377-0427(87)90125-7) on a sample, because it needs all pairs, and the
relative validity of density-based groups (Moulavi et al. 2014, doi:10.1137/1.9781611973440.96, as HDBSCAN approximates
it from the minimum spanning tree alone).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Points of a sample: their distances fill 36 MB, and a figure of the same grouping varies by about 0.01.
SAMPLE = 3_000


def sample_rows(n: int, seed: int) -> NDArray[np.int64]:
    """Up to :data:`SAMPLE` of n rows, ascending; the same for the same seed."""
    if n <= SAMPLE:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, SAMPLE, replace=False)).astype(np.int64)


def pairwise_distances(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Euclidean distances between all points.

    Args:
        points: (m, r).

    Returns:
        (m, m), 0 on the diagonal.
    """
    exact = points.astype(np.float64)
    exact -= exact.mean(axis=0)  # far from the origin the difference of squares would lose its digits
    squares = np.einsum("ij,ij->i", exact, exact)
    distances = np.maximum(squares[:, None] + squares[None, :] - 2 * exact @ exact.T, 0.0)
    np.sqrt(distances, out=distances)
    np.fill_diagonal(distances, 0.0)
    return np.asarray(distances, dtype=np.float32)


def point_silhouettes(distances: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Each point's silhouette: how much nearer its own group is to it than the next.

    Args:
        distances: (m, m), from :func:`pairwise_distances`.
        labels: (m,), -1 for noise, which is left out: no group's distance counts it, and its own figure is 0.

    Returns:
        (m,), -1 to 1; 0 for the only member of a group; all 0 if there are fewer than two groups.
    """
    figures = np.zeros(len(labels))
    grouped = np.flatnonzero(labels >= 0)
    present, group = np.unique(labels[grouped], return_inverse=True)
    if len(present) < 2:
        return figures
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    columns = grouped[order]
    sums = np.add.reduceat(distances[np.ix_(grouped, columns)], starts, axis=1, dtype=np.float64)
    own = np.arange(len(grouped)), group
    others = sizes[group] - 1
    inside = sums[own] / np.maximum(others, 1)
    means = sums / sizes
    means[own] = np.inf
    outside = means.min(axis=1)
    widest = np.maximum(inside, outside)
    figures[grouped] = np.where(
        (others > 0) & (widest > 0), (outside - inside) / np.where(widest > 0, widest, 1.0), 0.0
    )
    return figures


def silhouette(distances: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The mean silhouette of the points that are in a group.

    Args:
        distances: (m, m), from :func:`pairwise_distances`.
        labels: (m,), -1 for noise.

    Returns:
        -1 to 1; -1 if there are fewer than two groups.
    """
    grouped = labels >= 0
    if len(np.unique(labels[grouped])) < 2:
        return -1.0
    return float(point_silhouettes(distances, labels)[grouped].mean())


def relative_validity(spanning_tree: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Whether groups are denser inside than between them, weighed by their sizes; noise counts as 0.

    Args:
        spanning_tree: (n - 1, 3), ends and mutual reachability distance of each edge of the minimum spanning tree.
        labels: (n,), 0 .. k-1 and -1 for noise.

    Returns:
        -1 to 1; -1 if there are fewer than two groups.
    """
    count = int(labels.max(initial=-1)) + 1
    if count < 2:
        return -1.0
    first, second = (labels[spanning_tree[:, end].astype(np.int64)] for end in (0, 1))
    lengths = spanning_tree[:, 2]
    widest = np.zeros(count)
    nearest = np.full(count, np.inf)
    inside = (first == second) & (first >= 0)
    between = (first != second) & (first >= 0) & (second >= 0)
    np.maximum.at(widest, first[inside], lengths[inside])
    np.minimum.at(nearest, first[between], lengths[between])
    np.minimum.at(nearest, second[between], lengths[between])
    # A group that only noise surrounds: no edge says how far the next group is, but it is far.
    nearest[np.isinf(nearest)] = 2 * float(lengths.max(initial=0.0))
    larger = np.maximum(nearest, widest)
    figures = np.where(larger > 0, (nearest - widest) / np.where(larger > 0, larger, 1.0), 0.0)
    sizes = np.bincount(labels[labels >= 0], minlength=count)
    return float((sizes * figures).sum() / len(labels))

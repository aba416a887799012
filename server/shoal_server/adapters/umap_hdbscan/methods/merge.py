"""Fewer groups: those that are most alike become one."""

from __future__ import annotations

import numpy as np
import scipy.cluster.hierarchy
from numpy.typing import NDArray

#: More groups than this are too many for all pairs to be compared at once.
MOST = 20_000


def merge_most_alike(
    labels: NDArray[np.int64], vectors: NDArray[np.float32], counts: list[int]
) -> list[NDArray[np.int64]]:
    """Merges groups by average linkage of the directions in which they differ from the mean of all groups.

    What all groups share says nothing about which are alike; with it left in, two groups that are merely close to the
    average pass for alike.

    Args:
        labels: (n,), 0 .. k-1 and -1 for noise, which stays noise.
        vectors: (n, d), unit length.
        counts: how many groups to end with, each at least 1.

    Returns:
        For each count, labels (n,) of that many groups, or of the k there were if that is fewer; numbered in the order
        of their lowest old label.
    """
    k = int(labels.max(initial=-1)) + 1
    if k < 3 or k > MOST:
        return [labels.copy() if count >= k else _all_in_one(labels, count) for count in counts]
    tree = scipy.cluster.hierarchy.linkage(_directions(labels, vectors, k), "average", metric="euclidean")
    merged = []
    for count in counts:
        cut = scipy.cluster.hierarchy.fcluster(tree, max(1, min(count, k)), "maxclust")
        _, first, group = np.unique(cut, return_index=True, return_inverse=True)
        number = np.argsort(np.argsort(first))
        merged.append(np.where(labels >= 0, number[group][labels], -1).astype(np.int64))
    return merged


def _all_in_one(labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Two groups made one; more than can be compared stay as they are."""
    if count == 1:
        return np.where(labels >= 0, 0, -1).astype(np.int64)
    return labels.copy()


def _directions(labels: NDArray[np.int64], vectors: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """(k, d), unit length: where each group lies, seen from the middle of the groups."""
    centroids = np.zeros((k, vectors.shape[1]))
    rows = np.flatnonzero(labels >= 0)
    rows = rows[np.argsort(labels[rows], kind="stable")]
    starts = np.searchsorted(labels[rows], np.arange(k))
    for label, members in enumerate(np.split(rows, starts[1:])):
        centroids[label] = vectors[members].mean(axis=0, dtype=np.float64)
    centroids -= centroids.mean(axis=0)
    lengths = np.linalg.norm(centroids, axis=1, keepdims=True)
    directions: NDArray[np.float64] = centroids / np.maximum(lengths, 1e-12)
    return directions

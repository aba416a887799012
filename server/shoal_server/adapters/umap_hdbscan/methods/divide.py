"""More groups: the loosest fall in two."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

#: Rounds of two-means; it settles in far fewer.
_ROUNDS = 50


def divide_loosest(
    labels: NDArray[np.int64], points: NDArray[np.float32], count: int, smallest: int
) -> NDArray[np.int64]:
    """Divides groups in two, the one with the widest spread first, until there are enough.

    A group is cut across its main axis by two-means, as in bisecting k-means (Steinbach, Karypis and Kumar 2000); of
    all groups the one is taken whose cut lowers the sum of squares most.

    Args:
        labels: (n,), 0 .. k-1 and -1 for noise, which stays noise.
        points: (n, r), compared by Euclidean distance.
        count: how many groups to end with.
        smallest: no half becomes smaller, at least 1.

    Returns:
        Labels (n,) of that many groups, or of fewer where no group can be divided any more. The larger half keeps its
        label, the other gets a new one.
    """
    labels = labels.copy()
    fresh = int(labels.max(initial=-1)) + 1
    waiting: list[tuple[float, int, NDArray[np.int64]]] = []

    def offer(label: int) -> None:
        rows = np.flatnonzero(labels == label)
        if (cut := _two_means(points[rows].astype(np.float64), smallest)) is not None:
            gain, half = cut
            heapq.heappush(waiting, (-gain, label, rows[half]))

    for label in range(fresh if fresh < count else 0):
        offer(label)
    while fresh < count and waiting:
        _, label, half = heapq.heappop(waiting)
        labels[half] = fresh
        offer(label)
        offer(fresh)
        fresh += 1
    return labels


def _two_means(points: NDArray[np.float64], smallest: int) -> tuple[float, NDArray[np.int64]] | None:
    """By how much a cut in two lowers the sum of squares, and its smaller half's positions; None if there is none."""
    size = len(points)
    if size < 2 * smallest:
        return None
    centred = points - points.mean(axis=0)
    total = float((centred**2).sum())
    if total == 0.0:
        return None
    if centred.shape[1] <= size:
        axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    else:
        axis = centred.T @ np.linalg.eigh(centred @ centred.T)[1][:, -1]
    along = centred @ axis
    right = along > np.median(along)
    for _ in range(_ROUNDS):
        if not 0 < int(right.sum()) < size:
            return None
        left_mean, right_mean = centred[~right].mean(axis=0), centred[right].mean(axis=0)
        along = centred @ (right_mean - left_mean) - (right_mean @ right_mean - left_mean @ left_mean) / 2
        if np.array_equal(along > 0, right):
            break
        right = along > 0
    # Halves that are too small get the points next to them.
    order = np.argsort(along, kind="stable")
    cut = min(max(size - int(right.sum()), smallest), size - smallest)
    halves = order[:cut], order[cut:]
    spread = sum(float(((centred[half] - centred[half].mean(axis=0)) ** 2).sum()) for half in halves)
    return total - spread, min(halves, key=len)

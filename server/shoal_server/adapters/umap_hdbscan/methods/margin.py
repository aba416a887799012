"""How firmly points belong to the groups of a method that gives every point one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Distances computed at once.
_BLOCK = 1 << 22


def margins(points: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """How much nearer a point is to its own group's centroid than to the next: the simplified silhouette (Hruschka,
    Campello and de Castro 2004, doi:10.1109/ICDM.2004.10073), not below 0.

    Args:
        points: (n, r), compared by Euclidean distance.
        labels: (n,), 0 .. k-1 with every number in use, and -1 for noise.

    Returns:
        (n,), 0 to 1; 0 for noise, 1 if there is one group only.
    """
    k = int(labels.max(initial=-1)) + 1
    strengths = np.zeros(len(points), dtype=np.float32)
    grouped = np.flatnonzero(labels >= 0)
    if k < 2:
        strengths[grouped] = 1.0
        return strengths
    order = grouped[np.argsort(labels[grouped], kind="stable")]
    starts = np.searchsorted(labels[order], np.arange(k))
    sizes = np.diff(np.append(starts, len(order)))[:, None]
    middle = points.mean(axis=0, dtype=np.float64)
    centroids = np.add.reduceat(points[order] - middle, starts, axis=0, dtype=np.float64) / sizes
    squares = np.einsum("ij,ij->i", centroids, centroids)
    step = max(1, _BLOCK // max(k, points.shape[1]))
    for begin in range(0, len(grouped), step):
        rows = grouped[begin : begin + step]
        block = points[rows] - middle
        distances = np.einsum("ij,ij->i", block, block)[:, None] - 2 * block @ centroids.T + squares
        distances = np.sqrt(np.maximum(distances, 0.0))
        own = np.arange(len(rows)), labels[rows]
        inside = distances[own]
        distances[own] = np.inf
        outside = distances.min(axis=1)
        strengths[rows] = np.clip(1.0 - inside / np.maximum(outside, 1e-12), 0.0, 1.0)
    return strengths

"""HDBSCAN: dense groups among points in a few dimensions."""

from __future__ import annotations

import hdbscan
import numpy as np
from numpy.typing import NDArray


def dense_groups(
    points: NDArray[np.float32], min_cluster_size: int, min_samples: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Groups points by density (Campello, Moulavi and Sander 2013, doi:10.1007/978-3-642-37456-2_14).

    One group that holds everything is never the answer: then all is noise.

    Args:
        points: (n, d), compared by Euclidean distance; no two the same.
        min_cluster_size: the smallest group, at least 2.
        min_samples: at least 1.

    Returns:
        Labels (n,), 0 .. k-1 and -1 for noise; strengths (n,), 0 to 1, 0 for noise.
    """
    n = len(points)
    if n < min_cluster_size:
        return np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.float32)
    model = hdbscan.HDBSCAN(
        min_cluster_size=min_cluster_size,
        min_samples=min(min_samples, n - 1),
        core_dist_n_jobs=1,  # more would start processes of their own
    ).fit(points.astype(np.float64))
    labels = model.labels_.astype(np.int64)
    strengths = np.nan_to_num(model.probabilities_.astype(np.float32), nan=1.0)
    strengths[labels < 0] = 0.0
    return labels, np.clip(strengths, 0.0, 1.0)

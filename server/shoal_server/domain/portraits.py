"""What can be said of clusters from their images' vectors: the middle, the typical, the doubtful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.image import Vector

#: How many typical and how many borderline images are named.
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Portrait:
    """One cluster's; the fields are those of :class:`shoal_server.domain.cluster.Cluster`."""

    size: int
    centroid: Vector
    cohesion: float
    separation: float
    exemplars: tuple[UUID, ...]
    borderline: tuple[UUID, ...]


def portraits(
    ids: Sequence[UUID],
    vectors: NDArray[np.float32],
    cluster_ids: NDArray[np.int64],
    wanted: Sequence[int],
    others: Mapping[int, Vector],
) -> dict[int, Portrait]:
    """Describes clusters.

    The image nearest to the centroid is also the medoid by cosine distance: the sum of the members' similarities to an
    image is its product with their sum, which points where the centroid does.

    Args:
        ids: of n images.
        vectors: float32 (n, d), unit rows; may be memory-mapped.
        cluster_ids: (n,), -1 for none.
        wanted: the clusters to describe; each has an image.
        others: centroids of further clusters, none of whose images need be among the n.

    Returns:
        A portrait for each wanted cluster.
    """
    rows_of = {cluster: np.flatnonzero(cluster_ids == cluster) for cluster in wanted}
    centroids = dict(others) | {cluster: unit_mean(vectors[rows]) for cluster, rows in rows_of.items()}
    order = {cluster: row for row, cluster in enumerate(centroids)}
    matrix = np.stack(list(centroids.values())) if centroids else np.zeros((0, 0), np.float32)
    described = {}
    for cluster, rows in rows_of.items():
        similarities = vectors[rows] @ matrix.T
        own = similarities[:, order[cluster]].copy()
        similarities[:, order[cluster]] = -np.inf
        margins = (
            _silhouettes(1.0 - own, 1.0 - similarities.max(axis=1))
            if len(order) > 1
            else np.zeros(len(rows), np.float32)
        )
        typical = rows[np.argsort(-own, kind="stable")[:EXAMPLES]]
        doubtful = rows[np.argsort(margins, kind="stable")[: EXAMPLES if len(order) > 1 else 0]]
        described[cluster] = Portrait(
            size=len(rows),
            centroid=centroids[cluster],
            cohesion=float(own.mean()),
            separation=float(margins.mean()),
            exemplars=tuple(ids[row] for row in typical.tolist()),
            borderline=tuple(ids[row] for row in doubtful.tolist()),
        )
    return described


def unit_mean(vectors: NDArray[np.float32]) -> Vector:
    """The mean of unit vectors (n, d), n at least 1, as a unit vector (d,)."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    unit: NDArray[np.float32] = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
    return unit


def _silhouettes(own: NDArray[np.float32], next_best: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each image, from its distances to its own and to the nearest other centroid."""
    larger = np.maximum(np.maximum(own, next_best), np.float32(1e-6))
    margins: NDArray[np.float32] = ((next_best - own) / larger).astype(np.float32)
    return margins

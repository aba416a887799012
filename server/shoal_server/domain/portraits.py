"""What can be said of clusters from their images' vectors: the middle, the typical, the doubtful."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import NOISE
from shoal_server.domain.image import Vector

#: How many typical and how many borderline images are named.
EXAMPLES = 5

#: Vectors looked at at once, to bound the memory.
_STRETCH = 8_192


class Rows(Protocol):
    """Vectors, float32 (n, d), of which a stretch at a time is looked at: an array, or a file."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> NDArray[np.float32]: ...


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
    vectors: Rows,
    cluster_ids: NDArray[np.int64],
    wanted: Sequence[int],
    others: Mapping[int, Vector],
) -> dict[int, Portrait]:
    """Describes clusters.

    The image nearest to the centroid is also the medoid by cosine distance: the sum of the members' similarities to an
    image is its product with their sum, which points where the centroid does.

    Args:
        ids: of n images.
        vectors: float32 (n, d), unit rows.
        cluster_ids: (n,), -1 for none.
        wanted: the clusters to describe; each has an image.
        others: centroids of further clusters, none of whose images need be among the n.

    Returns:
        A portrait for each wanted cluster.
    """
    clusters = np.unique(np.array(wanted, dtype=np.int64))
    number_of = _numbers(cluster_ids, clusters)
    sums = np.zeros((len(clusters), vectors[:1].shape[1]))
    for start, stretch in _stretches(vectors):
        rows, numbers = _in_order(number_of[start : start + len(stretch)])
        present, first = np.unique(numbers, return_index=True)
        if len(rows):
            sums[present] += np.add.reduceat(stretch[rows], first, axis=0, dtype=np.float64)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    centroids = (sums / np.maximum(lengths, 1e-12)).astype(np.float32)
    matrix = np.concatenate([centroids, *(vector[None] for vector in others.values())])
    alone = len(matrix) < 2
    own = np.zeros(len(number_of), dtype=np.float32)
    margins = np.zeros(len(number_of), dtype=np.float32)
    for start, stretch in _stretches(vectors):
        rows, numbers = _in_order(number_of[start : start + len(stretch)])
        similarities = stretch[rows] @ matrix.T
        at_home = np.arange(len(rows)), numbers
        own[start + rows] = similarities[at_home]
        if not alone:
            similarities[at_home] = -np.inf
            margins[start + rows] = _silhouettes(1.0 - own[start + rows], 1.0 - similarities.max(axis=1))
    described = {}
    rows, numbers = _in_order(number_of)
    bounds = np.searchsorted(numbers, np.arange(len(clusters) + 1))
    for number, cluster in enumerate(clusters.tolist()):
        members = rows[bounds[number] : bounds[number + 1]]
        typical = members[np.argsort(-own[members], kind="stable")[:EXAMPLES]]
        doubtful = members[np.argsort(margins[members], kind="stable")[: 0 if alone else EXAMPLES]]
        described[cluster] = Portrait(
            size=len(members),
            centroid=centroids[number],
            cohesion=float(own[members].mean()),
            separation=float(margins[members].mean()),
            exemplars=tuple(ids[row] for row in typical.tolist()),
            borderline=tuple(ids[row] for row in doubtful.tolist()),
        )
    return described


def _stretches(vectors: Rows) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for start in range(0, len(vectors), _STRETCH):
        yield start, vectors[start : start + _STRETCH]


def _numbers(cluster_ids: NDArray[np.int64], clusters: NDArray[np.int64]) -> NDArray[np.int64]:
    """The position of each image's cluster among these, which ascend; -1 if it is not among them."""
    if not len(clusters):
        return np.full(len(cluster_ids), NOISE, dtype=np.int64)
    place = np.minimum(np.searchsorted(clusters, cluster_ids), len(clusters) - 1)
    return np.where(clusters[place] == cluster_ids, place, NOISE)


def _in_order(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows with a number, by their numbers, and these."""
    rows = np.argsort(numbers, kind="stable")[np.count_nonzero(numbers == NOISE) :]
    return rows, numbers[rows]


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

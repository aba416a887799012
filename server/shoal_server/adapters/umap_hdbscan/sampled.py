"""Too many vectors to cluster together: a sample is clustered, all others are assigned to what was found.

An image that is not in the sample goes where its nearest neighbours among the clustered images of the sample are, by
the vote that assigns images at ingest (:mod:`shoal_server.domain.voting`), with thresholds that the sample's own
members set. On the map, and in the space that was grouped, it stands amid the neighbours that it went with. One that
was in a cluster before leaves it less easily than it would join it.

The memory needed is that of clustering the sample, and some numbers for each of the others: their vectors are read a
stretch at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.inverted_lists import InvertedLists, NearestSoFar
from shoal_server.application.ports import Before, ClusteringResult
from shoal_server.application.vector_file import VectorFile
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.run import ClusteringParameters, RunStage
from shoal_server.domain.voting import NEIGHBORS, decide_together, leave_one_out_thresholds

#: Smallest clusters that are given are scaled down to the sample, but no further than this: fewer mean nothing.
_LEAST = 5

OnStage = Callable[[RunStage, float], None]


class ClusterVectors(Protocol):
    """:func:`shoal_server.adapters.umap_hdbscan.pipeline.cluster_vectors`."""

    def __call__(
        self, vectors: NDArray[np.float32], parameters: ClusteringParameters, on_stage: OnStage, before: Before | None
    ) -> ClusteringResult: ...


def cluster_sampled(
    vectors: VectorFile,
    sample: NDArray[np.int64],
    parameters: ClusteringParameters,
    on_stage: OnStage,
    before: Before | None,
    cluster: ClusterVectors,
) -> ClusteringResult:
    """Groups unit vectors by a sample of them.

    Args:
        vectors: of n images.
        sample: rows of the images to cluster, ascending, at least 2.
        parameters: how; a smallest cluster is one of all images, and so is the one that is answered.
        on_stage: called with each stage and the share of it that is done, 0 to 1.
        before: what the run before knows of all images; None: nothing.
        cluster: groups the sample.

    Returns:
        The groups. Neighbours are, of an image in the sample, the nearest among all, but for a few that the search
        misses; of the others, the nearest that are in the sample and in a group.

    Raises:
        ValueError: there are values that are not finite, or ``before`` is of another number of images.
    """
    n = len(vectors)
    if before is not None and not len(before.cluster_ids) == len(before.reduced) == n:
        raise ValueError(f"what is known of {len(before.cluster_ids)} images does not go with {n} vectors")
    on_stage(RunStage.NEIGHBORS, 0.0)
    share = len(sample) / n
    chosen = vectors.taken(sample)
    found = cluster(chosen, _scaled(parameters, share), on_stage, _of_sample(before, sample, share))
    on_stage(RunStage.ASSIGNING, 0.0)
    whole = _Whole.begin(found, sample, n)
    if (found.labels != NOISE).any():
        former = np.full(n, NOISE, dtype=np.int64) if before is None else _homes(before, sample, found.labels)
        _assign(whole, vectors, chosen, sample, found, former, on_stage)
    if before is not None and before.unchanged:
        _leave_as_before(whole, before)
    on_stage(RunStage.ASSIGNING, 1.0)
    return ClusteringResult(
        labels=whole.labels,
        strengths=whole.strengths,
        coordinates=whole.coordinates,
        reduced=whole.reduced,
        neighbor_rows=whole.neighbor_rows,
        neighbor_similarities=whole.neighbor_similarities,
        parameters=_scaled(found.parameters, 1 / share),
        trials=tuple(replace(each, min_cluster_size=round(each.min_cluster_size / share)) for each in found.trials),
        quality=found.quality,
    )


@dataclass(slots=True)
class _Whole:
    """The result for all images under way; fields as in ``ClusteringResult``."""

    labels: NDArray[np.int64]
    strengths: NDArray[np.float32]
    coordinates: NDArray[np.float32]
    reduced: NDArray[np.float32]
    neighbor_rows: NDArray[np.int64]
    neighbor_similarities: NDArray[np.float32]

    @classmethod
    def begin(cls, found: ClusteringResult, sample: NDArray[np.int64], n: int) -> _Whole:
        """What the sample says of itself; the others are in no group yet, in the middle of everything."""
        width = min(NEIGHBORS, found.neighbor_rows.shape[1])
        whole = cls(
            labels=np.full(n, NOISE, dtype=np.int64),
            strengths=np.zeros(n, dtype=np.float32),
            coordinates=np.tile(found.coordinates.mean(axis=0), (n, 1)),
            reduced=np.tile(found.reduced.mean(axis=0), (n, 1)),
            neighbor_rows=np.broadcast_to(sample[:width], (n, width)).copy(),
            neighbor_similarities=np.full((n, width), -1.0, dtype=np.float32),
        )
        whole.labels[sample], whole.strengths[sample] = found.labels, found.strengths
        whole.coordinates[sample], whole.reduced[sample] = found.coordinates, found.reduced
        whole.neighbor_rows[sample] = sample[found.neighbor_rows[:, :width]]
        whole.neighbor_similarities[sample] = found.neighbor_similarities[:, :width]
        return whole


def _assign(
    whole: _Whole,
    vectors: VectorFile,
    chosen: NDArray[np.float32],
    sample: NDArray[np.int64],
    found: ClusteringResult,
    former: NDArray[np.int64],
    on_stage: OnStage,
) -> None:
    """Puts all that are not in the sample where their neighbours are, and finds the sample's neighbours among them."""
    thresholds = leave_one_out_thresholds(found.neighbor_rows, found.neighbor_similarities, found.labels)
    voters = np.flatnonzero(found.labels != NOISE)
    lists = InvertedLists(chosen[voters], found.parameters.seed)
    own = sample[voters]
    nearest = NearestSoFar(whole.neighbor_rows[own], whole.neighbor_similarities[own])
    width = whole.neighbor_rows.shape[1]
    in_sample = np.zeros(len(vectors), dtype=np.bool_)
    in_sample[sample] = True
    for start, stretch in vectors.stretches():
        on_stage(RunStage.ASSIGNING, start / len(vectors))
        if not np.isfinite(stretch).all():
            raise ValueError("vectors with values that are not finite numbers")
        others = np.flatnonzero(~in_sample[start : start + len(stretch)])
        rows = start + others
        positions, similarities = lists.search(
            stretch[others],
            min(width, len(voters)),
            lambda who, whose, values, rows=rows: nearest.look(rows[who], whose, values),  # type: ignore[misc]
        )
        neighbors = voters[positions]
        labels, whole.strengths[rows] = decide_together(found.labels[neighbors], similarities, thresholds, former[rows])
        whole.labels[rows] = labels
        whole.neighbor_rows[rows, : positions.shape[1]] = sample[neighbors]
        whole.neighbor_similarities[rows, : positions.shape[1]] = similarities
        weights = _weights(found.labels[neighbors], similarities, labels)
        whole.coordinates[rows] = np.einsum("nk,nkc->nc", weights, found.coordinates[neighbors])
        whole.reduced[rows] = np.einsum("nk,nkc->nc", weights, found.reduced[neighbors])
    nearest.settle()
    whole.neighbor_rows[own], whole.neighbor_similarities[own] = nearest.rows, nearest.similarities


def _weights(
    neighbor_labels: NDArray[np.int64], similarities: NDArray[np.float32], labels: NDArray[np.int64]
) -> NDArray[np.float32]:
    """How much each neighbour counts for where an image stands (n, k), in sum 1: those of its group, or the nearest.

    Between groups there is nothing on the map: what is in none stands where its nearest neighbour's group is.
    """
    group = np.where(labels == NOISE, neighbor_labels[:, 0], labels)
    weights = np.where(neighbor_labels == group[:, None], np.maximum(similarities, 0.0) + 1e-6, 0.0)
    shares: NDArray[np.float32] = (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return shares


def _scaled(parameters: ClusteringParameters, share: float) -> ClusteringParameters:
    """The same for so many times as many images."""
    size = parameters.min_cluster_size
    if size is None:
        return parameters
    return replace(parameters, min_cluster_size=max(min(size, _LEAST), round(size * share)))


def _of_sample(before: Before | None, sample: NDArray[np.int64], share: float) -> Before | None:
    if before is None:
        return None
    return Before(
        before.cluster_ids[sample],
        before.reduced[sample],
        None if before.parameters is None else _scaled(before.parameters, share),
        before.unchanged,
    )


def _homes(before: Before, sample: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each image the group that has most of the sample's images of the cluster it was in, if at least half."""
    clusters, cluster_of = np.unique(before.cluster_ids, return_inverse=True)
    table = np.zeros((len(clusters), int(labels.max(initial=NOISE)) + 2), dtype=np.int64)
    np.add.at(table, (cluster_of[sample], labels), 1)  # noise, -1, is the last column
    most = table[:, :-1].argmax(axis=1)
    enough = (2 * table[np.arange(len(clusters)), most] >= np.maximum(table.sum(axis=1), 1)) & (clusters != NOISE)
    return np.where(enough, most, NOISE)[cluster_of]


def _leave_as_before(whole: _Whole, before: Before) -> None:
    """The clusters as they were, because nothing came and nothing went."""
    clusters, labels = np.unique(before.cluster_ids, return_inverse=True)
    whole.labels = labels.astype(np.int64) - np.count_nonzero(clusters == NOISE)
    share = np.empty(len(labels), dtype=np.float32)
    for start in range(0, len(labels), 1 << 16):
        part = slice(start, start + (1 << 16))
        share[part] = (whole.labels[whole.neighbor_rows[part]] == whole.labels[part, None]).mean(axis=1)
    strengths = np.where(whole.strengths > 0, whole.strengths, share)
    whole.strengths = np.where(whole.labels == NOISE, np.float32(0), strengths)

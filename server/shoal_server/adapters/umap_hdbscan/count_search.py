"""Methods that want the number of groups; where nobody gave it, the silhouette chooses among a handful."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.groups import Groups
from shoal_server.adapters.umap_hdbscan.methods.agglomerate import cut_tree, merge_tree
from shoal_server.adapters.umap_hdbscan.methods.kmeans import (
    first_groups,
    group_means,
    kmeans,
    spherical_kmeans,
)
from shoal_server.adapters.umap_hdbscan.methods.margin import margins
from shoal_server.adapters.umap_hdbscan.methods.silhouette import SAMPLE, pairwise_distances, sample_rows, silhouette
from shoal_server.adapters.umap_hdbscan.principal_axes import principal_axes
from shoal_server.domain.run import ClusteringParameters, Granularity, Method, Trial, usual_cluster_size

#: Numbers tried first, in equal ratios from the smallest to the largest; then some between the best one's neighbours.
_FIRST = 6
_CLOSER = 3
_EXPECTED = _FIRST + 2 * _CLOSER
_FEWEST = 3
#: Members that a group of the sample should have on average, so that its silhouette says something.
_MEMBERS = 5
#: Axes among which k-means looks for its beginning; in all of a thousand dimensions it would take minutes.
_LEADING = 64
#: Numbers that are clearly more and clearly fewer, as multiples of the best.
_FINE = (1.3, 1.6, 2.0)
_COARSE = (0.7, 0.55, 0.4)
_MORE = {Granularity.FINE: "finer", Granularity.COARSE: "coarser"}


def search_count(
    points: NDArray[np.float32],
    vectors: NDArray[np.float32],
    graph: scipy.sparse.csr_matrix,
    parameters: ClusteringParameters,
    on_fraction: Callable[[float], None],
) -> Groups:
    """Groups points by k-means, spherical k-means or agglomeration.

    Spherical k-means groups the vectors themselves, because a reduced space has no origin to take angles from. See
    :func:`~shoal_server.adapters.umap_hdbscan.search.choose_groups` for arguments and outcome; there is no noise.
    """
    n = len(points)
    seed = parameters.seed
    space = vectors if parameters.method is Method.SPHERICAL_KMEANS else points
    rows = sample_rows(n, seed)
    distances = pairwise_distances(space[rows])
    whole, sampled = _ways(space, graph, rows, parameters.method, seed)
    trials: list[Trial] = []
    if parameters.n_clusters is not None:
        k = min(parameters.n_clusters, n)
    else:

        def score(count: int) -> float:
            return silhouette(distances, sampled(count))

        k, trials = _search(n, score, parameters.granularity, on_fraction)
    labels = whole(k)
    found, figure = int(labels.max()) + 1, silhouette(distances, labels[rows])
    if parameters.n_clusters is not None and found < parameters.n_clusters:
        cannot = f"{parameters.n_clusters} cannot be had, because there are not so many that differ"
        trials = [Trial(0, 0, found, 0.0, figure, f"chosen: {found} groups; {cannot}")]
    on_fraction(1.0)
    return Groups(
        labels,
        margins(space, labels),
        replace(parameters, n_clusters=found),
        tuple(trials),
        {"silhouette": figure},
    )


def _ways(
    space: NDArray[np.float32],
    graph: scipy.sparse.csr_matrix,
    rows: NDArray[np.int64],
    method: Method,
    seed: int,
) -> tuple[Callable[[int], NDArray[np.int64]], Callable[[int], NDArray[np.int64]]]:
    """From a number of groups to labels: of all points, and of the sample."""
    if method is Method.AGGLOMERATIVE:
        tree = merge_tree(space, graph)
        return lambda k: cut_tree(tree, k), lambda k: cut_tree(tree, k)[rows]
    way = kmeans if method is Method.KMEANS else spherical_kmeans
    sample = space[rows]
    leading = sample if sample.shape[1] <= _LEADING else principal_axes(sample, _LEADING)

    def begin(k: int) -> NDArray[np.float32]:
        if k > len(sample):
            # Of k points in k groups each is its group's mean: no sample of fewer has as many groups.
            return space[np.sort(np.random.default_rng(seed).choice(len(space), k, replace=False))]
        return group_means(sample, first_groups(leading, k, seed))

    return lambda k: way(space, begin(k)), lambda k: way(sample, begin(k))


def _search(
    n: int, score: Callable[[int], float], granularity: Granularity, on_fraction: Callable[[float], None]
) -> tuple[int, list[Trial]]:
    """The number of groups to take among n points, and what was tried."""
    most = max(2, min(n // usual_cluster_size(n), min(n, SAMPLE) // _MEMBERS))
    fewest = min(_FEWEST, most)
    scores: dict[int, float] = {}

    def attempt(counts: list[int]) -> None:
        for count in counts:
            if 2 <= count <= n // 2 and count not in scores:
                scores[count] = score(count)
                on_fraction(min(0.9, len(scores) / _EXPECTED))

    ratio = (most / fewest) ** (1 / (_FIRST - 1))
    attempt([round(fewest * ratio**step) for step in range(_FIRST)])
    for _ in range(_CLOSER):
        ratio = math.sqrt(ratio)
        middle = _best(scores)
        attempt([round(middle / ratio), round(middle * ratio)])
    best = chosen = _best(scores)
    shares = {Granularity.FINE: _FINE, Granularity.BALANCED: (), Granularity.COARSE: _COARSE}[granularity]
    wanted = {round(share * best) for share in shares}
    attempt(sorted(wanted))
    if within := {count: scores[count] for count in wanted & scores.keys() if count != best}:
        chosen = _best(within)
    trials = []
    for count, figure in scores.items():
        if count == chosen:
            verdict = "chosen: the best silhouette" + (f" of those clearly {_MORE[granularity]}" if within else "")
        elif count == best:
            verdict = "the best silhouette, from which to go on"
        else:
            verdict = f"{scores[best] - figure:.3f} below the best"
        trials.append(Trial(0, 0, count, 0.0, figure, verdict))
    return chosen, trials


def _best(scores: dict[int, float]) -> int:
    """The number with the best score; of equal ones the smallest."""
    return min(scores, key=lambda count: (-scores[count], count))

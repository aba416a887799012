"""EVoC with the layer that nobody chose found by its silhouette."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.groups import Groups
from shoal_server.adapters.umap_hdbscan.methods.evoc_layers import evoc_layers
from shoal_server.adapters.umap_hdbscan.methods.kmeans import consecutive
from shoal_server.adapters.umap_hdbscan.methods.merge import merge_most_alike
from shoal_server.adapters.umap_hdbscan.methods.silhouette import pairwise_distances, sample_rows, silhouette
from shoal_server.domain.run import ClusteringParameters, Granularity, Trial, usual_cluster_size

#: EVoC's own min_samples.
_SAMPLES = 5
#: The smallest group where fine groups are wanted, as a multiple of the usual one.
_FINE = 0.5
#: Number of coarse groups, as a multiple of the balanced number.
_COARSE = 0.6


def search_evoc(
    vectors: NDArray[np.float32], parameters: ClusteringParameters, on_fraction: Callable[[float], None]
) -> Groups:
    """Groups unit vectors by EVoC.

    See :func:`~shoal_server.adapters.umap_hdbscan.search.choose_groups` for arguments and outcome; the silhouette is
    that among the vectors.
    """
    n = len(vectors)
    target = parameters.n_clusters
    size = parameters.min_cluster_size
    granularity = parameters.granularity if size is None and target is None else Granularity.BALANCED
    if size is None:
        size = max(3, round(usual_cluster_size(n) * (_FINE if granularity is Granularity.FINE else 1.0)))
    samples = parameters.min_samples or min(_SAMPLES, size)
    rows = sample_rows(n, parameters.seed)
    distances = pairwise_distances(vectors[rows])
    tried: list[tuple[NDArray[np.int64], NDArray[np.float32], float, str]] = []

    def add(labels: NDArray[np.int64], strengths: NDArray[np.float32], what: str) -> None:
        labels = consecutive(labels)
        score = silhouette(distances, labels[rows]) * float((labels >= 0).mean())
        tried.append((labels, strengths, score, what))

    on_fraction(0.0)
    for number, layer in enumerate(evoc_layers(vectors, size, samples, None, parameters.seed)):
        add(*layer, f"layer {number + 1}")
    choice = range(len(tried))
    if target is not None:
        on_fraction(0.4)
        for number in choice:
            labels, strengths, _, what = tried[number]
            if labels.max(initial=-1) + 1 > target:
                add(merge_most_alike(labels, vectors, [target])[0], strengths, f"{what}, the most alike merged")
        for layer in evoc_layers(vectors, size, samples, target, parameters.seed):
            add(*layer, f"aimed at {target}")
        choice = range(choice.stop, len(tried))
    elif granularity is Granularity.FINE:
        choice = range(1)
    best = max(choice, key=lambda number: tried[number][2])
    if granularity is Granularity.COARSE and (fewer := round(_COARSE * (tried[best][0].max(initial=-1) + 1))) >= 2:
        labels, strengths, _, what = tried[best]
        add(merge_most_alike(labels, vectors, [fewer])[0], strengths, f"{what}, the most alike merged")
        best = len(tried) - 1
    trials = []
    for number, (labels, _, score, what) in enumerate(tried):
        clusters, noise = int(labels.max(initial=-1)) + 1, float((labels < 0).mean())
        trials.append(Trial(size, samples, clusters, noise, score, f"chosen: {what}" if number == best else what))
    labels, strengths, _, _ = tried[best]
    on_fraction(1.0)
    return Groups(
        labels,
        strengths,
        replace(parameters, min_cluster_size=size, min_samples=samples),
        tuple(trials),
        {"silhouette": silhouette(distances, labels[rows])},
    )

"""All steps one after another: vectors to clusters and a map."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.distinct import distinct_rows
from shoal_server.adapters.umap_hdbscan.group import dense_groups
from shoal_server.adapters.umap_hdbscan.layout import map_points
from shoal_server.adapters.umap_hdbscan.neighbors import nearest_others
from shoal_server.adapters.umap_hdbscan.principal_axes import principal_axes
from shoal_server.adapters.umap_hdbscan.reduce import embed_graph, neighbor_graph
from shoal_server.adapters.umap_hdbscan.split import split_loose_groups
from shoal_server.application.ports import ClusteringResult
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.run import MIN_IMAGES, ClusteringParameters, RunStage

#: Neighbours told at least, if there are so many images: as many as vote on a new image.
_OTHERS = 15


def cluster_vectors(
    vectors: NDArray[np.float32], parameters: ClusteringParameters, on_stage: Callable[[RunStage, float], None]
) -> ClusteringResult:
    """Groups unit vectors and lays them out.

    Identical vectors count once for the density, because their distance of 0 makes it infinite, and share the outcome.
    A pile of at least ``min_cluster_size`` of them that is noise otherwise is a group of its own.

    Args:
        vectors: float32 (n, d), unit length, n at least 2.
        parameters: how.
        on_stage: called with each stage and the share of it that is done, 0 to 1.

    Returns:
        The groups. The same input gives the same result.

    Raises:
        ValueError: there are values that are not finite.
    """
    if not np.isfinite(vectors).all():
        raise ValueError("vectors with values that are not finite numbers")
    on_stage(RunStage.NEIGHBORS, 0.0)
    others = max(_OTHERS, parameters.n_neighbors - 1)
    rows, similarities = nearest_others(vectors, min(others, len(vectors) - 1))
    first, kind_of = distinct_rows(vectors)
    kinds = vectors[first]
    if len(kinds) < MIN_IMAGES:
        labels = np.full(len(kinds), NOISE, dtype=np.int64)
        strengths = np.zeros(len(kinds), dtype=np.float32)
        coordinates = principal_axes(kinds, 2)
    else:
        graph_inputs = (rows, similarities)
        if len(kinds) < len(vectors):
            graph_inputs = nearest_others(kinds, min(others, len(kinds) - 1))
        on_stage(RunStage.REDUCING, 0.0)
        seed = parameters.seed
        graph = neighbor_graph(*graph_inputs, min(parameters.n_neighbors, len(kinds)), seed)
        reduced = embed_graph(
            kinds, graph, parameters.n_components, 0.0, None, None, seed, lambda f: on_stage(RunStage.REDUCING, f)
        )
        on_stage(RunStage.GROUPING, 0.0)
        labels, strengths = dense_groups(reduced, parameters.min_cluster_size, parameters.min_samples)
        labels = split_loose_groups(labels, graph, parameters.min_cluster_size)
        on_stage(RunStage.MAPPING, 0.0)
        coordinates = map_points(kinds, graph, reduced, seed, lambda f: on_stage(RunStage.MAPPING, f))
    piles = np.flatnonzero((labels == NOISE) & (np.bincount(kind_of) >= parameters.min_cluster_size))
    labels[piles] = labels.max() + 1 + np.arange(len(piles))
    strengths[piles] = 1.0
    on_stage(RunStage.MAPPING, 1.0)
    return ClusteringResult(labels[kind_of], strengths[kind_of], coordinates[kind_of], rows, similarities)

"""All steps one after another: vectors to clusters and a map."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.distinct import distinct_rows
from shoal_server.adapters.umap_hdbscan.groups import Groups
from shoal_server.adapters.umap_hdbscan.layout import map_points
from shoal_server.adapters.umap_hdbscan.methods.silhouette import (
    pairwise_distances,
    relative_validity,
    sample_rows,
    silhouette,
)
from shoal_server.adapters.umap_hdbscan.principal_axes import leading_axes, principal_axes
from shoal_server.adapters.umap_hdbscan.reduce import embed_graph, move_on, neighbor_graph
from shoal_server.adapters.umap_hdbscan.search import choose_groups
from shoal_server.adapters.umap_hdbscan.steady import steady_groups, steady_strengths
from shoal_server.adapters.umap_hdbscan.steps import ON_CPU, Steps
from shoal_server.adapters.umap_hdbscan.warm_start import starting_points
from shoal_server.application.ports import Before, ClusteringResult
from shoal_server.domain.cluster import NOISE
from shoal_server.domain.run import MIN_IMAGES, ClusteringParameters, Reducer, RunStage, usual_cluster_size

#: Neighbours told at least, if there are so many images: as many as vote on a new image.
_OTHERS = 15
#: Rounds of UMAP. Its own choice is 500 up to 10,000 points and 200 beyond; on photographs, 500 change nothing that a
#: label could tell.
_ROUNDS = 200
#: Rounds from old coordinates; where most points stand well already, more change little.
_WARM_ROUNDS = 200
#: How far points may move in the first of them, in shares of what they may where all are placed afresh.
_WARM_STEP = 0.5

OnStage = Callable[[RunStage, float], None]


def cluster_vectors(
    vectors: NDArray[np.float32],
    parameters: ClusteringParameters,
    on_stage: OnStage,
    before: Before | None = None,
    steps: Steps = ON_CPU,
) -> ClusteringResult:
    """Groups unit vectors and lays them out.

    Identical vectors count once for the density, because their distance of 0 makes it infinite, and share the outcome.
    A pile of at least ``min_cluster_size`` of them that is noise otherwise is a group of its own.

    Args:
        vectors: float32 (n, d), unit length, n at least 2.
        parameters: how.
        on_stage: called with each stage and the share of it that is done, 0 to 1.
        before: what the run before knows of the same images, in the same order. Its coordinates are where UMAP begins,
            if they have as many dimensions as are asked for; against its clusters every change is held
            (:mod:`~shoal_server.adapters.umap_hdbscan.steady`).
        steps: how the costly ones are done.

    Returns:
        The groups. The same input gives the same result.

    Raises:
        ValueError: there are values that are not finite, or ``before`` is of another number of images.
    """
    if not np.isfinite(vectors).all():
        raise ValueError("vectors with values that are not finite numbers")
    n = len(vectors)
    if before is not None and not len(before.cluster_ids) == len(before.reduced) == n:
        raise ValueError(f"what is known of {len(before.cluster_ids)} images does not go with {n} vectors")
    on_stage(RunStage.NEIGHBORS, 0.0)
    others = max(_OTHERS, parameters.n_neighbors - 1)
    rows, similarities = steps.find_nearest(vectors, min(others, n - 1), parameters.seed)
    first, kind_of = distinct_rows(vectors)
    kinds = vectors if len(first) == n else vectors[first]
    if len(kinds) < MIN_IMAGES:
        groups, reduced, coordinates = _too_few(kinds, parameters)
    else:
        graph_inputs = (rows, similarities)
        if len(kinds) < n:
            graph_inputs = steps.find_nearest(kinds, min(others, len(kinds) - 1), parameters.seed)
        on_stage(RunStage.REDUCING, 0.0)
        graph = neighbor_graph(*graph_inputs, min(parameters.n_neighbors, len(kinds)), parameters.seed)
        kinds_before = None if before is None else _of_kinds(before, kind_of)
        reduced = _reduced(kinds, graph, parameters, kinds_before, lambda f: on_stage(RunStage.REDUCING, f), steps)
        on_stage(RunStage.GROUPING, 0.0)
        points = reduced if reduced.shape[1] else kinds
        usual = None if before is None or before.parameters is None else before.parameters.min_cluster_size
        start = leading_axes(points, 2, parameters.seed)
        # The map needs no groups: it is laid out beside them.
        with ThreadPoolExecutor(1) as beside:
            laid_out = beside.submit(map_points, graph, start, parameters.seed, steps.optimise)
            groups = choose_groups(
                points, kinds, graph, parameters, lambda f: on_stage(RunStage.GROUPING, f), usual, steps.grow_tree
            )
            if kinds_before is not None:
                groups = _held_against(groups, graph, points, kinds_before, steps)
            on_stage(RunStage.MAPPING, 0.0)
            coordinates = laid_out.result()
    labels, strengths = _with_piles(groups, kind_of)
    labels, strengths = labels[kind_of], strengths[kind_of]
    if before is not None and before.unchanged:
        labels, strengths = _as_before(before, strengths, rows)
    on_stage(RunStage.MAPPING, 1.0)
    return ClusteringResult(
        labels=labels,
        strengths=strengths,
        coordinates=coordinates[kind_of],
        reduced=reduced[kind_of],
        neighbor_rows=rows,
        neighbor_similarities=similarities,
        parameters=groups.parameters,
        trials=groups.trials,
        quality=groups.quality,
    )


def _too_few(
    kinds: NDArray[np.float32], parameters: ClusteringParameters
) -> tuple[Groups, NDArray[np.float32], NDArray[np.float32]]:
    """All noise, no reduced space and a map: density means nothing among so few."""
    n = len(kinds)
    groups = Groups(
        labels=np.full(n, NOISE, dtype=np.int64), strengths=np.zeros(n, dtype=np.float32), parameters=parameters
    )
    return groups, np.zeros((n, 0), dtype=np.float32), principal_axes(kinds, 2)


def _of_kinds(before: Before, kind_of: NDArray[np.int64]) -> Before:
    """What is known of each kind: what is known of its first image that the run before knew, or else of its first."""
    known = _placed(before.reduced)
    order = np.lexsort([np.arange(len(kind_of)), ~known])
    _, place = np.unique(kind_of[order], return_index=True)
    return Before(before.cluster_ids[order[place]], before.reduced[order[place]])


def _placed(reduced: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which images the run before knew, (n,)."""
    return np.asarray(np.isfinite(reduced).all(axis=1))


def _reduced(
    kinds: NDArray[np.float32],
    graph: scipy.sparse.csr_matrix,
    parameters: ClusteringParameters,
    before: Before | None,
    on_fraction: Callable[[float], None],
    steps: Steps,
) -> NDArray[np.float32]:
    """The space to group in, (n, r); r is 0 if it is to be the vectors themselves."""
    if parameters.reducer is Reducer.NONE:
        return np.zeros((len(kinds), 0), dtype=np.float32)
    if parameters.reducer is Reducer.PCA:
        return principal_axes(kinds, parameters.n_components)
    if before is not None and before.reduced.shape[1] == parameters.n_components:
        start = starting_points(graph, before.reduced, parameters.seed)
        if start is not None:
            return move_on(graph, start, 0.0, _WARM_ROUNDS, _WARM_STEP, parameters.seed, on_fraction, steps.optimise)
    start = leading_axes(kinds, parameters.n_components, parameters.seed)
    return embed_graph(graph, start, 0.0, _ROUNDS, parameters.seed, on_fraction, steps.optimise)


def _held_against(
    groups: Groups, graph: scipy.sparse.csr_matrix, points: NDArray[np.float32], before: Before, steps: Steps
) -> Groups:
    """The groups with only those changes to the clusters before that the graph bears out."""
    n = len(points)
    # Without coordinates nobody can say which images are new and which were noise.
    known = _placed(before.reduced) if before.reduced.shape[1] else before.cluster_ids != NOISE
    # A search may have found only large groups; a new kind of things need not be as large.
    least = min(groups.parameters.min_cluster_size or n, usual_cluster_size(n))
    labels = steady_groups(groups.labels, graph, before.cluster_ids, known, least)
    if np.array_equal(labels, groups.labels):
        return groups
    strengths = steady_strengths(labels, groups.strengths, graph)
    return replace(groups, labels=labels, strengths=strengths, quality=_quality(groups, labels, graph, points, steps))


def _quality(
    groups: Groups,
    labels: NDArray[np.int64],
    graph: scipy.sparse.csr_matrix,
    points: NDArray[np.float32],
    steps: Steps,
) -> dict[str, float]:
    """The figures that the groups have, for other labels."""
    rows = sample_rows(len(points), groups.parameters.seed)
    figures = {"silhouette": silhouette(pairwise_distances(points[rows]), labels[rows])}
    if "relative_validity" in groups.quality and groups.parameters.min_samples is not None:
        tree = steps.grow_tree(points, graph, groups.parameters.min_samples)
        figures["relative_validity"] = relative_validity(tree.spanning_tree, labels)
    return figures


def _as_before(
    before: Before, strengths: NDArray[np.float32], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The clusters as they were: where nothing came and nothing went, there is nothing to find out.

    Images that would have been noise belong as firmly as the share of their neighbours that are in the same cluster.
    """
    distinct, labels = np.unique(before.cluster_ids, return_inverse=True)
    labels = labels.astype(np.int64) - np.count_nonzero(distinct == NOISE)
    share = (labels[rows] == labels[:, None]).mean(axis=1).astype(np.float32)
    return labels, np.where(labels == NOISE, np.float32(0), np.where(strengths > 0, strengths, share))


def _with_piles(groups: Groups, kind_of: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Labels and strengths of the kinds, with large piles of identical images as groups."""
    labels, strengths = groups.labels.copy(), groups.strengths.copy()
    least = groups.parameters.min_cluster_size or usual_cluster_size(len(kind_of))
    piles = np.flatnonzero((labels == NOISE) & (np.bincount(kind_of) >= least))
    labels[piles] = labels.max(initial=NOISE) + 1 + np.arange(len(piles))
    strengths[piles] = 1.0
    return labels, strengths

"""UMAP: from neighbours to a few dimensions in which dense groups stand apart.

McInnes, Healy and Melville 2018, arXiv:1802.03426, in two steps, so that the map can share the first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from umap.umap_ import find_ab_params, fuzzy_simplicial_set

from shoal_server.adapters.umap_hdbscan.optimise import ALL_CORES, Optimise, optimise

#: Scatter of the points to begin with, where they are 10 across.
_NOISE = 1e-3


def neighbor_graph(
    rows: NDArray[np.int64], similarities: NDArray[np.float32], n_neighbors: int, seed: int
) -> scipy.sparse.csr_matrix:
    """Turns nearest neighbours into UMAP's fuzzy graph.

    Args:
        rows: (n, m), each point's nearest others, best first, m at least n_neighbors - 1; n at least 3.
        similarities: (n, m), their cosine similarities.
        n_neighbors: UMAP's neighbourhood, at least 2; as there, a point counts as its own nearest neighbour.
        seed: of everything random.

    Returns:
        (n, n), weights 0 to 1.
    """
    n = len(rows)
    own = np.arange(n)[:, None]
    distances = 1.0 - similarities[:, : n_neighbors - 1]
    graph, _, _ = fuzzy_simplicial_set(
        rows,  # only its length is used, because the neighbours are given
        n_neighbors,
        np.random.RandomState(seed),
        "cosine",
        knn_indices=np.hstack([own, rows[:, : n_neighbors - 1]]),
        knn_dists=np.hstack([np.zeros((n, 1), dtype=np.float32), distances]),
    )
    return scipy.sparse.csr_matrix(graph)


def embed_graph(
    graph: scipy.sparse.csr_matrix,
    start: NDArray[np.float32],
    min_dist: float,
    rounds: int,
    seed: int,
    on_fraction: Callable[[float], None],
    optimised: Optimise = optimise,
    threads: int = ALL_CORES,
) -> NDArray[np.float32]:
    """Lays a fuzzy graph out in a few dimensions.

    Args:
        graph: (n, n), from :func:`neighbor_graph`.
        start: (n, r), where to begin, in any scale; for instance principal axes, which place groups relative to one
            another as well as the graph's own eigenvectors do (Kobak and Linderman 2021,
            doi:10.1038/s41587-020-00809-z) and take a fraction of their time.
        min_dist: how tightly points may be packed, 0 to 1.
        rounds: of optimisation, more than 10.
        seed: of everything random. The same input and seed give the same result.
        on_fraction: called with the share of the work that is done.
        optimised: does the optimisation.
        threads: that it may use.

    Returns:
        (n, r).
    """
    # As UMAP does: points that stand in the same place would have no direction to be pushed in.
    noise = np.random.default_rng(seed).normal(scale=_NOISE, size=start.shape)
    points = _ten_across(_ten_across(start) + noise)
    return move_on(graph, points, min_dist, rounds, 1.0, seed, on_fraction, optimised, threads)


def move_on(
    graph: scipy.sparse.csr_matrix,
    start: NDArray[np.float32],
    min_dist: float,
    rounds: int,
    initial_step: float,
    seed: int,
    on_fraction: Callable[[float], None],
    optimised: Optimise = optimise,
    threads: int = ALL_CORES,
) -> NDArray[np.float32]:
    """Lets points that are well placed already find their balance.

    The optimisation is the one of :func:`embed_graph`, but nothing is scaled before it, so that a point that is where
    it should be stays there.

    Args:
        graph: (n, n), from :func:`neighbor_graph`.
        start: (n, r), where to begin, in UMAP's own scale.
        min_dist: how tightly points may be packed, 0 to 1.
        rounds: of optimisation, more than 10.
        initial_step: how far a point may move in the first round, in shares of what :func:`embed_graph` allows.
        seed: of everything random. The same input and seed give the same result.
        on_fraction: called with the share of the work that is done.
        optimised: does the optimisation.
        threads: that it may use.

    Returns:
        (n, r).
    """
    return optimised(graph, start, find_ab_params(1.0, min_dist), rounds, initial_step, seed, on_fraction, threads)


def _ten_across(points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Every dimension from 0 to 10, which is UMAP's scale."""
    low = points.min(axis=0)
    reach = points.max(axis=0) - low
    return np.asarray(10.0 * (points - low) / np.where(reach > 0, reach, 1.0), dtype=np.float32)

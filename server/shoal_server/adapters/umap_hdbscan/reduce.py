"""UMAP: from neighbours to a few dimensions in which dense groups stand apart.

McInnes, Healy and Melville 2018, arXiv:1802.03426, in two steps, so that the map can share the first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from umap.layouts import optimize_layout_euclidean
from umap.umap_ import find_ab_params, fuzzy_simplicial_set, make_epochs_per_sample, simplicial_set_embedding

from shoal_server.adapters.umap_hdbscan.epochs import EpochReport


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
    vectors: NDArray[np.float32],
    graph: scipy.sparse.csr_matrix,
    n_components: int,
    min_dist: float,
    start: NDArray[np.float32] | None,
    n_epochs: int | None,
    seed: int,
    on_fraction: Callable[[float], None],
) -> NDArray[np.float32]:
    """Lays a fuzzy graph out in a few dimensions.

    Args:
        vectors: (n, d), the points themselves; used to place parts of the graph that do not hang together.
        graph: (n, n), from :func:`neighbor_graph`.
        n_components: of the result.
        min_dist: how tightly points may be packed, 0 to 1.
        start: (n, n_components), where to begin; None chooses.
        n_epochs: rounds of optimisation; None is UMAP's own choice, 500 up to 10,000 points and 200 beyond.
        seed: of everything random. The same input and seed give the same result.
        on_fraction: called with the share of the work that is done.

    Returns:
        (n, n_components).
    """
    a, b = find_ab_params(1.0, min_dist)
    # The eigenvalue solver needs more points than twice the eigenvectors.
    chosen = "spectral" if len(vectors) > 2 * (n_components + 1) + 1 else "random"
    points, _ = simplicial_set_embedding(
        vectors,
        graph,
        n_components,
        initial_alpha=1.0,
        a=a,
        b=b,
        gamma=1.0,
        negative_sample_rate=5,
        n_epochs=n_epochs,
        init=chosen if start is None else start,
        random_state=np.random.RandomState(seed),
        metric="cosine",
        metric_kwds={},
        densmap=False,
        densmap_kwds={},
        output_dens=False,
        tqdm_kwds=EpochReport(on_fraction).options(),
    )
    return np.asarray(points, dtype=np.float32)


def move_on(
    graph: scipy.sparse.csr_matrix,
    start: NDArray[np.float32],
    min_dist: float,
    n_epochs: int,
    initial_alpha: float,
    seed: int,
    on_fraction: Callable[[float], None],
) -> NDArray[np.float32]:
    """Lets points that are well placed already find their balance.

    The optimisation is the one of :func:`embed_graph`, but nothing is scaled before it, so that a point that is where
    it should be stays there.

    Args:
        graph: (n, n), from :func:`neighbor_graph`.
        start: (n, r), where to begin, in UMAP's own scale.
        min_dist: how tightly points may be packed, 0 to 1.
        n_epochs: rounds of optimisation, more than 10.
        initial_alpha: how far a point may move in the first round, in shares of what :func:`embed_graph` allows.
        seed: of everything random. The same input and seed give the same result.
        on_fraction: called with the share of the work that is done.

    Returns:
        (n, r).
    """
    a, b = find_ab_params(1.0, min_dist)
    edges = graph.tocoo()
    # As UMAP does: an edge that would be followed less than once is left out.
    enough = edges.data >= edges.data.max() / n_epochs
    weights = edges.data[enough]
    points = np.array(start, dtype=np.float32, order="C")
    random = np.random.RandomState(seed)
    points = optimize_layout_euclidean(
        points,
        points,
        edges.row[enough],
        edges.col[enough],
        n_epochs,
        graph.shape[0],
        make_epochs_per_sample(weights, n_epochs),
        a,
        b,
        random.randint(np.iinfo(np.int32).min + 1, np.iinfo(np.int32).max - 1, 3).astype(np.int64),
        gamma=1.0,
        initial_alpha=initial_alpha,
        negative_sample_rate=5,
        parallel=False,
        tqdm_kwds=EpochReport(on_fraction).options(),
        move_other=True,
    )
    return np.asarray(points, dtype=np.float32)

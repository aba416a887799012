"""The costly steps on a GPU, by cuML: https://docs.rapids.ai/api/cuml/stable/.

Only they are: the fuzzy graph, the search for parameters and everything that holds clusters steady are the same as on a
CPU. Rounding, and the order in which threads meet, are the GPU's own, so the groups may differ from those found on a
CPU as they do between two seeds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import scipy.sparse
from cuml.cluster import HDBSCAN
from cuml.manifold.umap import simplicial_set_embedding
from cuml.neighbors import NearestNeighbors
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.group import MANY_DIMENSIONS, DensityTree, density_tree, tree_of_edges
from shoal_server.adapters.umap_hdbscan.neighbors import without_themselves
from shoal_server.adapters.umap_hdbscan.steps import Steps

#: Vectors looked up at once, which bounds what the GPU holds beside the vectors.
_QUERIES = 16_384
#: The most neighbours that cuML's HDBSCAN takes for a density.
_MOST_SAMPLES = 1_023
#: The map is laid out beside the grouping; nothing says that cuML may be called from two threads at once.
_one_at_a_time = threading.Lock()


def nearest_others(vectors: NDArray[np.float32], k: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """As :func:`shoal_server.adapters.umap_hdbscan.neighbors.nearest_others`, exact for any number of rows."""
    n = len(vectors)
    rows = np.empty((n, k), dtype=np.int64)
    similarities = np.empty((n, k), dtype=np.float32)
    with _one_at_a_time:
        model = NearestNeighbors(n_neighbors=k + 1, algorithm="brute", metric="cosine", output_type="numpy")
        model.fit(vectors)
        for start in range(0, n, _QUERIES):
            part = slice(start, min(start + _QUERIES, n))
            distances, found = model.kneighbors(vectors[part])
            values = np.clip(1.0 - np.asarray(distances, dtype=np.float32), -1.0, 1.0)
            order = np.lexsort([found, -values], axis=1)
            sorted_rows = np.take_along_axis(np.asarray(found, dtype=np.int64), order, axis=1)
            sorted_values = np.take_along_axis(values, order, axis=1)
            rows[part], similarities[part] = without_themselves(sorted_rows, sorted_values, start)
    return rows, similarities


def optimise(
    graph: scipy.sparse.csr_matrix,
    start: NDArray[np.float32],
    curve: tuple[float, float],
    rounds: int,
    initial_step: float,
    seed: int,
    on_fraction: Callable[[float], None],
    threads: int = 1,
) -> NDArray[np.float32]:
    """As :func:`shoal_server.adapters.umap_hdbscan.optimise.optimise`; on the way, nothing is told."""
    on_fraction(0.0)
    points = np.ascontiguousarray(start, dtype=np.float32)
    with _one_at_a_time:
        placed = simplicial_set_embedding(
            points,  # only its shape is used, because the graph and the start are given
            graph,
            n_components=points.shape[1],
            initial_alpha=initial_step,
            a=curve[0],
            b=curve[1],
            n_epochs=rounds,
            init=points.copy(),
            random_state=seed,
        )
    on_fraction(1.0)
    return np.asarray(placed, dtype=np.float32)


def grow_tree(points: NDArray[np.float32], graph: scipy.sparse.csr_matrix, min_samples: int) -> DensityTree:
    """As :func:`shoal_server.adapters.umap_hdbscan.group.density_tree`; in many dimensions, by that on the CPU."""
    n, d = points.shape
    if d > MANY_DIMENSIONS:
        return density_tree(points, graph, min_samples)
    with _one_at_a_time:
        model = HDBSCAN(
            min_cluster_size=max(2, n // 2),
            min_samples=min(min_samples, n - 1, _MOST_SAMPLES),
            gen_min_span_tree=True,
            output_type="numpy",
        ).fit(points)
        edges = np.asarray(model.minimum_spanning_tree_.to_numpy(), dtype=np.float64)
    return tree_of_edges(edges)


ON_GPU = Steps(nearest_others, optimise, grow_tree)

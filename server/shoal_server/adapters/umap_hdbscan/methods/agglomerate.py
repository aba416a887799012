"""Agglomerative grouping: neighbours are merged until a given number of groups is left."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray
from sklearn.cluster import ward_tree

from shoal_server.adapters.umap_hdbscan.methods.join import joined


def merge_tree(points: NDArray[np.float32], graph: scipy.sparse.csr_matrix) -> NDArray[np.int64]:
    """Merges by Ward's criterion (1963, doi:10.1080/01621459.1963.10500845), but only what touches in a graph.

    Without the graph, all pairs of points would have to be compared.

    Args:
        points: (n, r), compared by Euclidean distance.
        graph: (n, n), symmetric; where it falls in parts, the nearest points of the nearest parts are joined.

    Returns:
        (n - 1, 2), what is merged in each step: a point, or n + the number of an earlier step.
    """
    children, *_ = ward_tree(points.astype(np.float64), connectivity=joined(points, graph))
    return np.asarray(children, dtype=np.int64)


def cut_tree(tree: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Undoes the last steps.

    Args:
        tree: (n - 1, 2), from :func:`merge_tree`.
        k: how many groups to leave, 1 to n.

    Returns:
        Labels (n,), 0 .. k-1.
    """
    n = len(tree) + 1
    kept = tree[: n - k]
    steps = np.repeat(n + np.arange(len(kept)), 2)
    links = scipy.sparse.coo_matrix((np.ones(2 * len(kept)), (steps, kept.ravel())), shape=(2 * n - 1, 2 * n - 1))
    _, part = scipy.sparse.csgraph.connected_components(links, directed=False)
    _, labels = np.unique(part[:n], return_inverse=True)
    return labels.astype(np.int64)

"""A graph of neighbours in one piece."""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin_min


def joined(points: NDArray[np.float32], graph: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
    """Links the parts of a graph to one piece, along the shortest tree of their centroids.

    Args:
        points: (n, r), compared by Euclidean distance.
        graph: (n, n), symmetric.

    Returns:
        (n, n): the graph with an edge between the nearest points of any two parts that the tree links.
    """
    count, part = scipy.sparse.csgraph.connected_components(graph, directed=False)
    if count == 1:
        return graph
    members = [np.flatnonzero(part == number) for number in range(count)]
    centroids = np.stack([points[rows].mean(axis=0) for rows in members])
    # From the largest part outwards, each part is linked to the nearest of those that are linked already.
    first = int(np.argmax([len(rows) for rows in members]))
    waiting = np.arange(count) != first
    nearest = np.full(count, first)
    gaps = np.linalg.norm(centroids - centroids[first], axis=1)
    ends: list[tuple[int, int]] = []
    for _ in range(count - 1):
        new = int(np.argmin(np.where(waiting, gaps, np.inf)))
        old = members[nearest[new]]
        closest, distances = pairwise_distances_argmin_min(points[members[new]], points[old])
        here = int(np.argmin(distances))
        ends.append((int(members[new][here]), int(old[closest[here]])))
        waiting[new] = False
        from_new = np.linalg.norm(centroids - centroids[new], axis=1)
        nearest = np.where(from_new < gaps, new, nearest)
        gaps = np.minimum(gaps, from_new)
    rows, columns = np.array(ends).T
    links = scipy.sparse.coo_matrix((np.ones(len(ends)), (rows, columns)), shape=graph.shape)
    return scipy.sparse.csr_matrix(graph + links + links.T)

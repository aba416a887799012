"""HDBSCAN: dense groups among points in a few dimensions.

Campello, Moulavi and Sander 2013, doi:10.1007/978-3-642-37456-2_14, in two steps: the tree of densities is costly and
depends on min_samples only; groups of another smallest size are read off it in no time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
from hdbscan._hdbscan_boruvka import KDTreeBoruvkaAlgorithm
from hdbscan._hdbscan_linkage import label
from hdbscan._hdbscan_tree import compute_stability, condense_tree, get_clusters
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from shoal_server.adapters.umap_hdbscan.methods.join import joined

#: :func:`density_tree`, or what does the same in another way.
GrowTree = Callable[[NDArray[np.float32], scipy.sparse.csr_matrix, int], "DensityTree"]

#: More dimensions than this are many: HDBSCAN itself changes its algorithm here.
MANY_DIMENSIONS = 60
#: Points in a leaf of its search tree, as it chooses.
_LEAF = 40 // 3
#: Values held at once as float64: 64 MiB.
_BLOCK = 1 << 23


@dataclass(frozen=True, slots=True)
class DensityTree:
    """How points fall apart as the density asked for rises.

    Attributes:
        merges: float64 (n - 1, 4), single linkage of the mutual reachability distances, as in
            ``scipy.cluster.hierarchy``.
        spanning_tree: float64 (n - 1, 3), its edges: two ends and their distance.
    """

    merges: NDArray[np.float64]
    spanning_tree: NDArray[np.float64]


def density_tree(points: NDArray[np.float32], graph: scipy.sparse.csr_matrix, min_samples: int) -> DensityTree:
    """Builds the tree.

    In many dimensions, where search trees look at all pairs, only those pairs count that are neighbours in the graph.

    Args:
        points: (n, d), n at least 2, compared by Euclidean distance.
        graph: (n, n), symmetric, with an edge between neighbours.
        min_samples: how many neighbours make a point dense, at least 1; more than there are counts as all.
    """
    n = len(points)
    if points.shape[1] > MANY_DIMENSIONS:
        return _tree_of_graph(points, joined(points, graph), min_samples)
    boruvka = KDTreeBoruvkaAlgorithm(
        _QuickTree(points.astype(np.float64)),
        min(min_samples, n - 1),
        leaf_size=_LEAF,
        approx_min_span_tree=True,
        n_jobs=1,  # more would start processes of their own
    )
    edges = np.asarray(boruvka.spanning_tree())
    # As HDBSCAN sorts them: which of equally long ones come first decides about single points.
    edges = edges[np.argsort(edges[:, 2])]
    return DensityTree(label(edges), edges)


class _QuickTree:
    """Where HDBSCAN looks up each point's nearest others.

    Of 100,000 points in five dimensions, its own search takes four times as long as all that it does afterwards; this
    one a fifth of that on one core, and it uses them all. The outcome is the same.
    """

    def __init__(self, points: NDArray[np.float64]) -> None:
        """Args:
        points: (n, d).
        """
        self.data = points
        self._tree = cKDTree(points)

    def query(
        self, points: NDArray[np.float64], k: int, **kwargs: object
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Distances (q, k), ascending, and rows (q, k), as those of ``sklearn.neighbors.KDTree``."""
        distances, rows = self._tree.query(points, np.arange(1, k + 1), workers=-1)
        return np.asarray(distances), np.asarray(rows)


def _tree_of_graph(points: NDArray[np.float32], graph: scipy.sparse.csr_matrix, min_samples: int) -> DensityTree:
    """The same from the edges of a graph in one piece."""
    n = len(points)
    upper = scipy.sparse.triu(graph, k=1).tocoo()
    first, second = upper.row.astype(np.int64), upper.col.astype(np.int64)
    lengths = np.empty(len(first))
    step = max(1, _BLOCK // points.shape[1])
    for begin in range(0, len(first), step):
        part = slice(begin, begin + step)
        lengths[part] = np.linalg.norm(points[first[part]].astype(np.float64) - points[second[part]], axis=1)
    # Each point's edges by length: the core distance is that of the min_samples-th, or of its last.
    ends, both = np.concatenate([first, second]), np.concatenate([lengths, lengths])
    order = np.lexsort([both, ends])
    starts = np.searchsorted(ends[order], np.arange(n + 1))
    core = both[order][np.minimum(starts[:-1] + min_samples, starts[1:]) - 1]
    reach = np.maximum(lengths, np.maximum(core[first], core[second]))
    # A sparse matrix would take a distance of 0 for no edge.
    reach = np.maximum(reach, np.finfo(np.float64).tiny)
    tree = scipy.sparse.csgraph.minimum_spanning_tree(scipy.sparse.csr_matrix((reach, (first, second)), (n, n))).tocoo()
    return tree_of_edges(np.stack([tree.row, tree.col, tree.data], axis=1).astype(np.float64))


def tree_of_edges(edges: NDArray[np.float64]) -> DensityTree:
    """The tree of a spanning tree.

    Args:
        edges: (n - 1, 3), its edges in any order: two ends and their mutual reachability distance. Equally long ones
            are merged in the order that they have here.
    """
    edges = edges[np.argsort(edges[:, 2], kind="stable")]
    return DensityTree(label(edges), edges)


def groups_of_tree(tree: DensityTree, min_cluster_size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Reads the groups with the greatest excess of mass off the tree.

    One group that holds everything is never the answer: then all is noise.

    Args:
        tree: from :func:`density_tree`.
        min_cluster_size: the smallest group, at least 2.

    Returns:
        Labels (n,), 0 .. k-1 and -1 for noise; strengths (n,), 0 to 1, 0 for noise.
    """
    n = len(tree.merges) + 1
    if n < min_cluster_size:
        return np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.float32)
    condensed = condense_tree(tree.merges, min_cluster_size)
    found, probabilities, _ = get_clusters(condensed, compute_stability(condensed))
    labels = found.astype(np.int64)
    strengths = np.nan_to_num(np.asarray(probabilities, dtype=np.float32), nan=1.0)
    strengths[labels < 0] = 0.0
    return labels, np.clip(strengths, 0.0, 1.0)

"""Takes apart groups that are two.

Where two dense groups touch in the reduced space, HDBSCAN often keeps them as one, and whether they touch is up to
UMAP's chance. The graph of nearest neighbours knows better: if hardly any of its weight runs between the halves of a
group, they are two groups. The measure is the conductance of the best cut (Kannan, Vempala and Vetta 2004,
doi:10.1145/990308.990313), found along the second eigenvector of the graph (Shi and Malik 2000,
doi:10.1109/34.868688).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.csgraph
import scipy.sparse.linalg
from numpy.typing import NDArray

#: Largest conductance at which the halves of a group are two groups. On photographs of 30 kinds of things, groups of
#: two kinds had 0.08 to 0.10, groups of one kind 0.105 and more.
LOOSE = 0.1
#: Up to this size. The best cut of a larger group, even of one kind, is looser: by the fourth root, as if its points
#: filled four dimensions.
LOOSE_UP_TO = 120
#: The smaller half has at least this share of the group: what only hangs on at the edge is no second group.
SMALLEST_HALF = 0.3
#: Up to this size the eigenvector is computed directly; beyond, by products with the matrix.
_DENSE = 300


def split_loose_groups(
    labels: NDArray[np.int64], graph: scipy.sparse.csr_matrix, min_cluster_size: int
) -> NDArray[np.int64]:
    """Splits groups whose halves hang together loosely, and their halves again.

    Args:
        labels: (n,), 0 .. k-1 and -1 for noise.
        graph: (n, n), symmetric weights between neighbours, at least 0.
        min_cluster_size: no half becomes smaller.

    Returns:
        Labels (n,); the larger half keeps its label, the other gets a new one. Noise stays noise.
    """
    labels = labels.copy()
    waiting = list(range(int(labels.max(initial=-1)) + 1))
    fresh = len(waiting)
    while waiting:
        label = waiting.pop()
        rows = np.flatnonzero(labels == label)
        smaller = _loose_half(graph[rows][:, rows].tocsr(), min_cluster_size)
        if smaller is not None:
            labels[rows[smaller]] = fresh
            waiting += [label, fresh]
            fresh += 1
    return labels


@dataclass(frozen=True, slots=True)
class Cut:
    """The best cut through a group.

    Attributes:
        smaller: positions of the half with fewer points.
        larger: positions of the other.
        conductance: how much of the lighter half's weight runs across, 0 to 1.
    """

    smaller: NDArray[np.int64]
    larger: NDArray[np.int64]
    conductance: float


def best_cut(graph: scipy.sparse.csr_matrix, least: int) -> Cut | None:
    """Finds where a group hangs together most loosely.

    Args:
        graph: (n, n), the group's own, symmetric.
        least: no half has fewer points than this.

    Returns:
        The cut; None if there is none or the eigenvector cannot be computed.
    """
    size = graph.shape[0]
    if 2 * least > size:
        return None
    axis = _second_eigenvector(graph)
    if axis is None:
        return None
    order = np.argsort(axis, kind="stable")
    conductance = _conductance_of_cuts(graph, order)
    cut = least - 1 + int(np.argmin(conductance[least - 1 : size - least]))
    halves = order[: cut + 1], order[cut + 1 :]
    smaller, larger = halves if 2 * (cut + 1) <= size else halves[::-1]
    return Cut(smaller, larger, float(conductance[cut]))


def looser_with_size(size: NDArray[np.int64] | int) -> NDArray[np.float64]:
    """What a threshold of conductance is multiplied with for a group of this size, up to 1."""
    return np.minimum(1.0, (LOOSE_UP_TO / np.maximum(size, 1)) ** 0.25)


def _loose_half(graph: scipy.sparse.csr_matrix, min_cluster_size: int) -> NDArray[np.int64] | None:
    """Positions of the smaller half of a group that is two; None if it is one."""
    size = graph.shape[0]
    cut = best_cut(graph, max(min_cluster_size, int(np.ceil(SMALLEST_HALF * size))))
    if cut is None or cut.conductance >= LOOSE * looser_with_size(size):
        return None
    return cut.smaller


def _second_eigenvector(graph: scipy.sparse.csr_matrix) -> NDArray[np.float64] | None:
    """One value for each point, the same within what hangs together; None if it cannot be computed."""
    parts, part_of = scipy.sparse.csgraph.connected_components(graph, directed=False)
    if parts > 1:
        # Nothing at all runs between the parts: the largest against all others is as good a cut as any.
        return np.asarray(part_of == np.argmax(np.bincount(part_of)), dtype=np.float64)
    degrees = np.asarray(graph.sum(axis=1), dtype=np.float64).ravel()
    scale = 1.0 / np.sqrt(degrees)
    normalised = (scipy.sparse.diags(scale) @ graph.astype(np.float64) @ scipy.sparse.diags(scale)).tocsr()
    n = len(degrees)
    if n <= _DENSE:
        _, vectors = scipy.linalg.eigh(normalised.toarray(), subset_by_index=[n - 2, n - 2])
    else:
        # The first is known, and without it the second is the first.
        first = np.sqrt(degrees / degrees.sum())
        rest = scipy.sparse.linalg.LinearOperator(
            (n, n), matvec=lambda x: normalised @ x - first * (first @ x), dtype=np.float64
        )
        begin = np.random.default_rng(0).normal(size=n)
        try:
            _, vectors = scipy.sparse.linalg.eigsh(rest, k=1, which="LA", v0=begin)
        except scipy.sparse.linalg.ArpackNoConvergence:
            return None
    axis: NDArray[np.float64] = vectors[:, 0] * scale
    return axis


def _conductance_of_cuts(graph: scipy.sparse.csr_matrix, order: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each k, how much of the weight of the lighter side runs across, if the first k + 1 of the order are cut off.

    Args:
        graph: (n, n), symmetric.
        order: (n,), a permutation.

    Returns:
        (n - 1,), 0 to 1.
    """
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    edges = scipy.sparse.triu(graph, k=1).tocoo()
    ends = np.stack([place[edges.row], place[edges.col]])
    # An edge runs across all cuts from its first end to just before its second.
    change = np.zeros(len(order))
    np.add.at(change, ends.min(axis=0), edges.data)
    np.subtract.at(change, ends.max(axis=0), edges.data)
    across = np.cumsum(change)[:-1]
    weight = np.cumsum(np.asarray(graph.sum(axis=1), dtype=np.float64).ravel()[order])
    lighter = np.minimum(weight[:-1], weight[-1] - weight[:-1])
    return np.where(lighter > 0, across / np.maximum(lighter, 1e-12), 1.0)

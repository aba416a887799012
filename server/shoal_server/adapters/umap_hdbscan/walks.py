"""Random walks on the graph of neighbours: with whom a point keeps company."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

#: Steps within which a point must have come to an old one to be one of theirs. Of new images of an old kind, as many as
#: there were old ones, three steps bring seven in eight to an old one; of a new kind, which has a tenth of its weight
#: elsewhere, one in four, and if it has a quarter, more than half.
_STEPS = 3
#: Steps after which hardly any walk within a group has not met one of its sides.
_MANY_STEPS = 30


def row_shares(graph: scipy.sparse.csr_matrix) -> scipy.sparse.csr_matrix:
    """The graph (n, n) with every row summing to 1, or to 0 where a point has no neighbours."""
    sums = np.asarray(graph.sum(axis=1), dtype=np.float64).ravel()
    return scipy.sparse.csr_matrix(scipy.sparse.diags(1.0 / np.maximum(sums, 1e-12)) @ graph.astype(np.float64))


def are_beside(shares: scipy.sparse.csr_matrix, old: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which points are old, or among old ones rather than a body of their own.

    Args:
        shares: (n, n), from :func:`row_shares`.
        old: (n,).

    Returns:
        (n,), whether a walk along the graph meets an old point within a few steps, more likely than not.
    """
    return np.asarray(kin_of(shares, np.where(old, 0, -1), 0.5) == 0)


def kin_of(shares: scipy.sparse.csr_matrix, clusters: NDArray[np.int64], likely: float) -> NDArray[np.int64]:
    """Whose company the points keep that are in no cluster.

    Args:
        shares: (n, n), from :func:`row_shares`.
        clusters: (n,), 0 .. k-1, or -1 for none.
        likely: how likely a walk along the graph must meet a cluster within a few steps, 0 to 1.

    Returns:
        (n,), for a point in none that is so likely to meet one, the cluster that it most likely meets first, or else
        -1. What is in a cluster stays in it.
    """
    n = len(clusters)
    inside = np.flatnonzero(clusters >= 0)
    if not len(inside) or len(inside) == n:
        return clusters.copy()
    k = int(clusters.max()) + 1
    settled = scipy.sparse.csr_matrix((np.ones(len(inside)), (inside, clusters[inside])), shape=(n, k))
    # A walk ends where it meets a cluster.
    onward = scipy.sparse.diags((clusters < 0).astype(np.float64)) @ shares
    met = settled
    for _ in range(_STEPS):
        met = (onward @ met + settled).tocsr()
    met.sort_indices()
    most = np.asarray(met.argmax(axis=1), dtype=np.int64).ravel()
    return np.where(np.asarray(met.sum(axis=1)).ravel() > likely, most, -1)


def drawn_to(shares: scipy.sparse.csr_matrix, side_of: NDArray[np.int64]) -> NDArray[np.int64]:
    """Divides points between sides.

    Args:
        shares: (n, n), from :func:`row_shares`.
        side_of: (n,), 0 .. k-1 for points whose side is settled, -1 for the others; k at least 1.

    Returns:
        (n,), for the others the side that a random walk most likely meets first, 0 if it meets none.
    """
    settled = side_of >= 0
    fixed = np.zeros((len(side_of), int(side_of.max()) + 1))
    fixed[settled, side_of[settled]] = 1.0
    met = fixed
    for _ in range(0 if settled.all() else _MANY_STEPS):
        met = np.where(settled[:, None], fixed, shares @ met)
    return np.asarray(np.argmax(met, axis=1), dtype=np.int64)

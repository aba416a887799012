"""Where UMAP begins if a run before has placed most of the points already.

Beginning from the old coordinates, a small change of the data is a small change of the result. What is new is placed
beside its neighbours, as UMAP's own ``transform`` does it (McInnes, Healy and Melville 2018, arXiv:1802.03426, section
on new points). That would be wrong for images of a new kind, whose neighbours are mostly new too: the few old ones that
they know would pull them into the midst of another group. Such a body is set down by itself, in an empty place nearby.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import scipy.spatial
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.walks import are_beside, row_shares

#: Sweeps that place points whose neighbours are new as well.
_SWEEPS = 10
#: Places tried for a body of new points; the emptiest is taken.
_PLACES = 64
#: How far from each other points are set down that would stand in the same place, where UMAP has no direction to push
#: them in. UMAP puts neighbours at distances around 0.1 to 1.
_SCATTER = 0.05


def starting_points(
    graph: scipy.sparse.csr_matrix, before: NDArray[np.float32], seed: int
) -> NDArray[np.float32] | None:
    """Completes old coordinates.

    Args:
        graph: (n, n), symmetric weights between neighbours, at least 0.
        before: (n, r), old coordinates, NaN for points that had none.
        seed: of everything random.

    Returns:
        (n, r), all finite, the known ones as they were; None if too few are known for the others to find their place:
        less than half.
    """
    known: NDArray[np.bool_] = np.asarray(np.isfinite(before).all(axis=1))
    if before.shape[1] == 0 or 2 * np.count_nonzero(known) < len(known):
        return None
    points = np.where(known[:, None], before, 0.0).astype(np.float64)
    if known.all():
        return points.astype(np.float32)
    rng = np.random.default_rng(seed)
    weights = row_shares(graph)
    beside_old = ~known & are_beside(weights, known)
    placed = known.copy()
    for _ in range(_SWEEPS):
        reach = weights @ placed.astype(np.float64)
        movable = beside_old & (reach > 0)
        if not movable.any():
            break
        means = np.asarray(weights[movable] @ (points * placed[:, None])) / reach[movable, None]
        points[movable] = means
        placed |= movable
    _set_down_bodies(points, placed, graph, weights, rng)
    points[~known] += rng.normal(scale=_SCATTER, size=(np.count_nonzero(~known), points.shape[1]))
    return points.astype(np.float32)


def _set_down_bodies(
    points: NDArray[np.float64],
    placed: NDArray[np.bool_],
    graph: scipy.sparse.csr_matrix,
    weights: scipy.sparse.csr_matrix,
    rng: np.random.Generator,
) -> None:
    """Gives every body of points that hang together, and are not placed, an empty place of its own, in place."""
    rest = np.flatnonzero(~placed)
    if not len(rest):
        return
    centre = points[placed].mean(axis=0)
    spread = float(np.sqrt(((points[placed] - centre) ** 2).sum(axis=1).mean()))
    occupied = scipy.spatial.KDTree(points[placed])
    parts, part_of = scipy.sparse.csgraph.connected_components(graph[rest][:, rest], directed=False)
    in_order = rest[np.argsort(part_of, kind="stable")]
    for rows in np.split(in_order, np.cumsum(np.bincount(part_of, minlength=parts))[:-1]):
        reach = np.asarray(weights[rows] @ placed.astype(np.float64)).ravel().sum()
        pulled = np.asarray(weights[rows] @ (points * placed[:, None])).sum(axis=0)
        kin = pulled / reach if reach > 0 else centre
        directions = rng.normal(size=(_PLACES, points.shape[1]))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        places = kin + spread * directions * rng.uniform(0.2, 1.0, size=(_PLACES, 1))
        distances, _ = occupied.query(places)
        points[rows] = places[int(np.argmax(distances))]
        placed[rows] = True

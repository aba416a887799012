"""UMAP's optimisation: points that are neighbours in the graph draw together, any others push apart.

The forces, and how often each acts, are those of McInnes, Healy and Melville 2018 (arXiv:1802.03426, section 4.2), as
``umap.layouts`` has them. That one works in double precision; here it is single precision, which takes half the time,
and the code is kept compiled from process to process. It is one thread's work: several would meet at the same points,
and what comes out would be another result each time.
"""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

#: :func:`optimise`, or what does the same in another way.
Optimise = Callable[
    [scipy.sparse.csr_matrix, NDArray[np.float32], tuple[float, float], int, float, int, Callable[[float], None]],
    NDArray[np.float32],
]

#: Others that a point is pushed away from each time that a neighbour draws it, as in UMAP.
_NEGATIVES = 5


def optimise(
    graph: scipy.sparse.csr_matrix,
    start: NDArray[np.float32],
    curve: tuple[float, float],
    rounds: int,
    initial_step: float,
    seed: int,
    on_fraction: Callable[[float], None],
) -> NDArray[np.float32]:
    """Moves points until those that are neighbours stand together.

    Args:
        graph: (n, n), symmetric weights between neighbours, above 0.
        start: (n, r), where to begin; about 10 across.
        curve: UMAP's a and b: neighbours at distance x count as 1 / (1 + a * x^(2b)) alike.
        rounds: of optimisation. An edge with the greatest weight acts in each, another one in its share of them.
        initial_step: how far forces move a point in the first round; it falls to 0 by the last.
        seed: of everything random, at least 0. The same input and seed give the same result.
        on_fraction: called with the share of the work that is done.

    Returns:
        (n, r).
    """
    points = np.array(start, dtype=np.float32, order="C")
    rates = (graph.data / graph.data.max()).astype(np.float32)
    a, b = np.float32(curve[0]), np.float32(curve[1])
    for number in range(rounds):
        on_fraction(number / rounds)
        step = np.float32(initial_step * (1.0 - number / rounds))
        _advance(points, graph.indptr, graph.indices, rates, number, step, a, b, np.uint64(seed))
    on_fraction(1.0)
    return points


@numba.njit(cache=True, nogil=True, fastmath=True)
def _advance(points, indptr, indices, rates, number, step, a, b, seed):  # type: ignore[no-untyped-def]
    """One round, in place."""
    n, r = points.shape
    one, two, four, tiny = np.float32(1), np.float32(2), np.float32(4), np.float32(0.001)
    for i in range(n):
        # Marsaglia's xorshift, begun with what Steele's splitmix makes of seed, round and point.
        state = (seed + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(number) * np.uint64(n) + np.uint64(i)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = (state ^ (state >> np.uint64(31))) | np.uint64(1)
        for edge in range(indptr[i], indptr[i + 1]):
            rate = np.float64(rates[edge])
            if int(rate * (number + 1)) == int(rate * number):
                continue
            j = indices[edge]
            square = np.float32(0)
            for d in range(r):
                gap = points[i, d] - points[j, d]
                square += gap * gap
            if square > 0:
                power = square**b
                force = -two * a * b * power / (square * (a * power + one))
                for d in range(r):
                    pull = min(max(force * (points[i, d] - points[j, d]), -four), four) * step
                    points[i, d] += pull
                    points[j, d] -= pull
            for _ in range(_NEGATIVES):
                state ^= state << np.uint64(13)
                state ^= state >> np.uint64(7)
                state ^= state << np.uint64(17)
                k = np.int64(((state >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))
                square = np.float32(0)
                for d in range(r):
                    gap = points[i, d] - points[k, d]
                    square += gap * gap
                if square > 0:
                    force = two * b / ((tiny + square) * (a * square**b + one))
                    for d in range(r):
                        push = force * (points[i, d] - points[k, d])
                        points[i, d] += min(max(push, -four), four) * step

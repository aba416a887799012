"""UMAP's optimisation: points that are neighbours in the graph draw together, any others push apart.

The forces, and how often each acts, are those of McInnes, Healy and Melville 2018 (arXiv:1802.03426, section 4.2), as
``umap.layouts`` has them. What is done otherwise, so that it takes a tenth of the time on two cores:

* Points are in parts, and in turn every two parts are left to a thread, as teams meet in a tournament (Gemulla, Haas,
  Nijkamp and Sismanis 2011, doi:10.1145/2020408.2020426). No two threads ever meet at a point, and the number of
  threads changes nothing about the result.
* A point is not pushed away from five others one after the other, but from eight at once with five eighths of the
  force. They stand beside one another, in an order made by chance, so that the processor takes them in one go.
* Forces come from tables, within one per cent of what they are; and all of it is single precision.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from shoal_server.adapters.umap_hdbscan.turns import hold, tournament

#: :func:`optimise`, or what does the same in another way.
Optimise = Callable[
    [scipy.sparse.csr_matrix, NDArray[np.float32], tuple[float, float], int, float, int, Callable[[float], None], int],
    NDArray[np.float32],
]

#: Threads for as long as nothing else is done.
ALL_CORES = os.cpu_count() or 1
#: The force of others each time that a neighbour draws a point, in points, as in UMAP ...
_NEGATIVES = 5
#: ... and how many others share it.
_AT_ONCE = 8
#: Dimensions of a map, and those that points are grouped in if nobody says otherwise: up to as many, they are written
#: out.
_MAP_AXES, _FEW_AXES = 2, 5
#: Parts, by the number of points from which there are so many; half as many threads can be at work.
_PARTS = ((160_000, 16), (40_000, 8), (16_384, 4), (0, 1))
#: Rounds between two words on how far it is, where it is one thread's work.
_STRETCH = 10

#: Squares of distances from which and up to which forces are told apart, by exponent and the first 7 bits.
_NEAR, _FAR = 2.0**-30, 2.0**16
_SHIFT = np.int32(16)
#: What keeps two points at the same place from being thrown apart, as in UMAP.
_TINY = 0.001
_MOST = np.float32(4)


def optimise(
    graph: scipy.sparse.csr_matrix,
    start: NDArray[np.float32],
    curve: tuple[float, float],
    rounds: int,
    initial_step: float,
    seed: int,
    on_fraction: Callable[[float], None],
    threads: int = ALL_CORES,
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
        threads: at work at the same time, at least 1. With one, others of this process are hardly ever waited for.

    Returns:
        (n, r).
    """
    n, r = start.shape
    order = np.random.default_rng(seed).permutation(n)
    plan = _Plan.of(graph, order)
    if r > _FEW_AXES or n < _AT_ONCE:
        axes, move = r, _in_any_axes
    else:
        axes, move = (_MAP_AXES, _in_map_axes) if r <= _MAP_AXES else (_FEW_AXES, _in_few_axes)
    points = np.zeros((axes, n), dtype=np.float32)
    points[:r] = start[order].T
    tables = _tables(*curve)

    def advance(begin: int, end: int, first: int, last: int) -> None:
        move(
            points, plan.heads, plan.tails, plan.rates, plan.active, plan.bounds, plan.ranges, *tables,
            np.float32(initial_step), rounds, begin, end, first, last, np.uint64(seed),
        )  # fmt: skip

    if threads == 1 or len(plan.meetings) == 1:
        for begin in range(0, rounds, _STRETCH):
            on_fraction(begin / rounds)
            advance(begin, min(begin + _STRETCH, rounds), 0, len(plan.meetings))
    else:
        hold(
            plan.meetings,
            rounds,
            lambda number, task: advance(number, number + 1, task, task + 1),
            lambda number: on_fraction(number / rounds),
            threads,
        )
    on_fraction(1.0)
    placed = np.empty((n, r), dtype=np.float32)
    placed[order] = points[:r].T
    return placed


@dataclass(frozen=True, slots=True)
class _Plan:
    """The edges by the task that they belong to. Points are counted in the order that chance has put them in.

    Attributes:
        heads: int32 (edges,), of each edge, tasks one after the other.
        tails: int32 (edges,).
        rates: float32 (edges,), the share of rounds that each acts in.
        active: int32 (edges,), room to note the edges that act in a round.
        bounds: int64 (tasks + 1,), where each task begins.
        ranges: int64 (tasks, 4), the two parts of each: the first point, and how many points of the part have
            :data:`_AT_ONCE` from them on in it; 0, 0 if it has but one.
        meetings: the two parts of each, in the order of
            :func:`~shoal_server.adapters.umap_hdbscan.turns.tournament`.
    """

    heads: NDArray[np.int32]
    tails: NDArray[np.int32]
    rates: NDArray[np.float32]
    active: NDArray[np.int32]
    bounds: NDArray[np.int64]
    ranges: NDArray[np.int64]
    meetings: list[tuple[int, int]]

    @classmethod
    def of(cls, graph: scipy.sparse.csr_matrix, order: NDArray[np.int64]) -> _Plan:
        """The plan for points in an order, (n,)."""
        n = len(order)
        parts = next(count for least, count in _PARTS if n >= least)
        place = np.empty(n, dtype=np.int64)
        place[order] = np.arange(n)
        edges = graph.tocoo()
        heads, tails = place[edges.row], place[edges.col]
        limits = np.linspace(0, n, parts + 1).astype(np.int64)
        meetings = tournament(parts)
        task_of = np.zeros((parts, parts), dtype=np.int64)
        for task, (one, other) in enumerate(meetings):
            task_of[one, other] = task_of[other, one] = task
        # Edges within a part are for the first task that it is in.
        for one, other in meetings[: max(1, parts // 2)]:
            task_of[one, one] = task_of[other, other] = task_of[one, other]
        part = np.searchsorted(limits, np.arange(n), side="right") - 1
        tasks = task_of[part[heads], part[tails]]
        sorted_edges = np.argsort(tasks * n + heads, kind="stable")
        places = np.diff(limits) - min(_AT_ONCE, n) + 1
        return cls(
            heads=heads[sorted_edges].astype(np.int32),
            tails=tails[sorted_edges].astype(np.int32),
            rates=(edges.data / edges.data.max())[sorted_edges].astype(np.float32),
            active=np.empty(len(heads), dtype=np.int32),
            bounds=np.searchsorted(tasks[sorted_edges], np.arange(len(meetings) + 1)),
            ranges=np.array(
                [
                    (limits[one], places[one], *((0, 0) if one == other else (limits[other], places[other])))
                    for one, other in meetings
                ],
                dtype=np.int64,
            ),
            meetings=meetings,
        )


def _tables(a: float, b: float) -> tuple[np.int32, NDArray[np.float32], NDArray[np.float32]]:
    """Forces by the square of a distance, in units of that distance: the first entry's place, pulls and pushes."""
    first, last = (np.float32(end).view(np.int32) >> _SHIFT for end in (_NEAR, _FAR))
    places = np.arange(first, last + 1, dtype=np.int64)
    middles = ((places << _SHIFT) + (1 << (_SHIFT - 1))).astype(np.int32).view(np.float32).astype(np.float64)
    power = middles**b
    pulls = -2.0 * a * b * power / (middles * (a * power + 1.0))
    pushes = 2.0 * b / ((_TINY + middles) * (a * power + 1.0))
    return np.int32(first), pulls.astype(np.float32), pushes.astype(np.float32)


@numba.njit(inline="always")
def _find_active(rates, number, active):  # type: ignore[no-untyped-def]
    """Notes the edges that act in a round; how many. Without a branch, which nobody could predict."""
    count = 0
    before, after = np.float32(number), np.float32(number + 1)
    for edge in range(len(rates)):
        active[count] = edge
        count += int(rates[edge] * after) != int(rates[edge] * before)
    return count


@numba.njit(inline="always")
def _begun(seed, number):  # type: ignore[no-untyped-def]
    """Steele's splitmix makes of a seed and a number what Marsaglia's xorshift begins with."""
    state = (seed + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(number)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (state ^ (state >> np.uint64(31))) | np.uint64(1)


@numba.njit(inline="always")
def _next(state):  # type: ignore[no-untyped-def]
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    return state ^ (state << np.uint64(17))


@numba.njit(inline="always")
def _some_others(state, first, places, second, more):  # type: ignore[no-untyped-def]
    """The first of some points beside one another, of either part: there are so many places for it in each."""
    place = np.int64(((state >> np.uint64(32)) * np.uint64(places + more)) >> np.uint64(32))
    return first + place if place < places else second + place - places


@numba.njit(inline="always")
def _entry(square, lowest, highest):  # type: ignore[no-untyped-def]
    """Where the force at the square of a distance is in its table."""
    return min(max((np.float32(square).view(np.int32) >> _SHIFT) - lowest, np.int32(0)), highest)


@numba.njit(inline="always")
def _held(force):  # type: ignore[no-untyped-def]
    return min(max(force, -_MOST), _MOST)


# Arrays are given to none of the above within a loop: what numba does to count who uses them would stop the compiler
# from taking several at once.
#
# Each in one piece, with what it calls put in: sums are made in an order that the compiler chooses, and it would choose
# another one where some of the pieces come out of numba's cache and others do not.


@numba.njit(cache=True, nogil=True, fastmath=True)
def _in_few_axes(  # type: ignore[no-untyped-def]
    points, heads, tails, rates, active, bounds, ranges, lowest, pulls, pushes,
    initial_step, rounds, begin, end, first, last, seed,
):  # fmt: skip
    """Some rounds of some tasks, in place, in five dimensions: written out, so that all of it is in registers."""
    x, y, z, v, w = points[0], points[1], points[2], points[3], points[4]
    share, highest = np.float32(_NEGATIVES / _AT_ONCE), np.int32(len(pulls) - 1)
    for number in range(begin, end):
        step = np.float32(initial_step * (1.0 - number / rounds))
        for task in range(first, last):
            state = _begun(seed, number * len(ranges) + task)
            one, places, other, more = ranges[task]
            offset, stop = bounds[task], bounds[task + 1]
            count = _find_active(rates[offset:stop], number, active[offset:stop])
            for place in range(offset, offset + count):
                edge = offset + active[place]
                i, j = heads[edge], tails[edge]
                xi, yi, zi, vi, wi = x[i], y[i], z[i], v[i], w[i]
                state = _next(state)
                others = _some_others(state, one, places, other, more)
                xs = ys = zs = vs = ws = np.float32(0)
                for k in range(others, others + _AT_ONCE):
                    dx, dy, dz, dv, dw = xi - x[k], yi - y[k], zi - z[k], vi - v[k], wi - w[k]
                    force = pushes[_entry(dx * dx + dy * dy + dz * dz + dv * dv + dw * dw, lowest, highest)]
                    xs += _held(force * dx)
                    ys += _held(force * dy)
                    zs += _held(force * dz)
                    vs += _held(force * dv)
                    ws += _held(force * dw)
                dx, dy, dz, dv, dw = xi - x[j], yi - y[j], zi - z[j], vi - v[j], wi - w[j]
                force = pulls[_entry(dx * dx + dy * dy + dz * dz + dv * dv + dw * dw, lowest, highest)]
                dx, dy, dz, dv, dw = (
                    _held(force * dx),
                    _held(force * dy),
                    _held(force * dz),
                    _held(force * dv),
                    _held(force * dw),
                )
                x[j] -= dx * step
                y[j] -= dy * step
                z[j] -= dz * step
                v[j] -= dv * step
                w[j] -= dw * step
                x[i] = xi + (dx + xs * share) * step
                y[i] = yi + (dy + ys * share) * step
                z[i] = zi + (dz + zs * share) * step
                v[i] = vi + (dv + vs * share) * step
                w[i] = wi + (dw + ws * share) * step


@numba.njit(cache=True, nogil=True, fastmath=True)
def _in_map_axes(  # type: ignore[no-untyped-def]
    points, heads, tails, rates, active, bounds, ranges, lowest, pulls, pushes,
    initial_step, rounds, begin, end, first, last, seed,
):  # fmt: skip
    """The same in two dimensions."""
    x, y = points[0], points[1]
    share, highest = np.float32(_NEGATIVES / _AT_ONCE), np.int32(len(pulls) - 1)
    for number in range(begin, end):
        step = np.float32(initial_step * (1.0 - number / rounds))
        for task in range(first, last):
            state = _begun(seed, number * len(ranges) + task)
            one, places, other, more = ranges[task]
            offset, stop = bounds[task], bounds[task + 1]
            count = _find_active(rates[offset:stop], number, active[offset:stop])
            for place in range(offset, offset + count):
                edge = offset + active[place]
                i, j = heads[edge], tails[edge]
                xi, yi = x[i], y[i]
                state = _next(state)
                others = _some_others(state, one, places, other, more)
                xs = ys = np.float32(0)
                for k in range(others, others + _AT_ONCE):
                    dx, dy = xi - x[k], yi - y[k]
                    force = pushes[_entry(dx * dx + dy * dy, lowest, highest)]
                    xs += _held(force * dx)
                    ys += _held(force * dy)
                dx, dy = xi - x[j], yi - y[j]
                force = pulls[_entry(dx * dx + dy * dy, lowest, highest)]
                dx, dy = _held(force * dx), _held(force * dy)
                x[j] -= dx * step
                y[j] -= dy * step
                x[i] = xi + (dx + xs * share) * step
                y[i] = yi + (dy + ys * share) * step


@numba.njit(cache=True, nogil=True, fastmath=True)
def _in_any_axes(  # type: ignore[no-untyped-def]
    points, heads, tails, rates, active, bounds, ranges, lowest, pulls, pushes,
    initial_step, rounds, begin, end, first, last, seed,
):  # fmt: skip
    """The same in any number of dimensions, and for very few points."""
    r, n = points.shape
    at_once = min(_AT_ONCE, n)
    share, highest = np.float32(_NEGATIVES / at_once), np.int32(len(pulls) - 1)
    forces = np.empty(at_once, dtype=np.float32)
    for number in range(begin, end):
        step = np.float32(initial_step * (1.0 - number / rounds))
        for task in range(first, last):
            state = _begun(seed, number * len(ranges) + task)
            one, places, other, more = ranges[task]
            offset, stop = bounds[task], bounds[task + 1]
            count = _find_active(rates[offset:stop], number, active[offset:stop])
            for place in range(offset, offset + count):
                edge = offset + active[place]
                i, j = heads[edge], tails[edge]
                state = _next(state)
                others = _some_others(state, one, places, other, more)
                for k in range(at_once):
                    square = np.float32(0)
                    for d in range(r):
                        gap = points[d, i] - points[d, others + k]
                        square += gap * gap
                    forces[k] = pushes[_entry(square, lowest, highest)]
                square = np.float32(0)
                for d in range(r):
                    gap = points[d, i] - points[d, j]
                    square += gap * gap
                force = pulls[_entry(square, lowest, highest)]
                for d in range(r):
                    own = points[d, i]
                    pushed = np.float32(0)
                    for k in range(at_once):
                        pushed += _held(forces[k] * (own - points[d, others + k]))
                    pulled = _held(force * (own - points[d, j]))
                    points[d, j] -= pulled * step
                    points[d, i] = own + (pulled + pushed * share) * step

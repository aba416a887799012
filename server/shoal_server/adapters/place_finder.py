"""Finds places by density.

Importing this module is cheap; hdbscan is imported where the work is done.
"""

from __future__ import annotations

import asyncio
import logging
import math
import multiprocessing
import os
import signal
import traceback
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import NOISE
from shoal_server.domain.errors import ClusteringFailed
from shoal_server.domain.places import EARTH_RADIUS_KM, center_and_radius, on_sphere

#: Places whose gap is no wider than this are one: a house and its garden are not two places.
ONE_SPOT_KM = 0.3
#: What is wider than this is taken apart at its gaps, those of :data:`WIDEST_GAP_KM` first, then at ever smaller ones.
WIDEST_RADIUS_KM = 50.0
WIDEST_GAP_KM = 10.0
#: The smallest place in images, up to a thousand located ones; as many more for every tenfold of those.
FEWEST_IMAGES = 5

# Up to so many images the work takes less time than the start of a process.
_FEW = 5000
# Positions are rounded to this many degrees, a metre: closer ones are the same.
_GRID_DEGREES = 1e-5
# The distance to this neighbour is the density: the smallest place must have so many beside each image.
_NEIGHBORS = FEWEST_IMAGES - 1
# How far the copies of a position are spread: without a distance between them density is infinite.
_SPREAD_KM = 0.001
_NICENESS = 10

_log = logging.getLogger(__name__)


class DensePlaces:
    """A ``PlaceFinder`` by HDBSCAN (Campello, Moulavi and Sander 2013, doi:10.1007/978-3-642-37456-2_14).

    The metric is the chord between positions on the sphere, twice the square root of the haversine: the same order as
    the haversine distance and, over the size of a place, the same number, but it has a faster index. Many images work
    in a process of their own, which is spawned, never forked, and ends with the task that waits for it.
    """

    def __init__(self, few: int = _FEW) -> None:
        """Args:
        few: up to so many images are worked on in a thread of this process.
        """
        self._few = few

    async def find(self, degrees: NDArray[np.float64]) -> NDArray[np.int64]:
        """See ``PlaceFinder``."""
        if len(degrees) <= self._few:
            return await asyncio.to_thread(dense_places, degrees)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_main, args=(theirs,), name="shoal-places", daemon=True)
        # Not in a thread: it takes milliseconds, and a cancelled thread would leave a process that nobody knows of.
        process.start()
        # Only if nobody else holds the other end does its death end our waiting.
        theirs.close()
        try:
            answer = await asyncio.to_thread(_ask, ours, degrees)
        except (EOFError, OSError) as error:
            raise ClusteringFailed("the process that finds places ended early") from error
        finally:
            process.kill()
            await asyncio.shield(asyncio.to_thread(process.join))
            ours.close()
        if isinstance(answer, _Failed):
            _log.error("finding places raised an error\n%s", answer.traceback)
            raise ClusteringFailed(answer.problem)
        return answer


def dense_places(degrees: NDArray[np.float64]) -> NDArray[np.int64]:
    """Groups positions by density.

    Args:
        degrees: (n, 2), latitude and longitude, finite; the same position may occur any number of times.

    Returns:
        Labels (n,), 0 .. k-1 in the order of the rows, -1 for images at no place.
    """
    smallest = _smallest_place(len(degrees))
    if len(degrees) < smallest:
        return np.full(len(degrees), NOISE, dtype=np.int64)
    # Adding 0 makes -0 the same as 0.
    rounded = np.round(degrees / _GRID_DEGREES) + 0.0
    positions, position_of, copies = np.unique(rounded, axis=0, return_inverse=True, return_counts=True)
    # As many copies as make a place are as good as all.
    copies = np.minimum(copies, smallest)
    points = _spread(on_sphere(positions * _GRID_DEGREES), copies)
    spots = np.repeat(np.arange(len(positions)), copies)
    labels = np.full(len(positions), NOISE, dtype=np.int64)
    number = 0
    waiting = [(np.arange(len(points)), WIDEST_GAP_KM)]
    while waiting:
        rows, gap = waiting.pop()
        for members in _members(rows, _groups(points[rows], smallest)):
            _, radius = center_and_radius(positions[np.unique(spots[members])] * _GRID_DEGREES)
            if radius <= WIDEST_RADIUS_KM or gap < ONE_SPOT_KM:
                labels[spots[members]] = number
                number += 1
            else:
                parts = _members(members, _parts(points[members], smallest, gap))
                waiting += [(part, gap / 2) for part in parts]
    return _in_order_of_rows(labels[position_of.reshape(-1)])


def _smallest_place(n: int) -> int:
    """In images. It grows so slowly that few places are lost when a collection grows."""
    return FEWEST_IMAGES + int(FEWEST_IMAGES * max(math.log10(max(n, 1) / 1000), 0.0))


def _groups(points: NDArray[np.float64], smallest: int) -> NDArray[np.int64]:
    """Labels (n,) of unit vectors (n, 3), no two the same; all may be one group."""
    # HDBSCAN weighs the branches of a tree against one another, and the trunk is none. With some points far off the
    # sphere all others are a branch, too.
    apart = np.array([[0.0, 0.0, 4.0]]) + np.arange(2 * smallest)[:, None] * np.array([[1e-3, 0.0, 0.0]])
    labels: NDArray[np.int64] = _fit(np.concatenate([points, apart]), smallest).labels_[: len(points)]
    return labels


def _parts(points: NDArray[np.float64], smallest: int, gap_km: float) -> NDArray[np.int64]:
    """Labels (n,) of what is left of n unit vectors when gaps wider than this are cut."""
    tree = _fit(points, smallest).single_linkage_tree_
    labels: NDArray[np.int64] = tree.get_clusters(gap_km / EARTH_RADIUS_KM, smallest)
    return labels


def _fit(points: NDArray[np.float64], smallest: int) -> Any:
    import hdbscan

    with warnings.catch_warnings():
        # scikit-learn renames its arguments from time to time.
        warnings.simplefilter("ignore", FutureWarning)
        return hdbscan.HDBSCAN(
            min_cluster_size=smallest,
            min_samples=_NEIGHBORS,
            cluster_selection_epsilon=ONE_SPOT_KM / EARTH_RADIUS_KM,
            core_dist_n_jobs=1,  # more would start processes of their own
        ).fit(points)


def _members(rows: NDArray[np.int64], labels: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The rows of each label, noise excepted."""
    order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[order], return_index=True)
    return [rows[part] for part in np.split(order, starts[1:]) if len(part) and labels[part[0]] != NOISE]


def _spread(centers: NDArray[np.float64], copies: NDArray[np.int64]) -> NDArray[np.float64]:
    """Repeats unit vectors (n, 3), the copies in a spiral (Vogel 1979) around the first."""
    repeated = np.repeat(centers, copies, axis=0)
    number = np.arange(len(repeated)) - np.repeat(np.cumsum(copies) - copies, copies)
    # Two directions along the ground; the axis that is least parallel to the vertical gives the first.
    axes = np.eye(3)[np.abs(repeated).argmin(axis=1)]
    along = np.cross(repeated, axes)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.cross(repeated, along)
    angles = number * np.pi * (3 - np.sqrt(5))
    reach = _SPREAD_KM / EARTH_RADIUS_KM * np.sqrt(number)
    moved = repeated + (reach * np.cos(angles))[:, None] * along + (reach * np.sin(angles))[:, None] * across
    spread: NDArray[np.float64] = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return spread


def _in_order_of_rows(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    found, first, rows = np.unique(labels, return_index=True, return_inverse=True)
    is_place = found != NOISE
    numbers = np.full(len(found), NOISE, dtype=np.int64)
    numbers[is_place] = np.argsort(np.argsort(first[is_place]))
    return numbers[rows]


@dataclass(frozen=True, slots=True)
class _Failed:
    problem: str
    traceback: str


def _ask(connection: Connection, degrees: NDArray[np.float64]) -> NDArray[np.int64] | _Failed:
    connection.send(degrees)
    answer: NDArray[np.int64] | _Failed = connection.recv()
    return answer


def _main(connection: Connection) -> None:
    """Entry point of the process: one question, one answer."""
    # Ctrl-C reaches the whole process group; the parent decides what becomes of this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICENESS)
    try:
        answer: NDArray[np.int64] | _Failed = dense_places(connection.recv())
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent tells it
        answer = _Failed(f"{type(error).__name__}: {error}", traceback.format_exc())
    connection.send(answer)

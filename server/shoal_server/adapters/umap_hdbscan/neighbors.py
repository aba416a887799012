"""Nearest neighbours by cosine similarity: exact among few, nearly so among many."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from shoal_server.adapters.umap_hdbscan.inverted_lists import InvertedLists

#: :func:`nearest_others`, or what does the same in another way.
FindNearest = Callable[[NDArray[np.float32], int, int], tuple[NDArray[np.int64], NDArray[np.float32]]]

#: Similarities held at once, as float32: 64 MiB.
_BLOCK = 1 << 24
#: Up to so many vectors all pairs are compared. Of 50,000, 512 values each, that takes twice as long as the lists.
_ALL_PAIRS = 20_000
#: Vectors looked up at once.
_QUERIES = 4_096


def nearest_others(
    vectors: NDArray[np.float32], k: int, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Finds each row's k nearest other rows; the row itself is never among them.

    Of up to 20,000 rows all pairs are compared, by blocked matrix product; of more, those in the same region
    (:mod:`~shoal_server.adapters.umap_hdbscan.inverted_lists`), among which nearly all of the nearest are. Memory
    beside the result is bounded, and in the second case that of the vectors once more. The same input gives the same
    answer.

    Args:
        vectors: (n, d), unit length, n at least 2.
        k: 1 to n - 1.
        seed: of the regions.

    Returns:
        Rows (n, k), best first, of equally similar ones the first first, and cosine similarities (n, k), -1 to 1.
    """
    return _among_all(vectors, k) if len(vectors) <= _ALL_PAIRS else _by_lists(vectors, k, seed)


def _by_lists(vectors: NDArray[np.float32], k: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    n = len(vectors)
    # Before the lists: what is laid out after them would keep their memory from being given back.
    rows = np.empty((n, k), dtype=np.int64)
    similarities = np.empty((n, k), dtype=np.float32)
    lists = InvertedLists(vectors, seed)

    def look_up(start: int) -> None:
        part = slice(start, min(start + _QUERIES, n))
        found, values = lists.search(vectors[part], k + 1)
        rows[part], similarities[part] = without_themselves(found, values, start)

    # One block a thread, rather than one product on all: sorting out the nearest takes as long as the products.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(look_up, range(0, n, _QUERIES)))
    return rows, similarities


def without_themselves(
    found: NDArray[np.int64], values: NDArray[np.float32], start: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Takes each row's own place out of what was found for it.

    Args:
        found: (q, k + 1), rows found for the rows from ``start`` on, best first.
        values: (q, k + 1), their similarities.
        start: the first of those rows.

    Returns:
        Both with k columns.
    """
    q, width = found.shape
    own = found == np.arange(start, start + q)[:, None]
    # Of more than k identical ones a row may miss itself: then the last goes.
    own[~own.any(axis=1), -1] = True
    return found[~own].reshape(q, width - 1), values[~own].reshape(q, width - 1)


def _among_all(vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    n = len(vectors)
    rows = np.empty((n, k), dtype=np.int64)
    similarities = np.empty((n, k), dtype=np.float32)
    step = max(1, _BLOCK // n)
    for start in range(0, n, step):
        stop = min(start + step, n)
        block = vectors[start:stop] @ vectors.T
        block[np.arange(stop - start), np.arange(start, stop)] = -np.inf
        best = np.sort(np.argpartition(block, n - k, axis=1)[:, n - k :], axis=1)
        values = np.take_along_axis(block, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[start:stop] = np.take_along_axis(best, order, axis=1)
        similarities[start:stop] = np.take_along_axis(values, order, axis=1)
    return rows, np.clip(similarities, -1.0, 1.0, out=similarities)

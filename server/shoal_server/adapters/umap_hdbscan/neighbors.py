"""Exact nearest neighbours by cosine similarity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Similarities held at once, as float32: 64 MiB.
_BLOCK = 1 << 24


def nearest_others(vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Finds each row's k nearest other rows; the row itself is never among them.

    By blocked matrix product: O(n^2 d) operations, O(n k) memory. The same input gives the same answer; among equally
    similar rows the one that comes first is named first.

    Args:
        vectors: (n, d), unit length, n at least 2.
        k: 1 to n - 1.

    Returns:
        Rows (n, k), best first, and their cosine similarities (n, k), -1 to 1.
    """
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

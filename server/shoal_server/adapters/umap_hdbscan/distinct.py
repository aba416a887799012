"""Identical vectors, brought down to one each and back."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def distinct_rows(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Finds rows that are identical bit by bit.

    Args:
        vectors: (n, d).

    Returns:
        The first row of each kind (m,), ascending, and the position in it of each row's kind (n,).
    """
    # A row that begins as no other does is one of a kind; only the others are looked at as a whole.
    heads = np.ascontiguousarray(vectors[:, :2]).view(f"V{vectors[:, :2].shape[1] * vectors.itemsize}").ravel()
    _, head_of, counts = np.unique(heads, return_inverse=True, return_counts=True)
    like = np.arange(len(vectors))
    kinds: dict[bytes, int] = {}
    for row in np.flatnonzero(counts[head_of] > 1).tolist():
        # Digests: the bytes themselves would fill as much memory as the vectors once more.
        like[row] = kinds.setdefault(hashlib.blake2b(vectors[row].tobytes(), digest_size=16).digest(), row)
    first = np.flatnonzero(like == np.arange(len(vectors)))
    return first, np.searchsorted(first, like)

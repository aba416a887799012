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
    kinds: dict[bytes, int] = {}
    first: list[int] = []
    kind_of = np.empty(len(vectors), dtype=np.int64)
    for row, vector in enumerate(vectors):
        # Digests: the bytes themselves would fill as much memory as the vectors once more.
        digest = hashlib.blake2b(vector.tobytes(), digest_size=16).digest()
        kind = kinds.setdefault(digest, len(first))
        if kind == len(first):
            first.append(row)
        kind_of[row] = kind
    return np.array(first, dtype=np.int64), kind_of

"""A number for each vector, by which it is seen later whether the image has another vector now.

It is the place of the vector along one fixed line, and no digest of its bytes: the same vector, brought to unit length
by another processor or by the store that it moved to, differs in its last bits, and so little then does its place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Places of one vector differ by less: ten times what a component may differ by when a collection moves.
_TOLERANCE = 1e-5


def fingerprints(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Takes them.

    Args:
        vectors: (n, d), unit length.

    Returns:
        (n,), the same in every run and on every machine but for the last bits.
    """
    # Of all of numpy's random numbers, only what a bit generator itself gives never changes between versions.
    drawn = np.asarray(np.random.PCG64(0).random_raw(vectors.shape[1]), dtype=np.uint64)
    line = (drawn / 2.0**63 - 1.0).astype(np.float32)
    taken: NDArray[np.float32] = vectors @ line
    return taken


def have_changed(now: NDArray[np.float32], before: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which images have another vector than before.

    Of vectors that have nothing to do with each other, one in some hundred thousand pairs is taken for the same.

    Args:
        now: (n,), their fingerprints.
        before: (n,), as they were; NaN where that is not known.

    Returns:
        bool (n,); False where nothing is known.
    """
    changed: NDArray[np.bool_] = np.abs(now - before) > _TOLERANCE
    return changed

"""Principal component analysis, for starting points and for very few points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def principal_axes(points: NDArray[np.float32], axes: int) -> NDArray[np.float32]:
    """Projects points on the directions in which they differ most.

    Args:
        points: (n, d), n at least 1.
        axes: how many.

    Returns:
        (n, axes); zeros where the points have no further direction.
    """
    centred = points.astype(np.float64) - points.mean(axis=0, dtype=np.float64)
    left, scales, _ = np.linalg.svd(centred, full_matrices=False)
    found = min(axes, len(scales))
    projected = np.zeros((len(points), axes), dtype=np.float32)
    projected[:, :found] = left[:, :found] * scales[:found]
    return projected

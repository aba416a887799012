"""Principal component analysis, for reducing dimensions, for starting points and for very few points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Values held at once as float64: 64 MiB.
_BLOCK = 1 << 23


def principal_axes(points: NDArray[np.float32], axes: int) -> NDArray[np.float32]:
    """Projects points on the directions in which they differ most.

    Every axis points to where its longer tail is, so that nearly the same points give nearly the same result and not
    its mirror image. Memory beside the result is that of a (d, d) or an (n, n) matrix, whichever is smaller.

    Args:
        points: (n, d), n at least 1.
        axes: how many.

    Returns:
        (n, axes); zeros where the points have no further direction.
    """
    n, d = points.shape
    mean = points.mean(axis=0, dtype=np.float64)
    found = min(axes, n, d)
    if n <= d:
        left, scales, _ = np.linalg.svd(points - mean, full_matrices=False)
        leading = left[:, :found] * scales[:found]
    else:
        step = max(1, _BLOCK // d)
        scatter = np.zeros((d, d))
        for start in range(0, n, step):
            centred = points[start : start + step] - mean
            scatter += centred.T @ centred
        directions = np.linalg.eigh(scatter)[1][:, ::-1][:, :found]
        leading = np.empty((n, found))
        for start in range(0, n, step):
            leading[start : start + step] = (points[start : start + step] - mean) @ directions
    leading *= np.where((leading**3).sum(axis=0) < 0, -1.0, 1.0)
    projected = np.zeros((n, axes), dtype=np.float32)
    projected[:, :found] = leading
    return projected

"""How a cost grows with the number of images: a power law fitted to measured points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GrowthLaw:
    """``cost = factor * n ** slope``.

    Attributes:
        slope: of the line in a plot whose axes are both logarithmic; 1 is proportional growth.
        factor: the cost of one image by the law.
        start: the smallest n that it was fitted to.
        stop: the largest.
        residual: the most by which a point is off the law, as a share of the law's value.
    """

    slope: float
    factor: float
    start: int
    stop: int
    residual: float

    def at(self, n: float) -> float:
        """The cost of n images by the law; beyond ``stop`` it is an extrapolation."""
        return float(self.factor * n**self.slope)


def fitted(points: Sequence[tuple[int, float]]) -> GrowthLaw:
    """Least squares on the logarithms, every point alike.

    Args:
        points: numbers of images and costs, all above 0.

    Raises:
        ValueError: there are fewer than two different numbers of images, or a number or a cost is not above 0.
    """
    if len({n for n, _ in points}) < 2:
        raise ValueError(f"a slope needs points at two numbers of images, not at {len({n for n, _ in points})}")
    if any(n <= 0 or cost <= 0 for n, cost in points):
        raise ValueError("a number of images or a cost that is not above 0 has no logarithm")
    numbers, costs = (np.log([float(point[axis]) for point in points]) for axis in (0, 1))
    slope, intercept = np.polyfit(numbers, costs, 1)
    off = np.abs(np.exp(costs - (slope * numbers + intercept)) - 1)
    return GrowthLaw(
        slope=float(slope),
        factor=float(np.exp(intercept)),
        start=min(n for n, _ in points),
        stop=max(n for n, _ in points),
        residual=float(off.max()),
    )

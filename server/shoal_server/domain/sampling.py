"""Which images stand for all of them, where there are too many to be clustered together.

A stratified sample: every cluster is a stratum, and so are the images in none, and those that came since. Each stratum
gets the same share, but a small one as many as say where it is (:data:`ENOUGH`), so that it does not vanish from the
sample and its id with it. Within a stratum those images are taken that come first in an order drawn by lot, which each
image's id alone decides: the sample of a collection that has grown a little is mostly the same images, and so the
clusters are the same.

Without clusters there is one stratum. To find strata by a quick clustering first would gain nothing: where all get the
same share, what the lot adds to a group's number is small beside the smallest group that can be found in the sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

#: Images of a cluster that are in the sample at least, if it has so many.
ENOUGH = 100
#: At most this share of the sample is given to small clusters beyond their due.
_MOST_FOR_SMALL = 0.5

#: Images of the sample for each cluster that is asked for, at least.
_FOR_EACH = 20

_LOW = (1 << 64) - 1
_ID_BATCH = 65_536


@dataclass(frozen=True, slots=True)
class Sampling:
    """When a sample is clustered, and how large it is.

    Attributes:
        above: so many images are clustered together.
        size: images of the sample where there are more.
    """

    above: int
    size: int

    def of(
        self, ids: Sequence[UUID], strata: NDArray[np.int64], seed: int, n_clusters: int | None = None
    ) -> NDArray[np.int64] | None:
        """The rows to cluster of n images, ascending; None: all of them.

        Args:
            ids: of the images.
            strata: (n,), any number for each stratum.
            seed: of the lots.
            n_clusters: how many clusters are asked for.
        """
        size = max(self.size, _FOR_EACH * (n_clusters or 0))
        if len(ids) <= max(self.above, size):
            return None
        return stratified_sample(lots(ids, seed), strata, size)


def lots(ids: Sequence[UUID], seed: int) -> NDArray[np.uint64]:
    """A number for each of n images, uint64 (n,), that its id and the seed alone decide; as good as drawn by lot."""
    drawn = np.empty(len(ids), dtype=np.uint64)
    for start in range(0, len(ids), _ID_BATCH):
        batch = ids[start : start + _ID_BATCH]
        halves = np.frombuffer(b"".join(each.bytes for each in batch), dtype="<u8").reshape(-1, 2)
        drawn[start : start + len(batch)] = _mixed(_mixed(halves[:, 0] + np.uint64(seed & _LOW)) ^ halves[:, 1])
    return drawn


def stratified_sample(drawn: NDArray[np.uint64], strata: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Chooses images.

    Args:
        drawn: (n,), from :func:`lots`; in each stratum the lowest are taken.
        strata: (n,), any number for each stratum.
        size: of the sample, at least 1.

    Returns:
        Rows, ascending: ``size`` of them, or all n if there are not more.
    """
    n = len(drawn)
    if n <= size:
        return np.arange(n, dtype=np.int64)
    _, stratum_of, sizes = np.unique(strata, return_inverse=True, return_counts=True)
    taken = _shares(sizes, size)
    order = np.lexsort([drawn, stratum_of])
    place = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[place < np.repeat(taken, sizes)]).astype(np.int64)


def _shares(sizes: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """How many of each stratum; together ``size``, which is less than the sum of the sizes."""
    least = np.minimum(sizes, min(ENOUGH, int(_MOST_FOR_SMALL * size / len(sizes))))
    # The share that makes the sum right; what a stratum gets grows with it, so halving finds it.
    low, high = 0.0, 1.0
    for _ in range(64):
        share = 0.5 * (low + high)
        low, high = (share, high) if np.maximum(least, share * sizes).sum() < size else (low, share)
    due = np.maximum(least, low * sizes)
    taken: NDArray[np.int64] = np.floor(due).astype(np.int64)
    # What rounding left goes to those that lost most by it.
    left = size - int(taken.sum())
    neediest = np.lexsort([-sizes, -(np.minimum(due, sizes) - taken)])
    neediest = neediest[taken[neediest] < sizes[neediest]]
    taken[neediest[:left]] += 1
    return taken


def _mixed(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    unsigned: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return unsigned

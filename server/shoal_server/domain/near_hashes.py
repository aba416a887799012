"""Finding the perceptual hashes that are near one another, however their pictures are turned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain import phash
from shoal_server.domain.phash import Hashes

#: Of so many hashes all pairs are compared: a second's work, and nothing is missed.
_ALL_PAIRS = 8_000
#: Most pairs that are compared at once, unless one hash has more; bounds the memory, to some 50 MB.
_AT_ONCE = 1_000_000
#: A hash of which the parts have more in common with others than this part of all hashes is compared with all: it
#: takes as long, and misses nothing.
_DENSE = 0.25

#: A hash is cut into parts of 16 bits: two rows of its matrix each.
_PARTS = 4
_PART_BITS = 16
#: What parts that differ in at most one bit differ in.
_PROBES = np.array([0, *(1 << bit for bit in range(_PART_BITS))], np.int64)

#: Rows of two arrays, int64 (m,) each.
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def near_pairs(hashes: Hashes, most: int) -> Iterator[Pairs]:
    """The pairs of hashes that differ in few bits in one of the eight ways to turn them.

    Up to 8,000 hashes are all compared with one another. Of more, those pairs are found that agree in all but one bit
    of some quarter of the hash: all up to a distance of 7, 96 % at 8 and 78 % at 10 if the differing bits lie anywhere
    (multi-index hashing, Norouzi, Punjani and Fleet 2012); in practice they lie together, and more are found. A hash
    of which that looks at most of the others repeatedly is compared with all of them.

    The memory is bounded however many pairs there are; the time is not: some 10 ns for each pair of hashes that are
    looked at and some 100 ns for each that is near.

    Args:
        hashes: uint64 (n,), all different.
        most: bits that they may differ in.

    Yields:
        Rows of pairs, each pair once, the second row below the first; all pairs of one first row at once, all that come
        at once in the order of the rows, then of the others.
    """
    ways = phash.turned(hashes)
    rows = np.arange(len(hashes))
    if len(hashes) <= _ALL_PAIRS:
        yield from _of_all_pairs(hashes, ways, rows, most)
        return
    index = [_Part(hashes, part) for part in range(_PARTS)]
    sizes = np.sum([part.sizes(ways) for part in index], axis=0)
    dense = sizes > len(hashes) * _DENSE
    yield from _of_all_pairs(hashes, ways, rows[dense], most)
    sparse = rows[~dense]
    for start, stop in stretches(sizes[sparse], _AT_ONCE):
        yield _of_equal_parts(hashes, ways, index, sparse[start:stop], most)


def _of_all_pairs(hashes: Hashes, ways: Hashes, rows: NDArray[np.int64], most: int) -> Iterator[Pairs]:
    """Near pairs of which some rows, in ascending order, are the first."""
    step = max(1, _AT_ONCE // max(len(hashes), 1))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        nearest = np.full((len(some), some[-1]), phash.BITS, np.uint8)
        for way in range(phash.TURNS):
            np.minimum(nearest, phash.distances(ways[some, way, None], hashes[: some[-1]]), out=nearest)
        places, others = np.nonzero(nearest <= most)
        below = others < some[places]
        yield some[places[below]], others[below]


def _of_equal_parts(hashes: Hashes, ways: Hashes, index: Sequence[_Part], some: NDArray[np.int64], most: int) -> Pairs:
    """Near pairs of which some rows are the first, that agree in all but one bit of a part."""
    found = []
    for part in index:
        for way in range(phash.TURNS):
            places, others = part.alike(ways[some, way])
            rows = some[places]
            below = others < rows
            rows, others = rows[below], others[below]
            near = phash.distances(ways[rows, way], hashes[others]) <= most
            found.append(rows[near] * len(hashes) + others[near])
    keys = np.unique(np.concatenate(found))
    return keys // len(hashes), keys % len(hashes)


class _Part:
    """One part of all hashes: which of them have which one there."""

    def __init__(self, hashes: Hashes, part: int) -> None:
        self._part = part
        own = self._of(hashes)
        self._rows = np.argsort(own, kind="stable")
        self._starts = np.searchsorted(own[self._rows], np.arange(2**_PART_BITS + 1))

    def sizes(self, ways: Hashes) -> NDArray[np.int64]:
        """How many hashes are like each of some others in this part, in any of their ways, int64 (n,)."""
        counts = np.diff(self._starts)
        probed = np.sum([counts[np.arange(2**_PART_BITS) ^ probe] for probe in _PROBES], axis=0)
        sizes: NDArray[np.int64] = np.sum([probed[self._of(way)] for way in ways.T], axis=0)
        return sizes

    def alike(self, turned: Hashes) -> Pairs:
        """Each of some hashes with each that agrees with it in all but one bit of this part."""
        parts = (self._of(turned)[:, None] ^ _PROBES).ravel()
        entries, places = expanded(self._starts[parts], self._starts[parts + 1])
        return entries // len(_PROBES), self._rows[places]

    def _of(self, hashes: Hashes) -> NDArray[np.int64]:
        return ((hashes >> np.uint64(self._part * _PART_BITS)) & np.uint64(2**_PART_BITS - 1)).astype(np.int64)


def expanded(first: NDArray[np.int64], last: NDArray[np.int64]) -> Pairs:
    """Each of n rows with each number from its first to before its last, int64 (m,) each, in the order of the rows."""
    counts = last - first
    rows = np.repeat(np.arange(len(counts)), counts)
    return rows, np.arange(len(rows)) - (np.cumsum(counts) - counts - first)[rows]


def stretches(sizes: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Cuts n things into stretches of a bounded size, unless a single one is larger.

    Args:
        sizes: of each, int64 (n,).
        most: that the sizes of a stretch may add up to.

    Yields:
        Where each stretch begins, and where it ends.
    """
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield start, stop
        start = stop

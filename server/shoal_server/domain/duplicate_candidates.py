"""Which pairs of images are worth comparing to find duplicates: a bounded number for each image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain import phash
from shoal_server.domain.duplicates import MOST_DISTANCE
from shoal_server.domain.near_hashes import Pairs, expanded, near_pairs, stretches
from shoal_server.domain.phash import Hashes
from shoal_server.domain.trait_table import Rows, TraitTable

#: Of the images of one hash, others are compared with those worth most alone, so that a thousand copies of a picture
#: are not a million pairs.
_OF_ONE_HASH = 32
#: The images of a hash are compared with so many images of near hashes, rounded up to whole hashes.
_NEAREST = 64
#: Of these, so many are those worth most, however near they are: one of them will be the keeper of all.
_WORTH_MOST = 16
#: Pairs that are made at once, unless one image has more; bounds the memory.
_AT_ONCE = 1 << 18


def candidates(table: TraitTable, *, include_bursts: bool = False) -> Iterator[Pairs]:
    """The pairs of images that may be duplicates by their hashes and shapes and when they were taken.

    Both memory and pairs are bounded, for a fixed camera's thousand photographs are all near one another. An image is
    compared with the 32 that are worth most of its own hash, and with 64 to 95 of near hashes whose best images are
    worth more than its own hash's best: of each such hash the 32 worth most; first those of the hashes worth most, to
    16 images, then those of the nearest. What can be no duplicates as photographs of a burst, or by their shapes, is
    not counted, unless there are several images of one of the two hashes.

    So nothing is missed unless more than 64 other images are near an image and worth more, and what it is a copy of is
    neither among the nearest nor among those worth most. Then it may be put with another copy of the same, or be left
    out.

    Args:
        table: n images, in the order of their worth.
        include_bursts: as :func:`shoal_server.domain.duplicates.may_be_duplicates`.

    Yields:
        Rows of the images, int64 (m,) each, no pair twice in either order.
    """
    hashes, owners = _hashes(table)
    images = _Images(owners, len(hashes))
    for rows, others in images.of_one_hash():
        yield _possible(table, rows, others, include_bursts)
    for some, near in near_pairs(hashes, MOST_DISTANCE):
        nearness = table.nearness(images.best[some], images.best[near], include_bursts=include_bursts)
        kept = images.several(some, near) | (nearness < phash.BITS)
        some, near = _nearest(some[kept], near[kept], nearness[kept], images.counts)
        several = images.several(some, near)
        # Of hashes with one image each nothing is left to be found out.
        yield images.best[some[~several]], images.best[near[~several]]
        for rows, others in images.of_near_hashes(some[several], near[several]):
            yield _possible(table, rows, others, include_bursts)


def _hashes(table: TraitTable) -> tuple[Hashes, Rows]:
    """The different hashes, in the order of their best images, and which of them each image has, int64 (n,)."""
    values, best, owners = np.unique(table.hashes, return_index=True, return_inverse=True)
    order = np.argsort(best)
    return values[order], np.argsort(order)[owners]


class _Images:
    """The images of each of h hashes.

    Attributes:
        counts: how many it has, int64 (h,), at least 1.
        best: row of the one worth most, int64 (h,).
    """

    def __init__(self, owners: Rows, hashes: int) -> None:
        self.counts = np.bincount(owners, minlength=hashes)
        self._rows = np.argsort(owners, kind="stable")
        self._starts = np.cumsum(self.counts) - self.counts
        self.best = self._rows[self._starts]
        self._first = self._starts[owners[self._rows]]

    def several(self, some: Rows, near: Rows) -> NDArray[np.bool_]:
        """Whether either hash of each pair has several images."""
        many = self.counts > 1
        either: NDArray[np.bool_] = many[some] | many[near]
        return either

    def of_one_hash(self) -> Iterator[Pairs]:
        """Each image with those of its hash that are worth more, a bounded number of them."""
        before = np.arange(len(self._rows)) - self._first
        compared = np.minimum(before, _OF_ONE_HASH)
        for start, stop in stretches(compared, _AT_ONCE):
            places, others = expanded(self._first[start:stop], self._first[start:stop] + compared[start:stop])
            yield self._rows[places + start], self._rows[others]

    def of_near_hashes(self, some: Rows, near: Rows) -> Iterator[Pairs]:
        """The images of one hash of each pair with those worth most of the other."""
        for start, stop in stretches(self.counts[some], _AT_ONCE // _OF_ONE_HASH):
            pairs, places = expanded(self._starts[some[start:stop]], (self._starts + self.counts)[some[start:stop]])
            compared = np.minimum(self.counts, _OF_ONE_HASH)[near[start:stop]][pairs]
            for first, last in stretches(compared, _AT_ONCE):
                begin = self._starts[near[start:stop]][pairs[first:last]]
                entries, others = expanded(begin, begin + compared[first:last])
                yield self._rows[places[first:last][entries]], self._rows[others]


def _nearest(rows: Rows, others: Rows, distances: NDArray[np.uint8], counts: NDArray[np.int64]) -> Pairs:
    """Those pairs of hashes that are kept: of each first row those that come first and the nearest.

    Args:
        rows: in order.
        others: their other rows, those of one first row in order.
        distances: of each pair.
        counts: images of each hash.
    """
    first = _before(rows, others, counts) < _WORTH_MOST
    ranks = np.where(first, 0, distances.astype(np.int64) + 1)
    # One number for each pair sorts much faster than three: 24 bits of the row, 7 of the rank, 32 of the other.
    keys = np.sort(rows << 39 | ranks << 32 | others)
    rows, others = keys >> 39, keys & (2**32 - 1)
    kept = _before(rows, others, counts) < _NEAREST
    return rows[kept], others[kept]


def _before(rows: Rows, others: Rows, counts: NDArray[np.int64]) -> Rows:
    """How many images of the other hashes come before each pair, among the pairs of its row."""
    weights = np.minimum(counts[others], _OF_ONE_HASH)
    before: Rows = np.cumsum(weights) - weights
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    return before - np.repeat(before[starts], np.diff(starts, append=len(rows)))


def _possible(table: TraitTable, rows: Rows, others: Rows, include_bursts: bool) -> Pairs:
    possible = table.nearness(rows, others, include_bursts=include_bursts) < phash.BITS
    return rows[possible], others[possible]

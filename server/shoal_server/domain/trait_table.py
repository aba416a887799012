"""What of many images says whether they are duplicates, in arrays: to judge many pairs of them at once."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain import phash
from shoal_server.domain.duplicates import (
    BESIDE_JPEG,
    BURST,
    BURST_NUMBERS,
    Likeness,
    Traits,
    alike,
    are_of_one_shot,
    hashes_of,
    likeness_of,
    measures,
)

#: Pairs that are judged at once; bounds the memory, to some 20 MB.
_AT_ONCE = 1 << 16
_EPOCH = datetime(1970, 1, 1)
_SECOND = timedelta(seconds=1)
#: Stands for what is not known.
_UNKNOWN = -1

#: Rows of the images of m pairs, int64 (m,).
Rows = NDArray[np.int64]


class TraitTable:
    """Of n images that have hashes.

    Attributes:
        traits: of each.
        hashes: uint64 (n,).
    """

    def __init__(self, traits: Sequence[Traits]) -> None:
        self.traits = traits
        self.hashes = hashes_of(traits)
        self._ways = phash.turned(self.hashes)
        self._measures = measures(traits)
        self._timed = np.array([each.second is not None for each in traits], np.bool_)
        self._seconds = _whole(
            0 if each.second is None else (each.second.replace(tzinfo=None) - _EPOCH) // _SECOND for each in traits
        )
        self._fractions = _whole(_UNKNOWN if each.fraction is None else each.fraction for each in traits)
        self._cameras = _codes(each.camera for each in traits)
        self._prefixes = _codes(
            None if each.number is None or each.camera == (None, None) else each.number[0] for each in traits
        )
        self._numbers = _whole(0 if each.number is None else each.number[1] for each in traits)
        self._formats = _codes(each.format for each in traits)
        self._beside = np.array([each.format in BESIDE_JPEG for each in traits], np.bool_)

    def likeness(self, rows: Rows, others: Rows) -> Likeness:
        """As :func:`shoal_server.domain.duplicates.likeness`, of pairs of these images."""
        return likeness_of(self.hashes[rows], self._measures[rows], self._ways[others], self._measures[others])

    def nearness(self, rows: Rows, others: Rows, *, include_bursts: bool) -> NDArray[np.uint8]:
        """How near the hashes of pairs of images are that may be duplicates for all that is cheap to tell.

        Args:
            rows: of one image of each.
            others: of the other.
            include_bursts: as :func:`shoal_server.domain.duplicates.may_be_duplicates`.

        Returns:
            Bits in which they differ, turned alike, uint8 (m,); 64 for pairs that are no duplicates however alike their
            embeddings are, by their hashes, their shapes, or as photographs of a burst. Files of one shot are let
            through.
        """
        nearness = np.full(len(rows), phash.BITS, np.uint8)
        for start in range(0, len(rows), _AT_ONCE):
            some, other = rows[start : start + _AT_ONCE], others[start : start + _AT_ONCE]
            left = np.flatnonzero(~self._apart(some, other, include_bursts=include_bursts))
            compared = self.likeness(some[left], other[left])
            fits = alike(compared, np.ones(len(left), np.float32))
            nearness[start + left[fits]] = compared.distances[fits]
        return nearness

    def may_be_duplicates(
        self, rows: Rows, others: Rows, *, include_bursts: bool = False, include_pairs: bool = False
    ) -> NDArray[np.bool_]:
        """As :func:`shoal_server.domain.duplicates.may_be_duplicates`, of pairs of these images, bool (m,)."""
        may = ~self._apart(rows, others, include_bursts=include_bursts)
        if not include_pairs:
            unlike = self._formats[rows] != self._formats[others]
            for place in np.flatnonzero(may & unlike & (self._beside[rows] | self._beside[others])).tolist():
                may[place] = not are_of_one_shot(self.traits[rows[place]], self.traits[others[place]])
        return may

    def _apart(self, rows: Rows, others: Rows, *, include_bursts: bool) -> NDArray[np.bool_]:
        """Which were taken one after another by one camera, and so are no copies."""
        known = self._timed[rows] & self._timed[others] & (self._cameras[rows] == self._cameras[others])
        between = np.abs(self._seconds[rows] - self._seconds[others])
        if include_bursts:
            later: NDArray[np.bool_] = known & (between > BURST // _SECOND)
            return later
        fractions, other_fractions = self._fractions[rows], self._fractions[others]
        prefixes = self._prefixes[rows]
        numbers = np.abs(self._numbers[rows] - self._numbers[others])
        numbered = (prefixes != _UNKNOWN) & (prefixes == self._prefixes[others])
        same_second_apart = np.where(
            (fractions != _UNKNOWN) & (other_fractions != _UNKNOWN),
            fractions != other_fractions,
            numbered & (numbers > 0) & (numbers <= BURST_NUMBERS),
        )
        apart: NDArray[np.bool_] = known & ((between > 0) | same_second_apart)
        return apart


def _whole(numbers: Iterator[int]) -> NDArray[np.int64]:
    return np.fromiter(numbers, np.int64)


def _codes(values: Iterator[Hashable]) -> NDArray[np.int64]:
    """A number for each value, the same for equal ones; for None the one that stands for what is not known."""
    numbers: dict[Hashable, int] = {}
    return _whole(_UNKNOWN if value is None else numbers.setdefault(value, len(numbers)) for value in values)

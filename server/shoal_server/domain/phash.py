"""Perceptual hashes: comparing them, and turning them as the picture would be turned.

The hash is the pHash of the ``imagehash`` library: the picture in grey, 32 x 32 pixels, its discrete cosine transform,
of that the 8 x 8 lowest frequencies; each bit says whether a coefficient is above the median. Bits stand row by row,
the row being the vertical frequency, the first bit highest.
Source: https://www.hackerfactor.com/blog/index.php?/archives/432-Looks-Like-It.html.

Mirroring a picture negates the coefficients of odd frequency across the mirror, transposing it transposes them. Since
the median is close to 0, the hash of a mirrored picture is nearly the hash with those bits flipped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BITS = 64
#: Ways to turn and mirror a picture.
TURNS = 8

#: Hashes of 64 bits as whole numbers.
Hashes = NDArray[np.uint64]

_FORM = re.compile(r"[0-9a-f]{16}", re.IGNORECASE)
_ODD_COLUMNS = np.uint64(0x5555555555555555)
_ODD_ROWS = np.uint64(0x00FF00FF00FF00FF)
#: Steps of the transposition of an 8 x 8 bit matrix: which bits are exchanged with those how far above.
#: Source: Warren, Hacker's Delight, 7-3.
_EXCHANGES = (
    (np.uint64(0x00AA00AA00AA00AA), np.uint64(7)),
    (np.uint64(0x0000CCCC0000CCCC), np.uint64(14)),
    (np.uint64(0x00000000F0F0F0F0), np.uint64(28)),
)


def parse(text: str) -> int:
    """A hash as a whole number, 0 to 2**64 - 1.

    Raises:
        ValueError: the text is not 16 hexadecimal digits.
    """
    if _FORM.fullmatch(text) is None:
        raise ValueError(f"{text[:40]!r} is no perceptual hash: it must be 16 hexadecimal digits")
    return int(text, 16)


def as_text(number: int) -> str:
    """A hash as 16 hexadecimal digits; the inverse of :func:`parse`."""
    return f"{number:016x}"


def pack(texts: Sequence[str]) -> Hashes:
    """Many hashes, uint64 (n,).

    Raises:
        ValueError: as :func:`parse`.
    """
    return np.array([parse(text) for text in texts], np.uint64)


def turned(hashes: Hashes) -> Hashes:
    """What the hashes nearly were if the pictures were turned or mirrored.

    Args:
        hashes: uint64 (n,).

    Returns:
        uint64 (n, TURNS), the first column being the hashes themselves. The columns are a group: turning one of them
        gives the same eight again.
    """
    upright = np.asarray(hashes, np.uint64)
    ways = [
        base ^ mask
        for base in (upright, _transposed(upright))
        for mask in (np.uint64(0), _ODD_COLUMNS, _ODD_ROWS, _ODD_COLUMNS ^ _ODD_ROWS)
    ]
    return np.stack(ways, axis=-1)


def turned_texts(text: str) -> tuple[str, ...]:
    """As :func:`turned`, for one hash as text; without repetitions.

    Raises:
        ValueError: as :func:`parse`.
    """
    return tuple(dict.fromkeys(as_text(int(each)) for each in turned(pack([text]))[0]))


def distances(left: Hashes, right: Hashes) -> NDArray[np.uint8]:
    """Bits in which hashes differ, 0 to 64; the shapes are broadcast."""
    counts: NDArray[np.uint8] = np.bitwise_count(left ^ right)
    return counts


def _transposed(hashes: Hashes) -> Hashes:
    for mask, far in _EXCHANGES:
        # Bits that differ from their counterpart are flipped on both sides.
        differing = (hashes ^ (hashes >> far)) & mask
        hashes = hashes ^ differing ^ (differing << far)
    return hashes

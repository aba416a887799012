"""Ids of somebody else's points as ids of images, and back.

A point of Qdrant has a UUID or an unsigned 64-bit integer for an id, an image always a UUID. An integer becomes a UUID
whose first half is fixed and whose second half it is. No UUID of RFC 9562 can be one of these: theirs have a version of
1 to 8, and these have 0. As integers do in Qdrant, these come before nearly all others.
"""

from __future__ import annotations

from uuid import UUID

#: The first 64 bits of the ids of images whose points have integers. Changing it would change all of these ids.
INTEGER_PREFIX = 0x00000000_5348_0A1D

_BITS = 64
_LARGEST = 2**_BITS - 1


def image_of_point(point: int | str) -> UUID:
    """The id of the image that a point is."""
    if isinstance(point, int):
        return UUID(int=(INTEGER_PREFIX << _BITS) | point)
    return UUID(point)


def point_of_image(image: UUID) -> int | str:
    """The id of the point, as its owner knows it; the inverse of :func:`image_of_point`."""
    number: int = image.int
    return number & _LARGEST if number >> _BITS == INTEGER_PREFIX else str(image)

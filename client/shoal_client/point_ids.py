"""Ids of Qdrant's points as ids of images, and back: in an attached collection points may have integers."""

from __future__ import annotations

from uuid import UUID

from shoal_client.errors import InvalidArgument

#: The first half of the UUID of an image whose point has an integer; the second half is the integer.
_INTEGER_PREFIX = 0x00000000_5348_0A1D

_BITS = 64
_LARGEST = 2**_BITS - 1


def image_id(point: int | str | UUID) -> str:
    """The id of the image that a point is.

    Args:
        point: the point's id, as Qdrant has it.

    Raises:
        InvalidArgument: no point can have that id.
    """
    try:
        if not isinstance(point, int):
            return str(UUID(str(point)))
    except ValueError:
        pass
    else:
        if 0 <= point <= _LARGEST:
            return str(UUID(int=(_INTEGER_PREFIX << _BITS) | point))
    raise InvalidArgument(f"{point!r} is no point's id: those are UUIDs and integers from 0 to 2**64 - 1")


def point_id(image: str) -> int | str:
    """The id of an image's point, as Qdrant and the point's owner have it.

    Args:
        image: the image's id.

    Raises:
        InvalidArgument: it is no UUID.
    """
    try:
        number: int = UUID(image).int
    except ValueError as error:
        raise InvalidArgument(f"{image!r} is no image's id: those are UUIDs") from error
    return number & _LARGEST if number >> _BITS == _INTEGER_PREFIX else str(UUID(image))

"""Turning pictures upright, once."""

from __future__ import annotations

from PIL import Image

# What EXIF orientation asks for; 1 asks for nothing. Exif 3.0, 4.6.5.1.
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# TIFF's plugin and HEIF's have turned the picture when it is loaded. AVIF's says in the tag what is left to be done.
_TURNED_BY_PLUGIN = frozenset({"TIFF", "HEIF"})


def pending_orientation(image_format: str, orientation: int | None) -> int:
    """The EXIF orientation that a loaded picture still has to be turned by; 1 for none.

    Args:
        image_format: Pillow's name of it.
        orientation: as the file says.
    """
    return 1 if orientation is None or image_format in _TURNED_BY_PLUGIN else orientation


def upright_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Width and height of a picture after :func:`turn`."""
    width, height = size
    return (height, width) if orientation >= 5 else size


def turn(image: Image.Image, orientation: int) -> Image.Image:
    """The picture turned and mirrored as an EXIF orientation, 1 to 8, asks for."""
    transposition = _TRANSPOSITIONS.get(orientation)
    return image if transposition is None else image.transpose(transposition)

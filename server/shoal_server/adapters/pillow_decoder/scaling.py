"""Making a decoded picture small before anything else is done with it."""

from __future__ import annotations

import numpy as np
from PIL import Image

#: Pixels of a part that is converted at once.
_PART = 1_000_000


def shrink(image: Image.Image, short_side: int, long_side: int) -> Image.Image:
    """Averages blocks of whole pixels, so that the sides stay at least as long as these.

    The result is of a mode that can be averaged: palettes become colours, and 16-bit grey 8-bit, a part of the picture
    at a time, so that a large picture is never there twice.

    Args:
        image: loaded, of any mode.
        short_side: pixels.
        long_side: pixels.

    Returns:
        Of mode L, LA, RGB, RGBA, CMYK, YCbCr, LAB, HSV, RGBX, I or F.
    """
    short, long = sorted(image.size)
    factor = max(1, min(short // short_side, long // long_side))
    if factor == 1:
        return _averageable(image)
    rows = factor * max(1, _PART // (image.width * factor))
    width, height = -(-image.width // factor), -(-image.height // factor)
    result: Image.Image | None = None
    for top in range(0, image.height, rows):
        part = image.crop((0, top, image.width, min(top + rows, image.height)))
        small = _averageable(part).reduce(factor)
        if result is None:
            result = Image.new(small.mode, (width, height))
            result.info = dict(small.info)
        result.paste(small, (0, top // factor))
    # A picture has rows.
    assert result is not None  # noqa: S101
    return result


def _averageable(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips everything above 255 to white.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("P", "PA") or "transparency" in image.info:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.mode == "1":
        return image.convert("L")
    return image

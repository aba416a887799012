"""Opening files, and decoding JPEGs no larger than they are needed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import cast

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from shoal_server.adapters.pillow_decoder.formats import HEIF

Opener = Callable[[BytesIO, str], ImageFile.ImageFile]

# The plugins are called directly: `Image.open` would check the size itself, before ours, and not tell what it is. Of a
# multi-picture JPEG, as phones make them, JPEG's plugin reads the first picture and no more.
_OPENERS: Mapping[str, Opener] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}

_SCALES = (8, 4, 2)


def openers() -> dict[str, Opener]:
    """What reads each format, by Pillow's name of it; HEIF only if pillow-heif is installed."""
    found = dict(_OPENERS)
    if importlib.util.find_spec("pillow_heif") is not None:
        found[HEIF] = _open_heif
    return found


def _open_heif(file: BytesIO, name: str) -> ImageFile.ImageFile:
    # Here and not above: the package is optional.
    from pillow_heif import as_plugin

    return cast("Opener", as_plugin.HeifImageFile)(file, name)


def decode_small(image: Image.Image, short_side: int, long_side: int) -> None:
    """Has libjpeg decode a JPEG at the smallest scale, of 1/8, 1/4 and 1/2, whose sides are not shorter than these.

    Call it before the image is loaded. The scaled inverse cosine transform skips most of the work; what it gives is
    close to an average over each block (libjpeg.txt, "Scaling").

    Args:
        image: of any format; all but JPEG are left as they are.
        short_side: pixels.
        long_side: pixels.
    """
    if not isinstance(image, JpegImagePlugin.JpegImageFile):
        return
    short, long = sorted(image.size)
    scale = next((scale for scale in _SCALES if short >= scale * short_side and long >= scale * long_side), 1)
    if scale > 1:
        image.draft(None, (image.width // scale, image.height // scale))

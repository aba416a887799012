"""The decoder: what is done with a file, in its order."""

from __future__ import annotations

import asyncio
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO

import numpy as np
from PIL import Image, ImageFile

from shoal_server.adapters.pillow_decoder.claims import Claim, check_plausible, claim_of
from shoal_server.adapters.pillow_decoder.colour import ToSrgb
from shoal_server.adapters.pillow_decoder.embedded import exif_directories, xmp_properties
from shoal_server.adapters.pillow_decoder.formats import HEIF, format_of
from shoal_server.adapters.pillow_decoder.opening import decode_small, openers
from shoal_server.adapters.pillow_decoder.preview import preview_of
from shoal_server.adapters.pillow_decoder.scaling import shrink
from shoal_server.adapters.pillow_decoder.upright import pending_orientation, turn, upright_size
from shoal_server.domain.errors import BrokenImage, EmptyImage, ImageTooLarge, UnreadableImage, UnsupportedFormat
from shoal_server.domain.exif import with_exif
from shoal_server.domain.image import THUMBNAIL_SIDE, DecodedImage, Metadata, Pixels
from shoal_server.domain.xmp import with_xmp

#: The decoded picture's short side over the model's.
_HEADROOM = 1.5
#: Pixels that are copied at once.
_PART = 1_000_000


class PillowDecoder:
    """An ``ImageDecoder`` with its own threads.

    Reads JPEG (also the multi-picture files of phones), PNG, WebP, GIF, TIFF, BMP and AVIF, and HEIC if pillow-heif
    is installed; of animations and multi-page files the first picture. What a file claims is checked before memory is
    taken for it.

    Making a decoder also sets Pillow's own pixel limit and two warning filters, both for the whole process: Pillow
    checks the parts of a file that are not the image's size (frames of a GIF, tiles of a TIFF) itself and can be told
    about them in no other way that is safe with threads. A process therefore has one pixel limit, that of the decoder
    made last.
    """

    def __init__(self, max_pixels: int, threads: int = 2, min_side: int = 224) -> None:
        """Args:
        max_pixels: the largest width times height that is decoded; a pixel takes up to 8 bytes meanwhile.
        threads: how many images are decoded at once.
        min_side: pixels of the short side that the model scales to. Larger pictures are decoded and averaged to no
            less than 1.5 times as much.
        """
        self._max_pixels = max_pixels
        self._short_side = round(min_side * _HEADROOM)
        self._openers = openers()
        self._to_srgb = ToSrgb()
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="decode")
        Image.MAX_IMAGE_PIXELS = max_pixels
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("error", category=Image.DecompressionBombWarning)

    async def decode(self, content: bytes, *, with_preview: bool = False) -> DecodedImage:
        """Decodes one image; see :class:`~shoal_server.application.ports.ImageDecoder`.

        Raises:
            EmptyImage: no bytes.
            UnsupportedFormat: not one of the formats above.
            ImageTooLarge: more pixels than ``max_pixels``.
            BrokenImage: damaged or cut off; the decoder's own error, if there is one, is the cause.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._decode, content, with_preview)

    async def aclose(self) -> None:
        """Waits for the images that are being decoded and ends the threads."""
        await asyncio.to_thread(self._pool.shutdown)

    def _decode(self, content: bytes, with_preview: bool) -> DecodedImage:
        image_format = self._recognise(content)
        try:
            claim = claim_of(image_format, content)
            self._check_size(claim.width, claim.height)
            check_plausible(image_format, content, claim)
            with self._openers[image_format](BytesIO(content), "") as image:
                self._check_size(*image.size)
                return self._decode_opened(image, image_format, content, claim, with_preview)
        except UnreadableImage:
            raise
        except Exception as error:
            # Pillow's plugins raise nearly every built-in exception on hostile bytes, so no list of types would do.
            raise BrokenImage(image_format, _reason(error)) from error

    def _decode_opened(
        self, image: ImageFile.ImageFile, image_format: str, content: bytes, claim: Claim, with_preview: bool
    ) -> DecodedImage:
        least = (self._short_side, THUMBNAIL_SIDE if with_preview else 1)
        full_size = image.size
        frame_count = claim.frame_count or int(getattr(image, "n_frames", 1))
        decode_small(image, *least)
        image.load()
        if image_format != "JPEG":
            # TIFF's plugin turns the picture when it loads it; a HEIF file's header may not have its size right.
            full_size = image.size
        profile = image.info.get("icc_profile")
        directories = exif_directories(image, content)
        properties = xmp_properties(image)
        bare = Metadata(0, 0, image_format, len(content), frame_count=frame_count)
        by_exif = with_exif(bare, *directories)
        metadata = with_xmp(by_exif, properties)
        # AVIF's plugin puts the container's rotation, which alone counts, where EXIF has it.
        turned_by = by_exif if image_format == "AVIF" else metadata
        orientation = pending_orientation(image_format, turned_by.orientation)
        picture = self._to_srgb.convert(turn(shrink(image, *least), orientation), profile)
        preview = preview_of(picture) if with_preview else None
        width, height = upright_size(full_size, orientation)
        return DecodedImage(_pixels(picture), replace(metadata, width=width, height=height), preview)

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            raise ImageTooLarge(width, height, self._max_pixels)

    def _recognise(self, content: bytes) -> str:
        """The format by the file's first bytes.

        Raises:
            EmptyImage: no bytes.
            UnsupportedFormat: not a format that is read here.
        """
        if not content:
            raise EmptyImage
        image_format = format_of(content)
        if image_format not in self._openers:
            hint = ""
            if image_format == HEIF:
                hint = (
                    "; this is a HEIC file, which the server can read once it has the extra: pip install 'shoal[heic]'"
                )
            raise UnsupportedFormat(", ".join(self._openers), hint)
        return image_format


def _pixels(picture: Image.Image) -> Pixels:
    """An RGB picture as uint8 (height, width, 3), C-contiguous and writeable, without a third copy in between."""
    pixels: Pixels = np.empty((picture.height, picture.width, 3), np.uint8)
    rows = max(1, _PART // picture.width)
    for top in range(0, picture.height, rows):
        below = min(top + rows, picture.height)
        pixels[top:below] = np.asarray(picture.crop((0, top, picture.width, below)))
    return pixels


def _reason(error: Exception) -> str:
    """What a person can make of a decoder's error."""
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return "it ends before the image does; copy or download it again"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "a part of it claims to be larger than a whole image may be"
    if isinstance(error, MemoryError):
        return "decoding it takes more memory than there is"
    return f"the decoder says: {' '.join(str(error).split())[:200] or type(error).__name__}"

"""Decoding with Pillow."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from shoal_server.domain.errors import BrokenImage, EmptyImage, ImageTooLarge, UnreadableImage, UnsupportedFormat
from shoal_server.domain.exif import ORIENTATION, with_exif
from shoal_server.domain.image import DecodedImage, Metadata, Pixels

Tags = Mapping[int, object]

_log = logging.getLogger(__name__)

# The plugins are called directly: `Image.open` would check the size itself, before ours, and not tell what it is.
_OPENERS: Mapping[str, Callable[[BytesIO, str], ImageFile.ImageFile]] = {
    "JPEG": JpegImagePlugin.jpeg_factory,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}

_HEIF = "HEIF"
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})

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


class PillowDecoder:
    """An ``ImageDecoder`` with its own threads.

    Reads JPEG (also the multi-picture files of phones), PNG, WebP, GIF, TIFF, BMP and AVIF, and HEIC if pillow-heif
    is installed; of animations and multi-page files the first image. Colour profiles are not applied.

    The pixel limit is checked against the header, before anything is decoded. Making a decoder also sets Pillow's own
    limit and two warning filters, both for the whole process: Pillow checks the parts of a file that are not the
    image's size (frames of a GIF, tiles of a TIFF) itself and can be told about them in no other way that is safe
    with threads. A process therefore has one pixel limit, that of the decoder made last.
    """

    def __init__(self, max_pixels: int, threads: int = 2) -> None:
        """Args:
        max_pixels: the largest width times height that is decoded; a pixel takes up to 12 bytes meanwhile.
        threads: how many images are decoded at once.
        """
        self._max_pixels = max_pixels
        self._openers = dict(_OPENERS)
        if importlib.util.find_spec("pillow_heif") is not None:
            self._openers[_HEIF] = _open_heif
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="decode")
        Image.MAX_IMAGE_PIXELS = max_pixels
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("error", category=Image.DecompressionBombWarning)

    async def decode(self, content: bytes) -> DecodedImage:
        """Decodes one image; see :class:`~shoal_server.application.ports.ImageDecoder`.

        Raises:
            EmptyImage: no bytes.
            UnsupportedFormat: not one of the formats above.
            ImageTooLarge: more pixels than ``max_pixels``.
            BrokenImage: damaged or cut off; the decoder's own error is the cause.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._decode, content)

    async def aclose(self) -> None:
        """Waits for the images that are being decoded and ends the threads."""
        await asyncio.to_thread(self._pool.shutdown)

    def _decode(self, content: bytes) -> DecodedImage:
        image_format = self._recognise(content)
        try:
            self._check_size(*_declared_size(image_format, content))
            with self._openers[image_format](BytesIO(content), "") as image:
                self._check_size(*image.size)
                # TIFF's plugin takes the orientation away when it loads; PNG may keep its EXIF behind the pixels.
                if image_format == "TIFF":
                    directories = _exif_directories(image)
                    image.load()
                else:
                    image.load()
                    directories = _exif_directories(image)
                pixels = _rgb_pixels(_upright(image))
        except UnreadableImage:
            raise
        except Exception as error:
            # Pillow's plugins raise nearly every built-in exception on hostile bytes, so no list of types would do.
            raise BrokenImage(image_format, _reason(error)) from error
        height, width, _ = pixels.shape
        metadata = Metadata(width=width, height=height, format=image_format, byte_size=len(content))
        return DecodedImage(pixels=pixels, metadata=with_exif(metadata, *directories))

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            raise ImageTooLarge(width, height, self._max_pixels)

    def _recognise(self, content: bytes) -> str:
        """The format by the file's first bytes; names and extensions are not trusted.

        Raises:
            EmptyImage: no bytes.
            UnsupportedFormat: not a format that is read here.
        """
        if not content:
            raise EmptyImage
        image_format = _format_of(content)
        if image_format not in self._openers:
            hint = ""
            if image_format == _HEIF:
                hint = (
                    "; this is a HEIC file, which the server can read once it has the extra: pip install 'shoal[heic]'"
                )
            raise UnsupportedFormat(", ".join(self._openers), hint)
        return image_format


def _format_of(content: bytes) -> str:
    """Pillow's name of the format that the first bytes announce; empty if it is none of those known here."""
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WEBP"
    if content.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if content.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    # "BM" begins many a text as well, so the length of the header that follows is asked too.
    if content.startswith(b"BM") and int.from_bytes(content[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if content[4:8] == b"ftyp":
        # ISO/IEC 14496-12, 4.3: major brand, version, compatible brands. AVIF files may also carry HEIF's mif1.
        box = content[8 : min(int.from_bytes(content[:4], "big"), 256)]
        brands = {box[start : start + 4] for start in range(0, len(box), 4) if start != 4}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return _HEIF
    return ""


def _declared_size(image_format: str, content: bytes) -> tuple[int, int]:
    """Width and height by the header of the two formats whose plugins allocate before they tell; (0, 0) for others.

    Source: GIF89a specification, 18; RFC 9649 (WebP), 2.5 to 2.7.
    """
    if image_format == "GIF":
        return _little_endian(content, 6, 2), _little_endian(content, 8, 2)
    if image_format == "WEBP":
        match content[12:16]:
            case b"VP8X":
                return _little_endian(content, 24, 3) + 1, _little_endian(content, 27, 3) + 1
            case b"VP8L":
                bits = _little_endian(content, 21, 4)
                return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
            case b"VP8 ":
                return _little_endian(content, 26, 2) & 0x3FFF, _little_endian(content, 28, 2) & 0x3FFF
    return 0, 0


def _little_endian(content: bytes, start: int, length: int) -> int:
    return int.from_bytes(content[start : start + length], "little")


def _open_heif(file: BytesIO, name: str) -> ImageFile.ImageFile:
    # Here and not above: the package is optional.
    from pillow_heif.as_plugin import HeifImageFile

    return cast("ImageFile.ImageFile", HeifImageFile(file, name))


def _exif_directories(image: Image.Image) -> tuple[Tags, Tags, Tags]:
    """The first image directory, the Exif and the GPS directory; what cannot be read is left out."""

    def read(directory: Callable[[], Tags]) -> Tags:
        try:
            return dict(directory())
        except Exception as error:  # noqa: BLE001 - metadata never costs an image
            _log.debug("EXIF directory not read: %r", error)
            return {}

    # pillow-heif turns the image and resets the tag; it keeps what the file says here.
    found = image.info.get("original_orientation")
    return (
        {**read(image.getexif), **({} if found is None else {ORIENTATION: found})},
        read(lambda: image.getexif().get_ifd(ExifTags.IFD.Exif)),
        read(lambda: image.getexif().get_ifd(ExifTags.IFD.GPSInfo)),
    )


def _upright(image: Image.Image) -> Image.Image:
    """A loaded image, turned as its EXIF orientation still asks for.

    The TIFF and HEIF plugins turn the image when it is loaded and take the tag away; it must be read after loading.
    """
    try:
        transposition = _TRANSPOSITIONS.get(image.getexif().get(ORIENTATION, 1))
    except Exception as error:  # noqa: BLE001 - metadata never costs an image
        _log.debug("orientation not read: %r", error)
        transposition = None
    return image if transposition is None else image.transpose(transposition)


def _rgb_pixels(image: Image.Image) -> Pixels:
    """Any of Pillow's modes to RGB, uint8 (height, width, 3), C-contiguous and writeable; transparency over white."""
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips everything above 255 to white.
        return _stacked(np.asarray(image) >> 8)
    if image.mode in ("I", "F"):
        return _stacked(_to_white_point(np.asarray(image)))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.array(image.convert("RGB"))


def _stacked(grey: NDArray[np.generic]) -> Pixels:
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


def _to_white_point(grey: NDArray[np.int32] | NDArray[np.float32]) -> NDArray[np.float32]:
    """32-bit grey to 0 .. 255.

    Such files do not say what is white. It is taken to be the least of 1, 255 and 65535 that no value exceeds, or else
    the greatest value; black is 0, or the least value if that is negative. What is not finite is black.
    """
    values = np.nan_to_num(grey.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max())
    white = next((level for level in (1.0, 255.0, 65535.0) if top <= level), top)
    black = min(float(values.min()), 0.0)
    scale = 255 / (white - black)
    scaled: NDArray[np.float32] = np.rint(values * scale - black * scale)
    return scaled


def _reason(error: Exception) -> str:
    """What a person can make of a decoder's error."""
    if isinstance(error, EOFError) or "truncated" in str(error).lower():
        return "it ends before the image does; copy or download it again"
    if isinstance(error, Image.DecompressionBombError | Image.DecompressionBombWarning):
        return "a part of it claims to be larger than a whole image may be"
    if isinstance(error, MemoryError):
        return "decoding it takes more memory than there is"
    return f"the decoder says: {' '.join(str(error).split())[:200] or type(error).__name__}"

"""Large pictures are decoded small, and nothing else about them changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFile, JpegImagePlugin

from shoal_server.adapters.pillow_decoder import PillowDecoder
from shoal_server.application.ports import ImageDecoder
from shoal_server.domain.image import THUMBNAIL_SIDE

MIN_SIDE = 40
#: What the decoder leaves at least: one and a half times as much.
SHORT = 60


@pytest.fixture
async def decoder() -> AsyncIterator[ImageDecoder]:
    decoder = PillowDecoder(max_pixels=10_000_000, min_side=MIN_SIDE)
    yield decoder
    await decoder.aclose()


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def photograph(width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * x / width, 255 * y / height
    blob = 90 * np.exp(-(((x / width - 0.3) / 0.15) ** 2) - ((y / height - 0.6) / 0.1) ** 2)
    pixels = np.stack([red, green, (red + 2 * green) / 4 + blob], axis=2)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("size", "decoded_size", "shape"),
    [
        ((640, 480), (80, 60), (60, 80)),
        # A pixel less, and the next scale is twice as large; that is averaged.
        ((639, 479), (160, 120), (60, 80)),
        ((480, 640), (60, 80), (80, 60)),
        ((120, 119), (120, 119), (119, 120)),
        ((121, 120), (61, 60), (60, 61)),
        ((59, 1000), (59, 1000), (1000, 59)),
        ((7, 5), (7, 5), (5, 7)),
    ],
)
async def test_a_jpeg_is_decoded_at_the_smallest_scale_that_is_enough(
    decoder: ImageDecoder,
    size: tuple[int, int],
    decoded_size: tuple[int, int],
    shape: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[tuple[int, int]] = []
    load = ImageFile.ImageFile.load

    def recording(image: ImageFile.ImageFile) -> object:
        if isinstance(image, JpegImagePlugin.JpegImageFile) and image.tile:
            loaded.append(image.size)
        return load(image)

    monkeypatch.setattr(ImageFile.ImageFile, "load", recording)

    decoded = await decoder.decode(encode(photograph(*size), "JPEG", quality=95, subsampling=0))

    assert decoded.pixels.shape == (*shape, 3)
    assert (decoded.metadata.width, decoded.metadata.height) == size
    assert loaded == [decoded_size]
    plain = np.asarray(photograph(*size).resize((shape[1], shape[0]), Image.Resampling.BOX)).astype(int)
    assert np.abs(decoded.pixels - plain).mean() < 3


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "CMYK", "1", "I;16", "F", "LAB"])
async def test_other_formats_are_averaged(decoder: ImageDecoder, mode: str) -> None:
    upright = photograph(400, 300)
    # 300 / 60 is 5 pixels to one.
    expected = np.asarray(upright.resize((80, 60), Image.Resampling.BOX)).astype(int)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(upright.convert("L")).astype(np.uint16) * 257)
    elif mode == "P":
        image = upright.quantize(256)
    else:
        image = upright.convert("L").convert(mode) if mode in ("F", "1") else upright.convert(mode)
    if mode in ("L", "LA", "1", "I;16", "F"):
        grey = np.asarray(upright.convert("L").resize((80, 60), Image.Resampling.BOX)).astype(int)
        expected = np.repeat(grey[:, :, None], 3, axis=2)

    decoded = await decoder.decode(encode(image, "TIFF" if mode in ("CMYK", "F", "LAB") else "PNG"))

    assert decoded.pixels.shape == (60, 80, 3)
    assert (decoded.metadata.width, decoded.metadata.height) == (400, 300)
    assert np.abs(decoded.pixels - expected).mean() < (25 if mode == "1" else 6)


async def test_a_picture_in_several_parts_has_no_seams(decoder: ImageDecoder) -> None:
    # More than a million pixels are averaged in parts; the last is not whole.
    image = photograph(2003, 1507).convert("RGBA")

    decoded = await decoder.decode(encode(image, "PNG", compress_level=1))

    expected = np.asarray(image.convert("RGB").reduce(1507 // SHORT)).astype(int)
    assert decoded.pixels.shape == expected.shape
    assert np.abs(decoded.pixels - expected).max() <= 2


async def test_a_transparent_colour_is_found_before_colours_are_mixed(decoder: ImageDecoder) -> None:
    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::2] = (1, 2, 3)

    decoded = await decoder.decode(encode(Image.fromarray(stripes), "PNG", transparency=(1, 2, 3)))

    # Half of it black, half of it white.
    assert np.abs(decoded.pixels.astype(int) - 127).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_scaled_and_turned(decoder: ImageDecoder, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation

    decoded = await decoder.decode(encode(photograph(640, 480), "JPEG", exif=exif), with_preview=True)

    turned = orientation >= 5
    assert (decoded.metadata.width, decoded.metadata.height) == ((480, 640) if turned else (640, 480))
    # Half as large is what still covers the thumbnail.
    assert decoded.pixels.shape == ((320, 240, 3) if turned else (240, 320, 3))
    assert decoded.preview is not None
    with Image.open(BytesIO(decoded.preview.thumbnail)) as thumbnail:
        assert thumbnail.format == "WEBP"
        assert thumbnail.size == ((192, 256) if turned else (256, 192))
        small = np.asarray(thumbnail.convert("RGB")).astype(int)
    pixels = Image.fromarray(decoded.pixels).resize((small.shape[1], small.shape[0]))
    assert np.abs(small - np.asarray(pixels)).mean() < 6


@pytest.mark.parametrize(("size", "thumbnail_size"), [((10, 7), (10, 7)), ((3000, 20), (256, 2)), ((1, 900), (1, 256))])
async def test_thumbnails_of_small_and_narrow_pictures(
    decoder: ImageDecoder, size: tuple[int, int], thumbnail_size: tuple[int, int]
) -> None:
    decoded = await decoder.decode(encode(photograph(*size), "PNG"), with_preview=True)

    assert decoded.preview is not None
    with Image.open(BytesIO(decoded.preview.thumbnail)) as thumbnail:
        assert thumbnail.size == thumbnail_size
        assert max(thumbnail.size) <= THUMBNAIL_SIDE


async def test_no_preview_unless_it_is_asked_for(decoder: ImageDecoder) -> None:
    assert (await decoder.decode(encode(photograph(64, 48), "PNG"))).preview is None


async def phash(decoder: ImageDecoder, content: bytes) -> int:
    preview = (await decoder.decode(content, with_preview=True)).preview
    assert preview is not None
    assert len(preview.phash) == 16
    return int(preview.phash, 16)


async def test_the_same_picture_has_nearly_the_same_hash(decoder: ImageDecoder) -> None:
    y, x = np.mgrid[0:900, 0:1200]
    waves = np.sin(x / 90) * np.cos(y / 130) + np.sin((x + 2 * y) / 211)
    picture = Image.fromarray(np.clip(127 + 60 * waves, 0, 255).astype(np.uint8)).convert("RGB")
    lying = Image.Exif()
    lying[0x0112] = 6
    first = await phash(decoder, encode(picture, "PNG"))

    others = [
        encode(picture, "JPEG", quality=40),
        encode(picture.resize((300, 225)), "JPEG"),
        encode(picture.resize((2400, 1800)), "WEBP", method=0),
        encode(picture.convert("L"), "TIFF"),
        encode(picture.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=lying),
    ]

    for content in others:
        assert (await phash(decoder, content) ^ first).bit_count() <= 4
    assert (await phash(decoder, encode(picture.transpose(Image.Transpose.ROTATE_90), "PNG")) ^ first).bit_count() > 12

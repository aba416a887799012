"""Every file becomes upright RGB pixels or a reason that a person understands."""

from __future__ import annotations

import importlib
import importlib.util
import resource
import struct
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable
from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile, PngImagePlugin

from shoal_server.adapters.pillow_decoder import PillowDecoder
from shoal_server.application.ports import ImageDecoder
from shoal_server.domain.errors import BrokenImage, EmptyImage, ImageTooLarge, UnreadableImage, UnsupportedFormat
from shoal_server.domain.image import DecodedImage

MAX_PIXELS = 1_000_000
HAS_HEIF = importlib.util.find_spec("pillow_heif") is not None


@pytest.fixture
async def decoder() -> AsyncIterator[ImageDecoder]:
    decoder = PillowDecoder(max_pixels=MAX_PIXELS)
    yield decoder
    await decoder.aclose()


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def photograph(width: int = 48, height: int = 32) -> Image.Image:
    """No symmetry, no two edges alike, and smooth, so that JPEG changes little."""
    y, x = np.mgrid[0:height, 0:width]
    red, green = 255 * x / width, 255 * y / height
    return Image.fromarray(np.stack([red, green, (red + 2 * green) / 3], axis=2).astype(np.uint8))


def png(width: int, height: int, rows: bytes, exif: bytes = b"") -> bytes:
    """A PNG of 8-bit grey with these compressed rows and EXIF behind them."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", rows)
        + chunk(b"eXIf", exif)
        + chunk(b"IEND", b"")
    )


def check(decoded: DecodedImage) -> None:
    pixels = decoded.pixels
    assert pixels.dtype == np.uint8
    assert pixels.shape == (decoded.metadata.height, decoded.metadata.width, 3)
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
async def test_formats(decoder: ImageDecoder, image_format: str) -> None:
    content = encode(photograph(), image_format)

    decoded = await decoder.decode(content)

    check(decoded)
    assert (decoded.metadata.width, decoded.metadata.height) == (48, 32)
    assert decoded.metadata.format == image_format
    assert decoded.metadata.byte_size == len(content)
    assert np.abs(decoded.pixels.astype(int) - np.asarray(photograph())).mean() < 12


async def test_a_multi_picture_jpeg_is_a_jpeg(decoder: ImageDecoder) -> None:
    content = encode(photograph(), "MPO", save_all=True, append_images=[photograph(8, 8)])

    decoded = await decoder.decode(content)

    assert (decoded.metadata.format, decoded.metadata.frame_count) == ("JPEG", 1)
    assert decoded.pixels.shape == (32, 48, 3)


# How the camera's sensor lay: what to do with the upright image so that the orientation undoes it.
LYING: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels, 1),
    7: lambda pixels: pixels[::-1, ::-1].transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels, -1),
}


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", LYING)
async def test_every_orientation_gives_the_same_upright_pixels(
    decoder: ImageDecoder, image_format: str, orientation: int
) -> None:
    upright = np.asarray(photograph())
    lying = Image.fromarray(np.ascontiguousarray(LYING[orientation](upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation

    decoded = await decoder.decode(encode(lying, image_format, exif=exif, lossless=True, quality=100))

    check(decoded)
    assert decoded.pixels.shape == (32, 48, 3)
    assert decoded.metadata.orientation in ((orientation,) if orientation > 1 else (1, None))
    if image_format in ("PNG", "TIFF"):
        np.testing.assert_array_equal(decoded.pixels, upright)
    else:
        assert np.abs(decoded.pixels.astype(int) - upright).mean() < 3


async def test_transparency_is_over_white(decoder: ImageDecoder) -> None:
    colours = Image.new("RGBA", (2, 1))
    colours.putpixel((0, 0), (200, 0, 0, 255))
    colours.putpixel((1, 0), (200, 0, 0, 0))
    grey = Image.new("LA", (2, 1))
    grey.putpixel((0, 0), (0, 255))
    grey.putpixel((1, 0), (0, 51))

    rgba = (await decoder.decode(encode(colours, "PNG"))).pixels
    palette = (await decoder.decode(encode(colours.convert("P"), "PNG", transparency=0))).pixels
    la = (await decoder.decode(encode(grey, "PNG"))).pixels

    assert rgba.tolist() == [[[200, 0, 0], [255, 255, 255]]]
    assert (palette == 255).all(axis=2).any()
    assert la.tolist() == [[[0, 0, 0], [204, 204, 204]]]


async def test_a_transparent_colour_and_a_transparent_palette_entry(decoder: ImageDecoder) -> None:
    image = Image.new("RGB", (2, 1), (10, 20, 30))
    image.putpixel((1, 0), (1, 2, 3))
    indexed = Image.new("P", (2, 1), 0)
    indexed.putpalette([10, 20, 30, 1, 2, 3])
    indexed.putpixel((1, 0), 1)

    colour = (await decoder.decode(encode(image, "PNG", transparency=(1, 2, 3)))).pixels
    entry = (await decoder.decode(encode(indexed, "GIF", transparency=1))).pixels

    assert colour.tolist() == entry.tolist() == [[[10, 20, 30], [255, 255, 255]]]


async def test_16_bit_grey_is_scaled_not_clipped(decoder: ImageDecoder) -> None:
    grey = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)

    for image_format in ("PNG", "TIFF"):
        decoded = await decoder.decode(encode(Image.fromarray(grey), image_format))

        check(decoded)
        assert decoded.pixels[0, :, 0].tolist() == [0, 0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0, np.nan]], np.float32), [0, 128, 255, 0]),
        (np.array([[0.0, 51.0, 255.0, -np.inf]], np.float32), [0, 51, 255, 0]),
        (np.array([[-1.0, 0.0, 1.0, 1.0]], np.float32), [0, 128, 255, 255]),
        (np.array([[0, 257, 65535, 32896]], np.int32), [0, 1, 255, 128]),
        (np.array([[0, 0, 1_000_000, 600_000]], np.int32), [0, 0, 255, 153]),
        (np.array([[-7, -7, -7, -7]], np.int32), [0, 0, 0, 0]),
        (np.array([[-3e38, 0.0, 3e38, 3e38]], np.float32), [0, 128, 255, 255]),
    ],
)
async def test_32_bit_grey(decoder: ImageDecoder, values: NDArray[np.generic], expected: list[int]) -> None:
    decoded = await decoder.decode(encode(Image.fromarray(values), "TIFF"))

    check(decoded)
    assert decoded.pixels[0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("mode", "image_format", "colour"),
    [
        ("1", "PNG", 1),
        ("L", "PNG", 255),
        ("P", "PNG", 0),
        ("CMYK", "JPEG", (0, 0, 0, 0)),
        ("CMYK", "TIFF", (0, 0, 0, 0)),
        ("YCbCr", "JPEG", (255, 128, 128)),
        ("LAB", "TIFF", (255, 128, 128)),
        ("RGBX", "TIFF", (255, 255, 255, 0)),
    ],
)
async def test_modes_become_rgb(
    decoder: ImageDecoder, mode: str, image_format: str, colour: int | tuple[int, ...]
) -> None:
    image = Image.new(mode, (3, 2), colour)
    if mode == "P":
        image.putpalette([255, 255, 255])

    decoded = await decoder.decode(encode(image, image_format))

    check(decoded)
    assert decoded.pixels.min() >= 250


async def test_the_first_picture_of_an_animation(decoder: ImageDecoder) -> None:
    first, second = Image.new("RGB", (4, 4), (255, 0, 0)), Image.new("RGB", (4, 4), (0, 0, 255))

    for image_format in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        decoded = await decoder.decode(
            encode(first, image_format, save_all=True, append_images=[second, first, second], lossless=True)
        )

        assert decoded.pixels.shape == (4, 4, 3)
        assert np.abs(decoded.pixels[0, 0].astype(int) - [255, 0, 0]).max() < 8
        assert decoded.metadata.frame_count == 4


async def test_a_picture_before_an_animation_counts(decoder: ImageDecoder) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "lime")]

    decoded = await decoder.decode(
        encode(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)
    )

    assert decoded.metadata.frame_count == 3


async def test_reduced_copies_and_loops_are_no_pages(decoder: ImageDecoder) -> None:
    def directory(place: int, subfile: int, following: int) -> bytes:
        tags = [(254, 4, subfile), (256, 3, 2), (257, 3, 1), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8)]
        tags += [(277, 3, 1), (278, 3, 1), (279, 4, 2)]
        entries = b"".join(struct.pack("<HHLL", tag, kind, 1, value) for tag, kind, value in tags)
        return struct.pack("<H", len(tags)) + entries + struct.pack("<L", following)

    size = len(directory(0, 0, 0))
    places = [10, 10 + size, 10 + 2 * size]
    content = b"II*\0" + struct.pack("<L", places[0]) + b"\x10\xf0"
    # A page, its thumbnail, another page, and back to the first.
    content += directory(places[0], 0, places[1]) + directory(places[1], 1, places[2]) + directory(places[2], 0, 10)

    decoded = await decoder.decode(content)

    assert decoded.metadata.frame_count == 2
    assert decoded.pixels[0, :, 0].tolist() == [0x10, 0xF0]


async def test_empty(decoder: ImageDecoder) -> None:
    with pytest.raises(EmptyImage):
        await decoder.decode(b"")


@pytest.mark.parametrize(
    "content",
    [
        b"dear diary, this is no holiday.jpg",
        b"BMW builds cars, and this line is long enough",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        b"II",
        b"\0",
    ],
)
async def test_what_is_no_image_is_unsupported(decoder: ImageDecoder, content: bytes) -> None:
    with pytest.raises(UnsupportedFormat, match="JPEG, PNG, WEBP, GIF, TIFF, BMP, AVIF"):
        await decoder.decode(content)


async def test_heic_without_the_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    decoder = PillowDecoder(max_pixels=MAX_PIXELS)

    try:
        with pytest.raises(UnsupportedFormat, match=r"pip install 'shoal\[heic\]'") as caught:
            await decoder.decode(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic")
    finally:
        await decoder.aclose()
    assert "HEIF" not in caught.value.metadata["allowed"]


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
async def test_cut_off(decoder: ImageDecoder, image_format: str, share: float) -> None:
    content = encode(photograph(400, 300), image_format)

    with pytest.raises(BrokenImage, match=f"the {image_format} file is damaged or cut off"):
        await decoder.decode(content[: max(32, int(share * len(content)))])


async def test_cut_off_says_what_to_do(decoder: ImageDecoder) -> None:
    content = encode(photograph(400, 300), "JPEG")

    with pytest.raises(BrokenImage, match="ends before the image does; copy or download it again"):
        await decoder.decode(content[: len(content) // 2])


@pytest.mark.parametrize("error", [MemoryError, RecursionError, KeyError, zlib.error, struct.error, AttributeError])
async def test_whatever_the_codec_raises_is_a_broken_image(
    decoder: ImageDecoder, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def load(image: ImageFile.ImageFile) -> None:
        raise error

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", load)

    with pytest.raises(BrokenImage) as caught:
        await decoder.decode(encode(photograph(), "PNG"))

    assert isinstance(caught.value.__cause__, error)


async def test_too_large_by_the_header_is_refused_before_it_is_decoded(decoder: ImageDecoder) -> None:
    compressor = zlib.compressobj(9)
    rows = b"".join(compressor.compress(bytes(20_001)) for _ in range(20_000)) + compressor.flush()
    content = png(20_000, 20_000, rows)
    before_s, before_kib = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(ImageTooLarge, match="20000 x 20000") as caught:
        await decoder.decode(content)

    assert time.perf_counter() - before_s < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 50_000
    assert caught.value.metadata == {"width": "20000", "height": "20000", "limit": str(MAX_PIXELS)}


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
async def test_the_limit_is_exact(decoder: ImageDecoder, image_format: str) -> None:
    await decoder.decode(encode(Image.new("RGB", (1000, 1000)), image_format))

    for width, height in ((1001, 1000), (1500, 1000), (1000, 3000)):
        with pytest.raises(ImageTooLarge, match=f"{width} x {height} "):
            await decoder.decode(encode(Image.new("RGB", (width, height)), image_format))


async def test_the_limit_holds_for_lossless_and_animated_webp(decoder: ImageDecoder) -> None:
    image = Image.new("RGB", (1500, 2000))

    for options in ({"lossless": True}, {"save_all": True, "append_images": [Image.new("RGB", (1500, 2000), "red")]}):
        with pytest.raises(ImageTooLarge, match="1500 x 2000 "):
            await decoder.decode(encode(image, "WEBP", **options))


async def test_a_gif_frame_that_is_larger_than_the_gif(decoder: ImageDecoder) -> None:
    # A screen of 1 x 1 whose first frame covers 65535 x 65535 and is to be disposed of.
    content = (
        b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0, 0, 0)
        + b"\x21\xf9\x04\x08\0\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x44\x01\0;"
    )  # fmt: skip
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(BrokenImage, match="larger than a whole image may be"):
        await decoder.decode(content)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 50_000


async def test_broken_exif_costs_the_exif_alone(decoder: ImageDecoder) -> None:
    for exif in (b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01", b"Exif\0\0MM\0*\xff\xff\xff\xff"):
        decoded = await decoder.decode(encode(photograph(), "JPEG", exif=exif))

        check(decoded)
        assert decoded.metadata.orientation is None


async def test_exif_becomes_metadata(decoder: ImageDecoder) -> None:
    written = Image.Exif()
    written[0x010F] = "Canon"
    written[0x8769] = {0x9003: "2008:05:30 15:56:01", 0x829D: 7.1, 0x8827: 100}
    written[0x8825] = {1: "S", 2: (33.0, 51.0, 24.0), 3: "E", 4: (151.0, 12.0, 54.0)}
    # Pillow writes directories into TIFF only if they were read from a file.
    exif = Image.Exif()
    exif.load(written.tobytes())

    for image_format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        metadata = (await decoder.decode(encode(photograph(), image_format, exif=exif))).metadata

        assert (metadata.camera_make, metadata.iso, metadata.f_number) == ("Canon", 100, 7.1)
        assert metadata.captured_at == "2008-05-30T15:56:01"
        assert metadata.location is not None
        assert (metadata.location.lat, metadata.location.lon) == (-33.85666667, 151.215)


async def test_exif_behind_the_pixels_of_a_png(decoder: ImageDecoder) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6

    decoded = await decoder.decode(png(3, 2, zlib.compress(bytes(8)), exif.tobytes()[6:]))

    assert decoded.metadata.orientation == 6
    assert decoded.pixels.shape == (3, 2, 3)


async def test_decoding_leaves_the_event_loop(decoder: ImageDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    load: Callable[[ImageFile.ImageFile], object] = PngImagePlugin.PngImageFile.load

    def recording(image: ImageFile.ImageFile) -> object:
        threads.append(threading.current_thread())
        return load(image)

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", recording)

    await decoder.decode(encode(photograph(), "PNG"))

    assert threads
    assert threading.main_thread() not in threads


SEED_OPTIONS: dict[str, dict[str, object]] = {
    "JPEG": {"exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"},
    "PNG": {},
    "WEBP": {"lossless": True},
    "GIF": {},
    "TIFF": {"compression": "tiff_lzw"},
    "BMP": {},
    "AVIF": {},
}
SEEDS = {image_format: encode(photograph(), image_format, **options) for image_format, options in SEED_OPTIONS.items()}


@given(
    st.sampled_from(sorted(SEEDS)),
    st.lists(st.tuples(st.integers(0, 4095), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6),
    st.integers(0, 64),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_damaged_bytes_decode_or_are_unreadable(
    decoder: ImageDecoder, image_format: str, damages: list[tuple[int, bytes]], cut: int
) -> None:
    content = bytearray(SEEDS[image_format])
    for place, damage in damages:
        start = place % len(content)
        content[start : start + len(damage)] = damage

    try:
        decoded = await decoder.decode(bytes(content[: len(content) - cut]))
    except UnreadableImage:
        return
    check(decoded)


@pytest.mark.skipif(not HAS_HEIF, reason="pillow-heif is not installed")
async def test_heic_is_turned_once(decoder: ImageDecoder) -> None:
    register = importlib.import_module("pillow_heif").register_heif_opener
    register()
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.fromarray(np.ascontiguousarray(LYING[6](np.asarray(photograph()))))

    # From here the encoder takes what it turns into the container's rotation, which alone counts in HEIF.
    lying.info["exif"] = exif.tobytes()

    decoded = await decoder.decode(encode(lying, "HEIF", quality=100))

    assert decoded.metadata.orientation == 6
    assert np.abs(decoded.pixels.astype(int) - np.asarray(photograph())).mean() < 4


@pytest.mark.skipif(not HAS_HEIF, reason="pillow-heif is not installed")
async def test_a_heic_that_lacks_its_end_is_refused(decoder: ImageDecoder) -> None:
    importlib.import_module("pillow_heif").register_heif_opener()
    content = encode(photograph(400, 300), "HEIF")

    for share in (0.3, 0.9, 0.999):
        with pytest.raises(BrokenImage, match="ends before the image does"):
            await decoder.decode(content[: int(share * len(content))])


async def test_an_orientation_that_only_xmp_has(decoder: ImageDecoder) -> None:
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" tiff:Make="Canon"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    for image_format in ("JPEG", "WEBP", "AVIF"):
        decoded = await decoder.decode(encode(photograph(), image_format, xmp=xmp))

        assert (decoded.metadata.orientation, decoded.metadata.camera_make) == (6, "Canon")
        # In AVIF the container's rotation alone counts.
        shape = (32, 48, 3) if image_format == "AVIF" else (48, 32, 3)
        assert decoded.pixels.shape == shape

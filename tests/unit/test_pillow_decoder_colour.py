"""Colour profiles: what a picture's numbers mean, as sRGB."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from shoal_server.adapters.pillow_decoder import PillowDecoder
from shoal_server.adapters.pillow_decoder.colour import ToSrgb
from shoal_server.application.ports import ImageDecoder

#: Columns: XYZ (D50) of the primaries. Sources: SMPTE EG 432-1 adapted by Bradford, and IEC 61966-2-1.
DISPLAY_P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])
SRGB = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]])
WHITE = (0.9642, 1.0, 0.8249)


@pytest.fixture
async def decoder() -> AsyncIterator[ImageDecoder]:
    decoder = PillowDecoder(max_pixels=1_000_000)
    yield decoder
    await decoder.aclose()


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def profile(space: bytes, pcs: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile, version 2.4, with these tags (ICC.1:2001-04, 6.1 and 6.2)."""
    tags = {b"desc": b"desc" + bytes(4) + struct.pack(">L", 5) + b"test\0" + bytes(78), b"cprt": text(b"none")} | tags
    place = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">L", len(tags)), b""
    for name, content in tags.items():
        table += name + struct.pack(">LL", place + len(data), len(content))
        data += content + bytes(-len(content) % 4)
    header = struct.pack(
        ">L4sL4s4s4s12s4s", place + len(data), b"none", 0x02400000, kind, space, pcs, bytes(12), b"acsp"
    )
    return header + bytes(28) + xyz_numbers(WHITE) + bytes(48) + table + data


def text(content: bytes) -> bytes:
    return b"text" + bytes(4) + content + b"\0"


def xyz_numbers(values: tuple[float, ...]) -> bytes:
    return b"".join(struct.pack(">l", round(value * 65536)) for value in values)


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + xyz_numbers(values)


def gamma(value: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">LH", 1, round(value * 256))


def rgb_profile(primaries: NDArray[np.float64], exponent: float = 2.2) -> bytes:
    tags = {b"wtpt": xyz(WHITE)}
    for column, name in enumerate((b"r", b"g", b"b")):
        tags[name + b"XYZ"] = xyz(tuple(primaries[:, column]))
        tags[name + b"TRC"] = gamma(exponent)
    return profile(b"RGB ", b"XYZ ", b"mntr", tags)


def grey_profile(exponent: float) -> bytes:
    return profile(b"GRAY", b"XYZ ", b"mntr", {b"wtpt": xyz(WHITE), b"kTRC": gamma(exponent)})


def cmyk_profile() -> bytes:
    """Ink of any colour makes the same grey: what no conversion without a profile would do."""
    ramp = bytes(range(256))
    corners = b""
    for corner in range(16):
        ink = corner.bit_count() / 4
        corners += bytes((round(255 * (1 - ink)), 128, 128))
    identity = struct.pack(">9l", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + ramp * 4 + corners + ramp * 3
    return profile(b"CMYK", b"Lab ", b"prtr", {b"wtpt": xyz(WHITE), b"A2B0": table, b"A2B1": table, b"A2B2": table})


def to_srgb(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear to sRGB's numbers, 0 to 255 (IEC 61966-2-1)."""
    clipped = np.clip(value, 0, 1)
    return 255 * np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055)


COLOUR = (180, 120, 70)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
async def test_display_p3_becomes_srgb(decoder: ImageDecoder, image_format: str) -> None:
    image = Image.new("RGB", (16, 16), COLOUR)
    linear = (np.array(COLOUR) / 255) ** 2.2
    expected = to_srgb(np.linalg.inv(SRGB) @ DISPLAY_P3 @ linear)
    assert np.abs(expected - COLOUR).max() > 8

    decoded = await decoder.decode(
        encode(image, image_format, icc_profile=rgb_profile(DISPLAY_P3), quality=100, lossless=True)
    )

    assert np.abs(decoded.pixels.reshape(-1, 3) - expected).max() < 4


async def test_grey_with_a_gamma_of_its_own(decoder: ImageDecoder) -> None:
    image = Image.new("L", (4, 4), 128)
    expected = to_srgb(np.array([(128 / 255) ** 1.0]))[0]

    for mode in ("L", "LA"):
        decoded = await decoder.decode(encode(image.convert(mode), "PNG", icc_profile=grey_profile(1.0)))

        assert np.abs(decoded.pixels.astype(float) - expected).max() < 3


async def test_cmyk_by_its_profile(decoder: ImageDecoder) -> None:
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))

    for image_format in ("JPEG", "TIFF"):
        plain = (await decoder.decode(encode(image, image_format))).pixels[8, 8].astype(int)
        by_profile = (await decoder.decode(encode(image, image_format, icc_profile=cmyk_profile()))).pixels[8, 8]

        assert plain[0] < 30
        assert plain[2] > 200
        # A quarter of the ink there can be: no hue, and light.
        assert np.ptp(by_profile.astype(int)) <= 4
        assert by_profile.mean() > 150


async def test_an_rgb_profile_in_a_palette_with_transparency(decoder: ImageDecoder) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([*COLOUR, 0, 255, 0])
    image.putpixel((1, 0), 1)

    decoded = await decoder.decode(encode(image, "PNG", transparency=1, icc_profile=rgb_profile(DISPLAY_P3)))

    expected = to_srgb(np.linalg.inv(SRGB) @ DISPLAY_P3 @ (np.array(COLOUR) / 255) ** 2.2)
    assert np.abs(decoded.pixels[0, 0] - expected).max() < 4
    assert decoded.pixels[0, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("mode", "icc_profile"),
    [
        ("RGB", b"nonsense"),
        ("RGB", rgb_profile(DISPLAY_P3)[:300]),
        ("RGB", rgb_profile(np.zeros((3, 3)))),
        ("RGB", grey_profile(1.0)),
        ("RGB", cmyk_profile()),
        ("L", rgb_profile(DISPLAY_P3)),
        ("RGB", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()),
        ("RGB", ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()),
    ],
)
async def test_a_profile_that_is_broken_or_of_another_space_changes_nothing(
    decoder: ImageDecoder, mode: str, icc_profile: bytes
) -> None:
    image = Image.new("RGB", (4, 4), COLOUR).convert(mode)

    decoded = await decoder.decode(encode(image, "PNG", icc_profile=icc_profile))

    np.testing.assert_array_equal(decoded.pixels, np.asarray(image.convert("RGB")))


def test_transforms_are_kept_up_to_a_number_and_srgb_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[object] = []
    original = ImageCms.ImageCmsTransform

    def recording(*arguments: object, **options: object) -> object:
        built.append(arguments)
        return original(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageCms, "ImageCmsTransform", recording)
    convert = ToSrgb().convert
    image = Image.new("RGB", (1, 1), COLOUR)

    for _ in range(3):
        convert(image, rgb_profile(DISPLAY_P3))
    assert len(built) == 1
    for step in range(20):
        convert(image, rgb_profile(DISPLAY_P3, exponent=1.5 + step / 16))
    assert len(built) == 21
    convert(image, rgb_profile(DISPLAY_P3))
    assert len(built) == 22
    assert convert(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()) is image

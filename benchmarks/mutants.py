"""Damaged image files: always the same ones for the same originals and seed."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from PIL.ExifTags import GPS, IFD, Base

#: The head of a file, in bytes: signatures, sizes and the first tables.
_HEAD = 1024
#: As much of a file as EXIF data that begins somewhere may be.
_EXIF = 2048
#: How a TIFF structure begins, and so every EXIF block, in either byte order.
_TIFF_MARKS = (b"II*\0", b"MM\0*")


@dataclass(frozen=True)
class Mutant:
    """A damaged file.

    Attributes:
        name: of the original.
        damage: what was done to it.
        content: its bytes.
    """

    name: str
    damage: str
    content: bytes


def mutants(originals: Mapping[str, bytes], count: int, seed: int) -> Iterator[Mutant]:
    """Damages the originals in turn, each time in another way.

    Args:
        originals: name to bytes.
        count: of damaged files.
        seed: of everything random.
    """
    names = sorted(originals)
    damages = list(_DAMAGES.items())
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        name = names[number % len(names)]
        # Every original meets every damage: the two cycles have no common step.
        damage, inflict = damages[(number // len(names) + number) % len(damages)]
        other = originals[chance.choice(names)]
        yield Mutant(name, damage, bytes(inflict(bytearray(originals[name]), other, chance)))


def _flip(content: bytearray, begin: int, end: int, bits: int, chance: random.Random) -> bytearray:
    for _ in range(bits):
        content[chance.randrange(begin, end)] ^= 1 << chance.randrange(8)
    return content


def _flip_anywhere(content: bytearray, other: bytes, chance: random.Random) -> bytearray:
    return _flip(content, 0, len(content), chance.choice((1, 2, 8, 64, 512)), chance)


def _flip_in_head(content: bytearray, other: bytes, chance: random.Random) -> bytearray:
    return _flip(content, 0, min(_HEAD, len(content)), chance.choice((1, 2, 4, 16)), chance)


def _truncate(content: bytearray, other: bytes, chance: random.Random) -> bytearray:
    return content[: chance.randrange(min(_HEAD, len(content)) if chance.random() < 0.3 else len(content))]


def _splice_head(content: bytearray, other: bytes, chance: random.Random) -> bytearray:
    length = chance.choice((4, 16, 64, 256, _HEAD))
    return bytearray(other[:length]) + content[length:]


def _splice_middle(content: bytearray, other: bytes, chance: random.Random) -> bytearray:
    return content[: chance.randrange(len(content))] + other[chance.randrange(len(other)) :]


def _change_exif(content: bytearray, other: bytes, chance: random.Random) -> bytearray:
    begin = min((at for mark in _TIFF_MARKS if (at := content.find(mark)) >= 0), default=0)
    end = min(begin + _EXIF, len(content))
    for _ in range(chance.choice((1, 2, 8, 32))):
        # The values that counts, offsets and types break at.
        content[chance.randrange(begin, end)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    return content


def _overwrite(content: bytearray, other: bytes, chance: random.Random) -> bytearray:
    begin = chance.randrange(len(content))
    length = min(chance.choice((4, 64, 1024)), len(content) - begin)
    fillings = (bytes(length), b"\xff" * length, chance.randbytes(length))
    content[begin : begin + length] = chance.choice(fillings)
    return content


def _remove_or_repeat(content: bytearray, other: bytes, chance: random.Random) -> bytearray:
    begin = chance.randrange(len(content))
    end = min(begin + chance.choice((1, 3, 16, 512)), len(content))
    stretch = content[begin:end]
    return content[:begin] + stretch * chance.choice((0, 2, 20)) + content[end:]


_DAMAGES: Mapping[str, Callable[[bytearray, bytes, random.Random], bytearray]] = {
    "bits flipped anywhere": _flip_anywhere,
    "bits flipped in the head": _flip_in_head,
    "cut off": _truncate,
    "another file's head": _splice_head,
    "another file's rest": _splice_middle,
    "EXIF bytes changed": _change_exif,
    "a stretch overwritten": _overwrite,
    "a stretch removed or repeated": _remove_or_repeat,
}


def files_below(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def generated() -> dict[str, bytes]:
    """Small pictures in every format that Shoal reads and in the kinds that decoders treat differently.

    Those of formats that this installation cannot write (HEIF without pillow-heif) are left out.
    """
    picture = _picture()
    exif = _exif()
    frames: dict[str, object] = {"save_all": True, "append_images": [picture.rotate(90), picture.rotate(180)]}
    kinds: list[tuple[str, Image.Image, str, dict[str, object]]] = [
        ("baseline.jpg", picture, "JPEG", {"exif": exif, "quality": 90}),
        ("progressive.jpg", picture, "JPEG", {"exif": exif, "progressive": True}),
        ("grey.jpg", picture.convert("L"), "JPEG", {"exif": exif}),
        ("cmyk.jpg", picture.convert("CMYK"), "JPEG", {"exif": exif}),
        ("rgb.png", picture, "PNG", {"exif": exif}),
        ("alpha.png", picture.convert("RGBA"), "PNG", {}),
        ("palette.png", picture.convert("P"), "PNG", {"transparency": 3}),
        ("deep.png", _deep(picture), "PNG", {}),
        ("animated.png", picture, "PNG", frames),
        ("lossy.webp", picture, "WEBP", {"exif": exif}),
        ("lossless.webp", picture.convert("RGBA"), "WEBP", {"lossless": True}),
        ("animated.webp", picture, "WEBP", frames),
        ("plain.gif", picture.convert("P"), "GIF", {}),
        ("animated.gif", picture.convert("P"), "GIF", frames),
        ("raw.tiff", picture, "TIFF", {"exif": exif}),
        ("lzw.tiff", picture, "TIFF", {"compression": "tiff_lzw"}),
        ("jpeg.tiff", picture, "TIFF", {"compression": "jpeg"}),
        ("deep.tiff", _deep(picture), "TIFF", {"compression": "tiff_adobe_deflate"}),
        ("fax.tiff", picture.convert("1"), "TIFF", {"compression": "group4"}),
        ("pages.tiff", picture, "TIFF", frames),
        ("plain.bmp", picture, "BMP", {}),
        ("palette.bmp", picture.convert("P"), "BMP", {}),
        ("plain.avif", picture, "AVIF", {"exif": exif}),
        ("plain.heic", picture, "HEIF", {"exif": exif}),
    ]
    _register_heif()
    made = {}
    for name, image, image_format, options in kinds:
        if image_format in Image.SAVE or image_format in _registered():
            file = io.BytesIO()
            image.save(file, image_format, **options)
            made[name] = file.getvalue()
    return made


def _register_heif() -> None:
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()


def _registered() -> Sequence[str]:
    Image.init()
    return list(Image.SAVE)


def _picture() -> Image.Image:
    noise = np.random.default_rng(3).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((120, 90), Image.Resampling.BILINEAR, (0, 0, 30, 20))
    ImageDraw.Draw(picture).ellipse((20, 15, 100, 75), fill=(200, 60, 30), outline=(255, 255, 255), width=4)
    return picture


def _deep(picture: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(picture.convert("L"), dtype=np.uint16) * 257)


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    exif[Base.Make] = "Maker"
    exif[Base.Model] = "Maker M1"
    exif.get_ifd(IFD.Exif).update(
        {
            Base.DateTimeOriginal: "2024:05:06 07:08:09",
            Base.OffsetTimeOriginal: "+02:00",
            Base.SubsecTimeOriginal: "123",
            Base.LensModel: "M 24-70",
            Base.ISOSpeedRatings: 200,
            Base.FNumber: 2.8,
            Base.ExposureTime: 0.01,
            Base.FocalLength: 35.0,
        }
    )
    exif.get_ifd(IFD.GPSInfo).update(
        {
            GPS.GPSLatitudeRef: "N",
            GPS.GPSLatitude: (52.0, 31.0, 12.0),
            GPS.GPSLongitudeRef: "E",
            GPS.GPSLongitude: (13.0, 24.0, 18.0),
            GPS.GPSAltitude: 34.0,
        }
    )
    return exif

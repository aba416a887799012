"""Photographs as a phone takes them, made up: 4000 x 3000 pixels, JPEG of quality 90 with 4:2:0, EXIF, 2.5 to 5 MB.

What they show is a crop of one of scikit-image's pictures, enlarged. An enlarged picture is smooth, and a JPEG of it
is small and decodes too fast; so detail of all sizes is added, with the 1/f amplitudes of natural images (Field 1987,
https://doi.org/10.1364/JOSAA.4.002379), and a sensor's grain. The same installation always makes the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

WIDTH, HEIGHT = 4000, 3000
QUALITY = 90
_SEED = 20240601
_PICTURES = ("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg", "grass.png")
#: EXIF orientations, in turn; most phones write 1 or 6.
_ORIENTATIONS = (1, 6, 1, 1, 6, 3, 1, 8)
#: Standard deviations, in levels of 0 to 255.
_DETAIL, _GRAIN = 10.0, 1.5
_FIRST_SHOT = datetime(2024, 6, 1, 9)


def make_photos(folder: Path, count: int) -> list[Path]:
    """Writes photographs, about one in a second; those that are there stay.

    Args:
        folder: where to; made if it is not there.
        count: how many.

    Returns:
        The files, in the order of their numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"photo_{number:04}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        if not file.exists():
            part = file.with_suffix(".part")
            _photo(number).save(part, "JPEG", quality=QUALITY, subsampling="4:2:0", exif=_exif(number))
            part.replace(file)
    return files


def variants(files: Sequence[Path], count: int) -> Iterator[tuple[bytes, str]]:
    """Any number of different files without a disk full of them: bytes and a URI of each.

    Args:
        files: JPEG photographs that are taken in turn.
        count: how many; each has a comment of its own (JPEG's COM segment), and so another hash.
    """
    for number in range(count):
        content = files[number % len(files)].read_bytes()
        comment = str(number).encode()
        segment = b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment
        # ITU-T T.81, B.2.1: a comment may stand anywhere before the frame header; here, just before the pixels' tables.
        tables = content.index(b"\xff\xdb", content.index(b"\xff\xe1") + 2 + _segment_length(content))
        yield content[:tables] + segment + content[tables:], f"memory:{number}"


def _segment_length(content: bytes) -> int:
    start = content.index(b"\xff\xe1") + 2
    return int.from_bytes(content[start : start + 2], "big")


def _photo(number: int) -> Image.Image:
    """One picture as the sensor has it, not turned."""
    rng = np.random.default_rng((_SEED, number))
    picture = _picture(_PICTURES[number % len(_PICTURES)])
    share = float(rng.uniform(0.6, 1.0))
    # As much of the picture as has the sensor's shape.
    unit = share * min(picture.width / WIDTH, picture.height / HEIGHT)
    width, height = WIDTH * unit, HEIGHT * unit
    left, top = rng.uniform(0, picture.width - width), rng.uniform(0, picture.height - height)
    shown = picture.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
    if rng.random() < 0.5:
        shown = shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(shown).astype(np.int16)
    down, across = rng.integers(0, min(WIDTH, HEIGHT), 2)
    pixels += np.roll(_texture(), (down, across), axis=(0, 1))[:, :, None]
    pixels += rng.integers(-20, 21)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@cache
def _picture(name: str) -> Image.Image:
    with Image.open(Path(skimage.__file__).parent / "data" / name) as picture:
        return picture.convert("RGB")


@cache
def _texture() -> NDArray[np.int16]:
    """Detail and grain, levels of 0 to 255 around 0, (HEIGHT, WIDTH); it has no seams when it is rolled."""
    rng = np.random.default_rng(_SEED)
    white = rng.standard_normal((HEIGHT, WIDTH), np.float32)
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None, :]).astype(np.float32)
    # Large shapes are the picture's own.
    frequency[frequency < 1 / 100] = np.inf
    detail = np.fft.irfft2(np.fft.rfft2(white) / frequency, s=(HEIGHT, WIDTH))
    grain = rng.standard_normal((HEIGHT, WIDTH), np.float32)
    texture: NDArray[np.int16] = np.rint(detail / detail.std() * _DETAIL + grain * _GRAIN).astype(np.int16)
    return texture


def _exif(number: int) -> Image.Exif:
    exif = Image.Exif()
    exif[Base.Make] = "Google"
    exif[Base.Model] = "Pixel 8"
    exif[Base.Orientation] = _ORIENTATIONS[number % len(_ORIENTATIONS)]
    taken = _FIRST_SHOT + timedelta(minutes=7 * number)
    exif.get_ifd(IFD.Exif).update(
        {
            Base.DateTimeOriginal: taken.strftime("%Y:%m:%d %H:%M:%S"),
            Base.OffsetTimeOriginal: "+02:00",
            Base.ExposureTime: 1 / 125,
            Base.FNumber: 1.7,
            Base.ISOSpeedRatings: 100,
            Base.FocalLength: 6.9,
        }
    )
    exif.get_ifd(IFD.GPSInfo).update(
        {
            GPS.GPSLatitudeRef: "N",
            GPS.GPSLatitude: (46.0, float(number % 60), 12.5),
            GPS.GPSLongitudeRef: "E",
            GPS.GPSLongitude: (7.0, float(number // 60 % 60), 48.0),
        }
    )
    return exif

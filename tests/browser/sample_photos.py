"""Pictures for the tests of the page, hostile ones among them."""

from __future__ import annotations

import io
from datetime import datetime, timedelta

import PIL.Image
from PIL import ExifTags, ImageDraw

from tests.browser.explorer_server import Explorer
from tests.fakes import picture

#: A file's name that would be markup if it were taken for it.
HOSTILE_NAME = "<img src=x onerror=alert(1)>.jpg"
#: The same, as a camera calls itself.
HOSTILE_CAMERA = '"><script>alert(2)</script>'
COLORS = ("red", "green", "blue")
EACH = 12

_FIRST = datetime(2023, 5, 4, 9)
_PLACES = {"red": (48.0, 11.0), "green": (52.0, 13.0), "blue": (41.0, 2.0)}


def hostile_picture() -> bytes:
    """A red JPEG by a camera with a hostile name."""
    with PIL.Image.open(io.BytesIO(picture("red", 99))) as red:
        exif = PIL.Image.Exif()
        exif[ExifTags.Base.Make] = HOSTILE_CAMERA
        exif[ExifTags.Base.Model] = HOSTILE_CAMERA
        file = io.BytesIO()
        red.save(file, "JPEG", quality=95, exif=exif)
    return file.getvalue()


def store_colors(explorer: Explorer) -> None:
    """Stores twelve pictures of each of three colours and a hostile red one, of several months and places."""
    for number, color in enumerate(COLORS):
        for shot in range(EACH):
            taken = _FIRST + timedelta(days=40 * number, hours=shot)
            explorer.store(f"{color}-{shot:02}.png", picture(color, shot, taken=taken, at=_PLACES[color]))
    explorer.store(HOSTILE_NAME, hostile_picture())


def drawing(size: int, kind: str) -> bytes:
    """A picture with something to see, at any size."""
    large = PIL.Image.new("RGB", (256, 256), "white")
    draw = ImageDraw.Draw(large)
    draw.ellipse((30, 40, 150, 200), fill="purple")
    draw.rectangle((120, 20, 230, 90), fill="orange")
    draw.line((0, 255, 255, 120), fill="black", width=9)
    file = io.BytesIO()
    large.resize((size, size)).save(file, kind)
    return file.getvalue()


def images_of(explorer: Explorer, color: str) -> dict[str, int | None]:
    """The cluster of each image of a colour, by the image's id."""
    listed = explorer.get("images", page_size=1000)["images"]
    return {each["id"]: each["cluster"] for each in listed if each["uri"].startswith(f"{color}-")}


def home(explorer: Explorer, color: str) -> int:
    """The cluster that all images of a colour are in."""
    [cluster] = set(images_of(explorer, color).values())
    assert cluster is not None
    return cluster

"""Makes a small photo collection: twelve simulated shots of each of twenty scenes, with EXIF.

The scenes come with scikit-image; nothing is downloaded. Every shot is another crop, tilt, exposure and white balance,
perhaps mirrored; some are stored turned, with the EXIF orientation that turns them upright. The same installation
always makes the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from shoal_client.demo.scenes import SCENES, Scene
from shoal_client.errors import MissingExtra

if TYPE_CHECKING:  # the base install has neither
    import numpy as np
    from PIL import Image

SHOTS = 12
LONG_SIDE = 480
JPEG_QUALITY = 90
SEED = 20240601
FIRST_DAY = datetime(2024, 6, 1, 9)
MAX_TILT_DEGREES = 6.0
#: EXIF orientation of each shot of a scene; not left to chance, so that none is missing.
ORIENTATIONS = (1, 1, 1, 6, 1, 1, 8, 1, 1, 3, 1, 1)


def make_photographs(folder: Path, progress: Callable[[int, int], None] | None = None) -> list[Path]:
    """Writes 240 JPEG files named ``{scene}_{shot}.jpg``.

    Args:
        folder: where to; made if it is not there. Files of the same names are replaced.
        progress: called after each file with the number written so far and the number of all.

    Returns:
        The files, sorted by name.

    Raises:
        MissingExtra: scikit-image, Pillow or numpy is not installed, or its pictures are not.
    """
    pictures = _pictures()
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    count = len(SCENES) * SHOTS
    written: list[Path] = []
    for index, scene in enumerate(SCENES):
        rng = np.random.default_rng((SEED, index))
        picture = _load(pictures / scene.file)
        for shot in range(SHOTS):
            path = folder / f"{scene.name}_{shot:02}.jpg"
            _write(path, _shoot(picture, scene, rng), scene, index, shot, rng)
            written.append(path)
            if progress is not None:
                progress(len(written), count)
    return written


def _pictures() -> Path:
    """The folder with scikit-image's pictures, found without importing it: importing takes a second."""
    for package in ("numpy", "PIL", "skimage"):
        if find_spec(package) is None:
            raise MissingExtra(f"the demo's photographs need {package}: pip install 'shoal[server]'")
    found = find_spec("skimage")
    folder = Path(found.origin).parent / "data" if found is not None and found.origin else Path()
    missing = [scene.file for scene in SCENES if not (folder / scene.file).is_file()]
    if missing:
        raise MissingExtra(
            f"this scikit-image has no {', '.join(missing)}: pip install 'shoal[server]', or give the demo a folder"
        )
    return folder


def _load(path: Path) -> Image.Image:
    from PIL import Image

    with Image.open(path) as picture:
        opaque = Image.new("RGBA", picture.size, "white")
        opaque.alpha_composite(picture.convert("RGBA"))
    # Twice a shot's size is as sharp as any crop needs.
    opaque.thumbnail((2 * LONG_SIDE, 2 * LONG_SIDE))
    return opaque.convert("RGB")


def _shoot(picture: Image.Image, scene: Scene, rng: np.random.Generator) -> Image.Image:
    """One upright shot: tilted, cropped, perhaps mirrored, with its own exposure and white balance."""
    from PIL import Image

    tilt = float(rng.uniform(-MAX_TILT_DEGREES, MAX_TILT_DEGREES))
    shot = picture.rotate(tilt, Image.Resampling.BICUBIC).crop(_inside(picture.size, math.radians(tilt)))
    share = float(rng.uniform(0.8, 1.0))
    width, height = round(shot.width * share), round(shot.height * share)
    left, top = (int(rng.integers(0, room + 1)) for room in (shot.width - width, shot.height - height))
    shot = shot.crop((left, top, left + width, top + height))
    scale = LONG_SIDE / max(shot.size)
    shot = shot.resize((round(shot.width * scale), round(shot.height * scale)), Image.Resampling.LANCZOS)
    if scene.mirrored and rng.random() < 0.5:
        shot = shot.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _expose(shot, rng)


def _inside(size: tuple[int, int], angle: float) -> tuple[int, int, int, int]:
    """The largest centred box of the picture's shape that stays inside of it when it is tilted by ``angle`` radians."""
    width, height = size
    sine, cosine = abs(math.sin(angle)), math.cos(angle)
    share = 1 / (cosine + sine * max(width / height, height / width))
    # A pixel less on each side, where the interpolation has reached beyond the edge.
    across, down = math.floor(width * share / 2) - 1, math.floor(height * share / 2) - 1
    return width // 2 - across, height // 2 - down, width // 2 + across, height // 2 + down


def _expose(shot: Image.Image, rng: np.random.Generator) -> Image.Image:
    import numpy as np
    from PIL import Image

    exposure = 2 ** rng.uniform(-0.35, 0.35)
    white_balance = rng.uniform(0.95, 1.05, 3)
    pixels = np.asarray(shot, np.float32) * (exposure * white_balance).astype(np.float32)
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))


def _write(path: Path, shot: Image.Image, scene: Scene, day: int, number: int, rng: np.random.Generator) -> None:
    from PIL import Image

    orientation = ORIENTATIONS[number]
    turns = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    stored = shot.transpose(turns[orientation]) if orientation in turns else shot
    taken = FIRST_DAY + timedelta(days=day, minutes=7 * number)
    stored.save(path, quality=JPEG_QUALITY, exif=_exif(scene, orientation, taken, rng))


def _exif(scene: Scene, orientation: int, taken: datetime, rng: np.random.Generator) -> Image.Exif:
    from PIL.ExifTags import GPS, IFD, Base
    from PIL.Image import Exif

    exif = Exif()
    exif[Base.Make] = scene.camera.make
    exif[Base.Model] = scene.camera.model
    exif[Base.Orientation] = orientation
    exif.get_ifd(IFD.Exif).update(
        {
            Base.DateTimeOriginal: taken.strftime("%Y:%m:%d %H:%M:%S"),
            Base.ExposureTime: 1 / float(rng.choice([30, 60, 125, 250, 500])),
            Base.FNumber: scene.camera.f_number,
            Base.ISOSpeedRatings: int(rng.choice([100, 200, 400, 800])),
            Base.FocalLength: scene.camera.focal_length_mm,
        }
    )
    # Within some 300 metres.
    lat, lon = (degrees + float(rng.uniform(-0.002, 0.002)) for degrees in (scene.lat, scene.lon))
    exif.get_ifd(IFD.GPSInfo).update(
        {
            GPS.GPSLatitudeRef: "N" if lat >= 0 else "S",
            GPS.GPSLatitude: _degrees_minutes_seconds(lat),
            GPS.GPSLongitudeRef: "E" if lon >= 0 else "W",
            GPS.GPSLongitude: _degrees_minutes_seconds(lon),
        }
    )
    return exif


def _degrees_minutes_seconds(degrees: float) -> tuple[float, float, float]:
    whole_minutes, seconds = divmod(round(abs(degrees) * 3600, 2), 60)
    whole_degrees, minutes = divmod(whole_minutes, 60)
    return whole_degrees, minutes, round(seconds, 2)

"""Any of Pillow's modes and any colour profile to sRGB on white."""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from io import BytesIO
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

#: Profiles whose transforms are kept, at some 100 KB to 2 MB each.
_MAX_TRANSFORMS = 16
#: Longest profile that is read; those of printing presses have up to 3 MB.
_MAX_PROFILE = 4 * 1024 * 1024
#: The mode that a profile's colour space is for, by its signature (ICC.1:2022, table 19).
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
_LIGHTEST: dict[str, tuple[int, ...]] = {"RGB": (255, 255, 255), "L": (255,), "CMYK": (0, 0, 0, 0)}
#: Most that a transform to sRGB may change a value and still be none: rounding alone changes by 1.
_ROUNDING = 2

_log = logging.getLogger(__name__)


class ToSrgb:
    """Converts pictures to sRGB; keeps the transforms it made. May be called from several threads at once."""

    def __init__(self) -> None:
        self._srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
        self._transforms: OrderedDict[tuple[bytes, str], ImageCms.ImageCmsTransform | None] = OrderedDict()
        self._lock = Lock()

    def convert(self, image: Image.Image, profile: object) -> Image.Image:
        """A picture in RGB over white.

        Args:
            image: of a mode that :func:`~shoal_server.adapters.pillow_decoder.scaling.shrink` gives.
            profile: the file's ICC profile, if it has one. One that is broken, or for another colour space than the
                picture's, is passed over, and the picture taken as it would be without.
        """
        alpha = image.getchannel("A") if image.mode in ("RGBA", "LA") else None
        colours = _plain(image)
        transform = None
        if isinstance(profile, bytes) and 0 < len(profile) <= _MAX_PROFILE and colours.mode in _MODES.values():
            transform = self._transform(profile, colours.mode)
        if transform is not None:
            rgb = _apply(transform, colours)
        else:
            # Converting to the same mode would copy.
            rgb = colours if colours.mode == "RGB" else colours.convert("RGB")
        if alpha is None:
            return rgb
        return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha)

    def _transform(self, profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
        """The transform from a profile, or None if there is nothing to do or nothing that can be done."""
        key = (hashlib.sha256(profile).digest(), mode)
        with self._lock:
            if key in self._transforms:
                self._transforms.move_to_end(key)
                return self._transforms[key]
        transform = self._build(profile, mode)
        with self._lock:
            self._transforms[key] = transform
            while len(self._transforms) > _MAX_TRANSFORMS:
                self._transforms.popitem(last=False)
        return transform

    def _build(self, profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            if _MODES.get(source.profile.xcolor_space.strip()) != mode:
                _log.debug("ICC profile for %s passed over in a picture of mode %s", source.profile.xcolor_space, mode)
                return None
            transform = ImageCms.ImageCmsTransform(
                source,
                self._srgb,
                mode,
                "RGB",
                ImageCms.Intent.RELATIVE_COLORIMETRIC,
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
            )
            if not _keeps_white(transform):
                _log.debug("ICC profile passed over: white is not white in it")
                return None
            return None if mode == "RGB" and _changes_nothing(transform) else transform
        except Exception as error:  # noqa: BLE001 - a profile never costs an image
            _log.debug("ICC profile not applied: %r", error)
            return None


def _apply(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = transform.apply(image)
    converted.info.clear()
    return converted


def _keeps_white(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether the lightest colour stays light, as it does in every profile that was measured from something."""
    white = _LIGHTEST.get(transform.input_mode)
    if white is None:
        return True
    return int(np.asarray(_apply(transform, Image.new(transform.input_mode, (1, 1), white))).min()) > 127


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether a transform of RGB leaves a grid of colours as they are, as sRGB's own profiles do."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    converted = np.asarray(transform.apply(Image.fromarray(grid)))
    return int(np.abs(converted.astype(np.int16) - grid).max()) <= _ROUNDING


def _plain(image: Image.Image) -> Image.Image:
    """Without alpha, and in one of the modes that profiles are for."""
    if image.mode in ("I", "F"):
        return Image.fromarray(_to_white_point(np.asarray(image)))
    if image.mode == "LA":
        return image.convert("L")
    return image if image.mode in _MODES.values() else image.convert("RGB")


def _to_white_point(grey: NDArray[np.int32] | NDArray[np.float32]) -> NDArray[np.uint8]:
    """32-bit grey to 0 .. 255.

    Such files do not say what is white. It is taken to be the least of 1, 255 and 65535 that no value exceeds, or else
    the greatest value; black is 0, or the least value if that is negative. What is not finite is black.
    """
    values = np.nan_to_num(grey.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max())
    white = next((level for level in (1.0, 255.0, 65535.0) if top <= level), top)
    black = min(float(values.min()), 0.0)
    scale = 255 / (white - black)
    scaled: NDArray[np.uint8] = np.rint(values * scale - black * scale).astype(np.uint8)
    return scaled

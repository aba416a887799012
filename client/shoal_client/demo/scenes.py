"""The scenes of the demo: pictures that scikit-image's wheel carries, each with a camera and a place made up for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Camera:
    """What a shot's EXIF says about the camera."""

    make: str
    model: str
    focal_length_mm: float
    f_number: float


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture that many shots are made of.

    Attributes:
        name: first part of the shots' file names.
        file: in the data folder of scikit-image.
        lat: of the made-up place, WGS 84 degrees.
        lon: of the made-up place, WGS 84 degrees.
        mirrored: whether half of the shots are mirrored; writing is not.
    """

    name: str
    file: str
    camera: Camera
    lat: float
    lon: float
    mirrored: bool = True


_PHONE = Camera("Google", "Pixel 8", 6.9, 1.7)
_REFLEX = Camera("NIKON CORPORATION", "NIKON D750", 50.0, 4.0)
_COMPACT = Camera("SONY", "DSC-RX100M7", 24.0, 2.8)
_MICROSCOPE = Camera("ZEISS", "Axiocam 208", 63.0, 8.0)
_TELESCOPE = Camera("ZWO", "ASI2600MC", 800.0, 5.6)

SCENES = (
    Scene("astronaut", "astronaut.png", _REFLEX, 29.5593, -95.0900),
    Scene("brick", "brick.png", _PHONE, 52.3676, 4.9041),
    Scene("camera", "camera.png", _REFLEX, 42.3601, -71.0942, mirrored=False),
    Scene("cell", "cell.png", _MICROSCOPE, 52.2053, 0.1218),
    Scene("chelsea", "chelsea.png", _COMPACT, 51.4875, -0.1687),
    Scene("clock", "clock_motion.png", _PHONE, 46.9480, 7.4474),
    Scene("coffee", "coffee.png", _PHONE, 45.4642, 9.1900),
    Scene("coins", "coins.png", _COMPACT, 40.7512, 14.4869),
    Scene("grass", "grass.png", _PHONE, 53.3498, -6.2603),
    Scene("gravel", "gravel.png", _PHONE, 35.0116, 135.7681),
    Scene("horse", "horse.png", _COMPACT, 38.0406, -84.5037),
    Scene("hubble", "hubble_deep_field.jpg", _TELESCOPE, -24.6272, -70.4040),
    Scene("ihc", "ihc.png", _MICROSCOPE, 48.8566, 2.3522),
    Scene("logo", "logo.png", _PHONE, -33.9249, 18.4241, mirrored=False),
    Scene("moon", "moon.png", _TELESCOPE, 28.7606, -17.8816),
    Scene("motorcycle", "motorcycle_left.png", _REFLEX, 44.6488, 10.9201),
    Scene("page", "page.png", _COMPACT, 51.7520, -1.2577, mirrored=False),
    Scene("retina", "retina.jpg", _MICROSCOPE, 49.2827, -123.1207),
    Scene("rocket", "rocket.jpg", _REFLEX, 28.5729, -80.6490),
    Scene("text", "text.png", _PHONE, 30.0444, 31.2357, mirrored=False),
)

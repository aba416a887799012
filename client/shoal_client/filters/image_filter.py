"""Conditions on images, joined by ``&``, ``|`` and ``~``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from shoal_client.errors import InvalidArgument

#: The value of an attribute: what people say of an image.
Attribute: TypeAlias = str | int | float | bool

#: A point in time: a date, a datetime, or RFC 3339 text or the beginning of one: ``2019``, ``2019-05-01T12:00``.
Bound: TypeAlias = str | date

#: A number, or the least and the most that it may be; None: no bound.
Bounds: TypeAlias = float | tuple[float | None, float | None]


class Between(NamedTuple):
    """A range of numbers: ``min`` or more, ``max`` or less; None: no bound."""

    min: float | None = None
    max: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFilter:
    """Which images; all that is said holds together, and an empty filter lets every image through.

    ``a & b``: both hold. ``a | b``: at least one holds. ``~a``: does not hold; an image that lacks what ``a`` asks for
    is let through by ``~a``.

        ImageFilter(tags=["night"], captured=("2019-05", "2019-07")) & ~ImageFilter(clusters=[3])

    Attributes:
        clusters: in any of these, or below any of ``themes``.
        unclustered: in no cluster.
        themes: in a cluster below any of these, or in any of ``clusters``.
        places: taken at any of these.
        moments: taken in any of these.
        tags: with any of these.
        captured: taken not before the first of the two and before the second; None: no bound. One alone: within it, as
            ``2019-05`` is a whole month. Without an offset it is compared with what the camera's clock showed,
            wherever it was. With an offset it is a moment in time, and images whose camera recorded no offset are left
            out.
        ingested: stored in this time, likewise; without an offset in the time zone of this computer.
        near: taken within a distance of a point: latitude and longitude in degrees (WGS 84), and metres above 0.
        box: taken between south, west, north and east in degrees; west may be east of east, across the 180th meridian.
        polygon: taken within a closed line of 3 to 1000 corners: latitude and longitude in degrees.
        camera_makes: by any of these manufacturers, exactly as written in the file.
        camera_models: with any of these cameras, exactly as written in the file.
        lenses: with any of these lenses, exactly as written in the file.
        formats: in any of these: ``JPEG``, ``PNG``, ...
        iso: ISO speed. This and the other numbers: one, or at least and at most; an image without it is left out.
        f_number: of the aperture.
        exposure_s: seconds.
        focal_length_mm: millimetres, not scaled to 35 mm film.
        width: pixels, upright.
        height: pixels, upright.
        byte_size: of the file.
        altitude_m: metres above sea level.
        orientation: EXIF orientation as found in the file, 1 to 8.
        frame_count: frames of an animation, pages of a TIFF.
        attributes: each of these attributes has this value, any of these values, or a number in this range
            (:class:`Between`); 2 and 2.0 are the same.
        has_attributes: with each of these attributes, whatever their values.
        all_of: each of these lets the image through.
        any_of: at least one of these does, if there are any.
        none_of: none of these does.

    Raises:
        InvalidArgument: a single text stands where several belong.
    """

    clusters: Iterable[int] = ()
    unclustered: bool = False
    themes: Iterable[int] = ()
    places: Iterable[int] = ()
    moments: Iterable[int] = ()
    tags: Iterable[str] = ()
    captured: Bound | tuple[Bound | None, Bound | None] | None = None
    ingested: Bound | tuple[Bound | None, Bound | None] | None = None
    near: tuple[float, float, float] | None = None
    box: tuple[float, float, float, float] | None = None
    polygon: Iterable[tuple[float, float]] = ()
    camera_makes: Iterable[str] = ()
    camera_models: Iterable[str] = ()
    lenses: Iterable[str] = ()
    formats: Iterable[str] = ()
    iso: Bounds | None = None
    f_number: Bounds | None = None
    exposure_s: Bounds | None = None
    focal_length_mm: Bounds | None = None
    width: Bounds | None = None
    height: Bounds | None = None
    byte_size: Bounds | None = None
    altitude_m: Bounds | None = None
    orientation: Bounds | None = None
    frame_count: Bounds | None = None
    attributes: Mapping[str, Attribute | Iterable[Attribute] | Between] = field(default_factory=dict, hash=False)
    has_attributes: Iterable[str] = ()
    all_of: Iterable[ImageFilter] = ()
    any_of: Iterable[ImageFilter] = ()
    none_of: Iterable[ImageFilter] = ()

    def __post_init__(self) -> None:
        """Keeps copies of what was given, so that nobody can change the filter."""
        for name in _SEVERAL:
            value = getattr(self, name)
            if isinstance(value, str):
                raise InvalidArgument(f"{name} is {value!r}; it must be a list: [{value!r}]", reason="INVALID_FIELD")
            object.__setattr__(self, name, tuple(value))
        given = {
            key: value if isinstance(value, str | int | float | Between) else tuple(value)
            for key, value in self.attributes.items()
        }
        object.__setattr__(self, "attributes", MappingProxyType(given))

    def __repr__(self) -> str:
        """What is said, and nothing of what is not."""
        said = {each.name: getattr(self, each.name) for each in fields(self) if self._says(each.name)}
        if self.attributes:
            said["attributes"] = dict(self.attributes)
        return f"ImageFilter({', '.join(f'{name}={value!r}' for name, value in said.items())})"

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return any(self._says(each.name) for each in fields(self))

    def __and__(self, other: ImageFilter) -> ImageFilter:
        """Both hold."""
        if not self or not other:
            return other or self
        return ImageFilter(all_of=(*self._parts("all_of"), *other._parts("all_of")))

    def __or__(self, other: ImageFilter) -> ImageFilter:
        """At least one holds."""
        if not self or not other:  # an empty filter lets every image through
            return ImageFilter()
        return ImageFilter(any_of=(*self._parts("any_of"), *other._parts("any_of")))

    def __invert__(self) -> ImageFilter:
        """Does not hold."""
        parts = self._parts("none_of")
        return parts[0] if parts[0] is not self and len(parts) == 1 else ImageFilter(none_of=(self,))

    def _says(self, name: str) -> bool:
        value = getattr(self, name)
        return value is not None and value is not False and value != () and value != {}

    def _parts(self, joined: str) -> tuple[ImageFilter, ...]:
        """The filters joined in the field of that name if nothing else is said; otherwise this one."""
        if [each.name for each in fields(self) if self._says(each.name)] == [joined]:
            return tuple(getattr(self, joined))
        return (self,)


#: Fields that hold several things.
_SEVERAL = (
    "clusters", "themes", "places", "moments", "tags", "polygon", "camera_makes", "camera_models", "lenses", "formats",
    "has_attributes", "all_of", "any_of", "none_of",
)  # fmt: skip

"""Places: images taken near one another.

Distances are great circles on a sphere, so that no pole and no meridian is special.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import NOISE
from shoal_server.domain.groupings import Place
from shoal_server.domain.image import Location

#: Mean radius of the Earth (IUGG).
EARTH_RADIUS_KM = 6371.0088
#: An image this far outside a place's radius still belongs to it: what a receiver between houses is off by.
SLACK_KM = 0.3

# Rows whose distances to all places are held at once.
_BLOCK = 4096
# A name's last digit is worth no more than the place's radius: up to so many kilometres, so many decimals.
_DECIMALS = ((0.5, 3), (5.0, 2), (30.0, 1))


def degrees_of(locations: Sequence[Location | None]) -> NDArray[np.float64]:
    """n locations to (n, 2): latitude and longitude in degrees; NaN where there is none or it makes no sense."""
    rows = [(np.nan, np.nan) if location is None else (location.lat, location.lon) for location in locations]
    degrees = np.array(rows, dtype=np.float64).reshape(-1, 2)
    degrees[~((np.abs(degrees[:, 0]) <= 90) & (np.abs(degrees[:, 1]) <= 180))] = np.nan
    return degrees


def on_sphere(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 2) latitudes and longitudes in degrees to unit vectors (n, 3)."""
    lat, lon = np.radians(degrees).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def center_and_radius(degrees: NDArray[np.float64]) -> tuple[Location, float]:
    """The middle of (n, 2) positions in degrees, n at least 1, and how far the farthest is from it in kilometres.

    The middle is the direction of the mean of the unit vectors; the first position if they cancel out.
    """
    vectors = on_sphere(degrees)
    mean = vectors.mean(axis=0)
    if np.linalg.norm(mean) < 1e-9:
        mean = vectors[0]
    lat = float(np.degrees(np.arctan2(mean[2], np.hypot(mean[0], mean[1]))))
    lon = float(np.degrees(np.arctan2(mean[1], mean[0])))
    center = Location(lat=lat, lon=lon)
    return center, float(_distances_km(vectors, on_sphere(np.array([[lat, lon]]))[0]).max())


def distance_km(one: Location, other: Location) -> float:
    """Along the great circle."""
    ends = on_sphere(degrees_of([one, other]))
    return float(_distances_km(ends[:1], ends[1])[0])


def nearest_within(
    degrees: NDArray[np.float64], centers: Sequence[Location], radii_km: Sequence[float]
) -> NDArray[np.int64]:
    """For each position the nearest centre among those it is close enough to.

    Args:
        degrees: (n, 2), NaN where unknown.
        centers: of k places.
        radii_km: k radii; :data:`SLACK_KM` is added to each.

    Returns:
        Positions in ``centers`` (n,), -1 where no place is close enough.
    """
    nearest = np.full(len(degrees), NOISE, dtype=np.int64)
    if len(centers) == 0:
        return nearest
    middles = on_sphere(degrees_of(centers))
    reach = np.minimum((np.array(radii_km) + SLACK_KM) / EARTH_RADIUS_KM, np.pi)
    farthest = 2 * (1 - np.cos(reach))
    known = np.flatnonzero(~np.isnan(degrees).any(axis=1))
    for start in range(0, len(known), _BLOCK):
        rows = known[start : start + _BLOCK]
        # Squared chords; rounding makes them wrong by less than a metre.
        away = 2 * (1 - on_sphere(degrees[rows]) @ middles.T)
        away[away > farthest] = np.inf
        nearest[rows] = np.where(np.isfinite(away.min(axis=1)), away.argmin(axis=1), NOISE)
    return nearest


def place_of(location: Location | None, places: Sequence[Place]) -> int | None:
    """The place that an image belongs to by its position.

    Returns:
        The id of the nearest among the places that it lies in, or within :data:`SLACK_KM` of; None if there is none.
    """
    return places_of([location], places)[0]


def places_of(locations: Sequence[Location | None], places: Sequence[Place]) -> list[int | None]:
    """As :func:`place_of`, for many images at once."""
    if not places or all(location is None for location in locations):
        return [None] * len(locations)
    centers, radii = [place.center for place in places], [place.radius_km for place in places]
    nearest = nearest_within(degrees_of(locations), centers, radii).tolist()
    return [None if position == NOISE else places[position].id for position in nearest]


def join_nearby(
    labels: NDArray[np.int64], degrees: NDArray[np.float64]
) -> tuple[NDArray[np.int64], dict[int, tuple[Location, float]]]:
    """Adds images at no place to the place that :func:`place_of` would add them to if they came tomorrow.

    Args:
        labels: (n,), the dense groups, -1 for none.
        degrees: (n, 2), NaN where unknown; known where there is a label.

    Returns:
        Labels (n,), and by label the centre and the radius in kilometres. Those are of the dense group alone: a place
        does not creep because of what was added to it.
    """
    order = np.argsort(labels, kind="stable")
    distinct, starts = np.unique(labels[order], return_index=True)
    parts = zip(distinct.tolist(), np.split(degrees[order], starts[1:]), strict=False)
    extents = {label: center_and_radius(part) for label, part in parts if label != NOISE}
    found = list(extents)
    outside = labels == NOISE
    nearest = nearest_within(
        degrees[outside], [extents[label][0] for label in found], [extents[label][1] for label in found]
    )
    joined = labels.copy()
    joined[outside] = np.array([*found, NOISE], dtype=np.int64)[nearest]
    return joined, extents


def describe_places(
    place_ids: NDArray[np.int64], extents: Mapping[int, tuple[Location, float]], former: Sequence[Place]
) -> tuple[Place, ...]:
    """The records of the places by id, each with a name of its own.

    A place that hardly moved keeps its name.

    Args:
        place_ids: (n,), -1 for none.
        extents: centre and radius in kilometres of every id.
        former: the places before.
    """
    sizes = dict(zip(*(part.tolist() for part in np.unique(place_ids, return_counts=True)), strict=True))
    ids = sorted(extents)
    before = {place.id: place for place in former}
    names: dict[int, str] = {}
    for place_id in ids:
        center, radius = extents[place_id]
        old = before.get(place_id)
        if old is not None and distance_km(center, old.center) <= max(SLACK_KM, radius / 2):
            names[place_id] = old.name
    # The largest of those with the same coordinates has them without a number.
    for place_id in sorted(ids, key=lambda place_id: (-sizes[place_id], place_id)):
        if place_id not in names:
            names[place_id] = _unused(in_words(*extents[place_id]), names.values())
    return tuple(
        Place(id=place_id, name=names[place_id], size=sizes[place_id], center=center, radius_km=radius)
        for place_id in ids
        for center, radius in [extents[place_id]]
    )


def in_words(center: Location, radius_km: float) -> str:
    """Coordinates as people write them, ``48.86°N 2.35°E``, with as many decimals as the radius deserves."""
    decimals = next((decimals for limit, decimals in _DECIMALS if radius_km <= limit), 0)
    lat, lon = round(center.lat, decimals), round(center.lon, decimals)
    north, east = "S" if lat < 0 else "N", "W" if -180 < lon < 0 else "E"
    return f"{abs(lat):.{decimals}f}°{north} {abs(lon):.{decimals}f}°{east}"


def _unused(name: str, used: Collection[str]) -> str:
    number, free = 1, name
    while free in used:
        number += 1
        free = f"{name} ({number})"
    return free


def _distances_km(ones: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Great-circle distances (n,) of unit vectors (n, 3) to one (3,).

    By the chord between them: unlike the angle from the dot product, it is exact for neighbours.
    """
    chords = np.linalg.norm(ones - other, axis=1)
    distances: NDArray[np.float64] = 2 * EARTH_RADIUS_KM * np.arcsin(np.minimum(chords / 2, 1.0))
    return distances

"""When and where a cluster's images were taken, where that sets it apart from the rest of the collection."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import members_of
from shoal_server.domain.image import Location

#: Of a cluster's images that say when (where), so many must agree.
AGREE = 0.8
#: So many of a cluster's images must say when (where) at all ...
KNOWN = 0.5
#: ... and at least this many.
MIN_KNOWN = 5
#: Among the other images that say when (where), the hint may be at most this times as frequent.
ELSEWHERE = 0.5
#: A hint goes into a name that needs none to be unlike others if it is at most this frequent elsewhere, ...
RARE = 0.05
#: ... and the collection spans at least this many such days, months or years (such areas, in width).
SPAN = 12
#: Radii of "one small area" in kilometres, with the decimals of a degree that go with them.
AREAS = ((1.0, 2), (10.0, 1))

_EARTH_KM = 6371.0
# Day, month and year of an RFC 3339 text are its first 10, 7 and 4 characters; the days that each lasts.
_PERIODS = ((10, 1.0), (7, 30.44), (4, 365.25))
_PLACE = re.compile(r"(\d+(?:\.\d+)?)°([NS]) (\d+(?:\.\d+)?)°([EW])")
# So many members are tried as the centre of an area.
_CENTRES = 64


@dataclass(frozen=True, slots=True)
class Hint:
    """What a cluster's name can say about time and place.

    Attributes:
        times: "2019-07-14", "2019-07" and "2019" as far as they are true, finest first.
        place: the smallest area, for instance "48.86°N 2.35°E"; None if there is none.
        centre: of the area.
        radius_km: of the area.
        telling: which of them sets the cluster apart from everything else, so that it belongs into the name even if no
            other cluster has the same word; None if none does.
    """

    times: tuple[str, ...] = ()
    place: str | None = None
    centre: Location | None = None
    radius_km: float = 0.0
    telling: str | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        """All, the one to prefer first."""
        return self.times if self.place is None else (*self.times, self.place)

    def holds(self, text: str) -> bool:
        """Whether a text is true of the cluster. A place is if it lies in the area, however it was rounded."""
        if text in self.texts:
            return True
        found = _PLACE.fullmatch(text)
        if found is None or self.centre is None:
            return False
        lat = float(found[1]) * (1 if found[2] == "N" else -1)
        lon = float(found[3]) * (1 if found[4] == "E" else -1)
        here, there = _on_sphere([self.centre]), _on_sphere([Location(lat, lon)])
        return float(_distances_km(here, there[0])[0]) <= 2 * self.radius_km


NO_HINT = Hint()


def time_and_place_hints(
    captured: Sequence[str | None], locations: Sequence[Location | None], cluster_ids: NDArray[np.int64]
) -> dict[int, Hint]:
    """Finds, for each cluster, the day, month or year and the area that most of its images share and others do not.

    A time is as the camera's clock had it: offsets are not converted, so that a day is a day where it was lived.

    Args:
        captured: for each of n images RFC 3339 text, with or without offset, or None.
        locations: for each of n images, or None.
        cluster_ids: int64 (n,), -1 for none; images in no cluster count as others.

    Returns:
        By cluster id; clusters without a hint are not in it.
    """
    days = [_day(text) for text in captured]
    rows_of = members_of(cluster_ids)
    hints = {}
    times = _time_hints(days, rows_of)
    places = _place_hints(locations, rows_of)
    for cluster in rows_of:
        when, telling_time = times.get(cluster, ((), None))
        where = places.get(cluster, NO_HINT)
        hint = Hint(when, where.place, where.centre, where.radius_km, telling_time or where.telling)
        if hint != NO_HINT:
            hints[cluster] = hint
    return hints


def _day(text: str | None) -> str | None:
    try:
        return None if text is None else date.fromisoformat(text[:10]).isoformat()
    except ValueError:
        return None


def _time_hints(
    days: Sequence[str | None], rows_of: Mapping[int, NDArray[np.int64]]
) -> dict[int, tuple[tuple[str, ...], str | None]]:
    dated = [day for day in days if day is not None]
    if not dated:
        return {}
    span = (date.fromisoformat(max(dated)) - date.fromisoformat(min(dated))).days + 1
    everywhere = {length: Counter(day[:length] for day in dated) for length, _ in _PERIODS}
    hints = {}
    for cluster, rows in rows_of.items():
        own = [day for row in rows.tolist() if (day := days[row]) is not None]
        if not _enough(len(own), len(rows)):
            continue
        times: list[str] = []
        telling = None
        for length, lasts in _PERIODS:
            period, count = _most_frequent(day[:length] for day in own)
            elsewhere = (everywhere[length][period] - count) / max(len(dated) - len(own), 1)
            if _sets_apart(count / len(own), elsewhere):
                times.append(period)
                if telling is None and elsewhere <= RARE and span >= SPAN * lasts:
                    telling = period
        if times:
            hints[cluster] = tuple(times), telling
    return hints


def _place_hints(locations: Sequence[Location | None], rows_of: Mapping[int, NDArray[np.int64]]) -> dict[int, Hint]:
    located = np.array([row for row, location in enumerate(locations) if location is not None], dtype=np.int64)
    if not len(located):
        return {}
    points = _on_sphere([location for location in locations if location is not None])
    middle = points.mean(axis=0)
    spread_km = 2 * float(np.quantile(_distances_km(points, middle / max(float(np.linalg.norm(middle)), 1e-9)), 0.9))
    hints = {}
    position = np.full(len(locations), -1, dtype=np.int64)
    position[located] = np.arange(len(located))
    by_latitude = points[np.argsort(points[:, 2], kind="stable")]
    for cluster, rows in rows_of.items():
        positions = position[rows]
        own = points[positions[positions >= 0]]
        if not _enough(len(own), len(rows)):
            continue
        for radius, decimals in AREAS:
            centre, share = _densest(own, radius)
            if share < AGREE:
                continue
            others = _within(by_latitude, centre, radius) - int((_distances_km(own, centre) <= radius).sum())
            elsewhere = others / max(len(points) - len(own), 1)
            if _sets_apart(share, elsewhere):
                location = _location(centre)
                text = _place_text(location, decimals)
                tells = elsewhere <= RARE and spread_km >= SPAN * 2 * radius
                hints[cluster] = Hint((), text, location, radius, text if tells else None)
                break
    return hints


def _enough(known: int, size: int) -> bool:
    return known >= MIN_KNOWN and known >= KNOWN * size


def _sets_apart(share: float, elsewhere: float) -> bool:
    return share >= AGREE and elsewhere <= ELSEWHERE * share


def _most_frequent(periods: Iterable[str]) -> tuple[str, int]:
    return min(Counter(periods).items(), key=lambda item: (-item[1], item[0]))


def _densest(points: NDArray[np.float64], radius_km: float) -> tuple[NDArray[np.float64], float]:
    """The area of that radius around one of the points that holds most of them: its centre of mass, and their share."""
    tried = points[np.linspace(0, len(points) - 1, min(len(points), _CENTRES)).astype(np.int64)]
    inside = [_distances_km(points, centre) <= radius_km for centre in tried]
    best = max(inside, key=lambda mask: int(mask.sum()))
    mean = points[best].mean(axis=0)
    return mean / float(np.linalg.norm(mean)), float(best.mean())


def _within(by_latitude: NDArray[np.float64], centre: NDArray[np.float64], radius_km: float) -> int:
    """How many points are in an area; they ascend by latitude, so that only those in its belt are looked at."""
    reach = radius_km / _EARTH_KM
    first, last = np.searchsorted(by_latitude[:, 2], [centre[2] - reach, centre[2] + reach])
    return int((_distances_km(by_latitude[first:last], centre) <= radius_km).sum())


def _on_sphere(locations: Sequence[Location]) -> NDArray[np.float64]:
    """(n, 3): unlike degrees, these can be averaged anywhere."""
    lat = np.radians([location.lat for location in locations])
    lon = np.radians([location.lon for location in locations])
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def _distances_km(points: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    """Great-circle distances; by the chord, which is exact for near points too."""
    half_chord = np.linalg.norm(points - centre, axis=1) / 2
    distances: NDArray[np.float64] = 2 * _EARTH_KM * np.arcsin(np.clip(half_chord, 0.0, 1.0))
    return distances


def _location(point: NDArray[np.float64]) -> Location:
    x, y, z = point.tolist()
    return Location(float(np.degrees(np.arctan2(z, np.hypot(x, y)))), float(np.degrees(np.arctan2(y, x))))


def _place_text(location: Location, decimals: int) -> str:
    north, east = round(location.lat, decimals), round(location.lon, decimals)
    return (
        f"{abs(north):.{decimals}f}°{'N' if north >= 0 else 'S'} {abs(east):.{decimals}f}°{'E' if east >= 0 else 'W'}"
    )

"""Moments: images taken one soon after another.

The local times are sorted and cut where a gap is much longer than the gaps around it, as in PhotoTOC (Platt,
Czerwinski and Field 2003, doi:10.1109/ICICS.2003.1292402): its logarithm must exceed the mean logarithm of the gaps
around it by a constant. So a wedding with a picture a minute and a holiday with a picture an hour are both cut where a
person would. Pauses that nobody calls an end never cut, and a day without a picture always does.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from shoal_server.domain.cluster import NOISE
from shoal_server.domain.groupings import Moment

#: The smallest moment, in images.
FEWEST_IMAGES = 5
#: A gap no longer than this never ends a moment; so close to one, a new image belongs to it.
SHORTEST_GAP = timedelta(minutes=30)
#: A gap longer than this always ends one.
LONGEST_GAP = timedelta(hours=24)
#: A gap ends a moment if it is this many times as long as those around it (geometric mean); the paper's value.
TIMES_LONGER = 17.0
#: How many gaps on either side are around it; the paper's value.
NEIGHBORS = 10

# Before photographs, or a clock that was never set.
_FIRST_YEAR, _LAST_YEAR = 1900, 2099
# A moment that is no longer than this is named after its beginning, even if it lasts past midnight.
_ONE_EVENING = timedelta(hours=12)
_RFC_3339 = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)


def local_time(captured_at: str | None) -> datetime | None:
    """The time on the wall where an image was taken, without its offset.

    Args:
        captured_at: RFC 3339, with or without an offset; any text is allowed.

    Returns:
        None if it is no time, or of no year from 1900 to 2099.
    """
    match = _RFC_3339.fullmatch(captured_at or "")
    if match is None or not _FIRST_YEAR <= int(match[1]) <= _LAST_YEAR:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        # RFC 3339 has leap seconds, datetime has not.
        return datetime(year, month, day, hour, minute, min(second, 59), int((match[7] or "")[:6].ljust(6, "0")))
    except ValueError:
        return None


def local_times(captured_at: Sequence[str | None]) -> NDArray[np.datetime64]:
    """n texts, or None, to datetime64[us] (n,): :func:`local_time` of each, NaT for None."""
    return np.array([local_time(text) for text in captured_at], dtype="datetime64[us]")


def moments_in(times: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """Cuts times into moments.

    Args:
        times: datetime64[us] (n,), in any order, NaT where unknown.

    Returns:
        Labels (n,), 0 .. k-1 in the order of time; -1 where the time is unknown or fewer than :data:`FEWEST_IMAGES`
        were taken together.
    """
    labels = np.full(len(times), NOISE, dtype=np.int64)
    known = np.flatnonzero(~np.isnat(times))
    if len(known) == 0:
        return labels
    order = known[np.argsort(times[known], kind="stable")]
    gaps = np.diff(times[order]).astype(np.int64) / 1e6
    group = np.concatenate([[0], np.cumsum(_ends(gaps))])
    large = np.bincount(group) >= FEWEST_IMAGES
    number = np.where(large, np.cumsum(large) - 1, NOISE)
    labels[order] = number[group]
    return labels


def _ends(gaps: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which gaps (m,), in seconds and in the order of time, end a moment."""
    # Bursts: a second is the shortest that most cameras record.
    logs = np.log(np.maximum(gaps, 1.0))
    sums = np.concatenate([[0.0], np.cumsum(logs)])
    positions = np.arange(len(gaps))
    first, last = np.maximum(positions - NEIGHBORS, 0), np.minimum(positions + NEIGHBORS + 1, len(gaps))
    around = (sums[last] - sums[first]) / (last - first)
    much_longer = logs >= around + np.log(TIMES_LONGER)
    ends: NDArray[np.bool_] = (gaps > LONGEST_GAP.total_seconds()) | (
        much_longer & (gaps > SHORTEST_GAP.total_seconds())
    )
    return ends


def describe_moments(moment_ids: NDArray[np.int64], times: NDArray[np.datetime64]) -> tuple[Moment, ...]:
    """The records of the moments, in the order of time.

    Args:
        moment_ids: (n,), -1 for none.
        times: datetime64[us] (n,), known where there is an id.
    """
    order = np.argsort(moment_ids, kind="stable")
    order = order[moment_ids[order] != NOISE]
    ids, starts, sizes = np.unique(moment_ids[order], return_index=True, return_counts=True)
    moments = []
    for moment_id, first, size in zip(ids.tolist(), starts.tolist(), sizes.tolist(), strict=True):
        own = times[order[first : first + size]]
        start, end = own.min().item(), own.max().item()
        moments.append(Moment(id=moment_id, name=_name(start, end), size=size, start=start, end=end))
    return tuple(sorted(moments, key=lambda moment: (moment.start, moment.id)))


def moment_of(captured_at: str | None, moments: Sequence[Moment]) -> int | None:
    """The moment that an image belongs to by its time.

    Args:
        captured_at: as for :func:`local_time`.
        moments: to choose from.

    Returns:
        The id of the one it lies in, or the nearest of those that begin or end within :data:`SHORTEST_GAP` of it; None
        if there is none.
    """
    return moments_of([captured_at], moments)[0]


def moments_of(captured_at: Sequence[str | None], moments: Sequence[Moment]) -> list[int | None]:
    """As :func:`moment_of`, for many images at once."""
    if not moments:
        return [None] * len(captured_at)
    ordered = sorted(moments, key=lambda moment: moment.start)
    starts = [moment.start for moment in ordered]
    found: list[int | None] = []
    for text in captured_at:
        time = local_time(text)
        if time is None:
            found.append(None)
            continue
        # Moments of one run do not overlap: only the one before and the one after can be near.
        after = bisect_right(starts, time)
        near = ordered[max(after - 1, 0) : after + 1]
        away = [(max(moment.start - time, time - moment.end, timedelta(0)), moment.id) for moment in near]
        distance, nearest = min(away)
        found.append(nearest if distance <= SHORTEST_GAP else None)
    return found


def _name(start: datetime, end: datetime) -> str:
    """In words; different for moments of one run, because they do not overlap and are more than a minute apart."""
    if start.date() == end.date() or end - start <= _ONE_EVENING:
        return f"{start:%Y-%m-%d %H:%M}"
    return f"{start:%Y-%m-%d} to {end:%Y-%m-%d}" if start.year != end.year else f"{start:%Y-%m-%d} to {end:%m-%d}"

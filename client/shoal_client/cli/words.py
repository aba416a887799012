"""Numbers and times in words, for people; programs get them with ``--json``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def count(number: int, singular: str, plural: str | None = None) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {singular if number == 1 else plural or f'{singular}s'}"


def percent(share: float) -> str:
    """A share of one, in percent."""
    return f"{100 * share:.0f} %"


def clock(point: datetime | None) -> str:
    """A point in time where the reader is, to the minute."""
    return "-" if point is None else point.astimezone().strftime("%Y-%m-%d %H:%M")


def period(length: timedelta) -> str:
    """``1 d 12 h``; nothing finer than seconds."""
    left = round(length.total_seconds())
    parts = []
    for unit, seconds in _UNITS:
        number, left = divmod(left, seconds)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts) or "0 s"


def ranges(numbers: Iterable[int]) -> str:
    """``1-7, 9, 11-12``; ``none`` if there are none."""
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in _stretches(numbers)) or "none"


def _stretches(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    first = last = None
    for number in sorted(set(numbers)):
        if first is None or last is None:
            first = last = number
        elif number == last + 1:
            last = number
        else:
            yield first, last
            first = last = number
    if first is not None and last is not None:
        yield first, last

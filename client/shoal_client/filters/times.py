"""Stretches of time as people write them: ``2019-05`` is a month, ``2019-05-01T12:00`` a minute."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

_PARTS = re.compile(
    r"(?P<year>\d{4})(-(?P<month>\d\d)(-(?P<day>\d\d)"
    r"([Tt ](?P<hour>\d\d):(?P<minute>\d\d)(:(?P<second>\d\d)(\.(?P<fraction>\d{1,6}))?)?"
    r"(?P<offset>[Zz]|[+-]\d\d:?\d\d)?)?)?)?"
)


def stretch(bound: str | date) -> tuple[datetime, datetime | None]:
    """The time that a text means: when it begins, and when the next of its kind begins.

    Args:
        bound: a year, month, day, minute, second or fraction of one; the latter three with or without an offset. A
            ``datetime`` is taken to its microsecond.

    Returns:
        Both without an offset if none was given; None for what comes after the year 9999.

    Raises:
        ValueError: it is no such text.
    """
    if isinstance(bound, datetime):
        return bound, _later(bound, timedelta(microseconds=1))
    match = _PARTS.fullmatch(bound.isoformat() if isinstance(bound, date) else bound)
    if match is None:
        raise ValueError(f"{bound!r} is not a time like 2019, 2019-05, 2019-05-01 or 2019-05-01T12:00:00+02:00")
    numbers = {name: int(match[name]) for name in ("year", "month", "day", "hour", "minute", "second") if match[name]}
    offset = (match["offset"] or "").upper().replace("Z", "+00:00")
    begins = datetime(**{"month": 1, "day": 1, **numbers})  # type: ignore[arg-type]
    begins = datetime.fromisoformat(f"{begins.isoformat()}{offset}")
    if match["fraction"]:
        begins = begins.replace(microsecond=int(match["fraction"].ljust(6, "0")))
    if not match["month"]:
        return begins, None if begins.year == date.max.year else begins.replace(year=begins.year + 1)
    if not match["day"]:
        next_month = _later(begins, timedelta(days=31))
        return begins, next_month and next_month.replace(day=1)
    finest = "fraction" if match["fraction"] else [*numbers][-1]
    lengths = {
        "day": timedelta(days=1),
        "minute": timedelta(minutes=1),
        "second": timedelta(seconds=1),
        "fraction": timedelta(microseconds=10 ** (6 - len(match["fraction"] or ""))),
    }
    return begins, _later(begins, lengths[finest])


def _later(point: datetime, length: timedelta) -> datetime | None:
    try:
        return point + length
    except OverflowError:
        return None

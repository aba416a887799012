"""When images were taken: counts by year, month or day."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import ImageStore
from shoal_server.application.queries import Where
from shoal_server.domain.filters import ImageFilter, Present
from shoal_server.domain.payload import CAPTURED_LOCAL, CAPTURED_YEAR
from shoal_server.domain.time_bounds import captured_within

#: Years that are counted by months, and months that are counted by days; of more, the coarser counts are told. Each
#: month and day is a count in the store.
MAX_YEARS, MAX_MONTHS = 12, 3


class Unit(Enum):
    """What is counted by."""

    YEAR = "year"
    MONTH = "month"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Timeline:
    """When images were taken, as the cameras' clocks showed it.

    Attributes:
        unit: of the counts.
        counts: the beginning of each stretch in which images were taken, such as ``2019-05``, and how many, in the
            order of time.
        without: images of which it is not known.
    """

    unit: Unit
    counts: Sequence[tuple[str, int]]
    without: int


class TimelineOf:
    """Counts images by time."""

    def __init__(self, collections: OpenCollections, store: ImageStore) -> None:
        self._collections = collections
        self._store = store

    async def __call__(self, collection: str, where: Where) -> Timeline:
        """When the images that are asked about were taken: by days if that was in a few months, by months, or by years.

        Args:
            collection: whose.
            where: which images.

        Raises:
            ShoalError: as :meth:`Where.as_filter` and :meth:`OpenCollections.open`.
        """
        opened = await self._collections.open(collection)
        async with opened.gate.reading():
            among = where.as_filter(opened)
            timed = ImageFilter(conditions=(Present(CAPTURED_LOCAL),))
            without = await self._store.count_images(collection, ImageFilter(all_of=(among,), none_of=(timed,)))
            by_year = await self._store.count_by(collection, CAPTURED_YEAR, among)
            years = sorted((int(year), count) for year, count in by_year.items())
            if len(years) > MAX_YEARS:
                return Timeline(Unit.YEAR, [(f"{year:04}", count) for year, count in years], without)
            months = await self._counted(
                opened,
                among,
                [(f"{year:04}-{month:02}", *_month(year, month)) for year, _ in years for month in _MONTHS],
            )
            if len(months) > MAX_MONTHS:
                return Timeline(Unit.MONTH, months, without)
            days = await self._counted(opened, among, [day for month, _ in months for day in _days(month)])
            return Timeline(Unit.DAY, days, without)

    async def _counted(
        self, opened: OpenCollection, among: ImageFilter, stretches: Sequence[tuple[str, datetime, datetime | None]]
    ) -> list[tuple[str, int]]:
        """Those of the stretches in which images were taken."""
        counts = []
        for start, earliest, before in stretches:
            within = ImageFilter(all_of=(among, captured_within(earliest, before)))
            count = await self._store.count_images(opened.id, within)
            if count:
                counts.append((start, count))
        return counts


_MONTHS = range(1, 13)


def _month(year: int, month: int) -> tuple[datetime, datetime | None]:
    """Its beginning and its end; None: that of time."""
    if month == 12:
        return datetime(year, month, 1), None if year == datetime.max.year else datetime(year + 1, 1, 1)
    return datetime(year, month, 1), datetime(year, month + 1, 1)


def _days(month: str) -> list[tuple[str, datetime, datetime | None]]:
    """The days of a month such as ``2019-05``, with their beginnings and ends."""
    year, number = map(int, month.split("-"))
    last = calendar.monthrange(year, number)[1]
    ends = [*(datetime(year, number, day) for day in range(2, last + 1)), _month(year, number)[1]]
    return [
        (f"{month}-{day:02}", datetime(year, number, day), end)
        for day, end in zip(range(1, last + 1), ends, strict=True)
    ]

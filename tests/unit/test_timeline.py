"""When and where images were taken, counted by a store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from shoal_server.application.geotags import GeotagsOf
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import ImageStore
from shoal_server.application.queries import Where
from shoal_server.application.timeline import Timeline, TimelineOf, Unit
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.filters import During, ImageFilter, Present, Within
from shoal_server.domain.image import Image, Location, Metadata, Sha256


class Stored:
    """A store that knows when and where images were taken; counts how often it was asked."""

    def __init__(self, taken: Sequence[datetime | None], places: Sequence[Location | None] = ()) -> None:
        self.taken = taken
        self.places = places
        self.asked = 0

    async def count_by(self, collection: str, field: str, where: ImageFilter) -> dict[int, int]:
        assert field == "captured_year"
        return Counter(each.year for each in self.taken if each is not None)

    async def count_images(self, collection: str, where: ImageFilter) -> int:
        self.asked += 1
        bounds = [condition for part in where.all_of for condition in part.conditions]
        if any(isinstance(each, Within) for each in bounds):
            return sum(each is not None for each in self.places)
        if where.none_of:
            [present] = where.none_of[0].conditions
            assert isinstance(present, Present)
            return sum(each is None for each in self.taken)
        earliest = max((each.earliest for each in bounds if isinstance(each, During) and each.earliest), default=None)
        before = min((each.before for each in bounds if isinstance(each, During) and each.before), default=None)
        return sum(
            each is not None and (earliest is None or each >= earliest) and (before is None or each < before)
            for each in self.taken
        )

    async def page_images(
        self, collection: str, where: ImageFilter, after: UUID | None, limit: int
    ) -> tuple[list[Image], UUID | None]:
        ids = [UUID(int=number) for number, place in enumerate(self.places) if place is not None]
        ids = [each for each in ids if after is None or each > after]
        images = [image(each, self.places[each.int]) for each in ids[:limit]]
        return images, ids[limit - 1] if len(ids) > limit else None


def image(identity: UUID, location: Location | None) -> Image:
    """An image that was taken somewhere."""
    metadata = Metadata(width=1, height=1, format="PNG", byte_size=1, location=location)
    return Image(identity, Sha256("0" * 64), "", (), metadata, datetime(2024, 1, 1, tzinfo=UTC))


class Opened:
    """Collections of which there is one."""

    async def open(self, collection: str) -> OpenCollection:
        model = EmbeddingModel("debug", "sha256:0", 2)
        return OpenCollection(Collection(collection, model, datetime(2024, 1, 1, tzinfo=UTC)), None)


async def timeline(*taken: datetime | None) -> tuple[Timeline, Stored]:
    """The timeline of images that were taken then."""
    store = Stored(taken)
    of: Any = TimelineOf(cast("OpenCollections", Opened()), cast("ImageStore", store))
    return await of("photos", Where()), store


async def test_a_few_months_are_counted_by_days() -> None:
    found, _ = await timeline(
        datetime(2019, 12, 31, 23, 59, 59), datetime(2019, 12, 31), datetime(2020, 2, 29), datetime(2020, 3, 1), None
    )
    assert found == Timeline(Unit.DAY, [("2019-12-31", 2), ("2020-02-29", 1), ("2020-03-01", 1)], 1)


async def test_more_are_counted_by_months() -> None:
    found, store = await timeline(*(datetime(2019 + month // 12, 1 + month % 12, 5) for month in range(30)))
    assert found.unit is Unit.MONTH
    assert found.counts[0] == ("2019-01", 1)
    assert [start for start, _ in found.counts] == sorted(f"{2019 + m // 12}-{1 + m % 12:02}" for m in range(30))
    assert store.asked <= 3 * 12 + 1


async def test_many_years_are_counted_by_years() -> None:
    found, store = await timeline(*(datetime(1900 + year, 5, 5) for year in range(40)))
    assert found == Timeline(Unit.YEAR, [(str(1900 + year), 1) for year in range(40)], 0)
    assert store.asked == 1


@pytest.mark.parametrize("taken", [datetime.min, datetime.max])
async def test_the_ends_of_time(taken: datetime) -> None:
    found, _ = await timeline(taken)
    assert found.counts == [(f"{taken:%Y-%m-%d}".zfill(10), 1)]


async def test_nothing_is_known_of_nothing() -> None:
    found, _ = await timeline()
    assert found == Timeline(Unit.DAY, [], 0)


@pytest.mark.parametrize(("limit", "told"), [(0, 1500), (10, 10), (1000, 1000), (5000, 1500)])
async def test_positions(limit: int, told: int) -> None:
    places = [Location(1.0, number / 1000) if number % 2 else None for number in range(3000)]
    store = cast("ImageStore", Stored([], places))
    found = await GeotagsOf(cast("OpenCollections", Opened()), store)("photos", Where(), limit)
    assert found.total == 1500
    assert len(found.positions) == len({identity for identity, _ in found.positions}) == told
    assert all(places[identity.int] == location for identity, location in found.positions)

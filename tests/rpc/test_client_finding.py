"""What the client asks in its own words, answered by a whole server on either store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest

from shoal_client import AsyncClient, AsyncCollection, FacetField, ImageFilter, ImageOrder, InvalidArgument, Term, where
from tests.fakes import picture
from tests.rpc.conftest import Served, serving

#: Number of a picture to where it was taken.
PLACES = {0: (48.137, 11.575), 1: (48.139, 11.577), 2: (40.0, 100.0)}


@pytest.fixture
async def photos(served: Served) -> AsyncIterator[AsyncCollection]:
    """Pictures 0 to 5, each taken a year after the one before; red and even ones are tagged."""
    async with AsyncClient(served.address) as client:
        found = client.collection("photos")
        for number in range(6):
            color = "red" if number < 4 else "blue"
            content = picture(
                color, number, size=40 + number, taken=datetime(2015 + number, 6, 1, 12), at=PLACES.get(number)
            )
            image = await found.add(content, uri=str(number), tags=["even"] if number % 2 == 0 else [])
            if number < 3:
                await found.update(image.id, attributes={"rating": number + 3, "album": f"Album {number}"})
        yield found


async def numbers(photos: AsyncCollection, chosen: ImageFilter) -> str:
    return "".join([each.uri async for each in photos.images(filter=chosen, order=ImageOrder.CAPTURED)])


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("tag = even", "024"),
        ("not tag = even", "135"),
        ("captured in 2016", "1"),
        ("captured > 2016-06 and captured <= 2018-06-01T12:00", "23"),
        ("captured < 2016 or captured >= 2020-06-01", "05"),
        ("near(48.137, 11.575, 1km)", "01"),
        ("near(48.137, 11.575, 100m) or box(39, 99, 41, 101)", "02"),
        ("polygon(48 11, 49 11, 49 12, 48 12)", "01"),
        ("has location", "012"),
        ("not has location", "345"),
        ("width > 42px and height <= 44", "34"),
        ("width in (40, 45)", "05"),
        ("format = png and not (tag = even or width = 45)", "13"),
        ("attr.rating >= 4", "12"),
        ("attr.rating in (3, 5) and attr.album != 'Album 2'", "0"),
        ("has attr.album", "012"),
        ("ingested >= 2020", "012345"),
        ("ingested < 2020", ""),
        ("unclustered", "012345"),
        ("not unclustered", ""),
    ],
)
async def test_the_language(photos: AsyncCollection, expression: str, found: str) -> None:
    assert await numbers(photos, where(expression)) == found


async def test_empty_filters(photos: AsyncCollection) -> None:
    even = ImageFilter(tags=["even"])
    assert await numbers(photos, ImageFilter()) == "012345"
    assert await numbers(photos, ~ImageFilter()) == ""
    assert await numbers(photos, even | ImageFilter()) == "012345"
    assert await numbers(photos, ~~even & ~ImageFilter(width=(44, None))) == "02"


async def test_the_server_takes_what_the_client_lets_through(photos: AsyncCollection) -> None:
    deep = "(not (tag = a or " * 5 + "width = 40" + "))" * 5
    assert await numbers(photos, ImageFilter(formats=["PNG"]) & where(deep)) != ""
    with pytest.raises(InvalidArgument, match="is no latitude"):
        await numbers(photos, ImageFilter(near=(95, 11, 1000)))


async def test_searching_and_counting(photos: AsyncCollection) -> None:
    by_uri = {each.uri: each.id async for each in photos.images()}
    alone = [each.image.uri for each in await photos.search(like=by_uri["0"], limit=3)]
    assert set(alone) == {"1", "2", "3"}
    both = await photos.search(
        terms=[Term(like=by_uri["0"]), Term(like=by_uri["4"], weight=3)], filter=ImageFilter(tags=["even"]), limit=3
    )
    assert [each.image.uri for each in both] == ["2"]
    unlike = await photos.search(like=by_uri["0"], minus=Term(like=by_uri["4"]), diversity=0.5, limit=6)
    assert {each.image.uri for each in unlike} == {"1", "2", "3", "5"}
    liked = await photos.recommend([by_uri["4"]], [by_uri["0"]], limit=1)
    assert [each.image.uri for each in liked] == ["5"]
    counted = await photos.facets([FacetField.TAG, FacetField.YEAR], filter=ImageFilter(width=(None, 42)))
    tag, year = counted.facets
    assert (counted.total, tag.without) == (3, 1)
    assert [(each.value, each.count) for each in tag.counts] == [("even", 2)]
    assert [each.value for each in year.counts] == [2015, 2016, 2017]


async def test_pictures_come_back(tmp_path: Path) -> None:
    content = picture("red", 1)
    async with serving(tmp_path / "data", keep_originals=True) as served, AsyncClient(served.address) as client:
        await client.ensure_collection("photos")
        photos = client.collection("photos")
        image = await photos.add(content)
        assert (await photos.thumbnail(image.id))[8:12] == b"WEBP"
        assert await photos.download_to(image.id, tmp_path / "original.png") == len(content)
    assert (tmp_path / "original.png").read_bytes() == content

"""Every condition on images, and every way to join them, means the same on each store."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal_server.application.ports import Store
from shoal_server.domain.filters import (
    Between,
    Box,
    Circle,
    Condition,
    During,
    ImageFilter,
    OneOf,
    Polygon,
    Present,
    Within,
)
from shoal_server.domain.image import Attribute, Image, Location
from shoal_server.domain.payload import to_payload
from tests.contract.conftest import an_image, unit_vectors

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")

EARTH_RADIUS_M = 6_371_008.8
PLACES = [
    None,
    Location(48.2082, 16.3738),
    Location(-17.7134, 178.065),
    Location(-13.7590, -172.1046),
    Location(90.0, 0.0),
    Location(-90.0, 180.0),
    Location(12.5, 180.0),
    Location(12.5, -180.0),
    Location(0.0, 0.0),
    Location(78.2232, 15.6267),
]
TIMES = [
    None,
    "2020-02-03T04:05:06",
    "2020-02-03T04:05:06.789000",
    "2020-02-03T04:05:06+05:30",
    "1999-12-31T23:59:59Z",
    "0987-06-05T04:03:02",
    "0001-01-01T00:00:00",
    "9999-12-31T23:59:59.999999",
    "2020-02-03T00:00:00-11:00",
]
ATTRIBUTES: list[dict[str, Attribute]] = [
    {},
    {"rating": 5, "album": "rome", "public": True},
    {"rating": 2.5, "album": "Rome", "public": False},
    {"rating": 2, "score": 2.0, "big": 2**53 + 1},
    {"rating": "5", "album": "", "public": 1},
    {"rating": True, "score": -3},
]
CAMERAS = [None, "EOS R5", "Pixel 8", "ΩMEGA 100%", ""]
TAGS: list[tuple[str, ...]] = [(), ("cat",), ("dog", "cat"), ("dog", "dog"), ("été",)]


def an_archive() -> list[Image]:
    """Images that differ in every field a filter can name."""
    return [_varied(number) for number in range(60)]


def _varied(number: int) -> Image:
    image = an_image(number)
    metadata = replace(
        image.metadata,
        captured_at=TIMES[number % len(TIMES)],
        location=PLACES[number % len(PLACES)],
        camera_model=CAMERAS[number % len(CAMERAS)],
        iso=None if number % 4 == 0 else 100 * (number % 6),
        f_number=None if number % 3 == 0 else 1.0 + number / 16,
        altitude_m=float(number - 30) if number % 2 else None,
        frame_count=1 + number % 3,
    )
    return replace(
        image,
        tags=TAGS[number % len(TAGS)],
        attributes=ATTRIBUTES[number % len(ATTRIBUTES)],
        metadata=metadata,
        cluster_id=number % 4 or None,
        place_id=number % 5 or None,
        moment_id=number % 7 or None,
        phash=f"{number:016x}" if number % 2 else None,
    )


def passes(where: ImageFilter, image: Image) -> bool:
    """What the filter says of the image, in plain Python."""
    return (
        (not where.clusters or image.cluster_id in where.clusters)
        and (not where.places or image.place_id in where.places)
        and (not where.moments or image.moment_id in where.moments)
        and not (where.unclustered and image.cluster_id is not None)
        and not (where.clustered and image.cluster_id is None)
        and image.id not in where.exclude
        and all(holds(condition, image) for condition in where.conditions)
        and all(passes(each, image) for each in where.all_of)
        and (not where.any_of or any(passes(each, image) for each in where.any_of))
        and not any(passes(each, image) for each in where.none_of)
    )


def holds(condition: Condition, image: Image) -> bool:
    """Whether a condition is met by a field of the image's payload."""
    value: Any = to_payload(image)
    for part in condition.field.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    values = value if isinstance(value, list) else [] if value is None else [value]
    match condition:
        case Present():
            return bool(values)
        case OneOf():
            return any((type(each), each) in {(type(wanted), wanted) for wanted in condition.values} for each in values)
        case Between():
            return any(
                isinstance(each, int | float)
                and not isinstance(each, bool)
                and (condition.minimum is None or each >= condition.minimum)
                and (condition.maximum is None or each <= condition.maximum)
                for each in values
            )
        case During():
            return any(
                (condition.earliest is None or aware(datetime.fromisoformat(each)) >= aware(condition.earliest))
                and (condition.before is None or aware(datetime.fromisoformat(each)) < aware(condition.before))
                for each in values
            )
        case Within():
            return any(contains(condition.area, Location(**each)) for each in values)


def aware(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def contains(area: Circle | Box | Polygon, at: Location) -> bool:
    match area:
        case Circle(center, radius_m):
            return distance_m(center, at) < radius_m
        case Box(south_west, north_east):
            if south_west.lon > north_east.lon:
                longitude = at.lon > south_west.lon or at.lon < north_east.lon
            else:
                longitude = south_west.lon < at.lon < north_east.lon
            return longitude and south_west.lat < at.lat < north_east.lat
        case Polygon(corners):
            inside = False
            for one, other in zip(corners, (*corners[1:], corners[0]), strict=True):
                if (one.lat > at.lat) != (other.lat > at.lat):
                    crossing = one.lon + (at.lat - one.lat) / (other.lat - one.lat) * (other.lon - one.lon)
                    inside ^= at.lon < crossing
            return inside


def distance_m(one: Location, other: Location) -> float:
    """Haversine distance in metres."""
    lat, lon = math.radians(other.lat - one.lat), math.radians(other.lon - one.lon)
    chord = (
        math.sin(lat / 2) ** 2
        + math.cos(math.radians(one.lat)) * math.cos(math.radians(other.lat)) * math.sin(lon / 2) ** 2
    )
    return 2 * EARTH_RADIUS_M * math.asin(min(1.0, math.sqrt(chord)))


@pytest.fixture
async def archive(store: Store, collection: str) -> list[Image]:
    """The images of the archive, stored."""
    images = an_archive()
    await store.upsert_images(collection, list(zip(images, unit_vectors(len(images)), strict=True)))
    return images


async def check(store: Store, collection: str, images: list[Image], where: ImageFilter) -> set[UUID]:
    """Compares what the store finds with what the filter says of each image, and returns it."""
    expected = {image.id for image in images if passes(where, image)}
    found, following = await store.page_images(collection, where, None, 1000)
    assert following is None
    assert {image.id for image in found} == expected
    assert await store.count_images(collection, where) == len(expected)
    return expected


#: Areas with whether anything is in them.
AREAS: list[tuple[Circle | Box | Polygon, bool]] = [
    (Circle(Location(48.2, 16.4), 10_000), True),
    (Circle(Location(48.2, 16.4), 10), False),
    (Circle(Location(12.5, 179.999), 1_000), True),
    (Circle(Location(90.0, 0.0), 5_000), True),
    (Circle(Location(89.99, 77.0), 5_000), True),
    (Circle(Location(0.0, 0.0), 30_000_000), True),
    (Box(Location(-90.0, -180.0), Location(90.0, 180.0)), True),
    (Box(Location(40.0, 10.0), Location(50.0, 20.0)), True),
    (Box(Location(-20.0, 170.0), Location(20.0, -170.0)), True),
    (Box(Location(-20.0, 170.0), Location(20.0, 180.0)), True),
    (Box(Location(-20.0, 180.0), Location(20.0, -170.0)), True),
    # All round the earth but for a strip.
    (Box(Location(-60.0, 10.0), Location(60.0, 0.5)), True),
    (Box(Location(-90.0, -170.0), Location(90.0, -175.0)), True),
    (Box(Location(80.0, -180.0), Location(90.0, 180.0)), True),
    (Box(Location(-90.0, -180.0), Location(-80.0, 180.0)), True),
    (Box(Location(10.0, 10.0), Location(10.0, 10.0)), False),
    (Polygon((Location(40.0, 10.0), Location(40.0, 20.0), Location(60.0, 15.0))), True),
    (Polygon((Location(40.0, 10.0), Location(40.0, 20.0), Location(60.0, 15.0), Location(40.0, 10.0))), True),
    (Polygon((Location(60.0, 15.0), Location(40.0, 20.0), Location(40.0, 10.0))), True),
    (Polygon((Location(-90.0, -180.0), Location(-90.0, 180.0), Location(90.0, 180.0), Location(90.0, -180.0))), True),
    (Polygon((Location(1.0, 1.0), Location(2.0, 2.0), Location(1.0, 1.0))), False),
]


@pytest.mark.parametrize(("area", "something"), AREAS)
async def test_areas(
    store: Store, collection: str, archive: list[Image], area: Circle | Box | Polygon, something: bool
) -> None:
    found = await check(store, collection, archive, ImageFilter(conditions=(Within("location", area),)))
    assert bool(found) == something


async def test_the_whole_world_has_every_position(store: Store, collection: str, archive: list[Image]) -> None:
    world = Box(Location(-90.0, -180.0), Location(90.0, 180.0))
    located = {image.id for image in archive if image.metadata.location is not None}
    assert await check(store, collection, archive, ImageFilter(conditions=(Within("location", world),))) == located


CONDITIONS: list[tuple[Condition, bool]] = [
    (OneOf("tags", ("cat",)), True),
    (OneOf("tags", ("dog", "été")), True),
    (OneOf("tags", ()), False),
    (OneOf("camera_model", ("",)), True),
    (OneOf("camera_model", ("eos r5",)), False),
    (OneOf("attributes.rating", (5,)), True),
    (OneOf("attributes.rating", ("5", 2, True)), True),
    (OneOf("attributes.public", (True,)), True),
    (OneOf("attributes.public", (False,)), True),
    (OneOf("attributes.public", (1,)), True),
    (OneOf("attributes.score", (2,)), False),
    (OneOf("attributes.big", (2**53,)), False),
    (OneOf("attributes.big", (2**53 + 1,)), True),
    (OneOf("attributes.none", ("x", 1, False)), False),
    (OneOf("attributes.album.deeper", ("rome",)), False),
    (OneOf("local_time", (True,)), True),
    (OneOf("local_time", (False,)), False),
    (OneOf("orientation", (6,)), True),
    (OneOf("phash", (f"{7:016x}",)), True),
    (Between("iso", 150.5, 300.0), True),
    (Between("iso", 400.5, 499.5), False),
    (Between("iso", 500.0, 500.0), True),
    (Between("iso"), True),
    (Between("iso", -math.inf, math.inf), True),
    (Between("iso", 1e300, None), False),
    (Between("f_number", 1.5, 2.0), True),
    (Between("altitude_m", None, -1.0), True),
    (Between("frame_count", 2.0), True),
    (Between("attributes.rating", 2.0, 2.5), True),
    (Between("attributes.score", 2.0, 2.0), True),
    (Between("attributes.public"), True),
    (Between("attributes.album"), False),
    (Present("attributes.rating"), True),
    (Present("attributes.none"), False),
    (Present("attributes"), True),
    (Present("tags"), True),
    (Present("camera_model"), True),
    (Present("cluster_id"), True),
    (Present("captured_local"), True),
    (During("captured_at", datetime(2020, 2, 3), datetime(2020, 2, 4)), True),
    (During("captured_at", datetime(2020, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)), True),
    (During("captured_at", None, datetime(2000, 1, 1, tzinfo=timezone(timedelta(hours=3)))), True),
    (During("captured_at"), True),
    (During("captured_local", datetime(2020, 2, 3, 4, 5, 6), datetime(2020, 2, 3, 4, 5, 7)), True),
    (During("captured_local", datetime.min, datetime(2, 1, 1)), True),
    (During("captured_local", datetime.max), True),
    (During("captured_local", None, datetime.min), False),
    (During("captured_local", datetime.min.replace(tzinfo=timezone(timedelta(hours=3)))), True),
    (During("ingested_at", datetime(2024, 5, 6, tzinfo=UTC), datetime(2024, 5, 7, tzinfo=UTC)), True),
]


@pytest.mark.parametrize(("condition", "something"), CONDITIONS)
async def test_conditions(
    store: Store, collection: str, archive: list[Image], condition: Condition, something: bool
) -> None:
    where = ImageFilter(conditions=(condition,))
    assert bool(await check(store, collection, archive, where)) == something
    negated = await check(store, collection, archive, ImageFilter(none_of=(where,)))
    assert len(negated) < len(archive) or not something


async def test_a_bound_beyond_the_last_year_is_as_good_as_its_end(
    store: Store, collection: str, archive: list[Image]
) -> None:
    beyond = datetime.max.replace(tzinfo=timezone(-timedelta(hours=3)))
    last = [image.id for image in archive if image.metadata.captured_at == "9999-12-31T23:59:59.999999"]
    where = ImageFilter(conditions=(During("captured_local", beyond),))
    found, _ = await store.page_images(collection, where, None, 100)
    assert sorted(image.id for image in found) == sorted(last)
    assert len(last) > 1


CATS = ImageFilter(conditions=(OneOf("tags", ("cat",)),))
CANON = ImageFilter(conditions=(OneOf("camera_model", ("EOS R5",)),))
NOTHING = ImageFilter(none_of=(ImageFilter(),))


@pytest.mark.parametrize(
    ("where", "all_or_nothing"),
    [
        (NOTHING, False),
        (ImageFilter(any_of=(ImageFilter(),)), True),
        (ImageFilter(any_of=(NOTHING, ImageFilter())), True),
        (ImageFilter(any_of=(NOTHING,)), False),
        (ImageFilter(all_of=(ImageFilter(), ImageFilter())), True),
        (ImageFilter(all_of=(CATS, ImageFilter(none_of=(CATS,)))), False),
        (ImageFilter(any_of=(CATS, ImageFilter(none_of=(CATS,)))), True),
        (ImageFilter(none_of=(NOTHING,)), True),
        (ImageFilter(any_of=(CATS, CANON)), None),
        (ImageFilter(all_of=(CATS, CANON)), None),
        (ImageFilter(none_of=(CATS, CANON)), None),
        (ImageFilter(clusters=(1, 2), any_of=(CATS, CANON), none_of=(ImageFilter(places=(3,)),)), None),
        (ImageFilter(any_of=(ImageFilter(unclustered=True), ImageFilter(moments=(3,), clustered=True))), None),
        (ImageFilter(none_of=(ImageFilter(exclude=tuple(an_image(number).id for number in range(5))),)), None),
    ],
)
async def test_filters_joined(
    store: Store, collection: str, archive: list[Image], where: ImageFilter, all_or_nothing: bool | None
) -> None:
    found = await check(store, collection, archive, where)
    if all_or_nothing is None:
        assert 0 < len(found) < len(archive)
    else:
        assert len(found) == (len(archive) if all_or_nothing else 0)


async def test_a_filter_may_be_deep(store: Store, collection: str, archive: list[Image]) -> None:
    where = CATS
    for _ in range(20):
        where = ImageFilter(any_of=(ImageFilter(none_of=(where,)),))
    assert await check(store, collection, archive, where) == await check(store, collection, archive, CATS)


async def test_a_query_and_neighbors_obey_conditions(store: Store, collection: str, archive: list[Image]) -> None:
    where = ImageFilter(any_of=(CATS, CANON), none_of=(ImageFilter(conditions=(Between("iso", 300.0),)),))
    expected = {image.id: image for image in archive if passes(where, image)}
    query = unit_vectors(1, seed=4)
    found = await store.query_images(collection, query[0], where, 100)
    assert {each.image.id for each in found} == set(expected)
    [(cluster_ids, _)] = await store.query_neighbors(collection, query, where, 100)
    assert sorted(cluster_ids) == sorted(image.cluster_id or -1 for image in expected.values())


FIELDS = ["tags", "camera_model", "iso", "f_number", "frame_count", "captured_year", "local_time", "altitude_m"]
NUMBERS = ["iso", "f_number", "frame_count", "captured_year", "altitude_m", "attributes.rating", "attributes.score"]
names = st.sampled_from([*FIELDS, "attributes.rating", "attributes.album", "attributes.public", "attributes.score"])
scalars: st.SearchStrategy[str | int | bool] = (
    st.sampled_from(["cat", "dog", "été", "EOS R5", "", "rome", "5"])
    | st.sampled_from([1, 2, 5, 200, 500, 2020, -3])
    | st.booleans()
)
bounds = st.none() | st.sampled_from([-30.0, 1.0, 2.0, 2.5, 5.0, 150.5, 200.0, 2020.0]) | st.floats(-1e6, 1e6)
moments = st.none() | st.datetimes(timezones=st.none() | st.just(UTC) | st.just(timezone(timedelta(hours=-11))))
# No archive lies on such a corner: what of an edge is within, nobody says.
spots = st.builds(Location, lat=st.floats(-89.9, 89.9), lon=st.floats(-179.9, 179.9))


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    one, other = draw(spots), draw(spots)
    return Box(Location(min(one.lat, other.lat), one.lon), Location(max(one.lat, other.lat), other.lon))


@st.composite
def stars(draw: st.DrawFn) -> Polygon:
    """A polygon around a centre that does not cross itself."""
    angles = sorted(draw(st.lists(st.floats(0.0, 6.28), min_size=3, max_size=8, unique=True)))
    lat, lon = draw(st.floats(-40.0, 40.0)), draw(st.floats(-100.0, 100.0))
    reach = draw(st.floats(1.0, 45.0))
    return Polygon(tuple(Location(lat + reach * math.sin(a) + 0.01, lon + reach * math.cos(a)) for a in angles))


conditions: st.SearchStrategy[Condition] = st.one_of(
    st.builds(OneOf, names, st.lists(scalars, max_size=4).map(tuple)),
    st.builds(Between, st.sampled_from(NUMBERS), bounds, bounds),
    st.builds(During, st.sampled_from(["captured_at", "captured_local", "ingested_at"]), moments, moments),
    st.builds(Present, names | st.just("location")),
    st.builds(Within, st.just("location"), boxes() | stars() | st.builds(Circle, spots, st.floats(1.0, 2e7))),
)


def one_level(inner: st.SearchStrategy[ImageFilter]) -> st.SearchStrategy[ImageFilter]:
    few = st.lists(inner, max_size=2).map(tuple)
    return st.builds(
        ImageFilter,
        clusters=st.lists(st.integers(1, 4), max_size=2).map(tuple),
        unclustered=st.booleans(),
        places=st.lists(st.integers(1, 5), max_size=2).map(tuple),
        conditions=st.lists(conditions, max_size=1).map(tuple),
        all_of=few,
        any_of=few,
        none_of=few,
    )


filters = st.recursive(
    st.just(ImageFilter()) | st.builds(ImageFilter, conditions=st.lists(conditions, min_size=1, max_size=2).map(tuple)),
    one_level,
    max_leaves=6,
)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=filters)
async def test_any_filter_means_what_it_says(
    store: Store, collection: str, archive: list[Image], where: ImageFilter
) -> None:
    await check(store, collection, archive, where)

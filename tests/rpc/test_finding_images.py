"""Filters, order, counts and combined searches over the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.type.latlng_pb2 import LatLng

from shoal.v1.cluster_service_pb2 import SearchClustersRequest
from shoal.v1.image_pb2 import (
    AttributeCondition,
    AttributeValue,
    GeoArea,
    GeoBox,
    GeoCircle,
    GeoPolygon,
    Image,
    ImageFilter,
    NumericRange,
    QueryTerm,
    TimeRange,
)
from shoal.v1.image_service_pb2 import (
    FACET_FIELD_CLUSTER,
    FACET_FIELD_FORMAT,
    FACET_FIELD_TAG,
    FACET_FIELD_YEAR,
    CreateImageRequest,
    FacetImagesRequest,
    ListImagesRequest,
    NewImage,
    RecommendImagesRequest,
    SearchImagesRequest,
    UpdateImageRequest,
)
from tests.fakes import picture
from tests.rpc.conftest import PARENT, Served, refused

#: Number of a picture to where it was taken: the first ones are some hundred metres apart, the last one is far.
PLACES = {0: (48.137, 11.575), 1: (48.139, 11.577), 2: (48.141, 11.579), 3: (40.0, 100.0)}


async def stored(served: Served, color: str, number: int, **said: object) -> Image:
    """Stores a picture of its colour, taken in a year of its own; red ones have places as well."""
    content = picture(
        color,
        number,
        taken=None if number == 5 else datetime(2015 + number, 6, 1, 12),
        at=PLACES.get(number) if color == "red" else None,
    )
    new = NewImage(content=content, uri=f"{color}/{number}", **said)  # type: ignore[arg-type]
    made = await served.images.CreateImage(CreateImageRequest(parent=PARENT, image=new))
    image: Image = made.image
    return image


@pytest.fixture
async def filled(served: Served) -> Served:
    """Six red and six blue pictures: 2015 to 2019, and one of each without a time."""
    for color in ("red", "blue"):
        for number in range(6):
            attributes = {
                "album": AttributeValue(text=color),
                "rating": AttributeValue(integer=number),
                "weight": AttributeValue(number=number / 2),
                "print": AttributeValue(flag=number > 3),
            }
            tags = [color, "even"] if number % 2 == 0 else [color]
            await stored(served, color, number, tags=tags, attributes=attributes)
    return served


async def found(served: Served, chosen: ImageFilter) -> set[str]:
    """The uris of the images that a filter lets through, the same by listing and by searching."""
    listed = await served.images.ListImages(ListImagesRequest(parent=PARENT, filter=chosen))
    search = SearchImagesRequest(parent=PARENT, text="red", filter=chosen, page_size=100)
    searched = await served.images.SearchImages(search)
    uris = {image.uri for image in listed.images}
    assert {each.image.uri for each in searched.results} == uris
    return uris


def reds(*numbers: int) -> set[str]:
    return {f"red/{number}" for number in numbers}


def blues(*numbers: int) -> set[str]:
    return {f"blue/{number}" for number in numbers}


def both(*numbers: int) -> set[str]:
    return reds(*numbers) | blues(*numbers)


def circle(radius_m: float) -> GeoArea:
    return GeoArea(circle=GeoCircle(center=LatLng(latitude=48.137, longitude=11.575), radius_m=radius_m))


def corners(*positions: tuple[float, float]) -> GeoArea:
    return GeoArea(polygon=GeoPolygon(corners=[LatLng(latitude=lat, longitude=lon) for lat, lon in positions]))


def box(south: float, west: float, north: float, east: float) -> GeoArea:
    return GeoArea(
        box=GeoBox(south_west=LatLng(latitude=south, longitude=west), north_east=LatLng(latitude=north, longitude=east))
    )


FILTERS = [
    (ImageFilter(), both(0, 1, 2, 3, 4, 5)),
    (ImageFilter(tags=["even"]), both(0, 2, 4)),
    (ImageFilter(tags=["even", "blue"]), reds(0, 2, 4) | blues(0, 1, 2, 3, 4, 5)),
    (ImageFilter(tags=["none"]), set()),
    (ImageFilter(captured=TimeRange(earliest="2017")), both(2, 3, 4)),
    (ImageFilter(captured=TimeRange(earliest="2016-06-01", before="2018-06-01T12:00")), both(1, 2)),
    (ImageFilter(captured=TimeRange(earliest="2015-01-01T00:00:00Z")), set()),
    (ImageFilter(formats=["PNG"]), both(0, 1, 2, 3, 4, 5)),
    (ImageFilter(formats=["JPEG"]), set()),
    (ImageFilter(area=circle(100)), reds(0)),
    (ImageFilter(area=circle(1000)), reds(0, 1, 2)),
    (ImageFilter(area=box(47, 11, 49, 12)), reds(0, 1, 2)),
    (ImageFilter(area=box(-90, 90, 90, -170)), reds(3)),
    (ImageFilter(area=corners((48.13, 11.57), (48.14, 11.57), (48.14, 11.58), (48.13, 11.58))), reds(0, 1)),
    (ImageFilter(ranges=[NumericRange(field="width", min=48, max=48)]), both(0, 1, 2, 3, 4, 5)),
    (ImageFilter(ranges=[NumericRange(field="width", min=49)]), set()),
    (ImageFilter(ranges=[NumericRange(field="iso", min=1)]), set()),
    (ImageFilter(attributes=[AttributeCondition(key="album", any_of=[AttributeValue(text="red")])]), reds(*range(6))),
    (ImageFilter(attributes=[AttributeCondition(key="rating", min=2, max=3)]), both(2, 3)),
    (ImageFilter(attributes=[AttributeCondition(key="weight", any_of=[AttributeValue(integer=1)])]), both(2)),
    (
        ImageFilter(
            attributes=[
                AttributeCondition(key="rating", any_of=[AttributeValue(number=1.0), AttributeValue(integer=4)])
            ]
        ),
        both(1, 4),
    ),
    (ImageFilter(attributes=[AttributeCondition(key="print", any_of=[AttributeValue(flag=True)])]), both(4, 5)),
    (ImageFilter(attributes=[AttributeCondition(key="album")]), both(0, 1, 2, 3, 4, 5)),
    (ImageFilter(attributes=[AttributeCondition(key="absent")]), set()),
    (ImageFilter(tags=["red"], none_of=[ImageFilter(tags=["even"])]), reds(1, 3, 5)),
    (
        ImageFilter(
            any_of=[ImageFilter(area=circle(100)), ImageFilter(tags=["blue"], all_of=[ImageFilter(tags=["even"])])]
        ),
        reds(0) | blues(0, 2, 4),
    ),
    (ImageFilter(none_of=[ImageFilter(captured=TimeRange(earliest="1900"))]), both(5)),
]


async def test_every_filter_lets_through_what_it_says(filled: Served) -> None:
    for chosen, expected in FILTERS:
        assert await found(filled, chosen) == expected, chosen


async def test_stored_lately(filled: Served) -> None:
    now = datetime.now(UTC)
    before, after = (now - timedelta(hours=1)).isoformat(), (now + timedelta(hours=1)).isoformat()
    assert len(await found(filled, ImageFilter(ingested=TimeRange(earliest=before, before=after)))) == 12
    assert await found(filled, ImageFilter(ingested=TimeRange(earliest=after))) == set()


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (ImageFilter(captured=TimeRange(earliest="soon")), ("earliest", "soon", "2019-05-01")),
        (ImageFilter(ingested=TimeRange(before="2019")), ("offset",)),
        (ImageFilter(ranges=[NumericRange(field="isos", min=1)]), ("isos", "iso")),
        (ImageFilter(ranges=[NumericRange(field="iso")]), ("min", "max")),
        (ImageFilter(ranges=[NumericRange(field="iso", min=float("nan"))]), ("no number",)),
        (ImageFilter(attributes=[AttributeCondition(key="a.b")]), ("a.b", "a-z")),
        (ImageFilter(attributes=[AttributeCondition(key="a", any_of=[AttributeValue()])]), ("empty",)),
        (ImageFilter(area=GeoArea()), ("circle", "polygon")),
        (ImageFilter(area=circle(0)), ("radius",)),
        (ImageFilter(area=corners((0, 0), (1, 1))), ("2 corners",)),
        (ImageFilter(area=corners((95, 0), (1, 1), (2, 2))), ("95", "latitude")),
        (ImageFilter(area=box(2, 0, 1, 1)), ("north",)),
        (ImageFilter(unclustered=True, clusters=[f"{PARENT}/clusters/1"]), ("exclude",)),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused(served: Served, chosen: ImageFilter, words: tuple[str]) -> None:
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", *words):
        await served.images.ListImages(ListImagesRequest(parent=PARENT, filter=chosen))


async def test_a_filter_without_bottom_is_refused(served: Served) -> None:
    deep = ImageFilter()
    for _ in range(30):
        deep = ImageFilter(none_of=[deep])
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "deeper"):
        await served.images.ListImages(ListImagesRequest(parent=PARENT, filter=deep))
    wide = ImageFilter(any_of=[ImageFilter()] * 2000)
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "more than"):
        await served.images.ListImages(ListImagesRequest(parent=PARENT, filter=wide))


@pytest.mark.parametrize("page_size", [1, 5, 10, 12, 100])
async def test_in_the_order_of_capture_those_without_a_time_come_last(filled: Served, page_size: int) -> None:
    for order, years in (("captured_at", [0, 1, 2, 3, 4]), ("captured_at desc", [4, 3, 2, 1, 0])):
        request = ListImagesRequest(parent=PARENT, order_by=order, page_size=page_size)
        numbers: list[int] = []
        uris: set[str] = set()
        while True:
            page = await filled.images.ListImages(request)
            assert len(page.images) <= page_size
            numbers += [int(image.uri.partition("/")[2]) for image in page.images]
            uris |= {image.uri for image in page.images}
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert numbers == [each for year in [*years, 5] for each in (year, year)]
        assert len(uris) == 12


async def test_an_order_that_there_is_not_is_refused(served: Served) -> None:
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "captured_at desc", "size"):
        await served.images.ListImages(ListImagesRequest(parent=PARENT, order_by="size"))


async def test_counts_by_year_tag_and_format(filled: Served) -> None:
    fields = [FACET_FIELD_YEAR, FACET_FIELD_TAG, FACET_FIELD_FORMAT]
    request = FacetImagesRequest(parent=PARENT, fields=fields, filter=ImageFilter(tags=["red"]))
    answer = await filled.images.FacetImages(request)
    assert answer.total == 6
    years, tags, formats = answer.facets
    assert [(each.value, each.count) for each in years.counts] == [(str(year), 1) for year in range(2015, 2020)]
    assert years.without == 1
    assert [(each.value, each.count) for each in tags.counts] == [("red", 6), ("even", 3)]
    assert (tags.without, formats.without) == (0, 0)
    request.limit = 1
    [_, tags, _] = (await filled.images.FacetImages(request)).facets
    assert [each.value for each in tags.counts] == ["red"]


async def test_counts_by_cluster_carry_their_names(served: Served) -> None:
    await served.three_colors(6)
    await served.recluster()
    answer = await served.images.FacetImages(FacetImagesRequest(parent=PARENT, fields=[FACET_FIELD_CLUSTER]))
    [facet] = answer.facets
    assert [each.count for each in facet.counts] == [6, 6, 6]
    assert all(each.value.startswith(f"{PARENT}/clusters/") for each in facet.counts)
    assert all(each.display_name for each in facet.counts)


@pytest.mark.parametrize("fields", [[], [FACET_FIELD_TAG, FACET_FIELD_TAG], [0], [99]])
async def test_counts_by_nothing_that_there_is_are_refused(served: Served, fields: list[int]) -> None:
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "CAMERA", "TAG"):
        await served.images.FacetImages(FacetImagesRequest(parent=PARENT, fields=fields))  # type: ignore[arg-type]


async def test_terms_are_looked_for_together(filled: Served) -> None:
    purple = [QueryTerm(text="red"), QueryTerm(text="blue")]
    request = SearchImagesRequest(parent=PARENT, terms=purple, page_size=12)
    scores = [each.score for each in (await filled.images.SearchImages(request)).results]
    assert max(scores) - min(scores) < 0.2, "both colours answer alike"
    unlike = [QueryTerm(text="red", weight=1), QueryTerm(text="blue", weight=-0.5)]
    request = SearchImagesRequest(parent=PARENT, terms=unlike, page_size=12)
    results = (await filled.images.SearchImages(request)).results
    assert [each.image.uri.partition("/")[0] for each in results] == ["red"] * 6 + ["blue"] * 6


async def test_an_image_that_is_looked_for_is_not_found(filled: Served) -> None:
    listed = (await filled.images.ListImages(ListImagesRequest(parent=PARENT))).images
    [first] = [image for image in listed if image.uri == "red/0"]
    request = SearchImagesRequest(
        parent=PARENT, terms=[QueryTerm(image_name=first.name), QueryTerm(text="red", weight=0.1)], page_size=20
    )
    results = (await filled.images.SearchImages(request)).results
    assert len(results) == 11
    assert first.name not in {each.image.name for each in results}


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ([QueryTerm(text="red", weight=-1)], ("below 0",)),
        ([QueryTerm(text="red", weight=0)], ("weight",)),
        ([QueryTerm(text="red", weight=11)], ("weight", "11")),
        ([QueryTerm(weight=1)], ("query",)),
        ([QueryTerm(text="red")] * 33, ("33",)),
        ([QueryTerm(text="red"), QueryTerm(text="red", weight=-1)], ("cancel",)),
    ],
)
async def test_terms_that_make_no_sense_are_refused(
    served: Served, terms: list[QueryTerm], words: tuple[str, ...]
) -> None:
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", *words):
        await served.images.SearchImages(SearchImagesRequest(parent=PARENT, terms=terms))


async def test_a_query_and_terms_exclude_one_another(served: Served) -> None:
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "terms"):
        request = SearchImagesRequest(parent=PARENT, text="red", terms=[QueryTerm(text="red")])
        await served.images.SearchImages(request)


async def test_diversity_brings_others_forward(filled: Served) -> None:
    plain = SearchImagesRequest(parent=PARENT, text="red", page_size=6)
    colors = [each.image.uri.partition("/")[0] for each in (await filled.images.SearchImages(plain)).results]
    assert set(colors) == {"red"}
    plain.diversity = 0.9
    results = (await filled.images.SearchImages(plain)).results
    assert "blue" in {each.image.uri.partition("/")[0] for each in results[:2]}
    assert len({each.image.name for each in results}) == 6
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "diversity"):
        await filled.images.SearchImages(SearchImagesRequest(parent=PARENT, text="red", diversity=1.5))


async def test_a_diverse_search_has_pages_without_an_image_twice(filled: Served) -> None:
    request = SearchImagesRequest(parent=PARENT, text="red", diversity=0.5, page_size=5)
    names: list[str] = []
    while True:
        page = await filled.images.SearchImages(request)
        names += [each.image.name for each in page.results]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert len(names) == len(set(names)) == 12


async def test_recommended_are_those_like_the_liked_and_unlike_the_disliked(filled: Served) -> None:
    listed = (await filled.images.ListImages(ListImagesRequest(parent=PARENT))).images
    name = {image.uri: image.name for image in listed}
    request = RecommendImagesRequest(
        parent=PARENT, liked=[name["red/0"], name["red/1"]], disliked=[name["blue/0"]], page_size=20
    )
    results = (await filled.images.RecommendImages(request)).results
    assert [each.image.uri.partition("/")[0] for each in results] == ["red"] * 4 + ["blue"] * 5
    request.filter.CopyFrom(ImageFilter(tags=["even"]))
    results = (await filled.images.RecommendImages(request)).results
    assert {each.image.uri for each in results} == reds(2, 4) | blues(2, 4)


@pytest.mark.parametrize(
    ("liked", "disliked", "words"), [([], [0], ("liked",)), ([0], [0], ("liked as well",)), ([0] * 1, [], ())]
)
async def test_tastes_that_make_no_sense_are_refused(
    filled: Served, liked: list[int], disliked: list[int], words: tuple[str, ...]
) -> None:
    listed = (await filled.images.ListImages(ListImagesRequest(parent=PARENT))).images
    request = RecommendImagesRequest(
        parent=PARENT,
        liked=[listed[each].name for each in liked],
        disliked=[listed[each].name for each in disliked],
    )
    if not words:
        assert len((await filled.images.RecommendImages(request)).results) == 10
        return
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", *words):
        await filled.images.RecommendImages(request)


async def test_an_unknown_image_cannot_be_liked(served: Served) -> None:
    nobody = f"{PARENT}/images/00000000-0000-0000-0000-000000000000"
    async with refused(grpc.StatusCode.NOT_FOUND, "IMAGE_NOT_FOUND"):
        await served.images.RecommendImages(RecommendImagesRequest(parent=PARENT, liked=[nobody]))


async def test_clusters_are_found_among_some_images(served: Served) -> None:
    stored_images = await served.three_colors(6)
    await served.recluster()
    mine = Image(name=stored_images["red"][0].name, tags=["mine"])
    await served.images.UpdateImage(UpdateImageRequest(image=mine))
    request = SearchClustersRequest(parent=PARENT, text="blue")
    everything = (await served.clusters.SearchClusters(request)).results
    assert [each.matching for each in everything] == [each.cluster.size for each in everything]
    assert len(everything) == 3
    request.filter.CopyFrom(ImageFilter(tags=["mine"]))
    [only] = (await served.clusters.SearchClusters(request)).results
    homes = await served.homes({"red": stored_images["red"]})
    assert (only.cluster.name, only.matching, only.cluster.size) == (homes["red"], 1, 6)
    terms = [QueryTerm(text="red"), QueryTerm(text="blue", weight=-0.5)]
    first = (await served.clusters.SearchClusters(SearchClustersRequest(parent=PARENT, terms=terms))).results[0]
    assert first.cluster.name == homes["red"]

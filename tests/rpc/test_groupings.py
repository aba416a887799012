"""Themes, places and moments over the wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import grpc
import pytest

from shoal.v1.cluster_service_pb2 import (
    ListClustersRequest,
    ListClustersResponse,
    ListMomentsRequest,
    ListPlacesRequest,
)
from shoal.v1.curation_service_pb2 import MergeClustersRequest
from shoal.v1.image_pb2 import Image, ImageFilter
from shoal.v1.image_service_pb2 import ListImagesRequest, SearchImagesRequest
from tests.fakes import COLORS, picture
from tests.rpc.conftest import PARENT, Served, refused

ALPS, COAST = (46.5, 8.0), (43.7, 7.25)
SUMMER = datetime(2019, 7, 20, 10, 0)
WINTER = datetime(2020, 1, 3, 14, 0)


async def colorful(served: Served, each: int = 6) -> dict[str, list[Image]]:
    """As many clusters as there are colours, which is enough for themes."""
    stored = {color: await served.store(color, range(each)) for color in COLORS}
    run = await served.recluster()
    assert run.summary.cluster_count == len(COLORS)
    return stored


async def travelled(served: Served) -> dict[str, list[Image]]:
    """Red pictures from the Alps in summer, blue ones from the coast in winter, green ones from nowhere and never."""

    async def taken(color: str, begin: datetime, at: tuple[float, float]) -> list[Image]:
        contents = [
            picture(color, n, taken=begin + timedelta(minutes=5 * n), at=(at[0] + n / 10_000, at[1])) for n in range(12)
        ]
        return [response.image for response in await served.ingest(contents)]

    stored = {
        "red": await taken("red", SUMMER, ALPS),
        "blue": await taken("blue", WINTER, COAST),
        "green": await served.store("green", range(6)),
    }
    await served.recluster()
    return stored


async def listed(served: Served, **fields: object) -> set[str]:
    """Names of the images that a filter lets through."""
    request = ListImagesRequest(parent=PARENT, page_size=1000, filter=ImageFilter(**fields))  # type: ignore[arg-type]
    return {image.name for image in (await served.images.ListImages(request)).images}


def names(*images: list[Image]) -> set[str]:
    return {image.name for some in images for image in some}


async def clusters_of(served: Served, **fields: object) -> ListClustersResponse:
    request = ListClustersRequest(parent=PARENT, **fields)  # type: ignore[arg-type]
    response: ListClustersResponse = await served.clusters.ListClusters(request)
    return response


async def test_themes_hold_all_clusters_and_come_on_the_first_page_only(served: Served) -> None:
    await colorful(served)
    assert (await clusters_of(served)).themes == []
    first = await clusters_of(served, with_themes=True, page_size=5)
    assert 2 <= len(first.themes) < len(COLORS)
    second = await clusters_of(served, with_themes=True, page_size=5, page_token=first.next_page_token)
    assert second.themes == []
    clusters = [*first.clusters, *second.clusters]
    seen: set[str] = set()
    for theme in first.themes:
        assert theme.display_name
        assert theme.parent in {"", *seen}
        seen.add(theme.name)
    lowest = [theme for theme in first.themes if theme.name not in {each.parent for each in first.themes}]
    below = [cluster for theme in lowest for cluster in theme.clusters]
    assert sorted(below) == sorted(cluster.name for cluster in clusters)
    for cluster in clusters:
        [theme] = [theme for theme in lowest if cluster.name in theme.clusters]
        assert cluster.theme == theme.name


async def test_filters_by_theme(served: Served) -> None:
    stored = await colorful(served)
    homes = await served.homes(stored)
    themes = (await clusters_of(served, with_themes=True)).themes
    theme = themes[-1]
    found = await clusters_of(served, themes=[theme.name])
    assert {cluster.name for cluster in found.clusters} == set(theme.clusters)
    inside = [color for color, cluster in homes.items() if cluster in theme.clusters]
    assert await listed(served, themes=[theme.name]) == names(*(stored[color] for color in inside))
    other = next(color for color in stored if color not in inside)
    both = await listed(served, themes=[theme.name], clusters=[homes[other]])
    assert both == names(stored[other], *(stored[color] for color in inside))
    request = SearchImagesRequest(parent=PARENT, text=other, filter=ImageFilter(themes=[theme.name]), page_size=1000)
    results = (await served.images.SearchImages(request)).results
    assert {result.image.name for result in results} == names(*(stored[color] for color in inside))
    query = stored[inside[0]][0].name
    request = SearchImagesRequest(
        parent=PARENT, image_name=query, filter=ImageFilter(themes=[theme.name]), page_size=1000
    )
    results = (await served.images.SearchImages(request)).results
    assert {result.image.name for result in results} == names(*(stored[color] for color in inside)) - {query}


async def test_themes_stay_over_reclusterings_and_lose_clusters_that_were_merged(served: Served) -> None:
    await colorful(served)
    before = (await clusters_of(served, with_themes=True)).themes
    await served.recluster()
    assert (await clusters_of(served, with_themes=True)).themes == before
    theme = next(theme for theme in before if len(theme.clusters) > 1)
    await served.curation.MergeClusters(MergeClustersRequest(parent=PARENT, clusters=theme.clusters[:2]))
    after = {theme.name: theme for theme in (await clusters_of(served, with_themes=True)).themes}
    assert set(after[theme.name].clusters) == set(theme.clusters) - {theme.clusters[1]}


async def test_too_few_clusters_have_no_themes(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    answer = await clusters_of(served, with_themes=True)
    assert answer.themes == []
    assert {cluster.theme for cluster in answer.clusters} == {""}


async def test_places_and_moments(served: Served) -> None:
    stored = await travelled(served)
    places = (await served.clusters.ListPlaces(ListPlacesRequest(parent=PARENT))).places
    assert [place.size for place in places] == [12, 12]
    alps = max(places, key=lambda place: place.center.latitude)
    assert alps.center.latitude == pytest.approx(ALPS[0], abs=0.01)
    assert alps.center.longitude == pytest.approx(ALPS[1], abs=0.01)
    assert 0 < alps.radius_km < 1
    assert alps.display_name
    moments = (await served.clusters.ListMoments(ListMomentsRequest(parent=PARENT))).moments
    assert [moment.size for moment in moments] == [12, 12]
    summer, winter = moments
    assert summer.start_time.ToDatetime(UTC) == SUMMER.replace(tzinfo=UTC)
    assert summer.end_time.ToDatetime(UTC) == (SUMMER + timedelta(minutes=55)).replace(tzinfo=UTC)
    assert winter.start_time.ToDatetime(UTC) == WINTER.replace(tzinfo=UTC)
    images = {image.name: image for image in (await served.images.ListImages(ListImagesRequest(parent=PARENT))).images}
    of = {color: {(images[image.name].place, images[image.name].moment) for image in stored[color]} for color in stored}
    [coast] = {place.name for place in places} - {alps.name}
    assert of == {"red": {(alps.name, summer.name)}, "blue": {(coast, winter.name)}, "green": {("", "")}}

    assert await listed(served, places=[alps.name]) == names(stored["red"])
    assert await listed(served, moments=[winter.name]) == names(stored["blue"])
    assert await listed(served, places=[alps.name, coast]) == names(stored["red"], stored["blue"])
    assert await listed(served, places=[alps.name], moments=[winter.name]) == set()
    red = (await served.homes(stored))["red"]
    assert await listed(served, clusters=[red], places=[alps.name]) == names(stored["red"])
    assert await listed(served, clusters=[red], places=[coast]) == set()
    request = SearchImagesRequest(parent=PARENT, text="red", filter=ImageFilter(moments=[winter.name]), page_size=50)
    results = (await served.images.SearchImages(request)).results
    assert {result.image.name for result in results} == names(stored["blue"])


async def test_pages_of_places_and_moments_end_when_another_run_comes_into_force(served: Served) -> None:
    await travelled(served)
    for method, request, field in (
        (served.clusters.ListPlaces, ListPlacesRequest, "places"),
        (served.clusters.ListMoments, ListMomentsRequest, "moments"),
    ):
        whole = getattr(await method(request(parent=PARENT)), field)
        first = await method(request(parent=PARENT, page_size=1))
        second = await method(request(parent=PARENT, page_size=1, page_token=first.next_page_token))
        assert [*getattr(first, field), *getattr(second, field)] == list(whole)
        assert second.next_page_token == ""
        await served.recluster()
        # The ids stay, but nobody should put two runs' pages together.
        assert getattr(await method(request(parent=PARENT)), field) == whole
        async with refused(grpc.StatusCode.ABORTED, "CLUSTERS_CHANGED"):
            await method(request(parent=PARENT, page_size=1, page_token=first.next_page_token))


async def test_groupings_before_the_first_run_and_such_as_do_not_exist(served: Served) -> None:
    assert (await served.clusters.ListPlaces(ListPlacesRequest(parent=PARENT))).places == []
    assert (await served.clusters.ListMoments(ListMomentsRequest(parent=PARENT))).moments == []
    for clustered in (False, True):
        if clustered:
            await served.three_colors()
            await served.recluster()
        async with refused(grpc.StatusCode.NOT_FOUND, "THEME_NOT_FOUND", "99"):
            await clusters_of(served, themes=[f"{PARENT}/themes/99"])
        for field in ("themes", "places", "moments"):
            reason = f"{field[:-1].upper()}_NOT_FOUND"
            wanted = ImageFilter(**{field: [f"{PARENT}/{field}/99"]})  # type: ignore[arg-type]
            async with refused(grpc.StatusCode.NOT_FOUND, reason, "99"):
                await served.images.ListImages(ListImagesRequest(parent=PARENT, filter=wanted))
            async with refused(grpc.StatusCode.NOT_FOUND, reason, "99"):
                await served.images.SearchImages(SearchImagesRequest(parent=PARENT, text="red", filter=wanted))
    for field in ("themes", "places", "moments"):
        for wrong in (f"{PARENT}/{field}/x", f"collections/others/{field}/1", f"{PARENT}/clusters/1"):
            wanted = ImageFilter(**{field: [wrong]})  # type: ignore[arg-type]
            async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"):
                await served.images.ListImages(ListImagesRequest(parent=PARENT, filter=wanted))
    both = ImageFilter(unclustered=True, themes=[f"{PARENT}/themes/1"])
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "unclustered"):
        await served.images.ListImages(ListImagesRequest(parent=PARENT, filter=both))

"""Page tokens made by hand, their checksum right, are refused like any other that was not given out."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import grpc
import pytest

from shoal.v1.cluster_service_pb2 import ListClusteringRunsRequest, ListClustersRequest
from shoal.v1.collection_service_pb2 import ListCollectionsRequest
from shoal.v1.curation_service_pb2 import ListCorrectionsRequest
from shoal.v1.duplicate_service_pb2 import ListDuplicateGroupsRequest
from shoal.v1.duplicate_service_pb2_grpc import DuplicateServiceStub
from shoal.v1.image_service_pb2 import (
    FACET_FIELD_TAG,
    FacetImagesRequest,
    ListImagesRequest,
    RecommendImagesRequest,
    SearchImagesRequest,
)
from shoal_server.rpc.paging import make_token
from tests.rpc.conftest import PARENT, Served, refused

LAST = "ffffffff-ffff-ffff-ffff-ffffffffffff"


def not_given_out() -> AbstractAsyncContextManager[None]:
    return refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", "start again without one")


@pytest.mark.parametrize("order", ["", "captured_at", "captured_at desc"])
async def test_listing_images(served: Served, order: str) -> None:
    await served.store("red", range(3))
    request = ListImagesRequest(parent=PARENT, order_by=order)
    for cursor in ("zzz", "[", "[1]", '["x", "y"]', f'["2019", "{LAST}"]', f'["2019-01-01T00:00:00Z", "{LAST}"]'):
        request.page_token = make_token(request, cursor)
        async with not_given_out():
            await served.images.ListImages(request)


@pytest.mark.parametrize("order", ["", "captured_at", "captured_at desc"])
async def test_listing_images_after_the_last_id_there_can_be(served: Served, order: str) -> None:
    stored = await served.store("red", range(3))
    request = ListImagesRequest(parent=PARENT, order_by=order)
    request.page_token = make_token(request, LAST)
    assert list((await served.images.ListImages(request)).images) == []
    if order:
        # None of the images has a time: they come after all that have one.
        request.page_token = make_token(request, f'["2019-01-01T00:00:00", "{LAST}"]')
        listed = await served.images.ListImages(request)
        assert {image.name for image in listed.images} == {image.name for image in stored}


@pytest.mark.parametrize("cursor", ["-5", "x", "1e3", "9" * 30])
async def test_searching_and_recommending(served: Served, cursor: str) -> None:
    stored = await served.store("red", range(3))
    search = SearchImagesRequest(parent=PARENT, text="red")
    search.page_token = make_token(search, cursor)
    async with not_given_out():
        await served.images.SearchImages(search)
    recommend = RecommendImagesRequest(parent=PARENT, liked=[stored[0].name])
    recommend.page_token = make_token(recommend, cursor)
    async with not_given_out():
        await served.images.RecommendImages(recommend)


@pytest.mark.parametrize("cursor", ["a b", "2", f"-2 {LAST}", "2 b", f"{'9' * 5000} {LAST}", " "])
async def test_listing_duplicates(served: Served, cursor: str) -> None:
    await served.store("red", range(3))
    request = ListDuplicateGroupsRequest(parent=PARENT)
    request.page_token = make_token(request, cursor)
    async with not_given_out():
        await DuplicateServiceStub(served.channel).ListDuplicateGroups(request)


async def test_listing_clusters(served: Served) -> None:
    await served.three_colors()
    run = await served.recluster()
    for number in ("-5", "x", "1e3", "9" * 30):
        request = ListClustersRequest(parent=PARENT)
        request.page_token = make_token(request, f"{run.name.rpartition('/')[2]} {number}")
        async with not_given_out():
            await served.clusters.ListClusters(request)


@pytest.mark.parametrize("cursor", ["zzz", "", "\0", "é", "-5", "[" * 10_000])
async def test_what_is_listed_by_the_last_entry_takes_any_text(served: Served, cursor: str) -> None:
    runs = ListClusteringRunsRequest(parent=PARENT)
    runs.page_token = make_token(runs, cursor)
    assert list((await served.clusters.ListClusteringRuns(runs)).clustering_runs) == []
    corrections = ListCorrectionsRequest(parent=PARENT)
    corrections.page_token = make_token(corrections, cursor)
    assert list((await served.curation.ListCorrections(corrections)).corrections) == []
    collections = ListCollectionsRequest()
    collections.page_token = make_token(collections, cursor)
    listed = await served.collections.ListCollections(collections)
    assert [each.name for each in listed.collections] == ([PARENT] if cursor < "photos" else [])


async def test_a_negative_number_of_values_is_said_of_its_own_field(served: Served) -> None:
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "limit: -1 is negative"):
        await served.images.FacetImages(FacetImagesRequest(parent=PARENT, fields=[FACET_FIELD_TAG], limit=-1))


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), float("-inf"), 1.5])
async def test_a_least_score_that_is_none_is_refused(served: Served, threshold: float) -> None:
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "score_threshold"):
        await served.images.SearchImages(SearchImagesRequest(parent=PARENT, text="red", score_threshold=threshold))

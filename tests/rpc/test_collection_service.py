"""Collections over the wire."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from shoal.v1.backup_service_pb2 import BackupRequest
from shoal.v1.backup_service_pb2_grpc import BackupServiceStub
from shoal.v1.collection_pb2 import Collection, EmbeddingModel
from shoal.v1.collection_service_pb2 import (
    CreateCollectionRequest,
    DeleteCollectionRequest,
    GetCollectionRequest,
    ListCollectionsRequest,
)
from shoal.v1.image_service_pb2 import ListImagesRequest, SearchImagesRequest
from shoal.v1.status_service_pb2 import GetServerStatusRequest
from shoal.v1.status_service_pb2_grpc import StatusServiceStub
from shoal_client import AsyncClient
from shoal_client.cli.records import collection_record
from tests.fakes import picture
from tests.rpc.conftest import PARENT, Served, refused, serving


async def test_create_get_list_delete(served: Served) -> None:
    made = await served.collections.CreateCollection(CreateCollectionRequest(collection_id="archive"))
    assert made.name == "collections/archive"
    assert made.model.name == "debug"
    assert made.model.dimension > 0
    assert made.model.digest.startswith("sha256:")
    assert await served.collections.GetCollection(GetCollectionRequest(name="collections/archive")) == made
    listed = await served.collections.ListCollections(ListCollectionsRequest())
    assert [collection.name for collection in listed.collections] == ["collections/archive", "collections/photos"]
    await served.collections.DeleteCollection(DeleteCollectionRequest(name="collections/archive"))
    async with refused(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND", "archive"):
        await served.collections.GetCollection(GetCollectionRequest(name="collections/archive"))


async def test_deleting_removes_images_and_clusters_for_good(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    await served.collections.DeleteCollection(DeleteCollectionRequest(name=PARENT))
    made = await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
    assert (made.image_count, made.cluster_count, made.active_run) == (0, 0, "")


async def test_counts(served: Served) -> None:
    await served.three_colors(each=12)
    await served.ingest([picture("yellow", 1)])
    before = await served.collections.GetCollection(GetCollectionRequest(name=PARENT))
    assert (before.image_count, before.unclustered_count, before.cluster_count) == (37, 37, 0)
    await served.recluster()
    after = await served.collections.GetCollection(GetCollectionRequest(name=PARENT))
    assert (after.image_count, after.unclustered_count, after.cluster_count) == (37, 1, 3)
    assert after.active_run.startswith(f"{PARENT}/clusteringRuns/")


async def test_paging(served: Served) -> None:
    for name in ("a", "b", "c"):
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id=name))
    first = await served.collections.ListCollections(ListCollectionsRequest(page_size=3))
    assert [collection.name[12:] for collection in first.collections] == ["a", "b", "c"]
    second = await served.collections.ListCollections(
        ListCollectionsRequest(page_size=3, page_token=first.next_page_token)
    )
    assert [collection.name[12:] for collection in second.collections] == ["photos"]
    assert second.next_page_token == ""


async def test_a_second_of_the_same_name(served: Served) -> None:
    async with refused(grpc.StatusCode.ALREADY_EXISTS, "COLLECTION_EXISTS"):
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))


@pytest.mark.parametrize("name", ["", "Photos", "1a", "a/b", "..", "a" * 64, "é"])
async def test_names_that_are_none(served: Served, name: str) -> None:
    async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_NAME"):
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id=name))


async def test_another_model_than_the_servers(served: Served) -> None:
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_MISMATCH", "ViT-B-32"):
        await served.collections.CreateCollection(
            CreateCollectionRequest(
                collection_id="other", collection=Collection(model=EmbeddingModel(name="ViT-B-32/openai"))
            )
        )


async def test_a_server_with_another_model_refuses_the_collection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as first:
        await first.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
    from shoal_server import bootstrap
    from shoal_server.adapters.debug_embedder import DebugEngine

    monkeypatch.setattr(bootstrap.serving, "load_engine", lambda *_: DebugEngine(dimension=64))
    async with serving(tmp_path) as second:
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_MISMATCH", "photos", "64 dimensions"):
            await second.images.ListImages(ListImagesRequest(parent=PARENT))
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_MISMATCH"):
            await second.images.SearchImages(SearchImagesRequest(parent=PARENT, text="red"))
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_MISMATCH"):
            await second.ingest([picture("red", 1)])
        # It can still be seen and removed.
        assert (await second.collections.GetCollection(GetCollectionRequest(name=PARENT))).model.dimension != 64
        await second.collections.DeleteCollection(DeleteCollectionRequest(name=PARENT))


async def test_a_collection_that_cannot_be_opened_says_so_and_can_be_deleted(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        for name in ("archive", "photos"):
            await served.collections.CreateCollection(CreateCollectionRequest(collection_id=name))
        await served.three_colors()
    (tmp_path / "collections" / "photos" / "collection.json").write_text("")
    async with serving(tmp_path) as served:
        listed = (await served.collections.ListCollections(ListCollectionsRequest())).collections
        assert [each.name for each in listed] == ["collections/archive", PARENT]
        assert [bool(each.problem) for each in listed] == [False, True]
        found = await served.collections.GetCollection(GetCollectionRequest(name=PARENT))
        assert found == listed[1]
        assert "collection.json cannot be read" in found.problem
        async with AsyncClient(served.address) as client:
            told = [collection_record(each) async for each in client.collections()]
        assert [each.get("problem", "") for each in told] == ["", found.problem]
        status = await StatusServiceStub(served.channel).GetServerStatus(GetServerStatusRequest())
        assert status.store.healthy
        assert [each.problem for each in status.collections] == ["", found.problem]
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "STORE_INCOMPATIBLE", "put this file back"):
            await served.images.ListImages(ListImagesRequest(parent=PARENT))
        async with refused(grpc.StatusCode.ALREADY_EXISTS, "COLLECTION_EXISTS", "photos"):
            await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "STORE_INCOMPATIBLE", "nothing was backed up"):
            async for _ in BackupServiceStub(served.channel).Backup(BackupRequest()):
                raise AssertionError("there is a part of it")
        await served.collections.DeleteCollection(DeleteCollectionRequest(name=PARENT))
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await served.three_colors()
        assert (await served.collections.GetCollection(GetCollectionRequest(name=PARENT))).image_count == 36

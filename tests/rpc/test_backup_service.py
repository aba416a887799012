"""Backups of a server that goes on working, and what is restored from them."""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import grpc
import pytest
from qdrant_client import AsyncQdrantClient

from shoal.v1.backup_service_pb2 import BackupRequest
from shoal.v1.backup_service_pb2_grpc import BackupServiceStub
from shoal.v1.cluster_pb2 import RUN_STATE_SUCCEEDED
from shoal.v1.cluster_service_pb2 import RunClusteringRequest
from shoal.v1.collection_service_pb2 import CreateCollectionRequest, GetCollectionRequest, ListCollectionsRequest
from shoal.v1.image_service_pb2 import DeleteImageRequest, GetThumbnailRequest, ListImagesRequest
from shoal_client import AsyncClient, archive_file
from shoal_server import bootstrap
from shoal_server.adapters.edge_store import EdgeStore, restore
from shoal_server.adapters.edge_store.snapshots import SNAPSHOTS
from shoal_server.adapters.qdrant_store import QdrantStore
from shoal_server.settings import Settings
from tests.fakes import FakeClusterer
from tests.rpc.conftest import PARENT, Served, serving


async def archive(served: Served, **options: bool) -> bytes:
    """The whole of a backup."""
    parts = [response async for response in BackupServiceStub(served.channel).Backup(BackupRequest(**options))]
    assert all(0 < len(part.content) <= 1 << 20 for part in parts)
    content = b"".join(part.content for part in parts)
    # An estimate: a few images may have come or gone.
    assert 0.5 < len(content) / parts[0].estimated_bytes < 2
    return content


def restored(content: bytes, folder: Path) -> Path:
    """A data folder with what a backup held."""
    file = folder / "backup.tar"
    file.write_bytes(content)
    restore(file, folder / "restored")
    file.unlink()
    return folder / "restored"


async def test_a_backup_restores_to_the_same(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as served:
        for collection in ("photos", "empty"):
            await served.collections.CreateCollection(CreateCollectionRequest(collection_id=collection))
        await served.three_colors()
        run = await served.recluster()
        assert run.active
        before = await served.assigned()
        content = await archive(served)
        # The server has gone on by the time somebody restores.
        await served.store("yellow", range(12))
        assert not list((tmp_path / "data" / SNAPSHOTS).iterdir())
    data = restored(content, tmp_path)
    async with serving(data) as served:
        listed = await served.collections.ListCollections(ListCollectionsRequest())
        assert [each.name for each in listed.collections] == ["collections/empty", PARENT]
        assert await served.assigned() == before
        assert (await served.collections.GetCollection(GetCollectionRequest(name=PARENT))).active_run == run.name
        for image in before:
            assert (await served.images.GetThumbnail(GetThumbnailRequest(name=image))).content
        # What comes next is as if nothing had happened.
        again = await served.recluster()
        assert (again.state, again.summary.payload_write_count) == (RUN_STATE_SUCCEEDED, 0)


async def test_a_backup_without_files_has_none(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await served.store("red", range(3))
        names = []
        for without in (False, True):
            with tarfile.open(fileobj=io.BytesIO(await archive(served, without_files=without))) as tar:
                names.append(tar.getnames())
    files = [[name for name in each if name.startswith("files/")] for each in names]
    assert (len(files[0]), len(files[1])) == (3, 0)
    assert set(names[0]) - set(files[0]) == set(names[1])
    assert (names[0][0], names[0][-1]) == ("backup.json", "manifest.json")


async def test_a_backup_during_a_run_has_the_run_before(tmp_path: Path) -> None:
    clusterer = FakeClusterer()
    async with serving(tmp_path / "data", clusterer) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await served.three_colors()
        first = await served.recluster()
        before = await served.assigned()
        clusterer.may_go_on.clear()
        await served.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
        while clusterer.jobs < 2:
            await asyncio.sleep(0.01)
        content = await archive(served)
        clusterer.may_go_on.set()
    async with serving(restored(content, tmp_path)) as served:
        assert await served.assigned() == before
        assert (await served.collections.GetCollection(GetCollectionRequest(name=PARENT))).active_run == first.name
        assert (await served.recluster()).state == RUN_STATE_SUCCEEDED


async def test_a_backup_during_an_ingest_has_what_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    async with serving(tmp_path / "data") as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        acknowledged |= {image.name for image in await served.store("red", range(20))}
        stored: set[str] = set()

        async def ingest() -> None:
            for start in range(0, 100_000, 5):
                stored.update(image.name for image in await served.store("green", range(start, start + 5)))

        ingesting = asyncio.create_task(ingest())
        while not stored:
            await asyncio.sleep(0.01)
        acknowledged |= stored
        content = await archive(served)
        after = len(stored)
        while len(stored) == after:
            # Whoever stores goes on.
            await asyncio.sleep(0.01)
        ingesting.cancel()
        await asyncio.wait([ingesting])
    async with serving(restored(content, tmp_path)) as served:
        listed = await served.images.ListImages(ListImagesRequest(parent=PARENT, page_size=1000))
        names = {image.name for image in listed.images}
        assert acknowledged <= names
        assert len(names) <= 20 + after + 5
        for image in names:
            # The files are read after the images: each has its own.
            assert (await served.images.GetThumbnail(GetThumbnailRequest(name=image))).content
        assert len(await served.store("blue", range(5))) == 5


async def test_a_backup_waits_for_the_end_of_a_write_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writing, may_go_on = asyncio.Event(), asyncio.Event()
    set_group = EdgeStore.set_group

    async def slowly(self: Any, collection: str, field: str, group_id: int | None, ids: Sequence[UUID]) -> None:
        writing.set()
        await may_go_on.wait()
        await set_group(self, collection, field, group_id, ids)

    async with serving(tmp_path / "data") as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await served.three_colors()
        monkeypatch.setattr(EdgeStore, "set_group", slowly)
        run = await served.clusters.RunClustering(RunClusteringRequest(parent=PARENT))
        await writing.wait()
        backup = asyncio.create_task(archive(served))
        await asyncio.sleep(0.2)
        assert not backup.done()
        may_go_on.set()
        content = await backup
        assert (await served.ended(run)).active
        after = await served.assigned()
    async with serving(restored(content, tmp_path)) as served:
        assert await served.assigned() == after
        assert len(set(after.values())) == 3
        assert (await served.collections.GetCollection(GetCollectionRequest(name=PARENT))).active_run == run.name


async def test_images_and_collections_may_go_meanwhile(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as served:
        for collection in ("photos", "a"):
            await served.collections.CreateCollection(CreateCollectionRequest(collection_id=collection))
        images = await served.store("red", range(5))
        call = BackupServiceStub(served.channel).Backup(BackupRequest())
        parts = [(await anext(aiter(call))).content]
        await served.images.DeleteImage(DeleteImageRequest(name=images[0].name))
        parts += [response.content async for response in call]
    async with serving(restored(b"".join(parts), tmp_path)) as served:
        assert len(await served.assigned()) in (4, 5)


async def test_who_stops_reading_leaves_nothing_behind(tmp_path: Path) -> None:
    async with serving(tmp_path / "data") as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await served.store("red", range(20))
        call = BackupServiceStub(served.channel).Backup(BackupRequest())
        assert (await anext(aiter(call))).content
        call.cancel()
        snapshots = tmp_path / "data" / SNAPSHOTS
        while snapshots.exists() and list(snapshots.iterdir()):
            await asyncio.sleep(0.01)
        assert len(await served.store("green", range(5))) == 5


async def test_a_server_that_stores_in_qdrant_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def in_memory(settings: Settings) -> QdrantStore:
        return QdrantStore(AsyncQdrantClient(":memory:"), "in memory")

    monkeypatch.setattr(bootstrap.serving, "open_store", in_memory)
    async with serving(tmp_path) as served:
        with pytest.raises(grpc.aio.AioRpcError, match="snapshots") as caught:
            await archive(served)
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


async def test_the_client_writes_a_whole_file_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path / "data") as served, AsyncClient(served.address) as client:
        await client.create_collection("photos")
        await served.store("red", range(5))
        told: list[tuple[int, int]] = []
        plain, packed = tmp_path / "a.tar", tmp_path / "a.tar.gz"
        received = await client.backup(plain, on_progress=lambda *progress: told.append(progress))
        assert plain.stat().st_size == received == told[-1][0]
        assert told[-1][1] > 0
        await client.backup(packed)
        assert packed.stat().st_size < received / 2
        restore(packed, tmp_path / "restored")
        with pytest.raises(Exception, match="is there already"):
            await client.backup(plain)

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        # The server's own files are in this process too.
        monkeypatch.setattr(archive_file, "os", SimpleNamespace(fsync=full))
        with pytest.raises(OSError, match=r"No space left on device.*b\.tar"):
            await client.backup(tmp_path / "b.tar")
        monkeypatch.undo()
        assert sorted(path.name for path in tmp_path.iterdir()) == [  # noqa: ASYNC240
            "a.tar",
            "a.tar.gz",
            "data",
            "restored",
        ]
    async with serving(tmp_path / "restored") as served:
        assert len(await served.assigned()) == 5

"""Ingest beside everything else that happens to the same images: nothing acknowledged is lost, nothing is left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.adapters.files import Folder, NamedImageFiles
from shoal_server.application.images import Changes, Images
from shoal_server.application.ingest import Ingest, NewImage, Options
from shoal_server.application.near_duplicates import NearDuplicates
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import FileKind, RunFiles
from shoal_server.domain.collection import EmbeddingModel
from shoal_server.domain.errors import CollectionNotFound, InvalidField, ShoalError, StoreUnavailable
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.image import DecodedImage, Location, Metadata, OnNearDuplicate, Preview

MODEL = EmbeddingModel("test", "sha256:0", 4)


class Decoder:
    """Takes the bytes before a ``|`` for the perceptual hash."""

    async def decode(self, content: bytes, *, with_preview: bool = False) -> DecodedImage:
        phash = content.partition(b"|")[0].decode() if b"|" in content else "f0f0a5a5c3c39696"
        metadata = Metadata(100, 100, "JPEG", len(content), location=Location(1.0, 2.0))
        return DecodedImage(np.zeros((2, 2, 3), np.uint8), metadata, Preview(b"thumbnail", phash))


class Embedder:
    """Finds all images alike; can be held up."""

    model = MODEL

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def embed_image(self, _: NDArray[np.uint8]) -> NDArray[np.float32]:
        await self.may_go_on.wait()
        return np.array([1, 0, 0, 0], np.float32)

    async def embed_text(self, text: str) -> NDArray[np.float32]:
        raise NotImplementedError(text)

    async def embed_texts(self, texts: object) -> NDArray[np.float32]:
        raise NotImplementedError(texts)


class Fetcher:
    """Has a file for every URI; notes how many are held at once."""

    def __init__(self) -> None:
        self.fetched = 0

    async def fetch(self, uri: str) -> bytes:
        self.fetched += 1
        return uri.encode()


class NoRunFiles:
    """A collection of these tests has no runs."""

    async def delete_collection(self, collection: str) -> None:
        """Nothing to delete."""


class World:
    """An ingest on a real store in a folder, with a collection ``photos``."""

    def __init__(self, store: EdgeStore, folder: Path, *, keep_originals: bool = False) -> None:
        self.store = store
        self.folder = folder / "files"
        self.files = NamedImageFiles(Folder(self.folder))
        self.embedder = Embedder()
        self.fetcher = Fetcher()
        self.collections = OpenCollections(store, cast("RunFiles", NoRunFiles()), self.files, MODEL)
        self.images = Images(self.collections, store, self.files)
        self.ingest = Ingest(
            self.collections,
            store,
            self.files,
            Decoder(),
            self.embedder,
            self.fetcher,
            NearDuplicates(store),
            max_in_flight=64,
            keep_originals=keep_originals,
        )

    def kept(self) -> list[str]:
        """The files of images."""
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file() and path.name != ".lock")

    async def count(self) -> int:
        return await self.store.count_images("photos", ImageFilter())

    async def delete_collection(self) -> None:
        async def nothing_first(_: OpenCollection) -> None:
            pass

        await self.collections.delete("photos", nothing_first)

    async def held_up(self, content: bytes) -> asyncio.Task[object]:
        """An ingest that is under way, held up at the model."""
        self.embedder.may_go_on.clear()
        task: asyncio.Task[object] = asyncio.ensure_future(self.ingest("photos", NewImage(content)))
        await asyncio.sleep(0.05)
        return task


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """With originals kept."""
    store = await EdgeStore.open(tmp_path / "store")
    made = World(store, tmp_path, keep_originals=True)
    await made.collections.create("photos")
    yield made
    made.files.close()
    await store.close()


async def test_a_collection_deleted_meanwhile_gets_no_image_and_no_file(world: World) -> None:
    task = await world.held_up(b"a")
    await world.delete_collection()
    world.embedder.may_go_on.set()
    with pytest.raises(CollectionNotFound):
        await task
    assert world.kept() == []


async def test_a_collection_made_again_meanwhile_gets_nothing_of_its_namesakes(world: World) -> None:
    task = await world.held_up(b"a")
    await world.delete_collection()
    await world.collections.create("photos")
    world.embedder.may_go_on.set()
    with pytest.raises(CollectionNotFound):
        await task
    assert await world.count() == 0
    assert world.kept() == []


async def test_an_update_is_not_lost_to_the_same_bytes_sent_again(world: World) -> None:
    image = (await world.ingest("photos", NewImage(b"a", uri="first", tags=("old",)))).image
    for turn in range(40):

        async def update(turn: int = turn) -> None:
            for _ in range(turn % 8):
                await asyncio.sleep(0)
            await world.images.update("photos", image.id, Changes(attributes={"turn": turn}))

        again = NewImage(b"a", uri=f"place {turn}", tags=(f"tag {turn}",))
        await asyncio.gather(world.ingest("photos", again), update())
        stored = await world.images.get("photos", image.id)
        assert stored.attributes == {"turn": turn}
        assert f"tag {turn}" in stored.tags
        assert f"place {turn}" in stored.also_at


async def test_an_image_whose_files_cannot_be_kept_fails_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    works = world.files.put

    async def put(collection: str, image: object, kind: FileKind, content: bytes) -> None:
        if kind is FileKind.ORIGINAL and content == b"bad":
            raise StoreUnavailable("files", "it is full")
        await works(collection, image, kind, content)  # type: ignore[arg-type]

    monkeypatch.setattr(world.files, "put", put)
    contents = [b"one", b"bad", b"two"]
    answers = await asyncio.gather(
        *(world.ingest("photos", NewImage(content)) for content in contents), return_exceptions=True
    )
    assert [isinstance(answer, ShoalError) for answer in answers] == [False, True, False]
    assert await world.count() == 2
    assert len(world.kept()) == 4, "of the bad one nothing is left"


async def test_what_cannot_be_stored_leaves_no_files(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def upsert(*_: object) -> None:
        raise StoreUnavailable("edge", "it stumbled")

    monkeypatch.setattr(world.store, "upsert_images", upsert)
    with pytest.raises(StoreUnavailable):
        await world.ingest("photos", NewImage(b"a"))
    assert world.kept() == []


async def test_a_client_that_leaves_while_its_image_is_written_leaves_it_whole(world: World) -> None:
    for turn in range(20):
        task = asyncio.ensure_future(world.ingest("photos", NewImage(b"image %d" % turn)))
        for _ in range(turn * 3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.sleep(0.2)
    assert len(world.kept()) == 2 * await world.count()


async def test_a_delete_that_is_cancelled_is_done_or_not(world: World) -> None:
    for turn in range(20):
        image = (await world.ingest("photos", NewImage(b"image %d" % turn))).image
        task = asyncio.ensure_future(world.images.delete("photos", image.id))
        for _ in range(turn):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(world.kept()) == 2 * await world.count()


async def test_deleting_twice_at_once_counts_once(world: World) -> None:
    changes: list[int] = []
    images = Images(world.collections, world.store, world.files, lambda _, by: changes.append(by))
    image = (await world.ingest("photos", NewImage(b"a"))).image
    answers = await asyncio.gather(*(images.delete("photos", image.id) for _ in range(3)), return_exceptions=True)
    assert sorted(isinstance(answer, ShoalError) for answer in answers) == [False, True, True]
    assert changes == [-1]


async def test_the_same_bytes_sent_while_they_are_deleted_are_stored_or_not_there(world: World) -> None:
    for turn in range(20):
        content = b"image %d" % turn
        image = (await world.ingest("photos", NewImage(content))).image
        await asyncio.gather(
            world.ingest("photos", NewImage(content, uri="again")), world.images.delete("photos", image.id)
        )
        assert len(world.kept()) == 2 * await world.count()


async def test_without_a_location_no_original_is_kept(world: World) -> None:
    stored = (await world.ingest("photos", NewImage(b"a"), Options(drop_location=True))).image
    assert stored.metadata.location is None
    assert world.kept() == [f"{stored.id}.webp"]


async def test_without_a_location_no_original_is_kept_either_when_the_same_bytes_come_again(world: World) -> None:
    options = Options(drop_location=True)
    for uri in ("one folder", "another", "another"):
        stored = (await world.ingest("photos", NewImage(b"a", uri=uri), options)).image
    assert stored.also_at == ("another",)
    assert world.kept() == [f"{stored.id}.webp"]


async def test_sent_again_with_its_location_an_image_gets_its_original_but_no_location(world: World) -> None:
    await world.ingest("photos", NewImage(b"a"), Options(drop_location=True))
    stored = (await world.ingest("photos", NewImage(b"a"))).image
    assert stored.metadata.location is None
    assert world.kept() == sorted([f"{stored.id}.webp", str(stored.id)])


async def test_an_original_that_is_kept_stays_when_the_same_bytes_come_without_a_location(world: World) -> None:
    await world.ingest("photos", NewImage(b"a"))
    stored = (await world.ingest("photos", NewImage(b"a"), Options(drop_location=True))).image
    assert stored.metadata.location == Location(1.0, 2.0)
    assert world.kept() == sorted([f"{stored.id}.webp", str(stored.id)])


async def test_one_that_is_skipped_for_another_of_its_batch_is_answered_with_that_as_stored(world: World) -> None:
    options = Options(near_duplicates=OnNearDuplicate.SKIP)
    await world.ingest("photos", NewImage(b"0123456789abcdef|other"))
    hashes = b"f0f0a5a5c3c39696|"
    answers = await asyncio.gather(
        *(world.ingest("photos", NewImage(hashes + bytes([number])), options) for number in range(6))
    )
    stored = {answer.image.id for answer in answers}
    assert len(stored) == 1
    assert await world.count() == 2
    kept = await world.images.get("photos", stored.pop())
    assert all(answer.image == kept for answer in answers)


async def test_few_files_are_fetched_at_once(world: World) -> None:
    world.embedder.may_go_on.clear()
    tasks = [
        asyncio.ensure_future(world.ingest("photos", NewImage(b"", uri=f"file:///{number}", fetch=True)))
        for number in range(20)
    ]
    await asyncio.sleep(0.1)
    assert world.fetcher.fetched == 4
    world.embedder.may_go_on.set()
    await asyncio.gather(*tasks)
    assert await world.count() == 20
    with pytest.raises(InvalidField, match="content as well"):
        await world.ingest("photos", NewImage(b"x", uri="file:///1", fetch=True))


async def test_an_image_of_an_earlier_version_gets_its_hash(world: World) -> None:
    image = (await world.ingest("photos", NewImage(b"0123456789abcdef|a"))).image
    for path in world.folder.rglob("*.webp"):
        path.unlink()
    again = (await world.ingest("photos", NewImage(b"0123456789abcdef|a"))).image
    assert again == image
    assert world.kept() == sorted([f"{image.id}.webp", str(image.id)])

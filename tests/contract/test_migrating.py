"""Collections that are moved between stores: whole, once, and whatever cuts it short."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import AsyncQdrantClient

from shoal_server.adapters.edge_store import EdgeReceiver, EdgeStore
from shoal_server.adapters.files import Folder, NamedImageFiles, ParquetRunFiles
from shoal_server.adapters.qdrant_store import QdrantReceiver, QdrantStore
from shoal_server.application import comparing
from shoal_server.application.comparing import Side
from shoal_server.application.migrating import Migration, Moved, Outcome, Receiver, Stage
from shoal_server.application.ports import FileKind, RunAssignments
from shoal_server.domain.attachment import Attachment, Distance
from shoal_server.domain.collection import Collection
from shoal_server.domain.correction import Moves
from shoal_server.domain.errors import CollectionNotFound, StoreIncompatible
from shoal_server.domain.filters import ImageFilter
from tests.contract.conftest import (
    a_cluster,
    a_collection,
    a_correction,
    a_run,
    an_image,
    numbered_images,
    some_groupings,
    unit_vectors,
)

EVERY = ImageFilter()
IMAGES = 50


class Cut(Exception):
    """Nobody expects this one."""


class Stores:
    """A data folder and a Qdrant server, opened anew as often as one likes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = AsyncQdrantClient(":memory:")

    @asynccontextmanager
    async def sides(self) -> AsyncIterator[tuple[Side, Side]]:
        """The folder and the server."""
        async with AsyncExitStack() as stack:
            edge = await EdgeReceiver.open(self.folder)
            stack.push_async_callback(edge.close)
            server = QdrantReceiver(self.client, "a server")
            sides = []
            for name, store in (("embedded", edge), ("server", server)):
                place, beside = Folder(self.folder / "runs" / name), Folder(self.folder / "files" / name)
                runs, files = ParquetRunFiles(place, place), NamedImageFiles(beside)
                stack.callback(runs.close)
                stack.callback(files.close)
                sides.append(Side(store, runs, files, name))
            yield sides[0], sides[1]

    async def move(self, *names: str, back: bool = False, replace_it: bool = False) -> list[Moved]:
        """Moves collections to the server, or back."""
        async with self.sides() as (folder, server):
            source, target = (server, folder) if back else (folder, server)
            return [each async for each in migration(source, target).move(names, replace=replace_it)]


@pytest.fixture
async def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stores]:
    monkeypatch.setattr(comparing, "BATCH", 16)
    opened = Stores(tmp_path)
    yield opened
    await opened.client.close()


def migration(source: Side, target: Side, progress: Callable[..., None] = lambda *_: None) -> Migration:
    receiver: Any = target.store
    checked: Receiver = receiver
    return Migration(source, target, checked, progress)


async def fill(side: Side, name: str = "photos", images: int = IMAGES) -> Collection:
    """A collection with everything that one can have."""
    record = replace(a_collection(name), next_cluster_id=5, active_run="r2", version=7)
    await side.store.create_collection(record)
    stored = numbered_images(images, lambda number: number % 3 or None)
    await side.store.upsert_images(name, stored)
    ids = [image.id for image, _ in stored]
    for number, run in enumerate(("r1", "r2", "failed")):
        await side.store.put_run(name, a_run(run, number))
        if run == "failed":
            continue
        await side.store.put_clusters(name, run, [a_cluster(1), a_cluster(2 + number)])
        await side.store.put_groupings(name, run, some_groupings(run))
        await side.runs.write(name, run, assignments_of(ids))
    await side.store.put_correction(name, a_correction("c1"))
    await side.store.put_correction(name, a_correction("c2", 1))
    await side.runs.write_moves(name, "c1", Moves(ids[:2], np.array([1, -1]), np.array([2, 1])))
    for image in ids[:20]:
        await side.files.put(name, image, FileKind.THUMBNAIL, image.bytes)
        await side.files.put(name, image, FileKind.ORIGINAL, image.bytes * 3)
    return record


def assignments_of(ids: list[Any]) -> RunAssignments:
    n = len(ids)
    coordinates = np.random.default_rng(1).standard_normal((n, 2)).astype(np.float32)
    coordinates[-1] = np.nan
    numbers = np.arange(n, dtype=np.int64) % 4 - 1
    return RunAssignments(
        ids=ids,
        cluster_ids=numbers,
        strengths=np.full(n, 0.5, np.float32),
        coordinates=coordinates,
        reduced=np.zeros((n, 0), np.float32),
        fingerprints=coordinates[:, 0],
        placed=np.zeros(n, np.bool_),
        last_ids=numbers,
        dissolved_ids=np.full(n, -1, np.int64),
        place_ids=numbers,
        moment_ids=numbers,
    )


async def test_there_and_back_again(stores: Stores) -> None:
    async with stores.sides() as (folder, _):
        record = await fill(folder)
        await folder.store.create_collection(a_collection("empty"))
    there = await stores.move()
    assert [(each.collection, each.outcome) for each in there] == [("empty", Outcome.MOVED), ("photos", Outcome.MOVED)]
    compared = there[1].compared
    assert compared is not None
    assert (compared.images, compared.runs, compared.corrections, compared.files) == (IMAGES, 3, 2, 40)
    # qdrant-client's local mode divides by the length again.
    assert compared.largest_difference <= 2e-7
    async with stores.sides() as (folder, server):
        assert await server.store.get_collection("photos") == record
        await folder.store.delete_collection("photos")
        await folder.runs.delete_collection("photos")
        await folder.files.delete_collection("photos")
    [back] = await stores.move("photos", back=True)
    assert back.compared is not None
    assert (back.compared.images, back.compared.files, back.compared.largest_difference) == (IMAGES, 40, 0.0)
    # Qdrant's own engine gives bit for bit what it was given.
    assert back.compared.digest == compared.digest
    async with EdgeStoreOf(stores.folder) as store:
        assert await store.get_collection("photos") == record


class EdgeStoreOf:
    """What a server opens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def __aenter__(self) -> EdgeStore:
        self._store = await EdgeStore.open(self._folder)
        return self._store

    async def __aexit__(self, *_: object) -> None:
        await self._store.close()


async def test_moving_twice_compares_only(stores: Stores) -> None:
    async with stores.sides() as (folder, _):
        await fill(folder, images=30)
    [first] = await stores.move()
    [second] = await stores.move()
    assert (second.outcome, second.compared) == (Outcome.THERE, first.compared)
    async with stores.sides() as (_, server):
        await server.store.delete_images("photos", [an_image(3).id])
    with pytest.raises(StoreIncompatible, match=r"not the same images.*--replace"):
        await stores.move()
    [third] = await stores.move(replace_it=True)
    assert (third.outcome, third.compared) == (Outcome.MOVED, first.compared)


WRITES = [
    "begin_arrival", "upsert_images", "put_clusters", "put_groupings", "put_run", "put_correction", "finish_arrival",
]  # fmt: skip


@pytest.mark.parametrize("back", [False, True], ids=["to-qdrant", "to-folder"])
@pytest.mark.parametrize("method", WRITES)
async def test_what_is_cut_short_goes_on(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, method: str, back: bool
) -> None:
    async with stores.sides() as sides:
        record = await fill(sides[back])
    kind = EdgeReceiver if back else QdrantReceiver
    original = getattr(kind, method)
    for after in (False, True):
        calls = 0

        async def cut(self: Any, *arguments: Any, after: bool = after) -> None:
            nonlocal calls
            calls += 1
            # The second call of those that are called more often: something is there already.
            if calls < 2 and method in ("upsert_images", "put_run"):
                await original(self, *arguments)
                return
            if after and method != "finish_arrival":
                await original(self, *arguments)
            raise Cut

        monkeypatch.setattr(kind, method, cut)
        with pytest.raises(Cut):
            await stores.move(back=back)
        monkeypatch.setattr(kind, method, original)
        # Nobody sees any of it, and nobody takes its place.
        async with stores.sides() as sides:
            receiver = sides[not back].store
            assert await receiver.list_collections() == []
            with pytest.raises(CollectionNotFound):
                await receiver.get_collection("photos")
            if method != "begin_arrival" or after:
                with pytest.raises(StoreIncompatible, match="half moved"):
                    await receiver.create_collection(a_collection("photos"))
    [moved] = await stores.move(back=back)
    assert moved.outcome is Outcome.MOVED
    async with stores.sides() as sides:
        assert await sides[not back].store.list_collections() == [record]
        arrived: Any = sides[not back].store
        assert await arrived.arrivals() == {}


async def test_going_on_takes_over_what_changed_meanwhile(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stores.sides() as (folder, _):
        await fill(folder, images=50)

    async def cut(*_: Any) -> None:
        raise Cut

    with monkeypatch.context() as patched:
        patched.setattr(QdrantReceiver, "finish_arrival", cut)
        with pytest.raises(Cut):
            await stores.move()
    async with stores.sides() as (folder, _):
        await folder.store.delete_images("photos", [an_image(1).id])
        await folder.files.delete("photos", [an_image(1).id])
        await folder.store.upsert_images("photos", [(an_image(99), unit_vectors(1)[0])])
        await folder.store.upsert_images("photos", [(an_image(2), unit_vectors(1, seed=9)[0])])
        await folder.store.set_group("photos", "cluster_id", 4, [an_image(3).id])
        await folder.store.delete_run("photos", "failed")
        await folder.store.delete_correction("photos", "c2")
        await folder.files.put("photos", an_image(5).id, FileKind.THUMBNAIL, b"another")
    [moved] = await stores.move()
    assert moved.compared is not None
    assert (moved.compared.images, moved.compared.runs, moved.compared.corrections) == (50, 2, 1)
    async with stores.sides() as (_, server):
        images = await server.store.get_images("photos", [an_image(number).id for number in (1, 3, 99)])
        assert an_image(1).id not in images
        assert images[an_image(3).id].cluster_id == 4
        assert [run.id for run in await server.store.list_runs("photos")] == ["r2", "r1"]


async def test_others_of_the_same_name_are_refused_before_anything_moves(stores: Stores) -> None:
    async with stores.sides() as (folder, server):
        await fill(folder, "a", images=3)
        await fill(folder, "photos", images=3)
        other = replace(a_collection("photos"), created_at=a_collection().created_at.replace(year=2020))
        await server.store.create_collection(other)
    with pytest.raises(StoreIncompatible, match=r"another collection 'photos' in server.*--replace"):
        await stores.move()
    async with stores.sides() as (_, server):
        assert await server.store.list_collections() == [other]
    with pytest.raises(CollectionNotFound):
        await stores.move("a", "nowhere")
    assert [each.outcome for each in await stores.move(replace_it=True)] == [Outcome.MOVED] * 2
    async with stores.sides() as (_, server):
        assert await server.store.count_images("photos", EVERY) == 3


async def test_half_of_another_source_is_refused(stores: Stores) -> None:
    async with stores.sides() as (folder, server):
        record = await fill(folder, images=3)
        receiver: Any = server.store
        await receiver.begin_arrival(record, "elsewhere")
    with pytest.raises(StoreIncompatible, match="half of another collection 'photos' from elsewhere"):
        await stores.move()
    [moved] = await stores.move(replace_it=True)
    assert moved.outcome is Outcome.MOVED


async def test_what_arrives_damaged_does_not_come_into_being(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    async with stores.sides() as (folder, _):
        await fill(folder, images=30)
    upsert = QdrantStore.upsert_images

    async def bend(self: Any, collection: str, images: Any) -> None:
        bent = [(image, vector[::-1].copy() if image.id == an_image(7).id else vector) for image, vector in images]
        await upsert(self, collection, bent)

    with monkeypatch.context() as patched:
        patched.setattr(QdrantStore, "upsert_images", bend)
        with pytest.raises(StoreIncompatible, match=f"the vector of image {an_image(7).id}, by"):
            await stores.move()
    async with stores.sides() as (_, server):
        assert await server.store.list_collections() == []
    # What differs is written again.
    [moved] = await stores.move()
    assert moved.compared is not None


async def test_what_belongs_to_others_is_left_out(stores: Stores) -> None:
    attachment = Attachment(source="theirs", vector="", distance=Distance.COSINE, payload_key="shoal")
    async with stores.sides() as (_, server):
        record = replace(a_collection("theirs-clustered"), attachment=attachment)
        store: Any = server.store
        await store._catalog.put_collection("collection", record)
    [moved] = await stores.move(back=True)
    assert (moved.outcome, moved.compared) == (Outcome.ATTACHED, None)


async def test_without_the_files_of_its_runs_nothing_is_moved(stores: Stores) -> None:
    async with stores.sides() as (folder, _):
        await fill(folder, images=3)
        await folder.runs.delete_collection("photos")
    with pytest.raises(StoreIncompatible, match=r"file of run 'r2'.*--data"):
        await stores.move()


async def test_progress_is_told(stores: Stores) -> None:
    told: list[tuple[str, Stage, int, int]] = []
    async with stores.sides() as (folder, server):
        await fill(folder)
        moving = migration(folder, server, lambda *each: told.append(each))
        assert [each async for each in moving.move([], replace=False)]
    assert [each for each in told if each[1] is Stage.IMAGES] == [
        ("photos", Stage.IMAGES, done, IMAGES) for done in (16, 32, 48, IMAGES)
    ]
    assert list(dict.fromkeys(each[1] for each in told)) == list(Stage)


async def test_what_cannot_be_opened_is_not_moved_and_gives_way_only_if_asked(stores: Stores) -> None:
    async with stores.sides() as (folder, server):
        await fill(folder, "photos", 6)
        await fill(folder, "dogs", 6)
        await fill(server, "photos", 4)
    place = stores.folder / "collections" / "photos"
    (place / "collection.json").rename(place / "arriving.json")
    with pytest.raises(StoreIncompatible, match=r"nothing was moved: .*arriving\.json cannot be read"):
        await stores.move()
    assert [each.outcome for each in await stores.move("dogs")] == [Outcome.MOVED]
    with pytest.raises(StoreIncompatible, match="there is another collection 'photos'"):
        await stores.move("photos", back=True)
    assert (place / "images").exists()
    assert [each.outcome for each in await stores.move("photos", back=True, replace_it=True)] == [Outcome.MOVED]
    async with stores.sides() as (folder, _):
        assert await folder.store.count_images("photos", EVERY) == 4

"""What a worker of a bulk ingest adds to an ingest: reading, patience, and that no content is stored twice at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast
from uuid import UUID

import pytest

from shoal_server.application import bulk_ingest
from shoal_server.application.bulk_ingest import BulkIngest, Fate, ListedFile, Told
from shoal_server.application.ingest import Ingest, Ingested, NewImage, Options
from shoal_server.application.open_collections import OpenCollections
from shoal_server.bulk_ingest.driver import ingest as ingest_with_workers
from shoal_server.bulk_ingest.registry import Registry
from shoal_server.bulk_ingest.rows import files_in, listed, records_of, told
from shoal_server.domain.errors import (
    CollectionExists,
    CollectionNotFound,
    FetchFailed,
    FetchUnavailable,
    ModelMismatch,
    ShoalError,
    StoreRefused,
    StoreUnavailable,
    UnsupportedFormat,
)
from shoal_server.domain.image import Image, Metadata, digest_of, image_id

OPTIONS = Options()


class Storage:
    """Files by their place; what is an error is raised, the first of several each time until one is left."""

    def __init__(self, **files: bytes | list[bytes | Exception]) -> None:
        self.files = files
        self.readings = 0

    async def read(self, location: str) -> bytes:
        self.readings += 1
        there = self.files[location]
        if isinstance(there, bytes):
            return there
        content = there.pop(0) if len(there) > 1 else there[0]
        if isinstance(content, Exception):
            raise content
        return content


class LocalClaims:
    """A registry without Ray."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def take(self, content: UUID, number: int) -> bool:
        return self._registry.take([(content.bytes, number)])[0]

    def release(self, content: UUID, number: int) -> None:
        self._registry.release(content.bytes, number)


class Stored:
    """In place of an ingest and its collections: remembers contents; can be held up, and made to fail.

    Attributes:
        embedded: the contents that were not there before, in the order in which they came.
    """

    def __init__(self) -> None:
        self.contents: set[bytes] = set()
        self.embedded: list[bytes] = []
        self.problems: list[ShoalError] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self.made = False
        self.mismatch: ShoalError | None = None

    async def __call__(self, _: str, new: NewImage, options: Options) -> Ingested:
        assert options is OPTIONS
        if self.problems:
            raise self.problems.pop(0)
        there = new.content in self.contents
        if not there:
            self.embedded.append(new.content)
        await self.may_go_on.wait()
        self.contents.add(new.content)
        sha256 = digest_of(new.content)
        image = Image(image_id(sha256), sha256, new.uri, (), Metadata(1, 1, "PNG", 1), ingested_at=None)  # type: ignore[arg-type]
        return Ingested(image, duplicate=there)

    async def check(self, _: str) -> None:
        if self.mismatch is not None:
            raise self.mismatch

    async def open(self, collection: str) -> None:
        if not self.made:
            raise CollectionNotFound(collection)

    async def create(self, collection: str) -> None:
        if self.made:
            raise CollectionExists(collection)
        await asyncio.sleep(0)
        self.made = True


def worker(stored: Stored, storage: Storage, registry: Registry | None = None, patience_s: float = 5.0) -> BulkIngest:
    return BulkIngest(
        cast("OpenCollections", stored),
        cast("Ingest", stored),
        storage,
        LocalClaims(registry or Registry()),
        "photos",
        OPTIONS,
        reads=2,
        patience_s=patience_s,
    )


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_ingest, "_AGAIN_S", 0.001)
    monkeypatch.setattr(bulk_ingest, "_LOOK_S", 0.001)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.001)


async def test_the_same_bytes_at_two_workers_are_embedded_once() -> None:
    stored, registry = Stored(), Registry()
    storage = Storage(a=b"same", b=b"same", c=b"other")
    stored.may_go_on.clear()
    one, other = worker(stored, storage, registry), worker(stored, storage, registry)
    first = asyncio.create_task(one(ListedFile(0, "a", "a")))
    await until(lambda: stored.embedded)
    second = asyncio.create_task(other(ListedFile(1, "b", "b")))
    third = asyncio.create_task(other(ListedFile(2, "c", "c")))
    await until(lambda: len(stored.embedded) == 2)
    assert stored.embedded == [b"same", b"other"]
    stored.may_go_on.set()
    assert [(await each).fate for each in (first, second, third)] == [Fate.STORED, Fate.DUPLICATE, Fate.STORED]
    assert stored.embedded == [b"same", b"other"]


def test_a_claim_is_the_files_and_not_the_workers() -> None:
    registry = Registry()
    assert registry.take([(b"x", 1), (b"y", 1), (b"x", 2)]) == [True, True, False]
    # Its worker died, and another one has it.
    assert registry.take([(b"x", 1)]) == [True]
    registry.release(b"x", 2)
    assert registry.take([(b"x", 2)]) == [False]
    registry.release(b"x", 1)
    assert registry.take([(b"x", 2)]) == [True]


async def test_a_worker_that_died_with_a_claim_holds_up_its_file_no_more() -> None:
    registry = Registry()
    registry.take([(image_id(digest_of(b"bytes")).bytes, 7)])
    again = await worker(Stored(), Storage(a=b"bytes"), registry)(ListedFile(7, "a", "a"))
    assert again.fate is Fate.STORED


@pytest.mark.parametrize(
    ("content", "fate", "readings"),
    [
        ([FetchUnavailable("a", "slow down"), b"bytes"], Fate.STORED, 2),
        ([FetchUnavailable("a", "slow down")], Fate.FAILED, 3),
        ([FetchFailed("a", "it is gone")], Fate.FAILED, 1),
    ],
)
async def test_a_file_that_cannot_be_read(content: list[bytes | Exception], fate: Fate, readings: int) -> None:
    storage = Storage(a=content)
    assert (await worker(Stored(), storage)(ListedFile(0, "a", "a"))).fate is fate
    assert storage.readings == readings


async def test_a_store_that_answers_again_is_waited_for() -> None:
    stored = Stored()
    stored.problems = [StoreUnavailable("Qdrant", "away"), StoreUnavailable("Qdrant", "away")]
    assert (await worker(stored, Storage(a=b"bytes"))(ListedFile(0, "a", "a"))).fate is Fate.STORED


@pytest.mark.parametrize(
    ("problem", "fate"),
    [
        (UnsupportedFormat("JPEG"), Fate.FAILED),
        (StoreUnavailable("Qdrant", "away"), Fate.HALTED),
        (StoreRefused("Qdrant", "wrong key"), Fate.HALTED),
        (CollectionNotFound("photos"), Fate.HALTED),
    ],
)
async def test_only_what_is_wrong_with_the_file_lets_the_others_go_on(problem: ShoalError, fate: Fate) -> None:
    stored = Stored()
    stored.problems = [problem] * 1000
    result = await worker(stored, Storage(a=b"bytes"), patience_s=0.01)(ListedFile(0, "a", "a"))
    assert (result.fate, result.error) == (fate, problem)


async def test_two_workers_make_a_collection_once() -> None:
    stored, registry = Stored(), Registry()
    workers = [worker(stored, Storage(), registry) for _ in range(3)]
    await asyncio.gather(*(each.prepare(number) for number, each in enumerate(workers)))
    assert stored.made
    stored.mismatch = ModelMismatch("photos", "a", "b")
    with pytest.raises(ModelMismatch):
        await workers[0].prepare(0)


def test_rows_are_what_went_in() -> None:
    files = [
        ListedFile(0, "/photos/\udcff.jpg", "file:///photos/%FF.jpg", ("a", "ü"), {"box": 7, "good": True, "x": 0.5}),
        ListedFile(1, "s3://bucket/ä", "s3://bucket/ä"),
    ]
    assert list(files_in(listed(files))) == files
    results = [Told(files[0], Fate.STORED), Told(files[1], Fate.FAILED, FetchFailed("s3://bucket/ä", "gone"))]
    first, second = records_of(told(results))
    assert (first["location"], first["tags"], first["attributes"]) == (
        "/photos/\udcff.jpg",
        ["a", "ü"],
        {"box": 7, "good": True, "x": 0.5},
    )
    assert (first["fate"], "reason" in first) == ("stored", False)
    assert (second["fate"], second["reason"], second["metadata"]) == (
        "failed",
        "FETCH_FAILED",
        {"uri": "s3://bucket/ä"},
    )


@pytest.mark.parametrize(
    ("variables", "near_duplicates", "said"),
    [
        ({}, None, "SHOAL_QDRANT_URL: it is not set"),
        ({"SHOAL_QDRANT_URL": "http://127.0.0.1:1"}, None, "SHOAL_FILES_URL: it is not set"),
        ({"SHOAL_QDRANT_URL": "http://127.0.0.1:1", "SHOAL_FILES_URL": "file:///x"}, "skip", "--near-duplicates keep"),
        ({"SHOAL_QDRANT_URL": "localhost:1"}, None, "SHOAL_QDRANT_URL: 'localhost:1' is not http://HOST:PORT"),
    ],
)
def test_what_several_workers_cannot_do_is_refused(
    variables: dict[str, str], near_duplicates: str | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SHOAL_QDRANT_URL", "SHOAL_FILES_URL", "SHOAL_NEAR_DUPLICATES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    manner = {"collection": "photos", "drop_location": False, "near_duplicates": near_duplicates, "reads": 1}
    (record,) = ingest_with_workers([], manner | {"workers": 1, "gpus": 0.0, "address": None})
    assert record["fate"] == "halted"
    assert said in record["message"]

"""Listing groups of duplicates: what is remembered, and how pages are cut."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import operator
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import numpy as np
import pytest

from shoal_server.application import duplicates
from shoal_server.application.duplicates import Duplicates, Options, Page
from shoal_server.application.open_collections import OpenCollection, OpenCollections
from shoal_server.application.ports import ImageStore
from shoal_server.application.queries import Where
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.duplicates import Traits
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.image import Image, Metadata, Sha256, Vector
from shoal_server.domain.phash import as_text

UNIT = np.array([1, 0], np.float32)


def picture(number: int, hash_number: int) -> Image:
    """Pictures of one hash number are copies of each other."""
    bits = np.random.default_rng(hash_number).permutation(64)[:32]
    return Image(
        id=UUID(int=number),
        sha256=Sha256(f"{number:064x}"),
        uri="",
        tags=(),
        metadata=Metadata(width=300, height=200, format="JPEG", byte_size=1000 - number),
        ingested_at=datetime(2024, 1, 1, tzinfo=UTC),
        phash=as_text(sum(1 << int(bit) for bit in bits)),
    )


class Stored:
    """A store of some pictures, all alike to the model; counts how often it was listed."""

    def __init__(self, pictures: Sequence[Image]) -> None:
        self.images = {each.id: each for each in pictures}
        self.listed = 0
        self.read: list[int] = []
        self.held_back: dict[str, asyncio.Event] = {}

    async def page_images(
        self, collection: str, where: ImageFilter, after: UUID | None, limit: int
    ) -> tuple[list[Image], UUID | None]:
        self.listed += after is None
        if collection in self.held_back:
            await self.held_back[collection].wait()
        ids = sorted(each for each in self.images if after is None or each > after)
        return [self.images[each] for each in ids[:limit]], ids[limit - 1] if len(ids) > limit else None

    async def get_images(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Image]:
        return {each: self.images[each] for each in ids if each in self.images}

    async def get_vectors(self, collection: str, ids: Sequence[UUID]) -> dict[UUID, Vector]:
        self.read.append(len(ids))
        return {each: UNIT for each in ids if each in self.images}


class Opened:
    """Two collections, always open."""

    def __init__(self) -> None:
        model = EmbeddingModel("debug", "sha256:0", 2)
        self.collection, self.other = (
            OpenCollection(Collection(id=name, model=model, created_at=datetime.now(UTC)), None) for name in "ab"
        )

    async def open(self, collection: str) -> OpenCollection:
        return self.collection if collection == "a" else self.other


@pytest.fixture
def stored() -> Stored:
    """Three copies of one picture, two of each of four others, and three alone."""
    shown = [1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8]
    return Stored([picture(number, each) for number, each in enumerate(shown)])


@pytest.fixture
def opened() -> Opened:
    return Opened()


@pytest.fixture
def finding(stored: Stored, opened: Opened) -> Duplicates:
    return Duplicates(cast("OpenCollections", opened), cast("ImageStore", stored))


def numbers(page: Page) -> list[list[int]]:
    return [[each.image.id.int for each in group] for group in page.groups]


async def all_pages(finding: Duplicates, limit: int) -> list[list[list[int]]]:
    pages, after = [], None
    while True:
        page = await finding.page("a", Where(), Options(), after, limit)
        assert page.total == 5
        pages.append(numbers(page))
        if page.following is None:
            return pages
        after = page.following


async def test_pages_are_of_one_search(finding: Duplicates, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_READ", 4)
    monkeypatch.setattr(duplicates, "_PAIRS", 2)
    assert await all_pages(finding, 2) == [[[0, 1, 2], [3, 4]], [[5, 6], [7, 8]], [[9, 10]]]
    assert await all_pages(finding, 5) == [[[0, 1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]]
    assert stored.listed == 1


async def test_a_page_has_no_more_images_than_a_message_may_hold(
    finding: Duplicates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_PAGE_IMAGES", 4)
    assert await all_pages(finding, 100) == [[[0, 1, 2]], [[3, 4], [5, 6]], [[7, 8], [9, 10]]]
    monkeypatch.setattr(duplicates, "_PAGE_IMAGES", 1)
    assert len(await all_pages(finding, 100)) == 5


async def test_what_is_searched_again(finding: Duplicates, stored: Stored, opened: Opened) -> None:
    async def first(**options: Any) -> list[list[int]]:
        return numbers(await finding.page("a", Where(), Options(**options), None, 1))

    assert await first() == [[0, 1, 2]]
    assert await first(include_bursts=True) == [[0, 1, 2]]
    assert stored.listed == 2
    del stored.images[UUID(int=0)]
    opened.collection.images_version += 1
    assert await first() == [[1, 2]]
    assert stored.listed == 3


async def test_few_results_are_remembered(
    finding: Duplicates, stored: Stored, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_KEPT", 1)
    for include_pairs in (False, True, False):
        await finding.page("a", Where(), Options(include_pairs=include_pairs), None, 1)
    assert stored.listed == 3


async def test_an_image_removed_this_moment_is_left_out(finding: Duplicates, stored: Stored) -> None:
    await finding.page("a", Where(), Options(), None, 1)
    for number in (2, 3, 6):  # a member, a keeper, and the only other of a group
        del stored.images[UUID(int=number)]
    page = await finding.page("a", Where(), Options(), None, 3)
    assert numbers(page) == [[0, 1]]


async def test_one_collection_does_not_wait_for_another(finding: Duplicates, stored: Stored) -> None:
    stored.held_back["a"] = asyncio.Event()
    waiting = [asyncio.create_task(finding.page("a", Where(), Options(), None, 9)) for _ in range(2)]
    other = await asyncio.wait_for(finding.page("b", Where(), Options(), None, 9), 20)
    assert other.total == 5
    assert not any(each.done() for each in waiting)
    stored.held_back["a"].set()
    assert [page.total for page in await asyncio.gather(*waiting)] == [5, 5]
    # Those who waited for the same collection were given the same.
    assert stored.listed == 2


def crowd(count: int, bits: int = 5) -> list[Image]:
    """Different pictures whose hashes are all within twice as many bits of each other."""
    rng = np.random.default_rng(0)
    base = picture(0, 0)
    assert base.phash is not None
    hashes: set[int] = set()
    while len(hashes) < count:
        flipped = [1 << int(bit) for bit in rng.choice(64, bits, replace=False)]
        hashes.add(functools.reduce(operator.xor, flipped, int(base.phash, 16)))
    return [dataclasses.replace(picture(row, 0), phash=as_text(each)) for row, each in enumerate(sorted(hashes))]


def _says_something(image: Image) -> bool:
    return Traits.of(image).hash is not None


async def test_pictures_that_are_all_but_the_same_are_read_about_once(
    finding: Duplicates, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_PAIRS", 500)
    monkeypatch.setattr(duplicates, "_VECTORS", 1500)
    stored.images = {each.id: each for each in crowd(900)}
    compared: list[int] = []
    alike = duplicates._alike
    monkeypatch.setattr(duplicates, "_alike", lambda *args: compared.append(len(args[1])) or alike(*args))  # type: ignore[func-returns-value]
    page = await finding.page("a", Where(), Options(), None, 100)
    # Those worth most are among the bounded number that each is compared with, and so keep the group together.
    assert [len(group) for group in page.groups] == [sum(_says_something(each) for each in stored.images.values())]
    assert max(compared) == 500
    assert 900 * 32 < sum(compared) <= 900 * 64
    assert sum(stored.read) < 2 * 900


@pytest.mark.parametrize("vectors", [2, 7, 1500])
async def test_results_do_not_depend_on_how_many_vectors_are_kept(
    finding: Duplicates, stored: Stored, vectors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duplicates, "_PAIRS", 2)
    monkeypatch.setattr(duplicates, "_VECTORS", vectors)
    assert await all_pages(finding, 5) == [[[0, 1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]]


async def test_a_time_lapse_is_dropped_before_anything_is_read(finding: Duplicates, stored: Stored) -> None:
    stored.images = {
        each.id: dataclasses.replace(
            each,
            metadata=dataclasses.replace(
                each.metadata, camera_model="D70", captured_at=f"2024-01-01T12:{row // 60:02}:{row % 60:02}"
            ),
        )
        for row, each in enumerate(crowd(600))
    }
    assert (await finding.page("a", Where(), Options(), None, 100)).groups == []
    assert stored.read == []
    assert (await finding.page("a", Where(), Options(include_bursts=True), None, 100)).groups
    assert stored.read

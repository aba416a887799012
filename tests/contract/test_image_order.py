"""Facets, the order of capture times, diversity and updates mean the same on each store."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

import numpy as np
import pytest

from shoal_server.application.ports import DIVERSE_AMONG, CapturePosition, Store
from shoal_server.domain.diversity import diverse_order
from shoal_server.domain.filters import Between, ImageFilter, OneOf
from shoal_server.domain.image import Image, Vector
from shoal_server.domain.payload import INDEXED, FieldType, to_payload
from tests.contract.conftest import DIMENSION, an_image, numbered_images, unit_vectors

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")

EVERY = ImageFilter()


def taken(image: Image, captured_at: str | None) -> Image:
    return replace(image, metadata=replace(image.metadata, captured_at=captured_at))


# Facets.


async def test_images_are_counted_by_every_field_that_can_be(store: Store, collection: str) -> None:
    images = [
        replace(
            taken(image, None if i % 4 == 0 else f"{2000 + i % 3}-01-02T03:04:05"),
            tags=(("a",), ("a", "b", "a"), ())[i % 3],
            metadata=replace(
                taken(image, None if i % 4 == 0 else f"{2000 + i % 3}-01-02T03:04:05").metadata,
                camera_model=(None, "", "EOS R5")[i % 3],
            ),
            attributes={"rating": i},
            place_id=i % 2 or None,
        )
        for i, (image, _) in enumerate(numbered_images(24, lambda i: i % 5 or None))
    ]
    await store.upsert_images(collection, list(zip(images, unit_vectors(24), strict=True)))
    few = ImageFilter(conditions=(Between("attributes.rating", None, 10),), none_of=(ImageFilter(clusters=(1,)),))
    for where, among in ((EVERY, images), (few, [images[i] for i in range(11) if i % 5 != 1])):
        for field, kind in INDEXED.items():
            if kind not in (FieldType.KEYWORD, FieldType.INTEGER):
                continue
            expected: Counter[str | int] = Counter()
            for image in among:
                value = to_payload(image).get(field)
                expected.update(set(value) if isinstance(value, list) else [] if value is None else [value])
            counted = await store.count_by(collection, field, where)
            assert counted == dict(expected), field
            assert {type(value) for value in counted} <= {str if kind is FieldType.KEYWORD else int}
    assert await store.count_by(collection, "tags", ImageFilter(clusters=(99,))) == {}


async def test_values_that_no_image_has_any_more_are_not_counted(store: Store, collection: str) -> None:
    images = [(replace(image, tags=(f"t{i}",)), vector) for i, (image, vector) in enumerate(numbered_images(6))]
    await store.upsert_images(collection, images)
    await store.delete_images(collection, [images[0][0].id])
    await store.update_image(collection, replace(images[1][0], tags=("new",)))
    expected = dict.fromkeys(["t2", "t3", "t4", "t5", "new"], 1)
    assert await store.count_by(collection, "tags", EVERY) == expected


async def test_more_values_than_the_first_request_asks_for_are_counted(store: Store, collection: str) -> None:
    images = [
        (replace(image, tags=(f"t{i}", "all") if i % 2 else (f"t{i}",)), vector)
        for i, (image, vector) in enumerate(numbered_images(1100))
    ]
    await store.upsert_images(collection, images)
    expected = {f"t{i}": 1 for i in range(1100)} | {"all": 550}
    assert await store.count_by(collection, "tags", EVERY) == expected


# By capture time.


async def listed(
    store: Store, collection: str, where: ImageFilter, limit: int, descending: bool = False
) -> list[list[UUID]]:
    """The ids of all pages."""
    pages: list[list[UUID]] = []
    after: CapturePosition | None = None
    while True:
        images, after = await store.page_by_capture(collection, where, after, limit, descending)
        pages.append([image.id for image in images])
        if after is None:
            return pages


def in_order(images: list[Image], descending: bool = False) -> list[UUID]:
    """Ids by capture time, of equal ones by id."""
    shown = {
        image.id: datetime.fromisoformat(image.metadata.captured_at).replace(tzinfo=None)
        for image in images
        if image.metadata.captured_at is not None
    }
    by_id = sorted(shown)
    return sorted(by_id, key=lambda each: shown[each], reverse=descending)


TIMES = [
    "2020-02-03T04:05:06",
    "2020-02-03T04:05:06.000001",
    None,
    "2020-02-03T04:05:05.999999",
    "2020-02-03T04:05:06+09:00",
    "2020-02-03T03:00:00-11:00",
    "0001-01-01T00:00:00",
    "0001-01-01T00:00:00+02:00",
    "9999-12-31T23:59:59.999999",
    "9999-12-31T23:59:59.999999-08:00",
    "1969-12-31T23:59:59.5",
    "0800-12-25T00:00:00Z",
]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 5, 7, 36, 1000])
async def test_pages_by_capture_time(store: Store, collection: str, limit: int, descending: bool) -> None:
    images = [taken(an_image(i), TIMES[i % len(TIMES)]) for i in range(36)]
    await store.upsert_images(collection, list(zip(images, unit_vectors(36), strict=True)))
    pages = await listed(store, collection, EVERY, limit, descending)
    assert [each for page in pages for each in page] == in_order(images, descending)
    assert all(len(page) == limit for page in pages[:-1])
    assert len(pages[-1]) in range(1, limit + 1)


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_by_capture_time_obey_a_filter(store: Store, collection: str, descending: bool) -> None:
    images = [replace(taken(an_image(i), TIMES[i % 5]), tags=("a",) if i % 3 else ()) for i in range(40)]
    await store.upsert_images(collection, list(zip(images, unit_vectors(40), strict=True)))
    where = ImageFilter(conditions=(OneOf("tags", ("a",)),))
    pages = await listed(store, collection, where, 4, descending)
    expected = in_order([image for image in images if image.tags], descending)
    assert [each for page in pages for each in page] == expected
    assert await store.page_by_capture(collection, ImageFilter(clusters=(9,)), None, 4, descending) == ([], None)


@pytest.mark.parametrize("descending", [False, True])
async def test_thousands_of_images_with_one_time_are_all_listed_once(
    store: Store, collection: str, descending: bool
) -> None:
    images = [taken(an_image(i), "2001-01-01T00:00:00") for i in range(2000)]
    images += [taken(an_image(2000 + i), f"{1999 + i % 4}-06-01T00:00:00") for i in range(40)]
    await store.upsert_images(collection, list(zip(images, unit_vectors(len(images)), strict=True)))
    pages = await listed(store, collection, EVERY, 300, descending)
    assert [each for page in pages for each in page] == in_order(images, descending)


async def test_a_listing_by_capture_time_goes_on_whatever_came_or_went(store: Store, collection: str) -> None:
    images = [taken(an_image(i), f"2001-01-0{1 + i // 4}T00:00:00") for i in range(12)]
    await store.upsert_images(collection, list(zip(images, unit_vectors(12), strict=True)))
    order = in_order(images)
    first, after = await store.page_by_capture(collection, EVERY, None, 6, False)
    assert [image.id for image in first] == order[:6]
    await store.delete_images(collection, [order[5], order[6]])
    early = taken(an_image(99), "1999-01-01T00:00:00")
    await store.upsert_images(collection, [(early, unit_vectors(1)[0])])
    rest, end = await store.page_by_capture(collection, EVERY, after, 6, False)
    assert [image.id for image in rest] == order[7:]
    assert end is None


async def test_the_position_in_a_listing_is_its_last_image(store: Store, collection: str) -> None:
    images = [taken(an_image(i), "2001-01-01T00:00:00") for i in range(500)]
    await store.upsert_images(collection, list(zip(images, unit_vectors(500), strict=True)))
    _, after = await store.page_by_capture(collection, EVERY, None, 400, False)
    assert after is not None
    assert after.captured_local == "2001-01-01T00:00:00"
    assert after.image == sorted(image.id for image in images)[399]


# Diversity.


def bunched(n: int) -> list[tuple[Image, Vector]]:
    """Images in tight bunches of five."""
    centers = unit_vectors(n, seed=1)
    noise = unit_vectors(n, seed=2) * 0.05
    vectors = centers[np.arange(n) // 5] + noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return [(an_image(i), vector) for i, vector in enumerate(vectors.astype(np.float32))]


@pytest.mark.parametrize("diversity", [0.05, 0.5, 1.0])
async def test_a_diverse_query_is_ordered_by_marginal_relevance(
    store: Store, collection: str, diversity: float
) -> None:
    images = bunched(60)
    await store.upsert_images(collection, images)
    query = unit_vectors(1, seed=9)[0]
    vectors = np.stack([vector for _, vector in images])
    similarities = vectors @ query
    order = diverse_order(similarities, vectors, diversity, 60)
    expected = [images[row][0].id for row in order]

    found = await store.query_images(collection, query, EVERY, 20, diversity=diversity)
    assert [each.image.id for each in found] == expected[:20]
    np.testing.assert_allclose([each.score for each in found], similarities[order[:20]], atol=1e-5)
    assert found[0].image == images[int(np.argmax(similarities))][0]

    later = await store.query_images(collection, query, EVERY, 20, offset=50, diversity=diversity)
    assert [each.image.id for each in later] == expected[50:]
    assert await store.query_images(collection, query, EVERY, 5, offset=60, diversity=diversity) == []


async def test_a_diverse_query_obeys_threshold_and_filter(store: Store, collection: str) -> None:
    images = [
        (replace(image, cluster_id=1 if i % 2 else None), vector) for i, (image, vector) in enumerate(bunched(60))
    ]
    await store.upsert_images(collection, images)
    query = images[7][1]
    wanted = {image.id for image, vector in images if image.cluster_id == 1 and float(vector @ query) >= 0.1}
    found = await store.query_images(
        collection, query, ImageFilter(clusters=(1,)), 60, score_threshold=0.1, diversity=0.7
    )
    assert {each.image.id for each in found} == wanted
    plain = await store.query_images(collection, query, ImageFilter(clusters=(1,)), 60, score_threshold=0.1)
    assert [each.image.id for each in found] != [each.image.id for each in plain]


async def test_a_diverse_query_looks_at_so_many_and_no_more(store: Store, collection: str) -> None:
    images = numbered_images(DIVERSE_AMONG + 50)
    await store.upsert_images(collection, images)
    query = unit_vectors(1, seed=9)[0]
    found = await store.query_images(collection, query, EVERY, 1000, diversity=1.0)
    nearest = np.argsort(-(np.stack([vector for _, vector in images]) @ query))[:DIVERSE_AMONG]
    assert {each.image.id for each in found} == {images[row][0].id for row in nearest}


async def test_a_diverse_query_of_an_empty_collection_is_empty(store: Store, collection: str) -> None:
    assert await store.query_images(collection, np.eye(DIMENSION, dtype=np.float32)[0], EVERY, 5, diversity=0.5) == []


# Updates.


async def test_an_update_changes_what_people_say_and_nothing_else(store: Store, collection: str) -> None:
    rich = replace(
        an_image(1, cluster_id=4, tags=("a", "b")),
        attributes={"rating": 5, "nested": "x"},
        also_at=("file:///b.jpg",),
        phash="0123456789abcdef",
    )
    other = replace(rich, id=an_image(2).id, sha256=an_image(2).sha256)
    vectors = unit_vectors(2)
    await store.upsert_images(collection, [(rich, vectors[0]), (other, vectors[1])])
    for changes in (
        replace(rich, uri="file:///c.jpg", tags=("c",), attributes={"stars": 2.0}, also_at=("x", "y")),
        replace(rich, uri="", tags=(), attributes={}, also_at=()),
        replace(rich, attributes={"rating": True}),
    ):
        # What others wrote meanwhile stays.
        await store.update_image(collection, replace(changes, cluster_id=None, phash=None))
        assert await store.get_images(collection, [rich.id, other.id]) == {rich.id: changes, other.id: other}
        assert await store.count_by(collection, "tags", ImageFilter(exclude=(other.id,))) == dict.fromkeys(
            changes.tags, 1
        )
    after = await store.get_vectors(collection, [rich.id])
    np.testing.assert_allclose(after[rich.id], vectors[0], atol=1e-6)


async def test_an_image_that_is_gone_is_not_updated(store: Store, collection: str) -> None:
    await store.upsert_images(collection, numbered_images(1))
    await store.update_image(collection, replace(an_image(7), id=uuid4()))
    assert await store.count_images(collection, EVERY) == 1

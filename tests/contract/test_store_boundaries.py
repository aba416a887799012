"""Where stores could differ: ends of pages and batches, odd texts, many values, and what is not there."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import numpy as np
import pytest

from shoal_server.application.ports import Store
from shoal_server.domain.filters import Between, ImageFilter, OneOf, Present
from shoal_server.domain.payload import CLUSTER_ID, GROUP_FIELDS
from tests.contract.conftest import an_image, numbered_images, unit_vectors

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")

EVERY = ImageFilter()

#: Letters that are one to four bytes, composed and not, right to left, and what query languages give a meaning to.
ODD_TEXTS = (
    "été",
    "e\u0301te\u0301",
    "日本語",
    "🐟🐠",
    "עברית",
    "a b",
    "a.b[0]",
    'quote " and \\ backslash',
    "tab\tand\nline",
    "%_*?",
    "NULL",
    "00000000-0000-0000-0000-000000000001x",
    "x" * 1000,
)


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7])
async def test_the_last_page_says_that_it_is_the_last(store: Store, collection: str, limit: int) -> None:
    images = numbered_images(6)
    await store.upsert_images(collection, images)
    seen: list[UUID] = []
    pages, after = 0, None
    while True:
        page, after = await store.page_images(collection, EVERY, after, limit)
        seen += [image.id for image in page]
        pages += 1
        if after is None:
            break
    assert seen == sorted(image.id for image, _ in images)
    # No page is empty, though the last may end exactly where the images do.
    assert pages == -(-6 // limit)


@pytest.mark.parametrize("batch", [1, 5, 6])
async def test_a_scan_ends_exactly_where_the_images_do(store: Store, collection: str, batch: int) -> None:
    await store.upsert_images(collection, numbered_images(5))
    parts = [part async for part in store.scan_vectors(collection, batch=batch)]
    assert [len(part.ids) for part in parts] == [batch] * (5 // batch) + [5 % batch] * (5 % batch > 0)


async def test_an_offset_behind_everything_finds_nothing(store: Store, collection: str) -> None:
    await store.upsert_images(collection, numbered_images(4))
    query = unit_vectors(1)[0]
    assert len(await store.query_images(collection, query, EVERY, 10, offset=3)) == 1
    assert await store.query_images(collection, query, EVERY, 10, offset=4) == []
    assert await store.query_images(collection, query, EVERY, 10, offset=1000) == []
    assert await store.query_images(collection, query, EVERY, 10, score_threshold=1.01) == []


async def test_texts_are_kept_found_and_counted_letter_by_letter(store: Store, collection: str) -> None:
    images = [
        replace(an_image(number), tags=(text, "all"), uri=f"file:///{text}", attributes={"said": text})
        for number, text in enumerate(ODD_TEXTS)
    ]
    await store.upsert_images(collection, list(zip(images, unit_vectors(len(images)), strict=True)))
    found = await store.get_images(collection, [image.id for image in images])
    assert [found[image.id] for image in images] == images
    assert await store.count_by(collection, "tags", EVERY) == {**dict.fromkeys(ODD_TEXTS, 1), "all": len(images)}
    for field in ("tags", "attributes.said"):
        for image, text in zip(images, ODD_TEXTS, strict=True):
            where = ImageFilter(conditions=(OneOf(field, (text,)),))
            page, _ = await store.page_images(collection, where, None, 100)
            assert [each.id for each in page] == [image.id], (field, text)


async def test_more_values_than_one_request_for_facets_holds_are_all_counted(store: Store, collection: str) -> None:
    images = [
        (replace(image, tags=(f"tag {number:04}", "all")), vector)
        for number, (image, vector) in enumerate(numbered_images(1500))
    ]
    await store.upsert_images(collection, images)
    expected = {f"tag {number:04}": 1 for number in range(1500)} | {"all": 1500}
    assert await store.count_by(collection, "tags", EVERY) == expected


async def test_exactly_as_many_values_as_one_request_holds(store: Store, collection: str) -> None:
    await store.upsert_images(collection, numbered_images(1024, lambda i: i + 1))
    assert await store.count_by_cluster(collection) == dict.fromkeys(range(1, 1025), 1)


async def test_filters_stand_in_filters(store: Store, collection: str) -> None:
    images = [
        (replace(image, tags=("even",) if i % 2 == 0 else ("odd",), attributes={"n": i}), vector)
        for i, (image, vector) in enumerate(numbered_images(24, lambda i: i % 3 or None))
    ]
    await store.upsert_images(collection, images)
    few = ImageFilter(conditions=(Between("attributes.n", None, 11),))
    even = ImageFilter(conditions=(OneOf("tags", ("even",)),))
    one = ImageFilter(clusters=(1,))
    where = ImageFilter(
        all_of=(ImageFilter(any_of=(ImageFilter(all_of=(few, even)), ImageFilter(none_of=(few, even)))),),
        none_of=(ImageFilter(all_of=(one, ImageFilter(conditions=(Present("attributes.n"),)))),),
    )
    expected = {i for i in range(24) if ((i <= 11 and i % 2 == 0) or (i > 11 and i % 2 == 1)) and i % 3 != 1}
    page, _ = await store.page_images(collection, where, None, 100)
    assert {image.id for image in page} == {an_image(i).id for i in expected}
    assert await store.count_images(collection, where) == len(expected)
    assert await store.count_by(collection, "tags", where) == {
        "even": sum(i % 2 == 0 for i in expected),
        "odd": sum(i % 2 == 1 for i in expected),
    }


async def test_equal_scores_and_equal_times_lose_and_repeat_nobody(store: Store, collection: str) -> None:
    [same] = unit_vectors(1)
    images = [image for image, _ in numbered_images(40)]
    await store.upsert_images(collection, [(image, same) for image in images])
    everyone = {image.id for image in images}
    scored = await store.query_images(collection, same, EVERY, 40)
    assert {each.image.id for each in scored} == everyone
    np.testing.assert_allclose([each.score for each in scored], 1, atol=1e-5)
    for descending in (False, True):
        seen: list[UUID] = []
        after = None
        while True:
            page, after = await store.page_by_capture(collection, EVERY, after, 7, descending)
            seen += [image.id for image in page]
            if after is None:
                break
        assert len(seen) == 40
        assert set(seen) == everyone


async def test_what_is_not_there_is_passed_over(store: Store, collection: str) -> None:
    images = numbered_images(3)
    await store.upsert_images(collection, images)
    strangers = [uuid4() for _ in range(5)]
    known = images[0][0]
    asked = [strangers[0], known.id, *strangers[1:], known.id]
    assert await store.get_images(collection, asked) == {known.id: known}
    assert (await store.get_vectors(collection, asked)).keys() == {known.id}
    assert await store.get_images(collection, []) == {}
    await store.delete_images(collection, strangers)
    await store.delete_images(collection, [])
    await store.update_image(collection, replace(an_image(77), tags=("ghost",)))
    for field in GROUP_FIELDS:
        await store.set_group(collection, field, 4, strangers)
        await store.set_group(collection, field, None, strangers)
    assert await store.count_images(collection, EVERY) == 3
    assert await store.get_images(collection, [image.id for image, _ in images]) == {
        image.id: image for image, _ in images
    }
    await store.set_group(collection, CLUSTER_ID, 4, [*strangers, known.id])
    assert await store.count_by_cluster(collection) == {4: 1}


async def test_more_ids_than_one_request_holds_are_read(store: Store, collection: str) -> None:
    images = numbered_images(1100)
    await store.upsert_images(collection, images)
    ids = [image.id for image, _ in images] + [uuid4()]
    assert len(await store.get_images(collection, ids)) == 1100
    vectors = await store.get_vectors(collection, ids)
    assert len(vectors) == 1100
    np.testing.assert_allclose(vectors[images[1050][0].id], images[1050][1], atol=1e-6)

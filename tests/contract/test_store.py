"""What every store does, on each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from shoal_server.application.ports import Store
from shoal_server.domain.errors import (
    CollectionExists,
    CollectionNotFound,
    InvalidName,
    RecordChanged,
    WrongDimension,
)
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.groupings import Groupings
from shoal_server.domain.image import Attribute, Image, Location, Metadata
from shoal_server.domain.payload import CLUSTER_ID, GROUP_FIELDS
from shoal_server.domain.schedule import Schedule
from tests.contract.conftest import (
    DIMENSION,
    a_cluster,
    a_collection,
    a_correction,
    a_run,
    an_image,
    numbered_images,
    some_groupings,
    unit_vectors,
)

# The in-memory client says that it has no payload indexes; a server has them.
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")

EVERY = ImageFilter()


async def ids_in(store: Store, collection: str, where: ImageFilter) -> list[UUID]:
    images, following = await store.page_images(collection, where, None, 1000)
    assert following is None
    return [image.id for image in images]


# Collections.


async def test_a_collection_is_read_back_as_it_was_written(store: Store) -> None:
    record = replace(
        a_collection(),
        active_run="r1",
        activating_run="r2",
        next_cluster_id=17,
        next_theme_id=18,
        next_place_id=19,
        next_moment_id=20,
        schedule=Schedule(
            interval=timedelta(days=1.5), growth=None, quiet_from=time(22, 30), quiet_to=time(6), timezone="Asia/Tokyo"
        ),
    )
    await store.create_collection(record)
    assert await store.get_collection(record.id) == record


async def test_a_collection_is_made_once(store: Store, collection: str) -> None:
    await store.upsert_images(collection, numbered_images(2))
    with pytest.raises(CollectionExists):
        await store.create_collection(a_collection(collection))
    assert await store.count_images(collection, EVERY) == 2


async def test_a_collection_needs_a_proper_name(store: Store) -> None:
    with pytest.raises(InvalidName):
        await store.create_collection(a_collection("../outside"))


async def test_collections_are_listed_by_id(store: Store) -> None:
    records = [a_collection() for _ in range(2)]
    for record in sorted(records, key=lambda each: each.id, reverse=True):
        await store.create_collection(record)
    listed = await store.list_collections()
    assert [each for each in listed if each in records] == sorted(records, key=lambda each: each.id)
    assert [each.id for each in listed] == sorted(each.id for each in listed)


async def test_a_collection_is_updated(store: Store, collection: str) -> None:
    before = await store.get_collection(collection)
    record = replace(before, active_run="r1", next_cluster_id=5, schedule=Schedule(), version=before.version + 1)
    await store.update_collection(record)
    assert await store.get_collection(collection) == record
    again = replace(before, version=record.version + 1)
    await store.update_collection(again)
    assert await store.get_collection(collection) == again


@pytest.mark.parametrize("by", [-1, 0, 2])
async def test_only_the_next_version_of_a_record_is_taken(store: Store, collection: str, by: int) -> None:
    first = await store.get_collection(collection)
    await store.update_collection(replace(first, version=first.version + 1))
    before = await store.get_collection(collection)
    with pytest.raises(RecordChanged):
        await store.update_collection(replace(before, next_cluster_id=9, version=before.version + by))
    assert await store.get_collection(collection) == before


async def test_a_deleted_collection_is_gone_and_its_name_free(store: Store, collection: str) -> None:
    await store.upsert_images(collection, numbered_images(3, lambda _: 1))
    await store.put_clusters(collection, "r1", [a_cluster(1)])
    await store.put_run(collection, a_run("r1"))
    await store.put_groupings(collection, "r1", some_groupings())
    await store.put_correction(collection, a_correction("c1"))
    await store.delete_collection(collection)
    with pytest.raises(CollectionNotFound):
        await store.get_collection(collection)
    assert collection not in [each.id for each in await store.list_collections()]
    with pytest.raises(CollectionNotFound):
        await store.delete_collection(collection)

    await store.create_collection(a_collection(collection))
    assert await store.count_images(collection, EVERY) == 0
    assert await store.count_by_cluster(collection) == {}
    assert await store.get_clusters(collection, "r1") == []
    assert await store.list_runs(collection) == []
    assert await store.get_groupings(collection, "r1") == Groupings()
    assert await store.list_corrections(collection) == []
    await store.upsert_images(collection, numbered_images(1))
    assert await store.count_images(collection, EVERY) == 1


async def _scan(store: Store, collection: str) -> None:
    async for _ in store.scan_vectors(collection):
        pass


MISSING: dict[str, Callable[[Store, str], Awaitable[object]]] = {
    "get_collection": lambda store, name: store.get_collection(name),
    "update_collection": lambda store, name: store.update_collection(replace(a_collection(name), version=1)),
    "delete_collection": lambda store, name: store.delete_collection(name),
    "upsert_images": lambda store, name: store.upsert_images(name, numbered_images(1)),
    "get_images": lambda store, name: store.get_images(name, []),
    "get_vectors": lambda store, name: store.get_vectors(name, [uuid4()]),
    "delete_images": lambda store, name: store.delete_images(name, [uuid4()]),
    "count_images": lambda store, name: store.count_images(name, EVERY),
    "count_by_cluster": lambda store, name: store.count_by_cluster(name),
    "count_by": lambda store, name: store.count_by(name, CLUSTER_ID, EVERY),
    "page_images": lambda store, name: store.page_images(name, EVERY, None, 1),
    "page_by_capture": lambda store, name: store.page_by_capture(name, EVERY, None, 1, descending=False),
    "query_images": lambda store, name: store.query_images(name, unit_vectors(1)[0], EVERY, 1),
    "query_neighbors": lambda store, name: store.query_neighbors(name, unit_vectors(1), EVERY, 1),
    "scan_vectors": _scan,
    "update_image": lambda store, name: store.update_image(name, an_image(1)),
    "set_group": lambda store, name: store.set_group(name, CLUSTER_ID, 1, []),
    "optimize": lambda store, name: store.optimize(name),
    "put_clusters": lambda store, name: store.put_clusters(name, "r1", []),
    "get_clusters": lambda store, name: store.get_clusters(name, "r1"),
    "put_cluster": lambda store, name: store.put_cluster(name, "r1", a_cluster(1)),
    "delete_clusters": lambda store, name: store.delete_clusters(name, "r1"),
    "put_run": lambda store, name: store.put_run(name, a_run("r1")),
    "get_run": lambda store, name: store.get_run(name, "r1"),
    "list_runs": lambda store, name: store.list_runs(name),
    "delete_run": lambda store, name: store.delete_run(name, "r1"),
    "put_groupings": lambda store, name: store.put_groupings(name, "r1", Groupings()),
    "get_groupings": lambda store, name: store.get_groupings(name, "r1"),
    "delete_groupings": lambda store, name: store.delete_groupings(name, "r1"),
    "put_correction": lambda store, name: store.put_correction(name, a_correction("c1")),
    "get_correction": lambda store, name: store.get_correction(name, "c1"),
    "list_corrections": lambda store, name: store.list_corrections(name),
    "delete_correction": lambda store, name: store.delete_correction(name, "c1"),
}


async def test_every_method_says_that_a_collection_does_not_exist(store: Store) -> None:
    for method, call in MISSING.items():
        try:
            await call(store, "absent")
        except CollectionNotFound:
            continue
        pytest.fail(f"{method} did not say so")


def test_the_table_of_methods_is_complete() -> None:
    public = {name for name in vars(Store) | {n: 0 for base in Store.__mro__ for n in vars(base)} if name[0] != "_"}
    assert set(MISSING) == public - {"create_collection", "list_collections", "close"}


# Images.


async def test_an_image_is_read_back_as_it_was_written(store: Store, collection: str) -> None:
    full = replace(an_image(1, cluster_id=4, tags=("sea", "été")), place_id=5, moment_id=6)
    bare = Image(
        id=an_image(2).id,
        sha256=an_image(2).sha256,
        uri="",
        tags=(),
        metadata=Metadata(width=1, height=2, format="PNG", byte_size=3),
        ingested_at=datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC),
    )
    vectors = unit_vectors(2)
    await store.upsert_images(collection, [(full, vectors[0]), (bare, vectors[1])])
    unknown = uuid4()
    assert await store.get_images(collection, [bare.id, unknown, full.id]) == {full.id: full, bare.id: bare}
    assert (await store.page_images(collection, ImageFilter(clusters=(4,)), None, 9))[0] == [full]


async def test_vectors_come_back_with_unit_length(store: Store, collection: str) -> None:
    images = numbered_images(3)
    long = an_image(99)
    await store.upsert_images(collection, [*images, (long, 5 * images[0][1])])
    found = await store.get_vectors(collection, [image.id for image, _ in images] + [long.id, uuid4()])
    assert set(found) == {image.id for image, _ in images} | {long.id}
    for image, vector in [*images, (long, images[0][1])]:
        assert found[image.id].dtype == np.float32
        assert found[image.id].shape == (DIMENSION,)
        np.testing.assert_allclose(found[image.id], vector, atol=1e-6)


async def test_writing_an_image_again_replaces_it(store: Store, collection: str) -> None:
    (image, vector), *_ = images = numbered_images(3, lambda _: 1)
    await store.upsert_images(collection, images)
    await store.upsert_images(collection, images)
    assert await store.count_images(collection, EVERY) == 3
    changed = replace(image, tags=("new",), cluster_id=None)
    await store.upsert_images(collection, [(changed, -vector)])
    assert await store.count_images(collection, EVERY) == 3
    assert await store.get_images(collection, [image.id]) == {image.id: changed}
    np.testing.assert_allclose((await store.get_vectors(collection, [image.id]))[image.id], -vector, atol=1e-6)


async def test_what_people_say_keeps_its_types(store: Store, collection: str) -> None:
    said: dict[str, Attribute] = {
        "whole": 2.0,
        "huge": 1e300,
        "zero": 0,
        "big": 2**63 - 1,
        "small": -(2**63),
        "yes": True,
        "no": False,
        "text": "2",
        "empty": "",
        "words": "été 🐟",
    }
    image = replace(
        an_image(1),
        attributes=said,
        also_at=("file:///b.jpg", "https://example.com/c.jpg"),
        phash="00ff00ff00ff00ff",
        metadata=replace(
            an_image(1).metadata, altitude_m=-3.0, frame_count=12, captured_at="0987-06-05T04:03:02.1+01:00"
        ),
    )
    await store.upsert_images(collection, [(image, unit_vectors(1)[0])])
    await store.update_image(collection, replace(image, tags=("new",)))
    found = (await store.get_images(collection, [image.id]))[image.id]
    assert found == replace(image, tags=("new",))
    assert {key: type(value) for key, value in found.attributes.items()} == {
        key: type(value) for key, value in said.items()
    }
    assert isinstance(found.metadata.altitude_m, float)


async def test_a_senseless_time_holds_up_no_other_image(store: Store, collection: str) -> None:
    images = [
        (replace(image, metadata=replace(image.metadata, captured_at=time)), vector)
        for (image, vector), time in zip(
            numbered_images(3), ("2020-02-30T00:00:00", "2020-02-03T04:05:06", None), strict=True
        )
    ]
    await store.upsert_images(collection, images)
    found = await store.get_images(collection, [image.id for image, _ in images])
    assert [found[image.id].metadata.captured_at for image, _ in images] == [None, "2020-02-03T04:05:06", None]


async def test_more_images_than_one_batch_are_stored(store: Store, collection: str) -> None:
    images = numbered_images(1500)
    await store.upsert_images(collection, images)
    assert await store.count_images(collection, EVERY) == 1500
    found = await store.get_images(collection, [image.id for image, _ in images])
    assert found == {image.id: image for image, _ in images}


async def test_a_vector_of_another_dimension_is_refused_and_nothing_is_stored(store: Store, collection: str) -> None:
    wrong = np.ones(DIMENSION + 1, dtype=np.float32)
    with pytest.raises(WrongDimension):
        await store.upsert_images(collection, [*numbered_images(1), (an_image(7), wrong)])
    with pytest.raises(WrongDimension):
        await store.query_images(collection, wrong, EVERY, 1)
    with pytest.raises(WrongDimension):
        await store.query_neighbors(collection, wrong[None], EVERY, 1)
    with pytest.raises(WrongDimension):
        await store.put_clusters(collection, "r1", [replace(a_cluster(1), centroid=wrong)])
    with pytest.raises(WrongDimension):
        await store.put_cluster(collection, "r1", replace(a_cluster(1), centroid=wrong))
    assert await store.count_images(collection, EVERY) == 0
    assert await store.get_clusters(collection, "r1") == []


async def test_deleted_images_are_gone(store: Store, collection: str) -> None:
    images = numbered_images(4, lambda i: 1 + i % 2)
    await store.upsert_images(collection, images)
    gone = [images[0][0].id, images[1][0].id]
    await store.delete_images(collection, [*gone, uuid4()])
    await store.delete_images(collection, gone)
    assert await ids_in(store, collection, EVERY) == sorted(image.id for image, _ in images[2:])
    assert await store.get_images(collection, gone) == {}
    assert await store.count_by_cluster(collection) == {1: 1, 2: 1}


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        (ImageFilter(), range(9)),
        (ImageFilter(clusters=(1,)), [1, 4, 7]),
        (ImageFilter(clusters=(1, 2)), [1, 2, 4, 5, 7, 8]),
        (ImageFilter(clusters=(77,)), []),
        (ImageFilter(unclustered=True), [0, 3, 6]),
        (ImageFilter(clustered=True), [1, 2, 4, 5, 7, 8]),
        (ImageFilter(clusters=(1,), clustered=True), [1, 4, 7]),
        (ImageFilter(clusters=(1,), unclustered=True), []),
        (ImageFilter(clustered=True, unclustered=True), []),
        (ImageFilter(exclude=(an_image(0).id, an_image(8).id)), range(1, 8)),
        (ImageFilter(clusters=(1,), exclude=(an_image(4).id,)), [1, 7]),
        (ImageFilter(unclustered=True, exclude=(an_image(0).id, an_image(1).id)), [3, 6]),
    ],
)
async def test_filters(store: Store, collection: str, where: ImageFilter, numbers: list[int]) -> None:
    await store.upsert_images(collection, numbered_images(9, lambda i: i % 3 or None))
    expected = {an_image(number).id for number in numbers}
    assert await ids_in(store, collection, where) == sorted(expected)
    assert await store.count_images(collection, where) == len(expected)
    scored = await store.query_images(collection, unit_vectors(1)[0], where, 100)
    assert {each.image.id for each in scored} == expected
    [(cluster_ids, _)] = await store.query_neighbors(collection, unit_vectors(1), where, 100)
    assert sorted(cluster_ids) == sorted(number % 3 or -1 for number in numbers)


@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        (ImageFilter(places=(1,)), [1, 3, 5, 7, 9, 11]),
        (ImageFilter(places=(1, 99)), [1, 3, 5, 7, 9, 11]),
        (ImageFilter(places=(99,)), []),
        (ImageFilter(moments=(1, 3)), [1, 3, 5, 7, 9, 11]),
        (ImageFilter(moments=(2,)), [2, 6, 10]),
        (ImageFilter(clusters=(1,), places=(1,)), [1, 7]),
        (ImageFilter(clusters=(1, 2), places=(1,), moments=(3,)), [7, 11]),
        (ImageFilter(unclustered=True, moments=(1,)), [9]),
        (ImageFilter(places=(1,), exclude=(an_image(3).id,)), [1, 5, 7, 9, 11]),
        (ImageFilter(places=(1,), moments=(2,)), []),
    ],
)
async def test_filters_on_places_and_moments(
    store: Store, collection: str, where: ImageFilter, numbers: list[int]
) -> None:
    images = [
        (replace(image, place_id=i % 2 or None, moment_id=i % 4 or None), vector)
        for i, (image, vector) in enumerate(numbered_images(12, lambda i: i % 3 or None))
    ]
    await store.upsert_images(collection, images)
    expected = sorted(an_image(number).id for number in numbers)
    assert await ids_in(store, collection, where) == expected
    assert await store.count_images(collection, where) == len(expected)
    scored = await store.query_images(collection, unit_vectors(1)[0], where, 100)
    assert sorted(each.image.id for each in scored) == expected


async def test_pages_are_in_the_order_of_ids_and_go_on_where_they_stopped(store: Store, collection: str) -> None:
    images = numbered_images(10, lambda i: i % 2)
    await store.upsert_images(collection, images)
    for where, expected in (
        (EVERY, sorted(image.id for image, _ in images)),
        (ImageFilter(clusters=(1,)), sorted(image.id for image, _ in images if image.cluster_id == 1)),
    ):
        seen: list[UUID] = []
        after = None
        sizes = []
        while True:
            page, after = await store.page_images(collection, where, after, 4)
            seen += [image.id for image in page]
            sizes.append(len(page))
            if after is None:
                break
        assert seen == expected
        assert all(size == 4 for size in sizes[:-1])


async def test_a_page_goes_on_though_its_first_image_was_deleted(store: Store, collection: str) -> None:
    images = numbered_images(6)
    await store.upsert_images(collection, images)
    order = sorted(image.id for image, _ in images)
    _, after = await store.page_images(collection, EVERY, None, 3)
    assert after is not None
    await store.delete_images(collection, [after])
    rest, _ = await store.page_images(collection, EVERY, after, 3)
    assert [image.id for image in rest] == [each for each in order[3:] if each != after]


async def test_an_empty_collection_has_one_empty_page(store: Store, collection: str) -> None:
    assert await store.page_images(collection, EVERY, None, 10) == ([], None)
    assert [each async for each in store.scan_vectors(collection)] == []
    assert await store.query_images(collection, unit_vectors(1)[0], EVERY, 5) == []


async def test_a_query_answers_the_nearest_by_cosine_best_first(store: Store, collection: str) -> None:
    images = numbered_images(50)
    await store.upsert_images(collection, images)
    query = unit_vectors(1, seed=9)[0]
    similarities = np.stack([vector for _, vector in images]) @ query
    order = np.argsort(-similarities)
    scored = await store.query_images(collection, query, EVERY, 7)
    assert [each.image for each in scored] == [images[i][0] for i in order[:7]]
    np.testing.assert_allclose([each.score for each in scored], similarities[order[:7]], atol=1e-5)

    later = await store.query_images(collection, query, EVERY, 4, offset=3)
    assert [each.image.id for each in later] == [images[i][0].id for i in order[3:7]]

    threshold = float(similarities[order[4]] + similarities[order[5]]) / 2
    above = await store.query_images(collection, query, EVERY, 50, score_threshold=threshold)
    assert [each.image.id for each in above] == [images[i][0].id for i in order[:5]]

    both = await store.query_images(collection, query, EVERY, 50, offset=2, score_threshold=threshold)
    assert [each.image.id for each in both] == [images[i][0].id for i in order[2:5]]


async def test_neighbors_of_many_vectors(store: Store, collection: str) -> None:
    images = numbered_images(40, lambda i: i % 4 or None)
    await store.upsert_images(collection, images)
    vectors = np.stack([vector for _, vector in images])
    queries = unit_vectors(70, seed=5)
    answers = await store.query_neighbors(collection, queries, EVERY, 6)
    assert len(answers) == 70
    for query, (cluster_ids, similarities) in zip(queries, answers, strict=True):
        expected = vectors @ query
        order = np.argsort(-expected)[:6]
        assert cluster_ids.dtype == np.int64
        assert similarities.dtype == np.float32
        assert cluster_ids.tolist() == [i % 4 or -1 for i in order]
        np.testing.assert_allclose(similarities, expected[order], atol=1e-5)
    assert await store.query_neighbors(collection, queries[:0], EVERY, 6) == []
    [(none, _)] = await store.query_neighbors(collection, queries[:1], ImageFilter(clusters=(99,)), 6)
    assert none.shape == (0,)
    assert none.dtype == np.int64


async def test_a_scan_reads_everything_in_the_order_of_ids(store: Store, collection: str) -> None:
    images = sorted(numbered_images(25, lambda i: i % 5 or None), key=lambda each: each[0].id)
    await store.upsert_images(collection, images)
    parts = [part async for part in store.scan_vectors(collection, batch=10)]
    assert [len(part.ids) for part in parts] == [10, 10, 5]
    assert [each for part in parts for each in part.ids] == [image.id for image, _ in images]
    cluster_ids = np.concatenate([part.cluster_ids for part in parts])
    assert cluster_ids.dtype == np.int64
    assert cluster_ids.tolist() == [-1 if image.cluster_id is None else image.cluster_id for image, _ in images]
    vectors = np.concatenate([part.vectors for part in parts])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, np.stack([vector for _, vector in images]), atol=1e-6)

    [bare] = [part async for part in store.scan_vectors(collection, with_vectors=False)]
    assert bare.vectors.shape == (25, 0)
    assert bare.ids == [image.id for image, _ in images]


async def test_a_scan_tells_when_and_where_images_were_taken(store: Store, collection: str) -> None:
    there = replace(an_image(1), place_id=5, moment_id=6)
    unknown = replace(an_image(2), metadata=replace(an_image(2).metadata, captured_at=None, location=None))
    when = replace(an_image(3), metadata=replace(an_image(3).metadata, captured_at="2021-01-01T00:00:00+02:00"))
    origin = replace(an_image(4), metadata=replace(an_image(4).metadata, location=Location(0.0, 0.0)))
    images = {image.id: image for image in (there, unknown, when, origin)}
    await store.upsert_images(collection, list(zip(images.values(), unit_vectors(4), strict=True)))
    for with_vectors in (True, False):
        [part] = [part async for part in store.scan_vectors(collection, with_vectors)]
        found = [images[each] for each in part.ids]
        assert len(found) == 4
        assert part.captured_at == [image.metadata.captured_at for image in found]
        assert part.locations == [image.metadata.location for image in found]
        assert part.place_ids.tolist() == [5 if image is there else -1 for image in found]
        assert part.moment_ids.tolist() == [6 if image is there else -1 for image in found]
        assert part.cluster_ids.tolist() == [-1] * 4


async def test_images_are_counted_by_cluster(store: Store, collection: str) -> None:
    assert await store.count_by_cluster(collection) == {}
    await store.upsert_images(collection, numbered_images(1100, lambda i: i or None))
    expected = dict.fromkeys(range(1, 1100), 1)
    # More clusters than the first facet request asks for.
    assert await store.count_by_cluster(collection) == expected
    await store.set_group(collection, CLUSTER_ID, 5, [an_image(i).id for i in range(10)])
    expected = {cluster: 1 for cluster in expected if cluster >= 10} | {5: 10}
    assert await store.count_by_cluster(collection) == expected


@pytest.mark.parametrize("field", GROUP_FIELDS)
async def test_setting_a_group_changes_nothing_else(store: Store, collection: str, field: str) -> None:
    images = [
        (replace(image, tags=("a", "b"), cluster_id=1, place_id=1, moment_id=1), vector)
        for image, vector in numbered_images(4)
    ]
    await store.upsert_images(collection, images)
    before = await store.get_vectors(collection, [image.id for image, _ in images])
    first, second, third, _ = (image for image, _ in images)
    unknown = uuid4()

    await store.set_group(collection, field, 9, [first.id, unknown, second.id])
    await store.set_group(collection, field, None, [third.id, unknown])
    await store.set_group(collection, field, None, [third.id])
    await store.set_group(collection, field, 9, [])
    changes: list[dict[str, Any]] = [{field: 9}, {field: 9}, {field: None}, {}]
    expected = [replace(image, **change) for (image, _), change in zip(images, changes, strict=True)]
    found = await store.get_images(collection, [image.id for image, _ in images] + [unknown])
    assert found == {image.id: image for image in expected}
    after = await store.get_vectors(collection, list(before))
    for identity, vector in before.items():
        np.testing.assert_array_equal(after[identity], vector)
    assert await store.count_images(collection, EVERY) == 4
    [part] = [part async for part in store.scan_vectors(collection, with_vectors=False)]
    names = {"cluster_id": part.cluster_ids, "place_id": part.place_ids, "moment_id": part.moment_ids}
    for name, ids in names.items():
        assert ids.dtype == np.int64
        assert dict(zip(part.ids, ids.tolist(), strict=True)) == {
            image.id: -1 if getattr(image, name) is None else getattr(image, name) for image in expected
        }
    assert await store.count_by_cluster(collection) == ({1: 1, 9: 2} if field == CLUSTER_ID else {1: 4})


async def test_a_cluster_is_set_on_more_images_than_one_batch(store: Store, collection: str) -> None:
    images = numbered_images(2300)
    await store.upsert_images(collection, images)
    await store.set_group(collection, CLUSTER_ID, 3, [image.id for image, _ in images])
    assert await store.count_by_cluster(collection) == {3: 2300}
    await store.set_group(collection, CLUSTER_ID, None, [image.id for image, _ in images[:2200]])
    assert await store.count_by_cluster(collection) == {3: 100}


async def test_optimizing_changes_no_answer(store: Store, collection: str) -> None:
    await store.upsert_images(collection, numbered_images(20))
    query = unit_vectors(1, seed=3)[0]
    before = await store.query_images(collection, query, EVERY, 20)
    await store.optimize(collection)
    await store.optimize(collection)
    assert await store.query_images(collection, query, EVERY, 20) == before

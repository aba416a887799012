"""What an operator chooses arrives at the server, in every call that it is about."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from qdrant_client import models

from shoal_server.adapters.qdrant_store import QdrantStore, Tuning
from shoal_server.application.ports import Store
from shoal_server.domain.filters import ImageFilter
from shoal_server.domain.payload import CLUSTER_ID
from tests.contract.conftest import (
    DIMENSION,
    a_cluster,
    a_collection,
    a_run,
    an_image,
    numbered_images,
    unit_vectors,
)
from tests.standin.process import StandIn

EVERY = ImageFilter()

WHOLE = Tuning(
    hnsw_m=32,
    hnsw_ef_construct=200,
    search_ef=300,
    quantization="scalar",
    oversampling=2.5,
    vectors_on_disk=True,
    payload_on_disk=False,
    shards=3,
    replicas=2,
    write_consistency=2,
    ordering="strong",
    read_consistency="majority",
    timeout_s=30,
)


@asynccontextmanager
async def tuned(standin: StandIn, tuning: Tuning, over_grpc: bool = True) -> AsyncIterator[QdrantStore]:
    """A store that is empty in the end."""
    store = await QdrantStore.connect(standin.url, grpc_port=standin.grpc_port if over_grpc else None, tuning=tuning)
    try:
        yield store
    finally:
        for each in await store.list_collections():
            await store.delete_collection(each.id)
        await store.connection.client.delete_collection("shoal.records")
        await store.close()


async def info_of(store: QdrantStore, name: str) -> models.CollectionInfo:
    return await store.connection.client.get_collection(name)


@pytest.mark.parametrize("over_grpc", [True, False])
async def test_new_collections_are_made_as_chosen(standin: StandIn, over_grpc: bool) -> None:
    async with tuned(standin, WHOLE, over_grpc) as store:
        await store.create_collection(a_collection("photos"))
        images = (await info_of(store, "photos")).config
        assert isinstance(images.params.vectors, models.VectorParams)
        assert (images.params.vectors.size, images.params.vectors.on_disk) == (DIMENSION, True)
        assert (images.hnsw_config.m, images.hnsw_config.ef_construct) == (32, 200)
        assert images.params.on_disk_payload is False
        assert (images.params.shard_number, images.params.replication_factor) == (3, 2)
        assert images.params.write_consistency_factor == 2
        quantization = images.quantization_config
        assert isinstance(quantization, models.ScalarQuantization)
        assert (quantization.scalar.type, quantization.scalar.always_ram) == (models.ScalarType.INT8, True)
        for name in ("photos.clusters", "shoal.records"):
            small = (await info_of(store, name)).config
            assert (small.params.shard_number, small.params.replication_factor) == (1, 2)
            assert small.params.write_consistency_factor == 2
            assert small.quantization_config is None
        assert WHOLE.differences(images) == []


async def test_by_default_the_server_decides(standin: StandIn) -> None:
    async with tuned(standin, Tuning()) as store:
        await store.create_collection(a_collection("photos"))
        asked = standin.calls()["last"]["Collections.Create"]
        # The last one is that of the clusters.
        assert asked.pop("vectorsConfig")["params"] == {"size": str(DIMENSION), "distance": "Cosine"}
        assert asked == {"collectionName": "photos.clusters", "shardNumber": 1}
        config = (await info_of(store, "photos")).config
        assert (config.hnsw_config.m, config.quantization_config) == (16, None)
        assert Tuning().differences(config) == []


async def test_binary_quantisation(standin: StandIn) -> None:
    async with tuned(standin, Tuning(quantization="binary")) as store:
        await store.create_collection(a_collection("photos"))
        quantization = (await info_of(store, "photos")).config.quantization_config
        assert isinstance(quantization, models.BinaryQuantization)
        await store.query_images("photos", unit_vectors(1)[0], EVERY, 1)
        [query] = standin.calls()["last"]["Points.QueryBatch"]["queryPoints"]
        assert query["params"]["quantization"] == {"ignore": False, "rescore": True, "oversampling": 3.0}


async def test_searches_and_reads_are_done_as_chosen(standin: StandIn) -> None:
    async with tuned(standin, WHOLE) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", numbered_images(5))
        await store.query_images("photos", unit_vectors(1)[0], EVERY, 3)
        await store.query_neighbors("photos", unit_vectors(2), EVERY, 3)
        await store.get_images("photos", [an_image(1).id])
        await store.page_images("photos", EVERY, None, 2)
        last = standin.calls()["last"]
        queries = last["Points.QueryBatch"]["queryPoints"]
        assert len(queries) == 2
        for each in queries:
            assert each["params"]["hnswEf"] == "300"
            assert each["params"]["quantization"] == {"ignore": False, "rescore": True, "oversampling": 2.5}
        for method in ("Points.QueryBatch", "Points.Get", "Points.Scroll"):
            assert last[method]["readConsistency"] == {"type": "Majority"}, method


async def test_writes_are_ordered_as_chosen(standin: StandIn) -> None:
    async with tuned(standin, Tuning(ordering="medium")) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", numbered_images(5))
        await store.set_group("photos", CLUSTER_ID, 3, [an_image(1).id])
        await store.set_group("photos", CLUSTER_ID, None, [an_image(1).id])
        await store.delete_images("photos", [an_image(2).id])
        last = standin.calls()["last"]
        for method in ("Points.Upsert", "Points.SetPayload", "Points.DeletePayload", "Points.Delete"):
            assert last[method]["ordering"] == {"type": "Medium"}, method
            assert last[method]["wait"] is True, method


def test_without_rescoring_nothing_is_found_beyond() -> None:
    assert Tuning().search_params() is None
    assert Tuning(search_ef=50).search_params() == models.SearchParams(hnsw_ef=50)
    only = Tuning(quantization="scalar", rescore=False, oversampling=4).search_params()
    assert only is not None
    assert only.quantization == models.QuantizationSearchParams(rescore=False)


async def test_a_collection_that_was_made_otherwise_is_named_and_stays(
    standin: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    async with tuned(standin, Tuning()) as store:
        await store.create_collection(a_collection("photos"))
        before = (await info_of(store, "photos")).config
        caplog.set_level(logging.WARNING)
        again = await QdrantStore.connect(standin.url, grpc_port=standin.grpc_port, tuning=WHOLE)
        await again.close()
        [said] = [each.message for each in caplog.records if "other settings" in each.message]
        assert "photos was made with" in said
        for words in (
            "qdrant_hnsw_m is 32, and it has 16",
            "qdrant_quantization is scalar, and it has none",
            "qdrant_shards is 3, and it has 1",
            "qdrant_vectors_on_disk is True, and it has False",
            "update_collection",
        ):
            assert words in said
        assert (await info_of(store, "photos")).config == before

        # As the documentation says it is changed.
        await store.connection.client.update_collection(
            "photos",
            hnsw_config=models.HnswConfigDiff(m=32, ef_construct=200),
            quantization_config=models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True)),
        )
        config = (await info_of(store, "photos")).config
        assert Tuning(hnsw_m=32, hnsw_ef_construct=200, quantization="binary").differences(config) == []


@pytest.mark.parametrize(
    ("dimension", "over_grpc", "lengths"),
    [
        (8, True, [256, 256, 88]),
        (512, True, [256, 256, 88]),
        (3072, True, [157, 157, 157, 129]),
        (3072, False, [30] * 20),
    ],
)
def test_one_write_has_a_bound_of_points_and_of_bytes(dimension: int, over_grpc: bool, lengths: list[int]) -> None:
    points = list(range(600))
    stretches = list(Tuning().stretches(points, dimension, over_grpc))
    assert [len(each) for each in stretches] == lengths
    assert [each for stretch in stretches for each in stretch] == points
    assert [len(each) for each in Tuning(batch=64).stretches(points, 8, over_grpc)] == [64] * 9 + [24]
    assert [len(each) for each in Tuning().stretches(points[:1], 10_000_000, over_grpc)] == [1]


async def test_large_vectors_go_in_several_writes_beside_one_another(standin: StandIn) -> None:
    dimension = 3072
    record = a_collection("photos")
    record = type(record)(
        id="photos",
        model=type(record.model)(name="debug", digest=record.model.digest, dimension=dimension),
        created_at=record.created_at,
    )
    vectors = np.eye(400, dimension, dtype=np.float32)
    images = [(an_image(number), vector) for number, vector in enumerate(vectors)]
    async with tuned(standin, Tuning(parallel_upserts=2)) as store:
        await store.create_collection(record)
        standin.control(forget_calls=True, faults=[{"methods": ["Points.Upsert"], "delay_ms": 100}])
        await store.upsert_images("photos", images)
        calls = standin.calls()
        standin.order()
        assert calls["of"]["Points.Upsert"] == 3
        assert calls["most_at_once"] == 2
        assert await store.count_images("photos", EVERY) == 400


async def test_of_a_point_that_is_written_twice_at_once_the_last_one_stays(standin: StandIn) -> None:
    first, second = unit_vectors(2)
    others = numbered_images(30)
    async with tuned(standin, Tuning(batch=8, parallel_upserts=4)) as store:
        await store.create_collection(a_collection("photos"))
        await store.upsert_images("photos", [(an_image(99, 1), first), *others, (an_image(99, 2), second)])
        [image] = (await store.get_images("photos", [an_image(99).id])).values()
        assert image.cluster_id == 2


async def test_over_rest_alone_the_store_is_the_same(standin: StandIn) -> None:
    async with tuned(standin, WHOLE, over_grpc=False) as store:
        port: Store = store
        await port.create_collection(a_collection("photos"))
        images = numbered_images(30, lambda i: i % 3 or None)
        await port.upsert_images("photos", images)
        every = {image.id: image for image, _ in images}
        assert await port.get_images("photos", list(every)) == every
        assert await port.count_by_cluster("photos") == {1: 10, 2: 10}
        assert await port.count_images("photos", ImageFilter(clusters=(1,))) == 10
        page, after = await port.page_images("photos", EVERY, None, 20)
        rest, end = await port.page_images("photos", EVERY, after, 20)
        assert ([each.id for each in page + rest], end) == (sorted(every), None)
        ordered, _ = await port.page_by_capture("photos", EVERY, None, 30, descending=True)
        assert {each.id for each in ordered} == every.keys()
        [best, *_] = await port.query_images("photos", images[7][1], EVERY, 5)
        assert best.image == images[7][0]
        [(clusters, _)] = await port.query_neighbors("photos", images[7][1][None], EVERY, 1)
        assert clusters.tolist() == [1]
        await port.set_group("photos", CLUSTER_ID, None, list(every))
        assert await port.count_by_cluster("photos") == {}
        await port.delete_images("photos", list(every)[:10])
        assert sum([len(part.ids) async for part in port.scan_vectors("photos")]) == 20
        await port.put_clusters("photos", "r1", [a_cluster(1), a_cluster(2)])
        assert [each.id for each in await port.get_clusters("photos", "r1")] == [1, 2]
        await port.put_run("photos", a_run("r1"))
        assert await port.list_runs("photos") == [a_run("r1")]

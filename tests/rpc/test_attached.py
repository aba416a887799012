"""A collection that somebody else made with qdrant-client: clustered by Shoal, kept up to date, and given back."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.local.local_collection import LocalCollection

from shoal.v1.cluster_pb2 import RUN_STATE_SUCCEEDED
from shoal.v1.cluster_service_pb2 import (
    ActivateClusteringRunRequest,
    AssignImageRequest,
    ListClustersRequest,
    SearchClustersRequest,
)
from shoal.v1.collection_pb2 import DISTANCE_COSINE, DISTANCE_EUCLID, Attachment, Collection
from shoal.v1.collection_service_pb2 import (
    AttachCollectionRequest,
    CreateCollectionRequest,
    DeleteCollectionRequest,
    DetachCollectionRequest,
    GetCollectionRequest,
    ListCollectionsRequest,
)
from shoal.v1.curation_service_pb2 import MergeClustersRequest
from shoal.v1.image_pb2 import AttributeCondition, AttributeValue, Image, ImageFilter, Vector
from shoal.v1.image_service_pb2 import (
    DeleteImageRequest,
    GetImageRequest,
    GetThumbnailRequest,
    ListImagesRequest,
    SearchImagesRequest,
    UpdateImageRequest,
)
from shoal_server import bootstrap
from shoal_server.adapters.qdrant_store import QdrantStore
from shoal_server.application import describing
from shoal_server.application.ports import Before
from shoal_server.domain.point_ids import image_of_point
from shoal_server.settings import Settings
from tests.rpc.conftest import Served, refused, serving

# The in-memory client says that it has no payload indexes; a server has them.
pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")

BIRDS = "collections/birds"
KEY = "shoal_cluster"
DIMENSION = 16
SPECIES = ("heron", "wren", "kestrel", "плиска", "鶴")
_NAMESPACE = UUID("00000000-0000-4000-8000-000000000000")


@pytest.fixture
async def qdrant(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncQdrantClient]:
    """What the owner and Shoal both use; stays open when a server is stopped."""
    client = AsyncQdrantClient(":memory:")

    class Shared(QdrantStore):
        async def close(self) -> None:
            pass

    async def in_memory(settings: Settings) -> QdrantStore:
        return Shared(client, "in memory")

    monkeypatch.setattr(bootstrap.serving, "open_store", in_memory)
    yield client
    await client.close()


def vectors_of(kind: int, count: int, seed: int, length: float = 1.0) -> NDArray[np.float32]:
    """Vectors around the centre of a kind; kind -1 is scattered over all directions."""
    random = np.random.default_rng([seed, kind + 1])
    noise = random.standard_normal((count, DIMENSION))
    if kind >= 0:
        noise *= 0.03
        noise[:, kind] += 1.0
    unit = noise / np.linalg.norm(noise, axis=1, keepdims=True)
    vectors: NDArray[np.float32] = (unit * length).astype(np.float32)
    return vectors


def foreign_payload(number: int, kind: int) -> dict[str, Any]:
    """Whatever a payload of Qdrant can hold."""
    return {
        "species": SPECIES[kind] if kind >= 0 else f"unknown {number}",
        "number": number,
        "weight": number / 7,
        "seen": number % 2 == 0,
        "nothing": None,
        "empty": [],
        "names": ["Reiher", "ἐρωδιός", "👩\u200d🚀", "a\u0000b" if number % 97 == 0 else ""],
        "nested": {"deep": {"er": [1, {"x": None, "cluster_id": 5}, []]}, "": "no key", "a.b": 1, "shoal_cluster": 9},
        "captured_at": f"2021-0{1 + number % 9}-03T04:05:06Z",
        "location": {"lat": 47.0 + number % 40 / 4, "lon": 8.5},
        "url": f"https://example.com/{number}.jpg?größe=1",
        "big": 2**53 + 1,
        "Upper-Case key": "x",
    }


def point(number: int, kind: int, vector: NDArray[np.float32]) -> models.PointStruct:
    """Every third has a UUID, the others integers; some have an empty payload."""
    identity: int | str = str(uuid5(_NAMESPACE, str(number))) if number % 3 == 0 else number
    payload = None if number % 501 == 7 else foreign_payload(number, kind)
    return models.PointStruct(id=identity, vector={"image": vector.tolist()}, payload=payload)


async def fill(qdrant: AsyncQdrantClient, numbers: range, seed: int = 1) -> None:
    """Four fifths of the points are of a kind, the rest are scattered."""
    kinds = [number % len(SPECIES) if number % 10 < 8 else -1 for number in numbers]
    made = {kind: iter(vectors_of(kind, len(numbers), seed)) for kind in set(kinds)}
    points = [point(number, kind, next(made[kind])) for number, kind in zip(numbers, kinds, strict=True)]
    await qdrant.upsert("birds", points, wait=True)


async def make_birds(qdrant: AsyncQdrantClient, count: int) -> None:
    """A collection with two vectors, where some points have not got the one that is clustered."""
    await qdrant.create_collection(
        "birds",
        vectors_config={
            "image": models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE),
            "sound": models.VectorParams(size=3, distance=models.Distance.DOT),
        },
    )
    await fill(qdrant, range(1, count + 1))
    silent = models.PointStruct(id=10**9, vector={"sound": [1.0, 2.0, 3.0]}, payload={"species": "owl"})
    nothing = models.PointStruct(id=10**9 + 1, vector={"image": [0.0] * DIMENSION}, payload={"species": "ghost"})
    await qdrant.upsert("birds", [silent, nothing], wait=True)


async def all_points(qdrant: AsyncQdrantClient) -> list[models.Record]:
    """All points of the owner's collection, by id."""
    found: list[models.Record] = []
    after: Any = None
    while True:
        stretch, after = await qdrant.scroll("birds", limit=1000, offset=after, with_payload=True, with_vectors=True)
        found += stretch
        if after is None:
            return sorted(found, key=lambda each: str(each.id))


async def everything(qdrant: AsyncQdrantClient, but: str = "") -> str:
    """The whole payload of all points as canonical JSON, without one key at the top."""
    rows = [
        [each.id, {key: value for key, value in (each.payload or {}).items() if key != but}]
        for each in await all_points(qdrant)
    ]
    return json.dumps(rows, sort_keys=True, ensure_ascii=True)


async def all_vectors(qdrant: AsyncQdrantClient) -> NDArray[np.float64]:
    """All vectors of all points, one after another. The in-memory client changes their last bit when it searches."""
    vectors = [each.vector for each in await all_points(qdrant)]
    assert all(isinstance(each, dict) for each in vectors)
    return np.concatenate([row for each in vectors if isinstance(each, dict) for _, row in sorted(each.items())])


async def attach(served: Served, **asked: Any) -> Collection:
    attachment = Attachment(**({"source": "birds", "vector": "image", "payload_key": KEY} | asked))
    made: Collection = await served.collections.AttachCollection(AttachCollectionRequest(attachment=attachment))
    return made


async def sizes(served: Served) -> dict[int, int]:
    """Shoal's clusters and how many images they have now."""
    listed = await served.clusters.ListClusters(ListClustersRequest(parent=BIRDS, page_size=100))
    return {int(each.name.rpartition("/")[2]): each.size for each in listed.clusters if each.size}


async def as_qdrant_counts(qdrant: AsyncQdrantClient, key: str = KEY) -> dict[int, int]:
    """What a facet of a plain client says, each count checked against a plain filter."""
    hits = (await qdrant.facet("birds", key, limit=1000, exact=True)).hits
    for hit in hits:
        chosen = models.Filter(must=[models.FieldCondition(key=key, match=models.MatchValue(value=hit.value))])
        assert (await qdrant.count("birds", chosen, exact=True)).count == hit.count
    return {int(hit.value): hit.count for hit in hits}


async def until_assigned(served: Served, at_least: int, between_s: float = 1.2) -> int:
    """Waits until so many points are in clusters, and as many again after another look; how many they are then."""
    before = -1
    for _ in range(120):
        collection: Collection = await served.collections.GetCollection(GetCollectionRequest(name=BIRDS))
        clustered = collection.image_count - collection.unclustered_count
        if clustered == before and clustered >= at_least:
            return clustered
        before = clustered
        await asyncio.sleep(between_s)
    raise AssertionError(f"{before} points are in clusters, not {at_least}")


@pytest.fixture
def one_mask_a_batch(qdrant: AsyncQdrantClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The in-memory client evaluates a filter on every point for every query; here, once for the queries of a batch."""
    masks: dict[str, Any] = {}
    evaluate, query = LocalCollection._payload_and_non_deleted_mask, qdrant.query_batch_points

    def evaluated(self: LocalCollection, payload_filter: Any, vector_name: str | None = None) -> Any:
        key = f"{id(self)} {payload_filter} {vector_name}"
        if key not in masks:
            masks[key] = evaluate(self, payload_filter, vector_name)
        return masks[key]

    async def query_at_once(*args: Any, **kwargs: Any) -> Any:
        # Nothing is awaited in it, so that no point changes meanwhile.
        with monkeypatch.context() as patched:
            patched.setattr(LocalCollection, "_payload_and_non_deleted_mask", evaluated)
            masks.clear()
            return await query(*args, **kwargs)

    monkeypatch.setattr(qdrant, "query_batch_points", query_at_once)


async def test_five_thousand_points_and_their_payload_come_back_as_they_were(
    qdrant: AsyncQdrantClient, one_mask_a_batch: None, tmp_path: Path
) -> None:
    await make_birds(qdrant, 5000)
    before = await everything(qdrant)
    async with serving(tmp_path, attach_interval_s=5, recluster_automatically=False) as served:
        attached = await attach(served)
        assert (attached.name, attached.image_count, attached.unclustered_count) == (BIRDS, 5001, 5001)
        assert (attached.model.name, attached.model.dimension) == ("", DIMENSION)
        assert attached.model.distance == DISTANCE_COSINE
        assert attached.attachment == Attachment(source="birds", vector="image", payload_key=KEY)

        run = await served.recluster(BIRDS)
        assert run.state == RUN_STATE_SUCCEEDED, run
        assert await sizes(served) == await as_qdrant_counts(qdrant)
        assert sum((await sizes(served)).values()) == 4000
        assert await everything(qdrant, but=KEY) == before

        # 500 that the owner adds, of which 100 are like nothing else.
        await fill(qdrant, range(5001, 5501), seed=2)
        with_them, vectors = await everything(qdrant, but=KEY), await all_vectors(qdrant)
        clustered = await until_assigned(served, 4360, between_s=6)
        assert clustered <= 4400
        counted = await as_qdrant_counts(qdrant)
        assert await sizes(served) == counted
        assert sum(counted.values()) == clustered

        again = await served.recluster(BIRDS)
        assert again.state == RUN_STATE_SUCCEEDED, again
        counted = await as_qdrant_counts(qdrant)
        assert await sizes(served) == counted
        assert sum(counted.values()) == 4400
        assert await everything(qdrant, but=KEY) == with_them

        answer = await served.collections.DetachCollection(DetachCollectionRequest(name=BIRDS, clean=True))
        assert answer.cleaned_count == 4400
        assert not (await served.collections.ListCollections(ListCollectionsRequest())).collections
    assert await everything(qdrant) == with_them
    assert await all_vectors(qdrant) == pytest.approx(vectors, abs=1e-6)
    # What was there at the beginning is in it, byte for byte.
    assert {json.dumps(row) for row in json.loads(before)} <= {json.dumps(row) for row in json.loads(with_them)}
    assert "birds.clusters" not in {each.name for each in (await qdrant.get_collections()).collections}
    records, _ = await qdrant.scroll("shoal.records", limit=100)
    assert not [each for each in records if (each.payload or {}).get("collection") == "birds"]


# On fewer points, one thing at a time.


@pytest.fixture
async def served(qdrant: AsyncQdrantClient, tmp_path: Path) -> AsyncIterator[Served]:
    """A server attached to 100 points, and clustered once."""
    await make_birds(qdrant, 100)
    async with serving(tmp_path, attach_interval_s=1, recluster_automatically=False) as server:
        await attach(server)
        run = await server.recluster(BIRDS)
        assert run.state == RUN_STATE_SUCCEEDED, run
        yield server


async def clusters_by_name(served: Served) -> dict[str, str]:
    """Display name to name."""
    listed = await served.clusters.ListClusters(ListClustersRequest(parent=BIRDS, page_size=100))
    return {each.display_name: each.name for each in listed.clusters}


async def test_clusters_of_an_unknown_model_are_named_by_what_their_points_say(served: Served) -> None:
    assert set(await clusters_by_name(served)) == {f"species: {each}" for each in SPECIES}


async def test_the_server_answers_while_clusters_are_named_by_what_their_points_say(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answered = threading.Event(), threading.Event()

    def waiting(*args: Any) -> dict[int, Any]:
        asked.set()
        assert answered.wait(10)
        return {}

    monkeypatch.setattr(describing, "time_and_place_hints", waiting)
    run = asyncio.create_task(served.recluster(BIRDS))
    assert await asyncio.to_thread(asked.wait, 10)
    await served.collections.GetCollection(GetCollectionRequest(name=BIRDS))
    answered.set()
    assert (await run).state == RUN_STATE_SUCCEEDED


async def test_a_merge_and_a_rollback_write_the_key_and_nothing_else(served: Served, qdrant: AsyncQdrantClient) -> None:
    before = await everything(qdrant, but=KEY)
    counted = await as_qdrant_counts(qdrant)
    [run] = {each.active_run for each in [await served.collections.GetCollection(GetCollectionRequest(name=BIRDS))]}
    await served.curation.MergeClusters(
        MergeClustersRequest(parent=BIRDS, clusters=[f"{BIRDS}/clusters/1", f"{BIRDS}/clusters/2"])
    )
    merged = await as_qdrant_counts(qdrant)
    assert merged == {**{each: count for each, count in counted.items() if each != 2}, 1: counted[1] + counted[2]}
    assert await sizes(served) == merged
    await served.clusters.ActivateClusteringRun(ActivateClusteringRunRequest(name=run))
    assert await as_qdrant_counts(qdrant) == counted == await sizes(served)
    assert await everything(qdrant, but=KEY) == before


async def test_an_image_is_what_its_point_says(served: Served) -> None:
    image: Image = await served.images.GetImage(GetImageRequest(name=f"{BIRDS}/images/{image_of_point(11)}"))
    assert (image.sha256, image.uri) == ("", "https://example.com/11.jpg?größe=1")
    assert image.attributes["species"].text == SPECIES[1]
    assert image.attributes["number"].integer == 11
    assert KEY not in image.attributes
    assert image.metadata.captured_at == "2021-03-03T04:05:06+00:00"
    assert image.metadata.location.latitude == 49.75
    where = ImageFilter(attributes=[AttributeCondition(key="species", any_of=[AttributeValue(text="heron")])])
    herons = await served.images.ListImages(ListImagesRequest(parent=BIRDS, filter=where, page_size=100))
    assert {each.attributes["species"].text for each in herons.images} == {"heron"}
    assert len({each.cluster for each in herons.images}) == 1
    listed = await served.images.ListImages(ListImagesRequest(parent=BIRDS, page_size=1000))
    # The one without the vector is no image.
    assert len(listed.images) == 101


async def test_a_vector_and_a_point_find_clusters_and_a_text_does_not(served: Served) -> None:
    wren = (await clusters_by_name(served))["species: wren"]
    vector = Vector(values=vectors_of(1, 1, seed=9)[0].tolist())
    found = await served.clusters.SearchClusters(SearchClustersRequest(parent=BIRDS, vector=vector))
    assert found.results[0].cluster.name == wren
    assigned = await served.clusters.AssignImage(
        AssignImageRequest(parent=BIRDS, image_name=f"{BIRDS}/images/{image_of_point(11)}")
    )
    assert assigned.cluster == wren
    nearest = await served.images.SearchImages(SearchImagesRequest(parent=BIRDS, vector=vector, page_size=5))
    assert {result.image.cluster for result in nearest.results} == {wren}
    assert nearest.results[0].score > 0.95
    for asked in ({"text": "a wren"}, {"image_content": b"not looked at"}):
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "NO_MODEL", "'birds'", "without a model"):
            await served.clusters.SearchClusters(SearchClustersRequest(parent=BIRDS, **asked))


async def test_what_only_shoals_own_images_can_have_done_to_them_is_refused(
    served: Served, qdrant: AsyncQdrantClient
) -> None:
    before = await everything(qdrant)
    name = f"{BIRDS}/images/{image_of_point(11)}"
    calls = [
        served.images.DeleteImage(DeleteImageRequest(name=name)),
        served.images.UpdateImage(UpdateImageRequest(image=Image(name=name, uri="file:///other"))),
        served.images.GetThumbnail(GetThumbnailRequest(name=name)),
    ]
    for call in calls:
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "ATTACHED_COLLECTION", "'birds'", "come from"):
            await call
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "ATTACHED_COLLECTION", "images cannot be put into it"):
        await served.ingest([b"an image"], BIRDS)
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "ATTACHED_COLLECTION", "`shoal detach birds`"):
        await served.collections.DeleteCollection(DeleteCollectionRequest(name=BIRDS))
    assert await everything(qdrant) == before


async def test_a_stretch_of_points_without_a_direction_is_passed_over(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan_vectors = QdrantStore.scan_vectors

    def one_by_one(self: QdrantStore, collection: str, with_vectors: bool = True, batch: int = 1) -> Any:
        return scan_vectors(self, collection, with_vectors, 1)

    monkeypatch.setattr(QdrantStore, "scan_vectors", one_by_one)
    run = await served.recluster(BIRDS)
    assert run.state == RUN_STATE_SUCCEEDED, run
    assert run.summary.image_count == 100


async def test_a_point_that_is_put_in_again_is_assigned_again(served: Served, qdrant: AsyncQdrantClient) -> None:
    counted = await as_qdrant_counts(qdrant)
    wren = point(1, 1, vectors_of(1, 1, seed=5)[0])
    await qdrant.upsert("birds", [wren], wait=True)
    assert KEY not in ((await qdrant.retrieve("birds", [1]))[0].payload or {})
    await until_assigned(served, sum(counted.values()))
    assert await as_qdrant_counts(qdrant) == counted


async def test_a_vector_that_is_changed_under_its_point_is_seen_by_the_next_run(
    served: Served, qdrant: AsyncQdrantClient
) -> None:
    async def keys(*numbers: int) -> list[Any]:
        return [(each.payload or {})[KEY] for each in await qdrant.retrieve("birds", numbers)]

    async def known() -> Before:
        assert (await served.recluster(BIRDS)).state == RUN_STATE_SUCCEEDED
        assert served.clusterer.before is not None
        return served.clusterer.before

    wren, heron = await keys(1, 5)
    assert wren != heron
    assert (await known()).unchanged
    # The wren turns out to be a heron; its point keeps the key.
    vector = {"image": vectors_of(0, 1, seed=5)[0].tolist()}
    await qdrant.update_vectors("birds", [models.PointVectors(id=1, vector=vector)], wait=True)
    assert await keys(1) == [wren]
    then = await known()
    assert not then.unchanged
    assert np.count_nonzero(then.cluster_ids == -1) == 20 + 1, "those that are like nothing else, and the one"
    assert np.isnan(then.reduced).all(axis=1).sum() == 1
    assert await keys(1) == [heron]
    assert (await known()).unchanged


async def test_without_clean_the_ids_stay_and_the_collection_can_be_attached_under_another_key(
    served: Served, qdrant: AsyncQdrantClient
) -> None:
    before = await everything(qdrant)
    answer = await served.collections.DetachCollection(DetachCollectionRequest(name=BIRDS))
    assert answer.cleaned_count == 0
    assert await everything(qdrant) == before
    async with refused(grpc.StatusCode.FAILED_PRECONDITION, "NOT_ATTACHABLE", "80 points", KEY, "--payload-key"):
        await attach(served)
    again = await attach(served, payload_key="other_cluster")
    assert again.image_count == 101
    async with refused(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND"):
        await served.collections.DetachCollection(DetachCollectionRequest(name="collections/none"))


async def test_with_the_servers_model_a_text_finds_clusters(qdrant: AsyncQdrantClient, tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        made = await served.collections.CreateCollection(CreateCollectionRequest(collection_id="probe"))
        dimension = made.model.dimension
        size = models.VectorParams(size=dimension, distance=models.Distance.EUCLID)
        await qdrant.create_collection("birds", vectors_config=size)
        random = np.random.default_rng(3)
        rows = [7 * (np.eye(dimension)[number % 2] + 0.02 * random.standard_normal(dimension)) for number in range(40)]
        points = [models.PointStruct(id=number, vector=row.tolist()) for number, row in enumerate(rows)]
        await qdrant.upsert("birds", points, wait=True)
        request = AttachCollectionRequest(attachment=Attachment(source="birds"), model="debug", collection_id="aves")
        attached = await served.collections.AttachCollection(request)
        assert (attached.name, attached.model.name) == ("collections/aves", "debug")
        assert attached.model.distance == DISTANCE_EUCLID
        assert attached.attachment.payload_key == "cluster_id"
        await served.recluster("collections/aves")
        found = await served.clusters.SearchClusters(SearchClustersRequest(parent="collections/aves", text="red"))
        assert len(found.results) == 2
        assert await as_qdrant_counts(qdrant, "cluster_id") == {1: 20, 2: 20}
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_MISMATCH", "starter"):
            await served.collections.AttachCollection(
                AttachCollectionRequest(attachment=Attachment(source="birds"), model="starter")
            )


async def test_what_cannot_be_attached_is_said_so(qdrant: AsyncQdrantClient, tmp_path: Path) -> None:
    await make_birds(qdrant, 20)
    await qdrant.create_collection(
        "odd",
        vectors_config={
            "many": models.VectorParams(
                size=4,
                distance=models.Distance.DOT,
                multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            )
        },
        sparse_vectors_config={"words": models.SparseVectorParams()},
    )
    await qdrant.update_collection_aliases(
        [models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name="birds", alias_name="aves"))]
    )
    async with serving(tmp_path) as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="own"))
        cases: list[tuple[dict[str, Any], tuple[str, ...]]] = [
            ({"source": "none"}, ("none of that name",)),
            ({"source": "aves"}, ("alias", "'birds'")),
            ({"source": "own"}, ("Shoal made it",)),
            ({"source": "own.clusters"}, ("Shoal made it",)),
            ({"source": "shoal.records"}, ("Shoal made it",)),
            ({"vector": ""}, ("--vector", "image, sound")),
            ({"vector": "smell"}, ("no vector 'smell'", "image, sound")),
            ({"source": "odd", "vector": "words"}, ("'words' is sparse",)),
            ({"source": "odd", "vector": "many"}, ("a list of vectors",)),
            ({"payload_key": "species"}, ("'species'", "--payload-key")),
            ({"payload_key": "nothing"}, ("'nothing'", "--payload-key")),
        ]
        for asked, words in cases:
            source = {"source": "birds", "vector": "image", "payload_key": KEY} | asked
            async with refused(grpc.StatusCode.FAILED_PRECONDITION, "NOT_ATTACHABLE", *words):
                await served.collections.AttachCollection(
                    AttachCollectionRequest(collection_id="x", attachment=Attachment(**source))
                )
        for key in ("a.b", "a[]", "place_id", "1st", "x" * 64):
            async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "attachment.payload_key"):
                await attach(served, payload_key=key)
        for where in ("{", '{"must": 3}', '{"key": "a"}', json.dumps({"must": {"is_empty": {"key": KEY}}})):
            async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", "attachment.filter_json"):
                await attach(served, filter_json=where)
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "NOT_ATTACHED", "'own'"):
            await served.collections.DetachCollection(DetachCollectionRequest(name="collections/own"))
        await attach(served)
        async with refused(grpc.StatusCode.ALREADY_EXISTS, "COLLECTION_EXISTS"):
            await attach(served, payload_key="another")
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "NOT_ATTACHABLE", "attached as 'birds'"):
            await served.collections.AttachCollection(
                AttachCollectionRequest(
                    collection_id="x", attachment=Attachment(source="birds", vector="image", payload_key=KEY)
                )
            )


async def test_a_server_that_stores_in_its_data_folder_attaches_to_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        async with refused(grpc.StatusCode.FAILED_PRECONDITION, "NOT_ATTACHABLE", "SHOAL_QDRANT_URL"):
            await attach(served)
        async with refused(grpc.StatusCode.NOT_FOUND, "COLLECTION_NOT_FOUND"):
            await served.collections.DetachCollection(DetachCollectionRequest(name=BIRDS))


async def test_only_the_points_that_a_filter_lets_through_belong(qdrant: AsyncQdrantClient, tmp_path: Path) -> None:
    await make_birds(qdrant, 100)
    herons = {"must": [{"key": "species", "match": {"any": ["heron", "wren"]}}]}
    async with serving(tmp_path) as served:
        attached = await attach(served, filter_json=json.dumps(herons))
        assert attached.image_count == 40
        assert json.loads(attached.attachment.filter_json) == herons
        await served.recluster(BIRDS)
        assert await as_qdrant_counts(qdrant) == {1: 20, 2: 20}
        found, _ = await qdrant.scroll("birds", limit=1000)
        assert {(each.payload or {}).get("species") for each in found if KEY in (each.payload or {})} == {
            "heron",
            "wren",
        }


async def test_a_collection_whose_owner_removed_it_can_still_be_detached(
    served: Served, qdrant: AsyncQdrantClient
) -> None:
    await qdrant.delete_collection("birds")
    answer = await served.collections.DetachCollection(DetachCollectionRequest(name=BIRDS, clean=True))
    assert answer.cleaned_count == 0
    assert not (await served.collections.ListCollections(ListCollectionsRequest())).collections

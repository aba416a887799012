"""``shoal attach``, ``shoal detach`` and their like in Python, and every other command on an attached collection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient, models
from typer.testing import CliRunner

from shoal.v1.cluster_service_pb2 import RunClusteringRequest
from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal_client import (
    AlreadyExists,
    AsyncClient,
    Client,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    RunState,
    point_id,
)
from shoal_client.cli import app
from shoal_server.domain.point_ids import image_of_point
from tests.rpc.conftest import Served, serving
from tests.rpc.test_attached import KEY, everything, make_birds, qdrant
from tests.rpc.test_client_cli import Done

__all__ = ["qdrant"]

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")


@pytest.fixture
async def birds(qdrant: AsyncQdrantClient, tmp_path: Path) -> AsyncIterator[Served]:
    await make_birds(qdrant, 100)
    async with serving(tmp_path / "data", attach_interval_s=1, recluster_automatically=False) as server:
        yield server


async def shoal(server: Served, *arguments: object, answer: str = "") -> Done:
    def run() -> Done:
        result = CliRunner(env={"SHOAL_SERVER": server.address, "COLUMNS": "200"}).invoke(
            app, list(map(str, arguments)), input=answer
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    return await asyncio.to_thread(run)


BIRDS = ("--collection", "birds")


async def attached_and_clustered(birds: Served) -> None:
    assert (await shoal(birds, "attach", *BIRDS, "--vector", "image", "--payload-key", KEY)).code == 0
    assert (await shoal(birds, "cluster", *BIRDS)).code == 0


async def keys(qdrant: AsyncQdrantClient) -> dict[object, int]:
    """Point to cluster, as a plain client reads it."""
    found, _ = await qdrant.scroll("birds", limit=1000)
    return {each.id: each.payload[KEY] for each in found if each.payload and KEY in each.payload}


# The command line.


async def test_attach_says_what_it_does_and_how_to_go_on(birds: Served, qdrant: AsyncQdrantClient) -> None:
    before = await everything(qdrant)
    done = await shoal(birds, "attach", *BIRDS, "--vector", "image", "--payload-key", KEY)
    assert done.code == 0
    for words in (
        "attached to birds as birds: 101 points of 16 dimensions",
        f"the field {KEY} of their payload; nothing else of it is changed",
        "by vector and point, but not by text or picture",
        "shoal cluster --collection birds",
    ):
        assert words in done.stdout
    assert await everything(qdrant) == before


async def test_attach_as_json_has_all_that_was_asked_for(birds: Served) -> None:
    where = {"must": [{"key": "species", "match": {"any": ["heron"]}}]}
    options = ("--vector", "image", "--as", "herons", "--payload-key", KEY, "--filter", json.dumps(where))
    [record] = (await shoal(birds, "attach", *BIRDS, *options, "--json")).records
    assert record == {
        "filter": where,
        "name": "herons",
        "images": 20,
        "unclustered": 20,
        "clusters": 0,
        "model": None,
        "precision": "fp32",
        "image_only": False,
        "attached_to": "birds",
        "vector": "image",
        "payload_key": KEY,
    }
    listed = (await shoal(birds, "collections", "--json")).records
    assert [(each["name"], each["attached_to"]) for each in listed] == [("herons", "birds")]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), ("its vectors have names", "image, sound")),
        (("--vector", "smell"), ("no vector 'smell'",)),
        (("--vector", "image", "--payload-key", "species"), ("'species'", "--payload-key")),
        (("--vector", "image", "--filter", "{"), ("no filter of Qdrant", "JSON")),
        (("--vector", "image", "--filter", '{"must": [{"kind": "x"}]}'), ("no filter of Qdrant (must.0", '"match"')),
        (("--vector", "image", "--model", "starter"), ("cannot be made for model starter", "leave the model out")),
        (("--vector", "image", "--as", "A B"), ("A B",)),
    ],
)
async def test_what_cannot_be_attached_leaves_nothing_behind(
    birds: Served, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    done = await shoal(birds, "attach", *BIRDS, *options)
    assert done.code == 1
    assert done.stderr.startswith("error: ")
    assert all(word in done.stderr for word in words), done.stderr
    assert not (await shoal(birds, "collections", "--json")).records


async def test_a_name_that_is_no_id_needs_another(birds: Served) -> None:
    done = await shoal(birds, "attach", "--collection", "Big Birds")
    assert done.code == 1
    assert "say what it is to be called in Shoal (--as ID)" in done.stderr


async def test_detach_asks_first_and_leaves_the_ids(birds: Served, qdrant: AsyncQdrantClient) -> None:
    await attached_and_clustered(birds)
    before = await everything(qdrant)
    done = await shoal(birds, "detach", "birds", answer="n\n")
    assert done.code == 1
    assert f"Forget the 5 clusters of birds, with their names and runs; the points keep {KEY}?" in done.stderr
    assert (await shoal(birds, "clusters", *BIRDS)).code == 0
    done = await shoal(birds, "detach", "birds", answer="y\n")
    assert (done.code, done.stdout.splitlines()[-1]) == (0, "detached birds")
    assert await everything(qdrant) == before
    assert len(await keys(qdrant)) == 80
    done = await shoal(birds, "detach", "birds", "--yes")
    assert done.code == 1
    assert "no collection 'birds'" in done.stderr


async def test_detach_clean_takes_the_ids_away_and_nothing_else(birds: Served, qdrant: AsyncQdrantClient) -> None:
    before = await everything(qdrant)
    await attached_and_clustered(birds)
    done = await shoal(birds, "detach", "birds", "--clean", "--yes", "--json")
    assert done.records == [{"name": "birds", "detached": True, "cleaned": 80}]
    assert await everything(qdrant) == before
    await attached_and_clustered(birds)
    done = await shoal(birds, "detach", "birds", "--clean", "--yes")
    assert done.stdout == "detached birds; took the cluster's id from 80 points\n"
    assert await everything(qdrant) == before
    assert {each.name for each in (await qdrant.get_collections()).collections if "birds" in each.name} == {"birds"}


async def test_one_that_shoal_made_is_not_detached_and_an_attached_one_not_deleted(birds: Served) -> None:
    await birds.collections.CreateCollection(CreateCollectionRequest(collection_id="own"))
    done = await shoal(birds, "detach", "own", "--yes")
    assert (done.code, "'own'" in done.stderr) == (1, True)
    await shoal(birds, "attach", *BIRDS, "--vector", "image")
    done = await shoal(birds, "collections", "delete", "birds", "--yes")
    assert (done.code, "`shoal detach birds`" in done.stderr) == (1, True)


# Other commands on what is attached.


async def test_corrections_are_undone_to_the_last_point(birds: Served, qdrant: AsyncQdrantClient) -> None:
    await attached_and_clustered(birds)
    before, theirs = await everything(qdrant), await everything(qdrant, but=KEY)
    for command in (
        ("pin", 1),
        ("rename", 1, "Herons"),
        ("merge", 1, 2),
        ("split", 1),
        ("dissolve", 3),
        ("move", image_of_point(8), "--to", 4),
    ):
        done = await shoal(birds, *command, *BIRDS)
        assert done.code == 0, done.stderr
    assert await everything(qdrant) != before
    assert await everything(qdrant, but=KEY) == theirs
    for correction in (await shoal(birds, "corrections", *BIRDS, "--json")).records:
        done = await shoal(birds, "undo", correction["id"], *BIRDS)
        assert done.code == 0, done.stderr
    assert await everything(qdrant) == before
    names = {each["name"] for each in (await shoal(birds, "clusters", *BIRDS, "--json")).records}
    assert "species: heron" in names
    assert "Herons" not in names


async def test_the_export_has_what_the_points_have(birds: Served, qdrant: AsyncQdrantClient, tmp_path: Path) -> None:
    await attached_and_clustered(birds)
    table = tmp_path / "birds.jsonl"
    assert (await shoal(birds, "export", "--output", table, *BIRDS)).code == 0
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    exported = {row["image_id"]: row["cluster_id"] for row in rows}
    wanted = {str(image_of_point(point)): cluster for point, cluster in (await keys(qdrant)).items()}  # type: ignore[arg-type]
    assert {image: cluster for image, cluster in exported.items() if cluster is not None and cluster >= 0} == wanted
    by_id = {row["image_id"]: row for row in rows}
    assert by_id[str(image_of_point(11))]["uri"].startswith("https://example.com/11.jpg")
    folder = tmp_path / "sorted"
    done = await shoal(birds, "export", "--folders", folder, *BIRDS)
    assert (done.code, "only file:// URIs" in done.stderr) == (3, True)


async def test_commands_that_look_find_what_there_is(birds: Served) -> None:
    await attached_and_clustered(birds)
    found = {}
    for command in ("themes", "places", "moments", "duplicates", "schedule", "facets", "noise", "runs"):
        done = await shoal(birds, command, *BIRDS, "--json")
        assert done.code == 0, done.stderr
        found[command] = done.records
    assert not [*found["themes"], *found["places"], *found["moments"], *found["duplicates"]]
    # The one without a direction is in no cluster either.
    assert len(found["noise"]) == 21
    assert [run["state"] for run in found["runs"]] == ["succeeded"]


async def test_a_schedule_of_its_own_and_noise_put_into_the_nearest(birds: Served, qdrant: AsyncQdrantClient) -> None:
    await attached_and_clustered(birds)
    theirs = await everything(qdrant, but=KEY)
    assert (await shoal(birds, "schedule", "set", "--every", "1d", *BIRDS)).code == 0
    [schedule] = (await shoal(birds, "schedule", *BIRDS, "--json")).records
    assert (schedule["interval_s"], schedule["server_default"]) == (86_400, False)
    done = await shoal(birds, "noise", "reassign", "--min-similarity", "-1", "--apply", *BIRDS)
    assert done.code == 0, done.stderr
    # All but the one without a direction.
    assert len(await keys(qdrant)) == 100
    assert await everything(qdrant, but=KEY) == theirs


# What the owner does meanwhile.


async def test_what_the_owner_writes_under_the_key_breaks_nothing(birds: Served, qdrant: AsyncQdrantClient) -> None:
    await attached_and_clustered(birds)
    theirs = await everything(qdrant, but=KEY)
    before = await keys(qdrant)
    written = {1: 777, 2: "mine", 4: -5, 5: 0, 7: None, 8: 2**62, 11: True, 13: 2.5, 14: [1]}
    for number, value in written.items():
        await qdrant.set_payload("birds", {KEY: value}, [number], wait=True)
    for command in (("facets",), ("clusters",), ("noise",), ("export", "--format", "jsonl"), ("noise", "reassign")):
        done = await shoal(birds, *command, *BIRDS)
        assert done.code == 0, done.stderr
    done = await shoal(birds, "merge", 1, 2, "--json", *BIRDS)
    assert done.code == 0, done.stderr
    done = await shoal(birds, "undo", done.records[0]["id"], *BIRDS)
    assert done.code == 0, done.stderr
    done = await shoal(birds, "cluster", *BIRDS)
    assert done.code == 0, done.stderr
    after = await keys(qdrant)
    assert {number: after[number] for number in written if number in before} == {
        number: before[number] for number in written if number in before
    }
    assert await everything(qdrant, but=KEY) == theirs


async def test_a_run_before_the_owner_wrote_under_the_key_can_be_put_in_force_again(
    birds: Served, qdrant: AsyncQdrantClient
) -> None:
    await attached_and_clustered(birds)
    [run] = (await shoal(birds, "runs", *BIRDS, "--json")).records
    before = await keys(qdrant)
    await qdrant.set_payload("birds", {KEY: 777}, [1], wait=True)
    assert (await shoal(birds, "cluster", *BIRDS)).code == 0
    done = await shoal(birds, "runs", "activate", run["id"], *BIRDS)
    assert done.code == 0, done.stderr
    assert {point: cluster for point, cluster in (await keys(qdrant)).items() if point != 1} == {
        point: cluster for point, cluster in before.items() if point != 1
    }


async def test_a_collection_made_again_with_other_vectors_is_said_so(birds: Served, qdrant: AsyncQdrantClient) -> None:
    await attached_and_clustered(birds)
    await qdrant.delete_collection("birds")
    vectors = {"image": models.VectorParams(size=7, distance=models.Distance.COSINE)}
    await qdrant.create_collection("birds", vectors_config=vectors)
    points = [models.PointStruct(id=n, vector={"image": [1.0, *[n / 60] * 6]}, payload={"n": n}) for n in range(1, 60)]
    await qdrant.upsert("birds", points, wait=True)
    before = await everything(qdrant)
    done = await shoal(birds, "cluster", *BIRDS)
    assert done.code == 1
    assert "have 7 dimensions, and had 16 when it was attached" in done.stderr
    assert (await shoal(birds, "detach", "birds", "--clean", "--yes")).code == 0
    assert await everything(qdrant) == before


async def test_a_second_detach_does_not_overtake_the_first(birds: Served, qdrant: AsyncQdrantClient) -> None:
    before = await everything(qdrant)
    await attached_and_clustered(birds)
    birds.clusterer.may_go_on.clear()
    await birds.clusters.RunClustering(RunClusteringRequest(parent="collections/birds"))
    async with AsyncClient(birds.address) as client:
        done = await asyncio.gather(*(client.detach("birds", clean=True) for _ in range(3)), return_exceptions=True)
    assert [each for each in done if not isinstance(each, NotFound)] == [80]
    assert await everything(qdrant) == before


# The SDK.


async def test_the_sdk_attaches_clusters_and_detaches(birds: Served, qdrant: AsyncQdrantClient) -> None:
    before = await everything(qdrant)
    async with AsyncClient(birds.address) as client:
        where = {"must": [{"key": "seen", "match": {"value": True}}]}
        made = await client.attach("birds", collection_id="seen", vector="image", payload_key=KEY, where=where)
        assert (made.id, made.image_count, made.cluster_count, made.model.dimension) == ("seen", 50, 0, 16)
        assert made.attachment is not None
        assert (made.attachment.source, made.attachment.vector, made.attachment.payload_key) == ("birds", "image", KEY)
        assert json.loads(made.attachment.filter) == where
        run = await client.collection("seen").recluster()
        assert run.state is RunState.SUCCEEDED
        exported = [each async for each in client.collection("seen").export()]
        clustered = {point_id(each.image.id): each.cluster_id for each in exported if each.cluster_id is not None}
        assert clustered == await keys(qdrant)
        with pytest.raises(AlreadyExists):
            await client.attach("birds", collection_id="seen", vector="image", payload_key="other")
        with pytest.raises(FailedPrecondition, match="shoal detach seen"):
            await client.delete_collection("seen")
        assert await client.detach("seen", clean=True) == len(clustered) > 0
        with pytest.raises(NotFound):
            await client.detach("seen")
    assert await everything(qdrant) == before


async def test_the_synchronous_sdk_does_the_same(birds: Served, qdrant: AsyncQdrantClient) -> None:
    before = await everything(qdrant)

    def use() -> int:
        with Client(birds.address) as client:
            made = client.attach("birds", vector="image", where=json.dumps({"must_not": []}))
            assert (made.id, made.image_count) == ("birds", 101)
            assert made.attachment is not None
            assert made.attachment.payload_key == "cluster_id"
            client.collection("birds").recluster()
            with pytest.raises(InvalidArgument, match="payload_key"):
                client.attach("birds", collection_id="x", vector="image", payload_key="a.b")
            return client.detach("birds", clean=True)

    assert await asyncio.to_thread(use) == 80
    assert await everything(qdrant) == before

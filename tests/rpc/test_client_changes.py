"""The change feed through the SDK and the command line, from a server that really listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal.v1.image_service_pb2 import DeleteImageRequest
from shoal_client import AsyncClient, Client, FailedPrecondition, InvalidArgument, NotFound, qdrant
from tests.rpc.conftest import Served, serving
from tests.rpc.test_client_cli import Done, shoal_at
from tests.rpc.test_client_fake import FakeServer


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "data") as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        yield served


async def shoal(server: Served, *arguments: object) -> Done:
    """Runs a command beside the server."""
    return await asyncio.to_thread(shoal_at(cast("FakeServer", server)), *arguments, "--collection", "photos")


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_watching(server: Served) -> None:
    await server.three_colors(4)
    async with AsyncClient(server.address) as client:
        photos = client.collection("photos")
        answers = [each async for each in photos.watch_assignments(until_now=True)]
        assert answers[-1].current
        assert [each.token is None for each in answers] == [True, False]
        first = answers[0].assignments[0]
        assert (first.cluster_id, first.removed, first.point_id) == (None, False, first.image)
        assert answers[0].time.tzinfo is not None

        [new] = await server.store("red", [50])
        await server.images.DeleteImage(DeleteImageRequest(name=f"collections/photos/images/{first.image}"))
        [changed] = [each async for each in photos.watch_assignments(answers[-1].token, until_now=True)]
        removed = {each.image: each.removed for each in changed.assignments}
        assert removed == {first.image: True, new.name.rpartition("/")[2]: False}

        live = photos.watch_assignments(changed.token)
        assert (await anext(live)).current
        await server.store("green", [51])
        assert len((await anext(live)).assignments) == 1
        await live.aclose()

        with pytest.raises(InvalidArgument, match="token"):
            await anext(photos.watch_assignments("nonsense"))
        with pytest.raises(NotFound):
            await anext(client.collection("others").watch_assignments())
        await client.delete_collection("photos")
        await client.create_collection("photos")
        with pytest.raises(FailedPrecondition) as raised:
            await anext(photos.watch_assignments(changed.token))
        assert raised.value.reason == "CHANGES_EXPIRED"


async def test_watching_without_asyncio(server: Served) -> None:
    await server.three_colors(4)

    def watch() -> list[int]:
        with Client(server.address) as client:
            return [len(each.assignments) for each in client.collection("photos").watch_assignments(until_now=True)]

    assert sum(await asyncio.to_thread(watch)) == 12


async def test_a_file_keeps_the_token(server: Served, tmp_path: Path) -> None:
    await server.three_colors()
    state = tmp_path / "state"
    done = await shoal(server, "changes", "--since-file", state, "--json")
    assert (done.code, len(done.records), done.stderr) == (0, 36, "")
    assert set(done.records[0]) == {"id", "point_id", "cluster_id", "removed"}
    assert not (await shoal(server, "changes", "--since-file", state, "--json")).stdout
    await server.recluster()
    done = await shoal(server, "changes", "--since-file", state, "--json")
    assert {record["cluster_id"] for record in done.records} == {1, 2, 3}
    assert names_in(tmp_path) == {"data", "state"}


async def test_without_a_file_it_says_how_to_go_on(server: Served) -> None:
    await server.three_colors(1)
    done = await shoal(server, "changes")
    assert [line.split("  ")[1] for line in done.stdout.splitlines()] == ["in none"] * 3
    assert "3 images; go on with: shoal changes --since " in done.stderr
    token = done.stderr.split("--since ")[1].split()[0]
    [new] = await server.store("red", [50])
    done = await shoal(server, "changes", "--since", token)
    assert done.stdout.split("  ")[0] == new.name.rpartition("/")[2]
    await server.images.DeleteImage(DeleteImageRequest(name=new.name))
    assert "  removed" in (await shoal(server, "changes", "--since", token)).stdout


async def test_what_is_no_token(server: Served, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("two words")
    done = await shoal(server, "changes", "--since-file", state)
    assert (done.code, "holds no token" in done.stderr) == (1, True)
    done = await shoal(server, "changes", "--since-file", tmp_path)
    assert (done.code, "a folder" in done.stderr) == (1, True)
    done = await shoal(server, "changes", "--since", "x", "--since-file", state)
    assert (done.code, "--since-file" in done.stderr) == (2, True)
    done = await shoal(server, "changes", "--since", "nonsense")
    assert (done.code, "token" in done.stderr) == (1, True)


async def test_what_has_expired(server: Served, tmp_path: Path) -> None:
    state = tmp_path / "state"
    await shoal(server, "changes", "--since-file", state)
    kept = state.read_bytes()
    async with AsyncClient(server.address) as client:
        await client.delete_collection("photos")
        await client.create_collection("photos")
    done = await shoal(server, "changes", "--since-file", state)
    assert done.code == 1
    assert f"remove {state}" in " ".join(done.stderr.split())
    assert state.read_bytes() == kept


async def test_filters_for_themes_of_real_clusters(server: Served) -> None:
    await server.three_colors()
    await server.recluster()
    async with AsyncClient(server.address) as client:
        photos = client.collection("photos")
        themes = await photos.themes()
        for theme in themes:
            assert await qdrant.in_theme_async(photos, theme.id) == qdrant.in_cluster(*sorted(theme.clusters))

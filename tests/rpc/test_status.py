"""How a server is: over gRPC, in Python, and on the command line."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal_client import AsyncClient, Client, ServerStatus
from shoal_client.cli import app
from shoal_server.adapters.batching import BatchingEmbedder
from shoal_server.adapters.edge_store import EdgeStore
from shoal_server.adapters.key_file import KeyFile
from shoal_server.application.vitals import Vitals
from shoal_server.domain.access import Role, make_key
from shoal_server.domain.collection import Collection
from shoal_server.domain.errors import ModelBroken, StoreIncompatible
from tests.rpc.conftest import Served, serving
from tests.rpc.faults import slow, stumble


async def status_of(server: Served) -> ServerStatus:
    async with AsyncClient(server.address) as client:
        return await client.status()


async def command(server: Served, *options: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, ["status", "--server", server.address, *options])


async def test_a_server_that_is_well(served: Served) -> None:
    await served.three_colors()
    await served.recluster()
    before = datetime.now(UTC)
    found = await status_of(served)
    assert found.healthy
    assert found.problems == ()
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", found.version)
    assert before - timedelta(minutes=5) < found.started_at < before
    assert (found.model.name, found.model.healthy, found.model.problem) == ("debug", True, "")
    assert found.model.latency is not None
    assert timedelta(0) < found.model.latency < timedelta(seconds=5)
    assert found.store.healthy
    assert found.store.latency is not None
    assert (found.queue_length, found.queue_limit, found.other_servers) == (0, 1024, 0)
    [photos] = found.collections
    assert (photos.id, photos.image_count, photos.unclustered_count, photos.cluster_count) == ("photos", 36, 0, 3)
    assert (photos.running, photos.problem) == (None, "")
    assert photos.last_run_at is not None
    assert before - timedelta(minutes=5) < photos.last_run_at <= before


async def test_a_run_under_way(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await server.three_colors()
        server.clusterer.may_go_on.clear()
        following = asyncio.create_task(server.recluster())
        async with asyncio.timeout(20):
            while not (found := (await status_of(server)).collections[0]).running or not found.progress:
                await asyncio.sleep(0.02)
        assert 0 < found.progress < 1
        server.clusterer.may_go_on.set()
        run = await following
        assert found.running == run.name.rpartition("/")[2]


async def test_on_the_command_line(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        shown = await command(server)
        assert shown.exit_code == 0, shown.output
        assert f"{server.address}, Shoal " in shown.stdout
        assert re.search(r"model\s+debug: works \(\d+ ms\)", shown.stdout)
        assert re.search(r"store\s+(embedded|Qdrant at \S+): works \(\d+ ms\)", shown.stdout)
        assert re.search(r"queue\s+0 of 1024", shown.stdout)
        assert re.search(r"photos\s+0\s+0\s+0\s+-\s+-", shown.stdout)
        as_json = await command(server, "--json")
        assert as_json.exit_code == 0
        record = json.loads(as_json.stdout)
        assert record["healthy"] is True
        assert record["problems"] == []
        assert record["model"]["name"] == "debug"
        assert [each["name"] for each in record["collections"]] == ["photos"]


async def test_nobody_answers() -> None:
    shown = await asyncio.to_thread(CliRunner().invoke, app, ["status", "--server", "127.0.0.1:1"])
    assert shown.exit_code == 1
    assert "no Shoal server answers at 127.0.0.1:1" in shown.stderr


async def test_a_broken_model_is_told_and_the_exit_status_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: object, text: str) -> Any:
        raise ModelBroken("debug", "it fails its self-test (RuntimeError)")

    async with serving(tmp_path) as server:
        monkeypatch.setattr(BatchingEmbedder, "embed_text", broken)
        monkeypatch.setattr(BatchingEmbedder, "problem", "it fails its self-test (RuntimeError)")
        found = await status_of(server)
        assert (found.healthy, found.model.healthy, found.store.healthy) == (False, False, True)
        assert found.model.latency is None
        shown = await command(server)
        assert shown.exit_code == 1
        assert "debug: does not work" in shown.stdout
        assert "error: the model debug does not work: it fails its self-test (RuntimeError)" in shown.stderr
        as_json = await command(server, "--json")
        assert as_json.exit_code == 1
        assert json.loads(as_json.stdout)["healthy"] is False


async def test_a_store_that_does_not_answer_is_told_with_what_was_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as server:
        await server.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        await server.three_colors(each=2)
        assert (await status_of(server)).healthy
        stumble(monkeypatch, "list_collections", times=10**6)
        found = await status_of(server)
        assert not found.store.healthy
        assert "stumbled" in found.store.problem
        assert [each.image_count for each in found.collections] == [6]


async def test_a_store_that_is_slow_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Vitals.__init__

    def impatient(self: Vitals, *arguments: Any, **named: Any) -> None:
        begin(self, *arguments, **named, timeout_s=0.2)

    monkeypatch.setattr(Vitals, "__init__", impatient)
    async with serving(tmp_path) as server:
        slow(monkeypatch, "list_collections", 1)
        found = await status_of(server)
        assert found.store.problem == "it has not answered within 0.2 s"


async def test_callers_are_told_of_their_own_collections_only(tmp_path: Path) -> None:
    somewhere, bound = make_key("a friend", Role.READ, frozenset({"photos"}), datetime.now(UTC), None)
    everywhere, kept = make_key("the owner", Role.ADMIN, None, datetime.now(UTC), None)
    await asyncio.to_thread(KeyFile(tmp_path / "keys.json").change, lambda keys: (*keys, bound, kept))
    async with serving(tmp_path) as server:
        async with AsyncClient(server.address, api_key=everywhere) as client:
            for name in ("photos", "secrets"):
                await client.create_collection(name)
            assert [each.id for each in (await client.status()).collections] == ["photos", "secrets"]
        async with AsyncClient(server.address, api_key=somewhere) as client:
            assert [each.id for each in (await client.status()).collections] == ["photos"]


async def test_what_is_the_matter_is_told_to_those_who_may_know_of_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why the store does not work may name another collection."""
    somewhere, bound = make_key("a friend", Role.ADMIN, frozenset({"photos"}), datetime.now(UTC), None)
    everywhere, kept = make_key("the owner", Role.READ, None, datetime.now(UTC), None)
    await asyncio.to_thread(KeyFile(tmp_path / "keys.json").change, lambda keys: (*keys, bound, kept))
    async with serving(tmp_path) as server:

        async def fail(store: EdgeStore) -> list[Collection]:
            raise StoreIncompatible("the record of collection 'secrets' cannot be read")

        monkeypatch.setattr(EdgeStore, "list_collections", fail)
        async with AsyncClient(server.address, api_key=everywhere) as client:
            assert "'secrets'" in (await client.status()).store.problem
        async with AsyncClient(server.address, api_key=somewhere) as client:
            status = await client.status()
            assert status.store.problem == "it does not work"
            assert not status.healthy


async def test_the_synchronous_client_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:

        def ask() -> ServerStatus:
            with Client(server.address) as client:
                return client.status()

        assert (await asyncio.to_thread(ask)).healthy

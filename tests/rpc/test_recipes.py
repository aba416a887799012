"""What docs/recipes.md says is done: its Python runs, its HTTP bodies are what Qdrant takes."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import qdrant_client
from pydantic import BaseModel
from qdrant_client import AsyncQdrantClient, QdrantClient, models

import shoal_client
from shoal.v1.collection_service_pb2 import CreateCollectionRequest
from shoal_server import bootstrap
from shoal_server.adapters.qdrant_store import QdrantStore
from shoal_server.settings import Settings
from tests.fakes import COLORS
from tests.rpc.conftest import Served, serving

RECIPES = Path(__file__).resolve().parents[2] / "docs" / "recipes.md"
BODIES: dict[str, type[BaseModel]] = {
    "points/query": models.QueryRequest,
    "points/query/groups": models.QueryGroupsRequest,
    "points/count": models.CountRequest,
    "points/scroll": models.ScrollRequest,
    "facet": models.FacetRequest,
}

CURL = re.compile(r"curl -s localhost:6333/collections/photos/(\S+) -H '\S+ \S+' -d '\n(.*?)'", re.DOTALL)


def blocks(language: str) -> list[str]:
    """The document's blocks of code in a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", RECIPES.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def copied(store: AsyncQdrantClient) -> QdrantClient:
    """What Shoal has written, for the synchronous client, as it is on a server for everybody."""
    copy = QdrantClient(":memory:")
    copy._client.collections = store._client.collections  # type: ignore[attr-defined]
    return copy


async def test_every_recipe_in_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = AsyncQdrantClient(":memory:")

    async def in_memory(settings: Settings) -> QdrantStore:
        return QdrantStore(client, "in memory")

    monkeypatch.setattr(bootstrap.serving, "open_store", in_memory)
    async with serving(tmp_path / "data") as served:
        await served.collections.CreateCollection(CreateCollectionRequest(collection_id="photos"))
        for color in COLORS:
            await served.store(color, range(6))
        await served.recluster()
        theme = await _theme(served)
        assigned = await served.assigned()
        cluster = min(int(name.rpartition("/")[2]) for name in assigned.values() if name)
        [reference, *_] = [name for name, found in assigned.items() if found.endswith(f"/{cluster}")]
        known = {
            "vector": [1.0] + [0.0] * (_dimension(client) - 1),
            "image": reference.rpartition("/")[2],
            "theme": theme.id,
        }
        results = await asyncio.to_thread(_run, client, served.address, cluster, known, tmp_path, monkeypatch)
    sizes = Counter(int(name.rpartition("/")[2]) for name in assigned.values() if name)
    assert results["sizes"] == sizes
    assert len(results["everything"]) == sizes[cluster]
    assert results["unclustered"] == 6 * len(COLORS) - sizes.total()
    assert len(results["best"]) == 5
    assert set(results["best"]) <= set(sizes)
    assert all(len(uris) <= 2 for uris in results["best"].values())
    assert {point.payload["cluster_id"] for point in results["similar"]} == {cluster}
    assert results["found"]
    assert {point.payload["cluster_id"] for point in results["found"]} <= set(theme.clusters) - {cluster}
    with closing(sqlite3.connect(tmp_path / "photos.db")) as table:
        rows = dict(table.execute("SELECT image, cluster FROM assignments"))
    assert rows == {
        name.rpartition("/")[2]: int(found.rpartition("/")[2]) if found else None for name, found in assigned.items()
    }


async def _theme(served: Served) -> shoal_client.Theme:
    async with shoal_client.AsyncClient(served.address) as client:
        return max(await client.collection("photos").themes(), key=lambda theme: len(theme.clusters))


def _dimension(client: AsyncQdrantClient) -> int:
    return int(client._client.collections["photos"].config.vectors.size)  # type: ignore[attr-defined]


def _run(
    client: AsyncQdrantClient,
    address: str,
    cluster: int,
    known: dict[str, Any],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Any]:
    """Runs all blocks one after another, as a reader does; the results by their names."""
    results: dict[str, Any] = dict(known)
    stored = copied(client)
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(qdrant_client, "QdrantClient", lambda url: stored)
        for block in blocks("python"):
            # Addresses and the numbers of clusters are the only things that are the reader's own.
            code = re.sub(r"\b17\b", str(cluster), block).replace("localhost:50051", address)
            exec(compile(code, str(RECIPES), "exec"), results)  # noqa: S102 - our own document
    return results


def test_every_body_is_one_that_qdrant_takes() -> None:
    bodies = [each for block in blocks("sh") for each in CURL.findall(block)]
    assert len(bodies) == sum(block.count("curl") for block in blocks("sh")) == 7
    assert {path for path, _ in bodies} == BODIES.keys()
    for path, body in bodies:
        given = json.loads(body)
        read = BODIES[path].model_validate(given)
        assert json.loads(read.model_dump_json(exclude_unset=True, by_alias=True)) == given


#: Stands for the command: the lines of ``all`` after those that the token counts.
SHOAL = """#!/bin/sh
for word; do
  if [ "$before" = --since-file ]; then file=$word; fi
  before=$word
done
told=$(cat "$file" 2>/dev/null || echo 0)
tail -n "+$((told + 1))" all
wc -l < all > "$file"
"""
#: Stands for the reader's own program, which fails while there is ``broken``.
LOAD = """#!/bin/sh
[ ! -e broken ] && cat "$1" >> loaded
"""


def test_what_could_not_be_loaded_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [recipe] = [block for block in blocks("sh") if "--since-file" in block]
    for name, program in (("shoal", SHOAL), ("load-into-the-database", LOAD)):
        (tmp_path / name).write_text(program)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    told = tmp_path / "all"
    broken = tmp_path / "broken"
    for number in range(2):
        with told.open("a") as file:
            file.write(f"change {2 * number}\nchange {2 * number + 1}\n")
        broken.touch()
        assert subprocess.run(["/bin/sh", "-c", recipe], cwd=tmp_path, check=False).returncode != 0
        broken.unlink()
        subprocess.run(["/bin/sh", "-c", recipe], cwd=tmp_path, check=True)
        assert (tmp_path / "loaded").read_text() == told.read_text()


def test_every_recipe_is_told_in_both_languages() -> None:
    sections = re.split(r"^## ", RECIPES.read_text("utf-8"), flags=re.MULTILINE)[1:]
    for section in sections:
        assert "```python" in section, section.splitlines()[0]
        if "from shoal_client" not in section:
            assert "```sh" in section, section.splitlines()[0]

"""``shoal ingest --ray`` with several workers: the same points as through a server, also after it was interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient

from tests.end_to_end.conftest import ServerProcess
from tests.fakes import COLORS, picture
from tests.standin.process import StandIn, standing_in

pytest.importorskip("ray")

IMAGES = 60


Points = dict[str, tuple[list[float], dict[str, Any]]]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Where workers and servers store."""
    with standing_in(tmp_path / "qdrant") as started:
        monkeypatch.setenv("SHOAL_QDRANT_URL", started.url)
        monkeypatch.setenv("SHOAL_QDRANT_GRPC_PORT", str(started.grpc_port))
        monkeypatch.setenv("SHOAL_FILES_URL", (tmp_path / "files").as_uri())
        monkeypatch.setenv("SHOAL_MODEL", "debug")
        yield started


def points(store: StandIn, collection: str) -> Points:
    """Vector and payload of every point; the places of the same bytes are in no order."""
    client = QdrantClient(url=store.url, grpc_port=store.grpc_port, prefer_grpc=True, check_compatibility=False)
    if not client.collection_exists(collection):
        return {}
    records, _ = client.scroll(collection, limit=1000, with_vectors=True)
    client.close()
    found: Points = {}
    for record in records:
        payload = dict(record.payload or {})
        payload["places"] = sorted([payload.pop("uri"), *payload.pop("also_at", [])])
        assert isinstance(record.vector, list)
        found[str(record.id)] = ([float(value) for value in record.vector], payload)  # type: ignore[arg-type]
    return found


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Different images, one of them twice, and one that is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(IMAGES):
        color = list(COLORS)[number % len(COLORS)]
        (folder / f"{number:02}.png").write_bytes(picture(color, number, at=(48.0, 11.0)))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff and nothing else")
    (folder / "twice.png").write_bytes((folder / "07.png").read_bytes())
    return folder


def ingest_with_ray(photos: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "shoal_client", "ingest", "--ray", "--collection", "workers", "--json"]
    return subprocess.Popen(
        [*command, "--tag", "one", *options, str(photos)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


# Ray and its workers are started twice, which takes most of the time.
@pytest.mark.timeout(600)
def test_interrupted_and_run_again_it_stores_what_a_server_stores(
    store: StandIn, photos: Path, tmp_path: Path, servers: list[ServerProcess]
) -> None:
    # Slow enough to be interrupted: few images are under way, and each write takes its time.
    store.order({"methods": ["Points.Upsert"], "delay_ms": 300})
    interrupted = ingest_with_ray(photos, "--ray-workers", "1", "--ray-reads", "1")
    while interrupted.poll() is None and len(points(store, "workers")) < 5:
        time.sleep(0.1)
    interrupted.send_signal(signal.SIGINT)
    out, said = interrupted.communicate(timeout=120)
    assert interrupted.returncode == 130, (out, said)
    assert "interrupted; run it again" in said
    store.order()
    time.sleep(0.5)  # what was under way in the store
    first = points(store, "workers")
    assert 5 <= len(first) < IMAGES

    failures = tmp_path / "failures.jsonl"
    again = ingest_with_ray(photos, "--ray-workers", "2", "--failures", str(failures))
    out, said = again.communicate(timeout=400)
    assert again.returncode == 3, (out, said)
    # Nothing of Ray's own is printed.
    (complaint,) = said.splitlines()
    assert "broken.jpg" in complaint
    failure, sums = map(json.loads, out.splitlines())
    assert failure["path"] == str(photos / "broken.jpg")
    assert (sums["stored"], sums["duplicates"], sums["failed"]) == (IMAGES - len(first), len(first) + 1, 1)
    assert json.loads(failures.read_text())["tags"] == ["one"]
    stored = points(store, "workers")
    # What was stored is not embedded and written again.
    times = {name: payload["ingested_at"] for name, (_, payload) in stored.items()}
    assert all(times[name] == payload["ingested_at"] for name, (_, payload) in first.items())

    servers.append(ServerProcess(tmp_path / "data"))
    servers[-1].shoal("ingest", str(photos), "--collection", "server", "--tag", "one", status=3)
    expected = points(store, "server")
    for _, payload in (*stored.values(), *expected.values()):
        del payload["ingested_at"]
    assert len(expected) == IMAGES
    assert stored == expected
    thumbnails = {name: _files(tmp_path / "files" / "files" / name) for name in ("workers", "server")}
    assert thumbnails["workers"] == thumbnails["server"]
    assert len(thumbnails["server"]) == IMAGES


def _files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.rglob("*.webp")}

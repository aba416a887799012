"""Two servers as processes on one Qdrant: what one was killed over, the other one brings to its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import ServerProcess
from tests.fakes import picture
from tests.standin.process import StandIn

COLORS = ("red", "green", "blue")
LEASE_S = 3


@pytest.fixture
def shared_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Servers that are started store in one Qdrant, and their files in one folder."""
    store = StandIn(tmp_path / "qdrant")
    store.start()
    monkeypatch.setenv("SHOAL_QDRANT_URL", store.url)
    monkeypatch.setenv("SHOAL_QDRANT_GRPC_PORT", str(store.grpc_port))
    monkeypatch.setenv("SHOAL_FILES_URL", (tmp_path / "files").as_uri())
    monkeypatch.setenv("SHOAL_LEASE_S", str(LEASE_S))
    monkeypatch.setenv("SHOAL_RECLUSTER_AUTOMATICALLY", "false")
    yield
    store.kill()


def clusters_of(server: ServerProcess) -> dict[str, set[object]]:
    """The clusters that the pictures of each colour are in."""
    found: dict[str, set[object]] = {color: set() for color in COLORS}
    for image in server.shoal("images", "list"):
        color = next(color for color in COLORS if color in image["uri"])
        found[color].add(image["cluster_id"])
    return found


@pytest.mark.usefixtures("shared_store")
@pytest.mark.parametrize("writes", [0, 2])
def test_killed_while_writing_ids_back(tmp_path: Path, servers: list[ServerProcess], writes: int) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for color in COLORS:
        for number in range(12):
            (photos / f"{color}{number}.png").write_bytes(picture(color, number))
    program = Path(__file__).with_name("killed_while_writing.py")
    doomed = ServerProcess(tmp_path / "a", sys.executable, str(program), str(writes), "serve")
    servers.append(doomed)
    servers.append(ServerProcess(tmp_path / "b"))
    other = servers[-1]
    other.shoal("ingest", str(photos))
    assert doomed.shoal_process("cluster", "--method", "kmeans", "--clusters", "3").returncode != 0
    doomed.process.wait(30)
    deadline = time.monotonic() + 60
    while not (runs := other.shoal("runs")) or runs[0]["state"] != "succeeded":
        assert time.monotonic() < deadline, runs
        time.sleep(0.2)
    found = clusters_of(other)
    assert all(len(clusters) == 1 for clusters in found.values()), found
    assert len({tuple(clusters) for clusters in found.values()}) == 3
    assert None not in set.union(*found.values())
    # It does not only finish: it goes on by itself.
    other.shoal("merge", "1", "2")
    again = ServerProcess(tmp_path / "a")
    servers.append(again)
    assert clusters_of(again) == clusters_of(other)

"""``shoal map`` against a server that really listens."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.v1 import cluster_service_pb2, image_pb2
from tests.rpc.test_client_cli import Shoal, shoal_at
from tests.rpc.test_client_fake import FakeServer, serving

DEFAULT = "collections/default"
HOSTILE = "<img src=x onerror=alert(1)>"
Assignment = cluster_service_pb2.ExportAssignmentsResponse.Assignment


def image(number: int, name: str) -> image_pb2.Image:
    return image_pb2.Image(
        name=f"{DEFAULT}/images/00000000-0000-0000-0000-{number:012}", sha256=f"{number}", uri=f"file:///a/{name}"
    )


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """Two images in a cluster, one of them with a hostile name, one in none, and one that is not on the map."""
    with serving() as fake:
        cluster = {"cluster": f"{DEFAULT}/clusters/7", "display_name": HOSTILE}
        fake.assignments = [
            Assignment(image=image(1, f"{HOSTILE}.jpg"), **cluster, strength=0.2, x=1, y=2),
            Assignment(image=image(2, "b.jpg"), **cluster, strength=0.9, x=1.5, y=2),
            Assignment(image=image(3, "c.jpg"), x=-1, y=0),
            Assignment(image=image(4, "d.jpg")),
        ]
        yield fake


@pytest.fixture
def shoal(server: FakeServer) -> Shoal:
    return shoal_at(server)


def told(page: Path) -> dict[str, Any]:
    """The data in a page."""
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.DOTALL)
    found: dict[str, Any] = json.loads(data)
    return found


def test_the_map_is_one_file(shoal: Shoal, tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    done = shoal("map", "--output", page)
    assert done.code == 0, done.stderr
    assert "3 images" in done.stdout
    assert "<img" not in page.read_text()
    data = told(page)
    assert data["title"] == "default"
    assert data["files"] == [f"{HOSTILE}.jpg", "b.jpg", "c.jpg"]
    assert data["cluster_names"] == [[7, HOSTILE]]


def test_a_file_that_is_there_stays_unless_one_says_so(shoal: Shoal, tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    page.write_text("mine")
    done = shoal("map", "--output", page)
    assert done.code == 1
    assert "is there already" in done.stderr
    assert page.read_text() == "mine"
    assert shoal("map", "--output", page, "--force", "--title", "Mine", "--json").code == 0
    assert told(page)["title"] == "Mine"


def test_without_a_map_it_says_what_to_do(shoal: Shoal, server: FakeServer, tmp_path: Path) -> None:
    server.assignments = server.assignments[3:]
    done = shoal("map", "--output", tmp_path / "map.html")
    assert done.code == 1
    assert "shoal cluster" in done.stderr
    assert not (tmp_path / "map.html").exists()


def test_photos_are_bounded(shoal: Shoal, server: FakeServer, tmp_path: Path) -> None:
    page = tmp_path / "map.html"
    server.images[DEFAULT] = {each.image.name: each.image for each in server.assignments}
    assert shoal("map", "--output", page, "--thumbnails", "2").code == 0
    # The firmest of the cluster goes first.
    assert [row for row, _ in told(page)["thumbnails"]] == [1, 0]
    assert all(address.startswith("data:image/webp;base64,") for _, address in told(page)["thumbnails"])

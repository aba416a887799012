"""What a picture of the map holds."""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime

from shoal_client.export.map_points import map_data, on_map, shown_first
from shoal_client.results import ExportedImage, Image, ImageMetadata

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def point(
    number: int, cluster: int | None, strength: float = 0.5, *, uri: str = "", placed: bool = True
) -> ExportedImage:
    metadata = ImageMetadata(width=1, height=1, format="PNG", byte_size=1)
    image = Image(
        id=f"image-{number}", sha256="", uri=uri, metadata=metadata, tags=(), ingested_at=NOW, cluster_id=cluster
    )
    name = None if cluster is None else f"cluster {cluster}"
    x, y = (float(number), -float(number)) if placed else (None, None)
    return ExportedImage(image, cluster, name, strength, x, y)


def test_images_without_a_place_are_left_out() -> None:
    assert [each.image.id for each in on_map([point(0, 1), point(1, 1, placed=False)])] == ["image-0"]


def test_every_cluster_has_photos_before_one_has_many() -> None:
    points = [point(0, 1, 0.1), point(1, 1, 0.9), point(2, 1, 0.5), point(3, None), point(4, 2)]
    assert shown_first(points, 3) == [1, 4, 2]
    assert shown_first(points, 10) == [1, 4, 2, 0, 3]
    assert shown_first(points, 0) == []


def test_what_the_page_reads() -> None:
    points = [point(0, 7, uri="file:///a/%3Cb%3E.jpg"), point(1, None, uri="c\\d.jpg"), point(2, 7)]
    data = map_data("mine", points, {1: b"webp"}, NOW)
    assert data["title"] == "mine"
    assert struct.unpack("<3f", base64.b64decode(data["x"])) == (0, 1, 2)
    assert struct.unpack("<3f", base64.b64decode(data["y"])) == (0, -1, -2)
    assert struct.unpack("<3i", base64.b64decode(data["clusters"])) == (7, -1, 7)
    assert data["cluster_names"] == [(7, "cluster 7")]
    assert data["files"] == ["<b>.jpg", "c\\d.jpg", "image-2"]
    assert data["thumbnails"] == [(1, "data:image/webp;base64,d2VicA==")]
    assert data["created"] == "2026-01-02T00:00:00+00:00"

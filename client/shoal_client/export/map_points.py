"""What a picture of the map holds: where the images are, which cluster each is in, and what some of them look like."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import chain, zip_longest
from pathlib import PurePosixPath
from sys import byteorder
from typing import Any
from urllib.parse import unquote, urlsplit

from shoal_client.results import ExportedImage

#: The cluster of images in none.
_NONE = -1


def on_map(exported: Iterable[ExportedImage]) -> list[ExportedImage]:
    """Those that have a place on the map: images that came after the run have none."""
    return [each for each in exported if each.x is not None and each.y is not None]


def shown_first(points: Sequence[ExportedImage], most: int) -> list[int]:
    """At most so many of the points, by index, of all clusters in turn: the firmest first, those in none last."""
    clusters: dict[int, list[int]] = {}
    for index, point in enumerate(points):
        clusters.setdefault(_NONE if point.cluster_id is None else point.cluster_id, []).append(index)
    in_none = clusters.pop(_NONE, [])
    firmest = [sorted(its, key=lambda index: -points[index].strength) for its in clusters.values()]
    in_turn = chain.from_iterable(zip_longest(*firmest))
    return [index for index in chain(in_turn, in_none) if index is not None][:most]


def map_data(
    title: str, points: Sequence[ExportedImage], thumbnails: Mapping[int, bytes], created: datetime
) -> dict[str, Any]:
    """What the page reads, as JSON can say it.

    Args:
        title: of the page.
        points: all of them with a place.
        thumbnails: WebP files, by index of the point.
        created: when the data was read.
    """
    names = {point.cluster_id: point.cluster_name or "" for point in points if point.cluster_id is not None}
    return {
        "title": title,
        "created": created.isoformat(),
        "x": _base64(array("f", [point.x or 0.0 for point in points])),
        "y": _base64(array("f", [point.y or 0.0 for point in points])),
        "clusters": _base64(array("i", [_NONE if p.cluster_id is None else p.cluster_id for p in points])),
        "cluster_names": sorted(names.items()),
        "files": [_file_name(point) for point in points],
        "thumbnails": [
            (index, f"data:image/webp;base64,{base64.b64encode(content).decode()}")
            for index, content in thumbnails.items()
        ],
    }


def _file_name(point: ExportedImage) -> str:
    path = urlsplit(point.image.uri).path if "://" in point.image.uri else point.image.uri
    return PurePosixPath(unquote(path)).name or point.image.id


def _base64(values: array[Any]) -> str:
    if byteorder == "big":
        values.byteswap()
    return base64.b64encode(values.tobytes()).decode()

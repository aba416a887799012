"""Where every picture belongs in a tree of folders, one for each cluster."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from shoal_client.export.safe_names import file_names, folder_name
from shoal_client.results import ExportedImage

UNCLUSTERED = "unclustered"


@dataclass(frozen=True, slots=True)
class Placed:
    """A picture and its place.

    Attributes:
        image_id: whose.
        path: below the folder of the export, with ``/``.
        source: the picture.
    """

    image_id: str
    path: str
    source: Path


@dataclass(frozen=True, slots=True)
class NotPlaced:
    """An image that cannot be put into a folder, and why."""

    image_id: str
    uri: str
    problem: str


def place(exported: Iterable[ExportedImage]) -> tuple[list[Placed], list[NotPlaced]]:
    """Gives each image a folder ``<id> <name>``, or ``unclustered``, and a file name that is unique in there."""
    names: dict[int, str | None] = {}
    folders: dict[int | None, dict[str, str]] = {}
    sources: dict[str, Path] = {}
    failed = []
    for each in exported:
        image = each.image
        source = local_path(image.uri)
        if source is None:
            problem = "only file:// URIs can be put into folders" if image.uri else "it was stored without a URI"
            failed.append(NotPlaced(image.id, image.uri, problem))
            continue
        sources[image.id] = source
        if each.cluster_id is not None:
            names.setdefault(each.cluster_id, each.cluster_name)
        folders.setdefault(each.cluster_id, {})[image.id] = source.name
    placed = []
    for cluster, wanted in folders.items():
        folder = UNCLUSTERED if cluster is None else folder_name(cluster, names[cluster])
        placed += [Placed(image, f"{folder}/{name}", sources[image]) for image, name in file_names(wanted).items()]
    return placed, failed


def local_path(uri: str) -> Path | None:
    """The file that a ``file://`` URI of this machine names; None for any other URI."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme != "file" or parts.netloc not in ("", "localhost"):
        return None
    # `url2pathname` loses the bytes of a name that is no text; `Path.as_uri` keeps them.
    name = url2pathname(parts.path) if os.name == "nt" else os.fsdecode(unquote_to_bytes(parts.path))
    return Path(name) if name and "\0" not in name else None

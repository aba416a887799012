"""The places that files are kept in, and what is in them as others see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from shoal_server.adapters.files import Folder, ObjectStorage, Place

#: A folder of one server's own, one that several share, and two object storages.
KINDS = ["folder", "file", "memory", "s3"]


@dataclass(frozen=True, slots=True)
class Spot:
    """A place that several objects may open, one after another.

    Attributes:
        kind: one of KINDS.
        url: as fsspec takes it.
    """

    kind: str
    url: str

    def open(self) -> Place:
        """As a server does."""
        if self.kind in ("folder", "file"):
            return Folder(Path(self.url.removeprefix("file://")), shared=self.kind == "file")
        return ObjectStorage(self.url)

    def names(self) -> list[str]:
        """The files in it, without those that are not for others."""
        system, root = fsspec.url_to_fs(self.url, use_listings_cache=False)
        found = (str(path).removeprefix(f"{root}/") for path in system.find(root))
        return sorted(name for name in found if not name.startswith((".lock", ".scratch/")))

    def content(self, name: str) -> bytes:
        """A file, as any program reads it."""
        system, root = fsspec.url_to_fs(self.url)
        return bytes(system.cat_file(f"{root}/{name}"))

    def put(self, name: str, content: bytes) -> None:
        """Puts a file there behind Shoal's back."""
        system, root = fsspec.url_to_fs(self.url)
        if self.kind in ("folder", "file"):
            system.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
        system.pipe_file(f"{root}/{name}", content)


def spot_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> Spot:
    """An empty place of this kind."""
    if kind in ("folder", "file"):
        return Spot(kind, f"file://{folder}")
    if kind == "memory":
        return Spot(kind, f"memory://{uuid4().hex}/files")
    return Spot(kind, f"{request.getfixturevalue('s3_bucket')}/{uuid4().hex}/files")

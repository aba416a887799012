"""The data folder as what is backed up: of a store that is open, or of a folder that no server works with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path

from shoal_server.adapters.edge_store import files, folder_format, room
from shoal_server.adapters.edge_store.archive import RUN_FILES, FolderArchive
from shoal_server.adapters.edge_store.setting_aside import record_is_gone
from shoal_server.adapters.edge_store.sparse import taken_bytes
from shoal_server.adapters.edge_store.store import EdgeStore
from shoal_server.application.backup import Snapshot
from shoal_server.domain.collection import is_collection_id
from shoal_server.domain.errors import StoreIncompatible

#: Of an archive, for each of its files.
_HEADER_BYTES = 1024


class OpenFolder:
    """A ``BackupSource``: the folder of a store that is open."""

    def __init__(self, store: EdgeStore, folder: Path, runs: Path | None, image_files: Path | None) -> None:
        """Args:
        store: open.
        folder: its own.
        runs: folder of the runs' files; None: they are kept elsewhere.
        image_files: folder of the images' files; None: they are kept elsewhere.
        """
        self._store = store
        self._folder = folder
        self._runs = runs
        self._image_files = image_files

    def estimate(self, *, with_files: bool) -> int:
        """About how many bytes an archive will have; blocks."""
        return _estimate([self._folder / "collections", self._runs, self._image_files if with_files else None])

    def archive(self) -> FolderArchive:
        """A new archive."""
        return FolderArchive(folder_format.read_format(self._folder), self._image_files)

    def snapshot(self, collection: str) -> AbstractAsyncContextManager[Snapshot]:
        """A collection with its runs' files as they are at one moment."""
        beside = {} if self._runs is None else {f"{RUN_FILES}/{collection}": self._runs / collection}
        return self._store.snapshot(collection, beside)


def closed_folder(folder: Path, runs: Path | None, image_files: Path | None) -> Iterator[tuple[bytes, int]]:
    """The archive of a folder that no server works with, which is not changed, and about how long it will be. Blocks.

    Args:
        folder: the data folder; locked until the iterator ends.
        runs: folder of the runs' files; None: they are kept elsewhere.
        image_files: folder of the images' files; None: they are left out, or kept elsewhere.

    Raises:
        FolderInUse: a server works with it.
        StoreIncompatible: it is no data folder with a store in it, a newer version wrote it, or the record of a
            collection is gone.
        OSError: it cannot be read.
    """
    collections = folder / "collections"
    if not collections.is_dir():
        raise StoreIncompatible(
            f"{folder} is no data folder with a store in it; name one with --data", folder=str(folder)
        )
    with files.lock_folder(folder):
        try:
            format_ = folder_format.check_readable(folder)
        except FileNotFoundError as error:
            raise StoreIncompatible(
                f"{folder} has no {folder_format.FILE}, so Shoal did not make it; name another folder with --data"
            ) from error
        for place in sorted(path for path in collections.iterdir() if path.is_dir()):
            if is_collection_id(place.name) and room.lost(place):
                gone = record_is_gone(place)
                raise StoreIncompatible(f"collection {place.name!r} cannot be copied: {gone.message}", **gone.metadata)
        estimate = _estimate([collections, runs, image_files])
        with closing(FolderArchive(format_, image_files)) as archive:
            for block in _whole(archive, collections, runs):
                yield block, estimate


def _whole(archive: FolderArchive, collections: Path, runs: Path | None) -> Iterator[bytes]:
    yield from archive.opening()
    for place in sorted(path for path in collections.iterdir() if path.is_dir()):
        if room.exists(place):
            yield from archive.collection(place.name, place)
            if runs is not None:
                yield from archive.tree(f"{RUN_FILES}/{place.name}", runs / place.name)
            yield from archive.files(place.name)
    yield from archive.closing()


def _estimate(folders: list[Path | None]) -> int:
    present = [folder for folder in folders if folder is not None]
    count = sum(1 for folder in present for _ in folder.rglob("*"))
    return sum(map(taken_bytes, present)) + count * _HEADER_BYTES

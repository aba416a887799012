"""One collection on disk and open: its record, its shards, its history.

    collection.json   the collection exists exactly if this file does
    arriving.json     it is being moved here, and does not exist yet
    disposable        it is being made or removed: without a record, what is here is cleared away at the next start
    images/           shard of images
    clusters/         shard of clusters, those of all runs
    runs/<run>.json
    groupings/<run>.json             themes, places and moments of a run
    corrections/<correction>.json
    images.new/       a copy of images/ whose index is being built
    images.old/       what images/ was until that copy took its place
    unindexed.json    how many images were written since the index was built, for the next start

Everything here blocks.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import qdrant_edge as edge

from shoal_server.adapters.edge_store import files
from shoal_server.adapters.edge_store.upgrading import upgrade_images
from shoal_server.application.migrating import Arrival
from shoal_server.domain import records
from shoal_server.domain.collection import Collection
from shoal_server.domain.errors import StoreIncompatible

RECORD = "collection.json"
ARRIVING = "arriving.json"
DISPOSABLE = "disposable"
IMAGES = "images"
CLUSTERS = "clusters"
RUNS = "runs"
GROUPINGS = "groupings"
CORRECTIONS = "corrections"
NEW_IMAGES = "images.new"
OLD_IMAGES = "images.old"
UNINDEXED = "unindexed.json"

#: How often what a crash left is tried to be removed, and seconds in between.
_CLEARING, _CLEARING_PAUSE_S = 30, 0.1
#: Writes between two flushes. What is not flushed is read again from the write-ahead log when the shard is opened.
_FLUSH_EVERY = 5_000


@dataclass(slots=True)
class Room:
    """An open collection.

    Attributes:
        folder: where it is.
        record: as in its file.
        images: points are images.
        clusters: points are clusters of runs.
        writing: held while images are written, and while they must not be.
        touched: images written since the copy for the index was made; None while there is no copy.
        unflushed: writes since the last flush.
        unindexed: images written since the index was built. The engine moves each of them out of the index, and does
            not say so: it counts as indexed what is only deleted there.
        unasked: images stored since it was last asked whether an index is worth its while.
    """

    folder: Path
    record: Collection
    images: edge.EdgeShard
    clusters: edge.EdgeShard
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    touched: set[UUID] | None = None
    unflushed: int = 0
    unindexed: int = 0
    unasked: int = 0

    def update_images(self, operation: edge.UpdateOperation, ids: Sequence[UUID], *, deletes: bool = False) -> None:
        """Applies an operation on these images; when it returns, it is in the write-ahead log."""
        if self.touched is not None:
            # Before the write: one that fails half-way has touched them too.
            self.touched.update(ids)
        self.images.update(operation)
        self.unflushed += len(ids)
        if not deletes:
            self.unindexed += len(ids)
        if self.unflushed >= _FLUSH_EVERY:
            self.images.flush()
            self.unflushed = 0
            self.note_unindexed()

    def save(self, record: Collection) -> None:
        """Replaces the record."""
        files.write_record(self.folder / RECORD, records.collection_to_record(record))
        self.record = record

    def note_unindexed(self) -> None:
        """Keeps the number of images without an index; where that is lost, one index is built too many or too late."""
        with suppress(OSError):
            files.write_record(self.folder / UNINDEXED, {"images": self.unindexed})

    def establish(self) -> None:
        """Lets a new collection exist, in one step."""
        self.save(self.record)
        _keep(self.folder)
        files.sync_folder(self.folder.parent)

    def announce(self, source: str) -> None:
        """Says durably that the collection is being moved here, and from where."""
        announced = {"source": source, "collection": records.collection_to_record(self.record)}
        files.write_record(self.folder / ARRIVING, announced)
        _keep(self.folder)

    def arrive(self, record: Collection) -> None:
        """Lets the collection exist, in one step, with this record."""
        self.images.flush()
        self.clusters.flush()
        self.save(record)
        (self.folder / ARRIVING).unlink(missing_ok=True)
        files.sync_folder(self.folder)

    def close(self) -> None:
        """Makes everything durable and lets go of it."""
        for shard in (self.images, self.clusters):
            shard.flush()
            shard.close()
        self.note_unindexed()

    def delete(self) -> None:
        """Removes the collection; a crash on the way leaves one that does not exist and is cleared away later."""
        _renounce(self.folder)
        self.images.close()
        self.clusters.close()
        remove(self.folder)


def exists(folder: Path) -> bool:
    """Whether there is a collection in a folder, and not only what is left of one."""
    return (folder / RECORD).exists()


def lost(folder: Path) -> bool:
    """Whether somebody has taken away the record of the collection in a folder."""
    return not (exists(folder) or (folder / ARRIVING).exists() or _disposable(folder))


def begin(folder: Path) -> None:
    """Makes the folder of a new collection, of which nobody misses anything before it exists or arrives."""
    folder.mkdir()
    (folder / DISPOSABLE).touch()
    files.sync_folder(folder)


def remove(folder: Path) -> None:
    """Removes what is left of a collection that does not exist; what says that nobody misses it goes last."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != DISPOSABLE:
            entry.unlink()
    shutil.rmtree(folder)
    files.sync_folder(folder.parent)


def delete(folder: Path) -> None:
    """Removes a collection that is not open; a crash on the way leaves what is cleared away later."""
    _renounce(folder)
    remove(folder)


def read(folder: Path) -> Collection:
    """The record of a collection.

    Raises:
        FileNotFoundError: it is gone.
        StoreIncompatible: it cannot be understood.
    """
    remedy = "put this file back from a backup; all else that the collection has is still in its folder"
    return files.read_record(folder / RECORD, records.collection_from_record, remedy)


def load(folder: Path) -> Room:
    """Opens a collection after putting right what a crash has left.

    Raises:
        StoreIncompatible: the record cannot be understood.
    """
    record = read(folder)
    # What a crash left between a collection's arrival and the removal of the file that announced it.
    (folder / ARRIVING).unlink(missing_ok=True)
    return _load(folder, record)


def arriving(folder: Path) -> Arrival | None:
    """The collection that is being moved into a folder; None if none is.

    Raises:
        StoreIncompatible: the file that says so cannot be understood.
    """
    if exists(folder) or not (folder / ARRIVING).exists():
        return None
    return files.read_record(
        folder / ARRIVING,
        lambda announced: Arrival(records.collection_from_record(announced["collection"]), str(announced["source"])),
        "put this file back from a backup, or begin again with moving the collection here",
    )


def load_arriving(folder: Path, arrival: Arrival) -> Room:
    """Opens a collection that is being moved into a folder."""
    return _load(folder, arrival.record)


def _load(folder: Path, record: Collection) -> Room:
    _keep(folder)
    files.remove_temporaries(folder)
    for history in (RUNS, GROUPINGS, CORRECTIONS):
        files.remove_temporaries(folder / history)
    _finish_swap(folder)
    images = edge.EdgeShard.load(str(folder / IMAGES))
    try:
        upgrade_images(images)
        clusters = edge.EdgeShard.load(str(folder / CLUSTERS))
    except BaseException:
        images.close()
        raise
    # Not before the shard that took its place is known to be readable.
    _remove_copies(folder)
    return Room(folder=folder, record=record, images=images, clusters=clusters, unindexed=_unindexed(folder, images))


def _keep(folder: Path) -> None:
    """From here on what is in the folder is missed if it goes."""
    (folder / DISPOSABLE).unlink(missing_ok=True)


def _renounce(folder: Path) -> None:
    """Lets a collection exist no more, in one durable step."""
    (folder / DISPOSABLE).touch()
    files.sync_folder(folder)
    for existence in (ARRIVING, RECORD):
        (folder / existence).unlink(missing_ok=True)
    files.sync_folder(folder)


def _disposable(folder: Path) -> bool:
    """Whether nobody misses what is in a folder without a record; nor is a folder missed in which no file is."""
    return (folder / DISPOSABLE).exists() or all(path.is_dir() for path in folder.rglob("*"))


def _unindexed(folder: Path, images: edge.EdgeShard) -> int:
    try:
        return files.read_record(folder / UNINDEXED, lambda record: int(record["images"]))
    except (FileNotFoundError, StoreIncompatible):
        # An older version did not count, or it was lost: as many as there may be.
        return images.info().points_count


def swap_images(room: Room) -> None:
    """Puts the shard in ``images.new`` in the old one's place; it has all that that has, durably, and is closed."""
    room.images.close()
    (room.folder / IMAGES).rename(room.folder / OLD_IMAGES)
    (room.folder / NEW_IMAGES).rename(room.folder / IMAGES)
    files.sync_folder(room.folder)
    room.images = edge.EdgeShard.load(str(room.folder / IMAGES))
    room.unflushed = 0
    room.unindexed = len(room.touched or ())
    room.note_unindexed()
    shutil.rmtree(room.folder / OLD_IMAGES)


def _finish_swap(folder: Path) -> None:
    if not (folder / IMAGES).exists() and (folder / OLD_IMAGES).exists():
        # The crash came between the two renames: the old shard is whole, and nothing was written since.
        (folder / OLD_IMAGES).rename(folder / IMAGES)
        files.sync_folder(folder)


def _remove_copies(folder: Path) -> None:
    for leftover in (NEW_IMAGES, OLD_IMAGES):
        if (folder / leftover).exists():
            _clear(folder / leftover)


def _clear(folder: Path) -> None:
    """Removes a folder that a process of a server which was killed may still write to, for the moment until it ends."""
    for _ in range(_CLEARING):
        with suppress(OSError):
            shutil.rmtree(folder)
            return
        time.sleep(_CLEARING_PAUSE_S)
    shutil.rmtree(folder)

"""Puts the archive of a data folder where a server can use it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shoal_server.adapters.edge_store import files, folder_format
from shoal_server.adapters.edge_store.unpacking import Unpacked, unpack
from shoal_server.domain.errors import FolderNotWritable, StoreFull, StoreIncompatible
from shoal_server.domain.full_disk import is_full

#: What is being unpacked. It is in the data folder itself, which may be a disk of its own.
_RESTORING = ".restoring"
#: Says, in there, that all was unpacked and checked, and is being put in its place.
_CHECKED = ".checked"
#: Of a data folder, what belongs to the server that works with it and not to its store.
_STAYS = {".lock", _RESTORING, "keys.json", "audit.log"}


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a folder.

    Attributes:
        unpacked: what the archive held.
        before: where is what stood in the folder before; None if it was empty.
    """

    unpacked: Unpacked
    before: Path | None


def restore(
    archive: Path, folder: Path, *, force: bool = False, progress: Callable[[int], None] = lambda _: None
) -> Restored:
    """Unpacks an archive into an empty or new folder; blocks.

    Nothing of it is in its place before all of it is unpacked and checked. What is cut short can be done again.

    Args:
        archive: a file that ``shoal backup`` wrote.
        folder: a data folder; made if it does not exist.
        force: if it is not empty, put what is in it into a folder in it, rather than refuse.
        progress: told how many bytes of the archive were read.

    Raises:
        FolderInUse: a server works with the folder.
        StoreIncompatible: the folder is not empty, or the archive is no archive, too new, or damaged.
        StoreFull: the disk is full.
        FolderNotWritable: the folder cannot be written to.
        OSError: the archive cannot be read.
    """
    with archive.open("rb"):
        pass  # before anything is made
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = files.lock_folder(folder)
    except OSError as error:
        raise FolderNotWritable(str(folder), error.strerror or str(error)) from error
    with lock:
        return _restore(archive, folder, force, progress)


def _restore(archive: Path, folder: Path, force: bool, progress: Callable[[int], None]) -> Restored:
    _clear_leftovers(folder)
    present = _entries(folder)
    if present and not force:
        raise StoreIncompatible(
            f"the folder {folder} is not empty; restore into another one, or use --force, which puts what is in it "
            "aside and removes nothing",
            folder=str(folder),
        )
    place = folder / _RESTORING
    try:
        place.mkdir()
        unpacked = unpack(archive, place, progress)
        before = _put_aside(folder, present) if present else None
        _put_in_place(folder, place)
    except OSError as error:
        shutil.rmtree(place, ignore_errors=True)
        if is_full(error):
            raise StoreFull(str(folder)) from error
        raise
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return Restored(unpacked, before)


def _clear_leftovers(folder: Path) -> None:
    """Removes what a restore has left that was cut short, and nothing that a server may have written since."""
    place = folder / _RESTORING
    if not place.exists():
        return
    if (place / _CHECKED).exists() and not (folder / folder_format.FILE).exists():
        # It was cut short while it put things in their place; no server starts on these without the format.
        for name in (place / _CHECKED).read_text(encoding="utf-8").split():
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
    shutil.rmtree(place)


def _put_aside(folder: Path, present: list[Path]) -> Path:
    # The format first: without it, what is left in the folder is none that a server takes for its own.
    before = folder / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    before.mkdir()
    for path in sorted(present, key=lambda each: each.name != folder_format.FILE):
        path.rename(before / path.name)
    files.sync_folder(before)
    files.sync_folder(folder)
    return before


def _put_in_place(folder: Path, place: Path) -> None:
    if os.name != "nt":
        # All that was unpacked, before the first of it is seen.
        os.sync()
    arriving = sorted(_entries(place), key=lambda path: path.name == folder_format.FILE)
    (place / _CHECKED).write_text("\n".join(path.name for path in arriving), encoding="utf-8")
    files.sync_folder(place)
    for path in arriving:
        path.rename(folder / path.name)
    files.sync_folder(folder)
    shutil.rmtree(place)


def _entries(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name not in _STAYS and path.name != _CHECKED]

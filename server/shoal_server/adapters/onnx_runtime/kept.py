"""Exported models in the cache: a folder for each, which is there whole or not at all.

Servers that start at the same time share the cache. Each that finds no model makes one beside, and renames its folder;
the first wins, and the others take what it made.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_NOTES = "notes.json"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """An exported model.

    Attributes:
        folder: with its files.
        notes: what was written down when it was made.
    """

    folder: Path
    notes: Mapping[str, Any]


def kept_or_made(folder: Path, make: Callable[[Path], Mapping[str, Any]]) -> Kept:
    """What a folder of the cache holds; if it is not there or damaged, it is made.

    Args:
        folder: of the model.
        make: writes the files into the empty folder that it is given, and returns notes, which JSON can hold.

    Raises:
        OSError: the cache cannot be written.
    """
    kept = _read(folder)
    if kept is not None:
        return kept
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part") as unfinished:
        made = Path(unfinished) / folder.name
        made.mkdir()
        notes = make(made)
        files = {file.name: _digest(file) for file in sorted(made.iterdir())}
        (made / _NOTES).write_text(json.dumps({"files": files, "notes": notes}, indent=1), encoding="utf-8")
        for file in made.iterdir():
            _sync(file)
        return _put(made, folder, Path(unfinished))


def _put(made: Path, folder: Path, aside: Path) -> Kept:
    """Moves a folder to its place, past a damaged one; what somebody else has put there meanwhile is taken instead."""
    for _ in range(2):
        # A folder that is not empty is not replaced.
        with suppress(OSError):
            made.rename(folder)
        if (kept := _read(folder)) is not None:
            return kept
        with suppress(FileNotFoundError):
            folder.rename(aside / "damaged")
    raise OSError(f"{folder} cannot be written, or something changes what is in it")


def _read(folder: Path) -> Kept | None:
    """What is kept, or None if that is nothing that can be used."""
    try:
        record = json.loads((folder / _NOTES).read_text(encoding="utf-8"))
        sound = all(_digest(folder / name) == digest for name, digest in record["files"].items())
        kept = Kept(folder, dict(record["notes"]))
    except FileNotFoundError:
        if folder.exists():
            _logger.warning("a file of the exported model in %s is missing; it is exported again", folder)
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _logger.warning("the exported model in %s cannot be read (%r); it is exported again", folder, error)
        return None
    if not sound:
        _logger.warning("the exported model in %s is damaged; it is exported again", folder)
        return None
    return kept


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())

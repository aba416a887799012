"""Collections that cannot be opened: each keeps its files and its name, and the others are served."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from shoal_server.adapters.edge_store import room
from shoal_server.domain.collection import Collection, EmbeddingModel
from shoal_server.domain.errors import ShoalError, StoreIncompatible

#: Of what the engine says.
_LONGEST = 300


def set_aside(folder: Path, error: BaseException) -> Collection:
    """The record of a collection that cannot be opened, with the reason in it.

    Args:
        folder: the collection's.
        error: why not.
    """
    return replace(
        _known(folder),
        unusable=f"collection {folder.name!r} cannot be used: {_problem(folder, error)}. Then start the server again, "
        "or delete the collection",
    )


def record_is_gone(folder: Path) -> StoreIncompatible:
    """What to say of a collection whose record somebody has taken away."""
    path = folder / room.RECORD
    return StoreIncompatible(
        f"its record {path} is gone; put this file back, from a backup if need be; all else that the collection has "
        "is still in its folder",
        file=str(path),
    )


def _known(folder: Path) -> Collection:
    """Its record; or where that cannot be read, one that says no more than its name."""
    try:
        return room.read(folder)
    except (FileNotFoundError, StoreIncompatible):
        changed_at = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
        return Collection(id=folder.name, model=EmbeddingModel("", "", 0), created_at=changed_at)


def _problem(folder: Path, error: BaseException) -> str:
    if isinstance(error, ShoalError):
        return error.message
    said = (str(error).splitlines() or [""])[0][:_LONGEST]
    return f"what is in {folder} cannot be opened ({type(error).__name__}: {said}); restore that folder from a backup"

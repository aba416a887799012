"""``shoal backup --data``: reads a data folder that no server works with. The client's half writes the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from shoal_server.adapters.edge_store.archive import IMAGE_FILES, RUN_FILES
from shoal_server.adapters.edge_store.backing_up import closed_folder
from shoal_server.store_commands.telling import telling


def blocks(data: Path, with_files: bool) -> Iterator[tuple[bytes, int]]:
    """The bytes of an archive, and about how many there will be in all.

    Args:
        data: the folder.
        with_files: thumbnails and originals too.

    Raises:
        typer.Exit: it cannot be read; why is told.
    """
    with telling("backup"):
        yield from closed_folder(data, data / RUN_FILES, data / IMAGE_FILES if with_files else None)

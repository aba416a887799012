"""``shoal restore``: unpacks a backup."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from shoal_server.adapters.edge_store.restoring import Restored
from shoal_server.adapters.edge_store.restoring import restore as restore_folder
from shoal_server.settings import default_data_folder
from shoal_server.store_commands.telling import telling


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `shoal backup` wrote, compressed or not.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", envvar="SHOAL_DATA", help="The data folder, empty or not there yet."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="If DIR is not empty, put what is in it aside, in a folder in it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object.")] = False,
) -> None:
    """Unpacks a backup into a data folder and checks every file of it; nothing is in its place before all are right.

    No server may work with the folder meanwhile.
    """
    folder = default_data_folder() if data is None else data
    console = Console(stderr=True, highlight=False)
    bar = Progress(
        TextColumn("restoring"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with telling("restore"), bar:
        task = bar.add_task("", total=file.stat().st_size)
        done = restore_folder(file, folder, force=force, progress=lambda read: bar.update(task, completed=read))
    if as_json:
        typer.echo(json.dumps(_record(done, folder)))
    else:
        typer.echo(_words(done, folder))


def _record(done: Restored, folder: Path) -> dict[str, object]:
    return {
        "folder": str(folder),
        "created_at": done.unpacked.created_at.isoformat(),
        "shoal": done.unpacked.shoal,
        "collections": done.unpacked.collections,
        "files": done.unpacked.files,
        "bytes": done.unpacked.bytes,
        "before": None if done.before is None else str(done.before),
    }


def _words(done: Restored, folder: Path) -> str:
    unpacked = done.unpacked
    collections = ", ".join(
        name if images is None else f"{name} ({images} images)" for name, images in unpacked.collections.items()
    )
    lines = [
        f"restored the backup of {unpacked.created_at.astimezone():%Y-%m-%d %H:%M} to {folder}: "
        f"{unpacked.files} files, all as they were; collections: {collections or 'none'}"
    ]
    if done.before is not None:
        lines.append(f"what was there before is in {done.before}")
    return "\n".join(lines)

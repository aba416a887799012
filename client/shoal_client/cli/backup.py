"""``shoal backup``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from shoal_client.archive_file import archive_file
from shoal_client.cli.options import JsonOption, ServerOption, connection
from shoal_client.cli.output import error_console, print_record
from shoal_client.errors import MissingExtra
from shoal_client.transport import DEFAULT_TARGET

#: Where the server half says how to read a data folder that no server works with: a function of the folder and of
#: whether images' files are wanted, that yields the archive's bytes and about how many there will be in all.
OFFLINE = "shoal.backup"


def backup(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="FILE.tar, or FILE.tar.gz to compress it.")
    ],
    without_files: Annotated[
        bool, typer.Option("--without-files", help="Leave out thumbnails and originals of the images.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace FILE if it is there.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Of this data folder, which no server works with.")
    ] = None,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Writes a copy of the server's data folder, as it is at one moment, to a file; `shoal restore` unpacks it.

    The server goes on meanwhile. What it stores in Qdrant or in a bucket is not in it.
    """
    if str(output) == "-":
        raise typer.BadParameter(
            "name a file: what is written is complete only when it is there", param_hint="--output"
        )
    bar = Progress(
        TextColumn("backing up"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(compact=True),
        console=(console := error_console()),
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=None)

        def show(received: int, estimate: int) -> None:
            bar.update(task, completed=received, total=max(estimate, received) or None)

        if data is None:
            with connection(server) as client:
                written = client.backup(output, overwrite=overwrite, with_files=not without_files, on_progress=show)
        else:
            written = back_up_folder(data, output, overwrite=overwrite, with_files=not without_files, on_progress=show)
    print_record({"path": str(output), "bytes": output.stat().st_size, "archive_bytes": written}, as_json=as_json)


def back_up_folder(
    data: Path, output: Path, *, overwrite: bool, with_files: bool, on_progress: Callable[[int, int], object]
) -> int:
    """Writes a copy of a folder that no server works with; how many bytes before they were compressed.

    Raises:
        MissingExtra: the server half is not installed.
        AlreadyExists: there is such a file, and it is not to be overwritten.
        OSError: it cannot be written.
        typer.Exit: the folder cannot be read; the server half has said why.
    """
    written = 0
    blocks = _blocks(data, with_files=with_files)
    with archive_file(output, overwrite=overwrite) as write:
        for block, estimate in blocks:
            write(block)
            written += len(block)
            on_progress(written, estimate)
    return written


def _blocks(data: Path, *, with_files: bool) -> Iterator[tuple[bytes, int]]:
    for entry in entry_points(group=OFFLINE):
        try:
            read: Callable[[Path, bool], Iterator[tuple[bytes, int]]] = entry.load()
        except ModuleNotFoundError:
            continue
        return read(data, with_files)
    raise MissingExtra("backing up a folder needs the server half: pip install 'shoal[server]'")

"""``shoal export``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from shoal_client.cli.ingest import SOME_FAILED
from shoal_client.cli.options import DEFAULT_COLLECTION, CollectionOption, JsonOption, ServerOption, opened
from shoal_client.cli.output import console, error_console, print_json, printable, warn
from shoal_client.cli.progress import image_progress
from shoal_client.cli.words import count
from shoal_client.collection import Collection
from shoal_client.export.folders import Sorted, sort_into
from shoal_client.export.parquet_file import check_parquet, write_parquet
from shoal_client.export.placement import NotPlaced, place
from shoal_client.export.record import PARTIAL, Manner
from shoal_client.export.rows import row
from shoal_client.export.text_files import TEXT_FORMATS
from shoal_client.transport import DEFAULT_TARGET


class Format(Enum):
    """How a table is written."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"


def export(
    format_: Annotated[
        Format | None, typer.Option("--format", help="Of the table; by the suffix of --output if left out.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Where to; stdout if left out.")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Of this run; the clusters as they are if left out.")
    ] = None,
    folders: Annotated[
        Path | None,
        typer.Option("--folders", metavar="DIR", help="Instead of a table: the pictures, in a folder a cluster."),
    ] = None,
    symlink: Annotated[bool, typer.Option("--symlink", help="With --folders: symbolic links (the default).")] = False,
    hardlink: Annotated[bool, typer.Option("--hardlink", help="With --folders: hard links.")] = False,
    copy: Annotated[bool, typer.Option("--copy", help="With --folders: copies.")] = False,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Exports every image with its cluster as a table, or sorts the pictures themselves into a folder a cluster.

    Sorting again changes only what differs. Exit code 3: some pictures could not be put into a folder.
    """
    manners = [manner for manner, chosen in zip(Manner, (symlink, hardlink, copy), strict=True) if chosen]
    if folders is not None:
        if format_ is not None or output is not None:
            raise typer.BadParameter("--folders does not go with --format or --output; export twice")
        if len(manners) > 1:
            raise typer.BadParameter("give one of --symlink, --hardlink and --copy")
        with opened(server, collection) as target:
            sort_pictures(target, run, folders, (manners or [Manner.SYMLINK])[0], as_json=as_json)
        return
    if manners:
        raise typer.BadParameter(f"--{manners[0].value} goes with --folders DIR")
    chosen = chosen_format(format_, output, as_json=as_json)
    if chosen is Format.PARQUET:
        check_parquet()
    with opened(server, collection) as target:
        if output is None:
            print_table(target, run, chosen)
        else:
            write_table(target, run, chosen, output, as_json=as_json)


def chosen_format(given: Format | None, output: Path | None, *, as_json: bool) -> Format:
    """The format asked for, by its name, the file's suffix, or ``--json``.

    Raises:
        typer.BadParameter: none was, or one that does not go to stdout.
    """
    by_suffix = {f".{each.value}": each for each in Format}
    by_suffix[".pq"] = Format.PARQUET
    found = given
    if found is None and output is not None:
        found = by_suffix.get(output.suffix.lower())
    if found is None and output is None and as_json:
        found = Format.JSONL
    if found is None:
        raise typer.BadParameter("give --format parquet, csv or jsonl, or --folders DIR")
    if output is None and found is Format.PARQUET:
        raise typer.BadParameter("a Parquet file does not go to stdout; give --output FILE")
    if output is None and as_json and found is not Format.JSONL:
        raise typer.BadParameter("--json without --output is --format jsonl")
    return found


def print_table(collection: Collection, run: str | None, chosen: Format) -> None:
    """Writes a table to stdout."""
    stdout = typer.get_binary_stream("stdout")
    stdout.writelines(TEXT_FORMATS[chosen.value](map(row, collection.export(run))))
    stdout.flush()


def write_table(collection: Collection, run: str | None, chosen: Format, output: Path, *, as_json: bool) -> None:
    """Writes a table to a file, which appears only when it is whole.

    Raises:
        OSError: it cannot be written.
    """
    written = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal written
        with image_progress(error_console()) as progress:
            bar = progress.add_task("exporting", total=None)
            for each in collection.export(run):
                written += 1
                progress.advance(bar)
                yield row(each)

    partial = output.with_name(f"{output.name}{PARTIAL}")
    try:
        if chosen is Format.PARQUET:
            write_parquet(partial, rows())
        else:
            with partial.open("wb") as file:
                file.writelines(TEXT_FORMATS[chosen.value](rows()))
        partial.replace(output)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    if as_json:
        print_json({"images": written, "format": chosen.value, "path": str(output)})
    else:
        line = f"{count(written, 'image')} written to {output}"
        console().print(printable(line), markup=False, soft_wrap=True)


def sort_pictures(collection: Collection, run: str | None, folder: Path, manner: Manner, *, as_json: bool) -> None:
    """Sorts the pictures into folders, and tells what became of them.

    Raises:
        FailedPrecondition: the folder holds what no export put there.
        typer.Exit: some could not be put into a folder.
    """
    placed, unplaced = place(collection.export(run))
    with image_progress(error_console()) as progress:
        bar = progress.add_task("sorting", total=len(placed))
        outcome = sort_into(folder, placed, manner, lambda: progress.advance(bar))
    outcome.failed[:0] = unplaced
    _tell(outcome, folder, as_json=as_json)
    if outcome.failed:
        raise typer.Exit(SOME_FAILED)


def _tell(outcome: Sorted, folder: Path, *, as_json: bool) -> None:
    for each in outcome.failed:
        warn(f"failed: {_failure(each)}", error_console())
        if as_json:
            print_json({"id": each.image_id, "uri": each.uri, "error": each.problem})
    for path in outcome.orphans:
        warn(f"left: {folder / path} belongs nowhere now, but its picture is gone", error_console())
    sums = {
        "made": outcome.made,
        "renamed": outcome.renamed,
        "removed": outcome.removed,
        "unchanged": outcome.unchanged,
        "left": len(outcome.orphans),
        "failed": len(outcome.failed),
    }
    if as_json:
        print_json({**sums, "folder": str(folder)})
        return
    line = ", ".join(f"{number} {what}" for what, number in sums.items() if number or what in ("made", "failed"))
    console().print(printable(f"{line} in {folder}"), markup=False, soft_wrap=True)


def _failure(failed: NotPlaced) -> str:
    return f"image {failed.image_id} ({failed.uri or 'no URI'}): {failed.problem}"

"""``shoal ingest``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from shoal_client.cli.options import DEFAULT_COLLECTION, CollectionOption, JsonOption, ServerOption, opened
from shoal_client.cli.output import console, error_console, print_json, warn
from shoal_client.cli.progress import image_progress
from shoal_client.cli.records import failure_record, ingest_record
from shoal_client.collection import Collection
from shoal_client.errors import NotFound, ShoalError
from shoal_client.files import find_images
from shoal_client.results import IngestResult, Outcome
from shoal_client.transport import DEFAULT_TARGET

SOME_FAILED = 3


def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Image files, or folders to walk.")],
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A label; may be repeated.")] = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Stores images. Exit code 0: all are in; 3: some failed, each named on stderr; 1: nothing could be done."""
    tally = Tally(as_json=as_json)
    try:
        found = find_images(paths)
        for problem in found.problems:
            tally.fail(problem.metadata["path"], problem)
        if not found.files:
            raise NotFound(f"no image files were found in {', '.join(str(path) for path in paths)}")
        with opened(server, collection) as target:
            store(target, found.files, tag or [], tally)
    finally:
        tally.show()
    if tally.failed:
        raise typer.Exit(SOME_FAILED)


class Tally:
    """Counts what became of the images, and names those that failed as they do."""

    def __init__(self, *, as_json: bool) -> None:
        self.stored = 0
        self.duplicates = 0
        self.failed = 0
        self.console = error_console()
        self._as_json = as_json
        self._began = time.monotonic()

    def count(self, path: Path, result: IngestResult) -> None:
        """Counts one result."""
        match result.outcome:
            case Outcome.STORED:
                self.stored += 1
            case Outcome.DUPLICATE:
                self.duplicates += 1
            case Outcome.FAILED if result.error is not None:
                self.fail(str(path), result.error)

    def fail(self, path: str, error: ShoalError) -> None:
        """Counts and names one failure."""
        self.failed += 1
        text = error.message if path in error.message else f"{path}: {error.message}"
        warn(f"failed: {text}", self.console)
        if self._as_json:
            print_json(failure_record(path, error))

    def show(self) -> None:
        """Prints the sums."""
        seconds = time.monotonic() - self._began
        if self._as_json:
            print_json(ingest_record(self.stored, self.duplicates, self.failed, seconds))
        else:
            sums = f"{self.stored} stored, {self.duplicates} duplicates, {self.failed} failed"
            console().print(f"{sums} in {seconds:.1f} s")


def store(collection: Collection, files: list[Path], tags: list[str], tally: Tally) -> None:
    """Ingests files with a progress bar.

    Raises:
        ShoalError: the ingest as a whole failed.
    """
    with image_progress(tally.console) as progress:
        bar = progress.add_task("ingesting", total=len(files))
        for result in collection.ingest(files, tags=tags):
            tally.count(files[result.index], result)
            progress.advance(bar)

"""``shoal ingest``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from shoal_client.cli.interruption import Interruptible
from shoal_client.cli.options import DEFAULT_COLLECTION, CollectionOption, JsonOption, ServerOption, opened
from shoal_client.cli.output import console, error_console, print_json, warn
from shoal_client.cli.progress import image_progress
from shoal_client.cli.records import failure_record, ingest_record
from shoal_client.collection import Collection
from shoal_client.errors import NotFound, ShoalError
from shoal_client.files import FoundFiles, find_images
from shoal_client.results import IngestResult, Outcome
from shoal_client.transport import DEFAULT_TARGET

SOME_FAILED = 3


def ingest(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", readable=False, help="Image files, or folders to walk.")
    ],
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="A label; may be repeated.")] = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Stores images. Exit code 0: all are in; 3: some failed, each named on stderr; 1: nothing could be done."""
    tally = Tally(as_json=as_json)
    try:
        found = find_images(paths)
        tally.pass_over(found)
        for problem in found.problems:
            tally.fail(problem.metadata["path"], problem)
        if not found.files:
            raise NotFound(f"no image files were found in {', '.join(str(path) for path in paths)}")
        with opened(server, collection, make=True) as target:
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
        self.found = FoundFiles()
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

    def pass_over(self, found: FoundFiles) -> None:
        """Keeps what a search for files left out, to be told at the end."""
        self.found = found

    def show(self) -> None:
        """Prints what was left out, and the sums."""
        for line in left_out(self.found):
            warn(line, self.console)
        skipped = self.found.passed_over.total()
        seconds = time.monotonic() - self._began
        if self._as_json:
            print_json(ingest_record(self.stored, self.duplicates, self.failed, skipped, seconds))
        else:
            sums = f"{self.stored} stored, {self.duplicates} duplicates, {self.failed} failed"
            console().print(f"{sums} in {seconds:.1f} s")


def left_out(found: FoundFiles) -> Iterator[str]:
    """Lines about the files and folders that were not taken from the folders given."""
    if number := found.passed_over.total():
        kinds = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in found.passed_over.most_common())
        subject = "1 file was" if number == 1 else f"{number} files were"
        yield f"{subject} passed over: {kinds}; name a file to send it anyway"
    for folder in found.linked_folders:
        yield f"linked folder {folder} is not followed"


def store(collection: Collection, files: list[Path], tags: list[str], tally: Tally) -> None:
    """Ingests files with a progress bar.

    An interrupt stops the sending and waits a moment for the answers to what is under way, so that they are counted.

    Raises:
        ShoalError: the ingest as a whole failed.
        KeyboardInterrupt: it was interrupted; what was answered until then is counted.
    """
    with Interruptible(files) as sending, image_progress(tally.console) as progress:
        bar = progress.add_task("ingesting", total=len(files))
        for result in collection.ingest(sending, tags=tags):
            tally.count(files[result.index], result)
            progress.advance(bar)
        if sending.interrupted:
            raise KeyboardInterrupt

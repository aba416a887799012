"""What became of the images of an ingest: counted, and the failures named as they happen."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from shoal_client.bulk.failures import FailureFile
from shoal_client.cli.output import console, error_console, print_json, warn
from shoal_client.cli.records import failure_record, ingest_record
from shoal_client.errors import ShoalError
from shoal_client.files import LeftOut
from shoal_client.results import IngestResult, Outcome
from shoal_client.sources import ArchiveMember, BadSource, ImageSource, NewImage


class Tally:
    """Counts what became of the images.

    Args:
        as_json: print JSON lines.
        failures: takes the failures too, if it is there.
        left_out: what was not taken, to be told at the end.
        drop_location: the locations are not to be stored.

    Attributes:
        counts: how many had which outcome.
        console: where the failures are named.
        failures: takes the failures too, if it is there.
    """

    def __init__(
        self,
        *,
        as_json: bool,
        failures: FailureFile | None = None,
        left_out: LeftOut | None = None,
        drop_location: bool = False,
    ) -> None:
        self.counts = Counter(dict.fromkeys(Outcome, 0))
        self.console = error_console()
        self.failures = failures
        self._left_out = left_out or LeftOut()
        self._drop_location = drop_location
        self._as_json = as_json
        #: How often each file failed, by its absolute path.
        self._failing: Counter[str] = Counter()
        self._began = time.monotonic()

    def count(self, given: ImageSource, result: IngestResult) -> None:
        """Counts one result."""
        self.counts[result.outcome] += 1
        if result.error is not None:
            self._name(given, result.error)

    def fail(self, bad: BadSource) -> None:
        """Counts one that is known to be none before anybody asks a server."""
        self.counts[Outcome.FAILED] += 1
        self._name(bad, bad.error)

    @property
    def failed(self) -> int:
        """How many failed."""
        return self.counts[Outcome.FAILED]

    @property
    def nothing_is_in(self) -> bool:
        """Whether some failed, and none is stored, now or before."""
        return self.failed == self.counts.total() > 0

    def judge_anew(self, changed: Iterable[ImageSource]) -> None:
        """Forgets the failures of files that have changed since."""
        for each in changed:
            self.counts[Outcome.FAILED] -= self._failing.pop(_key(each), 0)

    def tell_what_came(self, number: int, seconds: float) -> None:
        """Says that so many images came into a folder that is watched, and what the failures are now."""
        came = "1 image came" if number == 1 else f"{number} images came"
        self.console.print(f"{came} in, done in {seconds:.1f} s; {self.failed} failed so far", soft_wrap=True)

    def show(self) -> None:
        """Prints what was left out, and the sums."""
        for line in left_out_lines(self._left_out):
            warn(line, self.console)
        counts = self.counts
        if self._drop_location and counts[Outcome.DUPLICATE] + counts[Outcome.KNOWN]:
            warn(
                "images that are stored already keep their location if they were stored with it; delete them first "
                "(`shoal images delete ID`) to store them without",
                self.console,
            )
        record = ingest_record(
            stored=counts[Outcome.STORED],
            duplicates=counts[Outcome.DUPLICATE] + counts[Outcome.KNOWN],
            near_duplicates=counts[Outcome.NEAR_DUPLICATE],
            known=counts[Outcome.KNOWN],
            failed=counts[Outcome.FAILED],
            skipped=self._left_out.passed_over.total(),
            seconds=time.monotonic() - self._began,
        )
        if self._as_json:
            print_json(record)
            return
        sums = f"{record['stored']} stored, {record['duplicates']} there already"
        if record["near_duplicates"]:
            sums += f", {record['near_duplicates']} near-duplicates not stored"
        console().print(f"{sums}, {record['failed']} failed in {record['seconds']:.1f} s")

    def _name(self, given: ImageSource, error: ShoalError) -> None:
        label = label_of(given)
        self._failing[_key(given)] += 1
        warn(f"failed: {error.message if label in error.message else f'{label}: {error.message}'}", self.console)
        if self._as_json:
            print_json(failure_record(label, error))
        if self.failures is not None:
            self.failures.add(given, error)


def label_of(given: ImageSource) -> str:
    """What to call an image in a message."""
    if isinstance(given, BadSource):
        return given.label
    if isinstance(given, NewImage):
        known = isinstance(given.image, ArchiveMember) or (given.image and not isinstance(given.image, bytes))
        return str(given.image) if known else given.uri
    return str(given) if not isinstance(given, bytes | tuple) else "image"


def _key(given: ImageSource) -> str:
    label = label_of(given)
    try:
        return str(Path(label).resolve())
    except (OSError, ValueError, RuntimeError):  # a null byte, a loop of links
        return label


def left_out_lines(left_out: LeftOut) -> Iterator[str]:
    """Lines about the files and folders that were not taken from the folders given."""
    passed_over = left_out.passed_over
    if number := passed_over.total():
        kinds = ", ".join(f"{count} {suffix or 'without suffix'}" for suffix, count in passed_over.most_common())
        subject = "1 file was" if number == 1 else f"{number} files were"
        yield f"{subject} passed over: {kinds}; name a file to send it anyway"
    for folder in left_out.linked_folders:
        yield f"linked folder {folder} is not followed"

"""Sends images with a progress bar, and keeps count."""

from __future__ import annotations

import errno
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from shoal_client.bulk.watch import FolderWatch
from shoal_client.cli.ingest_progress import IngestProgress
from shoal_client.cli.ingest_tally import Tally
from shoal_client.cli.interruption import Interruption
from shoal_client.cli.output import warn
from shoal_client.collection import Collection
from shoal_client.results import Outcome
from shoal_client.sources import Common, ImageSource, NearDuplicates


@dataclass(frozen=True, slots=True)
class Manner:
    """How images are to be stored; see :meth:`shoal_client.Collection.ingest`."""

    common: Common = field(default_factory=Common)
    drop_location: bool = False
    near_duplicates: NearDuplicates | None = None
    journal: Path | None = None


def store(
    collection: Collection,
    images: Iterable[ImageSource],
    tally: Tally,
    count: Callable[[], int | None],
    *,
    manner: Manner = Manner(),
    watched: FolderWatch | None = None,
    ends_program: bool = False,
) -> None:
    """Ingests images, and then what comes into the folders that are watched.

    An interrupt stops the sending and waits a moment for the answers to what is under way, so that they are counted.

    Args:
        collection: where to.
        images: what is there.
        tally: counts what becomes of them.
        count: says how many there are; None if nobody knows.
        manner: how.
        watched: gives what comes later, until an interrupt, which is then no failure.
        ends_program: an interrupt ends the program, by force if need be; see :class:`Interruption`.

    Raises:
        ShoalError: the ingest as a whole failed.
        KeyboardInterrupt: it was interrupted; what was answered until then is counted.
    """
    with (
        Interruption(ends_program=ends_program) as interruption,
        _warnings(tally),
        IngestProgress(tally.console, count) as progress,
    ):
        _store(collection, interruption.until(images), tally, manner, progress)
        if watched is None:
            interruption.check()
            return
        progress.describe("watching")
        for batch in watched.complete(interruption.came):
            progress.expect(len(batch))
            began = time.monotonic()
            tally.judge_anew(batch)
            _store(collection, interruption.until(batch), tally, manner, progress)
            tally.tell_what_came(len(batch), time.monotonic() - began)


def _store(
    collection: Collection,
    images: Iterator[ImageSource],
    tally: Tally,
    manner: Manner,
    progress: IngestProgress,
) -> None:
    # Results come in the order of the images, so these are the few that are under way.
    under_way: deque[ImageSource] = deque()
    results = collection.ingest(
        _noted(images, under_way),
        tags=manner.common.tags,
        attributes=manner.common.attributes,
        drop_location=manner.drop_location,
        near_duplicates=manner.near_duplicates,
        by_uri=manner.common.by_uri,
        journal=manner.journal,
    )
    try:
        # Closed here, before the client is: a stream that only loses its channel would be begun anew.
        with closing(cast("Generator[Any, None, None]", results)):
            for result in results:
                tally.count(under_way.popleft(), result)
                progress.advance(known=result.outcome is Outcome.KNOWN)
    finally:
        if tally.failures is not None:
            tally.failures.keep(list(under_way))


def _noted(images: Iterator[ImageSource], under_way: deque[ImageSource]) -> Iterator[ImageSource]:
    for image in images:
        under_way.append(image)
        yield image


@contextmanager
def _warnings(tally: Tally) -> Iterator[None]:
    """Shows the client's own warnings: a stream that broke, a journal that cannot be written."""
    handler = _Warnings(tally)
    logger = logging.getLogger("shoal_client")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Warnings(logging.Handler):
    def __init__(self, tally: Tally) -> None:
        super().__init__(logging.WARNING)
        self._tally = tally

    def emit(self, record: logging.LogRecord) -> None:
        try:
            warn(record.getMessage(), self._tally.console)
        except SystemExit as error:
            # Rich's answer to a reader that is gone. It would end nothing but the thread that warns.
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from error

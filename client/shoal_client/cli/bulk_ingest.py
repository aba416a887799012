"""``shoal ingest --ray``: the server half stores the files with its workers; here they are listed and counted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import typer

from shoal_client.bulk.archives import is_archive
from shoal_client.cli.ingest_plan import Plan
from shoal_client.cli.ingest_progress import IngestProgress
from shoal_client.cli.ingest_tally import Tally
from shoal_client.cli.storing import Manner
from shoal_client.errors import InvalidArgument, MissingExtra, NotFound, ShoalError
from shoal_client.files import IMAGE_SUFFIXES
from shoal_client.results import IngestResult, Outcome
from shoal_client.sources import ArchiveMember, BadSource, NewImage, open_source

#: Where the server half says how: ``find`` lists the files of a URL, ``ingest`` stores files. Both take and yield plain
#: values, for the halves share no types; shoal_server.bulk_ingest.driver describes them.
WORKERS = "shoal.workers"

_OUTCOMES = {"stored": Outcome.STORED, "duplicate": Outcome.DUPLICATE, "failed": Outcome.FAILED}


@dataclass(frozen=True, slots=True)
class Workers:
    """Who does it.

    Attributes:
        count: how many; None: as the machines allow.
        gpus: of each.
        reads: files that each reads at once.
        address: of a Ray cluster; None: they run on this machine.
    """

    count: int | None
    gpus: float
    reads: int
    address: str | None


def is_url(path: str) -> bool:
    """Whether a PATH names something in a storage rather than on a disk."""
    scheme, separator, _ = path.partition("://")
    return bool(separator) and scheme.isalnum()


def check_alone(plan: Plan, *, watch: bool, by_uri: bool, journal: object) -> None:
    """Refuses what goes with a server only.

    Raises:
        typer.BadParameter: it was asked for.
    """
    if watch:
        raise typer.BadParameter("--ray stores what is there and ends: --watch goes without")
    if by_uri:
        raise typer.BadParameter("with --ray the workers read the files: leave out --by-uri")
    if journal is not None:
        raise typer.BadParameter("--ray keeps no journal: what is stored is found by its content; leave out --journal")
    if archives := [str(path) for path in plan.paths if is_archive(path.name)]:
        raise typer.BadParameter(f"--ray opens no archives: unpack {', '.join(archives)}, or ingest it without --ray")


def store_with_workers(
    collection: str, plan: Plan, urls: Sequence[str], tally: Tally, manner: Manner, workers: Workers
) -> None:
    """Stores the images of a plan and of URLs; closed by an interrupt, it ends the workers.

    Args:
        collection: where to.
        plan: what is on this machine's disks, or named by tables.
        urls: of files and folders in a storage.
        tally: counts what becomes of them.
        manner: how.
        workers: who does it.

    Raises:
        MissingExtra: the server half or Ray is not installed.
        NotFound: there are no images.
        ShoalError: it ended before all were tried.
    """
    find, ingest = _server_half("find"), _server_half("ingest")
    files = list(_listed(plan, urls, tally, manner, find))
    if not files:
        if tally.failed or plan.retry is not None:
            return
        raise NotFound(f"no image files were found in {', '.join(filter(None, [plan.names, *urls]))}")
    asked = {
        "collection": collection,
        "drop_location": manner.drop_location,
        "near_duplicates": None if manner.near_duplicates is None else manner.near_duplicates.value,
        "workers": workers.count,
        "gpus": workers.gpus,
        "reads": workers.reads,
        "address": workers.address,
    }
    with IngestProgress(tally.console, lambda: len(files)) as progress, closing(ingest(files, asked)) as results:
        for number, record in enumerate(results):
            error = _error(record) if "reason" in record else None
            if record["fate"] not in _OUTCOMES:
                raise error or ShoalError("the workers ended before all were tried; run it again")
            result = IngestResult(number, record["uri"], _OUTCOMES[record["fate"]], error=error)
            tally.count(_as_given(record), result)
            progress.advance(known=result.outcome is Outcome.DUPLICATE)


def _listed(
    plan: Plan, urls: Sequence[str], tally: Tally, manner: Manner, find: Callable[..., Any]
) -> Iterator[dict[str, Any]]:
    """The files as the server half takes them; what is known to be none is counted as failed."""
    # What a table names by its URI alone is read by the workers too.
    common = replace(manner.common, by_uri=True)
    for given in chain(plan.images(), _found(urls, plan, find)):
        if isinstance(given, BadSource):
            tally.fail(given)
            continue
        source = open_source(given, common)
        problem = _archived(given.image) if isinstance(given.image, ArchiveMember) else source.problem
        if problem is not None:
            tally.count(given, IngestResult(0, source.uri, Outcome.FAILED, error=problem))
            continue
        yield {
            "location": source.uri if source.origin is None else os.fsdecode(source.origin.location),
            "uri": source.uri,
            "tags": list(source.tags),
            "attributes": dict(source.attributes),
        }


def _found(urls: Sequence[str], plan: Plan, find: Callable[..., Any]) -> Iterator[NewImage | BadSource]:
    """The files of folders and patterns in a storage."""
    for url in urls:
        for record in find(url, IMAGE_SUFFIXES):
            if "reason" in record:
                yield BadSource(url, _error(record))
            elif record["taken"]:
                yield NewImage(uri=record["url"])
            else:
                plan.left_out.passed_over[PurePosixPath(record["url"]).suffix.lower()] += 1


def _as_given(record: Mapping[str, Any]) -> NewImage:
    """The image of a result, as somebody could give it once more."""
    location: str = record["location"]
    path = Path(location) if location.startswith("/") else None
    return NewImage(path, record["uri"], record["tags"], record["attributes"])


def _archived(member: ArchiveMember) -> InvalidArgument:
    return InvalidArgument(
        f"{member}: --ray opens no archives; unpack it, or ingest it without --ray", reason="INVALID_FIELD"
    )


def _error(record: Mapping[str, Any]) -> ShoalError:
    """The server half's error."""
    return ShoalError(record["message"], reason=record["reason"], metadata=record["metadata"])


def _server_half(name: str) -> Callable[..., Any]:
    """A function of the server half.

    Raises:
        MissingExtra: it is not installed.
    """
    for entry in entry_points(group=WORKERS, name=name):
        try:
            function: Callable[..., Any] = entry.load()
        except ModuleNotFoundError:
            continue
        return function
    raise MissingExtra("ingesting with --ray needs the server half and Ray: pip install 'shoal[server,ray]'")

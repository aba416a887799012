"""``shoal ingest``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from shoal_client.bulk.failures import FailureFile, Retry
from shoal_client.bulk.journal import default_journal
from shoal_client.bulk.values import attribute
from shoal_client.bulk.watch import FolderWatch
from shoal_client.cli.group import FAILURE, INTERRUPTED
from shoal_client.cli.ingest_plan import STDIN, Plan
from shoal_client.cli.ingest_tally import Tally
from shoal_client.cli.options import DEFAULT_COLLECTION, CollectionOption, JsonOption, ServerOption, opened
from shoal_client.cli.output import complain
from shoal_client.cli.storing import Manner, store
from shoal_client.errors import NotFound
from shoal_client.sources import BadSource, Common, NearDuplicates, NewImage
from shoal_client.transport import DEFAULT_TARGET

SOME_FAILED = 3

_EMPTY = "is empty: is a variable unset? Name the file or folder; the current folder is ."

_WHICH = "Which images"
_SAID = "What is said of them"
_HOW = "How they are stored"
_AGAIN = "Interrupted, failed, and yet to come"


def ingest(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH...",
            help="Image files, folders to walk, quoted patterns such as 'photos/**/*.jpg', zip and tar archives; - for "
            "a list of paths on stdin.",
        ),
    ] = None,
    manifest: Annotated[
        list[Path] | None,
        typer.Option(
            "--manifest",
            metavar="FILE",
            help="A CSV or Parquet table: column path (relative to the table) or uri, tags separated by ; or |, and "
            "every other column an attribute; may be repeated.",
            rich_help_panel=_WHICH,
        ),
    ] = None,
    from_stdin: Annotated[
        bool,
        typer.Option("--from-stdin", help="Take a list of paths from stdin; the same as -.", rich_help_panel=_WHICH),
    ] = False,
    null: Annotated[
        bool,
        typer.Option(
            "-0", "--null", help="That list is separated by null bytes: find -print0.", rich_help_panel=_WHICH
        ),
    ] = False,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="A label; may be repeated.", rich_help_panel=_SAID),
    ] = None,
    attributes: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute",
            metavar="KEY=VALUE",
            help="A text, a number, true or false by a name; may be repeated.",
            rich_help_panel=_SAID,
        ),
    ] = None,
    drop_gps: Annotated[
        bool, typer.Option("--drop-gps", help="Do not store where they were taken.", rich_help_panel=_HOW)
    ] = False,
    near_duplicates: Annotated[
        NearDuplicates | None,
        typer.Option(
            help="What to do with an image that looks like a stored one: keep it, tag it near-duplicate, or skip it; "
            "as the server is set if left out.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    by_uri: Annotated[
        bool,
        typer.Option(
            "--by-uri",
            help="Send only the files' URIs: the server reads them itself, if SHOAL_INGEST_ROOTS allows it.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    journal: Annotated[
        Path | None,
        typer.Option(
            "--journal",
            metavar="FILE",
            help="Remembers what is stored, so that it is not read again; ~/.local/state/shoal/ingest.sqlite if left "
            "out.",
            rich_help_panel=_AGAIN,
        ),
    ] = None,
    no_journal: Annotated[
        bool,
        typer.Option("--no-journal", help="Read and send everything, and remember nothing.", rich_help_panel=_AGAIN),
    ] = False,
    failures: Annotated[
        Path | None,
        typer.Option(
            "--failures", metavar="FILE", help="Write those that fail there, as JSON lines.", rich_help_panel=_AGAIN
        ),
    ] = None,
    retry: Annotated[
        Path | None,
        typer.Option(
            "--retry",
            metavar="FILE",
            help="Ingest those that failed, from a file of --failures; given to both, it keeps what still fails.",
            rich_help_panel=_AGAIN,
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Go on with what comes into the folders, until Ctrl-C.", rich_help_panel=_AGAIN),
    ] = False,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Stores images, each once. What is stored already is not even read again: an interrupted ingest is repeated.

    Exit code 0: all are in; 3: some failed, each named on stderr, and the others are in; 1: none is in.
    """
    given = paths or []
    if "" in given:
        raise typer.BadParameter(f"a PATH {_EMPTY}")
    plan = Plan(
        [Path(path) for path in given if path != STDIN],
        manifest or [],
        None if retry is None else Retry(retry),
        from_stdin or STDIN in given,
        null,
    )
    check(plan, watch=watch, journal=journal, no_journal=no_journal)
    manner = Manner(
        Common(tuple(tag or ()), dict(map(attribute, attributes or ())), by_uri),
        drop_location=drop_gps,
        near_duplicates=near_duplicates,
        journal=None if no_journal else journal or default_journal(),
    )
    tally = Tally(as_json=as_json, left_out=plan.left_out, drop_location=drop_gps)
    everything_tried = False
    try:
        with ExitStack() as stack:
            if failures is not None:
                tally.failures = stack.enter_context(FailureFile(failures, plan.retry, manner.common))
            stack.callback(tally.show)
            # Begun before anything is looked for, so that nothing comes unseen in between.
            watched = stack.enter_context(FolderWatch(plan.folders)) if watch else None
            images = found(plan, tally, may_be_empty=watch)
            if images is not None:
                with opened(server, collection, make=True) as target:
                    store(target, images, tally, plan.count, manner=manner, watched=watched, ends_program=True)
                    everything_tried = True
    except KeyboardInterrupt as error:
        if not everything_tried:
            complain("interrupted; run it again: what is stored is kept")
            raise typer.Exit(INTERRUPTED) from error
    if tally.failed:
        raise typer.Exit(FAILURE if tally.nothing_is_in else SOME_FAILED)


def check(plan: Plan, *, watch: bool, journal: Path | None, no_journal: bool) -> None:
    """Refuses options that make no sense together.

    Raises:
        typer.BadParameter: there are some.
    """
    if not (plan.paths or plan.manifests or plan.retry or plan.from_stdin):
        raise typer.BadParameter("give a PATH, --manifest FILE, --from-stdin or --retry FILE")
    if plan.null and not plan.from_stdin:
        raise typer.BadParameter("--null goes with a list on stdin: - or --from-stdin")
    if journal is not None and no_journal:
        raise typer.BadParameter("give one of --journal FILE and --no-journal")
    if watch and not plan.folders:
        raise typer.BadParameter("--watch needs a folder among the paths")


def found(plan: Plan, tally: Tally, *, may_be_empty: bool) -> Iterator[NewImage | BadSource] | None:
    """The images from the first that may be one; what is bad before it is named. None: there is nothing to try again.

    Raises:
        NotFound: there are none.
    """
    images = plan.images()
    for each in images:
        if not isinstance(each, BadSource):
            return chain([each], images)
        tally.fail(each)
    if may_be_empty:
        return iter(())
    if plan.retry is not None:
        return None
    raise NotFound(f"no image files were found in {plan.names}")

"""``shoal ingest``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from shoal_client.bulk.failures import FailureFile, Retry
from shoal_client.bulk.journal import default_journal
from shoal_client.bulk.values import attribute
from shoal_client.bulk.watch import FolderWatch
from shoal_client.cli.bulk_ingest import Workers, check_alone, is_url, store_with_workers
from shoal_client.cli.connecting import on_command_line
from shoal_client.cli.group import FAILURE, INTERRUPTED
from shoal_client.cli.ingest_plan import STDIN, Plan
from shoal_client.cli.ingest_tally import Tally
from shoal_client.cli.options import DEFAULT_COLLECTION, CollectionOption, JsonOption, ServerOption, opened
from shoal_client.cli.output import complain, warn
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
_WORKERS = "By several workers, straight into a Qdrant server"


def ingest(
    context: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH...",
            help="Image files, folders to walk, quoted patterns such as 'photos/**/*.jpg', zip and tar archives; - for "
            "a list of paths on stdin; with --ray also s3:// and gs://.",
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
            help="Ingest those that failed, from a file of --failures, with the tags and attributes and the --drop-gps "
            "of then; given to both, it keeps what still fails.",
            rich_help_panel=_AGAIN,
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Go on with what comes into the folders, until Ctrl-C.", rich_help_panel=_AGAIN),
    ] = False,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Not through a Shoal server: workers of Ray on this machine or a cluster read, embed and store; the "
            "variables SHOAL_... are those of the servers (SHOAL_QDRANT_URL, SHOAL_FILES_URL, SHOAL_MODEL).",
            rich_help_panel=_WORKERS,
        ),
    ] = False,
    ray_workers: Annotated[
        int | None,
        typer.Option(
            "--ray-workers",
            metavar="N",
            min=1,
            help="How many, each with the model in its memory; one for each core, at most 8, or as many as the GPUs "
            "carry.",
            rich_help_panel=_WORKERS,
        ),
    ] = None,
    ray_gpus: Annotated[
        float,
        typer.Option(
            "--ray-gpus", metavar="N", min=0, help="GPUs of each, 0.5 for half of one.", rich_help_panel=_WORKERS
        ),
    ] = 0.0,
    ray_reads: Annotated[
        int,
        typer.Option(
            "--ray-reads",
            metavar="N",
            min=1,
            help="Files that each reads at once: more where they come slowly.",
            rich_help_panel=_WORKERS,
        ),
    ] = 8,
    ray_address: Annotated[
        str | None,
        typer.Option(
            "--ray-address",
            metavar="ADDRESS",
            envvar="RAY_ADDRESS",
            help="A cluster to join from one of its machines, HOST:6379 or auto; without it, one is begun here.",
            rich_help_panel=_WORKERS,
        ),
    ] = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Stores images, each once. What is stored already is not even read again: an interrupted ingest is repeated.

    Exit code 0: all are in; 3: some failed, each named on stderr, and the others are in; 1: none is in, or it did not
    get to its end; what was stored until then stays.
    """
    given = paths or []
    if "" in given:
        raise typer.BadParameter(f"a PATH {_EMPTY}")
    urls = [path for path in given if ray and is_url(path)]
    plan = Plan(
        [Path(path) for path in given if path != STDIN and path not in urls],
        manifest or [],
        None if retry is None else Retry(retry),
        from_stdin or STDIN in given,
        null,
    )
    check(plan, urls, watch=watch, journal=journal, no_journal=no_journal)
    if ray:
        check_alone(plan, watch=watch, by_uri=by_uri, journal=journal)
    else:
        refuse_without_ray(context)
    manner = Manner(
        Common(tuple(tag or ()), dict(map(attribute, attributes or ())), by_uri),
        drop_location=drop_gps or plan.drops_location,
        near_duplicates=near_duplicates,
        journal=None if no_journal else journal or default_journal(),
    )
    tally = Tally(as_json=as_json, left_out=plan.left_out, drop_location=manner.drop_location)
    if manner.drop_location and not drop_gps:
        warn(f"stored without where they were taken, as {retry} says", tally.console)
    everything_tried = False
    try:
        with ExitStack() as stack:
            if failures is not None:
                tally.failures = stack.enter_context(
                    FailureFile(failures, plan.retry, manner.common, drop_location=manner.drop_location)
                )
            stack.callback(tally.show)
            if ray:
                workers = Workers(ray_workers, ray_gpus, ray_reads, ray_address)
                store_with_workers(collection, plan, urls, tally, manner, workers)
            else:
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


def check(plan: Plan, urls: Sequence[str], *, watch: bool, journal: Path | None, no_journal: bool) -> None:
    """Refuses options that make no sense together.

    Raises:
        typer.BadParameter: there are some.
    """
    if not (plan.paths or urls or plan.manifests or plan.retry or plan.from_stdin):
        raise typer.BadParameter("give a PATH, --manifest FILE, --from-stdin or --retry FILE")
    if plan.null and not plan.from_stdin:
        raise typer.BadParameter("--null goes with a list on stdin: - or --from-stdin")
    if journal is not None and no_journal:
        raise typer.BadParameter("give one of --journal FILE and --no-journal")
    if watch and not plan.folders:
        raise typer.BadParameter("--watch needs a folder among the paths")


def refuse_without_ray(context: typer.Context) -> None:
    """Refuses what is said of workers where there are none; RAY_ADDRESS may be set for other programs.

    Raises:
        typer.BadParameter: something is.
    """
    for name in ("ray_workers", "ray_gpus", "ray_reads", "ray_address"):
        if on_command_line(context, name):
            raise typer.BadParameter(f"--{name.replace('_', '-')} goes with --ray")


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

"""Following a clustering run to its end."""

from __future__ import annotations

from contextlib import suppress

from shoal_client.areas.runs import check_complete
from shoal_client.cli.options import command_line
from shoal_client.cli.output import console, error_console, print_json, printable, warn
from shoal_client.cli.progress import RunProgress
from shoal_client.cli.run_records import run_result_record
from shoal_client.cli.run_words import result_lines
from shoal_client.collection import Collection
from shoal_client.errors import NotFound, ShoalError
from shoal_client.results import ClusteringRun, RunState


def follow(collection: Collection, run: ClusteringRun | str) -> ClusteringRun:
    """Waits for a run's end with a progress bar.

    Raises:
        ShoalError: why the run failed, if it did.
        KeyboardInterrupt: it was interrupted; the run goes on.
    """
    with RunProgress() as progress:
        for update in collection.watch_run(run):
            run = update
            progress.show(update)
    if isinstance(run, str):
        run = collection.get_run(run)
    return collection.get_run(check_complete(run))


def follow_and_cancel(collection: Collection, run: ClusteringRun) -> ClusteringRun:
    """Like :func:`follow`; an interrupt cancels the run."""
    try:
        return follow(collection, run)
    except KeyboardInterrupt:
        try:
            collection.cancel_run(run)
        except ShoalError as error:
            warn(error.message, error_console())
        raise


def follow_only(collection: Collection, run: str, server: str) -> ClusteringRun:
    """Like :func:`follow`, for a run that somebody else asked for; an interrupt says how to cancel it."""
    try:
        return follow(collection, run)
    except KeyboardInterrupt:
        cancel = command_line("runs", "cancel", run, collection=collection.id, server=server)
        warn(f"run {run} goes on; cancel it with: {cancel}", error_console())
        raise


def under_way(collection: Collection) -> str:
    """The id of the run that is under way.

    Raises:
        NotFound: there is none.
    """
    # A server has one run of a collection at a time, and it is the newest reclustering.
    for run in collection.runs():
        if run.state is RunState.RUNNING:
            return run.id
    raise NotFound(
        f"no run of collection {collection.id!r} is under way; `shoal runs` lists those that have ended",
        reason="NO_RUN_UNDER_WAY",
        metadata={"collection": collection.id},
    )


def show_result(collection: Collection, run: ClusteringRun, seconds: float, server: str, *, as_json: bool) -> None:
    """Prints what came out of a run that took ``seconds``."""
    if as_json:
        print_json(run_result_record(run, seconds))
        return
    names: dict[int, str] = {}
    with suppress(ShoalError):  # the clusters may have changed meanwhile: their ids alone will do
        names = {each.id: each.name for each in collection.clusters()}

    def command(*words: object) -> str:
        return command_line(*words, collection=collection.id, server=server)

    for line in result_lines(run, names, command):
        console().print(printable(line), markup=False, soft_wrap=True)
    if run.summary is not None:
        console().print(f"run {run.id}, {seconds:.1f} s", markup=False, soft_wrap=True)

"""``shoal runs`` and its subcommands."""

from __future__ import annotations

from itertools import islice
from typing import Any

import typer

from shoal_client.cli.cluster import HELD_BACK
from shoal_client.cli.following import follow_only, show_result, under_way
from shoal_client.cli.options import (
    DEFAULT_COLLECTION,
    CollectionOption,
    JsonOption,
    LimitOption,
    RunArgument,
    RunningArgument,
    ServerOption,
    opened,
    refuse_before_subcommand,
)
from shoal_client.cli.output import print_json, print_record, print_records
from shoal_client.cli.run_records import comparison_record, run_details, run_record
from shoal_client.cli.run_report import show_comparison, show_run
from shoal_client.cli.words import clock
from shoal_client.results import ClusteringRun, RunState
from shoal_client.transport import DEFAULT_TARGET

runs_app = typer.Typer()


@runs_app.callback(invoke_without_command=True)
def runs(
    context: typer.Context,
    limit: LimitOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Lists the runs, newest first; or shows, compares, activates, follows and cancels them."""
    if context.invoked_subcommand is not None:
        refuse_before_subcommand(context)
        return
    columns = {
        "mark": "",
        "id": "id",
        "state": "state",
        "began": "began",
        "by": "by",
        "clusters": "clusters",
        "images": "images",
        "noise": "in none",
        "payload_writes": "written",
    }
    with opened(server, collection) as target:
        found = islice(target.runs(), limit)
        print_records(map(run_record if as_json else _row, found), columns, as_json=as_json)


@runs_app.command()
def show(
    run: RunArgument,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Shows a run: its settings, what the search for them tried, what became of the clusters, timings, reasons."""
    with opened(server, collection) as target:
        found = target.get_run(run)
    if as_json:
        print_json(run_details(found))
    else:
        show_run(found)


@runs_app.command()
def compare(
    base: RunArgument,
    other: RunArgument,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Tells what moved where from one run to another."""
    with opened(server, collection) as target:
        comparison = target.compare_runs(base, other)
    if as_json:
        print_json(comparison_record(comparison))
    else:
        show_comparison(comparison)


@runs_app.command()
def activate(
    run: RunArgument,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Puts a run's clusters in force: an earlier one again, or one that was held back. Writes only what differs."""
    with opened(server, collection) as target:
        before = target.get_run(run).active
        activated = target.activate_run(run)
    writes = None if activated.summary is None else activated.summary.payload_writes
    record = {"id": activated.id, "active": activated.active, "was_active": before, "payload_writes": writes}
    print_record(record, as_json=as_json)


@runs_app.command()
def cancel(
    run: RunningArgument = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Stops a run; the clusters stay as they were."""
    with opened(server, collection) as target:
        ended = target.cancel_run(run or under_way(target))
    print_record({"id": ended.id, "state": ended.state.value}, as_json=as_json)


@runs_app.command()
def follow(
    run: RunningArgument = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Waits for a run's end and prints what came of it; Ctrl-C leaves the run alone. Exit code 4: it was held back."""
    with opened(server, collection) as target:
        ended = follow_only(target, run or under_way(target), server)
        show_result(target, ended, _seconds(ended), server, as_json=as_json)
    if ended.state is RunState.HELD_BACK:
        raise typer.Exit(HELD_BACK)


def _row(run: ClusteringRun) -> dict[str, Any]:
    by = run.kind.value if run.trigger in ("", "person") else run.trigger
    return {
        **run_record(run),
        "mark": "*" if run.active else "",
        "state": run.state.value.replace("_", " "),
        "began": clock(run.created_at),
        "by": by,
    }


def _seconds(run: ClusteringRun) -> float:
    return 0.0 if run.ended_at is None else (run.ended_at - run.created_at).total_seconds()

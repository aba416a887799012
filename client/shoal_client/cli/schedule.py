"""``shoal schedule`` and its subcommands."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from shoal_client.cli.options import (
    DEFAULT_COLLECTION,
    CollectionOption,
    JsonOption,
    ServerOption,
    opened,
    refuse_before_subcommand,
)
from shoal_client.cli.output import console, print_json, printable
from shoal_client.cli.schedule_words import changed, status_lines, status_record
from shoal_client.results import ScheduleStatus
from shoal_client.transport import DEFAULT_TARGET

schedule_app = typer.Typer()


@schedule_app.callback(invoke_without_command=True)
def schedule(
    context: typer.Context,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Shows when the collection is clustered again by itself; or changes that."""
    if context.invoked_subcommand is not None:
        refuse_before_subcommand(context)
        return
    with opened(server, collection) as target:
        show(target.get_schedule(), as_json=as_json)


@schedule_app.command("set")
def set_schedule(
    every: Annotated[
        str | None, typer.Option("--every", metavar="TIME", help="So long after the last run: 45m, 12h, 1d; or never.")
    ] = None,
    growth: Annotated[
        str | None, typer.Option("--growth", metavar="SHARE", help="When images grew or shrank by 20%; or never.")
    ] = None,
    quiet: Annotated[
        str | None, typer.Option("--quiet", metavar="HH:MM-HH:MM", help="No run begins between these; or never.")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option("--time-zone", metavar="ZONE", help="Of --quiet, for instance Europe/Berlin.")
    ] = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Changes what is given, keeps the rest, and switches the schedule on."""
    with opened(server, collection) as target:
        new = changed(target.get_schedule().schedule, every, growth, quiet, time_zone)
        show(target.set_schedule(new), as_json=as_json)


@schedule_app.command()
def off(
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Clusters nothing by itself any more; `shoal schedule set` switches it on again as it was."""
    with opened(server, collection) as target:
        show(target.set_schedule(replace(target.get_schedule().schedule, enabled=False)), as_json=as_json)


@schedule_app.command()
def default(
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Gives the schedule back to the server's settings."""
    with opened(server, collection) as target:
        show(target.set_schedule(None), as_json=as_json)


def show(status: ScheduleStatus, *, as_json: bool) -> None:
    """Prints a schedule and what it is about to do."""
    if as_json:
        print_json(status_record(status))
        return
    for line in status_lines(status):
        console().print(printable(line), markup=False, soft_wrap=True)

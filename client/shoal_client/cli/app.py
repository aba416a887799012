"""Puts the commands together."""

from __future__ import annotations

import typer

from shoal_client.cli import correcting, groupings
from shoal_client.cli.assign import assign
from shoal_client.cli.attaching import attach, detach
from shoal_client.cli.backup import backup
from shoal_client.cli.changes import changes
from shoal_client.cli.cluster import cluster
from shoal_client.cli.clusters import clusters_app
from shoal_client.cli.collections import collections_app
from shoal_client.cli.connecting import connecting
from shoal_client.cli.corrections import corrections, undo
from shoal_client.cli.demo import demo
from shoal_client.cli.duplicates import duplicates
from shoal_client.cli.export import export
from shoal_client.cli.facets import facets
from shoal_client.cli.group import SERVER_PANEL, ShoalGroup
from shoal_client.cli.images import images_app
from shoal_client.cli.ingest import ingest
from shoal_client.cli.map import map_
from shoal_client.cli.noise import noise_app
from shoal_client.cli.runs import runs_app
from shoal_client.cli.schedule import schedule_app
from shoal_client.cli.search import recommend, search
from shoal_client.cli.status import status

IMAGES = "Images"
CLUSTERING = "Clustering"
CLUSTERS = "Clusters"
CORRECTIONS = "Corrections, kept in every later run"

app = typer.Typer(
    cls=ShoalGroup,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Turns image collections into named, stable clusters.",
)
app.callback()(connecting)
app.command(rich_help_panel=IMAGES)(ingest)
app.command(rich_help_panel=IMAGES)(search)
app.command(rich_help_panel=IMAGES)(recommend)
app.command(rich_help_panel=IMAGES)(facets)
app.command(rich_help_panel=IMAGES)(duplicates)
app.command(rich_help_panel=IMAGES)(assign)
app.add_typer(images_app, name="images", rich_help_panel=IMAGES)
app.command(rich_help_panel=IMAGES)(export)
app.command(rich_help_panel=IMAGES)(changes)

app.command(rich_help_panel=CLUSTERING)(cluster)
app.add_typer(runs_app, name="runs", rich_help_panel=CLUSTERING)
app.add_typer(schedule_app, name="schedule", rich_help_panel=CLUSTERING)

app.add_typer(clusters_app, name="clusters", rich_help_panel=CLUSTERS)
app.command(rich_help_panel=CLUSTERS)(groupings.themes)
app.command(rich_help_panel=CLUSTERS)(groupings.places)
app.command(rich_help_panel=CLUSTERS)(groupings.moments)
app.add_typer(noise_app, name="noise", rich_help_panel=CLUSTERS)
app.command("map", rich_help_panel=CLUSTERS)(map_)

for correct in (
    correcting.rename,
    correcting.merge,
    correcting.split,
    correcting.pin,
    correcting.unpin,
    correcting.move,
    correcting.dissolve,
    corrections,
    undo,
):
    app.command(rich_help_panel=CORRECTIONS)(correct)

app.add_typer(collections_app, name="collections", rich_help_panel=SERVER_PANEL)
app.command(rich_help_panel=SERVER_PANEL)(status)
app.command(rich_help_panel=SERVER_PANEL)(attach)
app.command(rich_help_panel=SERVER_PANEL)(detach)
app.command(rich_help_panel=SERVER_PANEL)(backup)
app.command(rich_help_panel=SERVER_PANEL)(demo)


def main() -> None:
    """The console entry point; ends the process with the command's exit code."""
    app()

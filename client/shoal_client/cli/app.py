"""Puts the commands together."""

from __future__ import annotations

import typer

from shoal_client.cli.assign import assign
from shoal_client.cli.cluster import cluster
from shoal_client.cli.clusters import clusters_app
from shoal_client.cli.collections import collections_app
from shoal_client.cli.demo import demo
from shoal_client.cli.group import ShoalGroup
from shoal_client.cli.images import images_app
from shoal_client.cli.ingest import ingest
from shoal_client.cli.rename import rename
from shoal_client.cli.search import search

app = typer.Typer(
    cls=ShoalGroup,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="Turns image collections into named, stable clusters.",
)
app.command()(ingest)
app.command()(cluster)
app.add_typer(clusters_app, name="clusters")
app.command()(search)
app.command()(assign)
app.add_typer(images_app, name="images")
app.command()(rename)
app.add_typer(collections_app, name="collections")
app.command()(demo)


def main() -> None:
    """The console entry point; ends the process with the command's exit code."""
    app()

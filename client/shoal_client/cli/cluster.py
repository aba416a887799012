"""``shoal cluster``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from shoal_client.async_collection import check_succeeded
from shoal_client.cli.options import DEFAULT_COLLECTION, CollectionOption, JsonOption, ServerOption, opened
from shoal_client.cli.output import console, error_console, print_json, warn
from shoal_client.cli.progress import RunProgress
from shoal_client.cli.records import run_record
from shoal_client.collection import Collection
from shoal_client.errors import ShoalError
from shoal_client.results import ClusteringParameters, ClusteringRun
from shoal_client.transport import DEFAULT_TARGET


def cluster(
    min_cluster_size: Annotated[int | None, typer.Option(min=2, help="HDBSCAN: the smallest cluster.")] = None,
    min_samples: Annotated[int | None, typer.Option(min=1, help="HDBSCAN: larger means more noise.")] = None,
    n_neighbors: Annotated[int | None, typer.Option(min=2, max=200, help="UMAP: the neighbourhood.")] = None,
    n_components: Annotated[int | None, typer.Option(min=2, max=100, help="UMAP: the dimensions.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Of everything random.")] = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Reclusters a collection and waits for the end; Ctrl-C cancels the run. What is left out the server chooses."""
    parameters = ClusteringParameters(n_neighbors, n_components, min_cluster_size, min_samples, seed)
    began = time.monotonic()
    with opened(server, collection) as target:
        run = recluster(target, parameters)
    show(run, time.monotonic() - began, as_json=as_json)


def recluster(collection: Collection, parameters: ClusteringParameters) -> ClusteringRun:
    """Reclusters with a progress bar; an interrupt cancels the run.

    Raises:
        ShoalError: why the run failed, if it did.
    """
    run = collection.run_clustering(parameters)
    try:
        with RunProgress() as progress:
            for update in collection.watch_run(run):
                run = update
                progress.show(run)
    except KeyboardInterrupt:
        cancel(collection, run)
        raise
    return check_succeeded(run)


def cancel(collection: Collection, run: ClusteringRun) -> None:
    """Cancels a run, or says why that cannot be done any more."""
    try:
        collection.cancel_run(run)
    except ShoalError as error:
        warn(error.message, error_console())


def show(run: ClusteringRun, seconds: float, *, as_json: bool) -> None:
    """Prints what came out of a run that took ``seconds``."""
    if as_json:
        print_json(run_record(run, seconds))
        return
    if run.summary is None:
        console().print(f"run {run.id} is done", soft_wrap=True)
        return
    counts = run.summary
    console().print(
        f"{counts.clusters} clusters: {counts.kept} kept their id, {counts.born} are new; {counts.dissolved} are gone\n"
        f"{counts.clustered} of {counts.images} images are in a cluster, {counts.noise} in none; "
        f"{counts.payload_writes} cluster ids were written\n"
        f"run {run.id}, {seconds:.1f} s",
        soft_wrap=True,
    )

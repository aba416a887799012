"""``shoal cluster``."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from shoal_client.areas.runs import run_under_way
from shoal_client.cli.following import follow_and_cancel, follow_only, show_result
from shoal_client.cli.options import DEFAULT_COLLECTION, CollectionOption, JsonOption, ServerOption, opened
from shoal_client.cli.output import error_console, warn
from shoal_client.cli.run_words import asked_for
from shoal_client.collection import Collection
from shoal_client.errors import Aborted
from shoal_client.results import ClusteringMethod, ClusteringParameters, ClusteringRun, Granularity, Reducer, RunState
from shoal_client.transport import DEFAULT_TARGET

#: The run was done, but its result was held back.
HELD_BACK = 4


def cluster(
    granularity: Annotated[
        Granularity | None, typer.Option(help="How finely to tell groups apart.", case_sensitive=False)
    ] = None,
    clusters: Annotated[
        int | None, typer.Option("--clusters", min=2, help="How many clusters to aim at; instead of --granularity.")
    ] = None,
    min_cluster_size: Annotated[int | None, typer.Option(min=2, help="HDBSCAN: the smallest cluster.")] = None,
    min_samples: Annotated[int | None, typer.Option(min=1, help="HDBSCAN: larger means more noise.")] = None,
    n_neighbors: Annotated[int | None, typer.Option(min=2, max=200, help="UMAP: the neighbourhood.")] = None,
    n_components: Annotated[int | None, typer.Option(min=2, max=100, help="UMAP: the dimensions.")] = None,
    method: Annotated[ClusteringMethod | None, typer.Option(help="How groups are found.", case_sensitive=False)] = None,
    reducer: Annotated[Reducer | None, typer.Option(help="How dimensions are reduced.", case_sensitive=False)] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Of everything random.")] = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Reclusters a collection and waits for the end; Ctrl-C cancels the run. What is left out the server chooses.

    A run that is under way already is followed instead, and Ctrl-C leaves that one alone. Exit code 4: the result was
    implausible and is held back; nothing was changed.
    """
    if granularity is not None and clusters is not None:
        raise typer.BadParameter("give --granularity or --clusters, not both: they say the same in two ways")
    parameters = ClusteringParameters(
        n_neighbors=n_neighbors,
        n_components=n_components,
        min_cluster_size=min_cluster_size,
        min_samples=min_samples,
        seed=seed,
        granularity=granularity,
        n_clusters=clusters,
        reducer=reducer,
        method=method,
    )
    began = time.monotonic()
    with opened(server, collection) as target:
        run = recluster(target, parameters, server)
        show_result(target, run, time.monotonic() - began, server, as_json=as_json)
    if run.state is RunState.HELD_BACK:
        raise typer.Exit(HELD_BACK)


def recluster(collection: Collection, parameters: ClusteringParameters, server: str) -> ClusteringRun:
    """Reclusters with a progress bar, or follows the run that is under way; an interrupt cancels only what it began.

    Raises:
        ShoalError: why the run failed, if it did.
    """
    try:
        run = collection.run_clustering(parameters)
    except Aborted as error:
        other = run_under_way(error)
        if other is None:
            raise
        lost = "" if parameters == ClusteringParameters() else "; the settings given are not used"
        asked = asked_for(collection.get_run(other))
        warn(f"run {other} is under way already ({asked}): following it{lost}", error_console())
        return follow_only(collection, other, server)
    return follow_and_cancel(collection, run)

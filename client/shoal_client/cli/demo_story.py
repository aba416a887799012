"""What the demo shows once its server is up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import typer
from rich.markup import escape
from rich.table import Table

from shoal_client.cli.assign import sentence
from shoal_client.cli.cluster import recluster
from shoal_client.cli.following import show_result
from shoal_client.cli.ingest_tally import Tally
from shoal_client.cli.output import console, printable
from shoal_client.cli.storing import store
from shoal_client.collection import Collection
from shoal_client.results import Assignment, Cluster, ClusteringParameters

SNIPPET = """\
from shoal_client import Client

with Client("{address}") as client:
    for image in client.collection("{collection}").images(clusters=[{cluster}]):
        print(image.uri)
"""

QDRANT_SNIPPET = """\
from qdrant_client import QdrantClient, models
print(QdrantClient("http://localhost:6333").scroll("{collection}", scroll_filter=models.Filter(must=[models.FieldCondition(key="cluster_id", match=models.MatchValue(value={cluster}))])))
"""  # noqa: E501 - two lines to copy


@dataclass(frozen=True, slots=True)
class Pictures:
    """What the demo works on.

    Attributes:
        files: to ingest.
        held_back: to assign; not ingested.
        prompts: to search clusters for; empty: the names of the largest clusters.
    """

    files: list[Path]
    held_back: Path
    prompts: Sequence[str]


def tell(collection: Collection, pictures: Pictures, address: str) -> None:
    """Ingests, clusters, searches and assigns, and shows each step.

    Raises:
        ShoalError: a step failed.
    """
    _heading(f"{len(pictures.files)} pictures go in")
    tally = Tally(as_json=False)
    store(collection, pictures.files, tally, lambda: len(pictures.files))
    tally.show()

    _heading("They are clustered")
    began = time.monotonic()
    run = recluster(collection, ClusteringParameters(), address)
    show_result(collection, run, time.monotonic() - began, address, as_json=False)
    clusters = list(collection.clusters())
    if not clusters:
        console().print("The pictures form no groups; give the demo more of them.")
        return
    _show_clusters(collection, clusters)

    _heading("Words find clusters")
    for prompt in pictures.prompts or [cluster.name for cluster in clusters[:3]]:
        _show_search(collection, prompt)

    _heading(f"A picture that was held back, {pictures.held_back.name}, finds its cluster")
    assignment = collection.assign(pictures.held_back)
    console().print(sentence(assignment), markup=False, soft_wrap=True)

    _show_snippets(collection.id, address, _cluster_to_show(assignment, clusters))


def _heading(text: str) -> None:
    console().print(f"\n[bold]{escape(printable(text))}[/bold]", soft_wrap=True)


def _show_clusters(collection: Collection, clusters: Sequence[Cluster]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", justify="right")
    table.add_column("name")
    table.add_column("images", justify="right")
    table.add_column("for example")
    for cluster in clusters:
        name, example = (escape(printable(each)) for each in (cluster.name, _example(collection, cluster)))
        table.add_row(str(cluster.id), name, str(cluster.size), example)
    console().print(table)


def _example(collection: Collection, cluster: Cluster) -> str:
    """The file name of the cluster's most typical image."""
    if not cluster.exemplars:
        return "-"
    return unquote(collection.get(cluster.exemplars[0]).uri.rpartition("/")[2])


def _show_search(collection: Collection, prompt: str) -> None:
    matches = collection.search_clusters(text=prompt, limit=3)
    ranked = ", ".join(f"{match.cluster.id} {match.cluster.name} ({match.score:.3f})" for match in matches)
    console().print(printable(f"{prompt!r}: {ranked}"), markup=False, soft_wrap=True)


def _cluster_to_show(assignment: Assignment, clusters: Sequence[Cluster]) -> int:
    return clusters[0].id if assignment.cluster_id is None else assignment.cluster_id


def _show_snippets(collection: str, address: str, cluster: int) -> None:
    # Not through rich, which would break the long line.
    _heading("Python lists the images of a cluster, while the server is up (with --keep it stays up)")
    typer.echo(SNIPPET.format(address=address, collection=collection, cluster=cluster))
    _heading("With a Qdrant server behind Shoal, so does any Qdrant client")
    typer.echo(QDRANT_SNIPPET.format(collection=collection, cluster=cluster), nl=False)

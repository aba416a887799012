"""``shoal clusters``, ``shoal clusters show`` and ``shoal clusters search``."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from shoal_client.cli.bundles import bundled
from shoal_client.cli.filter_options import filters
from shoal_client.cli.options import (
    DEFAULT_COLLECTION,
    BestOption,
    ClusterArgument,
    CollectionOption,
    JsonOption,
    LimitOption,
    ServerOption,
    ThemeFilterOption,
    opened,
    refuse_before_subcommand,
)
from shoal_client.cli.output import console, print_json, print_records, printable
from shoal_client.cli.query_options import query
from shoal_client.cli.records import cluster_details, cluster_match_record, cluster_record
from shoal_client.cli.theme_tree import print_tree
from shoal_client.cli.words import clock, count
from shoal_client.filters import ImageFilter
from shoal_client.queries import Term
from shoal_client.results import Cluster, NameSource
from shoal_client.transport import DEFAULT_TARGET

clusters_app = typer.Typer()


@clusters_app.callback(invoke_without_command=True)
def clusters(
    context: typer.Context,
    themes: Annotated[bool, typer.Option("--themes", help="As a tree, below their themes.")] = False,
    theme: ThemeFilterOption = None,
    limit: LimitOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Lists the clusters, largest first; or shows one, or searches them."""
    if context.invoked_subcommand is not None:
        refuse_before_subcommand(context)
        return
    columns = {
        "id": "id",
        "name": "name",
        "size": "images",
        "name_source": "named by",
        "cohesion": "cohesion",
        "separation": "separation",
        "pinned": "pinned",
    }
    with opened(server, collection) as target:
        found = islice(target.clusters(themes=theme or []), limit)
        if themes:
            print_tree(target.themes(), list(found), as_json=as_json)
            return
        print_records(map(cluster_record if as_json else _row, found), columns, as_json=as_json)


@clusters_app.command()
def show(
    cluster: ClusterArgument,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Shows all that is known of a cluster: typical and borderline images, how firm it is, who named it."""
    with opened(server, collection) as target:
        found = target.cluster(cluster)
        if as_json:
            print_json(cluster_details(found))
            return
        shown = [(image, "typical") for image in found.exemplars]
        shown += [(image, "borderline") for image in found.borderline]
        rows = [{"id": image, "what": what, "uri": target.get(image).uri} for image, what in shown]
    for line in _lines(found):
        console().print(printable(line), markup=False, soft_wrap=True)
    if rows:
        print_records(rows, {"what": "image", "id": "id", "uri": "picture"}, as_json=False)


@clusters_app.command()
@bundled(wanted=query, chosen=filters)
def search(
    wanted: list[Term],
    limit: BestOption = 10,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
    *,
    chosen: ImageFilter,
) -> None:
    """Finds the clusters that fit a text, a file or a stored image, or several together, best first.

    With conditions on images: only clusters that have such images, and how many.
    """
    with opened(server, collection) as target:
        matches = target.search_clusters(terms=wanted, filter=chosen, limit=limit)
    columns = {"id": "id", "name": "name", "score": "score", "size": "images"}
    if chosen:
        columns["matching"] = "matching"
    print_records(map(cluster_match_record, matches), columns, as_json=as_json)


def _row(cluster: Cluster) -> dict[str, object]:
    return {**cluster_record(cluster), "pinned": "yes" if cluster.pinned else ""}


def _lines(cluster: Cluster) -> list[str]:
    namer = {NameSource.PERSON: "by a person", NameSource.AUTOMATIC: "by Shoal"}.get(cluster.name_source, "")
    corrected = {"pinned": cluster.pinned, "merged by a person": cluster.merged, "split by a person": cluster.split}
    lines = [
        f"cluster {cluster.id}, {cluster.name}, named {namer}".removesuffix(", named "),
        f"{count(cluster.size, 'image')} now, {cluster.run_size} of them put there by the run in force"
        if cluster.size >= cluster.run_size
        else f"{count(cluster.size, 'image')} now, {cluster.run_size} when the run was done",
        f"cohesion {cluster.cohesion:.3f}, separation {cluster.separation:.3f}; "
        f"a new image joins at similarity {cluster.assign_threshold:.3f}",
        f"id given {clock(cluster.created_at)}",
    ]
    if any(corrected.values()):
        lines.append(", ".join(name for name, true in corrected.items() if true))
    if cluster.theme_id is not None:
        lines.append(f"below theme {cluster.theme_id}")
    if cluster.name_candidates:
        names = ", ".join(f"{each.name} ({each.score:.3f})" for each in cluster.name_candidates)
        lines.append(f"names that fit: {names}")
    return lines

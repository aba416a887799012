"""``shoal rename``, ``merge``, ``split``, ``pin``, ``unpin``, ``move`` and ``dissolve``."""

from __future__ import annotations

from typing import Annotated

import typer

from shoal_client.cli.correction_records import result_record
from shoal_client.cli.options import (
    DEFAULT_COLLECTION,
    AuthorOption,
    ClusterArgument,
    CollectionOption,
    JsonOption,
    ServerOption,
    author_name,
    command_line,
    opened,
)
from shoal_client.cli.output import console, print_json, print_record, printable
from shoal_client.cli.records import cluster_record
from shoal_client.cli.words import count, ranges
from shoal_client.results import CorrectionKind, CorrectionResult
from shoal_client.transport import DEFAULT_TARGET


def rename(
    cluster: ClusterArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="An empty one gives the naming back to Shoal.")],
    author: AuthorOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Gives a cluster a name that stays over reclusterings."""
    with opened(server, collection) as target:
        record = cluster_record(target.rename(cluster, name, author=author_name(author)))
    print_record(record, as_json=as_json)


def merge(
    clusters: Annotated[list[int], typer.Argument(metavar="CLUSTER CLUSTER...", help="The first keeps id and name.")],
    author: AuthorOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Makes clusters one; later runs keep them together."""
    if len(set(clusters)) < 2:
        raise typer.BadParameter("give at least two different clusters; the first keeps its id and name")
    with opened(server, collection) as target:
        result = target.merge(clusters, author=author_name(author))
    gone = ranges(each for each in clusters if each not in result.clusters)
    show(result, f"cluster {clusters[0]} took in {gone}", collection, server, as_json=as_json)


def split(
    cluster: ClusterArgument,
    parts: Annotated[
        int | None, typer.Option("--parts", min=2, max=100, help="How many parts; as many as there are if left out.")
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="ID", help="An image for the new cluster, instead of --parts; repeat it."),
    ] = None,
    author: AuthorOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Takes a cluster apart, by a clustering inside it or by listing images; later runs keep the parts apart."""
    if parts is not None and image:
        raise typer.BadParameter("give --parts or --image, not both: the images listed become one new cluster")
    with opened(server, collection) as target:
        result = target.split(cluster, images=image or None, parts=parts, author=author_name(author))
    new = ranges(each for each in result.clusters if each != cluster)
    show(result, f"cluster {cluster} was taken apart; new: {new}", collection, server, as_json=as_json)


def pin(
    cluster: ClusterArgument,
    author: AuthorOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Makes a cluster keep its id and its images in every later run."""
    with opened(server, collection) as target:
        result = target.pin(cluster, author=author_name(author))
    show(result, f"cluster {cluster} is pinned", collection, server, as_json=as_json)


def unpin(
    cluster: ClusterArgument,
    author: AuthorOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Lets go of a pinned cluster."""
    with opened(server, collection) as target:
        result = target.unpin(cluster, author=author_name(author))
    show(result, f"cluster {cluster} is no longer pinned", collection, server, as_json=as_json)


def move(
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", help="Ids of stored images.")],
    to: Annotated[int | None, typer.Option("--to", metavar="CLUSTER", help="Put them into this cluster.")] = None,
    out: Annotated[bool, typer.Option("--out", help="Put them into none.")] = False,
    author: AuthorOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Puts images into a cluster, or out of any; they stay there in every later run."""
    if (to is None) != out:
        raise typer.BadParameter("give either --to CLUSTER or --out")
    with opened(server, collection) as target:
        result = target.move(images, to, author=author_name(author))
    where = "in no cluster" if to is None else f"in cluster {to}"
    moved = count(result.correction.image_count, "image is now", "images are now")
    show(result, f"{moved} {where}", collection, server, as_json=as_json)


def dissolve(
    cluster: ClusterArgument,
    author: AuthorOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Takes all images out of a cluster; later runs do not find that group again."""
    with opened(server, collection) as target:
        result = target.dissolve(cluster, author=author_name(author))
    show(result, f"cluster {cluster} is dissolved", collection, server, as_json=as_json)


def show(result: CorrectionResult, sentence: str, collection: str, server: str, *, as_json: bool) -> None:
    """Prints what came of a correction, and how to take it back."""
    if as_json:
        print_json(result_record(result))
        return
    correction = result.correction
    told = correction.kind is CorrectionKind.MOVE or not correction.image_count
    images = "" if told else f" ({count(correction.image_count, 'image')} put elsewhere)"
    undo = command_line("undo", correction.id, collection=collection, server=server)
    for line in (f"{sentence}{images}", f"take it back with: {undo}"):
        console().print(printable(line), markup=False, soft_wrap=True)

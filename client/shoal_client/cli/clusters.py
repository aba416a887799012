"""``shoal clusters`` and ``shoal clusters search``."""

from __future__ import annotations

from itertools import islice

import typer

from shoal_client.cli.options import (
    DEFAULT_COLLECTION,
    BestOption,
    CollectionOption,
    ImageOption,
    JsonOption,
    LikeOption,
    LimitOption,
    ServerOption,
    TextArgument,
    opened,
    query,
    refuse_before_subcommand,
)
from shoal_client.cli.output import print_records
from shoal_client.cli.records import cluster_match_record, cluster_record
from shoal_client.transport import DEFAULT_TARGET

clusters_app = typer.Typer()


@clusters_app.callback(invoke_without_command=True)
def clusters(
    context: typer.Context,
    limit: LimitOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Lists the clusters, largest first; or searches them."""
    if context.invoked_subcommand is not None:
        refuse_before_subcommand(context)
        return
    columns = {"id": "id", "name": "name", "size": "images", "name_source": "named by", "cohesion": "cohesion"}
    with opened(server, collection) as target:
        print_records((cluster_record(each) for each in islice(target.clusters(), limit)), columns, as_json=as_json)


@clusters_app.command()
def search(
    text: TextArgument = None,
    image: ImageOption = None,
    like: LikeOption = None,
    limit: BestOption = 10,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Finds the clusters that fit a text, a file or a stored image, best first."""
    wanted = query(text, image, like)
    with opened(server, collection) as target:
        matches = target.search_clusters(**wanted, limit=limit)
    columns = {"id": "id", "name": "name", "score": "score", "size": "images"}
    print_records(map(cluster_match_record, matches), columns, as_json=as_json)

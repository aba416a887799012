"""``shoal rename``."""

from __future__ import annotations

from typing import Annotated

import typer

from shoal_client.cli.options import DEFAULT_COLLECTION, CollectionOption, JsonOption, ServerOption, opened
from shoal_client.cli.output import print_record
from shoal_client.cli.records import cluster_record
from shoal_client.transport import DEFAULT_TARGET


def rename(
    cluster: Annotated[int, typer.Argument(metavar="CLUSTER", help="Id of a cluster.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="An empty one gives the naming back to Shoal.")],
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Gives a cluster a name that stays over reclusterings."""
    with opened(server, collection) as target:
        print_record(cluster_record(target.rename(cluster, name)), as_json=as_json)

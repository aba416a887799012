"""``shoal search``."""

from __future__ import annotations

from typing import Annotated

import typer

from shoal_client.cli.options import (
    DEFAULT_COLLECTION,
    BestOption,
    ClusterFilterOption,
    CollectionOption,
    ImageOption,
    JsonOption,
    LikeOption,
    MomentFilterOption,
    PlaceFilterOption,
    ServerOption,
    TextArgument,
    ThemeFilterOption,
    UnclusteredOption,
    filters,
    opened,
    query,
)
from shoal_client.cli.output import print_records
from shoal_client.cli.records import image_match_record
from shoal_client.transport import DEFAULT_TARGET


def search(
    text: TextArgument = None,
    image: ImageOption = None,
    like: LikeOption = None,
    cluster: ClusterFilterOption = None,
    unclustered: UnclusteredOption = False,
    theme: ThemeFilterOption = None,
    place: PlaceFilterOption = None,
    moment: MomentFilterOption = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=-1, max=1, help="Leave out what scores less: cosine similarity.")
    ] = None,
    limit: BestOption = 10,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Finds images most like a text, a file or a stored image, best first."""
    wanted = query(text, image, like)
    chosen = filters(cluster, unclustered, theme, place, moment)
    with opened(server, collection) as target:
        matches = target.search(**wanted, **chosen, score_threshold=threshold, limit=limit)
    columns = {"score": "score", "cluster_id": "cluster", "uri": "picture", "id": "id"}
    print_records(map(image_match_record, matches), columns, as_json=as_json)

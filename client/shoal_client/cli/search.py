"""``shoal search`` and ``shoal recommend``."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from shoal_client.cli.bundles import bundled
from shoal_client.cli.filter_options import filters
from shoal_client.cli.options import DEFAULT_COLLECTION, BestOption, CollectionOption, JsonOption, ServerOption, opened
from shoal_client.cli.output import print_records
from shoal_client.cli.query_options import query
from shoal_client.cli.records import image_match_record
from shoal_client.filters import ImageFilter
from shoal_client.queries import Term
from shoal_client.transport import DEFAULT_TARGET


def _a_number(given: float | None) -> float | None:
    """Refuses what older versions of typer let pass: it is neither below nor above any bound."""
    if given is not None and math.isnan(given):
        raise typer.BadParameter("nan is no number")
    return given


ThresholdOption = Annotated[
    float | None,
    typer.Option(
        "--threshold", min=-1, max=1, callback=_a_number, help="Leave out what scores less: cosine similarity."
    ),
]
DiversityOption = Annotated[
    float,
    typer.Option(
        "--diversity",
        min=0,
        max=1,
        callback=_a_number,
        help="How much images are preferred that are unlike the ones before; 0: not at all.",
    ),
]
_COLUMNS = {"score": "score", "cluster_id": "cluster", "uri": "picture", "id": "id"}


@bundled(wanted=query, chosen=filters)
def search(
    wanted: list[Term],
    threshold: ThresholdOption = None,
    diversity: DiversityOption = 0.0,
    limit: BestOption = 10,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
    *,
    chosen: ImageFilter,
) -> None:
    """Finds images most like a text, a file or a stored image, or several together, best first.

    This photo, but at night: `shoal search "at night" --like ID --minus people`
    """
    with opened(server, collection) as target:
        matches = target.search(
            terms=wanted, filter=chosen, score_threshold=threshold, diversity=diversity, limit=limit
        )
    print_records(map(image_match_record, matches), _COLUMNS, as_json=as_json)


@bundled(chosen=filters)
def recommend(
    like: Annotated[list[str], typer.Option("--like", metavar="ID", help="More like this image; may be repeated.")],
    unlike: Annotated[
        list[str] | None, typer.Option("--unlike", metavar="ID", help="Less like this image; may be repeated.")
    ] = None,
    threshold: ThresholdOption = None,
    diversity: DiversityOption = 0.0,
    limit: BestOption = 10,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
    *,
    chosen: ImageFilter,
) -> None:
    """Finds images like those that you like and unlike those that you do not, best first."""
    for each in sorted({*like} & {*(unlike or ())}):
        raise typer.BadParameter(f"{each} is given with --like as well", param_hint="--unlike")
    with opened(server, collection) as target:
        matches = target.recommend(
            like, unlike or (), filter=chosen, score_threshold=threshold, diversity=diversity, limit=limit
        )
    print_records(map(image_match_record, matches), _COLUMNS, as_json=as_json)

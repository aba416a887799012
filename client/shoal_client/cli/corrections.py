"""``shoal corrections`` and ``shoal undo``."""

from __future__ import annotations

from itertools import islice
from typing import Annotated, Any

import typer

from shoal_client.cli.correction_records import correction_record, result_record
from shoal_client.cli.options import (
    DEFAULT_COLLECTION,
    AuthorOption,
    CollectionOption,
    JsonOption,
    LimitOption,
    ServerOption,
    author_name,
    opened,
)
from shoal_client.cli.output import console, print_json, print_records, printable
from shoal_client.cli.words import clock, count
from shoal_client.results import Correction
from shoal_client.transport import DEFAULT_TARGET


def corrections(
    limit: LimitOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Lists what people corrected, newest first, undone corrections too."""
    columns = {
        "id": "id",
        "when": "when",
        "kind": "what",
        "clusters": "clusters",
        "images": "images",
        "detail": "detail",
        "author": "by",
        "undone": "undone",
    }
    with opened(server, collection) as target:
        found = islice(target.corrections(), limit)
        print_records(map(correction_record if as_json else _row, found), columns, as_json=as_json)


def undo(
    correction: Annotated[str, typer.Argument(metavar="CORRECTION", help="Id of a correction.")],
    author: AuthorOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Takes a correction back; images that were put elsewhere since stay there."""
    with opened(server, collection) as target:
        result = target.undo(correction, author=author_name(author))
    if as_json:
        print_json(result_record(result))
        return
    undone = result.correction
    what = undone.kind.value.replace("_", " ")
    line = f"the correction {undone.id} ({what}, {count(undone.image_count, 'image')}) is taken back"
    console().print(printable(line), markup=False, soft_wrap=True)


def _row(correction: Correction) -> dict[str, Any]:
    undone = clock(correction.undone_at) if correction.undone_at is not None else None
    return {
        **correction_record(correction),
        "kind": correction.kind.value.replace("_", " "),
        "when": clock(correction.created_at),
        "undone": f"{undone} {correction.undone_by}".rstrip() if undone else None,
    }

"""``shoal assign``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from shoal_client.cli.options import DEFAULT_COLLECTION, CollectionOption, JsonOption, ServerOption, opened
from shoal_client.cli.output import console, print_json, printable
from shoal_client.cli.records import assignment_record
from shoal_client.results import Assignment
from shoal_client.transport import DEFAULT_TARGET


def assign(
    file: Annotated[Path, typer.Argument(metavar="FILE", readable=False, help="An image file.")],
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Tells which cluster an image file belongs to, without storing it."""
    with opened(server, collection) as target:
        assignment = target.assign(file)
    if as_json:
        print_json(assignment_record(assignment))
    else:
        console().print(sentence(assignment), markup=False, soft_wrap=True)


def sentence(assignment: Assignment) -> str:
    """An assignment in words."""
    if assignment.outlier:
        return f"an outlier: no cluster is like it (best similarity {assignment.similarity:.3f})"
    name = printable(assignment.name or "")
    return f"cluster {assignment.cluster_id}, {name} (similarity {assignment.similarity:.3f})"

"""``shoal noise`` and ``shoal noise reassign``."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from shoal_client.cli.correction_records import correction_record, proposal_record
from shoal_client.cli.options import (
    DEFAULT_COLLECTION,
    AuthorOption,
    CollectionOption,
    JsonOption,
    LimitOption,
    ServerOption,
    author_name,
    command_line,
    opened,
    refuse_before_subcommand,
)
from shoal_client.cli.output import console, print_json, print_records
from shoal_client.cli.records import image_record
from shoal_client.cli.words import count
from shoal_client.results import NoiseReassignment
from shoal_client.transport import DEFAULT_TARGET

noise_app = typer.Typer()


@noise_app.callback(invoke_without_command=True)
def noise(
    context: typer.Context,
    limit: LimitOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Lists the images in no cluster; or puts them into the nearest."""
    if context.invoked_subcommand is not None:
        refuse_before_subcommand(context)
        return
    columns = {"id": "id", "captured_at": "taken", "uri": "picture"}
    with opened(server, collection) as target:
        images = islice(target.images(unclustered=True), limit)
        print_records(map(image_record, images), columns, as_json=as_json)


@noise_app.command()
def reassign(
    min_similarity: Annotated[
        float | None,
        typer.Option(
            "--min-similarity",
            min=-1,
            max=1,
            help="How similar the neighbours must be: mean cosine similarity; a little less than new images need if "
            "left out.",
        ),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; otherwise only show what would be done.")] = False,
    author: AuthorOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Shows which cluster each image in none is nearest to; puts them there with --apply."""
    with opened(server, collection) as target:
        answer = target.reassign_noise(min_similarity=min_similarity, apply=apply, author=author_name(author))
    columns = {"id": "id", "cluster_id": "cluster", "similarity": "similarity"}
    print_records(map(proposal_record, answer.proposals), columns, as_json=as_json)
    if as_json:
        record = None if answer.correction is None else correction_record(answer.correction)
        print_json({"images": answer.proposal_count, "applied": apply, "correction": record})
        return
    same = [] if min_similarity is None else ["--min-similarity", min_similarity]
    again = command_line("noise", "reassign", "--apply", *same, collection=collection, server=server)
    for line in _summary(answer, again, collection, server):
        console().print(line, markup=False, soft_wrap=True)


def _summary(answer: NoiseReassignment, again: str, collection: str, server: str) -> list[str]:
    lines = []
    if (missing := answer.proposal_count - len(answer.proposals)) > 0:
        lines.append(f"and {missing} more")
    if answer.correction is not None:
        undo = command_line("undo", answer.correction.id, collection=collection, server=server)
        put = count(answer.correction.image_count, "image was", "images were")
        return [*lines, f"{put} put into the nearest cluster", f"take it back with: {undo}"]
    if not answer.proposal_count:
        return [*lines, "no image in none is similar enough to a cluster; a lower --min-similarity takes more"]
    would = count(answer.proposal_count, "image")
    return [*lines, f"{would} would be put into the nearest cluster; nothing was changed yet. Do it with: {again}"]

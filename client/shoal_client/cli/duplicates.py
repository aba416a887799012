"""``shoal duplicates``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice
from typing import Annotated, Any

import typer

from shoal_client.cli.bundles import bundled
from shoal_client.cli.filter_options import filters
from shoal_client.cli.options import (
    DEFAULT_COLLECTION,
    CollectionOption,
    JsonOption,
    LimitOption,
    ServerOption,
    opened,
)
from shoal_client.cli.output import console, print_json, print_records
from shoal_client.cli.words import count
from shoal_client.collection import Collection
from shoal_client.errors import NotFound
from shoal_client.filters import ImageFilter
from shoal_client.results import Duplicate, DuplicateGroup
from shoal_client.transport import DEFAULT_TARGET

_COLUMNS = {"keeps": "", "id": "id", "pixels": "pixels", "size": "size", "similarity": "similarity", "uri": "picture"}


@bundled(chosen=filters)
def duplicates(
    include_bursts: Annotated[
        bool, typer.Option("--include-bursts", help="Count the photographs of a burst as well.")
    ] = False,
    include_pairs: Annotated[
        bool,
        typer.Option("--include-pairs", help="Count files of one shot as well: a raw file or HEIC beside its JPEG."),
    ] = False,
    delete_others: Annotated[
        bool,
        typer.Option(
            "--delete-others",
            help="Remove all but the keeper of each group from the collection, after asking; no file is touched.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --delete-others: do not ask.")] = False,
    limit: LimitOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
    *,
    chosen: ImageFilter,
) -> None:
    """Lists images that show the same picture, in groups, each with the one to keep."""
    if yes and not delete_others:
        raise typer.BadParameter("there is nothing to ask without --delete-others", param_hint="--yes")
    with opened(server, collection) as target:
        found = target.duplicates(filter=chosen, include_bursts=include_bursts, include_pairs=include_pairs)
        # Removing images changes what the next page is of.
        groups = list(islice(found, limit))
        for number, group in enumerate(groups, 1):
            if as_json:
                print_json(duplicate_group_record(group))
            else:
                _print_group(number, group)
        others = [each.image.id for group in groups for each in group.others]
        if not as_json:
            copies = count(len(others), "image")
            console().print(f"{count(len(groups), 'group')}, {copies} beside the keepers" if groups else "none")
        if delete_others and others:
            _delete(target, others, yes=yes, as_json=as_json)


def duplicate_group_record(group: DuplicateGroup) -> dict[str, Any]:
    """A group."""
    return {"keeper": group.keeper, "members": [duplicate_record(each) for each in group.members]}


def duplicate_record(member: Duplicate) -> dict[str, Any]:
    """An image of a group; ``distance`` is in bits of 64."""
    image = member.image
    return {
        "id": image.id,
        "uri": image.uri,
        "width": image.metadata.width,
        "height": image.metadata.height,
        "format": image.metadata.format,
        "byte_size": image.metadata.byte_size,
        "captured_at": image.metadata.captured_at,
        "similarity": member.similarity,
        "distance": member.distance,
    }


def _print_group(number: int, group: DuplicateGroup) -> None:
    console().print(f"group {number}", style="italic")
    print_records((_row(group, each) for each in group.members), _COLUMNS, as_json=False)
    console().print()


def _row(group: DuplicateGroup, member: Duplicate) -> dict[str, str]:
    keeps, metadata = member.image.id == group.keeper, member.image.metadata
    return {
        "keeps": "keep" if keeps else "",
        "id": member.image.id,
        "pixels": f"{metadata.width} x {metadata.height}",
        "size": _size(metadata.byte_size),
        "similarity": "" if keeps else f"{member.similarity:.3f}",
        "uri": member.image.uri,
    }


def _size(byte_size: int) -> str:
    return f"{byte_size / 1e6:.1f} MB" if byte_size >= 1_000_000 else f"{byte_size / 1e3:.0f} kB"


def _delete(target: Collection, images: Sequence[str], *, yes: bool, as_json: bool) -> None:
    if not yes:
        question = f"Remove the {count(len(images), 'image')} beside the keepers from {target.id}? There is no undo"
        try:
            agreed = typer.confirm(question, err=True)
        except typer.Abort as error:
            if sys.stdin.isatty():
                raise
            typer.echo(err=True)
            raise typer.BadParameter(
                "nobody can be asked here: add --yes to remove them all the same", param_hint="--delete-others"
            ) from error
        if not agreed:
            raise typer.Abort
    removed = 0
    for image in images:
        try:
            target.delete(image)
        except NotFound:
            continue  # somebody else removed it
        removed += 1
    if as_json:
        print_json({"deleted": removed})
    else:
        console().print(f"{count(removed, 'image was', 'images were')} removed; the files stay where they are")

"""``shoal map``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from shoal_client.cli.options import DEFAULT_COLLECTION, CollectionOption, JsonOption, ServerOption, opened
from shoal_client.cli.output import console, error_console, print_json, printable
from shoal_client.cli.progress import image_progress
from shoal_client.cli.words import count
from shoal_client.collection import Collection
from shoal_client.errors import FailedPrecondition, MissingExtra, NotFound
from shoal_client.export.map_points import map_data, on_map, shown_first
from shoal_client.results import ExportedImage
from shoal_client.transport import DEFAULT_TARGET
from shoal_client.whole_file import whole_file

#: What the server half gives the page by.
PAGE = "shoal.map"

THUMBNAILS = 500


def map_(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where to, for instance map.html.")],
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Of this run; the clusters as they are if left out.")
    ] = None,
    thumbnails: Annotated[
        int,
        typer.Option(
            "--thumbnails",
            min=0,
            max=20_000,
            help="At most so many photos in it, about 8 KB each; of every cluster some.",
        ),
    ] = THUMBNAILS,
    title: Annotated[
        str | None, typer.Option("--title", help="Of the page; the collection's name if left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Writes the map into one HTML file, which any browser opens without a server or a network."""
    page = _page()
    with opened(server, collection) as target:
        points = on_map(target.export(run))
        if not points:
            raise FailedPrecondition(
                f"nothing of collection {collection!r} is on a map yet: cluster it first, with `shoal cluster`"
            )
        pictures = _pictures(target, points, shown_first(points, thumbnails))
    data = map_data(title or collection, points, pictures, datetime.now(UTC))
    content = page(data).encode()
    with whole_file(output, overwrite=force) as file:
        file.write(content)
    if as_json:
        print_json({"images": len(points), "thumbnails": len(pictures), "path": str(output), "byte_size": len(content)})
    else:
        line = f"{count(len(points), 'image')} and {count(len(pictures), 'photo')} written to {output}"
        console().print(printable(line), markup=False, soft_wrap=True)


def _pictures(target: Collection, points: Sequence[ExportedImage], wanted: Sequence[int]) -> dict[int, bytes]:
    """Thumbnails by index of the point; those that the server does not keep are left out."""
    found: dict[int, bytes] = {}
    with image_progress(error_console()) as progress:
        bar = progress.add_task("reading photos", total=len(wanted))
        for index in wanted:
            with suppress(NotFound):
                found[index] = target.thumbnail(points[index].image.id)
            progress.advance(bar)
    return found


def _page() -> Callable[[Mapping[str, Any]], str]:
    for entry in entry_points(group=PAGE, name="page"):
        page: Callable[[Mapping[str, Any]], str] = entry.load()
        return page
    raise MissingExtra("the page of the map comes with the server half: pip install 'shoal[server]'")

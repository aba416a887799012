"""``shoal images list``, ``show`` and ``delete``."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from shoal_client.cli.options import (
    DEFAULT_COLLECTION,
    ClusterFilterOption,
    CollectionOption,
    JsonOption,
    LimitOption,
    MomentFilterOption,
    PlaceFilterOption,
    ServerOption,
    ThemeFilterOption,
    UnclusteredOption,
    filters,
    opened,
)
from shoal_client.cli.output import print_record, print_records
from shoal_client.cli.records import image_record
from shoal_client.transport import DEFAULT_TARGET

images_app = typer.Typer(no_args_is_help=True, help="Lists, shows and deletes stored images.")

ImageArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of a stored image.")]


@images_app.command("list")
def list_images(
    cluster: ClusterFilterOption = None,
    unclustered: UnclusteredOption = False,
    theme: ThemeFilterOption = None,
    place: PlaceFilterOption = None,
    moment: MomentFilterOption = None,
    limit: LimitOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Lists stored images in the order of their ids."""
    columns = {"id": "id", "cluster_id": "cluster", "captured_at": "taken", "uri": "picture"}
    with opened(server, collection) as target:
        images = target.images(**filters(cluster, unclustered, theme, place, moment))
        print_records((image_record(each) for each in islice(images, limit)), columns, as_json=as_json)


@images_app.command()
def show(
    image_id: ImageArgument,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Shows all that is known of a stored image."""
    with opened(server, collection) as target:
        print_record(image_record(target.get(image_id)), as_json=as_json)


@images_app.command()
def delete(
    image_id: ImageArgument,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Removes an image from the collection; the picture itself stays where it is."""
    with opened(server, collection) as target:
        target.delete(image_id)
    print_record({"id": image_id, "deleted": True}, as_json=as_json)

"""``shoal images``: ``list``, ``show``, ``update``, ``thumbnail``, ``download`` and ``delete``."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from shoal_client.cli.bundles import bundled
from shoal_client.cli.filter_options import assigned, checked_key, filters, said
from shoal_client.cli.options import (
    DEFAULT_COLLECTION,
    CollectionOption,
    JsonOption,
    LimitOption,
    ServerOption,
    opened,
)
from shoal_client.cli.output import print_record, print_records
from shoal_client.cli.records import image_record
from shoal_client.errors import AlreadyExists
from shoal_client.filters import Attribute, ImageFilter
from shoal_client.filters.conditions import typed
from shoal_client.queries import ImageOrder
from shoal_client.results import Image
from shoal_client.transport import DEFAULT_TARGET
from shoal_client.whole_file import check_writable, whole_file

images_app = typer.Typer(no_args_is_help=True, help="Lists, shows, changes, fetches and deletes stored images.")

ImageArgument = Annotated[str, typer.Argument(metavar="ID", help="Id of a stored image.")]
OutputOption = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="FILE", readable=False, allow_dash=True, help="Where to write it; -: to stdout."
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Take the place of a file that is there.")]
#: What the API takes.
_MOST = 64
_STDOUT = Path("-")


class Order(Enum):
    """Which image comes first; images without a time come last."""

    ID = "id"
    CAPTURED = "captured"
    LATEST = "-captured"


_ORDERS = {
    Order.ID: ImageOrder.ID,
    Order.CAPTURED: ImageOrder.CAPTURED,
    Order.LATEST: ImageOrder.CAPTURED_LATEST_FIRST,
}


@images_app.command("list")
@bundled(chosen=filters)
def list_images(
    order: Annotated[
        Order, typer.Option("--order", help="By id, by the time they were taken, or the latest first (-captured).")
    ] = Order.ID,
    limit: LimitOption = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
    *,
    chosen: ImageFilter,
) -> None:
    """Lists stored images."""
    columns = {"id": "id", "cluster_id": "cluster", "captured_at": "taken", "uri": "picture"}
    with opened(server, collection) as target:
        images = target.images(filter=chosen, order=_ORDERS[order])
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
def update(
    image_id: ImageArgument,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="Add a tag; may be repeated.")] = None,
    remove_tag: Annotated[
        list[str] | None, typer.Option("--remove-tag", metavar="TAG", help="Take a tag away; may be repeated.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set an attribute: rating=5 is a number, 'rating=\"5\"' a text; may be repeated.",
        ),
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option("--unset", metavar="KEY", help="Take an attribute away; may be repeated.")
    ] = None,
    uri: Annotated[str | None, typer.Option("--uri", metavar="URI", help="Where the picture is now.")] = None,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Changes the tags, attributes or URI of a stored image, and shows it."""
    if uri is None and not any((tag, remove_tag, set_, unset)):
        raise typer.BadParameter("give at least one of --tag, --remove-tag, --set, --unset and --uri")
    if uri == "":
        raise typer.BadParameter("it is empty; an image keeps a URI", param_hint="--uri")
    added, removed = said(tag, "--tag"), said(remove_tag, "--remove-tag")
    pairs = [assigned(each, "--set") for each in set_ or ()]
    changed = [(checked_key(key, "--set"), value) for key, value in pairs]
    _refuse_both(added, removed, "tag", "--remove-tag")
    _refuse_both([key for key, _ in changed], unset or (), "attribute", "--unset")
    with opened(server, collection) as target:
        image = target.get(image_id)
        tags = _changed_tags(image, added, removed) if tag or remove_tag else None
        attributes = _changed_attributes(image, changed, unset or ()) if set_ or unset else None
        _refuse_too_many(tags or (), "tags", "--tag")
        _refuse_too_many(attributes or (), "attributes", "--set")
        print_record(image_record(target.update(image_id, uri=uri, tags=tags, attributes=attributes)), as_json=as_json)


@images_app.command()
def thumbnail(
    image_id: ImageArgument,
    output: OutputOption,
    force: ForceOption = False,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Writes a small picture of a stored image to a file: WebP, upright, at most 256 pixels wide and high."""
    if _to_stdout(output, as_json):
        with opened(server, collection) as target:
            _pour([target.thumbnail(image_id)])
        return
    _refuse_overwriting(output, force)
    with opened(server, collection) as target:
        content = target.thumbnail(image_id)
        with whole_file(output, overwrite=force) as file:
            file.write(content)
    print_record({"id": image_id, "file": str(output), "byte_size": len(content)}, as_json=as_json)


@images_app.command()
def download(
    image_id: ImageArgument,
    output: OutputOption,
    force: ForceOption = False,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Writes the file as it was ingested, if the server keeps originals (SHOAL_KEEP_ORIGINALS)."""
    if _to_stdout(output, as_json):
        with opened(server, collection) as target:
            _pour(target.download(image_id))
        return
    _refuse_overwriting(output, force)
    with opened(server, collection) as target:
        size = target.download_to(image_id, output, overwrite=force)
    print_record({"id": image_id, "file": str(output), "byte_size": size}, as_json=as_json)


@images_app.command()
def delete(
    image_id: ImageArgument,
    collection: CollectionOption = DEFAULT_COLLECTION,
    server: ServerOption = DEFAULT_TARGET,
    as_json: JsonOption = False,
) -> None:
    """Removes an image from the collection, with its thumbnail and kept original; the picture at its URI stays."""
    with opened(server, collection) as target:
        target.delete(image_id)
    print_record({"id": image_id, "deleted": True}, as_json=as_json)


def _to_stdout(output: Path, as_json: bool) -> bool:
    """Whether the file goes to stdout, where nothing else is then written.

    Raises:
        typer.BadParameter: it does, but somebody looks at it, or something else is to be written there.
    """
    if output != _STDOUT:
        return False
    if as_json:
        raise typer.BadParameter("the file goes to stdout, and so would --json", param_hint="--output")
    if sys.stdout.isatty():
        raise typer.BadParameter("stdout is a terminal; name a file, or lead it into one", param_hint="--output")
    return True


def _pour(parts: Iterable[bytes]) -> None:
    stdout = typer.get_binary_stream("stdout")
    for part in parts:
        stdout.write(part)
    stdout.flush()


def _refuse_overwriting(output: Path, force: bool) -> None:
    try:
        check_writable(output, overwrite=force)
    except AlreadyExists as error:
        raise AlreadyExists(
            f"{output} is there already; name another file, or overwrite it with --force", reason=error.reason
        ) from error


def _refuse_both(given: Iterable[str], taken: Iterable[str], what: str, option: str) -> None:
    for each in sorted(set(given) & set(taken)):
        raise typer.BadParameter(f"the {what} {each!r} is given as well; leave one of the two out", param_hint=option)


def _refuse_too_many(values: Collection[str], what: str, option: str) -> None:
    if len(values) > _MOST:
        raise typer.BadParameter(f"the image would have {len(values)} {what}; it can have {_MOST}", param_hint=option)


def _changed_tags(image: Image, added: Iterable[str], removed: Iterable[str]) -> list[str]:
    away = set(removed)
    return [each for each in dict.fromkeys((*image.tags, *added)) if each not in away]


def _changed_attributes(
    image: Image, changed: Iterable[tuple[str, str]], removed: Iterable[str]
) -> dict[str, Attribute]:
    attributes = {**image.attributes, **{key: _value(value) for key, value in changed}}
    for key in removed:
        attributes.pop(key, None)
    return attributes


def _value(text: str) -> Attribute:
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1] if quoted else typed(text)

"""Resource names of the API (``collections/{c}/images/{i}``) and the bare ids that the client shows instead."""

from __future__ import annotations

import re
from uuid import UUID

from shoal_client.errors import InternalError, InvalidArgument

IMAGES = "images"
CLUSTERS = "clusters"
RUNS = "clusteringRuns"
CORRECTIONS = "corrections"
THEMES = "themes"
PLACES = "places"
MOMENTS = "moments"

#: What numbers stand for, and the command that prints them.
_NUMBERED = {
    CLUSTERS: ("cluster", "shoal clusters"),
    THEMES: ("theme", "shoal themes"),
    PLACES: ("place", "shoal places"),
    MOMENTS: ("moment", "shoal moments"),
}

_COLLECTION_ID = re.compile("[a-z][a-z0-9_-]{0,62}")


def checked_collection_id(collection: str) -> str:
    """The id of a collection as it was given.

    Raises:
        InvalidArgument: it does not have its form.
    """
    if _COLLECTION_ID.fullmatch(collection) is None:
        raise InvalidArgument(
            f"{collection!r} is not a collection's name: 1 to 63 of a-z, 0-9, '-' and '_', beginning with a letter",
            reason="INVALID_NAME",
        )
    return collection


def collection_name(collection: str) -> str:
    """The name of a collection.

    Raises:
        InvalidArgument: the id does not have its form.
    """
    return f"collections/{checked_collection_id(collection)}"


def image_name(collection: str, image: str) -> str:
    """The name of an image.

    Raises:
        InvalidArgument: an id does not have its form.
    """
    try:
        UUID(image)
    except (ValueError, AttributeError) as error:
        raise InvalidArgument(
            f"{image!r} is not an image id (a UUID as `shoal images list` prints it)", reason="INVALID_NAME"
        ) from error
    return child_name(collection, IMAGES, image)


def cluster_name(collection: str, cluster: int) -> str:
    """The name of a cluster.

    Raises:
        InvalidArgument: an id does not have its form.
    """
    return numbered_name(collection, CLUSTERS, cluster)


def numbered_name(collection: str, kind: str, identity: int) -> str:
    """The name of something whose id is a number; ``kind`` is CLUSTERS, THEMES, PLACES or MOMENTS.

    Raises:
        InvalidArgument: an id does not have its form.
    """
    if identity < 0:
        what, command = _NUMBERED[kind]
        raise InvalidArgument(
            f"{identity} is not a {what} id (a number as `{command}` prints it)", reason="INVALID_NAME"
        )
    return child_name(collection, kind, identity)


def text_name(collection: str, kind: str, identity: str) -> str:
    """The name of a run or a correction; ``kind`` is RUNS or CORRECTIONS.

    Raises:
        InvalidArgument: an id does not have its form.
    """
    if not identity or "/" in identity:
        what, command = {RUNS: ("run", "shoal runs"), CORRECTIONS: ("correction", "shoal corrections")}[kind]
        raise InvalidArgument(f"{identity!r} is not a {what} id (as `{command}` prints it)", reason="INVALID_NAME")
    return child_name(collection, kind, identity)


def child_name(collection: str, kind: str, identity: str | int) -> str:
    """The name of something in a collection; ``kind`` is IMAGES, CLUSTERS, RUNS, ...

    Raises:
        InvalidArgument: the collection's id does not have its form.
    """
    return f"{collection_name(collection)}/{kind}/{identity}"


def collection_id(name: str) -> str:
    """The id in a collection's name.

    Raises:
        InternalError: the server's answer is no collection's name.
    """
    match name.split("/"):
        case ["collections", identity] if identity:
            return identity
    raise _unexpected(name, "collections/{collection}")


def child_id(name: str, kind: str) -> str:
    """The id at the end of the name of something in a collection.

    Raises:
        InternalError: the server's answer is no such name.
    """
    match name.split("/"):
        case ["collections", collection, found, identity] if collection and found == kind and identity:
            return identity
    raise _unexpected(name, f"collections/{{collection}}/{kind}/{{id}}")


def cluster_id(name: str) -> int:
    """The id in a cluster's name.

    Raises:
        InternalError: the server's answer is no cluster's name.
    """
    return number(name, CLUSTERS)


def number(name: str, kind: str) -> int:
    """The id in the name of something whose id is a number; ``kind`` is CLUSTERS, THEMES, PLACES or MOMENTS.

    Raises:
        InternalError: the server's answer is no such name.
    """
    identity = child_id(name, kind)
    if not identity.isdecimal():
        raise _unexpected(name, f"collections/{{collection}}/{kind}/{{number}}")
    return int(identity)


def _unexpected(name: str, form: str) -> InternalError:
    return InternalError(f"the server answered with the name {name!r} where {form} belongs; is it another version?")

"""Resource names of the API (``collections/{c}/images/{i}``) and the bare ids that the client shows instead."""

from __future__ import annotations

from shoal_client.errors import InternalError

IMAGES = "images"
CLUSTERS = "clusters"
RUNS = "clusteringRuns"


def collection_name(collection: str) -> str:
    """The name of a collection."""
    return f"collections/{collection}"


def child_name(collection: str, kind: str, identity: str | int) -> str:
    """The name of something in a collection; ``kind`` is IMAGES, CLUSTERS or RUNS."""
    return f"collections/{collection}/{kind}/{identity}"


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
    identity = child_id(name, CLUSTERS)
    if not identity.isdecimal():
        raise _unexpected(name, "collections/{collection}/clusters/{number}")
    return int(identity)


def _unexpected(name: str, form: str) -> InternalError:
    return InternalError(f"the server answered with the name {name!r} where {form} belongs; is it another version?")

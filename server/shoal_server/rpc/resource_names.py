"""Resource names as AIP-122 has them, and the ids in them."""

from __future__ import annotations

import re
from uuid import UUID

from shoal_server.domain.errors import InvalidName

_COLLECTION = re.compile(r"collections/([^/]{1,63})")
_IMAGE = re.compile(r"collections/([^/]{1,63})/images/([^/]{1,64})")
_CLUSTER = re.compile(r"collections/([^/]{1,63})/clusters/([0-9]{1,18})")
_RUN = re.compile(r"collections/([^/]{1,63})/clusteringRuns/([A-Za-z0-9-]{1,64})")


def collection_name(collection: str) -> str:
    """The name of a collection."""
    return f"collections/{collection}"


def image_name(collection: str, image: UUID) -> str:
    """The name of an image."""
    return f"collections/{collection}/images/{image}"


def cluster_name(collection: str, cluster: int) -> str:
    """The name of a cluster."""
    return f"collections/{collection}/clusters/{cluster}"


def run_name(collection: str, run: str) -> str:
    """The name of a clustering run."""
    return f"collections/{collection}/clusteringRuns/{run}"


def parse_collection(name: str) -> str:
    """The id in a collection's name.

    Raises:
        InvalidName: it is not one.
    """
    match = _COLLECTION.fullmatch(name)
    if match is None:
        raise InvalidName(name, "collections/{collection}")
    return match[1]


def parse_image(name: str) -> tuple[str, UUID]:
    """The ids in an image's name.

    Raises:
        InvalidName: it is not one.
    """
    match = _IMAGE.fullmatch(name)
    try:
        if match is not None:
            return match[1], UUID(match[2])
    except ValueError:
        pass
    raise InvalidName(name, "collections/{collection}/images/{uuid}")


def parse_cluster(name: str) -> tuple[str, int]:
    """The ids in a cluster's name.

    Raises:
        InvalidName: it is not one.
    """
    match = _CLUSTER.fullmatch(name)
    if match is None:
        raise InvalidName(name, "collections/{collection}/clusters/{integer}")
    return match[1], int(match[2])


def parse_run(name: str) -> tuple[str, str]:
    """The ids in a clustering run's name.

    Raises:
        InvalidName: it is not one.
    """
    match = _RUN.fullmatch(name)
    if match is None:
        raise InvalidName(name, "collections/{collection}/clusteringRuns/{run}")
    return match[1], match[2]

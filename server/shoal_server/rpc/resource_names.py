"""Resource names as AIP-122 has them, and the ids in them."""

from __future__ import annotations

import re
from uuid import UUID

from shoal_server.domain.errors import InvalidName

_COLLECTION = re.compile(r"collections/([^/]{1,63})")
_IMAGE = re.compile(r"collections/([^/]{1,63})/images/([^/]{1,64})")
_CLUSTER = re.compile(r"collections/([^/]{1,63})/clusters/([0-9]{1,18})")
_RUN = re.compile(r"collections/([^/]{1,63})/clusteringRuns/([A-Za-z0-9-]{1,64})")
_CORRECTION = re.compile(r"collections/([^/]{1,63})/corrections/([A-Za-z0-9-]{1,64})")
_THEME = re.compile(r"collections/([^/]{1,63})/themes/([0-9]{1,18})")
_PLACE = re.compile(r"collections/([^/]{1,63})/places/([0-9]{1,18})")
_MOMENT = re.compile(r"collections/([^/]{1,63})/moments/([0-9]{1,18})")


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


def correction_name(collection: str, correction: str) -> str:
    """The name of a correction."""
    return f"collections/{collection}/corrections/{correction}"


def theme_name(collection: str, theme: int) -> str:
    """The name of a theme."""
    return f"collections/{collection}/themes/{theme}"


def place_name(collection: str, place: int) -> str:
    """The name of a place."""
    return f"collections/{collection}/places/{place}"


def moment_name(collection: str, moment: int) -> str:
    """The name of a moment."""
    return f"collections/{collection}/moments/{moment}"


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
    return _numbered(_CLUSTER, name, "clusters")


def parse_run(name: str) -> tuple[str, str]:
    """The ids in a clustering run's name.

    Raises:
        InvalidName: it is not one.
    """
    match = _RUN.fullmatch(name)
    if match is None:
        raise InvalidName(name, "collections/{collection}/clusteringRuns/{run}")
    return match[1], match[2]


def parse_run_or_collection(name: str) -> tuple[str, str | None]:
    """The ids in the name of a clustering run, or of a collection: then there is no run's.

    Raises:
        InvalidName: it is neither.
    """
    if _COLLECTION.fullmatch(name):
        return parse_collection(name), None
    return parse_run(name)


def parse_correction(name: str) -> tuple[str, str]:
    """The ids in a correction's name.

    Raises:
        InvalidName: it is not one.
    """
    match = _CORRECTION.fullmatch(name)
    if match is None:
        raise InvalidName(name, "collections/{collection}/corrections/{correction}")
    return match[1], match[2]


def parse_theme(name: str) -> tuple[str, int]:
    """The ids in a theme's name.

    Raises:
        InvalidName: it is not one.
    """
    return _numbered(_THEME, name, "themes")


def parse_place(name: str) -> tuple[str, int]:
    """The ids in a place's name.

    Raises:
        InvalidName: it is not one.
    """
    return _numbered(_PLACE, name, "places")


def parse_moment(name: str) -> tuple[str, int]:
    """The ids in a moment's name.

    Raises:
        InvalidName: it is not one.
    """
    return _numbered(_MOMENT, name, "moments")


def _numbered(form: re.Pattern[str], name: str, kind: str) -> tuple[str, int]:
    match = form.fullmatch(name)
    if match is None:
        raise InvalidName(name, f"collections/{{collection}}/{kind}/{{integer}}")
    return match[1], int(match[2])

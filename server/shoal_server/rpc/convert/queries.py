"""What a search looks for."""

from __future__ import annotations

from typing import TypeAlias
from uuid import UUID

import numpy as np

from shoal.v1 import cluster_service_pb2, image_pb2, image_service_pb2
from shoal_server.application.queries import (
    ContentQuery,
    ImageQuery,
    Query,
    Term,
    TextQuery,
    VectorQuery,
    check_diversity,
    check_tastes,
    check_terms,
    check_threshold,
)
from shoal_server.domain.errors import InvalidField
from shoal_server.rpc.convert.values import id_within, ids_within
from shoal_server.rpc.resource_names import parse_image

SearchRequest: TypeAlias = image_service_pb2.SearchImagesRequest | cluster_service_pb2.SearchClustersRequest


def query_of(
    collection_id: str, request: SearchRequest | cluster_service_pb2.AssignImageRequest | image_pb2.QueryTerm
) -> Query:
    """What to look for, or what to assign.

    Raises:
        InvalidField: nothing is given.
        InvalidName: the image is not one of this collection.
    """
    if isinstance(request, cluster_service_pb2.AssignImageRequest):
        if request.WhichOneof("image") is None:
            raise InvalidField("image", "is missing; give an image's bytes, an image's name or a vector")
    elif request.WhichOneof("query") is None:
        raise InvalidField("query", "is missing; give a text, an image's bytes, an image's name or a vector")
    elif request.HasField("text"):
        return TextQuery(request.text)
    if request.HasField("image_content"):
        return ContentQuery(request.image_content)
    if request.HasField("image_name"):
        return ImageQuery(id_within(collection_id, parse_image, request.image_name))
    return VectorQuery(np.array(request.vector.values, dtype=np.float32))


def terms_of(collection_id: str, request: SearchRequest) -> tuple[Term, ...]:
    """All that a search looks for.

    Raises:
        InvalidField: nothing is given, or both a query and terms, too many terms, or a weight that is none.
        InvalidName: an image is not one of this collection.
    """
    if not request.terms:
        return (Term(query_of(collection_id, request)),)
    if request.WhichOneof("query") is not None:
        raise InvalidField("terms", "there is a query as well; make it one of the terms")
    return check_terms([Term(query_of(collection_id, each), _weight(each)) for each in request.terms])


def tastes_of(
    collection_id: str, request: image_service_pb2.RecommendImagesRequest
) -> tuple[tuple[UUID, ...], tuple[UUID, ...]]:
    """The liked and the disliked images.

    Raises:
        InvalidField: none are liked, there are too many, or one is liked and disliked.
        InvalidName: an image is not one of this collection.
    """
    return check_tastes(
        ids_within(collection_id, parse_image, request.liked), ids_within(collection_id, parse_image, request.disliked)
    )


def diversity_of(request: image_service_pb2.SearchImagesRequest | image_service_pb2.RecommendImagesRequest) -> float:
    """Raises:
    InvalidField: it is not within 0 and 1.
    """
    return check_diversity(request.diversity)


def threshold_of(
    request: image_service_pb2.SearchImagesRequest | image_service_pb2.RecommendImagesRequest,
) -> float | None:
    """The least score to answer with; None for any.

    Raises:
        InvalidField: it is not within -1 and 1, or not a number.
    """
    return check_threshold(request.score_threshold if request.HasField("score_threshold") else None)


def _weight(term: image_pb2.QueryTerm) -> float:
    return term.weight if term.HasField("weight") else 1.0
